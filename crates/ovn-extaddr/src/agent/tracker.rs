//! What was said of every intent, and what there is to say.

use std::sync::Arc;
use std::time::Instant;

use extaddr_core::engine::Engine;
use extaddr_core::intent_stats::IntentStats;
use foldhash::{HashMap, HashMapExt};

/// Keeps track of intents from a decision to what is told of it.
pub(super) struct IntentTracker {
    pub(super) stats: IntentStats,
    /// By which generation of decisions.
    generation: u64,
    /// Since when the rows of ports are not as they should be.
    unsettled: HashMap<Arc<str>, Instant>,
    /// Ports of which there may be something to tell, some more than once.
    untold: Vec<Arc<str>>,
}

impl IntentTracker {
    pub(super) fn new(by_router: bool) -> Self {
        Self {
            stats: IntentStats::new(by_router),
            generation: 0,
            unsettled: HashMap::new(),
            untold: Vec::new(),
        }
    }

    /// Takes note that ports were decided again: since when their rows are not as they should be, and that there may be
    /// something to tell of them.
    pub(super) fn note(&mut self, engine: &Engine, mut decided: Vec<Arc<str>>, now: Instant) {
        if self.generation != engine.generation() {
            self.generation = engine.generation();
            // What has decisions was decided just now.
            let gone = self.stats.ports().filter(|port| engine.decisions(port).is_empty());
            decided.extend(gone.cloned());
            self.unsettled.clear();
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
        self.untold.append(&mut decided);
    }

    /// Takes the ports of which there may be something to tell.
    pub(super) fn take_untold(&mut self) -> Vec<Arc<str>> {
        std::mem::take(&mut self.untold)
    }

    /// Returns since when the rows of a port are not as they should be.
    pub(super) fn unsettled_since(&self, port: &Arc<str>) -> Option<Instant> {
        self.unsettled.get(port).copied()
    }

    /// Returns the same of the port of which it is longest.
    pub(super) fn oldest_unsettled(&self) -> Option<Instant> {
        self.unsettled.values().min().copied()
    }
}
