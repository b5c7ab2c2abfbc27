//! A replica of the tables that a monitor covers.

mod table;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::mem;
use std::sync::Arc;

use uuid::Uuid;

use crate::diff::DiffError;
use crate::replica::Batch;
use crate::schema::DatabaseSchema;
use crate::value::{Row, RowError};
use table::Table;

/// A replica of the tables that a monitor covers, with rows of untyped columns.
///
/// # Batches
///
/// Changes come in batches, from [`begin`](Self::begin) to [`commit`](Self::commit): one for each message of the
/// server. Readers see none of a batch before its commit, then all of it.
///
/// A [`Batch::Snapshot`] tells the whole content of the monitored tables. Its commit compares that with the content so
/// far. Equal rows yield nothing, different ones a change, and those the snapshot lacks a deletion. So the
/// deltas of all commits together always lead to the present content, however often the connection was lost between.
///
/// # Inconsistency
///
/// A change that does not fit the content so far means that a message was missed or misunderstood. The batch is
/// discarded then, every further call for it fails too, and the content stays that of the last commit until the
/// caller brings a snapshot.
#[derive(Debug, Clone, Default)]
pub struct Cache {
    tables: BTreeMap<Arc<str>, Table>,
    batch: Option<Batch>,
}

/// The difference that a batch made to one row. `old` and `new` are never equal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RowDelta {
    /// The table.
    pub table: Arc<str>,
    /// The name of the row.
    pub uuid: Uuid,
    /// The row before the batch; `None` if it is new.
    pub old: Option<Arc<Row>>,
    /// The row after the batch; `None` if it is gone.
    pub new: Option<Arc<Row>>,
}

/// Why a batch was discarded. The content is to be fetched anew.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Inconsistency {
    /// There is no batch: none was begun, or it was discarded.
    #[error("no batch is open")]
    NoBatch,
    /// The table is not among the monitored ones.
    #[error("unknown table {0:?}")]
    UnknownTable(String),
    /// A row was inserted which is there already.
    #[error("row {uuid} of table {table:?} exists already")]
    Exists {
        /// The table.
        table: String,
        /// The name of the row.
        uuid: Uuid,
    },
    /// A row was changed or deleted which is not there.
    #[error("row {uuid} of table {table:?} does not exist")]
    Absent {
        /// The table.
        table: String,
        /// The name of the row.
        uuid: Uuid,
    },
    /// A row has a column that is not monitored, or a value that is none of its column.
    #[error("row {uuid} of table {table:?} does not fit the schema")]
    Row {
        /// The table.
        table: String,
        /// The name of the row.
        uuid: Uuid,
        /// What is wrong with the row.
        #[source]
        source: Box<RowError>,
    },
    /// The difference of a column cannot be applied to its value.
    #[error("change of column {column:?} of row {uuid} of table {table:?} cannot be applied")]
    Diff {
        /// The table.
        table: String,
        /// The name of the row.
        uuid: Uuid,
        /// The column.
        column: String,
        /// What is wrong with the difference.
        #[source]
        source: Box<DiffError>,
    },
}

impl Cache {
    /// Creates an empty replica for a monitor of all tables with all their columns.
    pub fn new(schema: &DatabaseSchema) -> Self {
        let tables = schema.tables.iter().map(|(name, table)| {
            let columns = table.columns.iter();
            let types = columns.map(|(name, column)| (name.clone(), column.column_type.clone()));
            (Arc::from(name.as_str()), Table::new(types.collect()))
        });
        Self { tables: tables.collect(), batch: None }
    }

    /// Creates an empty replica for a monitor of some columns of some tables.
    ///
    /// The rows of the replica have exactly these columns, as far as the schema has them.
    pub fn with_columns<T, C>(schema: &DatabaseSchema, tables: impl IntoIterator<Item = (T, C)>) -> Self
    where
        T: AsRef<str>,
        C: IntoIterator<Item: AsRef<str>>,
    {
        let tables = tables.into_iter().filter_map(|(name, columns)| {
            let table = schema.table(name.as_ref())?;
            let types = columns.into_iter().filter_map(|name| {
                let column = table.column(name.as_ref())?;
                Some((name.as_ref().to_owned(), column.column_type.clone()))
            });
            Some((Arc::from(name.as_ref()), Table::new(types.collect())))
        });
        Self { tables: tables.collect(), batch: None }
    }

    // ----- changes -----

    /// Opens a batch, discarding one that was left open.
    pub fn begin(&mut self, batch: Batch) {
        self.abort();
        self.batch = Some(batch);
    }

    /// Adds a row: an `initial` or `insert` of the server. Columns it lacks get their defaults.
    ///
    /// # Errors
    ///
    /// Fails if the row is there already, in a snapshot only if this same snapshot has it.
    pub fn insert(&mut self, table: &str, uuid: Uuid, row: Row) -> Result<(), Inconsistency> {
        self.change(table, |batch, table_state| {
            if table_state.contains(batch, &uuid) {
                return Err(Inconsistency::Exists { table: table.to_owned(), uuid });
            }
            let row = table_state.complete(table, uuid, row)?;
            table_state.stage(uuid, Some(Arc::new(row)));
            Ok(())
        })
    }

    /// Changes a row by the differences of some columns: a `modify` of the server.
    ///
    /// # Errors
    ///
    /// Fails if the row is not there, or a difference cannot be applied.
    pub fn modify(&mut self, table: &str, uuid: Uuid, diff: Row) -> Result<(), Inconsistency> {
        self.change(table, |batch, table_state| {
            let Some(mut row) = table_state.take(batch, &uuid) else {
                return Err(Inconsistency::Absent { table: table.to_owned(), uuid });
            };
            table_state.apply(table, uuid, Arc::make_mut(&mut row), diff)?;
            table_state.stage(uuid, Some(row));
            Ok(())
        })
    }

    /// Changes a row to a whole new content: the `new` of a first-generation `update`. Columns it lacks get
    /// their defaults.
    ///
    /// # Errors
    ///
    /// Fails if the row is not there.
    pub fn replace(&mut self, table: &str, uuid: Uuid, row: Row) -> Result<(), Inconsistency> {
        self.change(table, |batch, table_state| {
            if !table_state.contains(batch, &uuid) {
                return Err(Inconsistency::Absent { table: table.to_owned(), uuid });
            }
            let row = table_state.complete(table, uuid, row)?;
            table_state.stage(uuid, Some(Arc::new(row)));
            Ok(())
        })
    }

    /// Removes a row.
    ///
    /// # Errors
    ///
    /// Fails if the row is not there.
    pub fn delete(&mut self, table: &str, uuid: Uuid) -> Result<(), Inconsistency> {
        self.change(table, |batch, table_state| {
            if !table_state.contains(batch, &uuid) {
                return Err(Inconsistency::Absent { table: table.to_owned(), uuid });
            }
            table_state.stage(uuid, None);
            Ok(())
        })
    }

    /// Makes the batch the content, returning the differences ordered by table and row.
    ///
    /// # Errors
    ///
    /// Fails if no batch is open, as after an inconsistency in this one.
    pub fn commit(&mut self) -> Result<Vec<RowDelta>, Inconsistency> {
        let batch = self.batch.take().ok_or(Inconsistency::NoBatch)?;
        let mut deltas = Vec::new();
        for (name, table) in &mut self.tables {
            table.commit(batch, |uuid, old, new| {
                deltas.push(RowDelta { table: Arc::clone(name), uuid, old, new });
            });
        }
        Ok(deltas)
    }

    /// Discards the batch, if one is open: for a connection that was lost in the middle of one.
    pub fn abort(&mut self) {
        if self.batch.take().is_some() {
            self.tables.values_mut().for_each(Table::abort);
        }
    }

    /// Becomes `next`, a replica of perhaps other tables and columns, returning the differences ordered by table and
    /// row. A row whose columns are not the same ones differs.
    pub(crate) fn become_next(&mut self, next: Self) -> Vec<RowDelta> {
        let before = mem::replace(self, next);
        let none = BTreeMap::new();
        let names: BTreeSet<_> = before.tables.keys().chain(self.tables.keys()).collect();
        let mut deltas = Vec::new();
        for name in names {
            let [old, new] = [&before, &*self].map(|cache| cache.tables.get(name).map_or(&none, Table::rows));
            let uuids: BTreeSet<_> = old.keys().chain(new.keys()).copied().collect();
            deltas.extend(uuids.into_iter().filter(|uuid| old.get(uuid) != new.get(uuid)).map(|uuid| {
                RowDelta {
                    table: Arc::clone(name),
                    uuid,
                    old: old.get(&uuid).cloned(),
                    new: new.get(&uuid).cloned(),
                }
            }));
        }
        deltas
    }

    /// Returns whether both have the same tables, with the same columns of the same types.
    pub(crate) fn has_shape_of(&self, other: &Self) -> bool {
        let types = |cache: &Self| -> Vec<_> {
            cache.tables.iter().map(|(name, table)| (Arc::clone(name), table.types().clone())).collect()
        };
        types(self) == types(other)
    }

    // ----- content -----

    /// Returns a row.
    pub fn get(&self, table: &str, uuid: &Uuid) -> Option<&Arc<Row>> {
        self.tables.get(table)?.rows().get(uuid)
    }

    /// Iterates over the rows of a table in the order of their names; over none of an unknown table.
    pub fn rows(&self, table: &str) -> impl Iterator<Item = (Uuid, &Arc<Row>)> {
        self.tables.get(table).into_iter().flat_map(Table::rows).map(|(uuid, row)| (*uuid, row))
    }

    /// Iterates over the names of the tables.
    pub fn tables(&self) -> impl Iterator<Item = &str> {
        self.tables.keys().map(AsRef::as_ref)
    }

    /// Returns the number of rows in all tables.
    pub fn len(&self) -> usize {
        self.tables.values().map(|table| table.rows().len()).sum()
    }

    /// Returns true without rows.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Changes a table within the batch, and discards the batch if that fails.
    fn change(
        &mut self,
        table: &str,
        change: impl FnOnce(Batch, &mut Table) -> Result<(), Inconsistency>,
    ) -> Result<(), Inconsistency> {
        let batch = self.batch.ok_or(Inconsistency::NoBatch)?;
        let outcome = match self.tables.get_mut(table) {
            Some(table) => change(batch, table),
            None => Err(Inconsistency::UnknownTable(table.to_owned())),
        };
        if outcome.is_err() {
            self.abort();
        }
        outcome
    }
}

// ===== impl Inconsistency =====

impl Inconsistency {
    /// Says what happened, but not to which row.
    pub(crate) fn summary(&self) -> &'static str {
        match self {
            Self::NoBatch => "no batch is open",
            Self::UnknownTable(_) => "a table is not among the monitored ones",
            Self::Exists { .. } => "an inserted row exists already",
            Self::Absent { .. } => "a changed or deleted row does not exist",
            Self::Row { .. } => "a row does not fit the schema",
            Self::Diff { .. } => "a difference cannot be applied",
        }
    }
}
