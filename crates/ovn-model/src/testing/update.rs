//! The updates that a server would send.

use ovsdb_protocol::{ApplyError, Batch, Columns, Replica, RowChange, RowUpdate, Uuid};
use serde_json::Value as Json;

use super::database::Database;
use super::value::{Kind, Value};
use crate::Store;

/// An update as a server would send it.
#[derive(Clone, Debug)]
pub struct Update {
    table: &'static str,
    uuid: Uuid,
    what: &'static str,
    columns: String,
}

impl Update {
    /// Returns an update: `insert`, `modify`, `replace` or `delete`, with the columns as JSON.
    pub fn new(table: &'static str, uuid: Uuid, what: &'static str, columns: &str) -> Self {
        Self { table, uuid, what, columns: columns.to_owned() }
    }

    /// Returns the table.
    pub fn table(&self) -> &'static str {
        self.table
    }

    /// Returns the columns as JSON.
    pub fn columns(&self) -> &str {
        &self.columns
    }

    /// Applies it.
    ///
    /// # Errors
    ///
    /// Those of [`Replica::apply`].
    pub fn apply(&self, store: &mut Store) -> Result<(), ApplyError> {
        let columns = Columns::new(&self.columns);
        let change = match self.what {
            "insert" => RowChange::Insert(columns),
            "modify" => RowChange::Modify(columns),
            "replace" => RowChange::Replace(columns),
            _ => RowChange::Delete,
        };
        store.apply(RowUpdate { table: self.table, uuid: self.uuid, change })
    }
}

/// Returns the updates from `before` to `after`, in the notation of `update2` or, if `v1`, of `update`.
pub fn delta(before: &Database, after: &Database, v1: bool) -> Vec<Update> {
    let mut updates = Vec::new();
    for ((table, uuid), row) in &after.rows {
        let columns: Vec<_> = after.columns(table).collect();
        let (what, columns) = match before.rows.get(&(*table, *uuid)) {
            None => {
                let there = columns.iter().filter(|(name, kind)| row.0[name] != Value::default(*kind));
                ("insert", object(there.map(|(name, _)| (*name, row.0[name].json()))))
            }
            Some(old) if old == row => continue,
            Some(_) if v1 => ("replace", object(columns.iter().map(|(name, _)| (*name, row.0[name].json())))),
            Some(old) => {
                let changed = columns.iter().filter(|(name, _)| old.0[name] != row.0[name]);
                let difference = |(name, kind): &(&'static str, Kind)| {
                    (*name, old.0[name].difference(&row.0[name], *kind).json())
                };
                ("modify", object(changed.map(difference)))
            }
        };
        updates.push(Update { table, uuid: *uuid, what, columns });
    }
    for (table, uuid) in before.rows.keys().filter(|key| !after.rows.contains_key(*key)) {
        updates.push(Update { table, uuid: *uuid, what: "delete", columns: String::new() });
    }
    updates
}

/// Returns all rows.
pub fn snapshot(database: &Database) -> Vec<Update> {
    delta(&Database { old: database.old, ..Database::default() }, database, false)
}

/// Applies a batch.
///
/// # Panics
///
/// If an update is inconsistent.
pub fn feed(store: &mut Store, batch: Batch, updates: &[Update]) {
    store.begin(batch);
    for update in updates {
        update.apply(store).unwrap();
    }
    store.commit();
}

fn object<'c>(columns: impl Iterator<Item = (&'c str, Json)>) -> String {
    let columns: serde_json::Map<_, _> = columns.map(|(name, value)| (name.to_owned(), value)).collect();
    Json::Object(columns).to_string()
}
