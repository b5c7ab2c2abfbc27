//! Transactions, [RFC 7047 section 4.1.3].
//!
//! [RFC 7047 section 4.1.3]: https://www.rfc-editor.org/rfc/rfc7047#section-4.1.3

mod condition;
mod mutation;
mod operation;
#[cfg(test)]
mod tests;

use serde::ser::{Serialize, SerializeSeq, Serializer};
use uuid::Uuid;

pub use condition::{Condition, Function};
pub use mutation::{Mutation, Mutator};
pub use operation::{Operation, Until};

use crate::value::Row;

/// The id of a transaction of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TransactionId(pub(crate) u64);

/// A list of operations that are executed all or not at all.
///
/// Each method appends one operation and returns its index, which is also that of its result in
/// [`Results`](crate::Results) and the one that a [`TransactError`](crate::TransactError) names. Its JSON is
/// the `params` of a `transact` request.
///
/// ```
/// use ovsdb_protocol::{Condition, Row, Transaction};
///
/// let mut transaction = Transaction::new("OVN_Northbound");
/// let update = transaction.update("NB_Global", [], Row::new().with("nb_cfg", 7));
/// let delete = transaction.delete("Logical_Switch", [Condition::eq("name", "ls0")]);
/// assert_eq!((update, delete), (0, 1));
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transaction {
    /// The name of the database.
    pub database: String,
    /// The operations in the order of their execution.
    pub operations: Vec<Operation>,
}

impl Transaction {
    /// Creates a transaction without operations.
    pub fn new(database: impl Into<String>) -> Self {
        Self { database: database.into(), operations: Vec::new() }
    }

    /// Appends an operation.
    pub fn push(&mut self, operation: Operation) -> usize {
        self.operations.push(operation);
        self.operations.len() - 1
    }

    /// Inserts a row; columns that it lacks get their defaults.
    ///
    /// After a lost connection it is not known whether the row exists: see [`Transaction::insert_as`].
    pub fn insert(&mut self, table: impl Into<String>, row: Row) -> usize {
        self.push(Operation::Insert { table: table.into(), row, uuid_name: None, uuid: None })
    }

    /// Inserts a row with a name by which other operations refer to it, as
    /// [`Atom::NamedUuid`](crate::Atom::NamedUuid).
    ///
    /// The name must be an `<id>` of RFC 7047: letters, digits and underscores, with no digit first. A name that no
    /// insert defines is not an error: the server replaces it by a uuid that no row has.
    #[doc(alias = "named-uuid")]
    pub fn insert_named(&mut self, table: impl Into<String>, name: impl Into<String>, row: Row) -> usize {
        self.push(Operation::Insert { table: table.into(), row, uuid_name: Some(name.into()), uuid: None })
    }

    /// Inserts a row under a chosen uuid, for servers since 2.13.
    ///
    /// Repeating such a transaction is safe: the second one fails with
    /// [`ErrorClass::Conflict`](crate::ErrorClass::Conflict).
    pub fn insert_as(&mut self, table: impl Into<String>, uuid: Uuid, row: Row) -> usize {
        self.push(Operation::Insert { table: table.into(), row, uuid_name: None, uuid: Some(uuid) })
    }

    /// Reads all columns of the rows that meet all of `conditions`, `_uuid` and `_version` included.
    pub fn select(
        &mut self,
        table: impl Into<String>,
        conditions: impl IntoIterator<Item = Condition>,
    ) -> usize {
        self.push(Operation::Select { table: table.into(), conditions: collect(conditions), columns: None })
    }

    /// Reads some columns of the rows that meet all of `conditions`. Equal results are returned once.
    pub fn select_columns<C: Into<String>>(
        &mut self,
        table: impl Into<String>,
        conditions: impl IntoIterator<Item = Condition>,
        columns: impl IntoIterator<Item = C>,
    ) -> usize {
        let columns = Some(columns.into_iter().map(Into::into).collect());
        self.push(Operation::Select { table: table.into(), conditions: collect(conditions), columns })
    }

    /// Sets the columns of `row` in every row that meets all of `conditions`.
    pub fn update(
        &mut self,
        table: impl Into<String>,
        conditions: impl IntoIterator<Item = Condition>,
        row: Row,
    ) -> usize {
        self.push(Operation::Update { table: table.into(), conditions: collect(conditions), row })
    }

    /// Changes columns in every row that meets all of `conditions`.
    pub fn mutate(
        &mut self,
        table: impl Into<String>,
        conditions: impl IntoIterator<Item = Condition>,
        mutations: impl IntoIterator<Item = Mutation>,
    ) -> usize {
        let mutations = mutations.into_iter().collect();
        self.push(Operation::Mutate { table: table.into(), conditions: collect(conditions), mutations })
    }

    /// Deletes every row that meets all of `conditions`: the whole table without any.
    pub fn delete(
        &mut self,
        table: impl Into<String>,
        conditions: impl IntoIterator<Item = Condition>,
    ) -> usize {
        self.push(Operation::Delete { table: table.into(), conditions: collect(conditions) })
    }

    /// Appends a `wait` without a timeout: it fails the transaction unless `columns` of the rows that meet all of `conditions` are now exactly `rows`: a
    /// precondition, with [`ErrorClass::Precondition`](crate::ErrorClass::Precondition) if it does not hold.
    ///
    /// To wait for something to become true, [push](Self::push) an [`Operation::Wait`] with a timeout.
    #[doc(alias = "wait")]
    pub fn require<C: Into<String>>(
        &mut self,
        table: impl Into<String>,
        conditions: impl IntoIterator<Item = Condition>,
        columns: impl IntoIterator<Item = C>,
        until: Until,
        rows: impl IntoIterator<Item = Row>,
    ) -> usize {
        self.push(Operation::Wait {
            timeout: Some(0),
            table: table.into(),
            conditions: collect(conditions),
            columns: columns.into_iter().map(Into::into).collect(),
            until,
            rows: rows.into_iter().collect(),
        })
    }

    /// Requests that the commit is on disk before the reply, if `durable`.
    pub fn commit(&mut self, durable: bool) -> usize {
        self.push(Operation::Commit { durable })
    }

    /// Makes the transaction fail here, with [`ErrorClass::Aborted`](crate::ErrorClass::Aborted): a dry run.
    pub fn abort(&mut self) -> usize {
        self.push(Operation::Abort)
    }

    /// Writes a comment to the log of the database.
    pub fn comment(&mut self, comment: impl Into<String>) -> usize {
        self.push(Operation::Comment { comment: comment.into() })
    }

    /// Fails the transaction unless this client holds `lock` at the server it is connected to.
    ///
    /// Locks belong to one server process, so they do not fence off a client of another server. A lock that was lost and
    /// granted again meanwhile passes: see [`Lock::transact`](crate::Lock::transact).
    #[doc(alias = "assert")]
    pub fn assert_lock(&mut self, lock: impl Into<String>) -> usize {
        self.push(Operation::Assert { lock: lock.into() })
    }

    #[cfg(feature = "client")]
    pub(crate) fn asserts_lock(&self, name: &str) -> bool {
        self.operations
            .iter()
            .any(|operation| matches!(operation, Operation::Assert { lock } if lock == name))
    }

    /// Returns the number of operations.
    pub fn len(&self) -> usize {
        self.operations.len()
    }

    /// Returns true if there are no operations.
    pub fn is_empty(&self) -> bool {
        self.operations.is_empty()
    }
}

fn collect(conditions: impl IntoIterator<Item = Condition>) -> Vec<Condition> {
    conditions.into_iter().collect()
}

impl Serialize for Transaction {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut params = serializer.serialize_seq(Some(1 + self.operations.len()))?;
        params.serialize_element(&self.database)?;
        self.operations.iter().try_for_each(|operation| params.serialize_element(operation))?;
        params.end()
    }
}
