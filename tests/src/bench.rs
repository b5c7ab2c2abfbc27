//! Compares the agent with lower bounds and with other clients, in one run.
//!
//! ```text
//! generate          the database, the same whenever the size is
//! Ground            a server with one
//! Tap               what the agent says to a server, word for word: the monitor request, the transactions
//! Raw               a client that only sends bytes and reads bytes: the lower bound
//! Reflex            a client that answers changes as the agent does, and need not think: the lower bound of that
//! Observer          a third party that sees rows come
//! Subject           the agent
//! Peers             clients of others: ovn-nbctl with the IDL in C, the IDL in Python
//! Figure            ours, the other's, the ratio, the goal
//! ```

mod burst;
mod cold_start;
mod figure;
mod ground;
mod idle;
mod latency;
mod linear;
mod observer;
mod page;
mod peers;
mod raw;
mod reflex;
mod restart;
mod resync;
mod sources;
mod subject;
mod tap;
mod usage;
mod verify;

use std::fmt::Arguments;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Result;
use serde_json::Value;

pub use figure::{Figure, Goal, Series, Unit, table};

const MIB: f64 = 1048576.0;

/// A measure: its name and its function.
type Measure = (&'static str, fn(&Bench) -> Result<Vec<Figure>>);

/// All measures.
const MEASURES: [Measure; 10] = [
    ("cold-start", cold_start::measure),
    ("restart", restart::measure),
    ("burst", burst::measure),
    ("latency", latency::measure),
    ("resync", resync::measure),
    ("idle", idle::measure),
    ("sources", sources::measure),
    ("verify", verify::measure),
    ("page", page::measure),
    ("linear", linear::measure),
];

/// How to measure.
#[derive(Debug)]
pub struct Bench {
    /// Instances in the database.
    pub ports: u32,
    /// The number of rounds of each measure; the median counts.
    pub rounds: usize,
    /// The number of single intents that are timed.
    pub samples: usize,
    /// How long the idle agent is observed.
    pub idle: Duration,
    /// The time after which a started agent is assumed to be at rest.
    pub rest: Duration,
    /// The factor of ports for `linear`.
    pub scale: u32,
    /// A Python that has `ovs.db.idl`, and the program that reads a database with it.
    pub python: Option<(PathBuf, PathBuf)>,
    /// Whether to report the progress on standard error.
    pub verbose: bool,
    /// The monitor request of the agent.
    request: Value,
}

impl Bench {
    /// Prepares measurements with this many ports.
    pub fn new(ports: u32) -> Result<Self> {
        let request = ground::Ground::monitor_request()?;
        let (idle, rest) = (Duration::from_secs(60), Duration::from_secs(2));
        Ok(Self {
            ports,
            rounds: 5,
            samples: 1000,
            idle,
            rest,
            scale: 10,
            python: None,
            verbose: false,
            request,
        })
    }

    /// The names of all measures.
    pub fn measures() -> impl Iterator<Item = &'static str> {
        MEASURES.iter().map(|(name, _)| *name)
    }

    /// Executes one of them.
    pub fn measure(&self, name: &str) -> Result<Vec<Figure>> {
        let found = MEASURES.iter().find(|(known, _)| *known == name);
        let (_, measure) = found.ok_or_else(|| {
            anyhow::anyhow!(
                "no measure {name}; there are {}",
                Self::measures().collect::<Vec<_>>().join(", ")
            )
        })?;
        measure(self)
    }

    fn rounds(&self) -> impl Iterator<Item = usize> {
        1..=self.rounds
    }

    fn say(&self, what: Arguments<'_>) {
        if self.verbose {
            eprintln!("{what}");
        }
    }
}
