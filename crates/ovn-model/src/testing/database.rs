//! The rows of all tables.

use std::collections::BTreeMap;

use ovsdb_protocol::{DatabaseSchema, Uuid, declared_schema};

use super::row::Row;
use super::value::{Kind, Value, tables};
use crate::Store;

/// Columns that an old server lacks: examples, not all of them.
const NEW: [(&str, &str); 2] = [("NAT", "external_port_range"), ("NAT", "gateway_port")];

/// The rows of all tables.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Database {
    /// Whether the server is too old for some columns.
    pub old: bool,
    /// The rows.
    pub rows: BTreeMap<(&'static str, Uuid), Row>,
}

// ===== impl Database =====

impl Database {
    /// Whether the server has a column.
    pub fn has_column(&self, table: &str, column: &str) -> bool {
        !self.old || !NEW.contains(&(table, column))
    }

    /// The columns that the server has.
    pub fn columns(&self, table: &str) -> impl Iterator<Item = (&'static str, Kind)> {
        let (name, columns) = tables().find(|(name, _)| *name == table).unwrap();
        columns.iter().copied().filter(move |(column, _)| self.has_column(name, column))
    }

    /// Returns the rows of a table, by their UUIDs.
    pub fn table(&self, table: &'static str) -> impl Iterator<Item = (Uuid, &Row)> {
        let rows = self.rows.range((table, Uuid::nil())..=(table, Uuid::max()));
        rows.map(|((_, uuid), row)| (*uuid, row))
    }

    /// Returns a row.
    pub fn row(&self, table: &'static str, uuid: Uuid) -> Option<&Row> {
        self.rows.get(&(table, uuid))
    }

    /// Returns a row to change.
    pub fn row_mut(&mut self, table: &'static str, uuid: Uuid) -> Option<&mut Row> {
        self.rows.get_mut(&(table, uuid))
    }

    /// A row with these columns, and defaults in others.
    pub fn new_row<'c>(
        &self,
        table: &'static str,
        columns: impl IntoIterator<Item = (&'c str, Value)>,
    ) -> Row {
        let defaults = self.columns(table).map(|(column, kind)| (column, Value::default(kind)));
        let mut row = Row(defaults.collect());
        for (column, value) in columns {
            row.put(column, value);
        }
        row
    }

    /// Inserts a row with these columns, and defaults in others.
    pub fn insert<'c>(
        &mut self,
        table: &'static str,
        uuid: Uuid,
        columns: impl IntoIterator<Item = (&'c str, Value)>,
    ) {
        let row = self.new_row(table, columns);
        self.rows.insert((table, uuid), row);
    }

    /// The server's schema.
    pub fn schema(&self) -> DatabaseSchema {
        declared_schema("OVN_Northbound", Store::tables(), |table, column| {
            self.has_column(table.name, column.name)
        })
    }
}
