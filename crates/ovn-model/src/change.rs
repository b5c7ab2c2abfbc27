//! Changes by batches, in terms of the ports, routers and addresses concerned.

use std::collections::HashSet;
use std::mem;
use std::net::IpAddr;
use std::sync::Arc;

use ovsdb_protocol::Uuid;

use crate::id::{RouterId, SwitchId};

/// The changes by committed batches since they were last taken.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Changes {
    /// Everything may have changed: this is the first content, or there are too many changes to list. The list is empty
    /// then.
    pub everything: bool,
    /// The changes, sorted, without duplicates.
    pub list: Vec<Change>,
}

/// One change. A handle in it may belong to a deleted row.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Change {
    /// A switch port of that name appeared, changed, disappeared, or moved to or off a switch. A renamed port has two
    /// of these.
    Port(Arc<str>),
    /// A switch or router itself or how it is joined to others: its `router` ports or router ports, their networks,
    /// gateway, peer and names, the router's chassis and intent, and its NAT rows whose logical address is a whole
    /// network.
    Topology(Node),
    /// A VIP on the address, a backend at it, or a NAT row with that external or single logical address appeared,
    /// changed or disappeared on the router. A [host's `snat` row](crate::Nat::is_host_snat) is only reported here by
    /// its logical address.
    Address {
        /// The router.
        router: RouterId,
        /// The address.
        address: IpAddr,
    },
    /// A [host's `snat` row](crate::Nat::is_host_snat) with that external address appeared, changed or disappeared on
    /// the router. Thousands may share the address, and do not affect each other.
    HostSnat {
        /// The router.
        router: RouterId,
        /// The address.
        address: IpAddr,
    },
    /// A load balancer, by its UUID, appeared, changed, disappeared, or was attached to or detached from a router.
    Balancer(Uuid),
    /// A tagged NAT row for the port of that name appeared, changed, disappeared or moved to or off a router. Rows with
    /// tags but without a port tag have the empty name.
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

/// A collection of changes until they are committed, then until they are taken.
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

/// Everything counts as changed by the first commit.
impl Default for Recorder {
    fn default() -> Self {
        Self { pending: Gathered { everything: true, list: HashSet::new() }, committed: Gathered::default() }
    }
}

impl Recorder {
    /// Returns true if everything is recorded as changed already.
    pub(crate) fn knows_all(&self) -> bool {
        self.pending.everything
    }

    pub(crate) fn note(&mut self, change: Change) {
        if !self.pending.everything {
            self.pending.list.insert(change);
        }
    }

    /// Records a change of the topology at a node, if there is one.
    pub(crate) fn topology(&mut self, node: Option<Node>) {
        if let Some(node) = node {
            self.note(Change::Topology(node));
        }
    }

    /// Records everything as changed with the next commit.
    pub(crate) fn record_everything(&mut self) {
        self.pending = Gathered { everything: true, list: HashSet::new() };
    }

    /// Commits the pending changes, and replaces the list by "everything" if it is longer than `limit`.
    pub(crate) fn commit(&mut self, limit: usize) {
        let pending = mem::take(&mut self.pending);
        self.committed.everything |= pending.everything;
        self.committed.list.extend(pending.list);
        if self.committed.everything || self.committed.list.len() > limit {
            self.committed = Gathered { everything: true, list: HashSet::new() };
        }
    }

    /// Bounds the changes of an unfinished batch.
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
