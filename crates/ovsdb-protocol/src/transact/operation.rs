//! The operations of a transaction.

use serde::{Serialize, Serializer};
use uuid::Uuid;

use super::{Condition, Mutation};
use crate::value::Row;

/// One operation of a transaction, [RFC 7047 section 5.2].
///
/// The conditions are the member `where`: a row must meet all of them; without conditions, every row matches. (In a
/// monitor, one of the conditions is enough.)
///
/// [RFC 7047 section 5.2]: https://www.rfc-editor.org/rfc/rfc7047#section-5.2
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "op", rename_all = "lowercase")]
#[non_exhaustive]
pub enum Operation {
    /// Adds a row, section 5.2.1.
    Insert {
        /// The table.
        table: String,
        /// The columns that are not to have their defaults.
        row: Row,
        /// A name for the row within this transaction.
        #[serde(rename = "uuid-name", skip_serializing_if = "Option::is_none")]
        uuid_name: Option<String>,
        /// The permanent name of the row: an extension of ovsdb-server 2.13.
        #[serde(skip_serializing_if = "Option::is_none", serialize_with = "bare_uuid")]
        uuid: Option<Uuid>,
    },
    /// Reads rows, section 5.2.2.
    Select {
        /// The table.
        table: String,
        /// The conditions on the rows.
        #[serde(rename = "where")]
        conditions: Vec<Condition>,
        /// The columns; `None` for all.
        #[serde(skip_serializing_if = "Option::is_none")]
        columns: Option<Vec<String>>,
    },
    /// Sets columns, section 5.2.3.
    Update {
        /// The table.
        table: String,
        /// The conditions on the rows.
        #[serde(rename = "where")]
        conditions: Vec<Condition>,
        /// The columns and their new values.
        row: Row,
    },
    /// Changes columns in relation to their values, section 5.2.4.
    Mutate {
        /// The table.
        table: String,
        /// The conditions on the rows.
        #[serde(rename = "where")]
        conditions: Vec<Condition>,
        /// The changes in their order.
        mutations: Vec<Mutation>,
    },
    /// Removes rows, section 5.2.5.
    Delete {
        /// The table.
        table: String,
        /// The conditions on the rows.
        #[serde(rename = "where")]
        conditions: Vec<Condition>,
    },
    /// Blocks the transaction until a table has the expected content, section 5.2.6.
    Wait {
        /// The timeout, in milliseconds. `Some(0)` fails at once; `None` waits without a limit.
        #[serde(skip_serializing_if = "Option::is_none")]
        timeout: Option<u64>,
        /// The table.
        table: String,
        /// The conditions on the rows.
        #[serde(rename = "where")]
        conditions: Vec<Condition>,
        /// The columns of the rows.
        columns: Vec<String>,
        /// Whether the content must become equal or different.
        until: Until,
        /// The content; an empty list means that there are no rows.
        rows: Vec<Row>,
    },
    /// Requests a durable commit, section 5.2.7.
    Commit {
        /// Whether to reply only once the transaction is on disk.
        durable: bool,
    },
    /// Fails the transaction, section 5.2.8.
    Abort,
    /// Writes a comment to the log of the database, section 5.2.9.
    Comment {
        /// The comment.
        comment: String,
    },
    /// Fails the transaction unless the client holds a lock, section 5.2.10.
    Assert {
        /// The name of the lock.
        lock: String,
    },
}

/// The condition that an [`Operation::Wait`] waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
pub enum Until {
    /// Until the content of the table is the given one.
    #[serde(rename = "==")]
    Equal,
    /// Until it is different.
    #[serde(rename = "!=")]
    NotEqual,
}

/// Writes the uuid of an insert, a plain string unlike everywhere else (ovsdb-server(7)).
fn bare_uuid<S: Serializer>(uuid: &Option<Uuid>, serializer: S) -> Result<S::Ok, S::Error> {
    match uuid {
        Some(uuid) => serializer.collect_str(uuid),
        None => serializer.serialize_none(),
    }
}
