//! The start and the end of connections, and the choice of the next server.

use std::time::Duration;

use tokio::io;
use tokio::time::{Instant, timeout};

use super::connection::{Live, MAX_HANDSHAKE_BYTES, Phase, SNAPSHOT_PROBE};
use super::remote_cycle::NextStep;
use super::state::ConnectionPhase;
use super::{Session, SessionEvent};
use crate::decoder::Decoder;
use crate::endpoint::{Endpoint, Remotes};
use crate::transport::{DialTimeouts, Stream};
use crate::error::{Error, Kind};
use crate::jsonrpc::JsonRpc;
use crate::link::Link;
use crate::server::ServerUnusable;

/// A time longer than the life of any process, and short enough to be added to an instant.
const NEVER: Duration = Duration::from_secs(10 * 365 * 86_400);

/// The time for which a read-only server must have served, so that leaving it does not count as a failed attempt.
const READ_ONLY_INTERVAL: Duration = Duration::from_secs(10);

impl Session {
    /// Replaces [`SessionConfig::remotes`](crate::SessionConfig::remotes). A connection to one of the new remotes stays;
    /// any other is closed, with [`SessionEvent::Disconnected`]. The cluster that servers must belong to stays the same.
    pub fn set_remotes(&mut self, remotes: Remotes) {
        let current = match &self.phase {
            Phase::Waiting(_) => None,
            Phase::Resolving(endpoint, _) | Phase::Connecting(endpoint, _) => Some(endpoint.clone()),
            Phase::Live(live) => Some(live.endpoint.clone()),
        };
        let is_listed = self.remotes.replace(remotes, current.as_ref());
        let unlisted = current.filter(|_| !is_listed);
        // None of the new remotes was tried, so there is no reason for a pause.
        self.config.backoff.reset();
        if let Phase::Live(_) = self.phase {
            if unlisted.is_some() {
                self.lost(Kind::Unlisted.into());
            }
        } else if let Some(endpoint) = unlisted {
            self.failed(endpoint, Kind::Unlisted.into());
        }
        if let Phase::Waiting(until) = &mut self.phase {
            *until = Instant::now();
        }
    }

    /// Starts the next attempt to connect.
    pub(super) fn connect(&mut self) {
        let limit = self.config.connect_timeout;
        self.phase = match self.remotes.next_step() {
            NextStep::Resolve(endpoint) => {
                self.address = None;
                let name = endpoint.clone();
                let resolving = async move {
                    timeout(limit, name.resolve()).await.unwrap_or_else(|_| {
                        Err(io::Error::new(io::ErrorKind::TimedOut, "no name server answers in time"))
                    })
                };
                Phase::Resolving(endpoint, Box::pin(resolving))
            }
            NextStep::Connect(destination) => {
                self.address = destination.address();
                let endpoint = destination.endpoint().clone();
                let tls = self.config.tls.clone();
                let timeouts = DialTimeouts { connect: limit, handshake: self.handshake_timeout };
                Phase::Connecting(endpoint, Box::pin(async move { destination.dial(&tls, timeouts).await }))
            }
        };
    }

    /// Starts the handshake on a new connection.
    pub(super) fn connected(&mut self, endpoint: Endpoint, stream: Stream) {
        let now = Instant::now();
        // The probe is sent after half of the time, so that the connection ends after all of it.
        let mut rpc = JsonRpc::new(Some(self.handshake_timeout / 2), now.into_std());
        if let Err(error) = self.state.connected(&mut rpc) {
            return self.failed(endpoint, error);
        }
        self.state.events.push_back(SessionEvent::Connected(endpoint.clone()));
        let mut link = Link::new(stream, Decoder::new(self.config.limits), rpc);
        link.limit = MAX_HANDSHAKE_BYTES;
        self.phase =
            Phase::Live(Box::new(Live { endpoint, since: now, phase: ConnectionPhase::Handshake, link }));
    }

    /// Ends the current connection because of `error`.
    pub(super) fn lost(&mut self, error: Error) {
        let phase = std::mem::replace(&mut self.phase, Phase::Waiting(Instant::now()));
        let Phase::Live(live) = phase else { return };
        // A short connection does not count as a success, or a server that breaks every connection would be
        // tried without a pause. A server that is no longer the leader is different.
        let lasted = live.since.elapsed();
        let served = match error.as_server_unusable() {
            None => lasted >= Duration::from_secs(1),
            // It never committed a write: it may be one of several read-only servers, each of which would be asked for
            // a snapshot in turn.
            Some(ServerUnusable::ReadOnly) if !self.state.took_writes() => lasted >= READ_ONLY_INTERVAL,
            Some(_) => true,
        };
        if self.state.was_synced() && served {
            self.config.backoff.reset();
            self.handshake_timeout = self.config.connect_timeout;
            self.remotes.succeeded();
        }
        if error.is_inactivity_timeout() && live.phase == ConnectionPhase::Handshake {
            self.extend_handshake_timeout();
        }
        self.state.disconnected(live.link.rpc.into_pending());
        self.failed(live.endpoint, error);
    }

    /// Reports that a connection or an attempt failed, and schedules the next attempt.
    pub(super) fn failed(&mut self, remote: Endpoint, error: Error) {
        let retry = if error.is_invalid_request() {
            // Every server would refuse it.
            Duration::MAX
        } else if self.remotes.end_round() {
            self.config.backoff.next_wait()
        } else {
            Duration::ZERO
        };
        self.phase = Phase::Waiting(Instant::now() + retry.min(NEVER));
        self.state.events.push_back(SessionEvent::Disconnected { remote, error, retry });
    }

    /// Doubles the timeout after a server that was too slow. Otherwise a server that is busy with handshakes would be kept
    /// busy for ever by connections that are made and given up.
    pub(super) fn extend_handshake_timeout(&mut self) {
        self.handshake_timeout =
            self.handshake_timeout.saturating_mul(2).min(SNAPSHOT_PROBE).max(self.config.connect_timeout);
    }
}
