//! The indexes by which rows are found.

use std::hash::{BuildHasher, Hash};
use std::net::IpAddr;
use std::sync::Arc;

use foldhash::fast::RandomState;
use smallvec::SmallVec;

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
    /// The ports of type `switch` of a switch.
    pub(crate) switch_type: Index<SwitchId, PortId>,
    /// The ports of a switch that lead to physical networks.
    pub(crate) physical: Index<SwitchId, PortId>,
    /// By the port of another switch that a port of type `switch` names.
    pub(crate) switch_peers: Index<Box<str>, PortId>,
    /// The ports of type `virtual`, by the ports that may have their address.
    pub(crate) virtuals: Index<Box<str>, PortId>,
    /// The instances' ports, by switch and address.
    addresses: Finder<PortId>,
    pub(crate) peers: Index<Box<str>, RouterPortId>,
    /// By the addresses of their VIPs.
    vips: Finder<LoadBalancerId>,
    pub(crate) backends: Index<IpAddr, LoadBalancerId>,
    pub(crate) externals: Index<(RouterId, IpAddr), NatId>,
    pub(crate) host_snats: Index<(RouterId, IpAddr), NatId>,
    /// Those whose external address is a network.
    pub(crate) external_networks: Index<RouterId, NatId>,
    pub(crate) network_snats: Index<RouterId, NatId>,
    /// By router and single address inside: of each override there is one.
    logicals: Finder<NatId>,
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

    /// Returns the instances' ports on a switch that have an address, static or allocated.
    pub(crate) fn ports_with_address(
        &self,
        slabs: &Slabs,
        switch: SwitchId,
        address: IpAddr,
    ) -> impl Iterator<Item = PortId> {
        let has = move |id| {
            let port = slabs.ports.slot(id);
            port.switch == Some(switch) && assigned(port).any(|other| other == address)
        };
        self.addresses.find(self.hash(switch, address), has)
    }

    /// Files a port of type `virtual` by the ports that may have its address.
    fn readopt(&mut self, edit: &Edit<'_, Port>) {
        let [from, to] = [edit.old, edit.new].map(|port| {
            let mut parents: Vec<_> = port.into_iter().flat_map(Port::virtual_parents).collect();
            parents.sort_unstable();
            parents.dedup();
            parents
        });
        for parent in from.iter().filter(|parent| !to.contains(parent)) {
            self.virtuals.remove(&**parent, edit.id);
        }
        for parent in to.iter().filter(|parent| !from.contains(parent)) {
            self.virtuals.insert(&**parent, edit.id, |name| name.into());
        }
    }

    /// Files a port by its addresses, under each of them once.
    fn readdress(&mut self, slabs: &Slabs, id: PortId, old: Option<&Port>, new: Option<&Port>) {
        let is_same = |old: &Port, new: &Port| {
            (old.switch, old.kind.is_instance()) == (new.switch, new.kind.is_instance())
                && old.addresses == new.addresses
                && old.dynamic_addresses == new.dynamic_addresses
        };
        if old.zip(new).is_some_and(|(old, new)| is_same(old, new)) {
            return;
        }
        let [from, to] = [old, new].map(|port| {
            let mut hashes = SmallVec::<[u64; 2]>::new();
            if let Some((switch, port)) = port.and_then(|port| Some((port.switch?, port)))
                && port.kind.is_instance()
            {
                hashes.extend(assigned(port).map(|address| self.hash(switch, address)));
            }
            if hashes.len() > 1 {
                hashes.sort_unstable();
                hashes.dedup();
            }
            hashes
        });
        if !to.is_empty() && self.addresses.is_empty() {
            // The switches of a snapshot come after all ports: to grow step by step takes as long as all the rest.
            self.addresses.reserve(slabs.ports.len());
        }
        self.addresses.moved_all(id, &from, &to);
    }

    /// Returns the load balancers with a VIP on the address, sorted.
    pub(crate) fn balancers_with_vip(&self, slabs: &Slabs, address: IpAddr) -> SmallVec<[LoadBalancerId; 2]> {
        let has = |id| !slabs.balancers.slot(id).vips_on(address).is_empty();
        sorted(self.vips.find(self.hash((), address), has))
    }

    /// Returns the NAT rows of a router whose logical prefix is just that address, sorted.
    pub(crate) fn nats_by_logical(
        &self,
        slabs: &Slabs,
        router: RouterId,
        address: IpAddr,
    ) -> SmallVec<[NatId; 2]> {
        let is = |id| {
            let nat = slabs.nats.slot(id);
            nat.router == Some(router) && nat.logical_host() == Some(address)
        };
        sorted(self.logicals.find(self.hash(router, address), is))
    }

    /// Returns the hash of an address at a place.
    fn hash(&self, place: impl Hash, address: IpAddr) -> u64 {
        // A number is hashed at once, and an address byte by byte.
        let number = match address {
            IpAddr::V4(address) => u128::from(u32::from(address)),
            IpAddr::V6(address) => u128::from(address),
        };
        self.hasher.hash_one((place, number))
    }

    /// Returns the router ports of that name.
    pub(crate) fn router_ports_named(&self, slabs: &Slabs, name: &str) -> impl Iterator<Item = RouterPortId> {
        let is = move |id| *slabs.router_ports.slot(id).name == *name;
        self.router_port_names.find(self.hasher.hash_one(name), is)
    }
}

/// Sorts what a finder finds, each once: a row is filed twice under a hash that two of its addresses share.
fn sorted<I: Ord>(found: impl Iterator<Item = I>) -> SmallVec<[I; 2]> {
    let mut found: SmallVec<_> = found.collect();
    found.sort_unstable();
    found.dedup();
    found
}

/// Returns the addresses of a port, static and allocated.
pub(crate) fn assigned(port: &Port) -> impl Iterator<Item = IpAddr> {
    port.addresses.all_assigned().chain(port.dynamic_addresses.all_assigned())
}

impl Indexed for Switch {}
impl Indexed for Router {}
impl Indexed for Group {}

impl Indexed for NbGlobal {}

impl Indexed for Port {
    fn reindex(indexes: &mut Indexes, slabs: &Slabs, edit: &Edit<'_, Self>) {
        let [from, to] = edit.map(|port| Some(indexes.hasher.hash_one(&*port.name)));
        indexes.port_names.moved(edit.id, from, to);
        let [from, to] = edit.map(Self::leads_to);
        indexes.leading.moved(edit.id, from, to, |name| name.into());
        let file = |index: &mut Index<SwitchId, PortId>, is_of_kind: fn(PortKind) -> bool| {
            let [from, to] = edit.map(|port| port.switch.filter(|_| is_of_kind(port.kind)));
            index.moved(edit.id, from.as_ref(), to.as_ref(), |id| *id);
        };
        file(&mut indexes.router_type, |kind| kind == PortKind::Router);
        file(&mut indexes.switch_type, |kind| kind == PortKind::Switch);
        file(&mut indexes.physical, PortKind::is_physical);
        let [from, to] = edit.map(Self::switch_peer);
        indexes.switch_peers.moved(edit.id, from, to, |name| name.into());
        if edit.rows().any(|port| port.kind == PortKind::Virtual) {
            indexes.readopt(edit);
        }
        indexes.readdress(slabs, edit.id, edit.old, edit.new);
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
        let vips = addresses(|vip, list| list.push(vip.endpoint.address));
        let [from, to] = vips.map(|vips| {
            let mut hashes: Vec<_> = vips.iter().map(|address| indexes.hash((), *address)).collect();
            hashes.sort_unstable();
            hashes
        });
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
        let [from, to] = edit.map(|nat| nat.router.filter(|_| nat.external_network().is_some()));
        indexes.external_networks.moved(edit.id, from.as_ref(), to.as_ref(), |router| *router);
        let [from, to] = edit.map(|nat| nat.router.filter(|_| nat.is_network_snat()));
        indexes.network_snats.moved(edit.id, from.as_ref(), to.as_ref(), |router| *router);
        let [from, to] = edit.map(|nat| Some(indexes.hash(nat.router?, nat.logical_host()?)));
        indexes.logicals.moved(edit.id, from, to);
        let [from, to] = edit.map(Self::tagged);
        if from != to {
            // The port's own name is as good as a copy of it, and there already.
            let known = to.and_then(|name| indexes.port_named(slabs, name));
            let known = known.map(|port| slabs.ports.slot(port).name.clone());
            indexes.tagged.moved(edit.id, from, to, |name| known.unwrap_or_else(|| Arc::from(name)));
        }
    }
}
