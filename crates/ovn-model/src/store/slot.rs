//! A place of a row in its table.

use bitflags::bitflags;
use ovsdb_protocol::{Table, Uuid};

use crate::id::Handle;

/// What other rows may refer to.
pub(crate) trait Referenced {
    /// Returns true if another row refers to this one.
    fn is_referenced(&self) -> bool {
        false
    }
}

/// A row, or the place of one that is referenced before it arrived.
pub(crate) trait Slot: Table + Clone + Referenced {
    type Id: Handle;

    fn uuid(&self) -> Uuid;
    fn meta(&self) -> Meta;
    fn meta_mut(&mut self) -> &mut Meta;

    /// Returns true if the row is there.
    fn is_present(&self) -> bool {
        self.meta().contains(Meta::PRESENT)
    }
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
