//! Three central nodes, each with a server and an agent, that are partitioned, and whose agents die.
//!
//! `OVN_EXTADDR_ELECTIONS=12` is the long form, whose table is in `docs/reliability.md`.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{scope, sleep};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use fastrand::Rng;
use ovn_extaddr_tests::lab::Nodes;
use ovn_extaddr_tests::{Addressing, Agent, Instance, Net, eventually};

/// Longer than an election, two probes, a reconnection and a takeover take together.
const TIMEOUT: Duration = Duration::from_secs(120);

const KEY: &str = "ipv4.address.external";
const ADDRESSES: [&str; 2] = ["203.0.113.101", "203.0.113.102"];

#[test]
fn nodes_are_partitioned_and_agents_die_without_lost_rows() -> Result<()> {
    let mut nodes = Nodes::start(3)?;
    let mut net = Net::builder(1).ipv4_only().create(nodes.cluster())?;
    let instances = net.add_instances(10, Addressing::Static)?;
    for address in ADDRESSES {
        net.add_forward(address.parse()?, 443, instances[0].v4()?, 443)?;
    }
    let stop = AtomicBool::new(false);
    let done = scope(|threads| {
        let load = threads.spawn(|| load(&net, &instances, &stop));
        let done = inject_faults(&mut nodes);
        stop.store(true, Ordering::Relaxed);
        load.join().expect("the load ends").and(done)
    });
    done?;

    eventually(TIMEOUT, "the rows are what the ports ask for", || {
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
    let robberies: usize =
        nodes.agents().iter().map(|agent| agent.log().matches("did not take the lock back").count()).sum();
    println!("the lock was taken from a dead agent {robberies} times");
    for agent in nodes.agents() {
        ensure!(agent.daemon().is_running(), "{}", agent.log());
        let log = agent.log();
        ensure!(!log.contains("panic") && !log.contains("contested"), "{log}");
    }
    Ok(())
}

/// Sets and unsets intents until `stop`.
fn load(net: &Net, instances: &[Instance], stop: &AtomicBool) -> Result<()> {
    // Not in turn, or the same states would recur again and again.
    let mut random = Rng::with_seed(1);
    while !stop.load(Ordering::Relaxed) {
        let (instance, address) = (random.usize(..instances.len()), random.usize(..3));
        net.annotate(&instances[instance].port, KEY, ADDRESSES.get(address).copied())?;
        sleep(Duration::from_millis(10));
    }
    Ok(())
}

fn inject_faults(nodes: &mut Nodes) -> Result<()> {
    eventually(TIMEOUT, "an agent commits", || Ok(nodes.agents().iter().any(|agent| commits(agent) > 0)))?;
    for n in 0..3 {
        part(nodes, n, "parted")?;
    }
    // The server's buffer is small for what it has to send an agent that has just connected, and it may not notice that
    // the agent is dead.
    let elections = match std::env::var("OVN_EXTADDR_ELECTIONS") {
        Ok(text) => text.parse().context("OVN_EXTADDR_ELECTIONS is not a number")?,
        Err(_) => 1,
    };
    for _ in 0..elections {
        let (mut leader, mut active) = (0, 0);
        while leader == active {
            leader = nodes.cluster().transfer_leadership()?;
            active = self::active(nodes)?;
        }
        part(nodes, active, "parted after an election")?;
    }
    for signal in ["KILL", "STOP"] {
        let active = active(nodes)?;
        let start = Instant::now();
        nodes.agents()[active].daemon().signal(signal)?;
        wait_for_others(nodes, active)?;
        println!("the active agent gets SIG{signal}: another commits after {:.1?}", start.elapsed());
        if signal == "STOP" {
            nodes.agents()[active].daemon().signal("CONT")?;
        } else {
            nodes.restart(active)?;
        }
    }
    Ok(())
}

/// Partitions a node until the agent of another commits.
fn part(nodes: &mut Nodes, n: usize, how: &str) -> Result<()> {
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
    wait_for_others(nodes, n)?;
    println!("node {n} {how}, {role}: another node's agent commits after {:.1?}", start.elapsed());
    nodes.join(n)?;
    eventually(TIMEOUT, "the node is back", || {
        let status = nodes.cluster().members()[n].cluster_status()?;
        ensure!(!status.contains("Leader: unknown"));
        Ok(true)
    })
}

/// Waits until another agent than that of a node commits.
fn wait_for_others(nodes: &mut Nodes, n: usize) -> Result<()> {
    let before = total(nodes) - commits(&nodes.agents()[n]);
    eventually(TIMEOUT, &format!("the others commit without node {n}"), || {
        Ok(total(nodes) - commits(&nodes.agents()[n]) > before)
    })
    .with_context(|| nodes.agents().iter().map(gist).collect::<String>())
}

/// The end of an agent's log, without the lines for each intent.
fn gist(agent: &Agent) -> String {
    let log = agent.log();
    let lines: Vec<_> = log.lines().filter(|line| !line.contains(" intent ")).collect();
    format!("{}\n\n", lines[lines.len().saturating_sub(20)..].join("\n"))
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
    eventually(TIMEOUT, "an agent is active", || {
        Ok((0..count).find(|&n| commits(&nodes.agents()[n]) > before[n]))
    })
    .context("nobody commits")
}
