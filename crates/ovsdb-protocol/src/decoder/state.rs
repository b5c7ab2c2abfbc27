//! Places in a message.

use uuid::Uuid;

use super::members::Member;

/// The place of the next byte in a message.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum State {
    #[default]
    Between,
    FirstKey,
    Key,
    Colon(Member),
    Value(Member),
    AfterValue,
    /// Before the array that contains the tables, with `wanted` elements before them.
    PrefixStart {
        wanted: usize,
    },
    Prefix {
        wanted: usize,
    },
    PrefixComma {
        wanted: usize,
    },
    /// Before tables that are not in an array.
    Tables,
    FirstTable,
    Table,
    TableColon,
    Rows,
    FirstRow,
    Row,
    RowColon(Uuid),
    RowValue(Uuid),
    AfterRow,
    AfterTable,
    AfterTables,
}

// ===== impl State =====

impl State {
    /// Returns what is expected there, for messages.
    pub(super) fn expected(self) -> &'static str {
        match self {
            Self::Between => "a JSON object",
            Self::FirstKey | Self::Key => "a member's name",
            Self::Colon(_) | Self::TableColon | Self::RowColon(_) => "a colon",
            Self::Value(_) | Self::RowValue(_) => "a value",
            Self::AfterValue => "a comma or the end of the message",
            Self::PrefixStart { .. } => "an array",
            Self::Prefix { .. } | Self::Tables => "tables",
            Self::PrefixComma { .. } => "a comma",
            Self::FirstTable | Self::Table => "a table's name",
            Self::Rows => "the rows of a table",
            Self::FirstRow | Self::Row => "a row's UUID",
            Self::AfterRow => "a comma or the end of the table",
            Self::AfterTable => "a comma or the end of the tables",
            Self::AfterTables => "the end of the rows",
        }
    }
}
