//! Rows of any columns, read as untyped values.

use crate::cursor::{DatumReader, DecodeError};
use crate::row::{ColumnSink, Columns};
use crate::value::Row;

/// Reads all columns, whatever their type. [`Datum::conform`](crate::Datum::conform) does what depends on the type.
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
