//! The events of a session, and the ids of its requests.

use std::time::Duration;

use serde_json::value::RawValue;

use crate::endpoint::Endpoint;
use crate::error::Error;
use crate::lock::LockStatus;
use crate::outcome::Outcome;
use crate::server::ServerRole;
use crate::transact::TransactionId;

/// The id of a request of a session other than a transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RequestId(pub(crate) u64);

/// The id of a change of a session's conditions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConditionId(pub(crate) u64);

/// An event of a [`Session`](crate::Session).
#[derive(Debug)]
#[non_exhaustive]
pub enum SessionEvent {
    /// A server accepted the connection.
    Connected(Endpoint),
    /// The replica is synchronised with the database.
    Synced {
        /// True if the server sent only the differences, false if all rows were fetched.
        resumed: bool,
    },
    /// The replica is no longer synchronised, although the connection lasts: the database's schema was converted, or
    /// [`Session::redeclare`](crate::Session::redeclare) was called. [`Synced`](Self::Synced) follows.
    Unsynced,
    /// The server of the connection has another role now: a follower became the leader, or the reverse.
    RoleChanged(ServerRole),
    /// An update was committed to the replica.
    Updated,
    /// The lock's status changed.
    Lock(LockStatus),
    /// A transaction has ended.
    Completed {
        /// Its id.
        id: TransactionId,
        /// Its outcome.
        outcome: Outcome,
    },
    /// A [request](crate::Session::request) has ended.
    Replied {
        /// Its id.
        id: RequestId,
        /// The result as JSON text, or the error.
        result: Result<Box<RawValue>, Error>,
    },
    /// A change of [conditions](crate::Session::set_condition) has ended. If it succeeded, the replica has the rows.
    ConditionChanged {
        /// Its id.
        id: ConditionId,
        /// Success, or the reason why the previous conditions still hold.
        result: Result<(), Error>,
    },
    /// The connection was lost, or an attempt to connect failed.
    Disconnected {
        /// The server.
        remote: Endpoint,
        /// The reason.
        error: Error,
        /// The time until the next attempt. [`Duration::MAX`] if there is none, because the monitor request is
        /// [invalid](Error::is_invalid_request).
        retry: Duration,
    },
}
