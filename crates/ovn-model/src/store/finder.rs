//! A hash table of handles, which leaves the keys where they are.

/// Finds rows by the hash of something in them.
///
/// A place is eight bytes, where a map from UUIDs or names would repeat the keys. Collisions are
/// resolved by linear probing; a removal moves the following ones up, so that no tombstones remain.
#[derive(Debug)]
pub(crate) struct Finder<I> {
    /// Empty, or a power of two.
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
        self.probe(hash)
            .map_while(|at| self.places[at])
            .filter(move |(h, row)| *h == hash && is(*row))
            .map(|(_, row)| row)
    }

    /// Files a row, which is not filed under that hash yet.
    pub(crate) fn insert(&mut self, hash: u64, row: I) {
        if (self.length + 1) * 8 > self.places.len() * 7 {
            let grown = vec![None; (self.places.len() * 2).max(8)];
            for (hash, row) in std::mem::replace(&mut self.places, grown).into_iter().flatten() {
                self.place(hash, row);
            }
        }
        self.place(hash as u32, row);
        self.length += 1;
    }

    /// Removes a row that was filed under that hash.
    pub(crate) fn remove(&mut self, hash: u64, row: I) {
        let entry = (hash as u32, row);
        let found = self
            .probe(entry.0)
            .take_while(|at| self.places[*at].is_some())
            .find(|at| self.places[*at] == Some(entry));
        let Some(mut hole) = found else { return };
        self.length -= 1;
        let mask = self.places.len() - 1;
        let mut at = hole;
        loop {
            at = (at + 1) & mask;
            let Some((hash, _)) = self.places[at] else { break };
            // It may move into the hole if that is not before where it belongs.
            let (distance, gap) = (at.wrapping_sub(hash as usize) & mask, at.wrapping_sub(hole) & mask);
            if distance >= gap {
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
        let free = self.probe(hash).find(|at| self.places[*at].is_none());
        if let Some(free) = free {
            self.places[free] = Some((hash, row));
        }
    }

    /// Returns all places, from the one where the hash belongs.
    fn probe(&self, hash: u32) -> impl Iterator<Item = usize> + use<I> {
        let size = self.places.len();
        let mask = size.wrapping_sub(1);
        (0..size).map(move |step| (hash as usize).wrapping_add(step) & mask)
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
            for (insert, hash, row) in steps {
                let row = std::num::NonZeroU32::new(row as u32 + 1).unwrap();
                if insert && model.insert((hash, row)) {
                    finder.insert(hash, row);
                } else if !insert {
                    finder.remove(hash, row);
                    model.remove(&(hash, row));
                }
                for hash in 0..12 {
                    let found: BTreeSet<_> = finder.find(hash, |_| true).collect();
                    let filed = model.iter().filter(|(h, _)| *h == hash).map(|(_, row)| *row).collect();
                    prop_assert_eq!(found, filed);
                }
            }
            prop_assert_eq!(size_of::<Option<(u32, std::num::NonZeroU32)>>(), 8);
        }
    }
}
