//! The metrics, which `docs/metrics.md` describes.

use std::collections::HashSet;
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
use prometheus_client::registry::{Metric, Registry};

use crate::role::Role;

/// One label with a value of a closed set.
type Word = [(&'static str, &'static str); 1];
type Words = [(&'static str, String); 2];
type Named = [(&'static str, String); 1];
type Seconds = Gauge<f64, AtomicU64>;

/// The bounds of latencies, in seconds: from a millisecond, which a change takes on an idle machine, to half a minute.
const LATENCIES: [f64; 14] =
    [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0];

/// All metrics of an agent.
pub(crate) struct Metrics {
    registry: Registry,
    pub(crate) intents: Family<Word, Gauge>,
    pub(crate) reasons: Family<Word, Gauge>,
    pub(crate) router_intents: Family<Words, Gauge>,
    /// The routers in `router_intents`, so that deleted ones can be removed.
    routers: HashSet<Words>,
    pub(crate) unsettled: Gauge,
    pub(crate) oldest_unsettled: Seconds,
    pub(crate) transactions: Family<Word, Counter>,
    pub(crate) changes: Family<Word, Counter>,
    pub(crate) update_to_commit: Histogram,
    pub(crate) decisions: Histogram,
    pub(crate) decided: Counter,
    pub(crate) resyncs: Family<Word, Counter>,
    pub(crate) resync_bytes: Family<Word, Counter>,
    pub(crate) received_bytes: Counter,
    /// How many of the bytes received on the connection are counted.
    counted_bytes: u64,
    pub(crate) disconnects: Counter,
    pub(crate) synced: Gauge,
    pub(crate) synced_time: Seconds,
    pub(crate) source_reached: Family<Named, Gauge>,
    pub(crate) source_instances: Family<Named, Gauge>,
    pub(crate) source_unknown: Family<Named, Gauge>,
    pub(crate) source_requests: Family<Named, Gauge>,
    pub(crate) source_listings: Family<Named, Counter>,
    pub(crate) source_updates: Family<Named, Counter>,
    pub(crate) source_failures: Family<Named, Counter>,
    pub(crate) verified: Family<Word, Gauge>,
    pub(crate) verifications: Family<Word, Counter>,
    verified_time: Seconds,
    role: Family<Word, Gauge>,
    pub(crate) lock_epoch: Gauge,
    pub(crate) takeovers: Counter,
    pub(crate) reloads: Family<Word, Counter>,
    pub(crate) configuration_good: Gauge,
    pub(crate) audit_failures: Counter,
    memory: Gauge,
    started: Instant,
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
        let r = &mut registry;
        let metrics = Self {
            intents: add(r, "intents", "Intents by state", Family::default()),
            reasons: add(r, "intent_reasons", "Intents that are not granted, by reason", Family::default()),
            router_intents: add(
                r,
                "router_intents",
                "Intents by router and state, with metrics-by-router",
                Family::default(),
            ),
            routers: HashSet::new(),
            unsettled: add(
                r,
                "unsettled",
                "Ports and addresses whose rows are not as they should be",
                Gauge::default(),
            ),
            oldest_unsettled: add(
                r,
                "oldest_unsettled_seconds",
                "How long rows have not been as they should be",
                Seconds::default(),
            ),
            transactions: add(r, "transactions", "Transactions by outcome", Family::default()),
            changes: add(r, "row_changes", "Changes that were committed, by action", Family::default()),
            update_to_commit: add(
                r,
                "update_to_commit_seconds",
                "From an update that asks for a change of rows to its commit",
                Histogram::new(LATENCIES),
            ),
            decisions: add(
                r,
                "decision_seconds",
                "How long it took to decide on what an update changed",
                Histogram::new(LATENCIES),
            ),
            decided: add(r, "decided_ports", "Ports that were decided again", Counter::default()),
            resyncs: add(r, "resyncs", "How the copy of the database was synchronised", Family::default()),
            resync_bytes: add(r, "resync_bytes", "What that took", Family::default()),
            received_bytes: add(
                r,
                "received_bytes",
                "Bytes received from database servers",
                Counter::default(),
            ),
            counted_bytes: 0,
            disconnects: add(
                r,
                "disconnects",
                "Connections that broke or could not be made",
                Counter::default(),
            ),
            synced: add(
                r,
                "database_synced",
                "Whether the copy of the database is synchronised",
                Gauge::default(),
            ),
            synced_time: add(
                r,
                "database_synced_timestamp_seconds",
                "When the copy of the database was last known to be synchronised",
                Seconds::default(),
            ),
            source_reached: add(r, "source_reached", "Whether a source is synchronised", Family::default()),
            source_instances: add(r, "source_instances", "Instances of a source", Family::default()),
            source_unknown: add(
                r,
                "source_unknown_instances",
                "Instances whose intents a source has never reported",
                Family::default(),
            ),
            source_requests: add(r, "source_requests", "NICs with an intent in a source", Family::default()),
            source_listings: add(r, "source_listings", "Listings of all instances", Family::default()),
            source_updates: add(r, "source_updates", "Instances that were read again", Family::default()),
            source_failures: add(
                r,
                "source_failures",
                "Attempts to read a source that failed",
                Family::default(),
            ),
            verified: add(
                r,
                "verified_overrides",
                "Overrides by what was found of them in the Southbound database, with verify-interval",
                Family::default(),
            ),
            verifications: add(
                r,
                "verifications",
                "Verifications in the Southbound database, by outcome",
                Family::default(),
            ),
            verified_time: add(
                r,
                "verified_timestamp_seconds",
                "When overrides were last looked at in the Southbound database",
                Seconds::default(),
            ),
            role: add(r, "role", "1 for the role that the agent has", Family::default()),
            lock_epoch: add(r, "lock_epoch", "How many times the agent got the lock", Gauge::default()),
            takeovers: add(
                r,
                "takeovers",
                "How many times this agent took the lock from a dead one",
                Counter::default(),
            ),
            reloads: add(r, "reloads", "Configuration reloads, by outcome", Family::default()),
            configuration_good: add(
                r,
                "configuration_good",
                "Whether the configuration files are those in force",
                Gauge::default(),
            ),
            audit_failures: add(
                r,
                "audit_failures",
                "Lines that could not be written to the audit file",
                Counter::default(),
            ),
            memory: add(r, "resident_memory_bytes", "Memory in use", Gauge::default()),
            registry,
            started: Instant::now(),
        };
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
    pub(crate) fn set_router_intents(&mut self, counts: impl Iterator<Item = (String, State, usize)>) {
        let mut old = std::mem::take(&mut self.routers);
        for (router, state, count) in counts {
            let labels = [("router", router), ("state", state.name().to_owned())];
            self.router_intents.get_or_create(&labels).set(number(count));
            old.remove(&labels);
            self.routers.insert(labels);
        }
        for gone in old {
            self.router_intents.remove(&gone);
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

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Metrics").finish_non_exhaustive()
    }
}

fn add<M: Metric + Clone>(registry: &mut Registry, name: &str, help: &str, metric: M) -> M {
    registry.register(name, help, metric.clone());
    metric
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
