//! A replica for consumers without a model of their own.

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::fmt;
use std::sync::Arc;

use uuid::Uuid;

use crate::cache::{Cache, Inconsistency, RowDelta};
use crate::monitor::{MonitorRequest, MonitorRequests, Rows};
use crate::replica::{Batch, Inconsistent, Replica, Unsuitable};
use crate::row::{RowChange, RowUpdate};
use crate::schema::{DatabaseSchema, TableSchema};
use crate::update::read_row;

/// A [`Replica`] of untyped rows: a [`Cache`] for a [`Session`](crate::Session).
///
/// # Behaviour
/// - [`cache`](Self::cache) has the content of the last commit, also while a batch arrives or the connection is lost.
/// - The deltas of all [`take_deltas`](Self::take_deltas) together lead to that content. However often everything had
///   to be fetched anew, they tell of no row that is as it was, and of each that is gone.
/// - A server with another schema is taken as it is: the tables and columns that it has are monitored, and rows of a
///   table whose columns are not the same ones any more are told as changed.
#[derive(Debug)]
pub struct Mirror {
    /// `None` for everything.
    selections: Option<Vec<Selection>>,
    absent: Vec<Absent>,
    cache: Cache,
    /// Takes the snapshot in, where `cache` has other columns than the server.
    next: Option<Cache>,
    /// What happened since the last [`Mirror::take_deltas`], so that it is bounded by what is in the database.
    deltas: BTreeMap<(Arc<str>, Uuid), RowDelta>,
    inconsistency: Option<Inconsistency>,
}

/// What a [`Mirror`] holds of a table.
#[derive(Clone, Debug, PartialEq)]
pub struct Selection {
    table: String,
    /// `None` for all.
    columns: Option<Vec<String>>,
    rows: Rows,
    part: u8,
    /// The columns without which the table is of no use; `None` where the table may be absent.
    required: Option<Vec<String>>,
}

/// What was selected and the server does not have.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Absent {
    /// The table.
    pub table: String,
    /// The column; `None` where it is the table that is absent.
    pub column: Option<String>,
}

// ===== impl Mirror =====

impl Mirror {
    /// Mirrors some tables. The last of several selections of the same table counts.
    pub fn new(selections: impl IntoIterator<Item = Selection>) -> Self {
        Self::with(Some(selections.into_iter().collect()))
    }

    /// Mirrors all columns of all tables, whatever the server has.
    pub fn of_everything() -> Self {
        Self::with(None)
    }

    fn with(selections: Option<Vec<Selection>>) -> Self {
        Self {
            selections,
            absent: Vec::new(),
            cache: Cache::default(),
            next: None,
            deltas: BTreeMap::new(),
            inconsistency: None,
        }
    }

    /// Returns the content.
    pub fn cache(&self) -> &Cache {
        &self.cache
    }

    /// Takes the differences between the content now and at the last call, ordered by table and row.
    pub fn take_deltas(&mut self) -> Vec<RowDelta> {
        std::mem::take(&mut self.deltas).into_values().collect()
    }

    /// Returns what was selected and the server of the present connection does not have.
    pub fn absent(&self) -> &[Absent] {
        &self.absent
    }

    /// Returns why the content had to be fetched anew the last time that an update contradicted it.
    pub fn inconsistency(&self) -> Option<&Inconsistency> {
        self.inconsistency.as_ref()
    }

    /// Joins the difference with what happened to the row before.
    fn record(&mut self, delta: RowDelta) {
        match self.deltas.entry((Arc::clone(&delta.table), delta.uuid)) {
            Entry::Vacant(vacant) => {
                vacant.insert(delta);
            }
            Entry::Occupied(mut known) => {
                known.get_mut().new = delta.new;
                if known.get().old == known.get().new {
                    known.remove();
                }
            }
        }
    }
}

impl Replica for Mirror {
    fn declare(&mut self, schema: &DatabaseSchema) -> Result<MonitorRequests, Unsuitable> {
        let all = || schema.tables.keys().map(Selection::table).collect();
        let selections = self.selections.clone().unwrap_or_else(all);
        let (mut requests, mut columns) = (MonitorRequests::new(), BTreeMap::new());
        self.absent.clear();
        for selection in selections {
            let Selection { table: name, required, rows, part, .. } = &selection;
            let Some(table) = schema.table(name) else {
                if required.is_some() {
                    return Err(Unsuitable(format!("the database has no table {name}")));
                }
                self.absent.push(Absent { table: name.clone(), column: None });
                continue;
            };
            if let Some(column) = required.iter().flatten().find(|column| table.column(column).is_none()) {
                return Err(Unsuitable(format!("the database has no column {name}.{column}")));
            }
            let (present, absent) = selection.columns_in(table);
            self.absent.extend(
                absent.into_iter().map(|column| Absent { table: name.clone(), column: Some(column) }),
            );
            let request = MonitorRequest::columns(present.clone()).rows(rows.clone()).part(*part);
            requests.insert(name.clone(), request);
            columns.insert(name.clone(), present);
        }
        let next = Cache::with_columns(schema, columns);
        self.next = Some(next).filter(|next| !next.has_shape_of(&self.cache));
        Ok(requests)
    }

    fn begin(&mut self, batch: Batch) {
        match (&mut self.next, batch) {
            (Some(next), Batch::Snapshot) => next.begin(batch),
            // Differences are differences to what is here.
            _ => {
                self.next = None;
                self.cache.begin(batch);
            }
        }
    }

    fn apply(&mut self, update: RowUpdate<'_>) -> Result<(), Inconsistent> {
        let RowUpdate { table, uuid, change } = update;
        let cache = self.next.as_mut().unwrap_or(&mut self.cache);
        let unreadable = Inconsistent("a row has a value that is none");
        let applied = match change {
            RowChange::Insert(columns) => {
                cache.insert(table, uuid, read_row(columns).map_err(|_| unreadable)?)
            }
            RowChange::Modify(columns) => {
                cache.modify(table, uuid, read_row(columns).map_err(|_| unreadable)?)
            }
            RowChange::Replace(columns) => {
                cache.replace(table, uuid, read_row(columns).map_err(|_| unreadable)?)
            }
            RowChange::Delete => cache.delete(table, uuid),
        };
        applied.map_err(|inconsistency| {
            let summary = Inconsistent(inconsistency.summary());
            self.inconsistency = Some(inconsistency);
            summary
        })
    }

    fn commit(&mut self) {
        let committed = match self.next.take() {
            Some(mut next) => next.commit().map(|_| self.cache.become_next(next)),
            None => self.cache.commit(),
        };
        // Without a batch, there is nothing to commit.
        for delta in committed.unwrap_or_default() {
            self.record(delta);
        }
    }
}

// ===== impl Selection =====

impl Selection {
    /// Selects all columns of a table, in all its rows.
    pub fn table(name: impl Into<String>) -> Self {
        Self { table: name.into(), columns: None, rows: Rows::All, part: 0, required: None }
    }

    /// Selects only some columns.
    #[must_use]
    pub fn columns<C: Into<String>>(mut self, columns: impl IntoIterator<Item = C>) -> Self {
        self.columns = Some(columns.into_iter().map(Into::into).collect());
        self
    }

    /// Selects only some rows. A server that knows only the first generation of monitors sends all of them.
    #[must_use]
    pub fn rows(mut self, rows: Rows) -> Self {
        self.rows = rows;
        self
    }

    /// Lets the rows come in this [part](MonitorRequest::part) of a snapshot.
    #[must_use]
    pub fn part(mut self, part: u8) -> Self {
        self.part = part;
        self
    }

    /// Refuses a server that lacks the table or one of these columns, which are selected too.
    #[must_use]
    pub fn required<C: Into<String>>(mut self, columns: impl IntoIterator<Item = C>) -> Self {
        self.required = Some(columns.into_iter().map(Into::into).collect());
        self
    }

    /// Returns which of the columns the table has, and which not.
    fn columns_in(&self, table: &TableSchema) -> (Vec<String>, Vec<String>) {
        let Some(columns) = &self.columns else {
            return (table.columns.keys().cloned().collect(), Vec::new());
        };
        let mut columns: Vec<_> = columns.iter().chain(self.required.iter().flatten()).cloned().collect();
        columns.sort_unstable();
        columns.dedup();
        columns.into_iter().partition(|column| table.column(column).is_some())
    }
}

// ===== impl Absent =====

impl fmt::Display for Absent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.column {
            Some(column) => write!(f, "{}.{column}", self.table),
            None => f.write_str(&self.table),
        }
    }
}
