//! Rows of any columns, read as untyped values.

use crate::cursor::{DatumReader, DecodeError};
use crate::row::{ColumnSink, Columns};
use crate::value::{Datum, Row};

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
