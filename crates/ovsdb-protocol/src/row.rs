//! One row of a monitor reply or update, in one normal form for all versions of the notation.

use std::fmt;

use uuid::Uuid;

use crate::cursor::{Cursor, DatumReader, DecodeError};

/// The change of one row, borrowed from the receive buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RowUpdate<'a> {
    /// The table's name.
    pub table: &'a str,
    /// The row's `_uuid`.
    pub uuid: Uuid,
    /// The change.
    pub change: RowChange<'a>,
}

/// The normal form of `update` (RFC 7047 section 4.1.6), `update2` and `update3` (ovsdb-server(7)).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RowChange<'a> {
    /// A row that the monitor did not show before. Columns that are absent hold their default.
    Insert(Columns<'a>),
    /// A row's columns changed; each is a difference, see [`apply_diff`](crate::apply_diff).
    Modify(Columns<'a>),
    /// A row's columns changed; each is the new content (RFC 7047's `update`).
    Replace(Columns<'a>),
    /// The row is gone, or the monitor's condition does not show it any more.
    Delete,
}

/// A row's columns as JSON text, read by [`Columns::read`].
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Columns<'a>(&'a str);

/// A receiver of the columns of a row, one after the other.
pub trait ColumnSink {
    /// Reads one column. A column that is not read is skipped.
    ///
    /// # Errors
    /// The value is not valid for the column; [`ColumnSink::rejected`] is called and reading continues with the next
    /// column.
    fn column(&mut self, name: &str, value: &mut DatumReader<'_, '_>) -> Result<(), DecodeError>;

    /// Records a value that [`ColumnSink::column`] refused.
    fn rejected(&mut self, name: &str, error: DecodeError);
}

// ===== impl RowChange =====

impl<'a> RowChange<'a> {
    /// Parses a `<row-update>` or `<row-update2>`.
    pub(crate) fn parse(text: &'a str) -> Result<Self, DecodeError> {
        if let Some(change) = Self::parse_single(text) {
            return Ok(change);
        }
        let mut cursor = Cursor::new(text);
        let (mut old, mut change) = (false, None);
        if cursor.peek() == Some(b'n') {
            // Relays and some servers write a deletion as a bare null.
            cursor.value()?;
            change = Some(Self::Delete);
        } else {
            cursor.object(|cursor, key| {
                cursor.peek();
                let at = cursor.position();
                let value = cursor.value()?;
                match key {
                    "old" => old = true,
                    "new" => change = Some(Self::Replace(Columns(value))),
                    "initial" | "insert" => change = Some(Self::Insert(Columns(value))),
                    "modify" => change = Some(Self::Modify(Columns(value))),
                    "delete" => change = Some(Self::Delete),
                    _ => return Err(DecodeError { at, expected: "a known kind of row update" }),
                }
                Ok(())
            })?;
        }
        cursor.end()?;
        match (old, change) {
            (false, Some(Self::Replace(new))) => Ok(Self::Insert(new)),
            (true, None) => Ok(Self::Delete),
            (_, Some(change)) => Ok(change),
            (false, None) => Err(DecodeError { at: 0, expected: "a row update" }),
        }
    }

    /// Parses the usual form of `<row-update2>`, as ovsdb-server writes it: an object with one member. Its value is not
    /// checked, since [`Columns::read`] does that.
    fn parse_single(text: &'a str) -> Option<Self> {
        let inner = text.strip_suffix('}')?;
        let columns = |kind| inner.strip_prefix(kind).map(Columns);
        columns("{\"initial\":")
            .or_else(|| columns("{\"insert\":"))
            .map(Self::Insert)
            .or_else(|| columns("{\"modify\":").map(Self::Modify))
    }
}

// ===== impl Columns =====

impl<'a> Columns<'a> {
    /// Wraps the JSON text of a `<row>` object.
    pub fn new(text: &'a str) -> Self {
        Self(text)
    }

    /// Returns the JSON text.
    pub fn text(&self) -> &'a str {
        self.0
    }

    /// Passes every column to `sink`.
    ///
    /// # Errors
    /// The text as a whole is malformed. A single bad value is not an error: see [`ColumnSink`].
    pub fn read(&self, sink: &mut impl ColumnSink) -> Result<(), DecodeError> {
        let mut cursor = Cursor::new(self.0);
        cursor.object(|cursor, name| {
            cursor.peek();
            let start = cursor.position();
            if let Err(error) = sink.column(name, &mut DatumReader::new(cursor)) {
                cursor.rewind(start);
                sink.rejected(name, error);
            }
            if cursor.position() == start {
                cursor.value()?;
            }
            Ok(())
        })?;
        cursor.end()
    }
}

impl fmt::Debug for Columns<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn row_updates_of_all_monitor_versions_are_normalised() {
        let columns = Columns("{\"a\":1}");
        for (text, change) in [
            (r#"{"initial":{"a":1}}"#, RowChange::Insert(columns)),
            (r#"{"insert":{"a":1}}"#, RowChange::Insert(columns)),
            (r#"{"modify":{"a":1}}"#, RowChange::Modify(columns)),
            (r#"{"delete":null}"#, RowChange::Delete),
            (r#"{"delete":{}}"#, RowChange::Delete),
            ("null", RowChange::Delete),
            (r#"{"new":{"a":1}}"#, RowChange::Insert(columns)),
            (r#"{"old":{"a":2},"new":{"a":1}}"#, RowChange::Replace(columns)),
            (r#"{"new":{"a":1},"old":{"a":2}}"#, RowChange::Replace(columns)),
            (r#"{"old":{"a":2}}"#, RowChange::Delete),
        ] {
            assert_eq!(RowChange::parse(text), Ok(change), "{text}");
        }
        for text in ["", "{}", "{\"what\":{}}", "[]", "5", "{\"new\":{}} 1"] {
            assert!(RowChange::parse(text).is_err(), "{text}");
        }
    }

    #[derive(Default)]
    struct Seen(Vec<String>);

    impl ColumnSink for Seen {
        fn column(&mut self, name: &str, value: &mut DatumReader<'_, '_>) -> Result<(), DecodeError> {
            if name != "skip" {
                let value = value.string()?;
                self.0.push(format!("{name}={value:?}"));
            }
            Ok(())
        }

        fn rejected(&mut self, name: &str, error: DecodeError) {
            self.0.push(format!("{name}: {error}"));
        }
    }

    #[test]
    fn malformed_value_leaves_the_other_columns_readable() {
        let mut seen = Seen::default();
        let text = r#"{"a":"1","bad":["map",[]],"skip":{"x":[1,2]},"z":["set",[]]}"#;
        Columns::new(text).read(&mut seen).unwrap();
        assert_eq!(seen.0.len(), 3, "{:?}", seen.0);
        assert!(seen.0[0] == "a=Some(\"1\")" && seen.0[1].starts_with("bad: ") && seen.0[2] == "z=None");
    }
}
