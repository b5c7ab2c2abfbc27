//! Many times as many ports.

use anyhow::Result;

use super::Bench;
use super::cold_start::{ASKING, Runs};
use super::figure::{Figure, Goal, Series};
use super::ground::Ground;
use crate::generate::Estate;

/// Measures cold starts at both sizes, as cost per port.
pub(super) fn measure(bench: &Bench) -> Result<Vec<Figure>> {
    let (base, _) = costs(bench, bench.ports)?;
    let (large, raw) = costs(bench, bench.ports * bench.scale)?;
    let share = 1.0 / f64::from(bench.scale);
    let measure = |what: &str| format!("{} ports, {what} / {}", bench.ports * bench.scale, bench.scale);
    let beside = || format!("{} ports", bench.ports);
    Ok(vec![
        Figure::new(measure("time"), large.wall().times_over(share))
            .beside(beside(), base.wall())
            .goal(Goal::Ratio(1.3)),
        Figure::new(measure("CPU"), large.cpu().times_over(share))
            .beside(beside(), base.cpu())
            .goal(Goal::Ratio(1.3)),
        Figure::new(measure("peak memory"), large.peak().times_over(share))
            .beside(beside(), base.peak())
            .goal(Goal::Ratio(1.3)),
        Figure::new(measure("time, all of it: x 1"), large.wall()).beside("raw read", raw),
    ])
}

fn costs(bench: &Bench, ports: u32) -> Result<(Runs, Series)> {
    bench.say(format_args!("{ports} ports"));
    let ground = Ground::open(Estate::of_ports(ports).asking(ASKING))?;
    let (mut runs, mut raw) = (Runs::default(), Vec::new());
    bench.snapshot(&ground)?;
    for round in bench.rounds() {
        bench.say(format_args!("{ports} ports, round {round}"));
        raw.push(bench.snapshot(&ground)?.0);
        runs.agent(bench, &ground, &["--dry-run"])?;
    }
    Ok((runs, Series::times(raw)))
}
