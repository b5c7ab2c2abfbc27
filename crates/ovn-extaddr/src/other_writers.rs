//! Whether another agent may have written to the database since this one was active. Pure: time is an argument.

use std::time::{Duration, Instant};

/// The time without a lock that a change of the cluster's leader takes. Another agent that got the lock meanwhile has it
/// still, unless the leader changed twice.
const MAX_LEADER_CHANGE: Duration = Duration::from_secs(10);

/// What is known of the writes of other agents.
#[derive(Debug)]
pub(crate) struct OtherWriters {
    may_have_written: bool,
    /// When the connection and with it the lock was lost, unless the lock is requested again.
    lost: Option<Instant>,
}

impl OtherWriters {
    /// Creates the state of an agent that has just started.
    pub(crate) fn new() -> Self {
        Self { may_have_written: true, lost: None }
    }

    /// Records that another agent has the lock.
    pub(crate) fn has_lock(&mut self) {
        self.may_have_written = true;
    }

    /// Records that the lock was lost with the connection, or released.
    pub(crate) fn lost(&mut self, now: Instant) {
        self.lost = Some(now);
    }

    /// Returns whether another agent may have written.
    pub(crate) fn may_have_written(&self, now: Instant) -> bool {
        self.may_have_written || self.lost.is_some_and(|lost| now > lost + MAX_LEADER_CHANGE)
    }

    /// Records that this agent is active. Returns whether another agent may have written before.
    pub(crate) fn end(&mut self, now: Instant) -> bool {
        let may_have_written = self.may_have_written(now);
        *self = Self { may_have_written: false, lost: None };
        may_have_written
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn others_write_while_this_agent_is_not_active_unless_the_leader_only_changed() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut others = OtherWriters::new();
        assert!(others.may_have_written(at(0)) && others.end(at(0)), "before the start");
        assert!(!others.end(at(100)));
        others.lost(at(100));
        assert!(!others.may_have_written(at(110)) && others.may_have_written(at(111)));
        assert!(others.end(at(119)), "the connection was lost for long");
        others.lost(at(200));
        assert!(!others.end(at(203)), "the leader changed");
        others.lost(at(300));
        others.has_lock();
        assert!(others.end(at(301)), "another agent was first");
    }
}
