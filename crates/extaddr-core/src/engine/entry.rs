//! The entry of a port. There may be as many of these as ports.

use std::collections::BTreeMap;
use std::time::Instant;

use ovn_model::{Family, NatId, SwitchId};
use smallvec::SmallVec;
use uuid::Uuid;

use crate::resolve::{Decision, Dependency, Place};

/// The entry of a port.
#[derive(Debug, Default)]
pub(super) struct Entry {
    pub(super) decisions: SmallVec<[Decision; 1]>,
    pub(super) switch: Option<SwitchId>,
    /// The dependencies of the decisions, sorted.
    pub(super) watched: Box<[Dependency]>,
    /// The places where it would have rows, each with an address that it watches. The first port by name gets them.
    pub(super) claimed: SmallVec<[Place; 1]>,
    /// Only few ports have this.
    pub(super) leaving: Option<Box<Leaving>>,
}

/// The rows of a port that expire with time.
#[derive(Debug, Default)]
pub(super) struct Leaving {
    /// The times at which the forwards of addresses were lost.
    pub(super) lost: BTreeMap<Loss, Instant>,
    /// The rows whose forwards may still come back.
    pub(super) held: Vec<NatId>,
    /// The time at which to decide again.
    pub(super) due: Option<Instant>,
}

/// A row or address whose forward is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Loss {
    Override(Family),
    /// A drain row.
    Drain(Uuid),
}

/// An entry under construction.
#[derive(Debug, Default)]
pub(super) struct Draft {
    pub(super) decisions: Vec<Decision>,
    pub(super) switch: Option<SwitchId>,
    pub(super) watched: Vec<Dependency>,
    pub(super) claimed: SmallVec<[Place; 1]>,
    pub(super) leaving: Leaving,
}

impl Entry {
    /// Creates an entry that has only expiring rows.
    pub(super) fn leaving(leaving: Leaving) -> Self {
        Self { leaving: Some(Box::new(leaving)), ..Self::default() }
    }

    /// Returns whether the decisions have a dependency.
    pub(super) fn watches(&self, watch: &Dependency) -> bool {
        self.watched.binary_search(watch).is_ok()
    }

    /// Returns the rows whose forwards may still come back.
    pub(super) fn held(&self) -> &[NatId] {
        self.leaving.as_ref().map_or(&[], |leaving| &leaving.held)
    }

    /// Returns the time at which a forward was lost.
    pub(super) fn lost(&self, loss: Loss) -> Option<Instant> {
        self.leaving.as_ref()?.lost.get(&loss).copied()
    }

    /// Returns the time at which to decide again.
    pub(super) fn due(&self) -> Option<Instant> {
        self.leaving.as_ref()?.due
    }
}

impl From<Draft> for Entry {
    fn from(draft: Draft) -> Self {
        let Draft { decisions, switch, watched, claimed, leaving } = draft;
        let leaves = !leaving.lost.is_empty() || !leaving.held.is_empty() || leaving.due.is_some();
        Self {
            decisions: decisions.into_iter().collect(),
            switch,
            watched: watched.into(),
            claimed,
            leaving: leaves.then(|| Box::new(leaving)),
        }
    }
}
