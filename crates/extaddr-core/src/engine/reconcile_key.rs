//! The subjects that are reconciled as one: a port, or a conversion.

use std::sync::Arc;

use crate::resolve::Place;

/// A subject with its own rows, which are changed together.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ReconcileKey {
    /// A port, by its name: its overrides and drain rows.
    Port(Arc<str>),
    /// The conversion of an address on a router, for all ports that have it.
    Conversion(Place),
}
