//! What the store needs of a row type, and what it knows of a row beside its columns.

use bitflags::bitflags;
use ovsdb_protocol::{Table, Uuid};

use super::Store;
use super::dependents::Recorded;
use super::indexes::Indexed;
use super::slab::Slab;
use super::slabs::Slabs;
use crate::id::Handle;

/// A row type of the store. A slot holds a row, or the place of one that is referenced before it arrived.
pub(crate) trait Row: Table<Context = Slabs> + Clone + Links {
    type Id: Handle;

    fn uuid(&self) -> Uuid;
    fn meta(&self) -> Meta;
    fn meta_mut(&mut self) -> &mut Meta;
    fn slab(slabs: &Slabs) -> &Slab<Self>;
    fn slab_mut(slabs: &mut Slabs) -> &mut Slab<Self>;

    /// Returns true if the row is there.
    fn is_present(&self) -> bool {
        self.meta().contains(Meta::PRESENT)
    }
}

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
pub(crate) trait Links: Sized {
    /// Returns true if another row refers to this one.
    fn is_referenced(&self) -> bool {
        false
    }

    /// Takes over what the store knows of the row's former content: who refers to it.
    fn keep_links(&mut self, _old: &Self) {}

    /// Finds out what follows from the columns and the links together.
    fn derive(&mut self, _slabs: &Slabs) {}

    /// Adapts the rows that this one refers to, whose former content is `old`.
    fn relink(_store: &mut Store, _id: <Self as Row>::Id, _old: &Self)
    where
        Self: Row,
    {
    }
}

/// A row type whose rows should be in the set of one row, but may be in those of several.
pub(crate) trait Owned: Indexed + Recorded {
    type Owner: Row;

    fn owner(&self) -> Option<<Self::Owner as Row>::Id>;
    fn set_owner(&mut self, owner: Option<<Self::Owner as Row>::Id>);
    fn members(owner: &Self::Owner) -> &[Self::Id];
}

bitflags! {
    /// Flags of a slot.
    #[derive(Clone, Copy, Debug, Default)]
    pub(crate) struct Meta: u8 {
        /// The row is there, and not only references to it.
        const PRESENT = 1;
        /// The running snapshot has the row.
        const MARKED = 2;
        /// Several rows claim this one, which should belong to one.
        const SHARED = 4;
        /// The row has a [`Problem`](crate::Problem).
        const TROUBLED = 8;
    }
}
