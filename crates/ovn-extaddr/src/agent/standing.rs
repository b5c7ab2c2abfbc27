//! The agent's status, for the command `status`, the status page and its API.

use ovsdb_protocol::LockStatus;

use super::Agent;
use crate::access;
use crate::clock::rfc3339;
use crate::exposition::Exposition;
use crate::status::{Commit, Configuration, DatabaseStatus, Failure, LockReport, Status, server_word};

impl Agent {
    /// Returns the status.
    pub(super) fn status(&self, exposition: &Exposition) -> Status {
        let commit = |(at, changes)| Commit { at: rfc3339(at), changes };
        Status {
            role: self.role().name(),
            owner: self.engine.owner().to_string(),
            version: env!("CARGO_PKG_VERSION"),
            uptime: self.metrics.uptime().as_secs(),
            database: self.database(),
            lock: self.lock(),
            to_change: self.engine.unsettled().len(),
            under_way: self.writing.applier.is_busy(),
            last_commit: self.writing.committed.map(commit),
            last_refusal: self.writing.refused.as_ref().map(Failure::new),
            configuration: Configuration {
                files: self.configured.files.clone(),
                error: self.configured.wrong.clone(),
            },
            sources: self.source_lines(),
            verification: self.verification_status(),
            metrics: exposition.place().map(ToString::to_string),
            status_page: exposition.page().name(),
            audit: self.writing.audit.as_ref().map(|audit| audit.path().to_owned()),
            intents: self.tracker.stats.counts().map(|(state, count)| (state.name(), count)).collect(),
        }
    }

    fn database(&self) -> DatabaseStatus {
        let synced = self.northbound.session.is_synced();
        DatabaseStatus {
            remote: self
                .northbound
                .session
                .remote()
                .map(|remote| access::place(remote, self.northbound.session.address())),
            synced,
            server: self.northbound.session.role().map(server_word),
            error: self.northbound.lost.as_ref().filter(|_| !synced).map(Failure::new),
        }
    }

    fn lock(&self) -> LockReport {
        let (state, since, epoch) = match self.northbound.session.lock_status() {
            LockStatus::Held(_) if self.election.takeover.is_challenging() => ("challenged", None, None),
            LockStatus::Held(epoch) => ("held", self.election.lock_since, Some(epoch)),
            LockStatus::Waiting => ("waiting", None, None),
            LockStatus::None => ("none", None, None),
        };
        LockReport { name: self.engine.owner().lock().to_string(), state, since, epoch }
    }
}
