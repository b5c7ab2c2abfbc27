//! The metrics, which `docs/metrics.md` describes.

use std::fmt;
use std::fs;
use std::sync::atomic::AtomicU64;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use extaddr_core::apply::TransactionOutcome;
use extaddr_core::difference::Action;
use extaddr_core::state::State;
use extaddr_core::verify::Outcome;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::Registry;

use crate::role::Role;

/// One label with a value of a closed set.
type Word = [(&'static str, &'static str); 1];
type Words = [(&'static str, String); 2];
type Named = [(&'static str, String); 1];
type Seconds = Gauge<f64, AtomicU64>;

/// The bounds of latencies, in seconds: from a millisecond, which a change takes on an idle machine, to half a minute.
const LATENCIES: [f64; 14] =
    [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0];

/// Makes [`Metrics`] from one row for each metric: field, type, initial value unless it is the default, name, help.
macro_rules! metrics {
    (@initial $type:ty) => { <$type>::default() };
    (@initial $type:ty, $initial:expr) => { $initial };
    ($($field:ident: $type:ty $(= $initial:expr)?, $name:literal, $help:literal;)*) => {
        /// All metrics of an agent.
        pub(crate) struct Metrics {
            registry: Registry,
            /// How many of the bytes received on the connection are counted.
            counted_bytes: u64,
            started: Instant,
            $(pub(crate) $field: $type,)*
        }

        impl Metrics {
            /// Registers the metrics, in the order of the exposition.
            fn register(mut registry: Registry) -> Self {
                $(
                    let $field: $type = metrics!(@initial $type $(, $initial)?);
                    registry.register($name, $help, $field.clone());
                )*
                Self { registry, counted_bytes: 0, started: Instant::now(), $($field,)* }
            }
        }
    };
}

metrics! {
    intents: Family<Word, Gauge>, "intents", "Intents by state";
    reasons: Family<Word, Gauge>, "intent_reasons", "Intents that are not granted, by reason";
    router_intents: Family<Words, Gauge>, "router_intents",
        "Intents by router and state, with metrics-by-router";
    unsettled: Gauge, "unsettled", "Ports and addresses whose rows are not as they should be";
    oldest_unsettled: Seconds, "oldest_unsettled_seconds", "How long rows have not been as they should be";
    transactions: Family<Word, Counter>, "transactions", "Transactions by outcome";
    changes: Family<Word, Counter>, "row_changes", "Changes that were committed, by action";
    update_to_commit: Histogram = Histogram::new(LATENCIES), "update_to_commit_seconds",
        "From an update that asks for a change of rows to its commit";
    decisions: Histogram = Histogram::new(LATENCIES), "decision_seconds",
        "How long it took to decide on what an update changed";
    decided: Counter, "decided_ports", "Ports that were decided again";
    resyncs: Family<Word, Counter>, "resyncs", "How the copy of the database was synchronised";
    resync_bytes: Family<Word, Counter>, "resync_bytes", "What that took";
    received_bytes: Counter, "received_bytes", "Bytes received from database servers";
    disconnects: Counter, "disconnects", "Connections that broke or could not be made";
    synced: Gauge, "database_synced", "Whether the copy of the database is synchronised";
    synced_time: Seconds, "database_synced_timestamp_seconds",
        "When the copy of the database was last known to be synchronised";
    source_reached: Family<Named, Gauge>, "source_reached", "Whether a source is synchronised";
    source_instances: Family<Named, Gauge>, "source_instances", "Instances of a source";
    source_unknown: Family<Named, Gauge>, "source_unknown_instances",
        "Instances whose intents a source has never reported";
    source_requests: Family<Named, Gauge>, "source_requests", "NICs with an intent in a source";
    source_listings: Family<Named, Counter>, "source_listings", "Listings of all instances";
    source_updates: Family<Named, Counter>, "source_updates", "Instances that were read again";
    source_failures: Family<Named, Counter>, "source_failures", "Attempts to read a source that failed";
    verified: Family<Word, Gauge>, "verified_overrides",
        "Overrides by what was found of them in the Southbound database, with verify-interval";
    verifications: Family<Word, Counter>, "verifications",
        "Verifications in the Southbound database, by outcome";
    verified_time: Seconds, "verified_timestamp_seconds",
        "When overrides were last looked at in the Southbound database";
    role: Family<Word, Gauge>, "role", "1 for the role that the agent has";
    lock_epoch: Gauge, "lock_epoch", "How many times the agent got the lock";
    takeovers: Counter, "takeovers", "How many times this agent took the lock from a dead one";
    reloads: Family<Word, Counter>, "reloads", "Configuration reloads, by outcome";
    configuration_good: Gauge, "configuration_good", "Whether the configuration files are those in force";
    audit_failures: Counter, "audit_failures", "Failures to write to the audit file, or to open it again";
    memory: Gauge, "resident_memory_bytes", "Memory in use";
}

// ===== impl Metrics =====

impl Metrics {
    pub(crate) fn new() -> Self {
        let mut registry = Registry::with_prefix("ovn_extaddr");
        let version = vec![("version", env!("CARGO_PKG_VERSION"))];
        registry.register("build", "The version", Info::new(version));
        let start: Seconds = Gauge::default();
        start.set(unix_time());
        registry.register("start_time_seconds", "When the agent started", start);
        let metrics = Self::register(registry);
        metrics.begin();
        metrics
    }

    /// Creates the metrics with values of closed sets at the start, so that an alert can distinguish zero from unknown.
    fn begin(&self) {
        for state in State::ALL {
            drop(self.intents.get_or_create(&[("state", state.name())]));
        }
        for outcome in ["committed", "refused", "unknown"] {
            drop(self.transactions.get_or_create(&[("outcome", outcome)]));
        }
        for action in Action::ALL {
            drop(self.changes.get_or_create(&[("action", action.name())]));
        }
        for kind in ["snapshot", "differences"] {
            drop(self.resyncs.get_or_create(&[("kind", kind)]));
            drop(self.resync_bytes.get_or_create(&[("kind", kind)]));
        }
        for outcome in ["taken", "refused"] {
            drop(self.reloads.get_or_create(&[("outcome", outcome)]));
        }
        for outcome in Outcome::ALL {
            drop(self.verified.get_or_create(&[("outcome", outcome.name())]));
        }
        for outcome in ["done", "failed"] {
            drop(self.verifications.get_or_create(&[("outcome", outcome)]));
        }
        self.configuration_good.set(1);
        self.set_role(Role::Starting);
    }

    pub(crate) fn set_role(&self, role: Role) {
        for other in Role::ALL {
            self.role.get_or_create(&[("role", other.name())]).set(i64::from(other == role));
        }
    }

    pub(crate) fn concluded(&self, outcome: &TransactionOutcome) {
        let outcome = match outcome {
            TransactionOutcome::Committed => "committed",
            TransactionOutcome::Refused(_) => "refused",
            TransactionOutcome::Unknown => "unknown",
        };
        self.transactions.get_or_create(&[("outcome", outcome)]).inc();
    }

    pub(crate) fn set_intents(&self, counts: impl Iterator<Item = (State, usize)>) {
        for (state, count) in counts {
            self.intents.get_or_create(&[("state", state.name())]).set(number(count));
        }
    }

    /// Sets the counts of all routers; a router that is not named is removed.
    pub(crate) fn set_router_intents(&self, counts: impl Iterator<Item = (String, State, usize)>) {
        self.router_intents.clear();
        for (router, state, count) in counts {
            let labels = [("router", router), ("state", state.name().to_owned())];
            // Several routers may have one name.
            self.router_intents.get_or_create(&labels).inc_by(number(count));
        }
    }

    /// Removes the metrics of the former sources.
    pub(crate) fn forget_sources(&self) {
        for gauges in
            [&self.source_reached, &self.source_instances, &self.source_unknown, &self.source_requests]
        {
            gauges.clear();
        }
        for counters in [&self.source_listings, &self.source_updates, &self.source_failures] {
            counters.clear();
        }
    }

    /// Records a new connection, on which nothing has been received.
    pub(crate) fn connected(&mut self) {
        self.counted_bytes = 0;
    }

    /// Records how many bytes were received on the connection. Those received after the last call are not counted.
    pub(crate) fn count_received(&mut self, bytes: u64) {
        self.received_bytes.inc_by(bytes.saturating_sub(self.counted_bytes));
        self.counted_bytes = bytes;
    }

    /// Records that the copy of the database is in sync, or was until now.
    pub(crate) fn seen_synced(&self) {
        self.synced_time.set(unix_time());
    }

    /// Records that overrides were verified.
    pub(crate) fn seen_verified(&self) {
        self.verified_time.set(unix_time());
    }

    pub(crate) fn uptime(&self) -> Duration {
        self.started.elapsed()
    }

    /// Renders all in the OpenMetrics text format.
    pub(crate) fn render(&self) -> Result<String, fmt::Error> {
        if let Some(memory) = resident_memory() {
            self.memory.set(number(memory));
        }
        let mut text = String::new();
        encode(&mut text, &self.registry)?;
        Ok(text)
    }
}

/// Converts a count to the number of a gauge, which no count exceeds.
pub(crate) fn number(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

/// Returns the number of bytes of memory that the process uses, if the kernel reports it.
pub(crate) fn resident_memory() -> Option<usize> {
    let pages: usize = fs::read_to_string("/proc/self/statm").ok()?.split(' ').nth(1)?.parse().ok()?;
    Some(pages * rustix::param::page_size())
}

fn unix_time() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64()
}
