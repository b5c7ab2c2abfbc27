//! Updates as owned values, for consumers without a replica of their own.

use std::collections::BTreeMap;

use uuid::Uuid;

use crate::cursor::{DatumReader, DecodeError};
use crate::problem::Problems;
use crate::row::{ColumnSink, Columns, RowChange, RowUpdate};
use crate::value::Row;

/// The rows of one monitor reply or update.
///
/// A value that cannot be read is missing in its row, and listed.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct TableUpdates {
    /// Whether these are all rows there are, rather than differences.
    pub snapshot: bool,
    /// What happened, by table and row.
    pub tables: BTreeMap<String, BTreeMap<Uuid, RowDifference>>,
    /// The values that could not be read.
    pub problems: Problems,
}

/// What happened to one row: [`RowChange`], owned.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum RowDifference {
    /// See [`RowChange::Insert`].
    Insert(Row),
    /// See [`RowChange::Modify`].
    Modify(Row),
    /// See [`RowChange::Replace`].
    Replace(Row),
    /// See [`RowChange::Delete`].
    Delete,
}

// ===== impl TableUpdates =====

impl TableUpdates {
    pub(crate) fn push(&mut self, update: RowUpdate<'_>) -> Result<(), DecodeError> {
        let RowUpdate { table, uuid, change } = update;
        let problems = &mut self.problems;
        let mut read = |columns| {
            let mut reader = RowReader::default();
            Columns::read(columns, &mut reader)?;
            for (column, error) in reader.rejected {
                problems.record(table, uuid, &column, error.to_string(), true);
            }
            Ok::<_, DecodeError>(reader.row)
        };
        let difference = match &change {
            RowChange::Insert(columns) => RowDifference::Insert(read(columns)?),
            RowChange::Modify(columns) => RowDifference::Modify(read(columns)?),
            RowChange::Replace(columns) => RowDifference::Replace(read(columns)?),
            RowChange::Delete => RowDifference::Delete,
        };
        self.tables.entry(table.to_owned()).or_default().insert(uuid, difference);
        Ok(())
    }
}

/// Reads all columns, whatever their type. What depends on the type is left to
/// [`Datum::conform`](crate::Datum::conform).
///
/// # Errors
/// The text as a whole, or one of the values, is malformed.
pub(crate) fn read_row(columns: Columns<'_>) -> Result<Row, DecodeError> {
    let mut reader = RowReader::default();
    columns.read(&mut reader)?;
    reader.rejected.into_iter().next().map_or(Ok(reader.row), |(_, error)| Err(error))
}

#[derive(Default)]
struct RowReader {
    row: Row,
    rejected: Vec<(String, DecodeError)>,
}

impl ColumnSink for RowReader {
    fn column(&mut self, name: &str, value: &mut DatumReader<'_, '_>) -> Result<(), DecodeError> {
        self.row.insert(name, value.datum()?);
        Ok(())
    }

    fn rejected(&mut self, name: &str, error: DecodeError) {
        self.rejected.push((name.to_owned(), error));
    }
}
