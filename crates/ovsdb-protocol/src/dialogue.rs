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

mod conditions;
mod introduction;
mod locking;
mod requests;
mod rows;

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use serde_json::value::RawValue;
use uuid::Uuid;

use self::conditions::ConditionChange;
pub(crate) use self::rows::Feed;
use self::rows::{Parts, Source};
use crate::decoder::Decoder;
use crate::encode::to_json;
use crate::error::{Error, Kind};
use crate::exchange::{Event, Exchange};
use crate::greeting::{Description, Greeting, SERVER};
use crate::lock::{Lock, LockName};
use crate::monitor::{self, MonitorMethod, MonitorRequests, RowFilter};
use crate::outcome::{DatabaseError, Outcome};
use crate::replica::Replica;
use crate::schema::DatabaseSchema;
use crate::server::{Policy, ServerDatabase, ServerRole};
use crate::session::{ConditionId, RequestId, SessionEvent, TransactionId};
use crate::transact::Transaction;

/// The id of the first monitor of the database on a connection. Every later one has a number, too, so that updates of a
/// monitor that was cancelled are not taken for those of the next.
const MONITOR: &str = "session";

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
    /// The number tells which monitor of the connection it is.
    Monitor(MonitorMethod, u32),
    /// Asks for one more part of the snapshot of this monitor.
    Part(u32),
    /// Ends a monitor.
    EndMonitor,
    /// Changes which rows of a table are monitored.
    Condition(ConditionId),
    /// Asks for the lock; the number tells one time from another.
    Lock(u64),
    Unlock,
    /// A transaction of so many operations; the flag tells whether it is for the database of the session.
    Transact(TransactionId, usize, bool),
    /// A request of the caller's own.
    Request(RequestId),
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
    /// Which rows of a table to monitor, where it is not what the replica declares.
    conditions: BTreeMap<String, RowFilter>,
    /// The changes of conditions that have not taken effect yet. While there are some, the rows that are here belong to
    /// neither the old nor the new conditions, so that there is no position.
    changing: VecDeque<ConditionChange>,
    heard: Heard,
    next_id: u64,
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
    /// Whose rows arrive.
    source: Source,
    /// The answer to the question for the schema, until it is known that the server will do.
    schema: Option<Result<DatabaseSchema, DatabaseError>>,
    /// What rows were asked for.
    asked: Option<Position>,
    /// The monitor of the database: how many there were before it on this connection, its id as JSON text, and the
    /// request that has its rows for reply.
    monitor_number: u32,
    monitor: String,
    monitor_request: Option<u64>,
    /// The monitors that are being cancelled, whose updates may still be on their way.
    cancelled: VecDeque<String>,
    /// The last transaction that the replica reflects; none while a batch of rows is under way.
    last: Option<Uuid>,
    /// Completions that wait for the rows of a new monitor: what the transactions changed has not reached the replica.
    deferred: Vec<SessionEvent>,
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
#[derive(Clone, Debug, PartialEq)]
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
            conditions: BTreeMap::new(),
            changing: VecDeque::new(),
            heard: Heard::default(),
            next_id: 1,
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
        self.heard.last.is_some()
    }

    /// The schema by which rows were asked for.
    pub(crate) fn schema(&self) -> Option<&DatabaseSchema> {
        self.heard.asked.as_ref().map(|asked| &asked.view.schema)
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
            Event::Reply { token: Call::EndMonitor, .. } => drop(self.heard.cancelled.pop_front()),
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
            // Refusals and parts of a monitor that was cancelled meanwhile are of no interest.
            Event::Reply { token: Call::Monitor(_, number) | Call::Part(number), .. }
                if number != self.heard.monitor_number => {}
            Event::Reply { token: Call::Monitor(method, _), result } => {
                let older = monitor_refused(method, result)?;
                self.monitor(older, exchange, decoder)?;
            }
            Event::Reply { token: Call::Part(_), result } => self.part_complete(result, replica)?,
            Event::Reply { token: Call::Condition(id), result } => self.condition_answered(id, result),
            Event::Reply { token: Call::Lock(time), result } => self.lock_answered(time, result)?,
            Event::Reply { token: Call::Transact(id, operations, is_ours), result } => {
                self.transacted(id, operations, is_ours, result, exchange)?;
            }
            Event::Reply { token: Call::Request(id), result } => {
                let result = result.map_err(Error::from);
                self.events.push_back(SessionEvent::Replied { id, result });
            }
        }
        self.proceed(exchange, decoder, replica)
    }

    /// The connection is gone.
    pub(crate) fn disconnected(&mut self, pending: impl Iterator<Item = Call>) {
        let heard = std::mem::take(&mut self.heard);
        self.events.extend(heard.deferred);
        self.lock_lost();
        for call in pending {
            match call {
                Call::Transact(id, ..) => {
                    self.events.push_back(SessionEvent::Completed { id, outcome: Outcome::Unknown });
                }
                Call::Request(id) => {
                    self.events
                        .push_back(SessionEvent::Replied { id, result: Err(Kind::Closed(None).into()) });
                }
                _ => {}
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
        let mut requests = replica.declare(&schema).map_err(Kind::SchemaMismatch)?;
        self.override_conditions(&mut requests);
        let requests = monitor::conform(requests, &schema);
        let view = View { schema, cluster, requests };
        if view.requests.is_empty() {
            return self.synced_without_rows(view, replica);
        }
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
                if monitor.get() == self.heard.monitor {
                    return self.start_over(exchange);
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// Asks the replica again what to monitor, by the schema of now. Nothing happens where it is yet to be asked.
    pub(crate) fn redeclare(&mut self, exchange: &mut Exchange<Call>) -> Result<(), Error> {
        if self.heard.asked.is_none() {
            return Ok(());
        }
        // Both or none: without a schema nothing would ever be monitored again.
        if exchange.room() < 2 {
            return Err(Kind::Busy.into());
        }
        if self.heard.monitor_request.take().is_some() {
            let monitor = std::mem::take(&mut self.heard.monitor);
            send(exchange, "monitor_cancel", &format!("[{monitor}]"), Call::EndMonitor)?;
            self.heard.cancelled.push_back(monitor);
            self.heard.monitor_number += 1;
        }
        self.start_over(exchange)
    }

    /// There is no monitor any more: it was cancelled, by the server where the schema has changed or the database is
    /// gone. What is here stays until the rows of the next monitor tell the difference.
    fn start_over(&mut self, exchange: &mut Exchange<Call>) -> Result<(), Error> {
        self.position = None;
        if self.heard.source == Source::Database {
            self.heard.source = Source::Cancelled;
        }
        self.heard.last = None;
        self.heard.asked = None;
        self.heard.parts = None;
        self.heard.synced = false;
        self.ask_schema(exchange)
    }
}

fn send(exchange: &mut Exchange<Call>, method: &str, params: &str, call: Call) -> Result<u64, Error> {
    exchange.request(method, params, call).map_err(|_| Kind::Busy.into())
}

pub(crate) fn json(what: &'static str, value: &(impl serde::Serialize + ?Sized)) -> Result<String, Error> {
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
