//! An index from dependencies to the ports whose decisions have them.

use std::collections::BTreeSet;
use std::collections::hash_map::Entry;
use std::hash::BuildHasher;
use std::net::IpAddr;

use foldhash::fast::RandomState;
use foldhash::{HashMap, HashMapExt};

use super::index::Index;
use super::ports::{Number, Ports};
use crate::resolve::Dependency;

/// The ports by the dependencies of their decisions.
///
/// Each port has a few watches, and most of them are of one port alone, whose entry contains the watch: the table for
/// these has only a hash and the port. Tests use few bits of the hash, to provoke collisions.
#[derive(Debug)]
pub(super) struct DependencyIndex<const BITS: u32 = 32> {
    hasher: RandomState,
    /// By the hash of the watch.
    ones: HashMap<u32, Number>,
    /// Watches of several ports, and those whose place in the other table is taken.
    many: HashMap<Dependency, BTreeSet<Number>>,
    /// Watches of [`Dependency::Anywhere`], which are few, and sometimes needed all at once.
    anywhere: Index<IpAddr, Number>,
}

impl<const BITS: u32> DependencyIndex<BITS> {
    pub(super) fn new() -> Self {
        Self {
            hasher: RandomState::default(),
            ones: HashMap::new(),
            many: HashMap::new(),
            anywhere: Index::default(),
        }
    }

    /// Returns the ports that have a watch, in no order. A port whose entry does not have it yet or any more may or may
    /// not be among them.
    pub(super) fn get<'a>(
        &'a self,
        ports: &Ports,
        watch: &Dependency,
    ) -> impl Iterator<Item = Number> + use<'a, BITS> {
        let (anywhere, specific) = match watch {
            Dependency::Anywhere(address) => (Some(self.anywhere.get(address).copied()), None),
            watch => (None, Some(watch)),
        };
        let many = specific.and_then(|watch| self.many.get(watch));
        let one = specific.filter(|_| many.is_none()).and_then(|watch| self.ones.get(&self.hash(watch)));
        let one = one.copied().filter(|number| ports.entry(*number).watches(watch));
        one.into_iter().chain(many.into_iter().flatten().copied()).chain(anywhere.into_iter().flatten())
    }

    /// Returns the ports that watch any address on all routers.
    pub(super) fn of_all_addresses(&self) -> impl Iterator<Item = Number> {
        self.anywhere.keys().flat_map(|address| self.anywhere.get(address).copied())
    }

    /// Adds a watch that the port did not have; the entries of other ports must agree with the index.
    pub(super) fn insert(&mut self, ports: &Ports, watch: Dependency, number: Number) {
        if let Dependency::Anywhere(address) = watch {
            return self.anywhere.insert(address, number);
        }
        let hash = self.hash(&watch);
        if let Some(many) = self.many.get_mut(&watch) {
            many.insert(number);
            return;
        }
        match self.ones.entry(hash) {
            Entry::Vacant(vacant) => drop(vacant.insert(number)),
            Entry::Occupied(occupied) => {
                let other = *occupied.get();
                let mut many = BTreeSet::from([number]);
                // Otherwise another watch has the same hash.
                if other != number && ports.entry(other).watches(&watch) {
                    occupied.remove();
                    many.insert(other);
                }
                self.many.insert(watch, many);
            }
        }
    }

    /// Removes a watch that the port had.
    pub(super) fn remove(&mut self, watch: &Dependency, number: Number) {
        if let Dependency::Anywhere(address) = watch {
            return self.anywhere.remove(address, &number);
        }
        let hash = self.hash(watch);
        if let Some(many) = self.many.get_mut(watch) {
            many.remove(&number);
            if many.is_empty() {
                self.many.remove(watch);
            }
        } else if self.ones.get(&hash) == Some(&number) {
            self.ones.remove(&hash);
        }
    }

    fn hash(&self, watch: &Dependency) -> u32 {
        (self.hasher.hash_one(watch) >> (64 - BITS)) as u32
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use proptest::prelude::*;
    use uuid::Uuid;

    use super::*;

    proptest! {
        #[test]
        fn index_finds_all_watching_ports(steps in prop::collection::vec((0..6usize, 0..8u8, any::<bool>()), 0..100)) {
            let watch = |n: u8| match n {
                0..6 => Dependency::Balancer(Uuid::from_u128(n.into())),
                _ => Dependency::Anywhere(IpAddr::from([10, 0, 0, n])),
            };
            let (mut ports, mut watchers) = (Ports::new(), DependencyIndex::<2>::new());
            let numbers: Vec<_> = (0..6).map(|n| ports.number(&Arc::from(format!("p{n}")))).collect();
            let mut model: BTreeSet<(u8, Number)> = BTreeSet::new();
            for (port, n, insert) in steps {
                let number = numbers[port];
                // As the engine does: the entry is empty while it changes.
                let mut watched = std::mem::take(&mut ports.entry_mut(number).watched).into_vec();
                if insert && model.insert((n, number)) {
                    watchers.insert(&ports, watch(n), number);
                    watched.push(watch(n));
                } else if !insert && model.remove(&(n, number)) {
                    watchers.remove(&watch(n), number);
                    watched.retain(|other| *other != watch(n));
                }
                watched.sort_unstable();
                ports.entry_mut(number).watched = watched.into();
                let anywhere: BTreeSet<_> = watchers.of_all_addresses().collect();
                let filed = model.iter().filter(|(n, _)| *n >= 6).map(|(_, number)| *number).collect();
                prop_assert_eq!(anywhere, filed);
                for n in 0..8 {
                    let found: BTreeSet<_> = watchers.get(&ports, &watch(n)).collect();
                    let filed = model.iter().filter(|(m, _)| *m == n).map(|(_, number)| *number).collect();
                    prop_assert_eq!(found, filed);
                }
            }
            for (n, number) in model {
                watchers.remove(&watch(n), number);
            }
            prop_assert!(watchers.ones.is_empty() && watchers.many.is_empty());
            prop_assert_eq!(watchers.anywhere.keys().next(), None);
        }
    }
}
