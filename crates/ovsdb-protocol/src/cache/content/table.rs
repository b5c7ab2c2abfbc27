//! One table of a cache.

use std::collections::BTreeMap;
use std::mem;
use std::sync::Arc;

use uuid::Uuid;

use crate::chain::Chain;
use crate::cursor::{DatumReader, DecodeError};
use crate::diff::apply_diff;
use crate::problem::Problems;
use crate::replica::Batch;
use crate::row::{ColumnSink, Columns};
use crate::schema::ColumnType;
use crate::value::Row;

/// The committed rows of a table, and above them those of the open batch.
#[derive(Debug)]
pub(super) struct Table {
    types: BTreeMap<String, ColumnType>,
    /// A row with only default values.
    default: Row,
    rows: BTreeMap<Uuid, Arc<Row>>,
    /// The rows that the open batch changes; `None` for a deleted one.
    staged: BTreeMap<Uuid, Option<Arc<Row>>>,
    /// The errors of columns that staged rows lack, as far as they are from the open batch.
    faults: BTreeMap<Uuid, BTreeMap<String, String>>,
}

impl Table {
    pub(super) fn new(types: BTreeMap<String, ColumnType>) -> Self {
        let default = types.iter().map(|(name, column)| (name.as_str(), column.default_datum())).collect();
        Self { default, rows: BTreeMap::new(), staged: BTreeMap::new(), faults: BTreeMap::new(), types }
    }

    /// Stages a row of these columns, and the defaults of those that it lacks.
    pub(super) fn put(&mut self, uuid: Uuid, columns: Columns<'_>) -> Result<(), DecodeError> {
        self.faults.remove(&uuid);
        let row = self.default.clone();
        self.read(uuid, row, columns, false)
    }

    /// Stages a row with the differences of some columns applied.
    pub(super) fn modify(
        &mut self,
        batch: Batch,
        uuid: Uuid,
        columns: Columns<'_>,
    ) -> Result<(), DecodeError> {
        let row = match self.staged.remove(&uuid) {
            Some(staged) => staged,
            None => self.committed(batch, &uuid).cloned(),
        };
        self.read(uuid, row.map_or_else(Row::new, Arc::unwrap_or_clone), columns, true)
    }

    /// Stages the deletion of a row.
    pub(super) fn delete(&mut self, uuid: Uuid) {
        self.faults.remove(&uuid);
        self.staged.insert(uuid, None);
    }

    fn read(
        &mut self,
        uuid: Uuid,
        mut row: Row,
        columns: Columns<'_>,
        differences: bool,
    ) -> Result<(), DecodeError> {
        let mut reader =
            RowReader { types: &self.types, row: &mut row, differences, faults: BTreeMap::new() };
        columns.read(&mut reader)?;
        let faults = reader.faults;
        if !faults.is_empty() {
            self.faults.entry(uuid).or_default().extend(faults);
        }
        self.staged.insert(uuid, Some(Arc::new(row)));
        Ok(())
    }

    /// Makes the batch the content, reporting every difference.
    pub(super) fn commit(
        &mut self,
        name: &Arc<str>,
        batch: Batch,
        problems: &mut Problems,
        mut differ: impl FnMut(Uuid, Option<Arc<Row>>, Option<Arc<Row>>),
    ) {
        let mut staged = mem::take(&mut self.staged);
        if batch == Batch::Snapshot {
            for uuid in self.rows.keys() {
                staged.entry(*uuid).or_insert(None);
            }
        }
        for (uuid, new) in staged {
            self.settle(name, uuid, new.as_deref(), problems);
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
        self.faults.clear();
    }

    /// Records the problems of a row, and forgets those of columns that are readable now.
    fn settle(&mut self, name: &Arc<str>, uuid: Uuid, row: Option<&Row>, problems: &mut Problems) {
        let mut faults = self.faults.remove(&uuid).unwrap_or_default();
        if problems.is_empty() && faults.is_empty() {
            return;
        }
        for column in self.types.keys() {
            match row {
                Some(row) if row.get(column).is_none() => {
                    if let Some(message) = faults.remove(column) {
                        problems.record(name, uuid, column, message, true);
                    }
                }
                _ => problems.remove(name, uuid, column),
            }
        }
    }

    pub(super) fn abort(&mut self) {
        self.staged.clear();
        self.faults.clear();
    }

    /// Returns the types of the columns.
    pub(super) fn types(&self) -> &BTreeMap<String, ColumnType> {
        &self.types
    }

    /// Returns the committed rows.
    pub(super) fn rows(&self) -> &BTreeMap<Uuid, Arc<Row>> {
        &self.rows
    }

    /// Returns whether the row exists within the batch.
    pub(super) fn contains(&self, batch: Batch, uuid: &Uuid) -> bool {
        match self.staged.get(uuid) {
            Some(staged) => staged.is_some(),
            None => self.committed(batch, uuid).is_some(),
        }
    }

    /// Returns a committed row below the batch. A snapshot starts empty.
    fn committed(&self, batch: Batch, uuid: &Uuid) -> Option<&Arc<Row>> {
        match batch {
            Batch::Snapshot => None,
            Batch::Delta => self.rows.get(uuid),
        }
    }
}

/// A reader of columns into a row. A column whose value cannot be read is removed.
struct RowReader<'a> {
    types: &'a BTreeMap<String, ColumnType>,
    row: &'a mut Row,
    differences: bool,
    faults: BTreeMap<String, String>,
}

impl RowReader<'_> {
    fn fault(&mut self, column: &str, message: String) {
        self.row.remove(column);
        self.faults.insert(column.to_owned(), message);
    }
}

impl ColumnSink for RowReader<'_> {
    fn column(&mut self, name: &str, value: &mut DatumReader<'_, '_>) -> Result<(), DecodeError> {
        // Columns that were not requested are ignored.
        let Some(column_type) = self.types.get(name) else { return Ok(()) };
        let datum = value.datum()?;
        let read = match self.row.get_mut(name) {
            Some(current) if self.differences => {
                apply_diff(current, datum, column_type).map_err(|error| Chain(&error).to_string())
            }
            // A difference from a value that could not be read has no meaning.
            None if self.differences && !column_type.max_is_one() => return Ok(()),
            _ => datum
                .convert(column_type)
                .map(|datum| drop(self.row.insert(name, datum)))
                .map_err(|error| Chain(&error).to_string()),
        };
        if let Err(message) = read {
            self.fault(name, message);
        }
        Ok(())
    }

    fn rejected(&mut self, name: &str, error: DecodeError) {
        // An unreadable difference from an unreadable value changes nothing either, but is the newer problem.
        self.fault(name, error.to_string());
    }
}
