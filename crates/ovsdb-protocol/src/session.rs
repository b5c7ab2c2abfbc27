//! A connection that comes back: reconnects, declares its monitor and lock anew, and keeps a
//! [`Replica`] in step with the database.

#[cfg(test)]
mod tests;

use std::fmt;
use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::time::Duration;

use serde::Serialize;
use serde_json::value::RawValue;
use tokio::io;
use tokio::time::{Instant, sleep_until, timeout};
use uuid::Uuid;

use crate::backoff::Backoff;
use crate::decoder::Decoder;
use crate::dialogue::{Call, Dialogue, Feed, Stage, json};
use crate::endpoint::{Destination, DialTimeouts, Endpoint, Remotes, Stream};
use crate::error::{Error, Kind};
use crate::exchange::Exchange;
use crate::link::{Incoming, Link};
use crate::lock::{LockName, LockStatus};
use crate::monitor::RowFilter;
use crate::outcome::Outcome;
use crate::replica::Replica;
use crate::rota::{Rota, Turn};
use crate::scan::Limits;
use crate::schema::DatabaseSchema;
use crate::server::{Policy, ServerDatabase, ServerRole, ServerUnusable, StorageModel};
use crate::tls::TlsConfig;
use crate::transact::Transaction;

/// How long a server may be silent before it is asked for a sign of life while it prepares a snapshot. It does
/// nothing else meanwhile, and needs more than a second for 40 MB.
const SNAPSHOT_PROBE: Duration = Duration::from_secs(60);

/// Longer than any process lives, and short enough to be added to an instant.
const NEVER: Duration = Duration::from_secs(10 * 365 * 86_400);

/// How long a server that takes no writes has to have served for reading, so that to leave it does not count as a failure.
const READ_ONLY_INTERVAL: Duration = Duration::from_secs(10);

/// How many bytes of a snapshot may wait to be decoded.
const READ_AHEAD: usize = 32 << 20;

/// How much a server may send until it was asked for rows: a schema, and what it says of itself.
const LONGEST_GREETING: u64 = 16 << 20;

/// What a [`Session`] connects to and how.
#[derive(Clone, Debug)]
pub struct SessionConfig {
    /// Where the database's servers listen. Each address of a name is a server of its own; names are looked up anew each
    /// time.
    pub remotes: Remotes,
    /// The database's name.
    pub database: String,
    /// What `ssl:` remotes need.
    pub tls: TlsConfig,
    /// Whether only the leader of a cluster will do, or a server without one. A follower or a relay may lag behind.
    pub leader_only: bool,
    /// The cluster that the servers must belong to. `None`: the one that the remotes name, or any, or none.
    pub cluster_id: Option<Uuid>,
    /// A lock to ask for on every connection to a server that can grant it: not to followers and relays, where it
    /// would exclude nobody.
    pub lock: Option<LockName>,
    /// How long a server may be silent before it is asked for a sign of life; it is given up after
    /// twice that. `None`: never. A server without a cluster is not probed over a Unix socket once the replica is in
    /// step.
    pub probe: Option<Duration>,
    /// How long a name may take to be looked up, an address to accept, and a server to be silent in a TLS handshake and
    /// until it is asked for rows. What servers take doubles with every one that was too slow, up to a minute, until one
    /// was not.
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
/// - The server's `_Server` database decides whether it will do: see [`SessionConfig::leader_only`]. A server that
///   will not, or ceases to, is left at once for the next remote. So is one that refuses a transaction as it takes no
///   writes, of which it says nothing before: [`ServerUnusable::ReadOnly`].
/// - After every (re)connection the replica is brought in step before [`SessionEvent::Synced`]: by
///   differences where the server remembers our last transaction, by a snapshot otherwise. The same happens on the
///   same connection when the database's schema is converted.
/// - Updates that a transaction of ours caused reach the replica before its
///   [`SessionEvent::Completed`].
#[derive(Debug)]
pub struct Session {
    config: SessionConfig,
    dialogue: Dialogue,
    phase: Phase,
    rota: Rota,
    /// The address of the present connection or attempt, or else of the last one.
    address: Option<SocketAddr>,
    /// How long a server may be silent at first: [`SessionConfig::connect_timeout`], adapted.
    patience: Duration,
}

/// Names a transaction of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TransactionId(pub(crate) u64);

/// Names a request of a session that is not a transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RequestId(pub(crate) u64);

/// Names a change of a session's conditions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConditionId(pub(crate) u64);

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
    /// A [request](Session::request) came to its end.
    Replied {
        /// Which one.
        id: RequestId,
        /// The result as JSON text, or why there is none.
        result: Result<Box<RawValue>, Error>,
    },
    /// A change of [conditions](Session::set_condition) came to its end. The replica has the rows by now.
    ConditionChanged {
        /// Which one.
        id: ConditionId,
        /// That the conditions hold, or why they remain what they were.
        result: Result<(), Error>,
    },
    /// The connection is lost, or an attempt to connect failed.
    Disconnected {
        /// The server.
        remote: Endpoint,
        /// What happened.
        error: Error,
        /// How long until the next attempt. [`Duration::MAX`]: there is none, since the request for a monitor is
        /// [invalid](Error::is_invalid_request).
        retry: Duration,
    },
}

enum Phase {
    Waiting(Instant),
    Resolving(Endpoint, Attempt<io::Result<Vec<Destination>>>),
    Connecting(Endpoint, Attempt<Result<Stream, Error>>),
    Live(Box<Live>),
}

type Attempt<T> = Pin<Box<dyn Future<Output = T> + Send>>;

struct Live {
    endpoint: Endpoint,
    since: Instant,
    stage: Stage,
    link: Link<Call>,
}

// ===== impl SessionConfig =====

impl SessionConfig {
    /// Connects to `database` at `remotes`, to the leader where there is one, without a lock and with the usual times.
    pub fn new(remotes: Remotes, database: impl Into<String>) -> Self {
        Self {
            remotes,
            database: database.into(),
            tls: TlsConfig::default(),
            leader_only: true,
            cluster_id: None,
            lock: None,
            probe: Some(Duration::from_secs(5)),
            connect_timeout: Duration::from_secs(5),
            backoff: Backoff::default(),
            limits: Limits::default(),
        }
    }
}

// ===== impl Session =====

impl Session {
    /// Prepares a session.
    pub fn new(config: SessionConfig) -> Self {
        let cluster_id = config.cluster_id.or_else(|| config.remotes.cluster_id());
        let policy = Policy::new(config.leader_only, cluster_id);
        let dialogue = Dialogue::new(config.database.clone(), config.lock.clone(), policy);
        let phase = Phase::Waiting(Instant::now());
        let rota = Rota::new(config.remotes.clone());
        Self { dialogue, phase, rota, address: None, patience: config.connect_timeout, config }
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
                Phase::Resolving(endpoint, resolving) => {
                    let result = resolving.await;
                    let endpoint = endpoint.clone();
                    match result {
                        Ok(destinations) => {
                            self.rota.resolved(destinations);
                            self.connect();
                        }
                        Err(error) => {
                            self.rota.unresolved();
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
                            if error.is_silence() {
                                self.lose_patience();
                            }
                            self.failed(endpoint, error);
                        }
                    }
                }
                Phase::Live(live) => {
                    let advanced = live.advance(&mut self.dialogue, replica, &self.config, self.patience);
                    if let Err(error) = advanced.await {
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
        let is_ours = transaction.database == self.config.database;
        self.transact_json(&json("transaction", transaction)?, transaction.len(), is_ours)
    }

    /// Sends any other request; `params` is what serializes to its JSON array. Its end is announced by
    /// [`SessionEvent::Replied`]. If the connection breaks before, the server may have done what it was asked for.
    ///
    /// # Errors
    /// The replica is not in step with the database at the moment, or too much is under way, or `method` is one by which
    /// the session itself works (monitors and locks), or `params` has no JSON. The request was not sent.
    pub fn request(&mut self, method: &str, params: &(impl Serialize + ?Sized)) -> Result<RequestId, Error> {
        self.request_json(method, &json("parameters", params)?)
    }

    /// Converts the database to another schema, given as JSON (ovsdb-server(7), section 4.1.19). Its end is announced as
    /// that of a [`request`](Self::request), before the replica is in step with the new schema or after.
    ///
    /// # Errors
    /// As [`request`](Self::request).
    pub fn convert(&mut self, schema: &(impl Serialize + ?Sized)) -> Result<RequestId, Error> {
        let params = json("schema", &(&self.config.database, schema))?;
        self.request_json("convert", &params)
    }

    /// Does what [`transact`](Self::transact) does with a transaction of so many operations in JSON; `is_ours` if it is
    /// for the database of the session.
    pub(crate) fn transact_json(
        &mut self,
        params: &str,
        operations: usize,
        is_ours: bool,
    ) -> Result<TransactionId, Error> {
        match &mut self.phase {
            Phase::Live(live) if self.dialogue.is_synced() => {
                self.dialogue.transact(params, operations, is_ours, &mut live.link.exchange)
            }
            _ => Err(Kind::Closed(None).into()),
        }
    }

    pub(crate) fn request_json(&mut self, method: &str, params: &str) -> Result<RequestId, Error> {
        match &mut self.phase {
            Phase::Live(live) if self.dialogue.is_synced() => {
                self.dialogue.request(method, params, &mut live.link.exchange)
            }
            _ => Err(Kind::Closed(None).into()),
        }
    }

    /// Gives a transaction up, and asks the server to do so too (RFC 7047 section 4.1.4). It may have happened all the
    /// same; there is no [`SessionEvent::Completed`] for it any more, unless that is on its way already.
    pub fn cancel(&mut self, id: TransactionId) {
        self.give_up(|call| matches!(call, Call::Transact(transaction, ..) if *transaction == id));
    }

    /// Gives a request up, as [`cancel`](Self::cancel) does a transaction.
    pub fn cancel_request(&mut self, id: RequestId) {
        self.give_up(|call| matches!(call, Call::Request(request) if *request == id));
    }

    fn give_up(&mut self, is_it: impl Fn(&Call) -> bool) {
        if let Phase::Live(live) = &mut self.phase
            && let Some(id) = live.link.exchange.find(is_it)
        {
            live.link.exchange.cancel(id);
        }
    }

    /// Monitors other rows of a table than the replica declares, from now on and on later connections, too
    /// (ovsdb-server(7), `monitor_cond_change`). RowFilter that come to match reach the replica as inserted, and rows that
    /// cease to as deleted. [`SessionEvent::ConditionChanged`] tells when they have, be it that the connection was lost
    /// meanwhile. A server that knows only the first generation of monitors sends all rows whatever the conditions.
    ///
    /// # Errors
    /// The replica is not in step with the database at the moment, or too much is under way, or the replica does not
    /// ask for the table or for the column of a condition. Nothing has changed.
    pub fn set_condition(&mut self, table: &str, rows: RowFilter) -> Result<ConditionId, Error> {
        match &mut self.phase {
            Phase::Live(live) if self.dialogue.is_synced() => {
                self.dialogue.set_condition(table, rows, &mut live.link.exchange)
            }
            _ => Err(Kind::Closed(None).into()),
        }
    }

    /// Chooses which rows of a table to ask for when the replica is asked the next time what to monitor.
    pub(crate) fn preset_condition(&mut self, table: &str, rows: RowFilter) {
        self.dialogue.preset_condition(table, rows);
    }

    /// Asks the replica again what to monitor, because it has come to want something else. It is brought in step by a
    /// snapshot, of which it learns the differences, and [`SessionEvent::Synced`] tells when. Until then no transactions
    /// are accepted. Without a connection, or before the replica was asked the first time, there is nothing to do.
    ///
    /// # Errors
    /// Too much is under way; nothing has changed.
    pub fn redeclare(&mut self) -> Result<(), Error> {
        match &mut self.phase {
            Phase::Live(live) => self.dialogue.redeclare(&mut live.link.exchange),
            _ => Ok(()),
        }
    }

    /// Returns the schema of the database, as of the last time that the replica was asked what to monitor; `None`
    /// without a connection that is so far.
    pub fn schema(&self) -> Option<&DatabaseSchema> {
        self.dialogue.schema()
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

    /// Gives the lock back, and does not ask for it again until told otherwise; or asks for it again. A session without
    /// a lock has none to ask for.
    ///
    /// A transaction that is under way keeps its place before the lock's end. [`SessionEvent::Lock`] tells of the change.
    ///
    /// # Errors
    /// Too much is under way; nothing has changed.
    pub fn want_lock(&mut self, wanted: bool) -> Result<(), Error> {
        let exchange =
            if let Phase::Live(live) = &mut self.phase { Some(&mut live.link.exchange) } else { None };
        self.dialogue.want_lock(wanted, exchange)
    }

    /// Asks for this lock from now on, whatever [`SessionConfig::lock`] says, and gives the one so far back.
    /// [`SessionEvent::Lock`] tells of the change.
    ///
    /// # Errors
    /// Too much is under way; the lock is asked for on the next connection, or when it is wanted again.
    pub fn set_lock(&mut self, name: LockName) -> Result<(), Error> {
        let exchange =
            if let Phase::Live(live) = &mut self.phase { Some(&mut live.link.exchange) } else { None };
        self.dialogue.set_lock(name, exchange)
    }

    /// Takes the lock from whoever has it (RFC 7047 §4.1.8), where we wait for it; nothing happens otherwise.
    /// [`SessionEvent::Lock`] tells of the change. The other one is told, and a session waits for it from then on.
    ///
    /// This is for a holder that may be dead, which ovsdb-server does not notice while it has something left to send to
    /// it. One that lives can steal it back; two that always do have no lock at all.
    ///
    /// # Errors
    /// Too much is under way; we wait for the lock as before, or ask for it anew when there is room.
    pub fn steal_lock(&mut self) -> Result<(), Error> {
        match &mut self.phase {
            Phase::Live(live) => self.dialogue.steal_lock(&mut live.link.exchange),
            _ => Ok(()),
        }
    }

    /// Returns the server of the current connection.
    pub fn remote(&self) -> Option<&Endpoint> {
        if let Phase::Live(live) = &self.phase { Some(&live.endpoint) } else { None }
    }

    /// Returns the address of the present connection or attempt, or else of the last one: which of those that the name
    /// in a remote stands for. A Unix socket has none.
    pub fn address(&self) -> Option<SocketAddr> {
        self.address
    }

    /// Returns how many bytes and rows were received on the current connection.
    pub fn received(&self) -> (u64, u64) {
        match &self.phase {
            Phase::Live(live) => (live.link.decoder.position(), self.dialogue.rows_seen()),
            _ => (0, 0),
        }
    }

    /// Returns what the server of the current connection is, once it was found to do.
    pub fn role(&self) -> Option<ServerRole> {
        self.dialogue.role()
    }

    /// Returns what the server of the current connection says of the database, once it was found to do and if it is
    /// not too old to say so.
    pub fn server(&self) -> Option<&ServerDatabase> {
        self.dialogue.server()
    }

    /// Forgets how much of its log the cluster had applied, so that a member which has less is not taken for a stale
    /// one: for a cluster that was restored from a backup under its old id.
    pub fn reset_min_index(&mut self) {
        self.dialogue.policy().reset_min_index();
    }

    /// Changes where the database's servers listen. A connection to one that still is among them stays; any other
    /// ends, which [`SessionEvent::Disconnected`] tells. The cluster that they must belong to remains the one that the
    /// session began with.
    pub fn set_remotes(&mut self, remotes: Remotes) {
        let current = match &self.phase {
            Phase::Waiting(_) => None,
            Phase::Resolving(endpoint, _) | Phase::Connecting(endpoint, _) => Some(endpoint.clone()),
            Phase::Live(live) => Some(live.endpoint.clone()),
        };
        let is_listed = self.rota.replace(remotes, current.as_ref());
        let unlisted = current.filter(|_| !is_listed);
        // None of the new ones was tried, so that nothing speaks for a pause.
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

    fn connect(&mut self) {
        let limit = self.config.connect_timeout;
        self.phase = match self.rota.turn() {
            Turn::Resolve(endpoint) => {
                self.address = None;
                let name = endpoint.clone();
                let resolving = async move {
                    timeout(limit, name.resolve()).await.unwrap_or_else(|_| {
                        Err(io::Error::new(io::ErrorKind::TimedOut, "no name server answers in time"))
                    })
                };
                Phase::Resolving(endpoint, Box::pin(resolving))
            }
            Turn::Connect(destination) => {
                self.address = destination.address();
                let endpoint = destination.endpoint().clone();
                let tls = self.config.tls.clone();
                let timeouts = DialTimeouts { connect: limit, handshake: self.patience };
                Phase::Connecting(endpoint, Box::pin(async move { destination.dial(&tls, timeouts).await }))
            }
        };
    }

    fn connected(&mut self, endpoint: Endpoint, stream: Stream) {
        let now = Instant::now();
        // A sign of life is asked for after half of the time, so that the end comes after all of it.
        let mut exchange = Exchange::new(Some(self.patience / 2), now.into_std());
        if let Err(error) = self.dialogue.connected(&mut exchange) {
            return self.failed(endpoint, error);
        }
        self.dialogue.events.push_back(SessionEvent::Connected(endpoint.clone()));
        let mut link = Link::new(stream, Decoder::new(self.config.limits), exchange);
        link.limit = LONGEST_GREETING;
        self.phase = Phase::Live(Box::new(Live { endpoint, since: now, stage: Stage::Greeting, link }));
    }

    fn lost(&mut self, error: Error) {
        let phase = std::mem::replace(&mut self.phase, Phase::Waiting(Instant::now()));
        let Phase::Live(live) = phase else { return };
        // A connection that did not last is no success, or a server that breaks every one would be
        // asked without a pause. One that ceases to be the leader is no such server.
        let lasted = live.since.elapsed();
        let served = match error.as_server_unusable() {
            None => lasted >= Duration::from_secs(1),
            // It never took a write: it may be one of several that take none, all of whom would be asked for their
            // rows in turn.
            Some(ServerUnusable::ReadOnly) if !self.dialogue.took_writes() => lasted >= READ_ONLY_INTERVAL,
            Some(_) => true,
        };
        if self.dialogue.was_synced() && served {
            self.config.backoff.reset();
            self.patience = self.config.connect_timeout;
            self.rota.succeeded();
        }
        if error.is_silence() && live.stage == Stage::Greeting {
            self.lose_patience();
        }
        self.dialogue.disconnected(live.link.exchange.into_pending());
        self.failed(live.endpoint, error);
    }

    fn failed(&mut self, remote: Endpoint, error: Error) {
        let retry = if error.is_invalid_request() {
            // No server would take it.
            Duration::MAX
        } else if self.rota.is_over() {
            self.config.backoff.next_wait()
        } else {
            Duration::ZERO
        };
        self.phase = Phase::Waiting(Instant::now() + retry.min(NEVER));
        self.dialogue.events.push_back(SessionEvent::Disconnected { remote, error, retry });
    }

    /// A server was too slow: it gets more time from now on, so that one which is busy with the connections that we
    /// made and gave up before is not kept busy for ever.
    fn lose_patience(&mut self) {
        self.patience = (self.patience * 2).min(SNAPSHOT_PROBE).max(self.config.connect_timeout);
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
        patience: Duration,
    ) -> Result<(), Error> {
        let mut feed = Feed { dialogue: &mut *dialogue, replica: &mut *replica };
        let incoming = self.link.drive(&mut feed).await?;
        let Link { exchange, decoder, limit, ahead, .. } = &mut self.link;
        match incoming {
            Incoming::Event(event) => dialogue.handle(event, exchange, decoder, replica)?,
            Incoming::Rows(head) => dialogue.rows_complete(head, exchange, decoder, replica)?,
        }
        let stage = dialogue.stage();
        if stage != self.stage {
            self.stage = stage;
            ahead.set_most(if stage == Stage::Loading { READ_AHEAD } else { 0 });
            *limit = if stage == Stage::Greeting { decoder.received() + LONGEST_GREETING } else { u64::MAX };
            let probe = match stage {
                Stage::Greeting => Some(patience / 2),
                Stage::Loading => Some(config.probe.unwrap_or_default().max(SNAPSHOT_PROBE)),
                // A Unix socket tells when its peer is gone, and where there is no other server it does not matter
                // whether that is frozen.
                Stage::Synced => {
                    let has_others =
                        dialogue.server().is_some_and(|server| server.model == StorageModel::Clustered);
                    config.probe.filter(|_| has_others || self.endpoint.needs_probe())
                }
            };
            exchange.set_probe(probe, Instant::now().into_std());
        }
        Ok(())
    }
}

// ===== impl Phase =====

impl fmt::Debug for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Waiting(_) => f.write_str("Waiting"),
            Self::Resolving(endpoint, _) => f.debug_tuple("Resolving").field(endpoint).finish(),
            Self::Connecting(endpoint, _) => f.debug_tuple("Connecting").field(endpoint).finish(),
            Self::Live(live) => f.debug_tuple("Live").field(&live.endpoint).finish(),
        }
    }
}
