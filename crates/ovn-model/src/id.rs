//! Handles of rows.

use std::fmt;
use std::num::NonZeroU32;

/// A small number that identifies a row.
pub(crate) trait Handle: Copy + Ord + fmt::Debug {
    /// Returns the handle of a slot.
    fn from_index(index: usize) -> Self;
    /// Returns the slot of a handle.
    fn index(self) -> usize;
}

macro_rules! handles {
    ($($(#[$doc:meta])* $name:ident,)*) => {$(
        $(#[$doc])*
        ///
        /// It identifies the row as long as the row or a reference to it exists, and is not used again before
        /// [`take_changes`](crate::Store::take_changes) has reported its end.
        #[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(NonZeroU32);

        impl Handle for $name {
            fn from_index(index: usize) -> Self {
                let number = u32::try_from(index + 1).ok().and_then(NonZeroU32::new);
                Self(number.expect("four billion rows do not fit into memory"))
            }

            fn index(self) -> usize {
                self.0.get() as usize - 1
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self.0)
            }
        }
    )*};
}

handles! {
    /// The handle of a row of `Logical_Switch`.
    SwitchId,
    /// The handle of a row of `Logical_Switch_Port`.
    PortId,
    /// The handle of a row of `Logical_Router`.
    RouterId,
    /// The handle of a row of `Logical_Router_Port`.
    RouterPortId,
    /// The handle of a row of `Load_Balancer`.
    LoadBalancerId,
    /// The handle of a row of `Load_Balancer_Group`.
    GroupId,
    /// The handle of a row of `NAT`.
    NatId,
    /// The handle of the row of `NB_Global`.
    NbGlobalId,
}
