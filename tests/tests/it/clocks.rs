//! Hours that pass in seconds: clocks of servers and agents that a test puts forward.

use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use ovn_extaddr_tests::{Addressing, Agent, Clock, Cluster, Net, OvsdbServer, eventually};
use ovsdb_protocol::{Cache, Session, SessionConfig, SessionEvent};
use tokio::time::{Instant, timeout};

use crate::fixture::{OWNER, V4, ip, row, wait_for_rows};
use crate::load::{Load, TIMEOUT, commits, wait_for_commit, wait_for_member};
use crate::protocol::{Follower, SOON};

const HOUR: Duration = Duration::from_secs(3600);

/// Continues until the server has sent something, which is its probe if nothing else happens.
async fn hears(follower: &mut Follower) -> Result<()> {
    let (before, start) = (follower.session.received().0, Instant::now());
    while follower.session.received().0 == before {
        ensure!(start.elapsed() < SOON, "the server asks nothing");
        // Received data is handled although it is not an event.
        let event = timeout(Duration::from_millis(5), follower.session.next(&mut follower.cache)).await;
        if let Ok(SessionEvent::Disconnected { error, .. }) = event {
            bail!("the connection is lost: {error}");
        }
    }
    Ok(())
}

/// Regression: clients that do not answer the server's echo, or panic at it, are disconnected after two silent
/// intervals: every Rust crate except one.
#[tokio::test]
async fn probes_of_the_server_are_answered_for_hours() -> Result<()> {
    let clock = Clock::new()?;
    let server = OvsdbServer::northbound_by(&clock)?;
    let mut config = SessionConfig::new(server.tcp_remote().parse()?, "OVN_Northbound");
    // Our own probes would be signs of life, too.
    config.probe = None;
    let mut follower = Follower::with(Session::new(config), Cache::everything());
    follower.synced().await?;
    for step in 1..=180 {
        clock.set(Duration::from_secs(60) * step)?;
        // It reads its clock when it has something to do.
        server.appctl(&["version"])?;
        hears(&mut follower).await.with_context(|| format!("after {step} minutes"))?;
    }
    assert!(follower.session.is_synced());
    Ok(())
}

/// The server keeps the lock of a frozen agent until its own probe detects the silence. When the agent continues, it
/// has to find out that it is not active any more. Regression: cluster-network-operator#631: with a server that does
/// not probe, a dead holder keeps its lock forever.
#[test]
fn lock_of_a_frozen_agent_ends_by_the_clock_of_the_server() -> Result<()> {
    let clock = Clock::new()?;
    let server = OvsdbServer::northbound_by(&clock)?;
    let mut net = Net::builder(1).ipv4_only().create(&server)?;
    let instances = net.add_instances(2, Addressing::Static)?;
    net.add_forward(ip("203.0.113.101"), 443, instances[0].v4()?, 443)?;
    let mut first = Agent::start(server.tcp_remote())?;
    first.wait_for_log("active: this agent has the lock")?;
    let mut second = Agent::start(server.tcp_remote())?;
    second.wait_for_log("standby: another agent has the lock")?;

    first.daemon().signal("STOP")?;
    net.annotate(&instances[0].port, V4, Some("203.0.113.101"))?;
    let mut ahead = Duration::ZERO;
    eventually(TIMEOUT, "the other one takes over", || {
        // Less than the two intervals that a client has that is not frozen.
        ahead += Duration::from_secs(6);
        clock.set(ahead)?;
        server.appctl(&["version"])?;
        Ok(second.log().contains("active: this agent has the lock"))
    })?;
    ensure!(ahead >= Duration::from_secs(10), "after {ahead:?}, which is less than two intervals");
    let expected =
        |n: usize| -> Result<String> { Ok(row(&net, &instances[n], "203.0.113.101", instances[n].v4()?)) };
    wait_for_rows(&server, OWNER, [expected(0)?])?;

    first.daemon().signal("CONT")?;
    net.annotate(&instances[1].port, V4, Some("203.0.113.101"))?;
    first.wait_for_log("standby: another agent has the lock")?;
    wait_for_rows(&server, OWNER, [expected(0)?, expected(1)?])?;
    ensure!(!first.log().contains(" committed "), "it wrote: {}", first.log());
    Ok(())
}

/// An agent whose own clock jumps: a suspended machine, or an hour without an event.
#[test]
fn agent_survives_a_jump_of_its_clock() -> Result<()> {
    let clock = Clock::new()?;
    let server = OvsdbServer::northbound()?;
    let mut net = Net::builder(1).ipv4_only().create(&server)?;
    let instance = net.add_instance(Addressing::Static)?;
    net.add_forward(ip("203.0.113.101"), 443, instance.v4()?, 443)?;
    let [preload, file] = clock.environment();
    // Over TCP, where the server sends probes.
    let agent = Agent::builder(server.tcp_remote())
        .config("drain = 7200\nhold-down = 0\n")
        .env(&preload.0, &preload.1)
        .env(&file.0, &file.1)
        .start()?;
    let wait_for = |role: Option<&str>| {
        eventually(TIMEOUT, &format!("the row's role is {role:?}"), || {
            let nats = net.nats()?;
            let mut ours = nats.iter().filter_map(|nat| nat.external_ids.get("ovn-extaddr:role"));
            let found = ours.next().map(String::as_str);
            ensure!(found == role && ours.next().is_none(), "there are {nats:#?}");
            Ok(true)
        })
    };
    for hour in 0..4 {
        net.annotate(&instance.port, V4, Some("203.0.113.101"))?;
        wait_for(Some("egress"))?;
        clock.set(HOUR * (2 * hour + 1))?;
        agent.appctl(&["version"])?;
        net.annotate(&instance.port, V4, None)?;
        wait_for(Some("drain"))?;
    }
    // A jump is not silence of the server.
    ensure!(!agent.log().contains("disconnected "), "{}", agent.log());
    // Drain rows expire by the wall clock, two hours after they were written.
    clock.set(HOUR * 10)?;
    agent.appctl(&["version"])?;
    wait_for(None)
}

/// Members whose clocks jump lose their leadership, since all others seem to have been silent; and agents follow the
/// new leader.
#[test]
fn agent_survives_clock_jumps_of_cluster_members() -> Result<()> {
    let clocks = [Clock::new()?, Clock::new()?, Clock::new()?];
    let cluster = Cluster::northbound_by(&clocks)?;
    let load = Load::on(&cluster)?;
    let mut agents = [Agent::start(cluster.remotes())?, Agent::start(cluster.tcp_remotes())?];
    load.during(|| {
        for hour in 1..=3 {
            for (member, clock) in clocks.iter().enumerate() {
                clock.set(HOUR * hour)?;
                cluster.members()[member].appctl(&["version"])?;
                wait_for_commit(&agents, commits(&agents), "a jump")?;
                wait_for_member(&cluster, member)?;
            }
        }
        Ok(())
    })?;
    load.settle(&cluster, &mut agents)
}
