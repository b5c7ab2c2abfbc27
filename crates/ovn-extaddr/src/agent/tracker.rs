//! The last reported state of every intent, and the ports to be reported.

use std::sync::Arc;
use std::time::Instant;

use extaddr_core::engine::{Engine, ReconcileKey};
use extaddr_core::intent_stats::IntentStats;
use extaddr_core::resolve::Place;
use foldhash::{HashMap, HashMapExt};

/// Tracks intents from a decision to its report.
pub(super) struct IntentTracker {
    pub(super) stats: IntentStats,
    /// The generation of the decisions.
    generation: u64,
    /// Since when the rows of ports differ from the desired state.
    unsettled: HashMap<Arc<str>, Instant>,
    /// The same for conversions, of which there are few.
    conversions: HashMap<Place, Instant>,
    /// Ports that may have to be reported, possibly with repetitions.
    unreported: Vec<Arc<str>>,
}

impl IntentTracker {
    pub(super) fn new(by_router: bool) -> Self {
        Self {
            stats: IntentStats::new(by_router),
            generation: 0,
            unsettled: HashMap::new(),
            conversions: HashMap::new(),
            unreported: Vec::new(),
        }
    }

    /// Records that ports were decided again: since when their rows differ from the desired state, and that they may
    /// have to be reported.
    pub(super) fn note(&mut self, engine: &Engine, mut decided: Vec<Arc<str>>, now: Instant) {
        if self.generation != engine.generation() {
            self.generation = engine.generation();
            // Ports with decisions are among those decided just now.
            let gone = self.stats.ports().filter(|port| engine.decisions(port).is_empty());
            decided.extend(gone.cloned());
            self.unsettled.retain(|port, _| engine.is_unsettled(port));
        }
        for port in &decided {
            if !engine.is_unsettled(port) {
                if !self.unsettled.is_empty() {
                    self.unsettled.remove(port);
                }
            } else if !self.unsettled.contains_key(port) {
                self.unsettled.insert(Arc::clone(port), now);
            }
        }
        // They are after all ports.
        let conversions = engine.unsettled().iter().rev().map_while(|subject| match subject {
            ReconcileKey::Conversion(place) => Some(*place),
            ReconcileKey::Port(_) => None,
        });
        let before = std::mem::take(&mut self.conversions);
        self.conversions.extend(conversions.map(|place| (place, before.get(&place).copied().unwrap_or(now))));
        self.unreported.append(&mut decided);
    }

    /// Takes the ports that may have to be reported.
    pub(super) fn take_unreported(&mut self) -> Vec<Arc<str>> {
        std::mem::take(&mut self.unreported)
    }

    /// Returns since when the rows of a port differ from the desired state.
    pub(super) fn unsettled_since(&self, port: &Arc<str>) -> Option<Instant> {
        self.unsettled.get(port).copied()
    }

    /// Returns the earliest such time of all ports and conversions.
    pub(super) fn oldest_unsettled(&self) -> Option<Instant> {
        self.unsettled.values().chain(self.conversions.values()).min().copied()
    }
}
