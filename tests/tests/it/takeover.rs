//! A standby that sees work undone: by an agent that is dead, or that lives and refuses to do it.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use ovn_extaddr_tests::{Addressing, Agent, AgentBuilder, Clock, Instance, Net, OvsdbServer, PROMPT};
use serde_json::json;

use crate::fixture::{OWNER, V4, ip, owned, row, wait_for_rows};

const ACTIVE: &str = "active: this agent has the lock";
const STANDBY: &str = "standby: another agent has the lock";
const EXTERNAL: &str = "203.0.113.101";

/// Longer than anything here takes.
const TAKEOVER: Duration = Duration::from_secs(600);

/// Longer than work may remain undone, which is at most a third more, and longer than an answer may take.
const TOO_LONG: Duration = Duration::from_secs(801);
const NO_ANSWER: Duration = Duration::from_secs(6);

const ASKED: &str = "stealing the lock to check that its holder is alive";

const PREVAILS: &str = "active: the previous lock holder did not take the lock back";

/// A server with its own clock, two instances that may leave with an address, and the clock of the standby.
struct Place {
    server_clock: Clock,
    clock: Clock,
    server: OvsdbServer,
    net: Net,
    instances: Vec<Instance>,
}

impl Place {
    fn new() -> Result<Self> {
        let (server_clock, clock) = (Clock::new()?, Clock::new()?);
        let server = OvsdbServer::northbound_by(&server_clock)?;
        let mut net = Net::builder(1).ipv4_only().create(&server)?;
        let instances = net.add_instances(2, Addressing::Static)?;
        net.add_forward(ip(EXTERNAL), 443, instances[0].v4()?, 443)?;
        Ok(Self { server_clock, clock, server, net, instances })
    }

    /// An agent with the clock of the standby. The server does not probe its socket.
    fn standby(&self) -> AgentBuilder {
        let config = format!("{PROMPT}takeover = {}\n", TAKEOVER.as_secs());
        let builder = Agent::builder(self.server.remote()).config(&config);
        self.clock.environment().iter().fold(builder, |builder, (name, value)| builder.env(name, value))
    }

    fn ask(&self, instance: usize, address: Option<&str>) -> Result<()> {
        self.net.annotate(&self.instances[instance].port, V4, address)
    }

    /// The row of an instance that leaves with the address.
    fn row(&self, instance: usize) -> Result<String> {
        let instance = &self.instances[instance];
        Ok(row(&self.net, instance, EXTERNAL, instance.v4()?))
    }

    /// Makes the server send its clients so much that the data for a frozen one does not fit into any buffer.
    fn babble(&self) -> Result<()> {
        let vip = |n: usize| (format!("192.0.2.{}:{}", n % 250, n), json!("10.57.1.11:443"));
        let vips: Vec<_> = (1..30_000).map(|n| json!(vip(n))).collect();
        let balancer = json!({"name": "babble", "vips": ["map", vips]});
        self.server.transact(vec![json!({"op": "insert", "table": "Load_Balancer", "row": balancer})])?;
        let gone = json!([["name", "==", "babble"]]);
        self.server.transact(vec![json!({"op": "delete", "table": "Load_Balancer", "where": gone})])?;
        Ok(())
    }
}

/// Rule: until all data for a client is sent, the server reads nothing from it, and does not notice that it is dead
/// (`ovsdb_jsonrpc_session_run` in ovsdb/jsonrpc-server.c).
#[test]
fn lock_of_an_unnoticed_dead_holder_is_stolen() -> Result<()> {
    let place = Place::new()?;
    let mut first = Agent::start(place.server.tcp_remote())?;
    first.wait_for_log(ACTIVE)?;
    let mut second = place.standby().start()?;
    second.wait_for_log(STANDBY)?;
    second.wait_for_log("synchronised with the database")?;

    first.daemon().signal("STOP")?;
    place.ask(0, Some(EXTERNAL))?;
    // More than the kernel buffers, which is four and six megabytes at most.
    (0..10).try_for_each(|_| place.babble())?;
    // The server probes after five seconds of silence, and waits for as long again.
    for step in 1..=30 {
        place.babble()?;
        place.server_clock.set(Duration::from_secs(8) * step)?;
        place.server.appctl(&["version"])?;
    }
    ensure!(!second.log().contains(ACTIVE), "the server has noticed:\n{}", second.log());
    ensure!(owned(&place.server, OWNER)?.is_empty());

    // It has seen that work is undone before its clock jumps.
    second.appctl(&["version"])?;
    place.clock.set(TOO_LONG)?;
    second.appctl(&["version"])?;
    second.wait_for_log(ASKED)?;
    place.clock.set(TOO_LONG + NO_ANSWER)?;
    second.appctl(&["version"])?;
    second.wait_for_log(PREVAILS)?;
    wait_for_rows(&place.server, OWNER, [place.row(0)?])?;
    let log = second.log();
    let (before, _) = log.split_once(PREVAILS).context("it is there")?;
    ensure!(!before.contains(" committed "), "it writes before it knows:\n{log}");
    let coverage = second.appctl(&["coverage/show"])?;
    ensure!(
        coverage.lines().any(|line| line.starts_with("takeovers ") && line.ends_with(" 1")),
        "{coverage}"
    );

    // It finds that the lock was stolen, and tries to take it back; but the other one lives, too.
    first.daemon().signal("CONT")?;
    first.wait_for_log("another agent stole the lock to check that this one is alive")?;
    first.wait_for_log("standby: another agent has taken the lock back")?;
    place.ask(1, Some(EXTERNAL))?;
    wait_for_rows(&place.server, OWNER, [place.row(0)?, place.row(1)?])?;
    ensure!(!first.log().contains(" committed "), "it wrote:\n{}", first.log());
    // It is in the queue again.
    second.stop()?;
    place.ask(0, None)?;
    wait_for_rows(&place.server, OWNER, [place.row(1)?])
}

/// Two agents that disagree: the one that has the lock keeps it.
#[test]
fn live_agent_with_other_rules_keeps_the_lock() -> Result<()> {
    let place = Place::new()?;
    // The address is not forwarded to the second instance.
    let config = format!("{PROMPT}require-target = true\n");
    let mut first = Agent::builder(place.server.tcp_remote()).config(&config).start()?;
    first.wait_for_log(ACTIVE)?;
    place.ask(0, Some(EXTERNAL))?;
    place.ask(1, Some(EXTERNAL))?;
    wait_for_rows(&place.server, OWNER, [place.row(0)?])?;

    let mut second = place.standby().start()?;
    second.wait_for_log(STANDBY)?;
    second.wait_for_log("synchronised with the database")?;
    second.appctl(&["version"])?;
    place.clock.set(TOO_LONG)?;
    second.appctl(&["version"])?;
    second.wait_for_log(ASKED)?;
    second.wait_for_log("standby: another agent has taken the lock back")?;
    first.wait_for_log("another agent stole the lock to check that this one is alive")?;
    place.clock.set(TOO_LONG + NO_ANSWER)?;
    second.appctl(&["version"])?;
    place.ask(0, None)?;
    wait_for_rows(&place.server, OWNER, [])?;
    ensure!(!second.log().contains(" committed "), "it wrote:\n{}", second.log());
    // It is still a standby.
    first.stop()?;
    wait_for_rows(&place.server, OWNER, [place.row(1)?])
}
