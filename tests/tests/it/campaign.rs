//! A cluster that loses its leader again and again while intents are set and unset.
//!
//! `OVN_EXTADDR_FAULTS=50 cargo test -p ovn-extaddr-tests --test it campaign -- --nocapture` is the long form, whose
//! table is in `docs/reliability.md`.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::{self, Display, Formatter};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{scope, sleep};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use ovn_extaddr_tests::{Addressing, Agent, Cli, Cluster, Instance, Net, eventually};

use crate::scene::{OWNER, Random, V4, ip, owned, row, wait_until_settled};

/// Faults in a run that is not told otherwise: each kind twice.
const FAULTS: usize = 6;

/// Longer than an election and a reconnection take together.
const PATIENCE: Duration = Duration::from_secs(60);

const ADDRESSES: [&str; 3] = ["203.0.113.101", "203.0.113.102", "203.0.113.103"];

/// What happens to the leader.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Fault {
    /// It is killed outright, and comes back once there is another.
    Killed,
    /// It hands leadership over, as before every snapshot.
    Transferred,
    /// It is stopped and goes on once there is another: it believes to lead until then.
    Frozen,
}

/// The times from a new leader to our next commit, and from the fault to the new leader.
#[derive(Debug, Default)]
struct Times {
    elections: Vec<Duration>,
    commits: Vec<Duration>,
}

#[test]
fn no_row_is_lost_or_doubled_whatever_happens_to_the_leader() -> Result<()> {
    let faults = match std::env::var("OVN_EXTADDR_FAULTS") {
        Ok(text) => text.parse().context("OVN_EXTADDR_FAULTS is no number")?,
        Err(_) => FAULTS,
    };
    let mut cluster = Cluster::northbound(3)?;
    let mut net = Net::builder(1).ipv4_only().create(&cluster)?;
    let instances = net.add_instances(40, Addressing::Static)?;
    for address in ADDRESSES {
        net.add_forward(ip(address), 443, ip("10.57.1.11"), 443)?;
    }
    let mut agents = [Agent::start(cluster.remotes())?, Agent::start(cluster.tcp_remotes())?];
    let stop = AtomicBool::new(false);
    let (times, intents) = scope(|threads| -> Result<_> {
        let load = threads.spawn(|| load(&net, &instances, &stop));
        let times = suffer(&mut cluster, &agents, faults);
        stop.store(true, Ordering::Relaxed);
        Ok((times?, load.join().expect("the load ends")?))
    })?;

    // What a frozen server was asked for may come true when it goes on, so that only the database knows what is wanted.
    eventually(PATIENCE, "the rows are what the ports ask for", || {
        let mut wanted = BTreeSet::new();
        for instance in &instances {
            let asked = net.external_ids(&instance.port)?.remove(V4).zip(instance.ipv4);
            wanted.extend(asked.map(|(external, internal)| row(&net, instance, external, internal)));
        }
        let rows = owned(&cluster, OWNER)?;
        ensure!(rows == wanted, "they are {rows:#?} instead of {wanted:#?}");
        Ok(true)
    })?;
    wait_until_settled(&Cli::new(cluster.remotes())?)?;
    cluster.check()?;
    for agent in &mut agents {
        ensure!(agent.daemon().is_running() && !agent.log().contains("panic"), "{}", agent.log());
    }
    println!("{intents} intents set or unset, {faults} faults");
    println!(
        "fault        count  leader after (median / longest)  commit after that (median / p90 / longest)"
    );
    times.iter().for_each(|(fault, times)| println!("{:<12} {times}", format!("{fault:?}")));
    Ok(())
}

/// Sets and unsets intents until told to stop. Returns how many times.
fn load(net: &Net, instances: &[Instance], stop: &AtomicBool) -> Result<usize> {
    let mut random = Random(0x5eed_0fca_a9a1_6001);
    let mut times = 0;
    while !stop.load(Ordering::Relaxed) {
        let at = random.below(instances.len() as u64) as usize;
        let address = ADDRESSES.get(random.below(4) as usize).copied();
        net.annotate(&instances[at].port, V4, address)?;
        times += 1;
        sleep(Duration::from_millis(5));
    }
    Ok(times)
}

/// Makes the faults happen one after the other, and measures how long it takes to get over each.
fn suffer(cluster: &mut Cluster, agents: &[Agent], faults: usize) -> Result<BTreeMap<Fault, Times>> {
    let commits = || agents.iter().map(|agent| agent.log().matches(" committed ").count()).sum::<usize>();
    let mut times: BTreeMap<Fault, Times> = BTreeMap::new();
    for fault in [Fault::Killed, Fault::Transferred, Fault::Frozen].into_iter().cycle().take(faults) {
        let old = cluster.leader()?;
        let start = Instant::now();
        match fault {
            Fault::Killed => cluster.member(old).kill9()?,
            Fault::Transferred => drop(cluster.transfer_leadership()?),
            Fault::Frozen => cluster.member(old).daemon().signal("STOP")?,
        }
        cluster.leader_but(Some(old))?;
        let (elected, before) = (Instant::now(), commits());
        eventually(PATIENCE, &format!("an agent commits after {fault:?}"), || Ok(commits() > before))?;
        let times = times.entry(fault).or_default();
        times.elections.push(elected - start);
        times.commits.push(elected.elapsed());
        match fault {
            Fault::Killed => cluster.member(old).restart()?,
            Fault::Transferred => {}
            Fault::Frozen => cluster.member(old).daemon().signal("CONT")?,
        }
        // All three have to be back before the next one is lost.
        eventually(PATIENCE, "the member is back", || {
            let status = cluster.members()[old].cluster_status()?;
            ensure!(status.contains("Status: cluster member") && !status.contains("Leader: unknown"));
            Ok(true)
        })?;
    }
    Ok(times)
}

impl Display for Times {
    fn fmt(&self, out: &mut Formatter<'_>) -> fmt::Result {
        let quantile = |times: &[Duration], part: f64| {
            let mut sorted = times.to_vec();
            sorted.sort_unstable();
            let at = ((sorted.len() as f64 * part) as usize).min(sorted.len().saturating_sub(1));
            sorted.get(at).map_or(0.0, |time| time.as_secs_f64() * 1000.0)
        };
        let (elections, commits) = (&self.elections, &self.commits);
        write!(
            out,
            "{:>5}  {:>7.0} ms / {:>7.0} ms             {:>7.0} ms / {:>7.0} ms / {:>7.0} ms",
            commits.len(),
            quantile(elections, 0.5),
            quantile(elections, 1.0),
            quantile(commits, 0.5),
            quantile(commits, 0.9),
            quantile(commits, 1.0),
        )
    }
}
