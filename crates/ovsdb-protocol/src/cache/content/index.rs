//! An index of rows by the value of a column.

use std::collections::{BTreeMap, BTreeSet};

use uuid::Uuid;

use crate::value::{Datum, Row};

/// The rows by the value of one column. Rows without a readable value are not in it.
#[derive(Debug)]
pub(super) struct Index {
    column: String,
    rows: BTreeMap<Datum, BTreeSet<Uuid>>,
}

impl Index {
    pub(super) fn new(column: &str) -> Self {
        Self { column: column.to_owned(), rows: BTreeMap::new() }
    }

    pub(super) fn column(&self) -> &str {
        &self.column
    }

    /// Records that a row changed; `None` means that the row does not exist.
    pub(super) fn update(&mut self, uuid: Uuid, old: Option<&Row>, new: Option<&Row>) {
        let [old, new] = [old, new].map(|row| row.and_then(|row| row.get(&self.column)));
        if old == new {
            return;
        }
        if let Some(old) = old
            && let Some(rows) = self.rows.get_mut(old)
        {
            rows.remove(&uuid);
            if rows.is_empty() {
                self.rows.remove(old);
            }
        }
        if let Some(new) = new {
            self.rows.entry(new.clone()).or_default().insert(uuid);
        }
    }

    /// Iterates over the rows whose column has this value.
    pub(super) fn find(&self, value: &Datum) -> impl Iterator<Item = Uuid> {
        self.rows.get(value).into_iter().flatten().copied()
    }
}
