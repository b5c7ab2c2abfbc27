//! The rows of a cache, and the batch of changes that arrives.

mod table;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::mem;
use std::sync::Arc;

use uuid::Uuid;

use self::table::Table;
use super::{CacheError, RowDelta};
use crate::problem::Problems;
use crate::replica::Batch;
use crate::row::{RowChange, RowUpdate};
use crate::schema::TableSchema;
use crate::value::Row;

/// Rows by table. Changes come in batches, from [`begin`](Self::begin) to [`commit`](Self::commit); readers see none
/// of a batch before its commit, then all of it.
///
/// A [`Batch::Snapshot`] has the whole content. Its commit compares that with the present content: equal rows yield
/// nothing, different ones a change, and those missing in the snapshot a deletion.
///
/// A change that does not fit discards the batch, and every further call for it fails too.
#[derive(Debug, Default)]
pub(super) struct Content {
    tables: BTreeMap<Arc<str>, Table>,
    batch: Option<Batch>,
    problems: Problems,
}

impl Content {
    /// Adds a table with those of its columns that the schema has.
    pub(super) fn add_table(&mut self, name: &str, schema: &TableSchema, columns: &[String]) {
        let types = columns
            .iter()
            .filter_map(|column| Some((column.clone(), schema.column(column)?.column_type.clone())));
        self.tables.insert(Arc::from(name), Table::new(types.collect()));
    }

    // ----- changes -----

    /// Opens a batch, discarding one that was left open.
    pub(super) fn begin(&mut self, batch: Batch) {
        self.abort();
        self.batch = Some(batch);
    }

    /// Applies a row update of the batch.
    pub(super) fn apply(&mut self, update: RowUpdate<'_>) -> Result<(), CacheError> {
        let batch = self.batch.ok_or(CacheError::NoBatch)?;
        let outcome = match self.tables.get_mut(update.table) {
            Some(table) => change(table, batch, update),
            None => Err(CacheError::UnknownTable(update.table.to_owned())),
        };
        if outcome.is_err() {
            self.abort();
        }
        outcome
    }

    /// Makes the batch the content, returning the differences ordered by table and row.
    pub(super) fn commit(&mut self) -> Result<Vec<RowDelta>, CacheError> {
        let batch = self.batch.take().ok_or(CacheError::NoBatch)?;
        let mut deltas = Vec::new();
        for (name, table) in &mut self.tables {
            table.commit(name, batch, &mut self.problems, |uuid, old, new| {
                deltas.push(RowDelta { table: Arc::clone(name), uuid, old, new });
            });
        }
        Ok(deltas)
    }

    fn abort(&mut self) {
        if self.batch.take().is_some() {
            self.tables.values_mut().for_each(Table::abort);
        }
    }

    /// Becomes `next`, which may have other tables and columns, returning the differences ordered by table and row. A
    /// row with other columns differs.
    pub(super) fn become_next(&mut self, next: Self) -> Vec<RowDelta> {
        let before = mem::replace(self, next);
        let none = BTreeMap::new();
        let names: BTreeSet<_> = before.tables.keys().chain(self.tables.keys()).collect();
        let mut deltas = Vec::new();
        for name in names {
            let [old, new] =
                [&before, &*self].map(|content| content.tables.get(name).map_or(&none, Table::rows));
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
    pub(super) fn has_shape_of(&self, other: &Self) -> bool {
        let types = |content: &Self| -> Vec<_> {
            content.tables.iter().map(|(name, table)| (Arc::clone(name), table.types().clone())).collect()
        };
        types(self) == types(other)
    }

    // ----- content -----

    pub(super) fn get(&self, table: &str, uuid: &Uuid) -> Option<&Arc<Row>> {
        self.tables.get(table)?.rows().get(uuid)
    }

    pub(super) fn rows(&self, table: &str) -> impl Iterator<Item = (Uuid, &Arc<Row>)> {
        self.tables.get(table).into_iter().flat_map(Table::rows).map(|(uuid, row)| (*uuid, row))
    }

    pub(super) fn tables(&self) -> impl Iterator<Item = &str> {
        self.tables.keys().map(AsRef::as_ref)
    }

    pub(super) fn len(&self) -> usize {
        self.tables.values().map(|table| table.rows().len()).sum()
    }

    pub(super) fn problems(&self) -> &Problems {
        &self.problems
    }
}

/// Changes a row of a table within the batch.
fn change(table: &mut Table, batch: Batch, update: RowUpdate<'_>) -> Result<(), CacheError> {
    let RowUpdate { table: name, uuid, change } = update;
    let malformed = |source| CacheError::Malformed { table: name.to_owned(), uuid, source };
    let exists = table.contains(batch, &uuid);
    let insert = matches!(change, RowChange::Insert(_));
    if insert && exists {
        return Err(CacheError::Exists { table: name.to_owned(), uuid });
    }
    if !insert && !exists {
        return Err(CacheError::Absent { table: name.to_owned(), uuid });
    }
    match change {
        RowChange::Insert(columns) | RowChange::Replace(columns) => table.put(uuid, columns),
        RowChange::Modify(columns) => table.modify(batch, uuid, columns),
        RowChange::Delete => {
            table.delete(uuid);
            Ok(())
        }
    }
    .map_err(malformed)
}
