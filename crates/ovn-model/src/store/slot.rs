//! The slot of a row in its table.

use bitflags::bitflags;
use ovsdb_protocol::{Table, Uuid};

use crate::id::Handle;

/// A row that others may refer to.
pub(crate) trait Referenced {
    /// Returns true if another row refers to this one.
    fn is_referenced(&self) -> bool {
        false
    }
}

/// A row, or a placeholder for one that is referenced before it arrives.
pub(crate) trait Slot: Table + Clone + Referenced {
    type Id: Handle;

    fn uuid(&self) -> Uuid;
    fn meta(&self) -> Meta;
    fn meta_mut(&mut self) -> &mut Meta;

    /// Returns true if the row exists.
    fn is_present(&self) -> bool {
        self.meta().contains(Meta::PRESENT)
    }
}

bitflags! {
    /// Flags of a slot.
    #[derive(Clone, Copy, Debug, Default)]
    pub(crate) struct Meta: u8 {
        /// The row exists, and not only references to it.
        const PRESENT = 1;
        /// The snapshot being received has the row.
        const MARKED = 2;
        /// Several rows have this one in their sets, although it should belong to one.
        const SHARED = 4;
        /// The row has a [`Problem`](crate::Problem).
        const TROUBLED = 8;
    }
}
