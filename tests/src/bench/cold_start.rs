//! From nothing to the first complete plan.

use std::thread::sleep;
use std::time::Duration;

use anyhow::{Result, ensure};

use super::figure::{Figure, Goal, Series};
use super::ground::Ground;
use super::peers::Peers;
use super::raw::Raw;
use super::subject::{Subject, number};
use super::usage::Usage;
use super::{Bench, MIB};
use crate::generate::Estate;

/// Instances of each network with intents: a tenth of 200.
pub(super) const ASKING: u32 = 20;

/// The time and the resources of every round.
#[derive(Debug, Default)]
pub(super) struct Runs {
    pub(super) walls: Vec<Duration>,
    pub(super) usages: Vec<Usage>,
    /// Memory some time later.
    pub(super) steady: Vec<u64>,
}

/// Compares the agent with a raw read, the IDL in C and that in Python.
pub(super) fn measure(bench: &Bench) -> Result<Vec<Figure>> {
    let ground = Ground::open(Estate::of_ports(bench.ports).asking(ASKING))?;
    let peers = Peers::new(&bench.request, bench.python.as_ref())?;
    let dir = ground.server.dir().to_path_buf();
    let (mut raw, mut ours, mut c, mut python) =
        (Vec::new(), Runs::default(), Runs::default(), Runs::default());
    let (_, bytes) = bench.snapshot(&ground)?;
    for round in bench.rounds() {
        bench.say(format_args!("cold start, round {round}"));
        raw.push(bench.snapshot(&ground)?.0);
        ours.agent(bench, &ground, &["--dry-run"])?;
        c.push(peers.nbctl(&ground.remote(), &dir)?);
        if let Some(measured) = peers.python(&ground.remote(), &dir) {
            python.push(measured?);
        }
        ground.calm()?;
    }
    bench.say(format_args!("the monitor reply is {:.1} MB", bytes as f64 / 1e6));

    let mut figures = vec![
        Figure::new("cold start to the first complete plan", ours.wall())
            .beside("raw read", Series::times(raw))
            .goal(Goal::Ratio(1.10)),
        Figure::new("cold start: CPU", ours.cpu()).goal(Goal::Most(0.40)),
        Figure::new("cold start: CPU", ours.cpu()).beside("C IDL", c.cpu()).goal(Goal::Ratio(1.0 / 3.0)),
        Figure::new("cold start: peak memory", ours.peak()).goal(Goal::Most(64.0 * MIB)),
        Figure::new("cold start: steady memory", Series::bytes(ours.steady.clone()))
            .goal(Goal::Most(48.0 * MIB)),
        Figure::new("cold start: time", ours.wall()).beside("C IDL", c.wall()),
        Figure::new("cold start: peak memory", ours.peak()).beside("C IDL", c.peak()),
    ];
    if !python.walls.is_empty() {
        figures.extend([
            Figure::new("cold start: time", ours.wall()).beside("Python IDL", python.wall()),
            Figure::new("cold start: CPU", ours.cpu()).beside("Python IDL", python.cpu()),
            Figure::new("cold start: peak memory", ours.peak()).beside("Python IDL", python.peak()),
        ]);
    }
    Ok(figures)
}

impl Runs {
    /// Starts an agent, waits until it has decided on all ports with intents, and ends it. Returns the number of rows
    /// that it would change.
    pub(super) fn agent(&mut self, bench: &Bench, ground: &Ground, arguments: &[&str]) -> Result<u64> {
        ground.calm()?;
        let subject = Subject::start(&ground.remote(), arguments)?;
        let (wall, line) = subject.wait(" decided ")?;
        let usage = subject.usage()?;
        let (intents, decided) = (ground.estate.intents(), number(&line, "intents")?);
        ensure!(decided == u64::from(intents), "{intents} instances ask, and the agent decided on {decided}");
        sleep(bench.rest);
        self.steady.push(subject.usage()?.resident);
        subject.stop()?;
        ground.calm()?;
        self.push((wall, usage));
        number(&line, "to_change")
    }

    fn push(&mut self, (wall, usage): (Duration, Usage)) {
        self.walls.push(wall);
        self.usages.push(usage);
    }

    pub(super) fn wall(&self) -> Series {
        Series::times(self.walls.iter().copied())
    }

    pub(super) fn cpu(&self) -> Series {
        Series::times(self.usages.iter().map(|usage| usage.cpu))
    }

    pub(super) fn peak(&self) -> Series {
        Series::bytes(self.usages.iter().map(|usage| usage.peak))
    }
}

impl Bench {
    /// Reads the same as the agent, without processing it.
    pub(super) fn snapshot(&self, ground: &Ground) -> Result<(Duration, u64)> {
        ground.calm()?;
        Raw::snapshot(&ground.socket(), self.request.to_string().as_bytes())
    }
}
