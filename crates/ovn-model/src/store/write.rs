//! Updates applied to rows.

use std::mem;

use ovsdb_protocol::{
    ApplyError, Batch, DatabaseSchema, MonitorRequests, ReadRow, Replica, RowChange, RowUpdate,
    SchemaMismatch, Uuid, monitor_requests, read_row,
};

use super::dependents::Recorded;
use super::indexes::Indexed;
use super::owner::Owned;
use super::row::Edit;
use super::slab::Write;
use super::slabs::{Stored, TABLES};
use super::slot::{Meta, Slot};
use super::{Network, Store, owner};

/// The maximum number of changes that are listed, unless there are more ports. More are reported as everything.
const MAX_LISTED_CHANGES: usize = 1000;

impl Replica for Store {
    fn declare(&mut self, schema: &DatabaseSchema) -> Result<MonitorRequests, SchemaMismatch> {
        let (requests, layouts) = monitor_requests(TABLES, schema)?;
        // Decisions also depend on which columns the server has.
        if !self.layouts.is_empty() && self.layouts != layouts {
            self.recorder.record_everything();
        }
        self.layouts = layouts;
        Ok(requests)
    }

    fn begin(&mut self, batch: Batch) {
        self.batch = Some(batch);
        if batch == Batch::Snapshot {
            self.slabs.clear_marks();
        }
    }

    fn apply(&mut self, update: RowUpdate<'_>) -> Result<(), ApplyError> {
        let batch = self.batch.unwrap_or(Batch::Delta);
        self.write(batch, update.table, update.uuid, update.change)?;
        self.recorder.bound(self.max_changes());
        Ok(())
    }

    fn commit(&mut self) {
        if self.batch == Some(Batch::Snapshot) {
            self.sweep();
        }
        self.batch = None;
        self.recorder.commit(self.max_changes());
    }
}

impl Store {
    fn max_changes(&self) -> usize {
        self.slabs.ports.len().max(MAX_LISTED_CHANGES)
    }

    /// Applies an update to a row.
    pub(super) fn write_row<R: Indexed + Recorded>(
        &mut self,
        batch: Batch,
        uuid: Uuid,
        change: RowChange<'_>,
    ) -> Result<(), ApplyError> {
        let (id, write) = R::slab_mut(&mut self.slabs).open(batch, uuid, change)?;
        let outcome = self.write_slot::<R>(id, uuid, write);
        R::slab_mut(&mut self.slabs).close(id);
        outcome
    }

    fn write_slot<R: Indexed + Recorded>(
        &mut self,
        id: R::Id,
        uuid: Uuid,
        write: Write<'_>,
    ) -> Result<(), ApplyError> {
        let old = R::slab(&self.slabs).slot(id);
        let was = old.meta();
        let (mut new, columns) = match write {
            Write::Whole(columns) => (R::with_uuid(uuid), Some((columns, false))),
            Write::Difference(columns) => (old.clone(), Some((columns, true))),
            Write::Delete => (R::with_uuid(uuid), None),
        };
        let is_troubled = match columns {
            Some((columns, is_difference)) => {
                let read =
                    ReadRow { uuid, columns, is_difference, had_problem: was.contains(Meta::TROUBLED) };
                let layout = self.layout::<R>();
                read_row(&mut new, read, layout, &mut self.slabs, &mut self.problems)
                    .map_err(|_| ApplyError("a row's columns are malformed"))?
            }
            None => {
                if was.contains(Meta::TROUBLED) {
                    self.problems.forget(R::TABLE.name, uuid);
                }
                false
            }
        };
        let mut meta = was | Meta::MARKED;
        meta.set(Meta::PRESENT, columns.is_some());
        meta.set(Meta::TROUBLED, is_troubled);
        let old = R::slab(&self.slabs).slot(id);
        if !(was ^ meta).contains(Meta::PRESENT) && old.changed(&new).is_empty() {
            *R::slab_mut(&mut self.slabs).slot_mut(id).meta_mut() = meta;
            return Ok(());
        }
        new.keep_links(old);
        *new.meta_mut() = meta;
        self.replace(id, new);
        Ok(())
    }

    /// Replaces the content of a slot: the only place where rows change.
    fn replace<R: Indexed + Recorded>(&mut self, id: R::Id, mut new: R) {
        new.derive(&self.slabs);
        let old = R::slab_mut(&mut self.slabs).replace(id, new);
        let Self { slabs, indexes, recorder, .. } = self;
        let edit = Edit { id, old: Some(&old).filter(|row| row.is_present()), new: R::slab(slabs).get(id) };
        R::reindex(indexes, slabs, &edit);
        if !recorder.knows_all() {
            R::record(Network { slabs, indexes }, &edit, recorder);
        }
        R::relink(self, id, &old);
    }

    /// Updates a row after `claimant` added it to its set or removed it.
    pub(super) fn claim<R: Owned>(&mut self, id: R::Id, claimant: <R::Owner as Slot>::Id) {
        let (row, owners) = (R::slab(&self.slabs).slot(id), R::Owner::slab(&self.slabs));
        let owned = (row.owner(), row.meta().contains(Meta::SHARED));
        let has = |owner: &R::Owner| R::members(owner).binary_search(&id).is_ok();
        let uuid = |owner| owners.slot(owner).uuid();
        let (owner, shared) = if has(owners.slot(claimant)) {
            owner::claim(owned, claimant, uuid)
        } else {
            let claiming = owners.iter().filter(|(_, owner)| has(owner)).map(|(owner, _)| owner);
            owner::release(owned, claimant, claiming, uuid)
        };
        let row = R::slab_mut(&mut self.slabs).slot_mut(id);
        row.meta_mut().set(Meta::SHARED, shared);
        if owner != owned.0 {
            self.set_owner::<R>(id, owner);
        }
        R::slab_mut(&mut self.slabs).close(id);
    }

    fn set_owner<R: Owned>(&mut self, id: R::Id, owner: Option<<R::Owner as Slot>::Id>) {
        let slot = R::slab_mut(&mut self.slabs).slot_mut(id);
        if !self.recorder.knows_all() {
            let mut row = slot.clone();
            row.set_owner(owner);
            return self.replace(id, row);
        }
        // Where everything is reported as changed, as in a first snapshot, only one version of a row is needed. Copying
        // all ports would take as long as indexing them.
        let (from, uuid) = (slot.owner(), slot.uuid());
        let mut row = mem::replace(slot, R::with_uuid(uuid));
        row.set_owner(owner);
        row.derive(&self.slabs);
        *R::slab_mut(&mut self.slabs).slot_mut(id) = row;
        R::refile(&mut self.indexes, &self.slabs, id, from);
    }
}
