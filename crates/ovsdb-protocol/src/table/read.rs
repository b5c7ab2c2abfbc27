//! Rows read from updates.

use uuid::Uuid;

use super::{ColumnError, ColumnSet, Table, TableLayout};
use crate::cursor::{DatumReader, DecodeError};
use crate::problem::{Finding, Problems};
use crate::row::{ColumnSink, Columns as ColumnsText};

/// An update of a row, before its columns are read.
#[derive(Clone, Copy, Debug)]
pub struct ReadRow<'a> {
    /// The row's `_uuid`.
    pub uuid: Uuid,
    /// The columns in the update.
    pub columns: ColumnsText<'a>,
    /// Whether they are differences from the row, rather than all of its columns.
    pub is_difference: bool,
    /// Whether the last reading of the row found a problem.
    pub had_problem: bool,
}

/// Reads columns into a row: a row of defaults for a whole one, the present row for a difference.
///
/// A value that is not understood is recorded in `problems`. If it cannot be read at all, the column gets its default.
/// A set or map stays unknown then: differences of it are skipped until a whole value arrives. Returns whether the row
/// has a problem now.
///
/// # Errors
/// The text as a whole is malformed.
pub fn read_row<T: Table>(
    row: &mut T,
    read: ReadRow<'_>,
    layout: TableLayout,
    context: &mut T::Context,
    problems: &mut Problems,
) -> Result<bool, DecodeError> {
    let ReadRow { uuid, columns, is_difference, had_problem } = read;
    let unknown = match is_difference && had_problem {
        true => problems.unknown(T::TABLE.name, uuid).filter_map(T::column_index).collect(),
        false => ColumnSet::EMPTY,
    };
    // A difference of a column that the server replaces is its new value.
    let replaced = if is_difference { layout.replaced } else { ColumnSet::EMPTY };
    let mut reader =
        Reader { row, context, unknown, replaced, read: ColumnSet::default(), errors: Vec::new() };
    columns.read(&mut reader)?;
    let Reader { read, errors, .. } = reader;
    if !had_problem && errors.is_empty() {
        return Ok(false);
    }
    let was_read =
        |column: &str| !is_difference || T::column_index(column).is_some_and(|column| read.contains(column));
    let findings = errors.iter().map(|(column, error)| Finding {
        column: T::COLUMNS[*column].name,
        message: error.to_string(),
        is_unknown: matches!(error, ColumnError::Unreadable(_)),
    });
    Ok(problems.settle(T::TABLE.name, uuid, was_read, findings.collect()))
}

struct Reader<'r, T: Table> {
    row: &'r mut T,
    context: &'r mut T::Context,
    unknown: ColumnSet,
    replaced: ColumnSet,
    /// The columns that were read.
    read: ColumnSet,
    /// The errors of some of them.
    errors: Vec<(usize, ColumnError)>,
}

impl<T: Table> ColumnSink for Reader<'_, T> {
    fn column(&mut self, name: &str, value: &mut DatumReader<'_, '_>) -> Result<(), DecodeError> {
        let Some(column) = T::column_index(name) else { return Ok(()) };
        if self.replaced.contains(column) {
            self.row.reset(column);
        } else if self.unknown.contains(column) && T::COLUMNS[column].kind.is_collection() {
            // A difference from an unknown value is unknown, too. Other columns arrive as new values.
            return Ok(());
        }
        self.read.insert(column);
        match self.row.apply(column, value, self.context) {
            Ok(()) => Ok(()),
            Err(ColumnError::Unreadable(error)) => Err(error),
            Err(error) => {
                self.errors.push((column, error));
                Ok(())
            }
        }
    }

    fn rejected(&mut self, name: &str, error: DecodeError) {
        if let Some(column) = T::column_index(name) {
            self.row.reset(column);
            self.errors.push((column, error.into()));
        }
    }
}
