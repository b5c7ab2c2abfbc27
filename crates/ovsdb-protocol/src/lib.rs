//! A client for OVSDB, the database of Open vSwitch and OVN ([RFC 7047] and the extensions of `ovsdb-server`).
//!
//! There are two ways to use it, over the same protocol core:
//!
//! - A [`Client`] is a handle for callers who await. Its [`Driver`] runs in a task, reconnects, and keeps to the leader of
//!   a cluster. [`Client::transact`] returns an [`Outcome`], [`Client::monitor`] a typed table and its changes,
//!   [`Client::lock`] a lock.
//! - A [`Session`] is the same for a program with its own event loop. All work is done while [`Session::next`] is
//!   awaited, and rows go into the program's [`Replica`] while the bytes still arrive: [`Tables`] of typed rows, a
//!   [`Cache`] of untyped ones, or a type of the program.
//!
//! # Declaring tables
//! A struct with `#[derive(Table)]` declares which columns of a table the program uses, their types, and which of them
//! are optional. The monitor request, decoding, comparison and rows to write follow from it:
//!
//! ```
//! use ovsdb_protocol::{Table, Uuid};
//!
//! #[derive(Clone, Debug, Table)]
//! #[ovsdb(table = "Logical_Switch")]
//! struct Switch {
//!     #[ovsdb(index)]
//!     name: String,
//!     ports: Vec<Uuid>,
//!     // One key of a map.
//!     #[ovsdb(key = "other_config:subnet")]
//!     subnet: Option<String>,
//!     // A server of an older release lacks the column; the field has its default then.
//!     #[ovsdb(optional, since = "OVN 22.03")]
//!     copp: Option<Uuid>,
//! }
//! ```
//!
//! [`Table`] documents all attributes, [`Column`] and [`AtomValue`] the types of fields.
//!
//! # Reading
//! A [`Monitor`] is a copy of the table that follows the database. It can be read, searched by indexed columns, and
//! awaited for changes:
//!
//! ```no_run
//! # use ovsdb_protocol::{Table, Uuid};
//! # #[derive(Clone, Debug, Table)]
//! # #[ovsdb(table = "Logical_Switch")]
//! # struct Switch { #[ovsdb(index)] name: String, ports: Vec<Uuid> }
//! use ovsdb_protocol::{Client, RowFilter, SessionConfig};
//!
//! # async fn program() -> Result<(), Box<dyn std::error::Error>> {
//! let config = SessionConfig::new("unix:/run/ovn/ovnnb_db.sock".parse()?, "OVN_Northbound");
//! let (client, driver) = Client::connect(config);
//! tokio::spawn(driver);
//!
//! let mut switches = client.monitor::<Switch>().await?;
//! println!("{} switches", switches.rows().len());
//! // The rows that are there count as changes, until these are taken.
//! switches.take_changes();
//! if let Some((uuid, switch)) = switches.find_one(Switch::INDEXES.name, "ls0") {
//!     println!("{uuid} has {} ports", switch.ports.len());
//! }
//! // From now on the server sends only these rows; the others are reported as deleted.
//! let two = ["ls0", "ls1"].map(|name| Switch::COLUMNS.name.eq(name));
//! switches.set_condition(RowFilter::Any(two.into())).await?;
//! loop {
//!     for change in switches.next().await? {
//!         println!("{}: {:?} -> {:?}", change.uuid, change.old, change.new);
//!     }
//! }
//! # }
//! ```
//!
//! # Writing
//! A [`Transaction`] is a list of operations that are executed all or not at all. Its [`Outcome`] reports whether they
//! were:
//!
//! ```no_run
//! # use ovsdb_protocol::{Client, Table, Uuid};
//! # #[derive(Clone, Debug, Table)]
//! # #[ovsdb(table = "Logical_Switch")]
//! # struct Switch { name: String, ports: Vec<Uuid> }
//! use ovsdb_protocol::{Outcome, Transaction, TypedRow};
//!
//! # async fn program(client: Client, port: Uuid) -> Result<(), Box<dyn std::error::Error>> {
//! let mut transaction = Transaction::new("OVN_Northbound");
//! let new = TypedRow::new().with(Switch::COLUMNS.name, "ls0");
//! let insert = transaction.on::<Switch>().insert(new);
//! let named = Switch::COLUMNS.name.eq("ls1");
//! transaction.on::<Switch>().mutate([named], [Switch::COLUMNS.ports.insert([port])]);
//! match client.transact(&transaction).await? {
//!     Outcome::Committed(results) => println!("the row is {:?}", results.uuid(insert)),
//!     Outcome::Refused(refusal) => println!("{:?}: {refusal}: {}", refusal.class(), refusal.error),
//!     Outcome::Unknown => println!("the connection broke: look at the rows before trying again"),
//! }
//! # Ok(()) }
//! ```
//!
//! [`ErrorClass`] says whether another attempt makes sense. To make an attempt repeatable, choose the row's UUID
//! ([`TableOperations::insert_as`]), and state the preconditions ([`TableOperations::require`],
//! [`Transaction::assert_lock`]).
//!
//! # Further reading
//! - Typed rows: [`Table`], its derive, and [`Transaction::on`]; untyped ones: [`Row`], [`Datum`] and [`Atom`].
//! - Connections: [`SessionConfig`], [`Remotes`], [`TlsConfig`].
//! - An event loop: [`Session`], [`SessionEvent`], [`Replica`].
//! - Tests of a program: the module `testing`, with the feature of that name.
//!
//! # Behaviour
//! - Received data is decoded row by row; no snapshot is ever in memory as JSON.
//! - Whatever a server sends, nothing panics, and memory stays within [`Limits`] besides the rows themselves.
//! - A session uses only the leader of a cluster, unless it is configured to use any server.
//! - A transaction whose reply is lost is [`Outcome::Unknown`], which is not a failure; it is not sent again.
//! - The crate spawns no task. It needs a tokio runtime with IO and time; without its feature `client` it has no
//!   sessions and needs no runtime.
//!
//! [RFC 7047]: https://www.rfc-editor.org/rfc/rfc7047

// Without sessions a few shared methods are not used.
#![cfg_attr(not(feature = "client"), allow(dead_code))]

// The derives name this crate by its external name.
extern crate self as ovsdb_protocol;

// The notation of RFC 7047: values, schemas, operations and their results.
mod value;
pub use uuid::Uuid;
pub use value::{Atom, AtomicType, Datum, Row};
mod schema;
pub use schema::{
    BaseType, ColumnSchema, ColumnType, Constraint, DatabaseSchema, Max, Place, RefType, RowError,
    SchemaError, TableSchema, ValueError,
};
mod transact;
pub use transact::{Condition, Function, Mutation, Mutator, Operation, Transaction, TransactionId, Until};
mod outcome;
pub use outcome::{
    DatabaseError, ErrorClass, MalformedReply, OperationResult, Outcome, Results, TransactError,
};
mod encode;
mod monitor;
pub use monitor::{MonitorMethod, MonitorRequest, MonitorRequests, MonitorSelect, RowFilter};
mod lock;
pub use lock::{InvalidLockName, LockName, LockStatus};

// From bytes to rows. No IO, no clock.
mod chain;
mod cursor;
mod unescaped;
pub use cursor::{AtomRef, DatumReader, DecodeError};
mod row;
pub use row::{ColumnSink, Columns, RowChange, RowUpdate};

// Replicas: where rows are kept.
mod replica;
pub use replica::{ApplyError, Batch, Replica, SchemaMismatch};
mod problem;
pub use problem::{Problem, Problems};
mod table;
pub use ovsdb_derive::{AtomValue, ColumnGroup, Table};
pub use table::{
    AtomValue, Column, ColumnError, ColumnGroup, ColumnKind, ColumnSet, ColumnSpec, Field, HashKeys, Index,
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

/// Modules of the feature `client`, the only ones that need a runtime.
macro_rules! client {
    ($($item:item)*) => {
        $(#[cfg(feature = "client")] $item)*
    };
}

client! {
    // From bytes to messages. No IO, no clock.
    mod decoder;
    mod jsonrpc;
    mod read_ahead;
    mod scan;
    mod server;
    mod update;
    pub use decoder::ProtocolError;
    pub use scan::Limits;
    pub use server::{ServerDatabase, ServerRole, ServerUnusable, StorageModel};

    // One connection.
    mod dial;
    mod endpoint;
    mod error;
    mod link;
    mod request;
    mod tls;
    mod transport;
    pub use endpoint::{Destination, Endpoint, InvalidEndpoint, Remotes};
    pub use error::Error;
    pub use tls::{PemSource, TlsConfig};

    // Sessions: one connection after the other.
    mod backoff;
    mod session;
    pub use backoff::Backoff;
    pub use session::{ConditionId, RequestId, Session, SessionConfig, SessionEvent};

    // Clients: handles to a session.
    mod client;
    pub use client::{Client, Driver, Lock, Monitor, Status};
}

#[cfg(feature = "tls")]
pub use tls::Expiry;
/// The TLS library, for programs that supply their own configuration in [`TlsConfig`].
#[cfg(feature = "tls")]
pub use tokio_rustls::rustls;

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
