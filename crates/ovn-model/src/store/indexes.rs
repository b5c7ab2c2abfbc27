//! What rows are found by.

use std::hash::BuildHasher;
use std::net::IpAddr;
use std::sync::Arc;

use foldhash::fast::RandomState;

use super::finder::Finder;
use super::index::Index;
use super::row::{Edit, Row};
use super::slabs::Slabs;
use crate::id::{LoadBalancerId, NatId, PortId, RouterId, RouterPortId, SwitchId};
use crate::tables::{Group, LoadBalancer, Nat, NbGlobal, Port, PortKind, Router, RouterPort, Switch};
use crate::vip::Vip;

/// From names, addresses and the like to the rows that have them.
#[derive(Debug, Default)]
pub(crate) struct Indexes {
    hasher: RandomState,
    port_names: Finder<PortId>,
    router_port_names: Finder<RouterPortId>,
    /// By the router port that a switch port leads to.
    pub(crate) leading: Index<Box<str>, PortId>,
    /// The ports of type `router` of a switch.
    pub(crate) router_type: Index<SwitchId, PortId>,
    pub(crate) peers: Index<Box<str>, RouterPortId>,
    pub(crate) vips: Index<IpAddr, LoadBalancerId>,
    pub(crate) backends: Index<IpAddr, LoadBalancerId>,
    pub(crate) externals: Index<(RouterId, IpAddr), NatId>,
    pub(crate) host_snats: Index<(RouterId, IpAddr), NatId>,
    pub(crate) logicals: Index<(RouterId, IpAddr), NatId>,
    /// By the name of the port that a tagged row is for.
    pub(crate) tagged: Index<Arc<str>, NatId>,
}

/// What rows of a type are found by: one function for a table.
pub(crate) trait Indexed: Row {
    /// Adapts the indexes to a changed row.
    fn reindex(_indexes: &mut Indexes, _slabs: &Slabs, _edit: &Edit<'_, Self>) {}
}

impl Indexes {
    /// Returns the switch port of that name; of several, the one with the least UUID.
    pub(crate) fn port_named(&self, slabs: &Slabs, name: &str) -> Option<PortId> {
        let is = |id| *slabs.ports.slot(id).name == *name;
        let named = self.port_names.find(self.hasher.hash_one(name), is);
        named.min_by_key(|id| slabs.ports.slot(*id).uuid)
    }

    /// Returns the router ports of that name.
    pub(crate) fn router_ports_named(&self, slabs: &Slabs, name: &str) -> impl Iterator<Item = RouterPortId> {
        let is = move |id| *slabs.router_ports.slot(id).name == *name;
        self.router_port_names.find(self.hasher.hash_one(name), is)
    }
}

impl Indexed for Switch {}
impl Indexed for Router {}
impl Indexed for Group {}

impl Indexed for NbGlobal {}

impl Indexed for Port {
    fn reindex(indexes: &mut Indexes, _: &Slabs, edit: &Edit<'_, Self>) {
        let [from, to] = edit.map(|port| Some(indexes.hasher.hash_one(&*port.name)));
        indexes.port_names.moved(edit.id, from, to);
        let [from, to] = edit.map(Self::leads_to);
        indexes.leading.moved(edit.id, from, to, |name| name.into());
        let [from, to] = edit.map(|port| port.switch.filter(|_| port.kind == PortKind::Router));
        indexes.router_type.moved(edit.id, from.as_ref(), to.as_ref(), |id| *id);
    }
}

impl Indexed for RouterPort {
    fn reindex(indexes: &mut Indexes, _: &Slabs, edit: &Edit<'_, Self>) {
        let [from, to] = edit.map(|port| Some(indexes.hasher.hash_one(&*port.name)));
        indexes.router_port_names.moved(edit.id, from, to);
        let [from, to] = edit.map(|port| port.peer.as_deref());
        indexes.peers.moved(edit.id, from, to, |name| name.into());
    }
}

impl Indexed for LoadBalancer {
    fn reindex(indexes: &mut Indexes, _: &Slabs, edit: &Edit<'_, Self>) {
        let addresses = |of: fn(&Vip, &mut Vec<IpAddr>)| {
            [edit.old, edit.new].map(|balancer| {
                let mut addresses = Vec::new();
                let vips = balancer.into_iter().flat_map(|balancer| balancer.vips.iter());
                vips.for_each(|vip| of(vip, &mut addresses));
                addresses.sort_unstable();
                addresses.dedup();
                addresses
            })
        };
        let [from, to] = addresses(|vip, list| list.push(vip.endpoint.address));
        indexes.vips.moved_all(edit.id, &from, &to);
        let [from, to] = addresses(|vip, list| list.extend(vip.backends.iter().map(|b| b.address)));
        indexes.backends.moved_all(edit.id, &from, &to);
    }
}

impl Indexed for Nat {
    fn reindex(indexes: &mut Indexes, slabs: &Slabs, edit: &Edit<'_, Self>) {
        let copy = |key: &(RouterId, IpAddr)| *key;
        for (index, is_host_snat) in [(&mut indexes.externals, false), (&mut indexes.host_snats, true)] {
            let [from, to] = edit
                .map(|nat| nat.router.zip(nat.external_ip()).filter(|_| nat.is_host_snat() == is_host_snat));
            index.moved(edit.id, from.as_ref(), to.as_ref(), copy);
        }
        let [from, to] = edit.map(|nat| nat.router.zip(nat.logical_host()));
        indexes.logicals.moved(edit.id, from.as_ref(), to.as_ref(), copy);
        let [from, to] = edit.map(Self::tagged);
        if from != to {
            // The port's own name is as good as a copy of it, and there already.
            let known = to.and_then(|name| indexes.port_named(slabs, name));
            let known = known.map(|port| slabs.ports.slot(port).name.clone());
            indexes.tagged.moved(edit.id, from, to, |name| known.unwrap_or_else(|| Arc::from(name)));
        }
    }
}
