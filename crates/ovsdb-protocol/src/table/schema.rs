//! The schema that declarations expect, for tests without a server.

use std::collections::BTreeMap;

use super::{ColumnKind, ColumnSpec, TableSpec};
use crate::schema::{BaseType, ColumnSchema, ColumnType, DatabaseSchema, Max, TableSchema};

/// Returns the schema of a server that has the declared tables, with those columns for which `has` returns true. A table
/// without such columns is absent.
pub fn declared_schema<'t>(
    name: &str,
    tables: impl IntoIterator<Item = &'t TableSpec>,
    has: impl Fn(&TableSpec, &ColumnSpec) -> bool,
) -> DatabaseSchema {
    let tables = tables.into_iter().filter_map(|table| {
        let columns = table.columns.iter().filter(|column| has(table, column));
        let columns: BTreeMap<_, _> = columns
            .map(|column| {
                let column_type = column.kind.column_type();
                (column.name.to_owned(), ColumnSchema { column_type, ephemeral: false, mutable: true })
            })
            .collect();
        let schema = TableSchema { columns, max_rows: None, is_root: true, indexes: Vec::new() };
        (!schema.columns.is_empty()).then(|| (table.name.to_owned(), schema))
    });
    DatabaseSchema { name: name.to_owned(), version: String::new(), checksum: None, tables: tables.collect() }
}

impl ColumnKind {
    /// Returns the type of a column that holds exactly the values that fields of this kind can hold.
    pub fn column_type(self) -> ColumnType {
        let (key, value, min, max) = match self {
            Self::Scalar(key) => (key, None, 1, Max::Limited(1)),
            Self::Optional(key) => (key, None, 0, Max::Limited(1)),
            Self::Set(key) => (key, None, 0, Max::Unlimited),
            Self::Map(key, value) => (key, Some(value), 0, Max::Unlimited),
        };
        ColumnType { key: BaseType::any(key), value: value.map(BaseType::any), min, max }
    }
}
