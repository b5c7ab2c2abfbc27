//! The takeover from an agent that holds the lock and does nothing. Pure: time is an argument.
//!
//! ovsdb-server does not notice that a client is dead while it has something left to send to it: until all is sent it
//! reads nothing, and it counts silence only while it reads (`ovsdb_jsonrpc_session_run` in ovsdb/jsonrpc-server.c,
//! `reconnect_deadline__` in lib/reconnect.c). On a busy database the lock of an agent that is cut off stays with it
//! until TCP gives up, a quarter of an hour later; that of a frozen one for ever.
//!
//! So a standby that sees something undone for long challenges the other one: it steals the lock, and writes nothing for
//! a moment. An agent that lives takes the lock back at once. This tells a dead one from one that has other rules or
//! cannot do better.

use std::time::{Duration, Instant};

/// How long an agent that is challenged may take to answer.
const GRACE: Duration = Duration::from_secs(5);

/// How often we take the lock back within that time. Several may challenge us at once, each of them once; who goes on is
/// another that believes to be in the right.
const ROUNDS: u32 = 3;

/// How often the time to the next challenge is doubled: what one agent never does must not hide for long that it died.
const DOUBLINGS: u32 = 2;

/// What we make of the agent that has the lock, and of having it ourselves.
#[derive(Debug)]
pub(crate) struct Takeover {
    /// How long something may be undone. `None`: for ever.
    patience: Option<Duration>,
    /// Since when something is undone, or the last challenge.
    since: Option<Instant>,
    /// How many challenges were answered meanwhile.
    answered: u32,
    claim: Claim,
}

/// By what right the lock is ours, or will be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Claim {
    /// It was our turn, or we have kept it for long enough.
    Turn,
    /// We challenge who had it, until then once we have it.
    Challenge(Option<Instant>),
    /// We were challenged so often lately, the last time then, and take it back or have done so.
    Defence(u32, Instant),
}

/// What to do when the lock was taken from us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stolen {
    /// We live: take it back.
    Reclaim,
    /// Who had it lives, or another challenges it too, or we have tried often enough: let it be.
    Concede,
}

// ===== impl Takeover =====

impl Takeover {
    /// Challenges after so long.
    pub(crate) fn new(patience: Option<Duration>) -> Self {
        Self { patience, since: None, answered: 0, claim: Claim::Turn }
    }

    pub(crate) fn set_patience(&mut self, patience: Option<Duration>) {
        self.patience = patience;
    }

    /// Looks on, on standby. Returns whether it is time to challenge the agent that has the lock.
    pub(crate) fn watch(&mut self, settled: bool, now: Instant) -> bool {
        if settled {
            (self.since, self.answered) = (None, 0);
            return false;
        }
        self.since.get_or_insert(now);
        let is_due = self.claim == Claim::Turn && self.due().is_some_and(|due| due <= now);
        if is_due {
            self.since = Some(now);
            self.claim = Claim::Challenge(None);
        }
        is_due
    }

    /// The lock is ours.
    pub(crate) fn granted(&mut self, now: Instant) {
        self.since = None;
        match &mut self.claim {
            Claim::Challenge(until) => *until = Some(now + GRACE),
            Claim::Turn | Claim::Defence(..) => self.answered = 0,
        }
    }

    /// The lock was ours and is another's.
    pub(crate) fn stolen(&mut self, now: Instant) -> Stolen {
        match self.claim {
            Claim::Challenge(_) => {
                self.answered += 1;
                (self.since, self.claim) = (Some(now), Claim::Turn);
                Stolen::Concede
            }
            Claim::Defence(ROUNDS.., last) if now < last + GRACE => {
                self.claim = Claim::Turn;
                Stolen::Concede
            }
            Claim::Defence(rounds, last) if now < last + GRACE => {
                self.claim = Claim::Defence(rounds + 1, now);
                Stolen::Reclaim
            }
            Claim::Turn | Claim::Defence(..) => {
                self.claim = Claim::Defence(1, now);
                Stolen::Reclaim
            }
        }
    }

    /// The lock is nobody's concern any more: the connection is gone, or we do not want it.
    pub(crate) fn lost(&mut self) {
        *self = Self::new(self.patience);
    }

    /// Returns whether the lock is ours only to see whether somebody takes it back.
    pub(crate) fn is_challenging(&self) -> bool {
        matches!(self.claim, Claim::Challenge(_))
    }

    /// Returns whether a challenge went unanswered by now. From then on it is for us to write.
    pub(crate) fn is_unanswered(&mut self, now: Instant) -> bool {
        let Claim::Challenge(Some(until)) = self.claim else { return false };
        let is_unanswered = until <= now;
        if is_unanswered {
            *self = Self::new(self.patience);
        }
        is_unanswered
    }

    /// Returns when to look again though nothing happens.
    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        match self.claim {
            Claim::Turn => self.due(),
            Claim::Challenge(until) => until,
            Claim::Defence(..) => None,
        }
    }

    fn due(&self) -> Option<Instant> {
        Some(self.since? + self.patience? * (1 << self.answered.min(DOUBLINGS)))
    }
}

#[cfg(test)]
mod tests;
