//! The status of a client's connection.

use std::sync::Arc;

use crate::endpoint::Endpoint;
use crate::error::Error;
use crate::server::ServerRole;

/// The status of a [`Client`](crate::Client)'s connection at one moment.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Status {
    /// Whether a server can be used and all monitors have their rows.
    pub is_ready: bool,
    /// The server, if it can be used.
    pub remote: Option<Endpoint>,
    /// The role of that server.
    pub role: Option<ServerRole>,
    /// Whether every server has failed since one could last be used.
    pub all_failed: bool,
    /// The last error of each server since one could last be used: why it could not be used, or its connection broke.
    pub failures: Vec<(Endpoint, Arc<Error>)>,
}

// ===== impl Status =====

impl Status {
    /// Records why a server cannot be used, and whether it was the last one to be tried.
    pub(super) fn failed(&mut self, remote: Endpoint, error: Arc<Error>, all_failed: bool) {
        (self.is_ready, self.remote, self.role) = (false, None, None);
        self.all_failed |= all_failed;
        self.failures.retain(|(failed, _)| *failed != remote);
        self.failures.push((remote, error));
    }

    /// Records another role of the server, if it can be used.
    pub(super) fn role_changed(&mut self, role: ServerRole) {
        self.role = self.role.map(|_| role);
    }

    /// Records that a server can be used.
    pub(super) fn ready(&mut self, remote: Option<Endpoint>, role: Option<ServerRole>) {
        *self = Self { is_ready: true, remote, role, ..Self::default() };
    }
}
