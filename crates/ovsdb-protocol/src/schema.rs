//! Database schemas, [RFC 7047 section 3.2].
//!
//! [RFC 7047 section 3.2]: https://www.rfc-editor.org/rfc/rfc7047#section-3.2

mod column_type;
mod conform;
mod parse;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::LazyLock;

use crate::value::AtomicType;
pub use column_type::{BaseType, ColumnType, Constraint, Max, RefType};
pub use conform::{Place, RowError, ValueError};
pub use parse::SchemaError;

/// The schema of one database.
#[derive(Debug, Clone, PartialEq)]
pub struct DatabaseSchema {
    /// The name of the database, as in a transaction.
    pub name: String,
    /// The version `x.y.z`; empty if the schema has none.
    pub version: String,
    /// The checksum of the schema file, the member `cksum`.
    pub checksum: Option<String>,
    /// The tables by name.
    pub tables: BTreeMap<String, TableSchema>,
}

/// The schema of one table.
#[derive(Debug, Clone, PartialEq)]
pub struct TableSchema {
    /// The columns by name, without `_uuid` and `_version`.
    pub columns: BTreeMap<String, ColumnSchema>,
    /// The greatest number of rows; `None` for any number.
    pub max_rows: Option<u64>,
    /// Whether rows exist without being referenced. The server deletes an unreferenced row of any other table at the
    /// end of each transaction, even if it is new.
    pub is_root: bool,
    /// Sets of columns in which no two rows may have equal values.
    pub indexes: Vec<Vec<String>>,
}

/// The schema of one column.
#[derive(Debug, Clone, PartialEq)]
pub struct ColumnSchema {
    /// The type of its values.
    pub column_type: ColumnType,
    /// Whether the value may be lost in a restart of the server.
    pub ephemeral: bool,
    /// Whether the value may change after the insert of its row.
    pub mutable: bool,
}

impl DatabaseSchema {
    /// Returns the schema of a table.
    pub fn table(&self, table: &str) -> Option<&TableSchema> {
        self.tables.get(table)
    }

    /// Returns the schema of a column of a table, `_uuid` and `_version` included.
    pub fn column(&self, table: &str, column: &str) -> Option<&ColumnSchema> {
        self.table(table)?.column(column)
    }
}

impl TableSchema {
    /// Returns the schema of a column, including the two that every table has: `_uuid` and `_version`.
    pub fn column(&self, column: &str) -> Option<&ColumnSchema> {
        static ROW_NAME: LazyLock<ColumnSchema> = LazyLock::new(|| ColumnSchema {
            column_type: ColumnType::scalar(AtomicType::Uuid),
            ephemeral: false,
            mutable: false,
        });
        match column {
            "_uuid" | "_version" => Some(&ROW_NAME),
            _ => self.columns.get(column),
        }
    }
}
