//! A hash table of handles, which leaves the keys where they are.

use std::mem;

/// Finds rows by the hash of something in them.
///
/// A place is eight bytes, where a map from UUIDs or names would repeat the keys. Collisions are
/// resolved by linear probing; a removal moves the following ones up, so that no tombstones remain.
///
/// Where a hash belongs is its share of the table, so that rows lie in the order of their hashes, whatever the size:
/// to grow is to walk through two tables from end to end, rather than to jump about in one that fits into no cache.
#[derive(Debug)]
pub(crate) struct Finder<I> {
    places: Vec<Option<(u32, I)>>,
    length: usize,
}

impl<I> Default for Finder<I> {
    fn default() -> Self {
        Self { places: Vec::new(), length: 0 }
    }
}

impl<I: Copy + Eq> Finder<I> {
    /// Returns the rows with that hash that are the one looked for.
    pub(crate) fn find(&self, hash: u64, is: impl Fn(I) -> bool) -> impl Iterator<Item = I> {
        let hash = hash as u32;
        let mut at = self.home(hash);
        std::iter::from_fn(move || {
            loop {
                let (other, row) = (*self.places.get(at)?)?;
                at = self.after(at);
                if other == hash && is(row) {
                    return Some(row);
                }
            }
        })
    }

    /// Files a row under another hash; `None` stands for no hash.
    pub(crate) fn moved(&mut self, row: I, from: Option<u64>, to: Option<u64>) {
        if from != to {
            from.into_iter().for_each(|hash| self.remove(hash, row));
            to.into_iter().for_each(|hash| self.insert(hash, row));
        }
    }

    /// Files a row, which is not filed under that hash yet.
    pub(crate) fn insert(&mut self, hash: u64, row: I) {
        // A fifth stays free at least, so that nothing is far from where it belongs.
        if (self.length + 1) * 5 > self.places.len() * 4 {
            let grown = vec![None; (self.places.len() * 3 / 2).max(8)];
            for (hash, row) in mem::replace(&mut self.places, grown).into_iter().flatten() {
                self.place(hash, row);
            }
        }
        self.place(hash as u32, row);
        self.length += 1;
    }

    /// Removes a row that was filed under that hash.
    pub(crate) fn remove(&mut self, hash: u64, row: I) {
        let entry = (hash as u32, row);
        let mut hole = self.home(entry.0);
        loop {
            match self.places.get(hole) {
                None | Some(None) => return,
                Some(place) if *place == Some(entry) => break,
                Some(_) => hole = self.after(hole),
            }
        }
        self.length -= 1;
        let mut at = hole;
        loop {
            at = self.after(at);
            let Some((hash, _)) = self.places[at] else { break };
            // It may move into the hole if that is not before where it belongs.
            if self.distance(self.home(hash), at) >= self.distance(hole, at) {
                self.places[hole] = self.places[at];
                hole = at;
            }
        }
        self.places[hole] = None;
    }

    #[cfg(test)]
    pub(crate) fn is_empty(&self) -> bool {
        self.length == 0 && self.places.iter().all(Option::is_none)
    }

    fn place(&mut self, hash: u32, row: I) {
        let mut at = self.home(hash);
        while self.places[at].is_some() {
            at = self.after(at);
        }
        self.places[at] = Some((hash, row));
    }

    /// Returns the place where a hash belongs.
    fn home(&self, hash: u32) -> usize {
        ((u64::from(hash) * self.places.len() as u64) >> u32::BITS) as usize
    }

    fn after(&self, at: usize) -> usize {
        if at + 1 == self.places.len() { 0 } else { at + 1 }
    }

    /// Returns how many places there are from one to another.
    fn distance(&self, from: usize, to: usize) -> usize {
        if from <= to { to - from } else { to + self.places.len() - from }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn it_finds_what_was_filed(steps in prop::collection::vec((any::<bool>(), 0..12u64, 0..6u64), 0..200)) {
            let (mut finder, mut model) = (Finder::default(), BTreeSet::new());
            // The last of them belong near the end, and what follows at the start.
            let spread = |hash| hash * (u64::from(u32::MAX) / 11);
            for (insert, hash, row) in steps {
                let row = std::num::NonZeroU32::new(row as u32 + 1).unwrap();
                if insert && model.insert((hash, row)) {
                    finder.insert(spread(hash), row);
                } else if !insert {
                    finder.remove(spread(hash), row);
                    model.remove(&(hash, row));
                }
                for hash in 0..12 {
                    let found: BTreeSet<_> = finder.find(spread(hash), |_| true).collect();
                    let filed = model.iter().filter(|(h, _)| *h == hash).map(|(_, row)| *row).collect();
                    prop_assert_eq!(found, filed);
                }
            }
            prop_assert_eq!(size_of::<Option<(u32, std::num::NonZeroU32)>>(), 8);
        }
    }
}
