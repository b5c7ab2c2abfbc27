//! The state of one connection, and the point that the next one resumes from.

use std::collections::VecDeque;
use std::sync::Arc;

use uuid::Uuid;

use super::rows::{Source, StagedSnapshot};
use crate::monitor::MonitorRequests;
use crate::outcome::DatabaseError;
use crate::schema::DatabaseSchema;
use crate::server::{ServerDatabase, ServerRole};
use crate::session::SessionEvent;
use crate::session::server_monitor::ServerMonitor;
use crate::transact::Transaction;

/// The progress of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ConnectionPhase {
    /// Schemas and `_Server` are requested: small replies.
    Handshake,
    /// Rows were requested, whose reply may take the server long, by this monitor or one that is being cancelled.
    Loading,
    /// The replica is synchronised.
    Synced,
}

/// The state that ends with the connection.
#[derive(Debug, Default)]
pub(super) struct ConnectionState {
    pub(super) server_monitor: ServerMonitor,
    /// The server's role and `_Server` row, once it is known to be usable.
    pub(super) server: Option<(ServerRole, Option<ServerDatabase>)>,
    /// The request for the index, if `_Server` has that column, and whether it is pending.
    pub(super) index_request: Option<Transaction>,
    pub(super) index_requested: bool,
    /// The monitor requests for `_Server`, and the id of the request whose reply has the rows.
    pub(super) server_requests: MonitorRequests,
    pub(super) server_monitor_request: Option<u64>,
    /// The monitor whose rows arrive.
    pub(super) source: Source,
    /// The reply to `get_schema`, until the server is known to be usable.
    pub(super) schema: Option<Result<DatabaseSchema, DatabaseError>>,
    /// The rows that were requested.
    pub(super) requested: Option<ResumePoint>,
    /// The monitor of the database: its number on this connection, its id as JSON text, and the id of the request whose
    /// reply has its rows.
    pub(super) monitor_number: u32,
    pub(super) monitor: String,
    pub(super) monitor_request: Option<u64>,
    /// The monitors that are being cancelled, whose updates may still arrive.
    pub(super) cancelled: VecDeque<String>,
    /// The last transaction that the replica reflects; `None` while a batch of rows is incomplete.
    pub(super) last: Option<Uuid>,
    /// Completions that wait for the rows of a new monitor, because the changes have not reached the replica.
    pub(super) deferred: Vec<SessionEvent>,
    /// The snapshot that is loaded in stages, if one is.
    pub(super) staged: Option<StagedSnapshot>,
    /// Whether the replica is synchronised now, and whether it was on this connection.
    pub(super) synced: bool,
    pub(super) was_synced: bool,
    /// Whether the server has committed a transaction of this session.
    pub(super) took_writes: bool,
    /// The number of rows that the replica was given.
    pub(super) rows_seen: u64,
}

/// Everything that determines whether differences from a server apply to the rows of the replica. It is one value so that
/// no part of it can be newer than another.
#[derive(Clone, Debug)]
pub(super) struct ResumePoint {
    pub(super) view: Arc<View>,
    pub(super) last: Uuid,
}

/// The monitored rows and columns, and the schema and cluster of their database.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct View {
    pub(super) schema: DatabaseSchema,
    /// Transaction ids are random, so that other clusters do not have them; comparing this too costs nothing.
    pub(super) cluster: Option<Uuid>,
    pub(super) requests: MonitorRequests,
}
