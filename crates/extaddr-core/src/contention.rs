//! Detection of rows that somebody keeps removing. They are restored at once at first, then less and less often, since
//! restoring them only causes load.

use std::collections::{HashMap, VecDeque};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::{Duration, Instant};

use crate::change::RowChange;
use crate::engine::ReconcileKey;

/// The number of restorations after which rows are contested.
const MAX_RESTORES: u32 = 10;

/// The time for which rows must stay until they are not contested any more: longer than the longest wait.
const WINDOW: Duration = Duration::from_secs(120);

/// The wait before contested rows are restored, doubled each time.
const FIRST_WAIT: Duration = Duration::from_secs(1);
const MAX_WAIT: Duration = Duration::from_secs(60);

/// The number of times that the rows of each subject were restored.
#[derive(Debug, Default)]
pub struct ContentionTracker {
    rounds: HashMap<ReconcileKey, Round>,
    /// The subjects written, with the times, the oldest first.
    written: VecDeque<(Instant, ReconcileKey)>,
}

#[derive(Clone, Debug)]
struct Round {
    restores: u32,
    last: Instant,
    /// The rows of the first write of the series, see [`content`].
    contents: Vec<u64>,
}

// ===== impl ContentionTracker =====

impl ContentionTracker {
    /// Records changes that were committed. Rows count as lost only if the same content is written again, with no other
    /// in between.
    pub fn committed(&mut self, subject: &ReconcileKey, changes: &[RowChange], now: Instant) {
        let contents: Vec<_> = changes.iter().filter_map(content).collect();
        if !contents.is_empty() {
            self.note(subject, contents, now);
        } else if changes.iter().any(|change| matches!(change, RowChange::Delete(..))) {
            // Rows that the agent deletes itself are not lost. A VIP that it only puts back is: its row was deleted.
            self.rounds.remove(subject);
        }
    }

    fn note(&mut self, subject: &ReconcileKey, contents: Vec<u64>, now: Instant) {
        match self.rounds.get_mut(subject) {
            Some(round) if contents.iter().any(|content| round.has(*content)) => {
                round.restores += 1;
                round.last = now;
            }
            _ => drop(self.rounds.insert(subject.clone(), Round { restores: 0, last: now, contents })),
        }
        self.written.push_back((now, subject.clone()));
    }

    /// Forgets the subjects whose rows stayed long enough. Returns those of them that were contested.
    pub fn forget_old(&mut self, now: Instant) -> Vec<ReconcileKey> {
        let mut contested = Vec::new();
        while self.written.front().is_some_and(|(at, _)| now >= *at + WINDOW)
            && let Some((at, subject)) = self.written.pop_front()
        {
            if self.rounds.get(&subject).is_some_and(|round| round.last == at) {
                let was_contested = self.is_contested(&subject);
                self.rounds.remove(&subject);
                contested.extend(Some(subject).filter(|_| was_contested));
            }
        }
        if self.rounds.is_empty() {
            // A hundred thousand overrides written at once leave no memory allocated.
            self.rounds.shrink_to_fit();
            self.written.shrink_to_fit();
        }
        contested
    }

    /// Returns whether nothing was written recently.
    pub fn is_empty(&self) -> bool {
        self.rounds.is_empty()
    }

    /// Returns whether somebody keeps removing the rows.
    pub fn is_contested(&self, subject: &ReconcileKey) -> bool {
        self.rounds.get(subject).is_some_and(|round| round.restores >= MAX_RESTORES)
    }

    /// Returns whether the rows wait to be restored.
    pub fn waits(&self, subject: &ReconcileKey, changes: &[RowChange], now: Instant) -> bool {
        self.waiting_round(subject, now)
            .is_some_and(|round| changes.iter().filter_map(content).any(|content| round.has(content)))
    }

    /// Returns the round of a subject whose rows wait to be restored.
    fn waiting_round(&self, subject: &ReconcileKey, now: Instant) -> Option<&Round> {
        self.rounds.get(subject).filter(|round| round.until().is_some_and(|until| now < until))
    }

    /// Returns when waiting rows are to be restored. Some of the times may have passed.
    pub fn deadlines(&self) -> impl Iterator<Item = Instant> {
        self.rounds.values().filter_map(Round::until)
    }

    /// Returns when the first rows cease to be contested.
    pub fn next_expiry(&self) -> Option<Instant> {
        let contested = self.rounds.values().filter(|round| round.until().is_some());
        contested.map(|round| round.last + WINDOW).min()
    }
}

/// Returns a digest of a change that writes a row or removes a VIP, which somebody else may undo.
fn content(change: &RowChange) -> Option<u64> {
    let mut hasher = DefaultHasher::new();
    match change {
        // A drain row that is deleted early is not restored.
        RowChange::Insert(row) if row.is_drain() => return None,
        RowChange::Insert(row) | RowChange::Update(_, row) => row.hash(&mut hasher),
        RowChange::Detach(..) | RowChange::RemoveVip(..) => change.hash(&mut hasher),
        _ => return None,
    }
    Some(hasher.finish())
}

// ===== impl Round =====

impl Round {
    fn has(&self, content: u64) -> bool {
        self.contents.contains(&content)
    }

    /// Returns the time at which the rows may be restored, which may have passed.
    fn until(&self) -> Option<Instant> {
        let excess = self.restores.checked_sub(MAX_RESTORES)?;
        Some(self.last + FIRST_WAIT.saturating_mul(1 << excess.min(16)).min(MAX_WAIT))
    }
}

#[cfg(test)]
mod tests;
