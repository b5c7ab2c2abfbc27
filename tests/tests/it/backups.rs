//! Active-backup pairs: the server that accepts writes changes, without ending connections.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::{scope, sleep};
use std::time::Duration;

use anyhow::{Result, ensure};
use fastrand::Rng;
use ovn_extaddr_tests::{
    Addressing, Agent, Cli, Instance, Net, Northbound, OvsdbServer, eventually, map_column,
};
use serde_json::json;

use crate::fixture::{OWNER, V4, ip, owned, row};
use crate::load::{TIMEOUT, commits, wait_for_commit};

const ADDRESSES: [&str; 3] = ["203.0.113.101", "203.0.113.102", "203.0.113.103"];

const NO_WRITES: &str = "the server takes no writes: it is a backup, or read-only";

/// Ports with the addresses of their intents.
type Wanted = BTreeSet<(String, String)>;

/// Two servers, one of which is active at a time, as with pacemaker.
struct Pair {
    servers: [OvsdbServer; 2],
    active: AtomicUsize,
}

impl Pair {
    fn start() -> Result<Self> {
        let pair = Self {
            servers: [OvsdbServer::northbound()?, OvsdbServer::northbound()?],
            active: AtomicUsize::new(0),
        };
        demote(&pair.servers[1], &pair.servers[0])?;
        Ok(pair)
    }

    fn active(&self) -> &OvsdbServer {
        &self.servers[self.active.load(Ordering::SeqCst)]
    }

    /// The remotes, one of the servers first.
    fn remotes(&self, first: usize) -> String {
        format!("{},{}", self.servers[first].remote(), self.servers[1 - first].remote())
    }

    /// Makes the other server the active one, once it has the same content.
    fn fail_over(&self) -> Result<()> {
        let old = self.active.load(Ordering::SeqCst);
        let (from, to) = (&self.servers[old], &self.servers[1 - old]);
        demote(from, to)?;
        eventually(TIMEOUT, "the backup has everything", || Ok(content(from)? == content(to)?))?;
        to.appctl(&["ovsdb-server/disconnect-active-ovsdb-server"])?;
        self.active.store(1 - old, Ordering::SeqCst);
        Ok(())
    }
}

/// Makes a server a backup of another, in place.
fn demote(server: &OvsdbServer, active: &OvsdbServer) -> Result<()> {
    server.appctl(&["ovsdb-server/set-active-ovsdb-server", &active.remote()])?;
    server.appctl(&["ovsdb-server/connect-active-ovsdb-server"])?;
    Ok(())
}

/// The intents of a server's ports, and our rows there.
fn content(server: &OvsdbServer) -> Result<(Wanted, BTreeSet<String>)> {
    Ok((wanted(server)?, owned(server, OWNER)?))
}

/// The intents of ports.
fn wanted(server: &OvsdbServer) -> Result<Wanted> {
    let select = json!({"op": "select", "table": "Logical_Switch_Port", "where": [], "columns": ["name", "external_ids"]});
    let found = Northbound::transact(server, vec![select])?;
    let ports = found[0]["rows"].as_array().cloned().unwrap_or_default();
    let asked = ports.iter().filter_map(|port| {
        let address = map_column(&port["external_ids"]).remove(V4)?;
        Some((port["name"].as_str()?.to_owned(), address))
    });
    Ok(asked.collect())
}

fn annotate(server: &OvsdbServer, port: &str, address: Option<&str>) -> Result<()> {
    let mut mutations = vec![json!(["external_ids", "delete", ["set", [V4]]])];
    mutations.extend(address.map(|address| json!(["external_ids", "insert", ["map", [[V4, address]]]])));
    let named = json!([["name", "==", port]]);
    let set = json!({"op": "mutate", "table": "Logical_Switch_Port", "where": named, "mutations": mutations});
    Northbound::transact(server, vec![set]).map(drop)
}

/// Sets and unsets intents at the server that accepts them.
fn work(pair: &Pair, instances: &[Instance], stop: &AtomicBool) -> usize {
    let mut random = Rng::with_seed(0x5eed_0fca_a9a1_6002);
    let mut times = 0;
    while !stop.load(Ordering::SeqCst) {
        let at = random.usize(..instances.len());
        let address = ADDRESSES.get(random.usize(..4)).copied();
        // During the change no server accepts writes.
        times += usize::from(annotate(pair.active(), &instances[at].port, address).is_ok());
        sleep(Duration::from_millis(5));
    }
    times
}

/// Regression: Open vSwitch 077f03028: since then a server becomes a backup without ending a session.
#[test]
fn field_case_2_ten_failovers_of_a_backup_pair_lose_no_row() -> Result<()> {
    let pair = Pair::start()?;
    let mut net = Net::builder(1).ipv4_only().create(pair.active())?;
    let instances = net.add_instances(20, Addressing::Static)?;
    for address in ADDRESSES {
        net.add_forward(ip(address), 443, instances[0].v4()?, 443)?;
    }
    let mut agents = [Agent::start(pair.remotes(0))?, Agent::start(pair.remotes(1))?];
    let stop = AtomicBool::new(false);
    scope(|threads| {
        let load = threads.spawn(|| work(&pair, &instances, &stop));
        let suffer = || -> Result<()> {
            for _ in 0..10 {
                wait_for_commit(&agents, commits(&agents) + 10, "a while")?;
                pair.fail_over()?;
                wait_for_commit(&agents, commits(&agents), "a failover")?;
            }
            Ok(())
        };
        let suffered = suffer();
        stop.store(true, Ordering::SeqCst);
        let times = load.join().expect("the load ends");
        suffered?;
        ensure!(times > 100, "that was no load: {times}");
        Ok(())
    })?;
    let by_port = |name: &str| instances.iter().find(|instance| instance.port == name);
    for server in [pair.active(), &pair.servers[1 - pair.active.load(Ordering::SeqCst)]] {
        eventually(TIMEOUT, "the rows are what the ports ask for", || {
            let mut expected = BTreeSet::new();
            for (port, address) in wanted(server)? {
                let instance = by_port(&port).expect("it is one of them");
                expected.insert(row(&net, instance, &address, instance.v4()?));
            }
            let found = owned(server, OWNER)?;
            ensure!(found == expected, "they are {found:#?} instead of {expected:#?}");
            Ok(true)
        })?;
    }
    for agent in &mut agents {
        ensure!(agent.daemon().is_running() && !agent.log().contains("panic"), "{}", agent.log());
    }
    let left = agents.iter().any(|agent| agent.log().contains(NO_WRITES));
    ensure!(left, "no server was left because it took no writes");
    Ok(())
}

/// Commands write to the server that accepts writes, and `doctor` reports which one that is.
#[test]
fn commands_find_the_server_that_accepts_writes() -> Result<()> {
    let pair = Pair::start()?;
    let mut net = Net::builder(1).ipv4_only().create(pair.active())?;
    let instance = net.add_instance(Addressing::Static)?;
    let port = &instance.port;
    let backup = &pair.servers[1];
    eventually(TIMEOUT, "the backup has the port", || Ok(content(backup)? == content(pair.active())?))?;
    let both = Cli::new(pair.remotes(1))?;
    both.run(&["set", port, "--ipv4", "none"])?.success()?;
    ensure!(wanted(pair.active())?.len() == 1);
    let found = both.run(&["doctor"])?;
    let words = "a server without a cluster, which takes no writes: a backup, or read-only";
    ensure!(found.stdout.contains(&format!("{}: {words}", backup.remote())), "{found:?}");
    ensure!(!found.stdout.contains("none of these servers takes writes"), "{found:?}");

    let alone = Cli::new(backup.remote())?;
    let refused = alone.run(&["set", port, "--ipv4", ADDRESSES[0]])?;
    ensure!(refused.code() == Some(1) && refused.stderr.contains(NO_WRITES), "{refused:?}");
    alone.run(&["list"])?.success()?;
    let found = alone.run(&["doctor"])?;
    ensure!(found.code() == Some(1), "{found:?}");
    ensure!(found.stdout.contains("none of these servers takes writes"), "{found:?}");
    Ok(())
}
