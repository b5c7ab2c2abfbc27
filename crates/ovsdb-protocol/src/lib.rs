//! OVSDB client.

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
mod diff;
pub use diff::{DiffError, apply_diff, diff};
mod cache;
pub use cache::{Cache, Inconsistency, RowDelta};

mod scan;
pub use scan::Limits;
mod cursor;
pub use cursor::{AtomRef, DatumReader, DecodeError};
mod row;
pub use row::{ColumnSink, Columns, RowChange, RowUpdate};
mod monitor;
pub use monitor::{MonitorMethod, MonitorRequest, MonitorRequests, Rows};
mod replica;
pub use replica::{Batch, Inconsistent, Replica, Unsuitable};
mod lock;
pub use lock::{InvalidLockName, LockName, LockStatus};
mod endpoint;
pub use endpoint::{Endpoint, InvalidEndpoint, Remotes};
mod backoff;
pub use backoff::Backoff;
mod error;
pub use error::Error;
mod decoder;
mod rpc;
pub use decoder::ProtocolError;
mod update;
pub use update::{RowDifference, TableUpdates};
mod connection;
pub use connection::Connection;
mod client;
pub use client::{Client, LockEvent, Monitor, connect};
mod dialogue;
mod exchange;
mod link;
mod session;
pub use session::{Session, SessionConfig, SessionEvent, TransactionId};
