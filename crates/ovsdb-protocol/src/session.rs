//! A connection that comes back: reconnects, declares its monitor and lock anew, and keeps a
//! [`Replica`] in step with the database.

#[cfg(test)]
mod tests;

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use tokio::io;
use tokio::time::{Instant, sleep_until, timeout};

use crate::backoff::Backoff;
use crate::decoder::Decoder;
use crate::dialogue::{Call, Dialogue, Feed};
use crate::endpoint::{Endpoint, Remotes, Stream};
use crate::error::{Error, Kind};
use crate::exchange::Exchange;
use crate::link::{Incoming, Link};
use crate::lock::{LockName, LockStatus};
use crate::outcome::Outcome;
use crate::replica::Replica;
use crate::scan::Limits;
use crate::transact::Transaction;

/// How long a server may be silent while it prepares a snapshot. It does nothing else meanwhile,
/// and needs more than a second for 40 MB.
const SNAPSHOT_PROBE: Duration = Duration::from_secs(60);

/// What a [`Session`] connects to and how.
#[derive(Clone, Debug)]
pub struct SessionConfig {
    /// Where the database's servers listen.
    pub remotes: Remotes,
    /// The database's name.
    pub database: String,
    /// A lock to ask for on every connection.
    pub lock: Option<LockName>,
    /// How long a server may be silent before it is asked for a sign of life; it is given up after
    /// twice that. `None`: never. Unix sockets are not probed.
    pub probe: Option<Duration>,
    /// How long an attempt to connect may take.
    pub connect_timeout: Duration,
    /// How long to wait between attempts once every remote was tried.
    pub backoff: Backoff,
    /// What is accepted from the server.
    pub limits: Limits,
}

/// A lasting relation to a database.
///
/// # Behaviour
/// - Nothing happens until [`next`](Self::next) is awaited; all work is done in it.
/// - `next` never fails: a lost connection is an event, and the next call goes on connecting.
/// - After every (re)connection the replica is brought in step before [`SessionEvent::Synced`]: by
///   differences where the server remembers our last transaction, by a snapshot otherwise.
/// - Updates that a transaction of ours caused reach the replica before its
///   [`SessionEvent::Completed`].
#[derive(Debug)]
pub struct Session {
    config: SessionConfig,
    dialogue: Dialogue,
    phase: Phase,
    /// Which remote comes next, and how many were tried since a connection was made.
    remote: usize,
    tried: usize,
}

/// Names a transaction of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TransactionId(pub(crate) u64);

/// What happened in a session.
#[derive(Debug)]
#[non_exhaustive]
pub enum SessionEvent {
    /// A server accepted the connection.
    Connected(Endpoint),
    /// The replica is in step with the database.
    Synced {
        /// Whether differences did, or all rows came anew.
        resumed: bool,
    },
    /// The replica took in changes.
    Updated,
    /// The lock's status changed.
    Lock(LockStatus),
    /// A transaction came to its end.
    Completed {
        /// Which one.
        id: TransactionId,
        /// How it ended.
        outcome: Outcome,
    },
    /// The connection is lost, or an attempt to connect failed.
    Disconnected {
        /// The server.
        remote: Endpoint,
        /// What happened.
        error: Error,
        /// How long until the next attempt.
        retry: Duration,
    },
}

enum Phase {
    Waiting(Instant),
    Connecting(Endpoint, Pin<Box<dyn Future<Output = io::Result<Stream>> + Send>>),
    Live(Box<Live>),
}

struct Live {
    endpoint: Endpoint,
    since: Instant,
    link: Link<Call>,
}

// ===== impl SessionConfig =====

impl SessionConfig {
    /// Connects to `database` at `remotes`, without a lock and with the usual times.
    pub fn new(remotes: Remotes, database: impl Into<String>) -> Self {
        Self {
            remotes,
            database: database.into(),
            lock: None,
            probe: Some(Duration::from_secs(5)),
            connect_timeout: Duration::from_secs(10),
            backoff: Backoff::default(),
            limits: Limits::default(),
        }
    }
}

// ===== impl Session =====

impl Session {
    /// Prepares a session.
    pub fn new(config: SessionConfig) -> Self {
        let dialogue = Dialogue::new(config.database.clone(), config.lock.clone());
        Self { dialogue, phase: Phase::Waiting(Instant::now()), remote: 0, tried: 0, config }
    }

    /// Waits for the next event, and keeps `replica` in step meanwhile.
    ///
    /// # Cancel safety
    /// Safe: nothing is lost when the future is dropped, as long as the next call gets the same
    /// replica.
    pub async fn next(&mut self, replica: &mut impl Replica) -> SessionEvent {
        loop {
            if let Some(event) = self.dialogue.events.pop_front() {
                return event;
            }
            match &mut self.phase {
                Phase::Waiting(until) => {
                    sleep_until(*until).await;
                    self.connect();
                }
                Phase::Connecting(endpoint, connecting) => {
                    let result = connecting.await;
                    let endpoint = endpoint.clone();
                    match result {
                        Ok(stream) => self.connected(endpoint, stream),
                        Err(error) => self.failed(endpoint, error.into()),
                    }
                }
                Phase::Live(live) => {
                    if let Err(error) = live.advance(&mut self.dialogue, replica, &self.config).await {
                        self.lost(error);
                    }
                }
            }
        }
    }

    /// Sends a transaction; its end is announced by [`SessionEvent::Completed`].
    ///
    /// # Errors
    /// The replica is not in step with the database at the moment, or too much is under way. The
    /// transaction was not sent.
    pub fn transact(&mut self, transaction: &Transaction) -> Result<TransactionId, Error> {
        match &mut self.phase {
            Phase::Live(live) if self.dialogue.is_synced() => {
                self.dialogue.transact(transaction, &mut live.link.exchange)
            }
            _ => Err(Kind::Closed.into()),
        }
    }

    /// Returns whether the replica is in step with the database. It is not while an update has
    /// arrived in part.
    pub fn is_synced(&self) -> bool {
        self.dialogue.is_synced() && self.dialogue.is_whole()
    }

    /// Returns where we stand with the lock.
    pub fn lock_status(&self) -> LockStatus {
        self.dialogue.lock_status()
    }

    /// Returns the server of the current connection.
    pub fn remote(&self) -> Option<&Endpoint> {
        if let Phase::Live(live) = &self.phase { Some(&live.endpoint) } else { None }
    }

    /// Returns how many bytes and rows were received on the current connection.
    pub fn received(&self) -> (u64, u64) {
        match &self.phase {
            Phase::Live(live) => (live.link.decoder.position(), live.link.decoder.rows_seen()),
            _ => (0, 0),
        }
    }

    fn connect(&mut self) {
        let endpoints = self.config.remotes.endpoints();
        let endpoint = endpoints[self.remote % endpoints.len()].clone();
        self.remote += 1;
        self.tried += 1;
        let (dial, limit) = (endpoint.clone(), self.config.connect_timeout);
        let connecting = async move {
            timeout(limit, dial.dial()).await.unwrap_or_else(|_| {
                Err(io::Error::new(io::ErrorKind::TimedOut, "the attempt to connect timed out"))
            })
        };
        self.phase = Phase::Connecting(endpoint, Box::pin(connecting));
    }

    fn connected(&mut self, endpoint: Endpoint, stream: Stream) {
        let now = Instant::now();
        let probe =
            self.config.probe.map(|probe| probe.max(SNAPSHOT_PROBE)).filter(|_| endpoint.needs_probe());
        let mut exchange = Exchange::new(probe, now.into_std());
        if let Err(error) = self.dialogue.connected(&mut exchange) {
            return self.failed(endpoint, error);
        }
        self.dialogue.events.push_back(SessionEvent::Connected(endpoint.clone()));
        let link = Link::new(stream, Decoder::new(self.config.limits), exchange);
        self.phase = Phase::Live(Box::new(Live { endpoint, since: now, link }));
    }

    fn lost(&mut self, error: Error) {
        let phase = std::mem::replace(&mut self.phase, Phase::Waiting(Instant::now()));
        let Phase::Live(live) = phase else { return };
        self.dialogue.disconnected(live.link.exchange.into_pending());
        // A connection that did not last is no success, or a server that breaks every one would be
        // asked without a pause.
        if live.since.elapsed() >= Duration::from_secs(1) {
            self.config.backoff.reset();
            self.tried = 0;
        }
        self.failed(live.endpoint, error);
    }

    fn failed(&mut self, remote: Endpoint, error: Error) {
        let retry = if self.tried < self.config.remotes.endpoints().len() && self.tried > 0 {
            Duration::ZERO
        } else {
            self.tried = 0;
            self.config.backoff.next_wait()
        };
        self.phase = Phase::Waiting(Instant::now() + retry);
        self.dialogue.events.push_back(SessionEvent::Disconnected { remote, error, retry });
    }
}

// ===== impl Live =====

impl Live {
    /// Takes in one message.
    async fn advance(
        &mut self,
        dialogue: &mut Dialogue,
        replica: &mut impl Replica,
        config: &SessionConfig,
    ) -> Result<(), Error> {
        let mut feed = Feed { dialogue: &mut *dialogue, replica: &mut *replica };
        match self.link.drive(&mut feed).await? {
            Incoming::Event(event) => {
                dialogue.handle(event, &mut self.link.exchange, &mut self.link.decoder, replica)
            }
            Incoming::Rows(head) => {
                let first = !dialogue.is_synced();
                dialogue.rows_complete(head, &mut self.link.exchange, replica)?;
                if first && self.endpoint.needs_probe() {
                    self.link.exchange.set_probe(config.probe, Instant::now().into_std());
                }
                Ok(())
            }
        }
    }
}

// ===== impl Phase =====

impl fmt::Debug for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Waiting(_) => f.write_str("Waiting"),
            Self::Connecting(endpoint, _) => f.debug_tuple("Connecting").field(endpoint).finish(),
            Self::Live(live) => f.debug_tuple("Live").field(&live.endpoint).finish(),
        }
    }
}
