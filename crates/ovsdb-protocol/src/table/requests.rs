//! Monitor requests for declared tables, given the schema of a server.

use std::fmt;

use super::{ColumnSet, TableSpec};
use crate::monitor::{MonitorRequest, MonitorRequests};
use crate::replica::SchemaMismatch;
use crate::schema::DatabaseSchema;

/// The columns of a declared table that a server has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TableLayout {
    /// The columns that the server has.
    pub present: ColumnSet,
    /// The sets and maps that hold at most one element at this server, which sends their new values instead of differences.
    pub replaced: ColumnSet,
}

/// A declared table or column that the server lacks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Missing {
    /// The table.
    pub table: &'static TableSpec,
    /// The index of the column; `None` if the whole table is absent.
    pub column: Option<usize>,
}

/// Returns the monitor requests for the declared tables, and the columns of each that the server has.
///
/// # Errors
/// The server lacks a table or a column that is not optional, or has it with another type.
pub fn monitor_requests<'t>(
    tables: impl IntoIterator<Item = &'t TableSpec>,
    schema: &DatabaseSchema,
) -> Result<(MonitorRequests, Vec<TableLayout>), SchemaMismatch> {
    let (mut requests, mut layouts) = (MonitorRequests::new(), Vec::new());
    for table in tables {
        let layout = layout(table, schema)?;
        let mut columns: Vec<_> = layout.present.iter().map(|column| table.columns[column].name).collect();
        columns.dedup();
        if !columns.is_empty() {
            let request = MonitorRequest::columns(columns).load_stage(table.load_stage);
            requests.insert(table.name.to_owned(), request);
        }
        layouts.push(layout);
    }
    Ok((requests, layouts))
}

/// Returns the columns of a table that a server has.
fn layout(table: &TableSpec, schema: &DatabaseSchema) -> Result<TableLayout, SchemaMismatch> {
    let mut layout = TableLayout::default();
    for (index, column) in table.columns.iter().enumerate() {
        let Some(found) = schema.column(table.name, column.name) else {
            if column.is_optional {
                continue;
            }
            let since = [column.since, table.since].into_iter().find(|since| !since.is_empty());
            let since =
                since.map_or_else(String::new, |since| format!(", which {since} and newer releases have"));
            let what = match schema.table(table.name) {
                Some(_) => format!("column {}.{}", table.name, column.name),
                None => format!("table {}", table.name),
            };
            return Err(SchemaMismatch(format!("the database {} has no {what}{since}", schema.name)));
        };
        if column.kind.fits(&found.column_type) {
            layout.present.insert(index);
            if column.kind.is_collection() && found.column_type.max_is_one() {
                layout.replaced.insert(index);
            }
        } else if !column.is_optional {
            return Err(SchemaMismatch(format!(
                "the column {}.{} of the database {} is not of type {}",
                table.name, column.name, schema.name, column.kind
            )));
        }
    }
    Ok(layout)
}

// ===== impl Missing =====

impl Missing {
    /// Iterates over the table or the columns that the server lacks.
    pub fn list(table: &'static TableSpec, layout: TableLayout) -> impl Iterator<Item = Self> {
        let columns = (0..table.columns.len()).filter(move |column| !layout.present.contains(*column));
        let whole = layout.present.is_empty().then_some(Self { table, column: None });
        let columns = columns.map(move |column| Self { table, column: Some(column) });
        whole.into_iter().chain(columns.filter(move |_| !layout.present.is_empty()))
    }

    /// Returns the release that introduced it; empty if the declaration does not say.
    pub fn since(&self) -> &'static str {
        self.column.map_or(self.table.since, |column| self.table.columns[column].since)
    }

    /// Returns the consequence of its absence; empty if the declaration does not say.
    pub fn consequence(&self) -> &'static str {
        self.column.map_or(self.table.absent, |column| self.table.columns[column].absent)
    }
}

impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.column {
            Some(column) => write!(f, "{}.{}", self.table.name, self.table.columns[column].name),
            None => f.write_str(self.table.name),
        }
    }
}
