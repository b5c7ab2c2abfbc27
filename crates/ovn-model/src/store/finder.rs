//! A hash table of handles that does not store the keys.

use hashbrown::HashTable;

/// A table that finds rows by the hash of a key in them, where a map from UUIDs or names would duplicate the keys.
///
/// The hash is stored with the handle, so that the table grows without access to the rows.
#[derive(Debug)]
pub(crate) struct Finder<I>(HashTable<(u32, I)>);

impl<I> Default for Finder<I> {
    fn default() -> Self {
        Self(HashTable::new())
    }
}

impl<I: Copy + Eq> Finder<I> {
    /// Returns the rows with that hash for which `is` returns true.
    pub(crate) fn find(&self, hash: u64, is: impl Fn(I) -> bool) -> impl Iterator<Item = I> {
        let hash = hash as u32;
        let found = self.0.iter_hash(widen(hash)).filter(move |(other, row)| *other == hash && is(*row));
        found.map(|(_, row)| *row)
    }

    /// Moves a row to another hash; `None` means no hash.
    pub(crate) fn moved(&mut self, row: I, from: Option<u64>, to: Option<u64>) {
        if from != to {
            from.into_iter().for_each(|hash| self.remove(hash, row));
            to.into_iter().for_each(|hash| self.insert(hash, row));
        }
    }

    /// Moves a row to other hashes; both lists are sorted, without duplicates.
    pub(crate) fn moved_all(&mut self, row: I, from: &[u64], to: &[u64]) {
        for hash in from.iter().filter(|hash| to.binary_search(hash).is_err()) {
            self.remove(*hash, row);
        }
        for hash in to.iter().filter(|hash| from.binary_search(hash).is_err()) {
            self.insert(*hash, row);
        }
    }

    /// Inserts a row under a hash that it does not have yet.
    pub(crate) fn insert(&mut self, hash: u64, row: I) {
        let hash = hash as u32;
        self.0.insert_unique(widen(hash), (hash, row), |(hash, _)| widen(*hash));
    }

    /// Removes a row that is under that hash.
    pub(crate) fn remove(&mut self, hash: u64, row: I) {
        let entry = (hash as u32, row);
        if let Ok(found) = self.0.find_entry(widen(entry.0), |other| *other == entry) {
            found.remove();
        }
    }

    /// Reserves capacity for more rows.
    pub(crate) fn reserve(&mut self, additional: usize) {
        self.0.reserve(additional, |(hash, _)| widen(*hash));
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// Returns all rows, in no order; a row with several hashes appears several times.
    pub(crate) fn rows(&self) -> impl Iterator<Item = I> {
        self.0.iter().map(|(_, row)| *row)
    }
}

/// Extends half a hash to a whole one: the table takes the position from the low bits and a tag from the highest.
fn widen(hash: u32) -> u64 {
    u64::from(hash) << 32 | u64::from(hash)
}
