//! What a client knows of its connection.

use std::sync::Arc;

use crate::endpoint::Endpoint;
use crate::error::Error;
use crate::server::ServerRole;

/// What a [`Client`](crate::Client) knows of its connection at some moment.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Status {
    /// Whether a server can be used and all monitors have their rows.
    pub is_ready: bool,
    /// The server that can be used.
    pub remote: Option<Endpoint>,
    /// What that server is.
    pub role: Option<ServerRole>,
    /// Whether every server has failed since there was one that could be used.
    pub all_failed: bool,
    /// Why servers could not be used, or connections broke: the last error of each since there was one that could be
    /// used.
    pub failures: Vec<(Endpoint, Arc<Error>)>,
}

// ===== impl Status =====

impl Status {
    /// Notes why a server could not be used, or is not any more, and whether it was the last one to be tried.
    pub(super) fn failed(&mut self, remote: Endpoint, error: Arc<Error>, all_failed: bool) {
        (self.is_ready, self.remote, self.role) = (false, None, None);
        self.all_failed |= all_failed;
        self.failures.retain(|(failed, _)| *failed != remote);
        self.failures.push((remote, error));
    }

    /// Notes that a server can be used.
    pub(super) fn ready(&mut self, remote: Option<Endpoint>, role: Option<ServerRole>) {
        *self = Self { is_ready: true, remote, role, ..Self::default() };
    }
}
