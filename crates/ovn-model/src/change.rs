//! Changes that batches made, in terms of what depends on them.

use std::collections::HashSet;
use std::mem;
use std::net::IpAddr;
use std::sync::Arc;

use ovsdb_protocol::Uuid;

use crate::id::{RouterId, SwitchId};

/// What committed batches changed since it was asked for last.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Changes {
    /// Everything may have changed: this is the first content, or more changed than is worth listing.
    /// The list is empty then.
    pub everything: bool,
    /// What changed, sorted, each once.
    pub list: Vec<Change>,
}

/// Something that changed. A handle in it may be of a row that is gone.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Change {
    /// A switch port of that name appeared, changed, went, or moved to or off a switch. A renamed port
    /// has two of these.
    Port(Arc<str>),
    /// A switch or router itself or how it is joined to others: its `router` ports or router ports,
    /// their networks, gateway, peer and names, the router's chassis and wish, and its NAT rows whose
    /// logical address is a whole network.
    Topology(Node),
    /// A VIP on the address, a backend at it, or a NAT row with that external or host-sized logical
    /// address appeared, changed or went on the router. A [host's `snat` row](crate::Nat::is_host_snat)
    /// is told here by its logical address only.
    Address {
        /// The router.
        router: RouterId,
        /// The address.
        address: IpAddr,
    },
    /// A [host's `snat` row](crate::Nat::is_host_snat) with that external address appeared, changed or
    /// went on the router. Thousands may share the address, and are no concern of each other.
    HostSnat {
        /// The router.
        router: RouterId,
        /// The address.
        address: IpAddr,
    },
    /// A load balancer, by its UUID, appeared, changed, went, or was put on or taken off a router.
    Balancer(Uuid),
    /// A tagged NAT row for the port of that name appeared, changed, went or moved to or off a router.
    /// Rows with tags but none for a port have the empty name.
    Tagged(Arc<str>),
}

/// A node of the logical network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Node {
    /// A logical switch.
    Switch(SwitchId),
    /// A logical router.
    Router(RouterId),
}

impl Changes {
    /// Tells whether nothing changed.
    pub fn is_empty(&self) -> bool {
        !self.everything && self.list.is_empty()
    }
}

/// Collects changes until they are committed, then until they are taken.
#[derive(Debug)]
pub(crate) struct Recorder {
    pending: Gathered,
    committed: Gathered,
}

#[derive(Debug, Default)]
struct Gathered {
    everything: bool,
    list: HashSet<Change>,
}

/// The first commit changes everything.
impl Default for Recorder {
    fn default() -> Self {
        Self { pending: Gathered { everything: true, list: HashSet::new() }, committed: Gathered::default() }
    }
}

impl Recorder {
    /// Tells whether recording is pointless now.
    pub(crate) fn knows_all(&self) -> bool {
        self.pending.everything
    }

    pub(crate) fn note(&mut self, change: Change) {
        if !self.pending.everything {
            self.pending.list.insert(change);
        }
    }

    /// Notes a change of the topology at a node, if there is one.
    pub(crate) fn topology(&mut self, node: Option<Node>) {
        if let Some(node) = node {
            self.note(Change::Topology(node));
        }
    }

    /// Gives up the list where it is longer than `limit`.
    pub(crate) fn commit(&mut self, limit: usize) {
        let pending = mem::take(&mut self.pending);
        self.committed.everything |= pending.everything;
        self.committed.list.extend(pending.list);
        if self.committed.everything || self.committed.list.len() > limit {
            self.committed = Gathered { everything: true, list: HashSet::new() };
        }
    }

    /// Bounds what an unfinished batch gathers.
    pub(crate) fn bound(&mut self, limit: usize) {
        if self.pending.list.len() > limit {
            self.pending = Gathered { everything: true, list: HashSet::new() };
        }
    }

    pub(crate) fn take(&mut self) -> Changes {
        let committed = mem::take(&mut self.committed);
        let mut list: Vec<_> = committed.list.into_iter().collect();
        list.sort_unstable();
        Changes { everything: committed.everything, list }
    }
}
