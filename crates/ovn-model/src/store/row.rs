//! Row types of the store: the places of their rows, and the links between them.

use super::Store;
use super::slabs::{Slabs, Stored};
use super::slot::Slot;

/// A row type of the store.
pub(crate) trait Row: Stored + Links {}

impl<R: Stored + Links> Row for R {}

/// A row whose content changed; `None` means that the row does not exist.
#[derive(Debug)]
pub(crate) struct Edit<'a, R: Row> {
    pub(crate) id: R::Id,
    pub(crate) old: Option<&'a R>,
    pub(crate) new: Option<&'a R>,
}

impl<'a, R: Row> Edit<'a, R> {
    /// Returns the former and the present row, as far as they exist.
    pub(crate) fn rows(&self) -> impl Iterator<Item = &'a R> {
        self.old.into_iter().chain(self.new)
    }

    /// Returns a part of the former and of the present row.
    pub(crate) fn map<T>(&self, part: impl Fn(&'a R) -> Option<T>) -> [Option<T>; 2] {
        [self.old, self.new].map(|row| row.and_then(&part))
    }
}

/// The links of the rows of a type with others: one implementation for each table, see `store/links.rs`.
pub(crate) trait Links: Slot {
    /// Takes over the links of the row's former content: the rows that refer to it.
    fn keep_links(&mut self, _old: &Self) {}

    /// Computes the fields that follow from the columns and the links together.
    fn derive(&mut self, _slabs: &Slabs) {}

    /// Updates the rows that this one refers to; its former content is `old`.
    fn relink(_store: &mut Store, _id: Self::Id, _old: &Self)
    where
        Self: Row,
    {
    }
}
