//! Agents and servers end and start while the work continues.

use std::thread::{scope, sleep};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use ovn_extaddr_tests::{Addressing, Agent, Cli, Instance, Net, OvsdbServer, eventually};

use crate::fixture::{Fixture, OWNER, SOON, V4, ip, row, wait_for_rows, wait_until_settled};

#[test]
fn standby_agent_takes_over_from_a_killed_one() -> Result<()> {
    let server = OvsdbServer::northbound()?;
    let (net, instances) = network(&server, 3)?;
    let mut first = Agent::start(server.remote())?;
    first.wait_for_log("active: this agent has the lock")?;
    let mut second = Agent::start(server.tcp_remote())?;
    second.wait_for_log("standby: another agent has the lock")?;
    second.wait_for_log("synchronised with the database")?;

    net.annotate(&instances[0].port, V4, Some("203.0.113.101"))?;
    wait_for_rows(&server, OWNER, rows(&net, &instances[..1]))?;
    first.wait_for_log("committed")?;
    // The standby has seen everything, and has written nothing.
    second.wait_for_log("10.57.1.11 leaves as 203.0.113.101")?;
    assert!(!second.log().contains("committed"), "{}", second.log());

    first.kill9()?;
    net.annotate(&instances[1].port, V4, Some("203.0.113.101"))?;
    wait_for_rows(&server, OWNER, rows(&net, &instances[..2]))?;
    second.wait_for_log("active: this agent has the lock")?;
    second.wait_for_log("committed keys=1 changes=1")?;

    // It comes back as a standby, and takes over again when the other one is stopped.
    first.restart()?;
    first.wait_for_log("standby: another agent has the lock")?;
    assert!(second.stop()?.success());
    net.annotate(&instances[2].port, V4, Some("203.0.113.101"))?;
    wait_for_rows(&server, OWNER, rows(&net, &instances))?;
    first.wait_for_log("committed keys=1 changes=1")?;
    wait_until_settled(&Cli::new(server.remote())?)
}

#[test]
fn agent_catches_up_with_a_killed_server() -> Result<()> {
    let mut fixture = Fixture::start()?;
    let (net, instances) = network(&fixture.server, 30)?;
    for (batch, instances) in instances.chunks(10).enumerate() {
        for instance in &instances[..5] {
            net.annotate(&instance.port, V4, Some("203.0.113.101"))?;
        }
        // During that; afterwards others write before the agent is back.
        fixture.server.restart()?;
        for instance in &instances[5..] {
            net.annotate(&instance.port, V4, Some("203.0.113.101"))?;
        }
        if batch == 1 {
            net.wipe_snat()?;
        }
    }
    fixture.wait_for_rows_of(&net, &instances)?;
    // It is stopped for longer than a connection attempt takes.
    fixture.server.kill9()?;
    sleep(Duration::from_millis(500));
    fixture.server.start()?;
    for instance in &instances {
        net.annotate(&instance.port, V4, None)?;
    }
    fixture.wait_for_rows([])?;
    assert!(fixture.agent.daemon().is_running());
    Ok(())
}

#[test]
fn agent_waits_for_its_database() -> Result<()> {
    let mut server = OvsdbServer::northbound()?;
    let (net, instances) = network(&server, 2)?;
    net.annotate(&instances[0].port, V4, Some("203.0.113.101"))?;
    server.kill9()?;
    // First no server, then one without the database, then the database.
    let mut agent = Agent::start(server.remote())?;
    agent.wait_for_log("disconnected")?;
    server.start()?;
    server.appctl(&["ovsdb-server/remove-db", "OVN_Northbound"])?;
    sleep(Duration::from_millis(300));
    server.appctl(&["ovsdb-server/add-db", &server.dir().join("db").display().to_string()])?;
    wait_for_rows(&server, OWNER, rows(&net, &instances[..1]))?;

    // It may also be removed and added again while the agent uses it.
    server.appctl(&["ovsdb-server/remove-db", "OVN_Northbound"])?;
    sleep(Duration::from_millis(100));
    server.appctl(&["ovsdb-server/add-db", &server.dir().join("db").display().to_string()])?;
    net.annotate(&instances[1].port, V4, Some("203.0.113.101"))?;
    wait_for_rows(&server, OWNER, rows(&net, &instances))?;
    wait_until_settled(&Cli::new(server.remote())?)?;
    assert!(agent.stop()?.success());
    Ok(())
}

#[test]
fn agent_without_a_database_stops_on_request() -> Result<()> {
    let mut agent = Agent::start("unix:/no/such/socket,tcp:127.0.0.1:1")?;
    agent.wait_for_log("disconnected")?;
    assert!(agent.stop()?.success());
    let silent = std::net::TcpListener::bind("127.0.0.1:0")?;
    let mut agent = Agent::start(format!("tcp:{}", silent.local_addr()?))?;
    sleep(Duration::from_millis(100));
    assert!(agent.stop()?.success());
    Ok(())
}

#[test]
fn dry_run_decides_and_writes_nothing() -> Result<()> {
    let server = OvsdbServer::northbound()?;
    let (net, instances) = network(&server, 1)?;
    net.annotate(&instances[0].port, V4, Some("203.0.113.101"))?;
    let before = server.dump()?;
    let mut agent = Agent::builder(server.remote()).args(&["--dry-run"]).start()?;
    agent.wait_for_log("10.57.1.11 will leave as 203.0.113.101")?;
    // It does not prevent another agent from working.
    assert_eq!(server.dump()?, before);
    let _working = Agent::start(server.remote())?;
    wait_for_rows(&server, OWNER, rows(&net, &instances))?;
    agent.wait_for_log("10.57.1.11 leaves as 203.0.113.101")
}

#[test]
fn stopped_agent_leaves_its_rows() -> Result<()> {
    let mut fixture = Fixture::start()?;
    let (net, instances) = network(&fixture.server, 2)?;
    for instance in &instances {
        net.annotate(&instance.port, V4, Some("203.0.113.101"))?;
    }
    fixture.wait_for_rows_of(&net, &instances)?;
    assert!(fixture.agent.stop()?.success());
    let before = fixture.server.dump()?;
    fixture.agent.restart()?;
    fixture.agent.wait_for_log("active: this agent has the lock")?;
    fixture.agent.wait_for_log("synchronised")?;
    sleep(Duration::from_millis(100));
    assert_eq!(fixture.server.dump()?, before, "a restart changes nothing");
    Ok(())
}

#[test]
fn rapidly_changing_intents_end_with_the_last_value() -> Result<()> {
    let fixture = Fixture::start()?;
    let (net, instances) = network(&fixture.server, 8)?;
    for address in ["203.0.113.102", "203.0.113.103"] {
        net.add_forward(ip(address), 443, ip("10.57.1.11"), 443)?;
    }
    scope(|threads| -> Result<()> {
        let writers: Vec<_> = instances
            .iter()
            .map(|instance| {
                let net = &net;
                threads.spawn(move || -> Result<()> {
                    for turn in 0..60 {
                        let value = ["203.0.113.102", "203.0.113.103", "none", "nonsense"][turn % 4];
                        net.annotate(&instance.port, V4, Some(value))?;
                    }
                    net.annotate(&instance.port, V4, Some("203.0.113.101"))
                })
            })
            .collect();
        writers.into_iter().try_for_each(|writer| writer.join().expect("a writer ends"))
    })?;
    fixture.wait_for_rows_of(&net, &instances)?;
    eventually(SOON, "no refusal is pending", || {
        let list = fixture.cli.list_json()?;
        ensure!(list.iter().all(|entry| entry["state"] == "active"), "{list:#?}");
        Ok(true)
    })
}

impl Fixture {
    fn wait_for_rows_of(&self, net: &Net, instances: &[Instance]) -> Result<()> {
        wait_for_rows(&self.server, OWNER, rows(net, instances))?;
        wait_until_settled(&self.cli).context("the rows are there")
    }
}

/// A network with instances and a forward address.
fn network(server: &OvsdbServer, count: u32) -> Result<(Net, Vec<Instance>)> {
    let mut net = Net::builder(1).create(server)?;
    let instances = net.add_instances(count, Addressing::Static)?;
    net.add_forward(ip("203.0.113.101"), 443, ip("10.57.1.11"), 443)?;
    Ok((net, instances))
}

fn rows(net: &Net, instances: &[Instance]) -> Vec<String> {
    let addresses = instances.iter().filter_map(|instance| Some((instance, instance.ipv4?)));
    addresses.map(|(instance, address)| row(net, instance, "203.0.113.101", address)).collect()
}
