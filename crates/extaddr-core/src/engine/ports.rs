//! The ports that are known, by name and by number.

use std::hash::BuildHasher;
use std::ops::Range;
use std::sync::Arc;

use foldhash::fast::RandomState;
use hashbrown::HashTable;
use hashbrown::hash_table::Entry as Place;

use super::entry::Entry;
use super::reconcile_key::ReconcileKey;

/// The number of a port in the tables of the engine. It is used again after the port is forgotten.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Number(u32);

/// The entries of all ports.
#[derive(Debug, Default)]
pub(super) struct Ports {
    hasher: RandomState,
    /// Found by the name, which is in the slot.
    numbers: HashTable<Number>,
    /// Slots of free numbers are empty.
    slots: Vec<Slot>,
    free: Vec<Number>,
}

#[derive(Debug, Default)]
struct Slot {
    name: Arc<str>,
    entry: Entry,
}

impl Number {
    fn from_index(index: usize) -> Self {
        Self(u32::try_from(index).expect("four billion ports do not fit into memory"))
    }

    fn index(self) -> usize {
        self.0 as usize
    }
}

impl Ports {
    pub(super) fn new() -> Self {
        Self::default()
    }

    /// Reserves capacity for more ports.
    pub(super) fn reserve(&mut self, more: usize) {
        self.numbers.reserve(more, |number| self.hasher.hash_one(&*self.slots[number.index()].name));
        self.slots.reserve_exact(more);
    }

    /// Returns the entry of a port.
    pub(super) fn get(&self, name: &str) -> Option<&Entry> {
        let is = |number: &Number| **self.name(*number) == *name;
        self.numbers.find(self.hasher.hash_one(name), is).map(|number| self.entry(*number))
    }

    /// Returns the names, in no order.
    pub(super) fn names(&self) -> impl Iterator<Item = &Arc<str>> {
        self.numbers.iter().map(|number| self.name(*number))
    }

    /// Returns the number of places, some of which may be free.
    pub(super) fn places(&self) -> usize {
        self.slots.len()
    }

    /// Returns the names of the ports in these places. A free place has an empty name and no decisions.
    pub(super) fn names_in(&self, places: Range<usize>) -> impl Iterator<Item = &Arc<str>> {
        let slots = self.slots.get(places.start..places.end.min(self.slots.len())).unwrap_or_default();
        let taken = slots.iter().filter(|slot| !slot.name.is_empty() || !slot.entry.decisions.is_empty());
        taken.map(|slot| &slot.name)
    }

    /// Returns the name of a port that is known.
    pub(super) fn name(&self, number: Number) -> &Arc<str> {
        &self.slots[number.index()].name
    }

    /// Returns the reconcile key of a port that is known.
    pub(super) fn subject(&self, number: Number) -> ReconcileKey {
        ReconcileKey::Port(Arc::clone(self.name(number)))
    }

    /// Returns the entry of a port that is known.
    pub(super) fn entry(&self, number: Number) -> &Entry {
        &self.slots[number.index()].entry
    }

    pub(super) fn entry_mut(&mut self, number: Number) -> &mut Entry {
        &mut self.slots[number.index()].entry
    }

    /// Returns the number of a port, which is known from now on.
    pub(super) fn number(&mut self, name: &Arc<str>) -> Number {
        let Self { hasher, numbers, slots, free } = self;
        let is = |number: &Number| slots[number.index()].name == *name;
        let hash = |number: &Number| hasher.hash_one(&*slots[number.index()].name);
        let vacant = match numbers.entry(hasher.hash_one(&**name), is, hash) {
            Place::Occupied(occupied) => return *occupied.get(),
            Place::Vacant(vacant) => vacant,
        };
        let number = free.pop().unwrap_or_else(|| Number::from_index(slots.len()));
        vacant.insert(number);
        if number.index() == slots.len() {
            slots.push(Slot::default());
        }
        slots[number.index()].name = Arc::clone(name);
        number
    }

    /// Forgets a port. No index may contain its number any more.
    pub(super) fn remove(&mut self, number: Number) {
        let Slot { name, .. } = std::mem::take(&mut self.slots[number.index()]);
        if let Ok(found) = self.numbers.find_entry(self.hasher.hash_one(&*name), |other| *other == number) {
            found.remove();
        }
        self.free.push(number);
    }

    /// Returns the ports with their entries.
    pub(super) fn into_entries(self) -> impl Iterator<Item = (Arc<str>, Entry)> {
        let Self { numbers, mut slots, .. } = self;
        numbers.into_iter().map(move |number| {
            let Slot { name, entry } = std::mem::take(&mut slots[number.index()]);
            (name, entry)
        })
    }
}
