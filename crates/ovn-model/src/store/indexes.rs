//! The indexes by which rows are found.

use std::hash::{BuildHasher, Hash};
use std::net::IpAddr;

use foldhash::fast::RandomState;
use smallvec::SmallVec;

use super::finder::Finder;
use super::index::Index;
use super::row::{Edit, Row};
use super::sets::{self, IdSet};
use super::slabs::Slabs;
use crate::id::{LoadBalancerId, NatId, PortId, RouterId, RouterPortId, SwitchId};
use crate::tables::{Group, LoadBalancer, Nat, NbGlobal, Port, PortKind, Router, RouterPort, Switch};
use crate::vip::Vip;

/// Indexes from names, addresses and other keys to the rows that have them.
#[derive(Debug, Default)]
pub(crate) struct Indexes {
    hasher: RandomState,
    port_names: Finder<PortId>,
    router_port_names: Finder<RouterPortId>,
    /// The switch ports, by the router port that they lead to.
    pub(crate) leading: Index<Box<str>, PortId>,
    /// The ports of type `router` of a switch.
    pub(crate) router_type: Index<SwitchId, PortId>,
    /// The ports of type `switch` of a switch.
    pub(crate) switch_type: Index<SwitchId, PortId>,
    /// The ports of a switch that lead to physical networks.
    pub(crate) physical: Index<SwitchId, PortId>,
    /// The ports of type `switch`, by the port of another switch that they name.
    pub(crate) switch_peers: Index<Box<str>, PortId>,
    /// The ports of type `virtual`, by the ports that may have their address.
    pub(crate) virtuals: Index<Box<str>, PortId>,
    /// The instances' ports, by switch and address.
    addresses: Finder<PortId>,
    pub(crate) peers: Index<Box<str>, RouterPortId>,
    /// The load balancers, by the addresses of their VIPs.
    vips: Finder<LoadBalancerId>,
    /// The load balancers, by the addresses of their backends.
    backends: Finder<LoadBalancerId>,
    /// The number of load balancers with options: mostly there are none.
    pub(crate) balancers_with_options: usize,
    pub(crate) externals: Index<(RouterId, IpAddr), NatId>,
    pub(crate) host_snats: Index<(RouterId, IpAddr), NatId>,
    /// The NAT rows whose external address is a network.
    pub(crate) external_networks: Index<RouterId, NatId>,
    pub(crate) network_snats: Index<RouterId, NatId>,
    /// The NAT rows, by router and single internal address: each override has an entry.
    logicals: Finder<NatId>,
    /// The tagged rows that are for a port, by its name.
    tagged: Finder<NatId>,
    /// The tagged rows without a port, of which there may be many.
    pub(crate) portless: IdSet<NatId>,
}

/// The keys of rows of a type: one function for each table.
pub(crate) trait Indexed: Row {
    /// Updates the indexes for a changed row.
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

    /// Indexes a port of type `virtual` by the ports that may have its address.
    fn index_virtual_parents(&mut self, edit: &Edit<'_, Port>) {
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

    /// Updates the indexes of a port that depend on its switch.
    pub(super) fn place_port(
        &mut self,
        slabs: &Slabs,
        id: PortId,
        placed: [Option<(&Port, Option<SwitchId>)>; 2],
    ) {
        let file = |index: &mut Index<SwitchId, PortId>, is_of_kind: fn(PortKind) -> bool| {
            let [from, to] = placed
                .map(|placed| placed.and_then(|(port, switch)| switch.filter(|_| is_of_kind(port.kind))));
            index.moved(id, from.as_ref(), to.as_ref(), |id| *id);
        };
        file(&mut self.router_type, |kind| kind == PortKind::Router);
        file(&mut self.switch_type, |kind| kind == PortKind::Switch);
        file(&mut self.physical, PortKind::is_physical);
        self.index_addresses(slabs, id, placed);
    }

    /// Indexes a port by each of its addresses once.
    fn index_addresses(&mut self, slabs: &Slabs, id: PortId, placed: [Option<(&Port, Option<SwitchId>)>; 2]) {
        let is_same = |(old, from): (&Port, _), (new, to): (&Port, _)| {
            from == to && old.kind.is_instance() == new.kind.is_instance() && old.addresses == new.addresses
        };
        if let [Some(old), Some(new)] = placed
            && is_same(old, new)
        {
            return;
        }
        let [from, to] = placed.map(|placed| {
            let mut hashes = SmallVec::<[u64; 2]>::new();
            if let Some((port, Some(switch))) = placed
                && port.kind.is_instance()
            {
                let mut file = |address| hashes.push(self.hash(switch, address));
                port.addresses().for_each_assigned(&mut file);
                port.dynamic_addresses().for_each_assigned(&mut file);
            }
            if hashes.len() > 1 {
                hashes.sort_unstable();
                hashes.dedup();
            }
            hashes
        });
        if !to.is_empty() && self.addresses.is_empty() {
            // The switches of a snapshot come after all ports: growing step by step would take as long as all the rest.
            self.addresses.reserve(slabs.ports.len());
        }
        self.addresses.moved_all(id, &from, &to);
    }

    /// Returns the load balancers with a VIP on the address, sorted.
    pub(crate) fn balancers_with_vip(&self, slabs: &Slabs, address: IpAddr) -> IdSet<LoadBalancerId> {
        let has = |id| !slabs.balancers.slot(id).vips.on(address).is_empty();
        sorted(self.vips.find(self.hash((), address), has))
    }

    /// Returns the load balancers with a backend at the address, sorted.
    pub(crate) fn balancers_with_backend(&self, slabs: &Slabs, address: IpAddr) -> IdSet<LoadBalancerId> {
        let leads = |vip: &Vip| vip.backends().iter().any(|backend| backend.address == address);
        let has = |id| slabs.balancers.slot(id).vips.iter().any(leads);
        sorted(self.backends.find(self.hash((), address), has))
    }

    /// Returns the NAT rows of a router whose logical prefix is that single address, sorted.
    pub(crate) fn nats_by_logical(&self, slabs: &Slabs, router: RouterId, address: IpAddr) -> IdSet<NatId> {
        let is = |id| {
            let nat = slabs.nats.slot(id);
            nat.router == Some(router) && nat.logical_host() == Some(address)
        };
        sorted(self.logicals.find(self.hash(router, address), is))
    }

    /// Returns the NAT rows tagged with the port of that name, sorted; for the empty name, those without a port tag.
    pub(crate) fn nats_tagged(&self, slabs: &Slabs, port: &str) -> IdSet<NatId> {
        if port.is_empty() {
            return self.portless.clone();
        }
        let is = |id| slabs.nats.slot(id).tagged() == Some(port);
        sorted(self.tagged.find(self.hasher.hash_one(port), is))
    }

    /// Updates the indexes of a NAT row that depend on its router.
    pub(super) fn place_nat(&mut self, _: &Slabs, id: NatId, placed: [Option<(&Nat, Option<RouterId>)>; 2]) {
        let on = placed.map(|placed| placed.and_then(|(nat, router)| Some((nat, router?))));
        let copy = |key: &(RouterId, IpAddr)| *key;
        for (index, is_host_snat) in [(&mut self.externals, false), (&mut self.host_snats, true)] {
            let [from, to] = on.map(|on| {
                let (nat, router) = on.filter(|(nat, _)| nat.is_host_snat() == is_host_snat)?;
                Some((router, nat.external_ip()?))
            });
            index.moved(id, from.as_ref(), to.as_ref(), copy);
        }
        let router_if =
            |is: fn(&Nat) -> bool| on.map(|on| on.filter(|(nat, _)| is(nat)).map(|(_, router)| router));
        let [from, to] = router_if(|nat| nat.external_network().is_some());
        self.external_networks.moved(id, from.as_ref(), to.as_ref(), |router| *router);
        let [from, to] = router_if(Nat::is_network_snat);
        self.network_snats.moved(id, from.as_ref(), to.as_ref(), |router| *router);
        let [from, to] =
            on.map(|on| on.and_then(|(nat, router)| Some(self.hash(router, nat.logical_host()?))));
        self.logicals.moved(id, from, to);
    }

    /// Returns all tagged NAT rows.
    pub(crate) fn all_tagged(&self) -> impl Iterator<Item = NatId> {
        self.tagged.rows().chain(self.portless.iter().copied())
    }

    /// Returns the number of tagged NAT rows.
    pub(crate) fn tagged_count(&self) -> usize {
        self.tagged.len() + self.portless.len()
    }

    /// Returns the hash of an address at a place.
    fn hash(&self, place: impl Hash, address: IpAddr) -> u64 {
        hash(&self.hasher, place, address)
    }

    /// Returns the router ports of that name.
    pub(crate) fn router_ports_named(&self, slabs: &Slabs, name: &str) -> impl Iterator<Item = RouterPortId> {
        let is = move |id| *slabs.router_ports.slot(id).name == *name;
        self.router_port_names.find(self.hasher.hash_one(name), is)
    }
}

/// Returns the hash of an address at a place.
fn hash(hasher: &RandomState, place: impl Hash, address: IpAddr) -> u64 {
    // A number is hashed in one step, an address byte by byte.
    let number = match address {
        IpAddr::V4(address) => u128::from(u32::from(address)),
        IpAddr::V6(address) => u128::from(address),
    };
    hasher.hash_one((place, number))
}

/// Sorts the results of a finder and removes duplicates: a row has two entries if two of its addresses share a hash.
fn sorted<I: Ord>(found: impl Iterator<Item = I>) -> IdSet<I> {
    let mut found: IdSet<_> = found.collect();
    found.sort_unstable();
    found.dedup();
    found
}

/// Returns the addresses of a port, static and allocated.
pub(crate) fn assigned(port: &Port) -> impl Iterator<Item = IpAddr> {
    port.addresses().all_assigned().chain(port.dynamic_addresses().all_assigned())
}

impl Indexed for Switch {}
impl Indexed for Router {}
impl Indexed for Group {}

impl Indexed for NbGlobal {}

impl Indexed for Port {
    fn reindex(indexes: &mut Indexes, slabs: &Slabs, edit: &Edit<'_, Self>) {
        let names = edit.map(|port| Some(&*port.name));
        if names[0] != names[1] {
            let [from, to] = names.map(|name| name.map(|name| indexes.hasher.hash_one(name)));
            indexes.port_names.moved(edit.id, from, to);
        }
        let [from, to] = edit.map(Self::leads_to);
        indexes.leading.moved(edit.id, from, to, |name| name.into());
        let [from, to] = edit.map(Self::switch_peer);
        indexes.switch_peers.moved(edit.id, from, to, |name| name.into());
        if edit.rows().any(|port| port.kind == PortKind::Virtual) {
            indexes.index_virtual_parents(edit);
        }
        indexes.place_port(slabs, edit.id, edit.map(|port| Some((port, port.switch))));
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
        let hasher = |address| hash(&indexes.hasher, (), address);
        let hashes = |addresses: fn(&Vip, &mut dyn FnMut(IpAddr))| {
            [edit.old, edit.new].map(|balancer| {
                let mut hashes = SmallVec::<[u64; 4]>::new();
                for vip in balancer.into_iter().flat_map(|balancer| balancer.vips.iter()) {
                    addresses(vip, &mut |address| hashes.push(hasher(address)));
                }
                hashes.sort_unstable();
                hashes.dedup();
                hashes
            })
        };
        let [from, to] = hashes(|vip, each| each(vip.endpoint.address));
        indexes.vips.moved_all(edit.id, &from, &to);
        let [from, to] = hashes(|vip, each| vip.backends().iter().for_each(|backend| each(backend.address)));
        indexes.backends.moved_all(edit.id, &from, &to);
        let [had, has] = edit.map(|balancer| balancer.has_options().then_some(()));
        indexes.balancers_with_options += usize::from(has.is_some());
        indexes.balancers_with_options -= usize::from(had.is_some());
    }
}

impl Indexed for Nat {
    fn reindex(indexes: &mut Indexes, slabs: &Slabs, edit: &Edit<'_, Self>) {
        indexes.place_nat(slabs, edit.id, edit.map(|nat| Some((nat, nat.router))));
        let [from, to] = edit.map(Self::tagged);
        if from != to {
            let hash = |name: &str| (!name.is_empty()).then(|| indexes.hasher.hash_one(name));
            let [from_hash, to_hash] = [from, to].map(|name| name.and_then(hash));
            indexes.tagged.moved(edit.id, from_hash, to_hash);
            sets::set(&mut indexes.portless, edit.id, to == Some(""));
        }
    }
}
