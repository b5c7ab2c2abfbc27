//! Measures the agent; `scripts/bench` builds everything and calls this.

use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result};
use clap::Parser;
use ovn_extaddr_tests::bench::{Bench, Figure, table};
use serde_json::{Value, json};

/// Measures the agent beside lower bounds and peers, and prints a table.
#[derive(Debug, Parser)]
#[command(name = "scripts/bench", bin_name = "scripts/bench")]
struct Cli {
    /// Instances in the database
    #[arg(long, default_value_t = 100_000)]
    ports: u32,
    /// How often each is measured; the median counts
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// How many single intents are timed
    #[arg(long, default_value_t = 1000)]
    samples: usize,
    /// How many seconds the agent is watched doing nothing
    #[arg(long, value_name = "SECONDS", default_value_t = 60)]
    idle: u64,
    /// How many times as many ports the measure `linear` has; 0 leaves it out
    #[arg(long, value_name = "FACTOR", default_value_t = 10)]
    scale: u32,
    /// Only this measure; can be given several times
    #[arg(long, value_name = "NAME", value_parser = measure)]
    only: Vec<String>,
    /// Write the figures to this file, in seconds and bytes
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// A Python that has ovs.db.idl, for a peer
    #[arg(long, value_name = "PROGRAM")]
    python: Option<PathBuf>,
}

fn main() -> Result<ExitCode> {
    let cli = Cli::parse();
    let mut bench = Bench::new(cli.ports)?;
    bench.rounds = cli.rounds.max(1);
    bench.samples = cli.samples.max(1);
    bench.idle = Duration::from_secs(cli.idle.max(1));
    bench.scale = cli.scale;
    let program = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/bench/idl.py"));
    bench.python = cli.python.map(|python| (python, program));
    bench.verbose = true;

    let wanted = |name: &&str| match &cli.only[..] {
        [] => *name != "linear" || cli.scale > 0,
        only => only.iter().any(|only| only == name),
    };
    let (mut figures, mut status) = (Vec::new(), ExitCode::SUCCESS);
    for name in Bench::measures().filter(wanted) {
        // Figures that took minutes are printed even if another measure fails.
        match bench.measure(name) {
            Ok(more) => figures.extend(more),
            Err(error) => {
                eprintln!("cannot measure {name}: {error:#}");
                status = ExitCode::FAILURE;
            }
        }
    }
    print!("\n{}", table(&figures));
    if let Some(file) = cli.json {
        let all: Vec<Value> = figures.iter().map(Figure::json).collect();
        let all = json!({"ports": bench.ports, "rounds": bench.rounds, "figures": all});
        fs::write(&file, format!("{all:#}\n")).with_context(|| format!("cannot write {}", file.display()))?;
    }
    Ok(status)
}

/// Refuses the name of an unknown measure before anything is measured.
fn measure(name: &str) -> Result<String, String> {
    let known: Vec<_> = Bench::measures().collect();
    if known.contains(&name) { Ok(name.to_owned()) } else { Err(format!("there are {}", known.join(", "))) }
}
