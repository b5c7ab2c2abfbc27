//! Notices when somebody keeps removing our rows. The first times they are put back at once; then
//! ever less often, for a fight helps nobody and costs everybody.

use std::collections::{HashMap, VecDeque};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::{Duration, Instant};

use crate::change::RowChange;
use crate::engine::ReconcileKey;

/// Rows that are put back this often are contested.
const MAX_RESTORES: u32 = 10;

/// How long rows must stay to be out of the fight: longer than they are ever left alone.
const WINDOW: Duration = Duration::from_secs(120);

/// How long the rows are left alone when they become contested; doubled each time.
const FIRST_WAIT: Duration = Duration::from_secs(1);
const MAX_WAIT: Duration = Duration::from_secs(60);

/// Who put what back how often.
#[derive(Debug, Default)]
pub struct ContentionTracker {
    rounds: HashMap<ReconcileKey, Round>,
    /// What was written when, the oldest first.
    written: VecDeque<(Instant, ReconcileKey)>,
}

#[derive(Clone, Debug)]
struct Round {
    heals: u32,
    last: Instant,
    /// What was written last, see [`content`].
    contents: Vec<u64>,
}

// ===== impl ContentionTracker =====

impl ContentionTracker {
    /// Takes note of changes that were committed. Only what is written once more, with nothing
    /// else asked for meanwhile, was lost.
    pub fn committed(&mut self, subject: &ReconcileKey, changes: &[RowChange], now: Instant) {
        self.note(subject, changes.iter().filter_map(content).collect(), now);
    }

    fn note(&mut self, subject: &ReconcileKey, contents: Vec<u64>, now: Instant) {
        if contents.is_empty() {
            // What we take away ourselves is no loss.
            self.rounds.remove(subject);
            return;
        }
        match self.rounds.get_mut(subject) {
            Some(round) if contents.iter().any(|content| round.has(*content)) => {
                round.heals += 1;
                round.last = now;
            }
            _ => drop(self.rounds.insert(subject.clone(), Round { heals: 0, last: now, contents })),
        }
        self.written.push_back((now, subject.clone()));
    }

    /// Forgets rows that stayed for long enough. Returns those among them that were contested.
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
            // A hundred thousand overrides that were written at once leave nothing behind.
            self.rounds.shrink_to_fit();
            self.written.shrink_to_fit();
        }
        contested
    }

    /// Returns whether nothing was written lately.
    pub fn is_empty(&self) -> bool {
        self.rounds.is_empty()
    }

    /// Returns whether somebody keeps removing the rows.
    pub fn is_contested(&self, subject: &ReconcileKey) -> bool {
        self.rounds.get(subject).is_some_and(|round| round.heals >= MAX_RESTORES)
    }

    /// Returns whether the rows are left alone for now.
    pub fn waits(&self, subject: &ReconcileKey, changes: &[RowChange], now: Instant) -> bool {
        self.rests(subject, now)
            .is_some_and(|round| changes.iter().filter_map(content).any(|content| round.has(content)))
    }

    /// Returns the round of a subject whose rows are left alone for now.
    fn rests(&self, subject: &ReconcileKey, now: Instant) -> Option<&Round> {
        self.rounds.get(subject).filter(|round| round.until().is_some_and(|until| now < until))
    }

    /// Returns when rows that are left alone are to be put back and when they are contested no more, times that are
    /// past among them.
    pub fn deadlines(&self) -> impl Iterator<Item = Instant> {
        let contested = self.rounds.values().filter_map(|round| Some((round.until()?, round.last + WINDOW)));
        contested.flat_map(|(until, over)| [until, over])
    }
}

/// Returns what a change is known by that writes something, so that somebody else can undo it.
fn content(change: &RowChange) -> Option<u64> {
    let mut hasher = DefaultHasher::new();
    match change {
        // A drain row that goes early is no loss that is worth a fight.
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

    /// Until when the rows are left alone, a time that is past perhaps.
    fn until(&self) -> Option<Instant> {
        let excess = self.heals.checked_sub(MAX_RESTORES)?;
        Some(self.last + FIRST_WAIT.saturating_mul(1 << excess.min(16)).min(MAX_WAIT))
    }
}

#[cfg(test)]
mod tests;
