//! The state machine of a session: handshake, monitors, lock and pending requests. No IO, no clock.
//!
//! ```text
//! client                                          server
//! get_schema _Server, set_db_change_aware,
//! get_schema of the database                  →
//!                                             ←  schemas
//! monitor _Server, select its index           →
//!                                             ←  rows: is the server usable?
//! lock, monitor, and its further load stages  →
//!                                             ←  rows, then updates of both databases
//! ```

mod call;
mod conditions;
mod connection;
mod database_monitor;
mod lock;
mod requests;
mod rows;
mod server;

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use serde_json::value::RawValue;
use uuid::Uuid;

pub(crate) use self::call::Call;
use self::conditions::ConditionChange;
pub(crate) use self::connection::ConnectionPhase;
use self::connection::{ConnectionState, ResumePoint, View};
pub(crate) use self::rows::Feed;
use self::rows::Source;
use crate::decoder::Decoder;
use crate::request::request_json;
use crate::error::{Error, Kind};
use crate::jsonrpc::{Event, JsonRpc};
use crate::lock::{Lock, LockName, LockNotice};
use crate::monitor::{self, MonitorMethod, RowFilter};
use crate::outcome::{DatabaseError, Outcome};
use crate::replica::Replica;
use crate::schema::DatabaseSchema;
use crate::server::{Policy, ServerDatabase, ServerRole};
use crate::session::SessionEvent;
use crate::session::server_monitor::{SERVER, ServerInfo};

/// The id of the monitor of `_Server`, and its JSON text.
const SERVER_MONITOR: &str = "server";
const SERVER_MONITOR_TEXT: &str = "\"server\"";

/// The state of a session: what it sends and expects, without IO or clock.
#[derive(Debug)]
pub(crate) struct SessionState {
    database: String,
    lock: Option<Lock>,
    /// Whether the lock is to be requested at all.
    wants_lock: bool,
    policy: Policy,
    /// Whether snapshots are loaded in stages: until a server refuses that, as the others of its cluster then would.
    can_stage: bool,
    /// The state that the replica can be resumed from, if there is one.
    resume_point: Option<ResumePoint>,
    /// The rows of tables to monitor that the caller chose instead of those that the replica declares.
    conditions: BTreeMap<String, RowFilter>,
    /// The pending changes of conditions. While there are some, the rows of the replica match neither the old nor the new
    /// conditions, so that there is no resume point.
    changing: VecDeque<ConditionChange>,
    connection: ConnectionState,
    next_id: u64,
    pub(crate) events: VecDeque<SessionEvent>,
}

// ===== impl SessionState =====

impl SessionState {
    pub(crate) fn new(database: String, lock: Option<LockName>, policy: Policy) -> Self {
        Self {
            database,
            lock: lock.map(Lock::new),
            wants_lock: true,
            policy,
            can_stage: true,
            resume_point: None,
            conditions: BTreeMap::new(),
            changing: VecDeque::new(),
            connection: ConnectionState::default(),
            next_id: 1,
            events: VecDeque::new(),
        }
    }

    pub(crate) fn connection_phase(&self) -> ConnectionPhase {
        match self.connection {
            ConnectionState { synced: true, .. } => ConnectionPhase::Synced,
            ConnectionState { requested: Some(_), .. } => ConnectionPhase::Loading,
            // The server still sends the rows that the cancelled monitor has requested.
            ConnectionState { ref monitor, .. } if monitor.is_cancelling() => ConnectionPhase::Loading,
            _ => ConnectionPhase::Handshake,
        }
    }

    pub(crate) fn is_synced(&self) -> bool {
        self.connection.synced
    }

    /// Returns true if the replica was synchronised on this connection.
    pub(crate) fn was_synced(&self) -> bool {
        self.connection.was_synced
    }

    /// Returns true if the server of this connection has committed a transaction of this session.
    pub(crate) fn took_writes(&self) -> bool {
        self.connection.took_writes
    }

    /// Returns the number of rows that the replica was given on this connection.
    pub(crate) fn rows_seen(&self) -> u64 {
        self.connection.rows_seen
    }

    /// Returns true if no batch of rows is incomplete.
    pub(crate) fn is_whole(&self) -> bool {
        self.connection.last.is_some()
    }

    /// Returns the schema by which rows were requested.
    pub(crate) fn schema(&self) -> Option<&DatabaseSchema> {
        self.connection.requested.as_ref().map(|asked| &asked.view.schema)
    }

    pub(crate) fn role(&self) -> Option<ServerRole> {
        self.connection.server.usable.as_ref().map(|(role, _)| *role)
    }

    pub(crate) fn server(&self) -> Option<&ServerDatabase> {
        self.connection.server.usable.as_ref()?.1.as_ref()
    }

    pub(crate) fn policy(&mut self) -> &mut Policy {
        &mut self.policy
    }

    /// Starts the handshake on a new connection.
    pub(crate) fn connected(&mut self, rpc: &mut JsonRpc<Call>) -> Result<(), Error> {
        self.connection = ConnectionState::default();
        send(rpc, "get_schema", &request_json("database name", &[SERVER])?, Call::ServerSchema)?;
        send(rpc, "set_db_change_aware", "[true]", Call::Aware)?;
        self.request_schema(rpc)
    }

    /// Handles a message without rows.
    pub(crate) fn handle(
        &mut self,
        event: Event<Call>,
        rpc: &mut JsonRpc<Call>,
        decoder: &mut Decoder,
        replica: &mut impl Replica,
    ) -> Result<(), Error> {
        match event {
            Event::Notification { method, params } => return self.notified(&method, &params, rpc),
            Event::Reply { token: Call::Aware | Call::Unlock, .. } => {}
            Event::Reply { token: Call::EndMonitor, .. } => self.connection.monitor.cancel_answered(),
            Event::Reply { token: Call::ServerSchema, result } => match result {
                Ok(schema) => self.request_server(&parse_schema(&schema)?, rpc, decoder)?,
                Err(_) => self.connection.server.monitor.set_unsupported(),
            },
            Event::Reply { token: Call::ServerMonitor(method), result } => {
                let older = monitor_refused(method, result)?;
                self.monitor_server(older, rpc, decoder)?;
            }
            Event::Reply { token: Call::ServerIndex, result } => self.index_answered(result),
            Event::Reply { token: Call::Schema, result } => {
                self.connection.schema = Some(match result {
                    Ok(schema) => Ok(parse_schema(&schema)?),
                    Err(error) => Err(error),
                });
            }
            // Refusals and load stages of a monitor that was cancelled meanwhile do not matter.
            Event::Reply { token: Call::Monitor(_, number) | Call::LoadStage(number), .. }
                if number != self.connection.monitor.number() => {}
            Event::Reply { token: Call::Monitor(method, _), result } => {
                let older = monitor_refused(method, result)?;
                self.monitor(older, rpc, decoder)?;
            }
            Event::Reply { token: Call::LoadStage(_), result } => self.stage_complete(result, replica)?,
            Event::Reply { token: Call::Condition(id), result } => self.condition_answered(id, result),
            Event::Reply { token: Call::Lock(number), result } => self.lock_answered(number, result)?,
            Event::Reply { token: Call::Transact(id, operations, is_ours), result } => {
                self.transacted(id, operations, is_ours, result, rpc)?;
            }
            Event::Reply { token: Call::Request(id), result } => {
                let result = result.map_err(Error::from);
                self.events.push_back(SessionEvent::Replied { id, result });
            }
        }
        self.advance(rpc, decoder, replica)
    }

    /// Ends the connection, with the requests that have no reply.
    pub(crate) fn disconnected(&mut self, pending: impl Iterator<Item = Call>) {
        let connection = std::mem::take(&mut self.connection);
        self.events.extend(connection.deferred);
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
                // The session makes them again. A condition holds on the next connection.
                Call::ServerSchema
                | Call::Aware
                | Call::Schema
                | Call::ServerMonitor(_)
                | Call::ServerIndex
                | Call::Monitor(..)
                | Call::LoadStage(_)
                | Call::EndMonitor
                | Call::Condition(_)
                | Call::Lock(_)
                | Call::Unlock => {}
            }
        }
    }

    /// Takes the next steps of the handshake: checks the server whenever its `_Server` row changed, and requests the lock
    /// and the rows as soon as the server is known to be usable.
    fn advance(
        &mut self,
        rpc: &mut JsonRpc<Call>,
        decoder: &mut Decoder,
        replica: &mut impl Replica,
    ) -> Result<(), Error> {
        let server = match self.connection.server.monitor.info(&self.database) {
            None => return Ok(()),
            Some(ServerInfo::Unsupported) => (ServerRole::Standalone, None),
            Some(ServerInfo::Database(database)) => {
                let role = self.policy.check(database.as_ref()).map_err(Kind::ServerUnusable)?;
                if let Some(database) = &database {
                    self.policy.record_index(database);
                }
                (role, database)
            }
        };
        let cluster = server.1.as_ref().and_then(|database| database.cluster_id);
        let role = server.0;
        if self.role().is_some_and(|former| former != role) {
            self.events.push_back(SessionEvent::RoleChanged(role));
        }
        self.connection.server.usable = Some(server);
        self.update_lock(role, rpc)?;
        let Some(schema) = self.connection.schema.take() else { return Ok(()) };
        let schema = schema?;
        let mut requests = replica.declare(&schema).map_err(Kind::SchemaMismatch)?;
        self.override_conditions(&mut requests);
        let requests = monitor::conform(requests, &schema);
        let view = View { schema, cluster, requests };
        if view.requests.is_empty() {
            return self.synced_without_rows(view, replica);
        }
        // Differences apply only to the same view of the database.
        let resumable = self.resume_point.take().filter(|old| *old.view == view);
        self.resume_point.clone_from(&resumable);
        self.connection.requested =
            Some(resumable.unwrap_or_else(|| ResumePoint { view: Arc::new(view), last: Uuid::nil() }));
        self.monitor(MonitorMethod::CondSince, rpc, decoder)
    }

    fn request_schema(&self, rpc: &mut JsonRpc<Call>) -> Result<(), Error> {
        send(rpc, "get_schema", &request_json("database name", &[&self.database])?, Call::Schema).map(drop)
    }

    fn notified(&mut self, method: &str, params: &RawValue, rpc: &mut JsonRpc<Call>) -> Result<(), Error> {
        match method {
            "locked" => return self.lock_notified(LockNotice::Locked, params, rpc),
            "stolen" => return self.lock_notified(LockNotice::Stolen, params, rpc),
            "monitor_canceled" => {
                let [monitor]: [Box<RawValue>; 1] = serde_json::from_str(params.get())
                    .map_err(|e| Error::malformed("notification of a monitor's end", e))?;
                if monitor.get() == self.connection.monitor.id() {
                    return self.restart_monitor(rpc);
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// Asks the replica again what to monitor, by the current schema, if it was asked on this connection.
    pub(crate) fn redeclare(&mut self, rpc: Option<&mut JsonRpc<Call>>) -> Result<(), Error> {
        let Some(rpc) = rpc.filter(|_| self.connection.requested.is_some()) else {
            // The same declaration may be about a new copy of a table, without rows to apply differences to.
            self.resume_point = None;
            return Ok(());
        };
        // Both or neither: without the schema nothing would be monitored again.
        if rpc.capacity() < 2 {
            return Err(Kind::Busy.into());
        }
        if let Some(monitor) = self.connection.monitor.cancel() {
            send(rpc, "monitor_cancel", &format!("[{monitor}]"), Call::EndMonitor)?;
        }
        self.restart_monitor(rpc)
    }

    /// Replaces a monitor that was cancelled: by the session, or by the server because the schema has changed or the
    /// database was removed. The replica keeps its rows until those of the next monitor show the difference.
    fn restart_monitor(&mut self, rpc: &mut JsonRpc<Call>) -> Result<(), Error> {
        self.resume_point = None;
        if self.connection.source == Source::Database {
            self.connection.source = Source::Cancelled;
        }
        self.connection.last = None;
        self.connection.requested = None;
        self.connection.monitor.give_up_stages();
        if std::mem::take(&mut self.connection.synced) {
            self.events.push_back(SessionEvent::Unsynced);
        }
        self.request_schema(rpc)
    }
}

/// Sends a request of the session itself, for which there is room whatever the caller has pending.
fn send(rpc: &mut JsonRpc<Call>, method: &str, params: &str, call: Call) -> Result<u64, Error> {
    rpc.request_reserved(method, params, call).map_err(|_| Kind::Busy.into())
}

/// Sends a request of the caller.
fn send_for_caller(rpc: &mut JsonRpc<Call>, method: &str, params: &str, call: Call) -> Result<u64, Error> {
    rpc.request(method, params, call).map_err(|_| Kind::Busy.into())
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
