//! A small run of the benchmark, to keep it working, without checking times.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use ovn_extaddr_tests::bench::{Bench, table};

#[test]
fn every_benchmark_yields_figures() -> Result<()> {
    let mut bench = Bench::new(1000)?;
    (bench.rounds, bench.samples, bench.scale) = (1, 10, 2);
    (bench.idle, bench.rest) = (Duration::from_millis(500), Duration::from_millis(100));
    for name in Bench::measures() {
        let figures = bench.measure(name).with_context(|| name.to_owned())?;
        ensure!(!figures.is_empty(), "{name} measures nothing");
        for figure in &figures {
            ensure!(figure.ours.median().is_finite(), "{name}: no value in\n{}", table(&figures));
        }
    }
    Ok(())
}

#[test]
fn unknown_benchmark_is_refused() -> Result<()> {
    ensure!(Bench::new(200)?.measure("speed").is_err());
    Ok(())
}
