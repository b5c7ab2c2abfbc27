//! The agent as a service: what it reports to a service manager, and how it is stopped.

use std::thread::{scope, sleep};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use ovn_extaddr_tests::{
    Addressing, Agent, AgentBuilder, Instance, Net, NotifySocket, OvsdbServer, PROMPT, eventually,
};

use crate::fixture::{Fixture, OWNER, SOON, V4, ip, row, wait_for_rows};

/// An agent that reports to a service manager.
fn watched(server: &OvsdbServer, socket: &NotifySocket) -> AgentBuilder {
    Agent::builder(server.remote()).env("NOTIFY_SOCKET", &socket.path().display().to_string())
}

/// A network with an instance that requests the address of its forward.
fn overridden(server: &OvsdbServer) -> Result<(Net, Instance)> {
    let mut net = Net::builder(1).create(server)?;
    let instance = net.add_instance(Addressing::Static)?;
    net.add_forward(ip("203.0.113.101"), 443, instance.v4()?, 443)?;
    net.annotate(&instance.port, V4, Some("203.0.113.101"))?;
    Ok((net, instance))
}

#[test]
fn ready_is_notified_after_the_first_decision() -> Result<()> {
    let mut server = OvsdbServer::northbound()?;
    let (net, instance) = overridden(&server)?;
    server.stop()?;
    let mut socket = NotifySocket::new()?;
    let mut agent = watched(&server, &socket).start()?;
    // There is nothing to decide on yet.
    socket.wait_for("STATUS=starting: no intents; not synchronised", SOON)?;
    assert!(socket.told()?.iter().all(|told| !told.contains("READY")), "{socket:?}");

    server.start()?;
    socket.wait_for("READY=1", SOON)?;
    socket.wait_for("STATUS=active: 1 active\n", SOON)?;
    wait_for_rows(&server, OWNER, [row(&net, &instance, "203.0.113.101", "10.57.1.11")])?;
    net.annotate(&instance.port, V4, Some("203.0.113.99"))?;
    socket.wait_for("STATUS=active: 1 rejected\n", SOON)?;
    let ready = socket.told()?.iter().filter(|told| told.contains("READY=1")).count();
    assert_eq!(ready, 1, "{socket:?}");

    assert!(agent.stop()?.success());
    socket.wait_for("STOPPING=1", SOON)?;
    Ok(())
}

#[test]
fn standby_agent_notifies_ready() -> Result<()> {
    let server = OvsdbServer::northbound()?;
    let mut first = Agent::start(server.remote())?;
    first.wait_for_log("active: this agent has the lock")?;
    let mut socket = NotifySocket::new()?;
    let _second = watched(&server, &socket).start()?;
    socket.wait_for("READY=1", SOON)?;
    socket.wait_for("STATUS=standby: no intents\n", SOON)?;
    Ok(())
}

#[test]
fn reload_is_notified_from_beginning_to_end() -> Result<()> {
    let server = OvsdbServer::northbound()?;
    let mut socket = NotifySocket::new()?;
    let mut agent = watched(&server, &socket).start()?;
    socket.wait_for("READY=1", SOON)?;
    agent.daemon().signal("HUP")?;
    let reloading = socket.wait_for("RELOADING=1", SOON)?;
    assert!(reloading.contains("MONOTONIC_USEC="), "{reloading}");
    socket.wait_for("READY=1", SOON)?;

    // A wrong configuration is ignored, and reported.
    agent.write_config("drian = 3")?;
    socket.wait_for("the configuration files are not in force", SOON)?;
    let status = agent.appctl(&["status"])?;
    assert!(status.contains("config.toml:1: unknown key drian; did you mean drain?"), "{status}");
    agent.write_config(PROMPT)?;
    eventually(SOON, "it is forgotten", || Ok(!agent.appctl(&["status"])?.contains("configuration error")))
}

/// The signs of life come from the loop that does the work, so that a loop that hangs is noticed.
#[test]
fn hanging_main_loop_sends_no_watchdog_notifications() -> Result<()> {
    let server = OvsdbServer::northbound()?;
    let mut socket = NotifySocket::new()?;
    let agent = watched(&server, &socket).env("WATCHDOG_USEC", "400000").start()?;
    let signs = |socket: &mut NotifySocket, time: Duration| -> Result<(usize, Duration)> {
        let (before, start) = (socket.told()?.len(), Instant::now());
        sleep(time);
        let count = socket.told()?[before..].iter().filter(|told| told.contains("WATCHDOG=1")).count();
        Ok((count, start.elapsed()))
    };
    socket.wait_for("READY=1", SOON)?;
    // An idle agent too.
    let (idle, time) = signs(&mut socket, Duration::from_secs(2))?;
    let most = time.as_millis() as usize / 200 + 2;
    assert!((1..=most).contains(&idle), "{idle} signs of life in {time:?}, at one in 0.2 s");

    scope(|threads| {
        let blocked = threads.spawn(|| agent.appctl(&["fault/block", "10"]));
        eventually(Duration::from_secs(8), "the loop hangs", || {
            Ok(signs(&mut socket, Duration::from_millis(1500))?.0 == 0)
        })?;
        blocked.join().expect("the thread ends")?;
        socket.wait_for("WATCHDOG=1", SOON)?;
        Ok(())
    })
}

/// The server is slow to answer a transaction: the agent does not leave before it has.
#[test]
fn stop_waits_for_the_pending_transaction() -> Result<()> {
    let mut fixture = Fixture::start()?;
    let mut net = Net::builder(1).create(&fixture.server)?;
    let instance = net.add_instance(Addressing::Static)?;
    net.add_forward(ip("203.0.113.101"), 443, instance.v4()?, 443)?;
    fixture.agent.wait_for_log("active: this agent has the lock")?;
    // It has seen the network.
    eventually(SOON, "it knows the port", || {
        Ok(fixture.agent.appctl(&["memory/show"])?.contains("load-balancers:1"))
    })?;
    // The agent already has the data that it decides on; the server does not read the transaction.
    fixture.server.daemon().signal("STOP")?;
    fixture.agent.write_config(&format!("{PROMPT}auto = true\n"))?;
    fixture.agent.wait_for_log("will leave as 203.0.113.101")?;
    fixture.agent.daemon().signal("TERM")?;
    fixture.agent.wait_for_log("stopping")?;
    sleep(Duration::from_millis(500));
    assert!(fixture.agent.daemon().is_running(), "it waits");
    fixture.server.daemon().signal("CONT")?;
    let status = fixture.agent.daemon().wait(SOON)?;
    assert!(status.success(), "{status}");
    let log = fixture.agent.log();
    let after = log.split_once("stopping").context("it is logged")?.1;
    assert!(after.contains("committed keys=1 changes=1"), "{log}");
    wait_for_rows(&fixture.server, OWNER, [row(&net, &instance, "203.0.113.101", "10.57.1.11")])
}
