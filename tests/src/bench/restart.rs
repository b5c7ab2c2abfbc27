//! The time until a restarted agent knows that nothing is to be done, with overrides in place everywhere.

use anyhow::{Result, ensure};

use super::Bench;
use super::cold_start::Runs;
use super::figure::{Figure, Goal, Series};
use super::ground::Ground;
use super::observer::Observer;
use super::subject::Subject;
use crate::generate::Estate;

/// Compares the agent with a raw read.
pub(super) fn measure(bench: &Bench) -> Result<Vec<Figure>> {
    let estate = Estate::of_ports(bench.ports);
    let ground = Ground::open(estate.asking(estate.instances))?;
    bench.say(format_args!("an agent writes {} overrides", ground.estate.intents()));
    let mut observer = Observer::open(&ground.socket())?;
    let agent = Subject::in_charge(&ground.remote())?;
    observer.inserted(ground.estate.intents() as usize)?;
    agent.stop()?;
    drop(observer);

    let (mut raw, mut ours) = (Vec::new(), Runs::default());
    bench.snapshot(&ground)?;
    for round in bench.rounds() {
        bench.say(format_args!("restart, round {round}"));
        raw.push(bench.snapshot(&ground)?.0);
        let left = ours.agent(bench, &ground, &[])?;
        ensure!(left == 0, "all overrides are in place, but the agent would change {left}");
    }
    Ok(vec![
        Figure::new("restart with overrides everywhere", ours.wall())
            .beside("raw read", Series::times(raw))
            .goal(Goal::Ratio(1.15)),
        Figure::new("restart: CPU", ours.cpu()),
        Figure::new("restart: peak memory", ours.peak()),
        Figure::new("restart: steady memory", Series::bytes(ours.steady)),
    ])
}
