//! The tables, columns and rows that a cache holds.

use std::collections::BTreeSet;
use std::fmt;

use crate::monitor::RowFilter;
use crate::schema::TableSchema;

/// The part of a table that a [`Cache`](super::Cache) holds.
#[derive(Clone, Debug, PartialEq)]
pub struct Selection {
    pub(super) table: String,
    /// `None` for all.
    columns: Option<Vec<String>>,
    pub(super) rows: RowFilter,
    pub(super) load_stage: u8,
    /// The required columns; `None` if the table may be absent.
    pub(super) required: Option<Vec<String>>,
}

/// A selected table or column that the server lacks.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub struct Absent {
    /// The table.
    pub table: String,
    /// The column; `None` if the whole table is absent.
    pub column: Option<String>,
}

// ===== impl Selection =====

impl Selection {
    /// Creates a selection of all columns of a table, in all its rows.
    pub fn table(name: impl Into<String>) -> Self {
        Self { table: name.into(), columns: None, rows: RowFilter::All, load_stage: 0, required: None }
    }

    /// Selects only some columns.
    #[must_use]
    pub fn columns<C: Into<String>>(mut self, columns: impl IntoIterator<Item = C>) -> Self {
        self.columns = Some(columns.into_iter().map(Into::into).collect());
        self
    }

    /// Selects only some rows. A server that supports only the first generation of monitors sends all of them.
    #[must_use]
    pub fn rows(mut self, rows: RowFilter) -> Self {
        self.rows = rows;
        self
    }

    /// Loads the rows in this [stage](crate::MonitorRequest::load_stage) of a snapshot.
    #[must_use]
    pub fn load_stage(mut self, stage: u8) -> Self {
        self.load_stage = stage;
        self
    }

    /// Refuses a server that lacks the table or one of these columns, which are selected too.
    #[must_use]
    pub fn required<C: Into<String>>(mut self, columns: impl IntoIterator<Item = C>) -> Self {
        self.required = Some(columns.into_iter().map(Into::into).collect());
        self
    }

    /// Returns the columns that the table has, and those that it lacks.
    pub(super) fn columns_in(&self, table: &TableSchema) -> (Vec<String>, Vec<String>) {
        let Some(columns) = &self.columns else {
            return (table.columns.keys().cloned().collect(), Vec::new());
        };
        let required = self.required.iter().flatten();
        let columns: BTreeSet<_> = columns.iter().chain(required).cloned().collect();
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
