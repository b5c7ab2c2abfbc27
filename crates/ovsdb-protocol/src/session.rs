//! A connection to a database that is restored when it is lost, and keeps a [`Replica`] synchronised.

mod config;
mod connection;
mod event;
mod reconnect;
mod remote_cycle;
mod requests;
mod server_monitor;
mod state;
#[cfg(test)]
mod tests;

use std::net::SocketAddr;
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

pub use self::config::SessionConfig;
use self::connection::Phase;
pub use self::event::{ConditionId, RequestId, SessionEvent};
use self::remote_cycle::RemoteCycle;
use self::state::SessionState;
use crate::endpoint::Endpoint;
use crate::error::Error;
use crate::lock::{LockName, LockStatus};
use crate::replica::Replica;
use crate::schema::DatabaseSchema;
use crate::server::{Policy, ServerDatabase, ServerRole};

/// A connection to a database that is restored whenever it is lost, for a program with its own event loop.
///
/// # Behaviour
/// - Nothing happens until [`next`](Self::next) is awaited; all work is done in it.
/// - `next` never fails: a lost connection is an event, and the next call connects again.
/// - The server's `_Server` database decides whether the server can be used: see [`SessionConfig::leader_only`]. The
///   session leaves a server that cannot be used, or no longer can, at once for the next remote. This includes a server
///   that refuses a transaction because it is read-only, which `_Server` does not show
///   ([`ServerUnusable::ReadOnly`](crate::ServerUnusable::ReadOnly)).
/// - After every (re)connection, the replica is synchronised before [`SessionEvent::Synced`]: by differences if the
///   server remembers the last transaction that the replica reflects, by a snapshot otherwise. The same happens on the
///   same connection when the database's schema is converted.
/// - Updates caused by a transaction of this session reach the replica before its [`SessionEvent::Completed`].
#[derive(Debug)]
pub struct Session {
    config: SessionConfig,
    state: SessionState,
    phase: Phase,
    remotes: RemoteCycle,
    /// The address of the current connection or attempt, or else of the last one.
    address: Option<SocketAddr>,
    /// The time for which a server may be silent during the handshake: [`SessionConfig::connect_timeout`], extended by
    /// [`extend_handshake_timeout`](Self::extend_handshake_timeout).
    handshake_timeout: Duration,
}

// ===== impl Session =====

impl Session {
    /// Creates a session, which connects when [`next`](Self::next) is awaited.
    pub fn new(config: SessionConfig) -> Self {
        let cluster_id = config.cluster_id.or_else(|| config.remotes.cluster_id());
        let policy = Policy::new(config.leader_only, cluster_id);
        let state = SessionState::new(config.database.clone(), config.lock.clone(), policy);
        let phase = Phase::Waiting(Instant::now());
        let remotes = RemoteCycle::new(config.remotes.clone());
        Self { state, phase, remotes, address: None, handshake_timeout: config.connect_timeout, config }
    }

    /// Waits for the next event, and keeps `replica` synchronised meanwhile.
    ///
    /// # Cancel safety
    /// Nothing is lost when the future is dropped, provided that the next call gets the same replica.
    pub async fn next(&mut self, replica: &mut impl Replica) -> SessionEvent {
        loop {
            if let Some(event) = self.state.events.pop_front() {
                return event;
            }
            match &mut self.phase {
                Phase::Waiting(until) => {
                    sleep_until(*until).await;
                    self.connect();
                }
                Phase::Resolving(endpoint, resolving) => {
                    let result = resolving.await;
                    let endpoint = endpoint.clone();
                    match result {
                        Ok(destinations) => {
                            self.remotes.resolved(destinations);
                            self.connect();
                        }
                        Err(error) => {
                            self.remotes.unresolved();
                            self.failed(endpoint, error.into());
                        }
                    }
                }
                Phase::Connecting(endpoint, connecting) => {
                    let result = connecting.await;
                    let endpoint = endpoint.clone();
                    match result {
                        Ok(stream) => self.connected(endpoint, stream),
                        Err(error) => {
                            if error.is_inactivity_timeout() {
                                self.extend_handshake_timeout();
                            }
                            self.failed(endpoint, error);
                        }
                    }
                }
                Phase::Live(live) => {
                    let advanced =
                        live.advance(&mut self.state, replica, &self.config, self.handshake_timeout);
                    if let Err(error) = advanced.await {
                        self.lost(error);
                    }
                }
            }
        }
    }

    /// Calls [`Replica::declare`] again, because its result would be different now. A snapshot follows, of which the
    /// replica learns the differences, and [`SessionEvent::Synced`] when it is complete. Until then transactions are not
    /// accepted. Without a connection, or before the first call of `declare` on it, only the snapshot is certain: the
    /// replica is not resumed, whose rows may be others although it declares the same.
    ///
    /// # Errors
    /// [`Error::is_busy`]: too many requests are pending. Nothing has changed.
    pub fn redeclare(&mut self) -> Result<(), Error> {
        let rpc = self.phase.rpc();
        self.state.redeclare(rpc)
    }

    /// Returns the schema of the database as of the last call of [`Replica::declare`]; `None` before that call on the
    /// current connection.
    pub fn schema(&self) -> Option<&DatabaseSchema> {
        self.state.schema()
    }

    /// Returns true if the replica is synchronised with the database. It is not while an update is incomplete.
    pub fn is_synced(&self) -> bool {
        self.state.is_synced() && self.state.is_whole()
    }

    /// Returns the status of the lock.
    pub fn lock_status(&self) -> LockStatus {
        self.state.lock_status()
    }

    /// Requests the lock if `wanted`, or else releases it and does not request it again, on later connections either.
    /// Does nothing in a session without a lock. [`SessionEvent::Lock`] reports the change.
    ///
    /// The server executes pending transactions before it releases the lock.
    ///
    /// # Errors
    /// [`Error::is_busy`]: too many requests are pending. Nothing has changed.
    pub fn want_lock(&mut self, wanted: bool) -> Result<(), Error> {
        let rpc = self.phase.rpc();
        self.state.want_lock(wanted, rpc)
    }

    /// Requests this lock from now on, instead of [`SessionConfig::lock`], and releases the previous one.
    /// [`SessionEvent::Lock`] reports the change.
    ///
    /// # Errors
    /// [`Error::is_busy`]: too many requests are pending. If the previous lock could not be released, nothing has changed;
    /// otherwise the new one is requested on the next connection, or by [`want_lock`](Self::want_lock).
    pub fn set_lock(&mut self, name: LockName) -> Result<(), Error> {
        let rpc = self.phase.rpc();
        self.state.set_lock(name, rpc)
    }

    /// Steals the lock from its holder (RFC 7047 section 4.1.8) if this session waits for it; does nothing otherwise.
    /// [`SessionEvent::Lock`] reports the change. The server notifies the former holder, and a session then waits for
    /// the lock.
    ///
    /// Use this if the holder may be dead: ovsdb-server does not notice that while it has data left to send to it. A
    /// holder that is alive can steal the lock back; two clients that always do so have no lock at all.
    ///
    /// # Errors
    /// [`Error::is_busy`]: too many requests are pending. The session waits for the lock as before, or requests it again
    /// as soon as it can.
    pub fn steal_lock(&mut self) -> Result<(), Error> {
        match &mut self.phase {
            Phase::Live(live) => self.state.steal_lock(&mut live.link.rpc),
            _ => Ok(()),
        }
    }

    /// Returns the server of the current connection.
    pub fn remote(&self) -> Option<&Endpoint> {
        if let Phase::Live(live) = &self.phase { Some(&live.endpoint) } else { None }
    }

    /// Returns the IP address of the current connection or attempt, or else of the last one; `None` for a Unix socket.
    pub fn address(&self) -> Option<SocketAddr> {
        self.address
    }

    /// Returns the numbers of bytes and of rows received on the current connection.
    pub fn received(&self) -> (u64, u64) {
        match &self.phase {
            Phase::Live(live) => (live.link.decoder.position(), self.state.rows_seen()),
            _ => (0, 0),
        }
    }

    /// Returns the role of the server of the current connection; `None` until the server is known to be usable.
    pub fn role(&self) -> Option<ServerRole> {
        self.state.role()
    }

    /// Returns the `_Server` row of the database at the server of the current connection; `None` until the server is known
    /// to be usable, and for servers without `_Server` (before Open vSwitch 2.9).
    pub fn server(&self) -> Option<&ServerDatabase> {
        self.state.server()
    }

    /// Forgets the highest log index seen of each cluster, so that a member with a lower one is not
    /// [stale](crate::ServerUnusable::Stale). Needed for a cluster that was restored from a backup under its old id.
    pub fn reset_min_index(&mut self) {
        self.state.policy().reset_min_index();
    }
}
