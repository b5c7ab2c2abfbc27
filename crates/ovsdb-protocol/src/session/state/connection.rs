//! The state of one connection, and the point that the next one resumes from.

use std::sync::Arc;

use uuid::Uuid;

use super::database_monitor::DatabaseMonitor;
use super::rows::Source;
use super::server::ServerCheck;
use crate::monitor::MonitorRequests;
use crate::outcome::DatabaseError;
use crate::schema::DatabaseSchema;
use crate::session::SessionEvent;

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
    pub(super) server: ServerCheck,
    pub(super) monitor: DatabaseMonitor,
    /// The monitor whose rows arrive.
    pub(super) source: Source,
    /// The reply to `get_schema`, until the server is known to be usable.
    pub(super) schema: Option<Result<DatabaseSchema, DatabaseError>>,
    /// The rows that were requested.
    pub(super) requested: Option<ResumePoint>,
    /// The last transaction that the replica reflects; `None` while a batch of rows is incomplete.
    pub(super) last: Option<Uuid>,
    /// Completions that wait for the rows of a new monitor, because the changes have not reached the replica.
    pub(super) deferred: Vec<SessionEvent>,
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
