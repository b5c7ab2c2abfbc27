//! A connection to a cluster breaks, and the server can still send the differences.

use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use rustix::process::Signal;

use super::Bench;
use super::cold_start::ASKING;
use super::figure::{Figure, Goal, Series};
use super::ground::withdrawing;
use super::raw::Raw;
use super::subject::{Subject, number};
use crate::cluster::Cluster;
use crate::generate::Estate;

/// Longer than the agent needs to be at rest after a change or a new connection, and longer than a connection must last
/// to count as a success.
const SETTLE: Duration = Duration::from_millis(1500);

/// Changes that the agent misses.
const MISSED: usize = 50;

/// Measures the agent from the moment at which it can notice the interruption until it is in sync again.
pub(super) fn measure(bench: &Bench) -> Result<Vec<Figure>> {
    let estate = Estate::of_ports(bench.ports).asking(ASKING);
    let mut cluster = Cluster::with_file(|file| estate.write(file))?;
    let server = cluster.member(0);
    // Two ways to one server: with a second remote, the agent does not wait before it tries again.
    let remotes = format!("{},{}", server.remote(), server.tcp_remote());
    let agent = Subject::start(&remotes, &["--dry-run"])?;
    let full = number(&agent.wait("synchronised with the database")?.1, "bytes")?;
    agent.wait(" decided ")?;
    // The content of the file is not in the server's history: the first transaction with differences has to happen
    // while the agent is connected.
    Raw::connect(&server.socket())?.transact(&withdrawing(&[estate.member(0, 0)]))?;
    sleep(SETTLE);

    let (mut walls, mut cpus, mut bytes) = (Vec::new(), Vec::new(), Vec::new());
    for round in bench.rounds() {
        bench.say(format_args!("resync, round {round}"));
        // It is stopped while it is cut off and misses changes.
        agent.signal(Signal::STOP)?;
        server.appctl(&["ovsdb-server/reconnect"])?;
        let mut operator = Raw::connect(&server.socket())?;
        for n in 0..MISSED {
            let member = estate.member(n as u32 % estate.networks, (round as u32 - 1) % ASKING);
            operator.transact(&withdrawing(&[member]))?;
        }
        let before = agent.usage()?.cpu;
        let start = Instant::now();
        agent.signal(Signal::CONT)?;
        let (since, line) = agent.wait("synchronised with the database")?;
        walls.push(since - (start - agent.started()));
        cpus.push(agent.usage()?.cpu - before);
        ensure!(line.contains("resumed=true"), "the agent read everything again: {line}");
        bytes.push(number(&line, "bytes")?);
        sleep(SETTLE);
    }
    agent.stop()?;
    Ok(vec![
        Figure::new("resync in a cluster: our CPU", Series::times(cpus)).goal(Goal::Most(0.050)),
        Figure::new("resync in a cluster: time", Series::times(walls)),
        Figure::new("resync in a cluster: bytes read", Series::bytes(bytes))
            .beside("full read", Series::bytes([full]))
            .goal(Goal::Ratio(0.1)),
    ])
}
