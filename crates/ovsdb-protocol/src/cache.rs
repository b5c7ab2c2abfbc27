//! A replica of untyped rows, for consumers without a model of their own.

mod content;
mod selection;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::Arc;

use uuid::Uuid;

use self::content::Content;
pub use self::selection::{Absent, Selection};
use crate::monitor::{MonitorRequest, MonitorRequests};
use crate::problem::Problems;
use crate::replica::{ApplyError, Batch, Replica, SchemaMismatch};
use crate::row::RowUpdate;
use crate::schema::DatabaseSchema;
use crate::value::Row;

/// A [`Replica`] of untyped rows for a [`Session`](crate::Session): the content of the selected tables, and its
/// changes.
///
/// # Behaviour
/// - The content is that of the last commit, even while a batch arrives or the connection is lost.
/// - The deltas of all [`take_deltas`](Self::take_deltas) together lead to that content. However often everything had
///   to be fetched again, they do not contain unchanged rows, and contain each deleted one.
/// - A server with another schema is accepted: the tables and columns that it has are monitored, and rows of a table
///   whose columns differ from the former ones are reported as changed.
/// - A row has all selected columns that the server has, except those whose value cannot be read: such a column is
///   missing in the row until a whole new value of it arrives, and listed in [`problems`](Self::problems).
/// - A change that does not fit the content means that a message was missed or misunderstood: the session fetches
///   everything again, and [`error`](Self::error) says why.
#[derive(Debug)]
pub struct Cache {
    /// `None` for everything.
    selections: Option<Vec<Selection>>,
    absent: Vec<Absent>,
    content: Content,
    /// The content that receives the snapshot if `content` has other columns than the server.
    next: Option<Content>,
    /// The changes since the last [`Cache::take_deltas`], joined by row, so that they are bounded by the sizes of
    /// the old and the new content.
    deltas: BTreeMap<(Arc<str>, Uuid), RowDelta>,
    error: Option<CacheError>,
}

/// The difference between two contents of one row. `old` and `new` are never equal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RowDelta {
    /// The table.
    pub table: Arc<str>,
    /// The name of the row.
    pub uuid: Uuid,
    /// The former row; `None` if it is new.
    pub old: Option<Arc<Row>>,
    /// The current row; `None` if it was deleted.
    pub new: Option<Arc<Row>>,
}

/// A contradiction between a row update and the content. The session then fetches everything again.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CacheError {
    /// There is no batch: none was begun, or it was discarded.
    #[error("no batch is open")]
    NoBatch,
    /// The table is not among the monitored ones.
    #[error("unknown table {0:?}")]
    UnknownTable(String),
    /// An inserted row exists already.
    #[error("row {uuid} of table {table:?} exists already")]
    Exists {
        /// The table.
        table: String,
        /// The name of the row.
        uuid: Uuid,
    },
    /// A changed or deleted row does not exist.
    #[error("row {uuid} of table {table:?} does not exist")]
    Absent {
        /// The table.
        table: String,
        /// The name of the row.
        uuid: Uuid,
    },
    /// The text of a row is not a JSON object of columns.
    #[error("row {uuid} of table {table:?} is malformed")]
    Malformed {
        /// The table.
        table: String,
        /// The name of the row.
        uuid: Uuid,
        /// The error in the text.
        #[source]
        source: crate::cursor::DecodeError,
    },
}

// ===== impl Cache =====

impl Cache {
    /// Creates a cache of some tables. The last of several selections of the same table counts.
    pub fn new(selections: impl IntoIterator<Item = Selection>) -> Self {
        Self::with(Some(selections.into_iter().collect()))
    }

    /// Creates a cache of all columns of all tables of the server.
    pub fn everything() -> Self {
        Self::with(None)
    }

    fn with(selections: Option<Vec<Selection>>) -> Self {
        Self {
            selections,
            absent: Vec::new(),
            content: Content::default(),
            next: None,
            deltas: BTreeMap::new(),
            error: None,
        }
    }

    /// Returns a row.
    pub fn get(&self, table: &str, uuid: &Uuid) -> Option<&Arc<Row>> {
        self.content.get(table, uuid)
    }

    /// Iterates over the rows of a table in the order of their UUIDs; nothing for an unknown table.
    pub fn rows(&self, table: &str) -> impl Iterator<Item = (Uuid, &Arc<Row>)> {
        self.content.rows(table)
    }

    /// Iterates over the names of the tables.
    pub fn tables(&self) -> impl Iterator<Item = &str> {
        self.content.tables()
    }

    /// Returns the number of rows in all tables.
    pub fn len(&self) -> usize {
        self.content.len()
    }

    /// Returns whether there are no rows.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns the values that could not be read.
    pub fn problems(&self) -> &Problems {
        self.content.problems()
    }

    /// Takes the differences between the content now and at the last call, ordered by table and row.
    pub fn take_deltas(&mut self) -> Vec<RowDelta> {
        std::mem::take(&mut self.deltas).into_values().collect()
    }

    /// Returns the selected tables and columns that the server of the present connection lacks.
    pub fn absent(&self) -> &[Absent] {
        &self.absent
    }

    /// Returns why the content had to be fetched again the last time that an update contradicted it.
    pub fn error(&self) -> Option<&CacheError> {
        self.error.as_ref()
    }

    /// Joins the difference with the earlier changes of the row.
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

impl Replica for Cache {
    fn declare(&mut self, schema: &DatabaseSchema) -> Result<MonitorRequests, SchemaMismatch> {
        let all = || schema.tables.keys().map(Selection::table).collect();
        let selections = self.selections.clone().unwrap_or_else(all);
        let (mut requests, mut next) = (MonitorRequests::new(), Content::default());
        self.absent.clear();
        for selection in selections {
            let Selection { table: name, required, rows, load_stage, .. } = &selection;
            let Some(table) = schema.table(name) else {
                if required.is_some() {
                    return Err(SchemaMismatch(format!("the database has no table {name}")));
                }
                self.absent.push(Absent { table: name.clone(), column: None });
                continue;
            };
            if let Some(column) = required.iter().flatten().find(|column| table.column(column).is_none()) {
                return Err(SchemaMismatch(format!("the database has no column {name}.{column}")));
            }
            let (present, absent) = selection.columns_in(table);
            self.absent.extend(
                absent.into_iter().map(|column| Absent { table: name.clone(), column: Some(column) }),
            );
            let request = MonitorRequest::columns(present.clone()).rows(rows.clone()).load_stage(*load_stage);
            requests.insert(name.clone(), request);
            next.add_table(name, table, &present);
        }
        self.next = Some(next).filter(|next| !next.has_shape_of(&self.content));
        Ok(requests)
    }

    fn begin(&mut self, batch: Batch) {
        match (&mut self.next, batch) {
            (Some(next), Batch::Snapshot) => next.begin(batch),
            // Differences are relative to the present content.
            _ => {
                self.next = None;
                self.content.begin(batch);
            }
        }
    }

    fn apply(&mut self, update: RowUpdate<'_>) -> Result<(), ApplyError> {
        let content = self.next.as_mut().unwrap_or(&mut self.content);
        content.apply(update).map_err(|error| {
            let summary = ApplyError(error.summary());
            self.error = Some(error);
            summary
        })
    }

    fn commit(&mut self) {
        let committed = match self.next.take() {
            Some(mut next) => next.commit().map(|_| self.content.become_next(next)),
            None => self.content.commit(),
        };
        // Without a batch there is nothing to commit.
        for delta in committed.unwrap_or_default() {
            self.record(delta);
        }
    }
}

// ===== impl CacheError =====

impl CacheError {
    /// Describes the error without the row.
    fn summary(&self) -> &'static str {
        match self {
            Self::NoBatch => "no batch is open",
            Self::UnknownTable(_) => "a table is not among the monitored ones",
            Self::Exists { .. } => "an inserted row exists already",
            Self::Absent { .. } => "a changed or deleted row does not exist",
            Self::Malformed { .. } => "a row is malformed",
        }
    }
}
