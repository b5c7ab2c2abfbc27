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
use tracing::field::display;
use tracing::warn;

/// The most rows of a transaction that are logged one by one; of the others only the number is logged.
const MAX_NAMED: usize = 5;

/// A row that was lost although its intent did not change.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Loss {
    port: Arc<str>,
    family: Family,
    router: String,
    external: IpAddr,
    /// The row that was restored.
    restored: String,
    /// Its content before; `None` if it was deleted. It is the same where other columns were changed.
    found: Option<String>,
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
            Loss {
                port: Arc::clone(port),
                family: Family::from(row.external),
                router: planned.router,
                external: row.external,
                restored: planned.to.map(|content| content.to_string()).unwrap_or_default(),
                found: planned.from.map(|content| content.to_string()),
            }
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
pub(super) fn log(losses: &[Loss]) {
    for Loss { port, family, router, external, restored, found } in losses.iter().take(MAX_NAMED) {
        match found {
            None => {
                warn!(%port, %family, %router, %external, row = %restored, "row restored: it had been deleted")
            }
            Some(found) => {
                let found = Some(found).filter(|found| *found != restored).map(display);
                warn!(%port, %family, %router, %external, row = %restored, found, "row restored: it had been modified");
            }
        }
    }
    if let Some(more) = losses.len().checked_sub(MAX_NAMED).filter(|more| *more > 0) {
        warn!(more, "more rows restored: they had been deleted or modified");
    }
}
