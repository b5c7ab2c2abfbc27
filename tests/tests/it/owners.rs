//! Agents with different owners share a database, and cleaning up.

use std::collections::BTreeSet;
use std::thread::sleep;
use std::time::Duration;

use anyhow::{Result, ensure};
use ovn_extaddr_tests::{Addressing, Agent, Cli, Instance, Net, OvsdbServer, eventually};

use crate::fixture::{Fixture, OWNER, SOON, V4, V6, ip, owned, row, state, versions, wait_for_rows};

#[test]
fn rows_of_another_owner_are_foreign_and_stay() -> Result<()> {
    let server = OvsdbServer::northbound()?;
    let (net, instance) = network(&server)?;
    let mut first = Agent::builder(server.remote()).args(&["--owner", "first"]).start()?;
    net.annotate(&instance.port, V4, Some("203.0.113.101"))?;
    let of_first = || [row(&net, &instance, "203.0.113.101", "10.57.1.11")];
    wait_for_rows(&server, "first", of_first())?;
    let version = versions(&server, "first")?;

    let mut second = Agent::builder(server.remote()).config("owner = \"second\"\n").start()?;
    second.wait_for_log("active: this agent has the lock")?;
    second.wait_for_log("by a foreign row")?;
    assert!(owned(&server, "second")?.is_empty());
    // Each reports it from its own view.
    let cli = Cli::new(server.remote())?;
    for (owner, expected) in [("first", "active"), ("second", "foreign")] {
        let list = cli.run(&["list", "--json", "--owner", owner])?.success()?;
        assert!(list.contains(&format!("\"state\": \"{expected}\"")), "{list}");
    }

    // Without its agent the row stays, whatever happens to the intent.
    first.stop()?;
    net.annotate(&instance.port, V4, Some("203.0.113.102"))?;
    second.wait_for_log("foreign-nat")?;
    net.annotate(&instance.port, V4, None)?;
    net.annotate(&instance.port, V6, Some("2001:db8::65"))?;
    wait_for_rows(&server, "second", [row(&net, &instance, "2001:db8::65", "fd42:57:1::b")])?;
    assert_eq!((owned(&server, "first")?, versions(&server, "first")?), (of_first().into(), version));

    // It deletes its row when it is back.
    first.restart()?;
    wait_for_rows(&server, "first", [])?;
    wait_for_rows(&server, "second", [row(&net, &instance, "2001:db8::65", "fd42:57:1::b")])
}

#[test]
fn concurrent_writes_of_two_owners_converge() -> Result<()> {
    let mut server = OvsdbServer::northbound()?;
    let mut net = Net::builder(1).create(&server)?;
    let instances = net.add_instances(20, Addressing::Static)?;
    net.add_forward(ip("203.0.113.101"), 443, ip("10.57.1.11"), 443)?;
    let start = |owner| Agent::builder(server.remote()).args(&["--owner", owner]).start();
    let mut agents = [start("first")?, start("second")?];
    for agent in &mut agents {
        agent.wait_for_log("active: this agent has the lock")?;
        agent.wait_for_log("synchronised with the database")?;
        agent.daemon().signal("STOP")?;
    }
    for instance in &instances {
        net.annotate(&instance.port, V4, Some("203.0.113.101"))?;
    }
    // Both read everything and decide before the server accepts anything from either.
    server.daemon().signal("STOP")?;
    for agent in &mut agents {
        agent.daemon().signal("CONT")?;
        eventually(SOON, "it has decided", || Ok(agent.appctl(&["list"])?.contains("pending")))?;
    }
    sleep(Duration::from_millis(200));
    server.daemon().signal("CONT")?;

    let everything =
        || -> Result<_> { Ok((server.dump()?, versions(&server, "first")?, versions(&server, "second")?)) };
    eventually(SOON, "every port has its row, and nothing changes any more", || -> Result<bool> {
        let before = everything()?;
        let rows: BTreeSet<_> =
            owned(&server, "first")?.into_iter().chain(owned(&server, "second")?).collect();
        ensure!(rows.len() == instances.len(), "{} ports have rows", rows.len());
        sleep(Duration::from_millis(300));
        ensure!(everything()? == before, "it still changes");
        Ok(true)
    })?;
    // Both had inserted all rows, and that with the lesser name kept its.
    ensure!(owned(&server, "first")?.len() == instances.len(), "{:?}", owned(&server, "second")?);
    Ok(())
}

#[test]
fn cleanup_is_refused_while_an_agent_is_active() -> Result<()> {
    let mut fixture = Fixture::start()?;
    let (net, instance) = network(&fixture.server)?;
    let foreign = net.nats()?;
    net.annotate(&instance.port, V4, Some("203.0.113.101"))?;
    net.annotate(&instance.port, V6, Some("2001:db8::65"))?;
    let rows = || {
        [
            row(&net, &instance, "203.0.113.101", "10.57.1.11"),
            row(&net, &instance, "2001:db8::65", "fd42:57:1::b"),
        ]
    };
    fixture.wait_for_rows(rows())?;
    let refused = fixture.cli.run(&["cleanup"])?;
    assert_eq!(refused.code(), Some(1), "{refused:?}");
    assert!(refused.stderr.contains("stop it first") && refused.stderr.lines().count() == 1, "{refused:?}");
    assert_eq!(owned(&fixture.server, OWNER)?, rows().into());

    fixture.agent.stop()?;
    let of_another = fixture.cli.run(&["cleanup", "--owner", "another"])?.success()?;
    assert_eq!(of_another, "Removed 0 rows of owner another.\n");
    assert_eq!(owned(&fixture.server, OWNER)?, rows().into());

    assert_eq!(fixture.cli.run(&["cleanup"])?.success()?, "Removed 2 rows of owner ovn-extaddr.\n");
    assert_eq!(net.nats()?, foreign);
    // The intents are the operator's: they stay, and wait for an agent.
    assert_eq!(state(&fixture.cli, &instance.port, V4)?, "pending");
    assert_eq!(fixture.cli.run(&["cleanup"])?.success()?, "Removed 0 rows of owner ovn-extaddr.\n");
    fixture.agent.restart()?;
    fixture.wait_for_rows(rows())
}

/// A network with an instance and two forward addresses for IPv4, one for IPv6.
fn network(server: &OvsdbServer) -> Result<(Net, Instance)> {
    let mut net = Net::builder(1).create(server)?;
    let instance = net.add_instance(Addressing::Static)?;
    net.add_forward(ip("203.0.113.101"), 443, instance.v4()?, 443)?;
    net.add_forward(ip("203.0.113.102"), 443, instance.v4()?, 443)?;
    net.add_forward(ip("2001:db8::65"), 443, instance.v6()?, 443)?;
    Ok((net, instance))
}
