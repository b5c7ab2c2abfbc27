//! A cluster that loses its leader repeatedly while intents are set and unset.
//!
//! `OVN_EXTADDR_FAULTS=50 cargo test -p ovn-extaddr-tests --test it leader_faults -- --nocapture` is the long form,
//! whose table is in `docs/reliability.md`.

use std::collections::BTreeMap;
use std::fmt::{self, Display, Formatter};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use ovn_extaddr_tests::{Agent, Cluster};

use crate::load::{Load, commits, wait_for_commit, wait_for_member};

/// The default number of faults: each kind twice.
const FAULTS: usize = 6;

/// The fault of the leader.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Fault {
    /// It is killed, and started again once there is another.
    Killed,
    /// It hands leadership over, as before every snapshot.
    Transferred,
    /// It is stopped and continued once there is another: it believes that it leads until then.
    Frozen,
}

/// The times from a new leader to our next commit, and from the fault to the new leader.
#[derive(Debug, Default)]
struct Times {
    elections: Vec<Duration>,
    commits: Vec<Duration>,
}

#[test]
fn rows_are_neither_lost_nor_doubled_by_faults_of_the_leader() -> Result<()> {
    let faults = match std::env::var("OVN_EXTADDR_FAULTS") {
        Ok(text) => text.parse().context("OVN_EXTADDR_FAULTS is not a number")?,
        Err(_) => FAULTS,
    };
    let mut cluster = Cluster::northbound(3)?;
    let load = Load::on(&cluster)?;
    let mut agents = [Agent::start(cluster.remotes())?, Agent::start(cluster.tcp_remotes())?];
    let (times, intents) = load.during(|| inject(&mut cluster, &agents, faults))?;
    load.settle(&cluster, &mut agents)?;
    println!("{intents} intents set or unset, {faults} faults");
    println!(
        "fault        count  leader after (median / longest)  commit after that (median / p90 / longest)"
    );
    times.iter().for_each(|(fault, times)| println!("{:<12} {times}", format!("{fault:?}")));
    Ok(())
}

/// Causes the faults one after the other, and measures the recovery time of each.
fn inject(cluster: &mut Cluster, agents: &[Agent], faults: usize) -> Result<BTreeMap<Fault, Times>> {
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
        let (elected, before) = (Instant::now(), commits(agents));
        wait_for_commit(agents, before, &format!("{fault:?}"))?;
        let times = times.entry(fault).or_default();
        times.elections.push(elected - start);
        times.commits.push(elected.elapsed());
        match fault {
            Fault::Killed => cluster.member(old).restart()?,
            Fault::Transferred => {}
            Fault::Frozen => cluster.member(old).daemon().signal("CONT")?,
        }
        // All three have to be back before the next one is lost.
        wait_for_member(cluster, old)?;
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
