//! The queue of subjects to be decided again, at once or at a later time.

use std::collections::BTreeSet;
use std::time::Instant;

use super::reconcile_key::ReconcileKey;

/// The subjects to be decided again.
#[derive(Debug, Default)]
pub(super) struct Queue {
    /// Whether all subjects are to be decided again.
    all: bool,
    /// Ports come before the conversions that they need.
    dirty: BTreeSet<ReconcileKey>,
    due: BTreeSet<(Instant, ReconcileKey)>,
}

impl Queue {
    /// Returns a queue of all subjects.
    pub(super) fn everything() -> Self {
        Self { all: true, ..Self::default() }
    }

    /// Adds a subject.
    pub(super) fn add(&mut self, key: ReconcileKey) {
        self.dirty.insert(key);
    }

    /// Adds subjects.
    pub(super) fn extend(&mut self, keys: impl IntoIterator<Item = ReconcileKey>) {
        self.dirty.extend(keys);
    }

    /// Changes the time at which a subject is decided.
    pub(super) fn schedule(&mut self, key: &ReconcileKey, before: Option<Instant>, after: Option<Instant>) {
        if before != after {
            self.due.extend(after.map(|at| (at, key.clone())));
            if let Some(at) = before {
                self.due.remove(&(at, key.clone()));
            }
        }
    }

    /// Adds the subjects whose time has come.
    pub(super) fn wake(&mut self, now: Instant) {
        while let Some(entry) = self.due.first().filter(|(at, _)| *at <= now).cloned() {
            self.due.remove(&entry);
            self.dirty.insert(entry.1);
        }
    }

    /// Returns the time of the next subject.
    pub(super) fn next_deadline(&self) -> Option<Instant> {
        self.due.first().map(|(at, _)| *at)
    }

    /// Returns whether all subjects are to be decided again, and resets that.
    pub(super) fn take_all(&mut self) -> bool {
        std::mem::take(&mut self.all)
    }

    /// Takes the next subject.
    pub(super) fn pop(&mut self) -> Option<ReconcileKey> {
        self.dirty.pop_first()
    }
}
