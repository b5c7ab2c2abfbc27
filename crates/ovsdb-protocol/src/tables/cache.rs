//! The copy of one typed table.

use std::any::Any;
use std::borrow::Borrow;
use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::hash::{BuildHasher, Hash, RandomState};
use std::sync::Arc;

use uuid::Uuid;

use super::{AnyTable, Change};
use crate::problem::Problems;
use crate::replica::{ApplyError, Batch};
use crate::row::{Columns, RowChange};
use crate::table::{Index, IndexedField, ReadRow, Table, TableLayout, TableSpec, read_row};

/// The rows of one table as of the last commit, and the changes of an incomplete batch.
pub struct TableCache<T> {
    layout: TableLayout,
    rows: BTreeMap<Uuid, Arc<T>>,
    /// The rows that the batch changed; `None` if it deleted them.
    staged: BTreeMap<Uuid, Option<Arc<T>>>,
    /// The changes since they were last taken.
    changes: BTreeMap<Uuid, Change<T>>,
    /// For each declared index, the hashes of the keys with the rows that have them.
    indexes: Vec<BTreeSet<(u64, Uuid)>>,
    hash_state: RandomState,
}

impl<T: Table> TableCache<T> {
    pub(super) fn new() -> Self {
        Self {
            layout: TableLayout::default(),
            rows: BTreeMap::new(),
            staged: BTreeMap::new(),
            changes: BTreeMap::new(),
            indexes: T::INDEXES.iter().map(|_| BTreeSet::new()).collect(),
            hash_state: RandomState::new(),
        }
    }

    /// Returns a row.
    pub fn get(&self, uuid: Uuid) -> Option<&Arc<T>> {
        self.rows.get(&uuid)
    }

    /// Iterates over the rows in the order of their UUIDs.
    pub fn rows(&self) -> impl ExactSizeIterator<Item = (Uuid, &Arc<T>)> {
        self.rows.iter().map(|(uuid, row)| (*uuid, row))
    }

    /// Iterates over the rows with this value in an indexed column, in the order of their UUIDs. The time does not depend
    /// on the size of the table.
    ///
    /// ```
    /// # use ovsdb_protocol::{Table, Tables, Uuid};
    /// #[derive(Clone, Debug, Table)]
    /// #[ovsdb(table = "Logical_Switch")]
    /// struct Switch {
    ///     #[ovsdb(index)]
    ///     name: String,
    ///     #[ovsdb(index)]
    ///     ports: Vec<Uuid>,
    /// }
    ///
    /// # fn program(tables: &Tables, port: Uuid) -> Option<()> {
    /// let switches = tables.table::<Switch>()?;
    /// let (uuid, by_name) = switches.find(Switch::INDEXES.name, "ls0").next()?;
    /// let (uuid, of_port) = switches.find(Switch::INDEXES.ports, &port).next()?;
    /// # Some(()) }
    /// ```
    pub fn find<F: IndexedField, Q>(
        &self,
        index: Index<T, F>,
        key: &Q,
    ) -> impl Iterator<Item = (Uuid, &Arc<T>)>
    where
        F::Key: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        let hash = self.hash_state.hash_one(key);
        let entries = self.indexes[index.number()].range((hash, Uuid::nil())..=(hash, Uuid::max()));
        // Different keys may have the same hash.
        let rows = entries.filter_map(|(_, uuid)| Some((*uuid, self.get(*uuid)?)));
        rows.filter(move |(_, row)| index.has_key(row, key))
    }

    /// Returns the number of rows.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Returns true if there are no rows.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Returns the columns that the server has.
    pub fn layout(&self) -> TableLayout {
        self.layout
    }

    pub(super) fn take_changes(&mut self) -> Vec<Change<T>> {
        std::mem::take(&mut self.changes).into_values().collect()
    }

    /// Returns a row as of this point of the batch. A snapshot starts without rows.
    fn current(&self, batch: Batch, uuid: Uuid) -> Option<&Arc<T>> {
        match (self.staged.get(&uuid), batch) {
            (Some(staged), _) => staged.as_ref(),
            (None, Batch::Snapshot) => None,
            (None, Batch::Delta) => self.rows.get(&uuid),
        }
    }

    /// Updates the indexes for a row that changed; `None` means that the row does not exist.
    fn index(&mut self, uuid: Uuid, old: Option<&T>, new: Option<&T>) {
        for (hash_keys, entries) in T::INDEXES.iter().zip(&mut self.indexes) {
            let state = &self.hash_state;
            if let Some(old) = old {
                hash_keys(old, state, &mut |hash| _ = entries.remove(&(hash, uuid)));
            }
            if let Some(new) = new {
                hash_keys(new, state, &mut |hash| _ = entries.insert((hash, uuid)));
            }
        }
    }

    /// Makes a snapshot the content when there are no rows yet. Building trees from sorted rows takes a fraction of the
    /// time of single insertions.
    fn fill(&mut self, staged: BTreeMap<Uuid, Option<Arc<T>>>) {
        self.rows = staged.into_iter().filter_map(|(uuid, row)| Some((uuid, row?))).collect();
        for (hash_keys, entries) in T::INDEXES.iter().zip(&mut self.indexes) {
            let mut keys = Vec::with_capacity(self.rows.len());
            for (uuid, row) in &self.rows {
                hash_keys(row, &self.hash_state, &mut |hash| keys.push((hash, *uuid)));
            }
            *entries = keys.into_iter().collect();
        }
        let changes = self
            .rows
            .iter()
            .map(|(uuid, row)| (*uuid, Change { uuid: *uuid, old: None, new: Some(Arc::clone(row)) }));
        self.changes = changes.collect();
    }

    /// Joins the change of a row with its earlier changes.
    fn record(&mut self, change: Change<T>) {
        match self.changes.entry(change.uuid) {
            Entry::Vacant(vacant) => drop(vacant.insert(change)),
            Entry::Occupied(mut known) => {
                known.get_mut().new = change.new;
                if is_same(&known.get().old, &known.get().new) {
                    known.remove();
                }
            }
        }
    }
}

fn is_same<T: Table>(old: &Option<Arc<T>>, new: &Option<Arc<T>>) -> bool {
    match (old, new) {
        (Some(old), Some(new)) => old.changed(new).is_empty(),
        (None, None) => true,
        _ => false,
    }
}

impl<T> AnyTable for TableCache<T>
where
    T: Table<Context = ()> + Clone + Send + Sync + 'static,
{
    fn spec(&self) -> &'static TableSpec {
        &T::TABLE
    }

    fn set_layout(&mut self, layout: TableLayout) {
        self.layout = layout;
    }

    fn begin(&mut self, _: Batch) {
        self.staged.clear();
    }

    fn apply(
        &mut self,
        batch: Batch,
        uuid: Uuid,
        change: RowChange<'_>,
        problems: &mut Problems,
    ) -> Result<(), ApplyError> {
        let current = self.current(batch, uuid);
        let read = |row: &mut T, columns: Columns<'_>, is_difference, problems: &mut Problems| {
            let had_problem = problems.has_row(T::TABLE.name, uuid);
            let read = ReadRow { uuid, columns, is_difference, had_problem };
            let outcome = read_row(row, read, self.layout, &mut (), problems);
            outcome.map(drop).map_err(|_| ApplyError("a row's columns are malformed"))
        };
        let row = match (change, current) {
            (RowChange::Insert(_), Some(_)) => return Err(ApplyError("an inserted row exists already")),
            (RowChange::Insert(columns), None) | (RowChange::Replace(columns), Some(_)) => {
                let mut row = T::with_uuid(uuid);
                read(&mut row, columns, false, problems)?;
                Some(Arc::new(row))
            }
            (RowChange::Modify(columns), Some(current)) => {
                let mut row = T::clone(current);
                read(&mut row, columns, true, problems)?;
                Some(Arc::new(row))
            }
            (RowChange::Delete, Some(_)) => {
                problems.forget(T::TABLE.name, uuid);
                None
            }
            (_, None) => return Err(ApplyError("a changed or deleted row does not exist")),
        };
        self.staged.insert(uuid, row);
        Ok(())
    }

    fn commit(&mut self, batch: Batch, problems: &mut Problems) {
        let mut staged = std::mem::take(&mut self.staged);
        if batch == Batch::Snapshot && self.rows.is_empty() && self.changes.is_empty() {
            return self.fill(staged);
        }
        if batch == Batch::Snapshot {
            for uuid in self.rows.keys() {
                staged.entry(*uuid).or_insert_with(|| {
                    problems.forget(T::TABLE.name, *uuid);
                    None
                });
            }
        }
        for (uuid, new) in staged {
            let old = self.rows.get(&uuid).cloned();
            // An equal row keeps its allocation, which readers may share.
            if !is_same(&old, &new) {
                match &new {
                    Some(row) => drop(self.rows.insert(uuid, Arc::clone(row))),
                    None => drop(self.rows.remove(&uuid)),
                }
                self.index(uuid, old.as_deref(), new.as_deref());
                self.record(Change { uuid, old, new });
            }
        }
    }

    fn as_any(&self) -> &dyn Any {
        self
    }

    fn as_any_mut(&mut self) -> &mut dyn Any {
        self
    }
}

impl<T> fmt::Debug for TableCache<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TableCache").field("rows", &self.rows.len()).finish_non_exhaustive()
    }
}
