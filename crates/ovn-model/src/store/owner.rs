//! Owners of rows that should be in one set, but may be in several.
//!
//! The schema lets two switches hold the same port. It happens between the two halves of a move, and
//! then the answer must not depend on the order of the halves.

use ovsdb_protocol::Uuid;

use super::dependents::Recorded;
use super::indexes::{Indexed, Indexes};
use super::row::Row;
use super::slabs::Slabs;
use super::slot::Slot;

/// A row type whose rows should be in the set of one row, but may be in those of several.
pub(crate) trait Owned: Indexed + Recorded {
    type Owner: Row;

    fn owner(&self) -> Option<<Self::Owner as Slot>::Id>;
    fn set_owner(&mut self, owner: Option<<Self::Owner as Slot>::Id>);
    fn members(owner: &Self::Owner) -> &[Self::Id];

    /// Updates the indexes after a change of a row's owner, which was `from`: the part of [`Indexed::reindex`] that
    /// depends on it.
    fn refile(
        _indexes: &mut Indexes,
        _slabs: &Slabs,
        _id: Self::Id,
        _from: Option<<Self::Owner as Slot>::Id>,
    ) {
    }
}

/// Returns the owner of a row after a further one claims it, and whether it is shared now.
pub(crate) fn claim<O: Copy + Eq>(
    (owner, shared): (Option<O>, bool),
    claimant: O,
    uuid: impl Fn(O) -> Uuid,
) -> (Option<O>, bool) {
    match owner {
        Some(owner) if owner != claimant => {
            (Some(if uuid(owner) < uuid(claimant) { owner } else { claimant }), true)
        }
        _ => (Some(claimant), shared),
    }
}

/// Returns the owner of a row after `claimant` gives it up, and whether it is still shared. `left` are the remaining
/// claimants; they are only computed if it is shared.
pub(crate) fn release<O: Copy + Eq>(
    (owner, shared): (Option<O>, bool),
    claimant: O,
    left: impl Iterator<Item = O>,
    uuid: impl Fn(O) -> Uuid,
) -> (Option<O>, bool) {
    if shared {
        let mut count = 0;
        let owner = left.inspect(|_| count += 1).min_by_key(|owner| uuid(*owner));
        (owner, count > 1)
    } else {
        (owner.filter(|owner| *owner != claimant), false)
    }
}
