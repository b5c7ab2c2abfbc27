//! What rows are found by.

use std::hash::BuildHasher;
use std::net::IpAddr;
use std::sync::Arc;

use foldhash::fast::RandomState;

use super::finder::Finder;
use super::index::Index;
use super::row::Row;
use super::slabs::Slabs;
use crate::id::{GroupId, LoadBalancerId, NatId, PortId, RouterId, RouterPortId, SwitchId};
use crate::tables::{Group, LoadBalancer, Nat, Port, PortKind, Router, RouterPort, Switch};
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
    /// Adapts the indexes to a row that was `old` and is `new`; `None` stands for a row that is not there.
    fn reindex(indexes: &mut Indexes, slabs: &Slabs, id: Self::Id, old: Option<&Self>, new: Option<&Self>);
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

impl Indexed for Switch {
    fn reindex(_: &mut Indexes, _: &Slabs, _: SwitchId, _: Option<&Self>, _: Option<&Self>) {}
}

impl Indexed for Port {
    fn reindex(indexes: &mut Indexes, _: &Slabs, id: PortId, old: Option<&Self>, new: Option<&Self>) {
        let hash = |port: &Self| indexes.hasher.hash_one(&*port.name);
        indexes.port_names.moved(id, old.map(hash), new.map(hash));
        indexes
            .leading
            .moved(id, old.and_then(Self::leads_to), new.and_then(Self::leads_to), |name| name.into());
        let switch = |port: &Self| port.switch.filter(|_| port.kind == PortKind::Router);
        indexes.router_type.moved(id, old.and_then(switch).as_ref(), new.and_then(switch).as_ref(), |id| *id);
    }
}

impl Indexed for Router {
    fn reindex(_: &mut Indexes, _: &Slabs, _: RouterId, _: Option<&Self>, _: Option<&Self>) {}
}

impl Indexed for RouterPort {
    fn reindex(indexes: &mut Indexes, _: &Slabs, id: RouterPortId, old: Option<&Self>, new: Option<&Self>) {
        let hash = |port: &Self| indexes.hasher.hash_one(&*port.name);
        indexes.router_port_names.moved(id, old.map(hash), new.map(hash));
        let [from, to] = [old, new].map(|port| port.and_then(|port| port.peer.as_deref()));
        indexes.peers.moved(id, from, to, |name| name.into());
    }
}

impl Indexed for LoadBalancer {
    fn reindex(indexes: &mut Indexes, _: &Slabs, id: LoadBalancerId, old: Option<&Self>, new: Option<&Self>) {
        let addresses = |of: fn(&Vip, &mut Vec<IpAddr>)| {
            [old, new].map(|balancer| {
                let mut addresses = Vec::new();
                let vips = balancer.into_iter().flat_map(|balancer| balancer.vips.iter());
                vips.for_each(|vip| of(vip, &mut addresses));
                addresses.sort_unstable();
                addresses.dedup();
                addresses
            })
        };
        let [from, to] = addresses(|vip, list| list.push(vip.endpoint.address));
        indexes.vips.moved_all(id, &from, &to);
        let [from, to] = addresses(|vip, list| list.extend(vip.backends.iter().map(|b| b.address)));
        indexes.backends.moved_all(id, &from, &to);
    }
}

impl Indexed for Group {
    fn reindex(_: &mut Indexes, _: &Slabs, _: GroupId, _: Option<&Self>, _: Option<&Self>) {}
}

impl Indexed for Nat {
    fn reindex(indexes: &mut Indexes, slabs: &Slabs, id: NatId, old: Option<&Self>, new: Option<&Self>) {
        let on = |nat: &Self, address: Option<IpAddr>| nat.router.zip(address);
        let external = |is_host_snat| {
            move |nat: &Self| on(nat, nat.external_ip()).filter(|_| nat.is_host_snat() == is_host_snat)
        };
        let logical = |nat: &Self| on(nat, nat.logical_host());
        let copy = |key: &(RouterId, IpAddr)| *key;
        let keys =
            |key: &dyn Fn(&Self) -> Option<(RouterId, IpAddr)>| [old, new].map(|nat| nat.and_then(key));
        let [from, to] = keys(&external(false));
        indexes.externals.moved(id, from.as_ref(), to.as_ref(), copy);
        let [from, to] = keys(&external(true));
        indexes.host_snats.moved(id, from.as_ref(), to.as_ref(), copy);
        let [from, to] = keys(&logical);
        indexes.logicals.moved(id, from.as_ref(), to.as_ref(), copy);
        let [from, to] = [old, new].map(|nat| nat.and_then(Self::tagged));
        if from != to {
            // The port's own name is as good as a copy of it, and there already.
            let known = to.and_then(|name| indexes.port_named(slabs, name));
            let known = known.map(|port| slabs.ports.slot(port).name.clone());
            indexes.tagged.moved(id, from, to, |name| known.unwrap_or_else(|| Arc::from(name)));
        }
    }
}
