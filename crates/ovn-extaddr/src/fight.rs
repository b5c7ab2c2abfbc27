//! Notices when somebody keeps removing our rows. The first times they are put back at once; then
//! ever less often, for a fight helps nobody and costs everybody.

use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};

use crate::engine::Subject;
use crate::plan::RowChange;

/// Rows that are put back this often are contested.
const PATIENCE: u32 = 10;

/// How long rows must stay to be out of the fight: longer than they are ever left alone.
const WINDOW: Duration = Duration::from_secs(120);

/// How long the rows are left alone when they become contested; doubled each time.
const FIRST_WAIT: Duration = Duration::from_secs(1);
const LONGEST_WAIT: Duration = Duration::from_secs(60);

/// Who put what back how often.
#[derive(Debug, Default)]
pub struct Fights {
    rounds: HashMap<Subject, Round>,
    /// What was written when, the oldest first.
    written: VecDeque<(Instant, Subject)>,
}

#[derive(Clone, Copy, Debug)]
struct Round {
    heals: u32,
    last: Instant,
}

// ===== impl Fights =====

impl Fights {
    /// Takes note of changes that were committed.
    pub fn committed(&mut self, subject: &Subject, changes: &[RowChange], now: Instant) {
        if !changes.iter().any(is_insertion) {
            // What we take away ourselves is no loss.
            if changes.iter().any(|change| matches!(change, RowChange::Delete(..))) {
                self.rounds.remove(subject);
            }
            return;
        }
        self.note(subject, now);
    }

    /// Takes note that rows were written.
    fn note(&mut self, subject: &Subject, now: Instant) {
        let heals = self.rounds.get(subject).map_or(0, |round| round.heals + 1);
        self.rounds.insert(subject.clone(), Round { heals, last: now });
        self.written.push_back((now, subject.clone()));
    }

    /// Forgets rows that stayed for long enough.
    pub fn forget_old(&mut self, now: Instant) {
        while self.written.front().is_some_and(|(at, _)| now >= *at + WINDOW)
            && let Some((at, subject)) = self.written.pop_front()
        {
            if self.rounds.get(&subject).is_some_and(|round| round.last == at) {
                self.rounds.remove(&subject);
            }
        }
    }

    /// Returns whether somebody keeps removing the rows.
    pub fn is_contested(&self, subject: &Subject) -> bool {
        self.rounds.get(subject).is_some_and(|round| round.heals >= PATIENCE)
    }

    /// Returns whether the rows are left alone for now.
    pub fn waits(&self, subject: &Subject, changes: &[RowChange], now: Instant) -> bool {
        changes.iter().any(is_insertion) && self.until(subject).is_some_and(|until| now < until)
    }

    /// Returns until when the rows are left alone, a time that is past perhaps.
    fn until(&self, subject: &Subject) -> Option<Instant> {
        self.rounds.get(subject).and_then(Round::until)
    }

    /// Returns when rows that are left alone are to be put back, times that are past among them.
    pub fn deadlines(&self) -> impl Iterator<Item = Instant> {
        self.rounds.values().filter_map(Round::until)
    }
}

fn is_insertion(change: &RowChange) -> bool {
    matches!(change, RowChange::Insert(_))
}

// ===== impl Round =====

impl Round {
    fn until(&self) -> Option<Instant> {
        let excess = self.heals.checked_sub(PATIENCE)?;
        Some(self.last + FIRST_WAIT.saturating_mul(1 << excess.min(16)).min(LONGEST_WAIT))
    }
}

#[cfg(test)]
mod tests;
