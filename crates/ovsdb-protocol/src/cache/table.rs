//! One table of the replica.

use std::collections::BTreeMap;
use std::mem;
use std::sync::Arc;

use uuid::Uuid;

use super::{Batch, Inconsistency};
use crate::diff::apply_diff;
use crate::schema::ColumnType;
use crate::value::{Row, RowError};

/// The committed rows of a table, and above them those of the open batch.
#[derive(Debug, Clone)]
pub(super) struct Table {
    types: BTreeMap<String, ColumnType>,
    /// The row of nothing but defaults.
    default: Row,
    rows: BTreeMap<Uuid, Arc<Row>>,
    /// What the open batch says about rows; `None` for a deleted one.
    staged: BTreeMap<Uuid, Option<Arc<Row>>>,
}

impl Table {
    pub(super) fn new(types: BTreeMap<String, ColumnType>) -> Self {
        let default = types.iter().map(|(name, column)| (name.as_str(), column.default_datum())).collect();
        Self { types, default, rows: BTreeMap::new(), staged: BTreeMap::new() }
    }

    /// Records the content of a row in the batch.
    pub(super) fn stage(&mut self, uuid: Uuid, row: Option<Arc<Row>>) {
        self.staged.insert(uuid, row);
    }

    /// Takes a row for changing it: out of the batch, or else a reference to the committed one.
    pub(super) fn take(&mut self, batch: Batch, uuid: &Uuid) -> Option<Arc<Row>> {
        match self.staged.remove(uuid) {
            Some(staged) => staged,
            None => self.committed(batch, uuid).cloned(),
        }
    }

    /// Makes the batch the content, telling every difference.
    pub(super) fn commit(
        &mut self,
        batch: Batch,
        mut differ: impl FnMut(Uuid, Option<Arc<Row>>, Option<Arc<Row>>),
    ) {
        let mut staged = mem::take(&mut self.staged);
        if batch == Batch::Snapshot {
            for uuid in self.rows.keys() {
                staged.entry(*uuid).or_insert(None);
            }
        }
        for (uuid, new) in staged {
            // An equal row keeps its old place in memory, which readers may hold already.
            if self.rows.get(&uuid) == new.as_ref() {
                continue;
            }
            let old = match &new {
                Some(row) => self.rows.insert(uuid, Arc::clone(row)),
                None => self.rows.remove(&uuid),
            };
            differ(uuid, old, new);
        }
    }

    pub(super) fn abort(&mut self) {
        self.staged.clear();
    }

    /// Returns the types of the columns.
    pub(super) fn types(&self) -> &BTreeMap<String, ColumnType> {
        &self.types
    }

    /// Returns the committed rows.
    pub(super) fn rows(&self) -> &BTreeMap<Uuid, Arc<Row>> {
        &self.rows
    }

    /// Returns true if the row exists as far as the batch knows.
    pub(super) fn contains(&self, batch: Batch, uuid: &Uuid) -> bool {
        match self.staged.get(uuid) {
            Some(staged) => staged.is_some(),
            None => self.committed(batch, uuid).is_some(),
        }
    }

    /// Converts a row of the table called `name` to the types of its columns, and adds the defaults of those
    /// that it lacks.
    pub(super) fn complete(&self, name: &str, uuid: Uuid, row: Row) -> Result<Row, Inconsistency> {
        let mut complete = self.default.clone();
        for (column, datum) in row {
            let Some((place, column_type)) = complete.get_mut(&column).zip(self.types.get(&column)) else {
                return Err(misfit(name, uuid, RowError::UnknownColumn(column)));
            };
            match datum.conform(column_type) {
                Ok(datum) => *place = datum,
                Err(source) => return Err(misfit(name, uuid, RowError::Value { column, source })),
            }
        }
        Ok(complete)
    }

    /// Applies the differences of some columns to a row of the table called `name`.
    pub(super) fn apply(
        &self,
        name: &str,
        uuid: Uuid,
        row: &mut Row,
        diff: Row,
    ) -> Result<(), Inconsistency> {
        for (column, diff) in diff {
            let Some((current, column_type)) = row.get_mut(&column).zip(self.types.get(&column)) else {
                return Err(misfit(name, uuid, RowError::UnknownColumn(column)));
            };
            apply_diff(current, diff, column_type).map_err(|source| Inconsistency::Diff {
                table: name.to_owned(),
                uuid,
                column,
                source: Box::new(source),
            })?;
        }
        Ok(())
    }

    /// Returns a row beneath the batch. A snapshot starts from nothing.
    fn committed(&self, batch: Batch, uuid: &Uuid) -> Option<&Arc<Row>> {
        match batch {
            Batch::Snapshot => None,
            Batch::Delta => self.rows.get(uuid),
        }
    }
}

fn misfit(table: &str, uuid: Uuid, source: RowError) -> Inconsistency {
    Inconsistency::Row { table: table.to_owned(), uuid, source: Box::new(source) }
}
