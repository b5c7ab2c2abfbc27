//! What the store needs of a row type, and what it knows of a row beside its columns.

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
    fn meta(&self) -> &Meta;
    fn meta_mut(&mut self) -> &mut Meta;
    fn slab(slabs: &Slabs) -> &Slab<Self>;
    fn slab_mut(slabs: &mut Slabs) -> &mut Slab<Self>;
}

/// How the rows of a type hang together with others: one place for each table, see `store/links.rs`.
pub(crate) trait Links: Sized {
    /// Returns true if another row refers to this one.
    fn is_referenced(&self) -> bool;

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

/// Flags of a slot.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Meta(u8);

impl Meta {
    const PRESENT: u8 = 1;
    const MARKED: u8 = 2;
    const SHARED: u8 = 4;
    const TROUBLED: u8 = 8;

    fn set(&mut self, flag: u8, on: bool) {
        self.0 = if on { self.0 | flag } else { self.0 & !flag };
    }

    /// Returns true if the row is there, and not only references to it.
    pub(crate) fn is_present(self) -> bool {
        self.0 & Self::PRESENT != 0
    }

    pub(crate) fn set_present(&mut self, on: bool) {
        self.set(Self::PRESENT, on);
    }

    /// Returns true if the running snapshot has the row.
    pub(crate) fn is_marked(self) -> bool {
        self.0 & Self::MARKED != 0
    }

    pub(crate) fn set_marked(&mut self, on: bool) {
        self.set(Self::MARKED, on);
    }

    /// Returns true if several rows claim this one, which should belong to one.
    pub(crate) fn is_shared(self) -> bool {
        self.0 & Self::SHARED != 0
    }

    pub(crate) fn set_shared(&mut self, on: bool) {
        self.set(Self::SHARED, on);
    }

    /// Returns true if the row has a [`Problem`](crate::Problem).
    pub(crate) fn is_troubled(self) -> bool {
        self.0 & Self::TROUBLED != 0
    }

    pub(crate) fn set_troubled(&mut self, on: bool) {
        self.set(Self::TROUBLED, on);
    }
}
