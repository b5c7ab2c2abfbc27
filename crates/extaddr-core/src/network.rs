//! The Northbound database as an owner sees it: which rows are its own, and which are foreign.

use ovn_model::Store;

use crate::ownership::Owner;

/// The rows, and the owner that tells its own from foreign ones.
#[derive(Clone, Copy, Debug)]
pub struct Network<'a, 'o> {
    /// The rows.
    pub store: &'a Store,
    /// The owner.
    pub owner: &'o Owner,
}
