//! Conditions on the rows of one table.

use std::fmt;
use std::marker::PhantomData;

use uuid::Uuid;

use crate::monitor::RowFilter;
use crate::transact::Condition;

/// A [`Condition`] on rows of type `T`: made by [`Field::eq`](super::Field::eq) and the like, for the
/// [operations](super::TableOperations) on the same table and its [monitor](crate::Client::monitor_rows).
///
/// A condition on a column of another table does not compile:
///
/// ```compile_fail,E0308
/// # use ovsdb_protocol::{Table, Transaction};
/// # #[derive(Clone, Debug, Table)]
/// # #[ovsdb(table = "Logical_Switch")]
/// # struct Switch { name: String }
/// # #[derive(Clone, Debug, Table)]
/// # #[ovsdb(table = "Logical_Router")]
/// # struct Router { name: String }
/// let mut transaction = Transaction::new("OVN_Northbound");
/// transaction.on::<Router>().delete([Switch::COLUMNS.name.eq("ls0")]);
/// ```
///
/// ```
/// # use ovsdb_protocol::{Table, Transaction};
/// # #[derive(Clone, Debug, Table)]
/// # #[ovsdb(table = "Logical_Router")]
/// # struct Router { name: String }
/// let mut transaction = Transaction::new("OVN_Northbound");
/// transaction.on::<Router>().delete([Router::COLUMNS.name.eq("lr0")]);
/// ```
pub struct TypedCondition<T> {
    condition: Condition,
    table: PhantomData<fn() -> T>,
}

/// The rows of the table of `T` to monitor.
pub type TypedRowFilter<T> = RowFilter<TypedCondition<T>>;

impl<T> TypedCondition<T> {
    /// Wraps a condition, whose column must be one of the table.
    pub(super) fn new(condition: Condition) -> Self {
        Self { condition, table: PhantomData }
    }

    /// Creates the condition that the row is this one, which the server finds without a search.
    pub fn uuid(uuid: Uuid) -> Self {
        Self::new(Condition::uuid(uuid))
    }

    /// Creates the condition that every row meets, or none (ovsdb-server(7), section 5.1).
    pub fn boolean(value: bool) -> Self {
        Self::new(Condition::Boolean(value))
    }

    /// Returns the condition without the type of its rows.
    pub fn into_untyped(self) -> Condition {
        self.condition
    }
}

impl<T> From<TypedCondition<T>> for Condition {
    fn from(condition: TypedCondition<T>) -> Self {
        condition.condition
    }
}

impl<T> From<TypedRowFilter<T>> for RowFilter {
    fn from(rows: TypedRowFilter<T>) -> Self {
        match rows {
            RowFilter::All => Self::All,
            RowFilter::Any(conditions) => Self::Any(conditions.into_iter().map(Into::into).collect()),
        }
    }
}

impl<T> Clone for TypedCondition<T> {
    fn clone(&self) -> Self {
        Self::new(self.condition.clone())
    }
}

impl<T> PartialEq for TypedCondition<T> {
    fn eq(&self, other: &Self) -> bool {
        self.condition == other.condition
    }
}

impl<T> fmt::Debug for TypedCondition<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.condition.fmt(f)
    }
}
