//! A client for OVSDB, the database of Open vSwitch and OVN ([RFC 7047] and the extensions of `ovsdb-server`).
//!
//! There are two ways to use it:
//!
//! - A [`Session`] is a lasting relation to one database. It reconnects, resumes from the last transaction it knows,
//!   asks for its lock anew, and keeps a [`Replica`] in step: a [`Mirror`] of untyped rows, or a type of yours that
//!   reads rows straight from the receive buffer.
//! - A [`Client`] is a handle to one connection, with a method for each request of the RFC.
//!
//! ```no_run
//! use ovsdb_protocol::{Mirror, Remotes, Row, Selection, Session, SessionConfig, SessionEvent, Transaction};
//!
//! # async fn program() -> Result<(), Box<dyn std::error::Error>> {
//! let remotes: Remotes = "unix:/run/ovn/ovnnb_db.sock".parse()?;
//! let mut session = Session::new(SessionConfig::new(remotes, "OVN_Northbound"));
//! let mut mirror = Mirror::new([Selection::table("Logical_Switch").columns(["name", "ports"])]);
//! loop {
//!     match session.next(&mut mirror).await {
//!         SessionEvent::Synced { .. } => {
//!             let mut transaction = Transaction::new("OVN_Northbound");
//!             transaction.insert("Logical_Switch", Row::new().with("name", "ls0"));
//!             session.transact(&transaction)?;
//!         }
//!         SessionEvent::Completed { outcome, .. } => println!("{outcome:?}"),
//!         SessionEvent::Disconnected { remote, error, retry } => {
//!             eprintln!("{remote}: {error:#}; next attempt in {retry:?}");
//!         }
//!         _ => {}
//!     }
//!     for delta in mirror.take_deltas() {
//!         println!("{} {}: {:?}", delta.table, delta.uuid, delta.new);
//!     }
//! }
//! # }
//! ```
//!
//! # Behaviour
//! - What arrives is decoded row by row; no snapshot is ever in memory as JSON.
//! - Whatever a server sends, nothing panics, and memory stays within [`Limits`] beside the rows themselves.
//! - A [`Session`] keeps to the leader of a cluster, unless it is told that any server will do.
//! - A transaction whose reply got lost is [`Outcome::Unknown`], neither a failure nor sent again.
//! - The crate spawns no task. A [`Session`] works while [`Session::next`] is awaited, a [`Client`] while
//!   [`Connection::run`] is. Both need a tokio runtime with IO and time.
//!
//! [RFC 7047]: https://www.rfc-editor.org/rfc/rfc7047

// The derives name this crate from outside.
extern crate self as ovsdb_protocol;

// What a database holds, and what is asked of it.
mod value;
pub use uuid::Uuid;
pub use value::{Atom, Datum, Place, Row, RowError, ValueError};
mod schema;
pub use schema::{
    AtomicType, BaseType, ColumnSchema, ColumnType, Constraint, DatabaseSchema, Max, RefType, SchemaError,
    TableSchema,
};
mod transact;
pub use transact::{Condition, Function, Mutation, Mutator, Operation, Transaction, Until};
mod outcome;
pub use outcome::{
    DatabaseError, ErrorClass, MalformedReply, OperationResult, Outcome, Results, TransactError,
};
mod monitor;
pub use monitor::{MonitorMethod, MonitorRequest, MonitorRequests, Rows};
mod lock;
pub use lock::{InvalidLockName, LockName, LockStatus};

// From bytes to messages and rows. No IO, no clock.
mod plain;
mod scan;
pub use scan::Limits;
mod cursor;
pub use cursor::{AtomRef, DatumReader, DecodeError};
mod row;
pub use row::{ColumnSink, Columns, RowChange, RowUpdate};
mod decoder;
mod read_ahead;
mod rpc;
pub use decoder::ProtocolError;
mod exchange;

// Where rows are kept.
mod replica;
pub use replica::{Batch, Inconsistent, Replica, Unsuitable};
mod replay;
#[doc(hidden)]
pub use replay::replay;
mod problem;
pub use problem::{Problem, Problems};
mod table;
pub use ovsdb_derive::{AtomValue, ColumnGroup, Table};
pub use table::{
    AtomValue, Column, ColumnError, ColumnGroup, ColumnKind, ColumnSet, ColumnSpec, Field, IntoColumn,
    KeyColumn, KeyField, Missing, Original, OriginalText, PairsColumn, PairsField, Rare, ReadRow, Table,
    TableLayout, TableOperations, TableSpec, TypedRow, apply_scalar, join_columns, monitor_requests,
    read_row, toggle_sorted,
};
mod tables;
pub use tables::{Change, TableCache, Tables};
mod diff;
pub use diff::{DiffError, apply_diff, diff};
mod cache;
pub use cache::{Cache, Inconsistency, RowDelta};
mod mirror;
pub use mirror::{Absent, Mirror, Selection};

// One connection.
mod tls;
#[cfg(feature = "tls")]
pub use tls::Expiry;
pub use tls::TlsConfig;
mod endpoint;
pub use endpoint::{Endpoint, InvalidEndpoint, Remotes};
mod error;
pub use error::Error;
mod link;
mod server;
pub use server::{ServerDatabase, ServerRole, StorageModel, Unacceptable};
mod update;
pub use update::{RowDifference, TableUpdates};
mod connection;
pub use connection::Connection;
mod client;
pub use client::{Client, LockEvent, Monitor, connect, connect_with};

// One connection after the other.
mod backoff;
pub use backoff::Backoff;
mod dialogue;
mod greeting;
mod session;
pub use session::{ConditionId, RequestId, Session, SessionConfig, SessionEvent, TransactionId};

#[cfg(fuzzing)]
#[doc(hidden)]
pub mod fuzzing;
#[cfg(test)]
mod scripted;

// The other side: answering ovs-appctl.
mod control;
pub use control::{ControlCommand, ControlStream};

/// Compiles the examples of the README.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
