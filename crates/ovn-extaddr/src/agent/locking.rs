//! The lock: the agent's role by it, and the takeover from an agent that has it and does nothing.

use std::time::{Duration, SystemTime};

use ovsdb_protocol::LockStatus;
use tracing::{error, info, warn};

use super::{Agent, now};
use crate::other_writers::OtherWriters;
use crate::role::Role;
use crate::takeover::{Stolen, Takeover};

/// What decides, besides the lock, whether this agent writes.
pub(super) struct Election {
    pub(super) dry_run: bool,
    pub(super) paused: bool,
    /// Whether the agent had the lock at the last lock event.
    had_lock: bool,
    pub(super) others: OtherWriters,
    /// When the agent was granted the lock last.
    pub(super) lock_since: Option<SystemTime>,
    pub(super) takeover: Takeover,
}

impl Election {
    pub(super) fn new(dry_run: bool, takeover: Takeover) -> Self {
        let others = OtherWriters::new();
        Self { dry_run, paused: false, had_lock: false, others, lock_since: None, takeover }
    }

    pub(super) fn role(&self, lock: LockStatus) -> Role {
        match lock {
            _ if self.dry_run => Role::DryRun,
            _ if self.paused => Role::Paused,
            LockStatus::Held(_) if self.takeover.is_challenging() => Role::Standby,
            LockStatus::Held(_) => Role::Active,
            LockStatus::Waiting => Role::Standby,
            LockStatus::None => Role::Starting,
        }
    }
}

impl Agent {
    pub(super) fn lock_changed(&mut self, status: LockStatus) {
        let had_lock = std::mem::replace(&mut self.election.had_lock, matches!(status, LockStatus::Held(_)));
        match status {
            LockStatus::Held(epoch) => {
                self.metrics.lock_epoch.set(i64::try_from(epoch).unwrap_or(i64::MAX));
                self.election.lock_since = Some(SystemTime::now());
                self.election.takeover.granted(now().instant);
                if !self.election.takeover.is_challenging() {
                    self.becomes_active();
                    info!(epoch, "active: this agent has the lock");
                }
            }
            LockStatus::Waiting if had_lock => self.stolen(),
            LockStatus::Waiting => {
                self.election.others.has_lock();
                info!("standby: another agent has the lock");
            }
            LockStatus::None if self.election.paused => info!("paused: lock released"),
            LockStatus::None => info!("lock lost with the connection"),
        }
        if status == LockStatus::None {
            self.election.others.lost(now().instant);
            self.election.takeover.lost();
        }
        if !self.election.had_lock {
            self.forget_verified();
        }
    }

    /// What a source reported before it was lost may be older than what another agent has written.
    fn becomes_active(&mut self) {
        if self.election.others.end(now().instant) {
            self.engine.forget_lost_sources(&self.northbound.store);
        }
    }

    fn stolen(&mut self) {
        match self.election.takeover.stolen(now().instant) {
            Stolen::Reclaim => {
                info!("another agent stole the lock to check that this one is alive: taking it back");
                self.steal_lock();
            }
            Stolen::Concede => {
                self.election.others.has_lock();
                let to_change = self.engine.unsettled().len();
                info!(to_change, "standby: another agent has taken the lock back");
            }
        }
    }

    /// Checks, on standby, whether the agent that has the lock does its work, and takes over from a dead one.
    pub(super) fn check_active(&mut self) {
        if self.role() != Role::Standby || !self.northbound.session.is_synced() {
            return;
        }
        let now = now().instant;
        if self.election.takeover.is_unanswered(now) {
            self.becomes_active();
            self.metrics.takeovers.inc();
            warn!("active: the previous lock holder did not take the lock back");
            self.send();
        } else if self.election.takeover.watch(self.engine.unsettled().is_empty(), now) {
            info!(
                to_change = self.engine.unsettled().len(),
                "changes are overdue: stealing the lock to check that its holder is alive"
            );
            self.steal_lock();
        }
    }

    fn steal_lock(&mut self) {
        if let Err(error) = self.northbound.session.steal_lock() {
            // It is tried again next time.
            self.election.takeover.lost();
            error!(error = format_args!("{error:#}"), "cannot steal the lock");
        }
    }
}

/// Adds up to a third at random, so that not all agents on standby challenge at once.
pub(super) fn spread(patience: Duration) -> Duration {
    patience.mul_f64(1.0 + fastrand::f64() / 3.0)
}
