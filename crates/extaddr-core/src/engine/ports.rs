//! The ports that are known, by name and by number.

use std::sync::Arc;

use foldhash::{HashMap, HashMapExt};

use super::ReconcileKey;
use super::entry::Entry;

/// Stands for a port in the tables of the engine. It is another's one day.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Number(u32);

/// What is known of each port.
#[derive(Debug)]
pub(super) struct Ports {
    numbers: HashMap<Arc<str>, Number>,
    /// Those of free numbers are empty.
    slots: Vec<Slot>,
    free: Vec<Number>,
}

#[derive(Debug, Default)]
struct Slot {
    name: Arc<str>,
    entry: Entry,
}

impl Ports {
    pub(super) fn new() -> Self {
        Self { numbers: HashMap::new(), slots: Vec::new(), free: Vec::new() }
    }

    /// Makes room for some more.
    pub(super) fn reserve(&mut self, more: usize) {
        self.numbers.reserve(more);
        self.slots.reserve_exact(more);
    }

    /// Returns the entry of a port.
    pub(super) fn get(&self, name: &str) -> Option<&Entry> {
        self.numbers.get(name).map(|number| self.entry(*number))
    }

    /// Returns the names, in no order.
    pub(super) fn names(&self) -> impl Iterator<Item = &Arc<str>> {
        self.numbers.keys()
    }

    /// Returns the name of a port that is known.
    pub(super) fn name(&self, number: Number) -> &Arc<str> {
        &self.slots[number.0 as usize].name
    }

    /// Returns what has the rows of a port that is known.
    pub(super) fn subject(&self, number: Number) -> ReconcileKey {
        ReconcileKey::Port(Arc::clone(self.name(number)))
    }

    /// Returns the entry of a port that is known.
    pub(super) fn entry(&self, number: Number) -> &Entry {
        &self.slots[number.0 as usize].entry
    }

    pub(super) fn entry_mut(&mut self, number: Number) -> &mut Entry {
        &mut self.slots[number.0 as usize].entry
    }

    /// Returns the number of a port, which is known from now on.
    pub(super) fn number(&mut self, name: &Arc<str>) -> Number {
        if let Some(number) = self.numbers.get(name) {
            return *number;
        }
        let slot = Slot { name: Arc::clone(name), entry: Entry::default() };
        let number = match self.free.pop() {
            Some(number) => {
                self.slots[number.0 as usize] = slot;
                number
            }
            None => {
                self.slots.push(slot);
                Number(
                    u32::try_from(self.slots.len() - 1).expect("four billion ports do not fit into memory"),
                )
            }
        };
        self.numbers.insert(Arc::clone(name), number);
        number
    }

    /// Forgets a port. Nothing may lead to its number any more.
    pub(super) fn remove(&mut self, number: Number) {
        let Slot { name, .. } = std::mem::take(&mut self.slots[number.0 as usize]);
        self.numbers.remove(&name);
        self.free.push(number);
    }

    /// Returns the ports with their entries.
    pub(super) fn into_entries(self) -> impl Iterator<Item = (Arc<str>, Entry)> {
        let Self { numbers, mut slots, .. } = self;
        numbers
            .into_iter()
            .map(move |(name, number)| (name, std::mem::take(&mut slots[number.0 as usize].entry)))
    }
}
