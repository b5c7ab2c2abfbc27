//! The rows of a table.

use std::hash::BuildHasher;

use foldhash::fast::RandomState;
use ovsdb_protocol::{ApplyError, Batch, Columns, RowChange, Uuid};
use smallvec::SmallVec;

use super::finder::Finder;
use super::slot::{Meta, Slot};
use crate::id::Handle;

/// The slots of a table's rows, found by handle or UUID.
///
/// They are in chunks, so that growth neither copies rows nor leaves half of the memory unused.
#[derive(Debug)]
pub(crate) struct Slab<R: Slot> {
    chunks: Vec<Vec<R>>,
    by_uuid: Finder<R::Id>,
    hasher: RandomState,
    /// Slots to be used again.
    free: Vec<R::Id>,
    /// Slots that may be mentioned in changes that have not been taken.
    quarantined: Vec<R::Id>,
    present: usize,
}

const CHUNK: usize = 512;

/// The maximum number of references that are looked up together.
pub(crate) const MAX_INTERNED: usize = 64;

/// The effect of an update on a row.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Write<'a> {
    /// These are all its columns; others hold their default.
    Whole(Columns<'a>),
    /// These columns changed: scalar columns are new values, sets and maps are differences.
    Difference(Columns<'a>),
    /// The row is deleted.
    Delete,
}

impl<R: Slot> Default for Slab<R> {
    fn default() -> Self {
        Self {
            chunks: Vec::new(),
            by_uuid: Finder::default(),
            hasher: RandomState::default(),
            free: Vec::new(),
            quarantined: Vec::new(),
            present: 0,
        }
    }
}

impl<R: Slot> Slab<R> {
    /// Returns a row, if it exists.
    pub(crate) fn get(&self, id: R::Id) -> Option<&R> {
        let slot = self.chunks.get(id.index() / CHUNK)?.get(id.index() % CHUNK)?;
        slot.is_present().then_some(slot)
    }

    /// Returns the slot of an internal reference.
    pub(crate) fn slot(&self, id: R::Id) -> &R {
        &self.chunks[id.index() / CHUNK][id.index() % CHUNK]
    }

    pub(crate) fn slot_mut(&mut self, id: R::Id) -> &mut R {
        &mut self.chunks[id.index() / CHUNK][id.index() % CHUNK]
    }

    /// Returns the existing rows.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (R::Id, &R)> {
        let slots = self.chunks.iter().flatten().enumerate();
        slots.filter(|(_, row)| row.is_present()).map(|(index, row)| (R::Id::from_index(index), row))
    }

    /// Returns the number of existing rows.
    pub(crate) fn len(&self) -> usize {
        self.present
    }

    pub(crate) fn find(&self, uuid: Uuid) -> Option<R::Id> {
        self.find_hashed(self.hash(uuid), uuid)
    }

    /// Returns the slot of a row that exists or may arrive later.
    pub(crate) fn intern(&mut self, uuid: Uuid) -> R::Id {
        let hash = self.hash(uuid);
        self.find_hashed(hash, uuid).unwrap_or_else(|| self.occupy(hash, uuid))
    }

    /// Appends the slots of at most [`MAX_INTERNED`] rows that exist or may arrive later.
    ///
    /// The places in the table are looked up first and the rows afterwards: neither loop waits for memory at each row,
    /// as it would if each lookup depended on the one before.
    pub(crate) fn intern_all(&mut self, uuids: &mut SmallVec<[Uuid; MAX_INTERNED]>, ids: &mut Vec<R::Id>) {
        let found: SmallVec<[_; MAX_INTERNED]> = uuids
            .iter()
            .map(|uuid| {
                let hash = self.hash(*uuid);
                // It is nearly always the right one: 32 bits of the hash are equal.
                (hash, self.by_uuid.find(hash, |_| true).next())
            })
            .collect();
        let is_right = |(uuid, (_, id)): (&Uuid, &(u64, Option<R::Id>))| {
            id.is_some_and(|id| self.slot(id).uuid() == *uuid)
        };
        let right: SmallVec<[bool; MAX_INTERNED]> = uuids.iter().zip(&found).map(is_right).collect();
        for ((uuid, (hash, id)), is_right) in uuids.drain(..).zip(found).zip(right) {
            let other = || self.find_hashed(hash, uuid);
            let id = id.filter(|_| is_right).or_else(other);
            ids.push(id.unwrap_or_else(|| self.occupy(hash, uuid)));
        }
    }

    fn hash(&self, uuid: Uuid) -> u64 {
        self.hasher.hash_one(uuid.as_u128())
    }

    fn find_hashed(&self, hash: u64, uuid: Uuid) -> Option<R::Id> {
        self.by_uuid.find(hash, |id| self.slot(id).uuid() == uuid).next()
    }

    /// Occupies a slot for a row that has none.
    fn occupy(&mut self, hash: u64, uuid: Uuid) -> R::Id {
        let id = match self.free.pop() {
            Some(id) => {
                *self.slot_mut(id) = R::with_uuid(uuid);
                id
            }
            None => {
                let full = self.chunks.last().is_none_or(|chunk| chunk.len() == CHUNK);
                if full {
                    self.chunks.push(Vec::with_capacity(CHUNK));
                }
                let index = (self.chunks.len() - 1) * CHUNK;
                let chunk = &mut self.chunks[index / CHUNK];
                chunk.push(R::with_uuid(uuid));
                R::Id::from_index(index + chunk.len() - 1)
            }
        };
        self.by_uuid.insert(hash, id);
        id
    }

    /// Determines the effect of an update and its slot; call [`Slab::close`] with it afterwards.
    pub(crate) fn open<'a>(
        &mut self,
        batch: Batch,
        uuid: Uuid,
        change: RowChange<'a>,
    ) -> Result<(R::Id, Write<'a>), ApplyError> {
        let hash = self.hash(uuid);
        let slot = self.find_hashed(hash, uuid);
        let here = slot.filter(|id| self.slot(*id).is_present());
        let write = match (change, here) {
            (RowChange::Insert(_), Some(_)) if batch == Batch::Delta => {
                return Err(ApplyError("a row is inserted that is here"));
            }
            (RowChange::Insert(columns), _) | (RowChange::Replace(columns), Some(_)) => Write::Whole(columns),
            (RowChange::Modify(columns), Some(_)) => Write::Difference(columns),
            (RowChange::Delete, Some(_)) => Write::Delete,
            (_, None) => return Err(ApplyError("a row is changed or deleted that is not here")),
        };
        Ok((slot.unwrap_or_else(|| self.occupy(hash, uuid)), write))
    }

    /// Frees a slot without a row and without references; otherwise does nothing.
    pub(crate) fn close(&mut self, id: R::Id) {
        let slot = self.slot(id);
        if slot.is_present() || slot.is_referenced() {
            return;
        }
        let uuid = slot.uuid();
        let hash = self.hash(uuid);
        if self.by_uuid.find(hash, |other| other == id).next().is_some() {
            self.by_uuid.remove(hash, id);
            *self.slot_mut(id) = R::with_uuid(uuid);
            self.quarantined.push(id);
        }
    }

    /// Replaces the content of a slot, and returns the former content.
    pub(crate) fn replace(&mut self, id: R::Id, row: R) -> R {
        let is_present = row.is_present();
        let old = std::mem::replace(self.slot_mut(id), row);
        self.present += usize::from(is_present);
        self.present -= usize::from(old.is_present());
        old
    }

    /// Allows freed handles to be used again.
    pub(crate) fn reclaim(&mut self) {
        self.free.append(&mut self.quarantined);
    }

    /// Starts a snapshot, in which no row has been seen.
    pub(crate) fn clear_marks(&mut self) {
        self.chunks.iter_mut().flatten().for_each(|row| row.meta_mut().remove(Meta::MARKED));
    }

    /// Returns the rows that the snapshot did not contain.
    pub(crate) fn unmarked(&self) -> Vec<Uuid> {
        self.iter().filter(|(_, row)| !row.meta().contains(Meta::MARKED)).map(|(_, row)| row.uuid()).collect()
    }

    /// Returns true if all slots are free.
    #[cfg(test)]
    pub(crate) fn is_vacant(&self) -> bool {
        let slots = self.chunks.iter().map(Vec::len).sum::<usize>();
        self.present == 0 && self.free.len() == slots && self.by_uuid.is_empty()
    }
}
