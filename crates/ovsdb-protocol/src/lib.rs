//! A client for OVSDB, the database of Open vSwitch and OVN ([RFC 7047] and the extensions of `ovsdb-server`).
//!
//! There are two ways to use it, over the same protocol core:
//!
//! - A [`Client`] is a handle for callers who await. Its [`Driver`] runs in a task, reconnects, and keeps to the leader of
//!   a cluster. [`Client::transact`] returns an [`Outcome`], [`Client::monitor`] a typed table and its changes,
//!   [`Client::lock`] a lock.
//! - A [`Session`] is the same for a program with an event loop of its own. All work is done while [`Session::next`] is
//!   awaited, and rows go into the program's [`Replica`] while the bytes still arrive: [`Tables`] of typed rows, a
//!   [`Cache`] of untyped ones, or a type of the program.
//!
//! # First steps
//! Declare the tables that you need, connect, and monitor:
//!
//! ```no_run
//! use ovsdb_protocol::{Client, Outcome, SessionConfig, Table, Transaction, TypedRow, Uuid};
//!
//! #[derive(Clone, Debug, Table)]
//! #[ovsdb(table = "Logical_Switch")]
//! struct Switch {
//!     name: String,
//!     ports: Vec<Uuid>,
//! }
//!
//! # async fn program() -> Result<(), Box<dyn std::error::Error>> {
//! let config = SessionConfig::new("unix:/run/ovn/ovnnb_db.sock".parse()?, "OVN_Northbound");
//! let (client, driver) = Client::connect(config);
//! tokio::spawn(driver);
//!
//! let mut switches = client.monitor::<Switch>().await?;
//! println!("{} switches", switches.rows().len());
//!
//! let mut transaction = Transaction::new("OVN_Northbound");
//! transaction.on::<Switch>().insert(TypedRow::new().with(Switch::COLUMNS.name, "ls0"));
//! match client.transact(&transaction).await? {
//!     Outcome::Committed(results) => println!("made {:?}", results.uuid(0)),
//!     Outcome::Refused(refusal) => println!("{refusal}: {}", refusal.error),
//!     Outcome::Unknown => println!("the connection broke: look at the rows"),
//! }
//! loop {
//!     for change in switches.next().await? {
//!         println!("{}: {:?} -> {:?}", change.uuid, change.old, change.new);
//!     }
//! }
//! # }
//! ```
//!
//! # Where to read on
//! - Typed rows: [`Table`], its derive, and [`Transaction::on`]; untyped ones: [`Row`], [`Datum`] and [`Atom`].
//! - What a transaction may do: [`Transaction`]; how it ended: [`Outcome`], [`TransactError::class`].
//! - What to connect to, and how: [`SessionConfig`], [`Remotes`], [`TlsConfig`].
//! - An event loop: [`Session`], [`SessionEvent`], [`Replica`].
//!
//! # Behaviour
//! - What arrives is decoded row by row; no snapshot is ever in memory as JSON.
//! - Whatever a server sends, nothing panics, and memory stays within [`Limits`] beside the rows themselves.
//! - A session keeps to the leader of a cluster, unless it is told that any server will do.
//! - A transaction whose reply got lost is [`Outcome::Unknown`], neither a failure nor sent again.
//! - The crate spawns no task. It needs a tokio runtime with IO and time.
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
mod encode;
mod monitor;
pub use monitor::{MonitorMethod, MonitorRequest, MonitorRequests, MonitorSelect, RowFilter};
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
pub use replica::{ApplyError, Batch, Replica, SchemaMismatch};
mod problem;
pub use problem::{Problem, Problems};
mod table;
pub use ovsdb_derive::{AtomValue, ColumnGroup, Table};
pub use table::{
    AtomValue, Column, ColumnError, ColumnGroup, ColumnKind, ColumnSet, ColumnSpec, Field, Index, IndexSpec,
    IndexedField, IntoColumn, KeyColumn, KeyField, Missing, Original, OriginalText, PairsColumn, PairsField,
    Rare, ReadRow, Table, TableLayout, TableOperations, TableSpec, TypedCondition, TypedMutation, TypedRow,
    TypedRowFilter, apply_scalar, declared_schema, hash_keys, is_rendering, join_columns, monitor_requests,
    read_row, toggle_sorted,
};
mod tables;
pub use tables::{Change, TableCache, Tables};
mod diff;
pub use diff::{DiffError, apply_diff};
mod cache;
pub use cache::{Absent, Cache, CacheError, RowDelta, Selection};

// One connection.
mod tls;
#[cfg(feature = "tls")]
pub use tls::Expiry;
pub use tls::{PemSource, TlsConfig};
/// The TLS library, for programs that bring a configuration of their own in [`TlsConfig`].
#[cfg(feature = "tls")]
pub use tokio_rustls::rustls;
mod endpoint;
pub use endpoint::{Destination, Endpoint, InvalidEndpoint, Remotes};
mod error;
pub use error::Error;
mod link;
mod server;
pub use server::{ServerDatabase, ServerRole, ServerUnusable, StorageModel};
mod update;

// One connection after the other.
mod backoff;
pub use backoff::Backoff;
mod dialogue;
mod greeting;
mod rota;
mod session;
pub use session::{ConditionId, RequestId, Session, SessionConfig, SessionEvent, TransactionId};

// A handle to all that, for callers who await.
mod client;
pub use client::{Client, Driver, Lock, Monitor, Status};

#[cfg(any(test, feature = "testing"))]
pub mod testing;

#[cfg(fuzzing)]
#[doc(hidden)]
pub mod fuzzing;
#[cfg(test)]
mod scripted;

/// Compiles the examples of the README.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
