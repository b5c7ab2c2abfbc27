//! Updates as owned values, for consumers without a replica of their own.

use std::collections::BTreeMap;

use uuid::Uuid;

use crate::cursor::{DatumReader, DecodeError};
use crate::row::{ColumnSink, Columns, RowChange, RowUpdate};
use crate::value::{Datum, Row};

/// The rows of one monitor reply or update.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TableUpdates {
    /// Whether these are all rows there are, rather than differences.
    pub snapshot: bool,
    /// What happened, by table and row.
    pub tables: BTreeMap<String, BTreeMap<Uuid, RowDifference>>,
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
        let difference = match update.change {
            RowChange::Insert(columns) => RowDifference::Insert(read_row(columns)?),
            RowChange::Modify(columns) => RowDifference::Modify(read_row(columns)?),
            RowChange::Replace(columns) => RowDifference::Replace(read_row(columns)?),
            RowChange::Delete => RowDifference::Delete,
        };
        self.tables.entry(update.table.to_owned()).or_default().insert(update.uuid, difference);
        Ok(())
    }
}

/// Reads all columns, whatever their type. What depends on the type is left to
/// [`Datum::conform`].
pub(crate) fn read_row(columns: Columns<'_>) -> Result<Row, DecodeError> {
    #[derive(Default)]
    struct Reader(Row, Option<DecodeError>);

    impl ColumnSink for Reader {
        fn column(&mut self, name: &str, value: &mut DatumReader<'_, '_>) -> Result<(), DecodeError> {
            let text = value.text()?;
            let expected = DecodeError { at: 0, expected: "an OVSDB value" };
            self.0.insert(name, serde_json::from_str::<Datum>(text).map_err(|_| expected)?);
            Ok(())
        }

        fn rejected(&mut self, _: &str, error: DecodeError) {
            self.1 = Some(error);
        }
    }

    let mut reader = Reader::default();
    columns.read(&mut reader)?;
    reader.1.map_or(Ok(reader.0), Err)
}
