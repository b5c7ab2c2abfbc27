//! Row types of the store: where their rows are, and how they hang together with others.

use super::Store;
use super::slabs::{Slabs, Stored};
use super::slot::Slot;

/// A row type of the store.
pub(crate) trait Row: Stored + Links {}

impl<R: Stored + Links> Row for R {}

/// A row whose content changed; `None` stands for a row that is not there.
#[derive(Debug)]
pub(crate) struct Edit<'a, R: Row> {
    pub(crate) id: R::Id,
    pub(crate) old: Option<&'a R>,
    pub(crate) new: Option<&'a R>,
}

impl<'a, R: Row> Edit<'a, R> {
    /// Returns what the row was and what it is, as far as it was and is there.
    pub(crate) fn rows(&self) -> impl Iterator<Item = &'a R> {
        self.old.into_iter().chain(self.new)
    }

    /// Returns something of the row as it was and as it is.
    pub(crate) fn map<T>(&self, part: impl Fn(&'a R) -> Option<T>) -> [Option<T>; 2] {
        [self.old, self.new].map(|row| row.and_then(&part))
    }
}

/// How the rows of a type hang together with others: one place for each table, see `store/links.rs`.
pub(crate) trait Links: Slot {
    /// Takes over what the store knows of the row's former content: who refers to it.
    fn keep_links(&mut self, _old: &Self) {}

    /// Finds out what follows from the columns and the links together.
    fn derive(&mut self, _slabs: &Slabs) {}

    /// Adapts the rows that this one refers to, whose former content is `old`.
    fn relink(_store: &mut Store, _id: Self::Id, _old: &Self)
    where
        Self: Row,
    {
    }
}
