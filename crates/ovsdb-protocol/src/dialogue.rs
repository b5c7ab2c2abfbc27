//! What a session says on a connection, and what it keeps from one connection to the next. Pure.
//!
//! ```text
//! us                                              server
//! get_schema _Server, set_db_change_aware,
//! get_schema of the database                  →
//!                                             ←  schemas
//! monitor _Server, select its index           →
//!                                             ←  rows: will the server do?
//! lock, monitor, and the rest of its parts    →
//!                                             ←  rows, then updates of both databases
//! ```

mod introduction;
mod locking;
mod rows;

use std::collections::VecDeque;
use std::sync::Arc;

use serde_json::value::RawValue;
use uuid::Uuid;

pub(crate) use self::rows::Feed;
use self::rows::Parts;
use crate::decoder::Decoder;
use crate::encode::to_json;
use crate::error::{Error, Kind};
use crate::exchange::{Event, Exchange};
use crate::greeting::{Description, Greeting, SERVER};
use crate::lock::{Lock, LockName};
use crate::monitor::{self, MonitorMethod, MonitorRequests};
use crate::outcome::{DatabaseError, Outcome, TransactError};
use crate::replica::Replica;
use crate::schema::DatabaseSchema;
use crate::server::{Policy, ServerDatabase, ServerRole, ServerUnusable};
use crate::session::{SessionEvent, TransactionId};
use crate::transact::Transaction;

/// The id of the monitor of the database, and its JSON text.
const MONITOR: &str = "session";
const MONITOR_TEXT: &str = "\"session\"";

/// The id of the monitor of `_Server`, and its JSON text.
const SERVER_MONITOR: &str = "server";
const SERVER_MONITOR_TEXT: &str = "\"server\"";

/// A request of the session.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Call {
    /// Asks to be told of schema conversions rather than cut off. Old servers refuse, which is as well.
    Aware,
    ServerSchema,
    ServerMonitor(MonitorMethod),
    ServerIndex,
    Schema,
    Monitor(MonitorMethod),
    /// Asks for one more part of a snapshot.
    Part,
    /// Asks for the lock; the number tells one time from another.
    Lock(u64),
    Unlock,
    /// A transaction of so many operations; the flag tells whether it is for the database of the session.
    Transact(TransactionId, usize, bool),
}

/// How far a connection is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    /// Small questions and answers.
    Greeting,
    /// The rows were asked for, which may take the server its time.
    Loading,
    /// The replica is in step.
    Synced,
}

/// The session's side of the conversation.
#[derive(Debug)]
pub(crate) struct Dialogue {
    database: String,
    lock: Option<Lock>,
    /// Whether the lock is to be had at all.
    wants_lock: bool,
    policy: Policy,
    /// Whether a snapshot may come in parts: until a server refused that, whichever it was, for those of a cluster are
    /// of a kind.
    parts_will_do: bool,
    /// What the replica holds, where it can be resumed.
    position: Option<Position>,
    heard: Heard,
    next_transaction: u64,
    pub(crate) events: VecDeque<SessionEvent>,
}

/// What was said on the present connection, forgotten with it.
#[derive(Debug, Default)]
struct Heard {
    greeting: Greeting,
    /// What the server says of the database, where it will do.
    server: Option<(ServerRole, Option<ServerDatabase>)>,
    /// The question for the index, where the server knows it, and whether it is under way.
    index_request: Option<Transaction>,
    asking_index: bool,
    /// What was asked of `_Server`, and the request that has its rows for reply.
    server_requests: MonitorRequests,
    server_monitor: Option<u64>,
    /// Whether the rows that arrive are those of `_Server`.
    serving: bool,
    /// The answer to the question for the schema, until it is known that the server will do.
    schema: Option<Result<DatabaseSchema, DatabaseError>>,
    /// What rows were asked for.
    asked: Option<Position>,
    /// The snapshot that comes in parts.
    parts: Option<Parts>,
    synced: bool,
    was_synced: bool,
    /// Whether the server has committed a transaction.
    took_writes: bool,
    rows_seen: u64,
}

/// All that decides whether the server's differences fit the rows that are here. One value, so
/// that no part of it can be newer than another.
#[derive(Clone, Debug)]
struct Position {
    view: Arc<View>,
    last: Uuid,
}

/// What of which database is monitored.
#[derive(Debug, PartialEq)]
struct View {
    schema: DatabaseSchema,
    /// Where two clusters had the same transaction id, it would be by chance; but to ask costs nothing.
    cluster: Option<Uuid>,
    requests: MonitorRequests,
}

// ===== impl Dialogue =====

impl Dialogue {
    pub(crate) fn new(database: String, lock: Option<LockName>, policy: Policy) -> Self {
        Self {
            database,
            lock: lock.map(Lock::new),
            wants_lock: true,
            policy,
            parts_will_do: true,
            position: None,
            heard: Heard::default(),
            next_transaction: 1,
            events: VecDeque::new(),
        }
    }

    pub(crate) fn stage(&self) -> Stage {
        match self.heard {
            Heard { synced: true, .. } => Stage::Synced,
            Heard { asked: Some(_), .. } => Stage::Loading,
            _ => Stage::Greeting,
        }
    }

    pub(crate) fn is_synced(&self) -> bool {
        self.heard.synced
    }

    /// Whether the replica was in step on this connection.
    pub(crate) fn was_synced(&self) -> bool {
        self.heard.was_synced
    }

    /// Whether the server of this connection has committed a transaction of ours.
    pub(crate) fn took_writes(&self) -> bool {
        self.heard.took_writes
    }

    /// How many rows the replica was given on this connection.
    pub(crate) fn rows_seen(&self) -> u64 {
        self.heard.rows_seen
    }

    /// Whether no batch of rows is under way.
    pub(crate) fn is_whole(&self) -> bool {
        self.position.is_some()
    }

    pub(crate) fn role(&self) -> Option<ServerRole> {
        self.heard.server.as_ref().map(|(role, _)| *role)
    }

    pub(crate) fn server(&self) -> Option<&ServerDatabase> {
        self.heard.server.as_ref()?.1.as_ref()
    }

    pub(crate) fn policy(&mut self) -> &mut Policy {
        &mut self.policy
    }

    /// A connection is there: asks what does not depend on anything.
    pub(crate) fn connected(&mut self, exchange: &mut Exchange<Call>) -> Result<(), Error> {
        self.heard = Heard::default();
        send(exchange, "get_schema", &json("database name", &[SERVER])?, Call::ServerSchema)?;
        send(exchange, "set_db_change_aware", "[true]", Call::Aware)?;
        self.ask_schema(exchange)
    }

    /// Queues a transaction. The caller checked that the replica is in step.
    pub(crate) fn transact(
        &mut self,
        transaction: &Transaction,
        exchange: &mut Exchange<Call>,
    ) -> Result<TransactionId, Error> {
        let id = TransactionId(self.next_transaction);
        self.next_transaction += 1;
        let params = json("transaction", transaction)?;
        let is_ours = transaction.database == self.database;
        send(exchange, "transact", &params, Call::Transact(id, transaction.len(), is_ours))?;
        Ok(id)
    }

    /// Takes a message that holds no rows.
    pub(crate) fn handle(
        &mut self,
        event: Event<Call>,
        exchange: &mut Exchange<Call>,
        decoder: &mut Decoder,
        replica: &mut impl Replica,
    ) -> Result<(), Error> {
        match event {
            Event::Notification { method, params } => return self.notified(&method, &params, exchange),
            Event::Reply { token: Call::Aware | Call::Unlock, .. } => {}
            Event::Reply { token: Call::ServerSchema, result } => match result {
                Ok(schema) => self.ask_server(&parse_schema(&schema)?, exchange, decoder)?,
                Err(_) => self.heard.greeting.absent(),
            },
            Event::Reply { token: Call::ServerMonitor(method), result } => {
                let older = monitor_refused(method, result)?;
                self.monitor_server(older, exchange, decoder)?;
            }
            Event::Reply { token: Call::ServerIndex, result } => self.index_answered(result),
            Event::Reply { token: Call::Schema, result } => {
                self.heard.schema = Some(match result {
                    Ok(schema) => Ok(parse_schema(&schema)?),
                    Err(error) => Err(error),
                });
            }
            Event::Reply { token: Call::Monitor(method), result } => {
                let older = monitor_refused(method, result)?;
                self.monitor(older, exchange, decoder)?;
            }
            Event::Reply { token: Call::Part, result } => self.part_complete(result, replica)?,
            Event::Reply { token: Call::Lock(time), result } => self.lock_answered(time, result)?,
            Event::Reply { token: Call::Transact(id, operations, is_ours), result } => {
                self.transacted(id, operations, is_ours, result, exchange)?;
            }
        }
        self.proceed(exchange, decoder, replica)
    }

    /// The connection is gone.
    pub(crate) fn disconnected(&mut self, pending: impl Iterator<Item = Call>) {
        self.heard = Heard::default();
        self.lock_lost();
        for call in pending {
            if let Call::Transact(id, ..) = call {
                self.events.push_back(SessionEvent::Completed { id, outcome: Outcome::Unknown });
            }
        }
    }

    /// Does what has become possible: judges the server whenever it said something new of itself, and asks for the
    /// lock and the rows as soon as it will do.
    fn proceed(
        &mut self,
        exchange: &mut Exchange<Call>,
        decoder: &mut Decoder,
        replica: &mut impl Replica,
    ) -> Result<(), Error> {
        let server = match self.heard.greeting.description(&self.database) {
            None => return Ok(()),
            Some(Description::None) => (ServerRole::Standalone, None),
            Some(Description::Of(database)) => {
                let role = self.policy.judge(database.as_ref()).map_err(Kind::ServerUnusable)?;
                if let Some(database) = &database {
                    self.policy.note(database);
                }
                (role, database)
            }
        };
        let cluster = server.1.as_ref().and_then(|database| database.cluster_id);
        let role = server.0;
        self.heard.server = Some(server);
        self.lock_where_it_counts(role, exchange)?;
        let Some(schema) = self.heard.schema.take() else { return Ok(()) };
        let schema = schema?;
        let requests = replica.declare(&schema).map_err(Kind::SchemaMismatch)?;
        let requests = monitor::conform(requests, &schema);
        let view = View { schema, cluster, requests };
        // Differences make sense only on top of the very same view of the database.
        let resumable = self.position.take().filter(|old| *old.view == view);
        self.position.clone_from(&resumable);
        self.heard.asked =
            Some(resumable.unwrap_or_else(|| Position { view: Arc::new(view), last: Uuid::nil() }));
        self.monitor(MonitorMethod::CondSince, exchange, decoder)
    }

    fn ask_schema(&self, exchange: &mut Exchange<Call>) -> Result<(), Error> {
        send(exchange, "get_schema", &json("database name", &[&self.database])?, Call::Schema).map(drop)
    }

    fn transacted(
        &mut self,
        id: TransactionId,
        operations: usize,
        is_ours: bool,
        result: Result<Box<RawValue>, DatabaseError>,
        exchange: &mut Exchange<Call>,
    ) -> Result<(), Error> {
        // A reply that cannot be read tells no more than none.
        let (outcome, malformed) = match result {
            Ok(result) => match Outcome::from_result(result.get(), operations) {
                Ok(outcome) => (outcome, None),
                Err(e) => (Outcome::Unknown, Some(Error::malformed("transaction result", e))),
            },
            Err(error) => (Outcome::Refused(TransactError::new(None, error)), None),
        };
        // A server that does not have what we committed is too old to come back to.
        let clustered = self.server().is_some_and(|database| database.cluster_id.is_some());
        if clustered && matches!(outcome, Outcome::Committed(_)) {
            self.ask_index(exchange)?;
        }
        self.heard.took_writes |= is_ours && matches!(outcome, Outcome::Committed(_));
        // Another server may take writes, but the server's own databases are written nowhere.
        let is_read_only = is_ours
            && !self.database.starts_with('_')
            && matches!(&outcome, Outcome::Refused(refusal) if refusal.error.is_read_only());
        self.events.push_back(SessionEvent::Completed { id, outcome });
        match malformed {
            Some(malformed) => Err(malformed),
            None if is_read_only => Err(Kind::ServerUnusable(ServerUnusable::ReadOnly).into()),
            None => Ok(()),
        }
    }

    fn notified(
        &mut self,
        method: &str,
        params: &RawValue,
        exchange: &mut Exchange<Call>,
    ) -> Result<(), Error> {
        match method {
            "locked" | "stolen" => return self.lock_notified(method, params, exchange),
            "monitor_canceled" => {
                let [monitor]: [Box<RawValue>; 1] = serde_json::from_str(params.get())
                    .map_err(|e| Error::malformed("notification of a monitor's end", e))?;
                if monitor.get() == MONITOR_TEXT {
                    return self.canceled(exchange);
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// The server has ended our monitor: the schema has changed, or the database is gone. What is here stays until
    /// the rows by the new schema tell the difference.
    fn canceled(&mut self, exchange: &mut Exchange<Call>) -> Result<(), Error> {
        self.position = None;
        self.heard.asked = None;
        self.heard.parts = None;
        self.heard.synced = false;
        self.ask_schema(exchange)
    }
}

fn send(exchange: &mut Exchange<Call>, method: &str, params: &str, call: Call) -> Result<u64, Error> {
    exchange.request(method, params, call).map_err(|_| Kind::Busy.into())
}

fn json(what: &'static str, value: &(impl serde::Serialize + ?Sized)) -> Result<String, Error> {
    to_json(value).map_err(|e| Error::invalid_request(what, e))
}

fn parse_schema(text: &RawValue) -> Result<DatabaseSchema, Error> {
    DatabaseSchema::parse(text.get()).map_err(|e| Error::malformed("schema", e))
}

/// Returns the method to try after a monitor request came back without rows.
fn monitor_refused(
    method: MonitorMethod,
    result: Result<Box<RawValue>, DatabaseError>,
) -> Result<MonitorMethod, Error> {
    let Err(error) = result else {
        return Err(Error::malformed("monitor reply", "it holds no tables"));
    };
    method.fallback().filter(|_| error.error == "unknown method").ok_or_else(|| error.into())
}
