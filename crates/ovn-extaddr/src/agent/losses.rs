//! Our own rows that somebody else removed or changed, and that are restored: which, where and why, for the log.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use extaddr_core::change::RowChange;
use extaddr_core::difference::planned_change;
use extaddr_core::engine::{Engine, ReconcileKey};
use extaddr_core::intent_stats::IntentStats;
use extaddr_core::report::IntentStatus;
use extaddr_core::state::State;
use ovn_model::{Family, Store};
use tracing::warn;

/// The most rows of a transaction that are logged one by one; of the others only the number is logged.
const MAX_NAMED: usize = 5;

/// A row that was lost although its intent did not change.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Loss {
    port: Arc<str>,
    family: Family,
    router: String,
    address: IpAddr,
    /// What was done, and why.
    message: String,
}

/// Returns the overrides among the changes whose last reported state was active.
pub(super) fn find(
    store: &Store,
    engine: &Engine,
    intent_stats: &IntentStats,
    subjects: &BTreeMap<ReconcileKey, Vec<RowChange>>,
) -> Vec<Loss> {
    let of_ports = subjects.iter().filter_map(|(subject, changes)| match subject {
        ReconcileKey::Port(port) => Some((subject, port, changes)),
        ReconcileKey::Conversion(_) => None,
    });
    let losses = of_ports.flat_map(|(subject, port, changes)| {
        let rows = changes.iter().filter_map(|change| Some((change, change.row()?)));
        let lost = rows
            .filter(move |(_, row)| !row.is_drain() && was_there(engine, intent_stats, port, row.external));
        lost.map(move |(change, row)| {
            let planned = planned_change(store, engine, subject, change);
            let to = planned.to.map(|content| content.to_string()).unwrap_or_default();
            let message = match planned.from.map(|content| content.to_string()) {
                None => format!("put back {to} on {}, which somebody else had removed", planned.router),
                Some(from) if from == to => {
                    format!("put {to} on {} right, which somebody else had changed", planned.router)
                }
                Some(from) => {
                    format!("put back {to} on {}, of which somebody else had made {from}", planned.router)
                }
            };
            let family = Family::from(row.external);
            Loss { port: Arc::clone(port), family, router: planned.router, address: row.external, message }
        })
    });
    losses.collect()
}

/// Whether the intent for the address was fulfilled and has not changed.
fn was_there(engine: &Engine, intent_stats: &IntentStats, port: &Arc<str>, external: IpAddr) -> bool {
    let mut decisions = engine.decisions(port).iter();
    decisions.any(|decision| {
        let status = IntentStatus {
            family: decision.family,
            state: State::Active,
            reason: None,
            router: decision.router,
            external: decision.external,
            internal: decision.internal.clone(),
        };
        decision.external == Some(external) && intent_stats.has(port, &status)
    })
}

/// Logs them.
pub(super) fn say(losses: &[Loss]) {
    for Loss { port, family, router, address, message } in losses.iter().take(MAX_NAMED) {
        let family = family.to_string();
        warn!(%port, family, router, %address, "{port} {family}: {message}");
    }
    if let Some(more) = losses.len().checked_sub(MAX_NAMED).filter(|more| *more > 0) {
        warn!(more, "{more} more rows were put back, which somebody else had removed or changed");
    }
}
