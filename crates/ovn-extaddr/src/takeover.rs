//! The takeover from an agent that holds the lock and does nothing. Pure: time is an argument.
//!
//! ovsdb-server does not notice that a client is dead while it has something left to send to it: until all is sent it
//! reads nothing, and it counts silence only while it reads (`ovsdb_jsonrpc_session_run` in ovsdb/jsonrpc-server.c,
//! `reconnect_deadline__` in lib/reconnect.c). On a busy database an agent that is cut off keeps its lock until TCP
//! gives up, a quarter of an hour later; a frozen one keeps it forever.
//!
//! So a standby that sees changes outstanding for long challenges the other agent: it steals the lock, and writes
//! nothing for a moment. A live agent takes the lock back at once. This distinguishes a dead one from one that has
//! other rules or whose changes are refused.

use std::time::{Duration, Instant};

/// The time that an agent that is challenged may take to answer.
const GRACE: Duration = Duration::from_secs(5);

/// The number of times that a challenged agent takes the lock back within that time. Several may challenge it at once,
/// each of them once; one that continues is another agent that does the same.
const ROUNDS: u32 = 3;

/// The number of times that the time to the next challenge is doubled: changes that an agent never makes must not hide
/// its death for long.
const DOUBLINGS: u32 = 2;

/// The state of the takeover: of the other agent's lock, and of our own.
#[derive(Debug)]
pub(crate) struct Takeover {
    /// The time for which changes may be outstanding. `None`: forever.
    patience: Option<Duration>,
    /// The time since which changes are outstanding, or of the last challenge.
    since: Option<Instant>,
    /// The number of challenges that were answered since.
    answered: u32,
    claim: Claim,
}

/// The way in which this agent got the lock, or is going to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Claim {
    /// It was this agent's turn, or it has kept the lock for long enough.
    Turn,
    /// This agent challenges the former holder; the time is the end of the challenge, once it has the lock.
    Challenge(Option<Instant>),
    /// This agent was challenged so many times recently, last at this time, and takes the lock back or has done so.
    Defence(u32, Instant),
}

/// The action after the lock was stolen from this agent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stolen {
    /// Take it back, to show that this agent is alive.
    Reclaim,
    /// Give way: the former holder is alive, another agent challenges it too, or this agent has tried often enough.
    Concede,
}

// ===== impl Takeover =====

impl Takeover {
    /// Creates a takeover that challenges after this time.
    pub(crate) fn new(patience: Option<Duration>) -> Self {
        Self { patience, since: None, answered: 0, claim: Claim::Turn }
    }

    pub(crate) fn set_patience(&mut self, patience: Option<Duration>) {
        self.patience = patience;
    }

    /// Observes the database on standby. Returns whether it is time to challenge the agent that has the lock.
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

    /// Records that this agent got the lock.
    pub(crate) fn granted(&mut self, now: Instant) {
        self.since = None;
        match &mut self.claim {
            Claim::Challenge(until) => *until = Some(now + GRACE),
            Claim::Turn | Claim::Defence(..) => self.answered = 0,
        }
    }

    /// Records that the lock was stolen from this agent.
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

    /// Records that the lock does not matter any more: the connection is gone, or the agent does not want it.
    pub(crate) fn lost(&mut self) {
        *self = Self::new(self.patience);
    }

    /// Returns whether the agent has the lock only to see whether another one takes it back.
    pub(crate) fn is_challenging(&self) -> bool {
        matches!(self.claim, Claim::Challenge(_))
    }

    /// Returns whether a challenge stayed unanswered. From then on this agent writes.
    pub(crate) fn is_unanswered(&mut self, now: Instant) -> bool {
        let Claim::Challenge(Some(until)) = self.claim else { return false };
        let is_unanswered = until <= now;
        if is_unanswered {
            *self = Self::new(self.patience);
        }
        is_unanswered
    }

    /// Returns when to check again even if nothing happens.
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
