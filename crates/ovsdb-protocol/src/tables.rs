//! Copies of typed tables.

mod cache;
#[cfg(test)]
mod tests;

use std::any::Any;
use std::fmt;
use std::sync::Arc;

use uuid::Uuid;

use crate::monitor::MonitorRequests;
use crate::problem::Problems;
use crate::replica::{ApplyError, Batch, Replica, SchemaMismatch};
use crate::row::{RowChange, RowUpdate};
use crate::schema::DatabaseSchema;
use crate::table::{Missing, Table, TableLayout, TableSpec, monitor_requests};

pub use cache::TableCache;

/// A [`Replica`] of typed tables.
///
/// # Behaviour
/// - Readers see the content as of the last commit, even while a batch arrives or the connection is lost.
/// - [`take_changes`](Self::take_changes) returns the true differences of each table: however often all rows were fetched
///   again, unchanged rows are not among them, and deleted ones are.
/// - A value that is not understood is one of the [`problems`](Self::problems); the rest of its row is used.
///
/// ```
/// # use ovsdb_protocol::{Table, Tables, Uuid};
/// # #[derive(Clone, Debug, Table)]
/// # #[ovsdb(table = "Logical_Switch")]
/// # struct Switch { name: String, ports: Vec<Uuid> }
/// let mut tables = Tables::new();
/// tables.add::<Switch>();
/// // ... session.next(&mut tables).await ...
/// for (uuid, switch) in tables.table::<Switch>().into_iter().flat_map(|table| table.rows()) {
///     println!("{uuid}: {}", switch.name);
/// }
/// ```
#[derive(Default)]
pub struct Tables {
    tables: Vec<Box<dyn AnyTable>>,
    batch: Option<Batch>,
    missing: Vec<Missing>,
    problems: Problems,
}

/// The change of a row. `old` and `new` differ in some column, unless one is absent.
#[derive(Debug)]
pub struct Change<T> {
    /// The row.
    pub uuid: Uuid,
    /// The former row; `None` if it is new.
    pub old: Option<Arc<T>>,
    /// The current row; `None` if it was deleted.
    pub new: Option<Arc<T>>,
}

/// A typed table without its type.
trait AnyTable: Send + Sync {
    fn spec(&self) -> &'static TableSpec;
    fn set_layout(&mut self, layout: TableLayout);
    fn begin(&mut self, batch: Batch);
    fn apply(
        &mut self,
        batch: Batch,
        uuid: Uuid,
        change: RowChange<'_>,
        problems: &mut Problems,
    ) -> Result<(), ApplyError>;
    fn commit(&mut self, batch: Batch, problems: &mut Problems);
    fn as_any(&self) -> &dyn Any;
    fn as_any_mut(&mut self) -> &mut dyn Any;
}

// ===== impl Tables =====

impl Tables {
    /// Creates a replica without tables.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds the table of `T`, unless it was added before. It takes effect at the next call of [`Replica::declare`]. Returns
    /// whether it was added.
    pub fn add<T>(&mut self) -> bool
    where
        T: Table<Context = ()> + Clone + Send + Sync + 'static,
    {
        let is_new = self.table::<T>().is_none();
        if is_new {
            self.tables.push(Box::new(TableCache::<T>::new()));
        }
        is_new
    }

    /// Removes the table of `T` and its rows. Updates of it are ignored until the next call of [`Replica::declare`].
    ///
    /// If the table is added again, call [`Session::redeclare`](crate::Session::redeclare): a session that resumes by
    /// differences would leave it empty.
    pub fn remove<T: Table + Send + Sync + 'static>(&mut self) {
        self.tables.retain(|table| !table.as_any().is::<TableCache<T>>());
    }

    /// Returns the table of `T`, if it was added.
    pub fn table<T: Table + Send + Sync + 'static>(&self) -> Option<&TableCache<T>> {
        self.tables.iter().find_map(|table| table.as_any().downcast_ref())
    }

    /// Takes the changes of the rows of `T` since the last call, in the order of their UUIDs. Changes of the same row are
    /// joined.
    pub fn take_changes<T: Table + Send + Sync + 'static>(&mut self) -> Vec<Change<T>> {
        let table = self.tables.iter_mut().find_map(|table| table.as_any_mut().downcast_mut());
        table.map(TableCache::take_changes).unwrap_or_default()
    }

    /// Returns the values that are not understood.
    pub fn problems(&self) -> &Problems {
        &self.problems
    }

    /// Returns the declared tables and columns that the server of the last connection lacks.
    pub fn missing(&self) -> &[Missing] {
        &self.missing
    }
}

impl Replica for Tables {
    fn declare(&mut self, schema: &DatabaseSchema) -> Result<MonitorRequests, SchemaMismatch> {
        let specs = || self.tables.iter().map(|table| table.spec());
        let (requests, layouts) = monitor_requests(specs(), schema)?;
        self.missing =
            specs().zip(&layouts).flat_map(|(table, layout)| Missing::list(table, *layout)).collect();
        for (table, layout) in self.tables.iter_mut().zip(layouts) {
            table.set_layout(layout);
        }
        Ok(requests)
    }

    fn begin(&mut self, batch: Batch) {
        self.batch = Some(batch);
        self.tables.iter_mut().for_each(|table| table.begin(batch));
    }

    fn apply(&mut self, update: RowUpdate<'_>) -> Result<(), ApplyError> {
        let RowUpdate { table, uuid, change } = update;
        let batch = self.batch.ok_or(ApplyError("a row arrives outside of a batch"))?;
        match self.tables.iter_mut().find(|declared| declared.spec().name == table) {
            Some(table) => table.apply(batch, uuid, change, &mut self.problems),
            None => Ok(()),
        }
    }

    fn commit(&mut self) {
        if let Some(batch) = self.batch.take() {
            for table in &mut self.tables {
                table.commit(batch, &mut self.problems);
            }
        }
    }
}

impl fmt::Debug for Tables {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = self.tables.iter().map(|table| table.spec().name);
        f.debug_struct("Tables").field("tables", &names.collect::<Vec<_>>()).finish_non_exhaustive()
    }
}

// ===== impl Change =====

impl<T: Table> Change<T> {
    /// Returns the columns that changed: all of them for a new or deleted row.
    pub fn columns(&self) -> crate::table::ColumnSet {
        match (&self.old, &self.new) {
            (Some(old), Some(new)) => old.changed(new),
            _ => (0..T::TABLE.columns.len()).collect(),
        }
    }
}

impl<T> Clone for Change<T> {
    fn clone(&self) -> Self {
        Self { uuid: self.uuid, old: self.old.clone(), new: self.new.clone() }
    }
}
