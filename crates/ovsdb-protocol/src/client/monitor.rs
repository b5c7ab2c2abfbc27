//! Typed tables of a client that follow the database.

use std::borrow::Borrow;
use std::fmt;
use std::hash::Hash;
use std::marker::PhantomData;
use std::sync::{Arc, PoisonError, RwLock};

use tokio::sync::watch;
use uuid::Uuid;

use super::Client;
use super::command::{Command, MonitoredTable};
use crate::error::{Error, Kind};
use crate::monitor::{MonitorRequests, RowFilter};
use crate::replica::{ApplyError, Batch, Replica, SchemaMismatch};
use crate::row::RowUpdate;
use crate::schema::DatabaseSchema;
use crate::table::{Index, IndexedField, Table, TypedRowFilter};
use crate::tables::{Change, TableCache, Tables};

/// A copy of a table that follows the database until it is dropped. [`Client::monitor`] creates it.
///
/// The rows are those of the last complete update, also while there is no connection. The tables of all
/// monitors of a client change at the same time.
pub struct Monitor<T> {
    client: Client,
    commits: watch::Receiver<u64>,
    /// Shows the driver that this is not dropped.
    _alive: Arc<()>,
    table: PhantomData<fn() -> T>,
}

/// The tables of all monitors, written by the driver and read by the handles. They are locked for one row at a time, so that
/// no reader waits for the end of a snapshot.
#[derive(Clone, Debug)]
pub(super) struct SharedTables {
    tables: Arc<RwLock<Tables>>,
    /// The number of commits.
    commits: watch::Sender<u64>,
}

// ===== impl Client =====

impl Client {
    /// Monitors a table. Returns when its rows have arrived.
    ///
    /// Monitors that are requested before the connection is established share one snapshot. For another monitor later, the
    /// tables of all monitors are fetched again, though readers see only the differences. So if the database is large,
    /// request all monitors at the beginning.
    ///
    /// # Errors
    /// No server can be used in time (one that lacks the table or a required column cannot), or the client monitors the
    /// table already.
    ///
    /// # Cancel safety
    /// The monitor ends if the future is dropped.
    pub async fn monitor<T>(&self) -> Result<Monitor<T>, Error>
    where
        T: Table<Context = ()> + Clone + Send + Sync + 'static,
    {
        self.monitor_rows(RowFilter::All).await
    }

    /// Monitors some rows of a table. A server that knows only RFC 7047's `monitor` sends all rows whatever the conditions.
    ///
    /// # Errors
    /// As [`monitor`](Self::monitor).
    pub async fn monitor_rows<T>(&self, rows: TypedRowFilter<T>) -> Result<Monitor<T>, Error>
    where
        T: Table<Context = ()> + Clone + Send + Sync + 'static,
    {
        let rows = RowFilter::from(rows);
        let deadline = self.deadline();
        let alive = Arc::new(());
        let table = MonitoredTable {
            name: T::TABLE.name,
            add: Tables::add::<T>,
            remove: Tables::remove::<T>,
            alive: Arc::downgrade(&alive),
        };
        // It is dropped with the future, and the driver notified of it, at whatever point that is.
        let monitor = Monitor {
            client: self.clone(),
            commits: self.tables.commits.subscribe(),
            _alive: alive,
            table: PhantomData,
        };
        self.command(|reply| Command::Monitor { table, rows, reply }).await?;
        self.ready_until(deadline).await?;
        Ok(monitor)
    }

    /// Reads the tables of all monitors at one moment. The driver waits meanwhile, so `look` must not call the client or its
    /// monitors.
    pub fn read<R>(&self, look: impl FnOnce(&Tables) -> R) -> R {
        look(&self.tables.tables.read().unwrap_or_else(PoisonError::into_inner))
    }
}

// ===== impl Monitor =====

impl<T: Table + Send + Sync + 'static> Monitor<T> {
    /// Waits until rows have changed, and returns the changes. The first call returns all rows as new ones.
    ///
    /// Changes of the same row are joined until they are taken, so that a slow reader misses only intermediate states. After
    /// a reconnection, rows that did not change are not among the changes, and rows that were deleted are.
    ///
    /// # Errors
    /// The driver of the client has ended. A lost connection is not an error: see [`Client::status`].
    ///
    /// # Cancel safety
    /// No change is lost when the future is dropped.
    pub async fn next(&mut self) -> Result<Vec<Change<T>>, Error> {
        loop {
            self.commits.borrow_and_update();
            let changes = self.take_changes();
            if !changes.is_empty() {
                return Ok(changes);
            }
            let driven = self.client.commands.closed();
            tokio::select! {
                committed = self.commits.changed() => committed.map_err(|_| Kind::Stopped)?,
                () = driven => return Err(Kind::Stopped.into()),
            }
        }
    }

    /// Returns the changes that [`next`](Self::next) would, without waiting.
    pub fn take_changes(&mut self) -> Vec<Change<T>> {
        let tables = &self.client.tables.tables;
        tables.write().unwrap_or_else(PoisonError::into_inner).take_changes()
    }

    /// Returns a row.
    pub fn get(&self, uuid: Uuid) -> Option<Arc<T>> {
        self.read(|table| table.get(uuid).cloned())
    }

    /// Returns all rows, in the order of their UUIDs.
    pub fn rows(&self) -> Vec<(Uuid, Arc<T>)> {
        self.read(|table| table.rows().map(|(uuid, row)| (uuid, Arc::clone(row))).collect())
    }

    /// Returns the rows with this value in an indexed column, in the order of their UUIDs.
    pub fn find<F: IndexedField, Q>(&self, index: Index<T, F>, key: &Q) -> Vec<(Uuid, Arc<T>)>
    where
        F::Key: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        self.read(|table| table.find(index, key).map(|(uuid, row)| (uuid, Arc::clone(row))).collect())
    }

    /// Returns the row with this value in an indexed column; of several, the one with the least UUID.
    pub fn find_one<F: IndexedField, Q>(&self, index: Index<T, F>, key: &Q) -> Option<(Uuid, Arc<T>)>
    where
        F::Key: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        self.read(|table| table.find(index, key).next().map(|(uuid, row)| (uuid, Arc::clone(row))))
    }

    /// Changes which rows are monitored, on this and on later connections (ovsdb-server(7), `monitor_cond_change`). Returns
    /// when the rows have arrived; they are among the changes.
    ///
    /// # Errors
    /// No server can be used in time, or the server lacks the column of a condition. The previous conditions hold.
    ///
    /// # Cancel safety
    /// The conditions may change even if the future is dropped.
    pub async fn set_condition(&self, rows: TypedRowFilter<T>) -> Result<(), Error> {
        let rows = RowFilter::from(rows);
        let table: Arc<str> = T::TABLE.name.into();
        let send = |reply| Command::Condition { table: Arc::clone(&table), rows: rows.clone(), reply };
        self.client.call(send).await
    }

    fn read<R: Default>(&self, look: impl FnOnce(&TableCache<T>) -> R) -> R {
        // The table exists as long as its monitor does.
        self.client.read(|tables| tables.table().map(look).unwrap_or_default())
    }
}

impl<T> Drop for Monitor<T> {
    fn drop(&mut self) {
        // The driver removes the table of a dropped monitor; it checks that when it is notified.
        self._alive = Arc::default();
        self.client.dropped.notify_one();
    }
}

impl<T> fmt::Debug for Monitor<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Monitor").finish_non_exhaustive()
    }
}

// ===== impl SharedTables =====

impl SharedTables {
    pub(super) fn new() -> Self {
        Self { tables: Arc::default(), commits: watch::channel(0).0 }
    }

    pub(super) fn change<R>(&self, change: impl FnOnce(&mut Tables) -> R) -> R {
        change(&mut self.tables.write().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Replica for SharedTables {
    fn declare(&mut self, schema: &DatabaseSchema) -> Result<MonitorRequests, SchemaMismatch> {
        self.change(|tables| tables.declare(schema))
    }

    fn begin(&mut self, batch: Batch) {
        self.change(|tables| tables.begin(batch));
    }

    fn apply(&mut self, update: RowUpdate<'_>) -> Result<(), ApplyError> {
        self.change(|tables| tables.apply(update))
    }

    fn commit(&mut self) {
        self.change(Replica::commit);
        self.commits.send_modify(|commits| *commits += 1);
    }
}
