//! Three central nodes, each with a server and an agent, that are parted, and whose agents die.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{scope, sleep};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use ovn_extaddr_tests::lab::Nodes;
use ovn_extaddr_tests::{Addressing, Agent, Instance, Net, eventually};

/// Longer than an election, two probes and a reconnection take together.
const PATIENCE: Duration = Duration::from_secs(60);

const KEY: &str = "ipv4.address.external";
const ADDRESSES: [&str; 2] = ["203.0.113.101", "203.0.113.102"];

#[test]
fn nodes_are_parted_and_agents_die() -> Result<()> {
    let mut nodes = Nodes::start(3)?;
    let mut net = Net::builder(1).ipv4_only().create(nodes.cluster())?;
    let instances = net.add_instances(10, Addressing::Static)?;
    for address in ADDRESSES {
        net.add_forward(address.parse()?, 443, instances[0].v4()?, 443)?;
    }
    let stop = AtomicBool::new(false);
    let done = scope(|threads| {
        let load = threads.spawn(|| load(&net, &instances, &stop));
        let done = suffer(&mut nodes);
        stop.store(true, Ordering::Relaxed);
        load.join().expect("the load ends").and(done)
    });
    done?;

    eventually(PATIENCE, "the rows are what the ports ask for", || {
        let mut wanted = BTreeSet::new();
        for instance in &instances {
            let asked = net.external_ids(&instance.port)?.remove(KEY);
            wanted.extend(
                asked.zip(instance.ipv4).map(|(external, internal)| format!("{internal} {external}")),
            );
        }
        let ours: Vec<_> = net.nats()?.into_iter().filter(|nat| !nat.external_ids.is_empty()).collect();
        let rows: BTreeSet<_> =
            ours.iter().map(|nat| format!("{} {}", nat.logical_ip, nat.external_ip)).collect();
        ensure!(rows == wanted && rows.len() == ours.len(), "they are {ours:#?} instead of {wanted:#?}");
        Ok(true)
    })?;
    nodes.cluster().check()?;
    for agent in nodes.agents() {
        ensure!(agent.daemon().is_running(), "{}", agent.log());
        let log = agent.log();
        ensure!(!log.contains("panic") && !log.contains("contested"), "{log}");
    }
    Ok(())
}

/// Sets and unsets intents until told to stop.
fn load(net: &Net, instances: &[Instance], stop: &AtomicBool) -> Result<()> {
    let mut turn = 0;
    while !stop.load(Ordering::Relaxed) {
        turn += 1;
        let value = ADDRESSES.get(turn % 3).copied();
        net.annotate(&instances[turn % instances.len()].port, KEY, value)?;
        sleep(Duration::from_millis(10));
    }
    Ok(())
}

fn suffer(nodes: &mut Nodes) -> Result<()> {
    eventually(PATIENCE, "an agent commits", || Ok(nodes.agents().iter().any(|agent| commits(agent) > 0)))?;
    for n in 0..3 {
        let active = active(nodes)?;
        let leader = nodes.cluster().leader()?;
        let start = Instant::now();
        nodes.part(n)?;
        // Its server may go on as a leader for an election's time, and its agent with it.
        let role = match n {
            _ if n == leader => "the leader's",
            _ if n == active => "the active agent's",
            _ => "another",
        };
        let before = total(nodes) - commits(&nodes.agents()[n]);
        eventually(PATIENCE, &format!("the others commit without node {n}"), || {
            Ok(total(nodes) - commits(&nodes.agents()[n]) > before)
        })?;
        println!("node {n} parted, {role}: another node's agent commits after {:.1?}", start.elapsed());
        nodes.join(n)?;
        eventually(PATIENCE, "the node is back", || {
            let status = nodes.cluster().members()[n].cluster_status()?;
            ensure!(!status.contains("Leader: unknown"));
            Ok(true)
        })?;
    }
    for signal in ["KILL", "STOP"] {
        let active = active(nodes)?;
        let start = Instant::now();
        nodes.agents()[active].daemon().signal(signal)?;
        let before = total(nodes) - commits(&nodes.agents()[active]);
        eventually(PATIENCE, &format!("another agent commits after SIG{signal}"), || {
            Ok(total(nodes) - commits(&nodes.agents()[active]) > before)
        })?;
        println!("the active agent gets SIG{signal}: another commits after {:.1?}", start.elapsed());
        if signal == "STOP" {
            nodes.agents()[active].daemon().signal("CONT")?;
        } else {
            nodes.restart(active)?;
        }
    }
    Ok(())
}

fn commits(agent: &Agent) -> usize {
    agent.log().matches(" committed ").count()
}

fn total(nodes: &mut Nodes) -> usize {
    nodes.agents().iter().map(commits).sum()
}

/// Waits until an agent is active, and returns which.
fn active(nodes: &mut Nodes) -> Result<usize> {
    let count = nodes.agents().len();
    let before: Vec<_> = nodes.agents().iter().map(commits).collect();
    eventually(PATIENCE, "an agent is active", || {
        Ok((0..count).find(|&n| commits(&nodes.agents()[n]) > before[n]))
    })
    .context("nobody commits")
}
