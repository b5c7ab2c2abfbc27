//! The rows, and what leads from one to another.

mod balancers;
mod feed;
mod finder;
mod groups;
mod id_set;
mod index;
mod nats;
mod owner;
mod ports;
mod router_ports;
mod routers;
mod sets;
mod slab;
mod switches;
#[cfg(test)]
mod tests;

use std::fmt;
use std::hash::BuildHasher;
use std::net::IpAddr;
use std::sync::Arc;

use foldhash::fast::RandomState;
use foldhash::{HashSet, HashSetExt};
use ovsdb_protocol::{Batch, Uuid};

use crate::change::{Changes, Recorder};
use crate::id::{GroupId, LoadBalancerId, NatId, PortId, RouterId, RouterPortId, SwitchId};
use crate::problem::{Problem, Problems};
use crate::row::{Group, LoadBalancer, Nat, Port, Router, RouterPort, Switch};
use finder::Finder;
pub(crate) use id_set::IdSet;
use index::Index;
use slab::Slab;

/// A copy of the Northbound tables that matter, fed as the [`Replica`](ovsdb_protocol::Replica) of a
/// session.
///
/// It is consistent after a commit, not before. A handle leads to `None` if its row is not there;
/// slices of handles are sorted, and hold only rows that are there unless said otherwise.
pub struct Store {
    batch: Option<Batch>,
    supported: HashSet<(&'static str, &'static str)>,
    hasher: RandomState,
    switches: Slab<Switch>,
    ports: Slab<Port>,
    routers: Slab<Router>,
    router_ports: Slab<RouterPort>,
    balancers: Slab<LoadBalancer>,
    groups: Slab<Group>,
    nats: Slab<Nat>,
    port_names: Finder<PortId>,
    router_port_names: Finder<RouterPortId>,
    leading: Index<Box<str>, PortId>,
    peers: Index<Box<str>, RouterPortId>,
    vips: Index<IpAddr, LoadBalancerId>,
    backends: Index<IpAddr, LoadBalancerId>,
    externals: Index<(RouterId, IpAddr), NatId>,
    host_snats: Index<(RouterId, IpAddr), NatId>,
    logicals: Index<(RouterId, IpAddr), NatId>,
    tagged: Index<Arc<str>, NatId>,
    recorder: Recorder,
    problems: Problems,
}

/// How a load balancer comes to be on a router.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Attachment {
    /// The router names it.
    Direct,
    /// The router does not, but names a group that does; of several, the one with the least handle.
    Group(GroupId),
}

impl Store {
    /// Returns an empty store.
    pub fn new() -> Self {
        Self {
            batch: None,
            supported: HashSet::new(),
            hasher: RandomState::default(),
            switches: Slab::default(),
            ports: Slab::default(),
            routers: Slab::default(),
            router_ports: Slab::default(),
            balancers: Slab::default(),
            groups: Slab::default(),
            nats: Slab::default(),
            port_names: Finder::default(),
            router_port_names: Finder::default(),
            leading: Index::default(),
            peers: Index::default(),
            vips: Index::default(),
            backends: Index::default(),
            externals: Index::default(),
            host_snats: Index::default(),
            logicals: Index::default(),
            tagged: Index::default(),
            recorder: Recorder::new(),
            problems: Problems::default(),
        }
    }

    /// Tells whether the server has a column, of those that are of interest here.
    pub fn supports(&self, table: &str, column: &str) -> bool {
        self.supported.contains(&(table, column))
    }

    /// Returns what committed batches changed since this was called last. Handles of rows that went
    /// may be given to others from now on.
    pub fn take_changes(&mut self) -> Changes {
        if self.batch.is_none() {
            self.recycle();
        }
        self.recorder.take()
    }

    /// Returns the values that are not understood at present; a bounded number of them.
    pub fn problems(&self) -> impl Iterator<Item = &Problem> {
        self.problems.iter()
    }

    /// Returns how many problems there are beyond those that [`Store::problems`] lists.
    pub fn unlisted_problems(&self) -> usize {
        self.problems.unlisted()
    }

    // ----- switches and their ports -----

    /// Returns a switch.
    pub fn switch(&self, id: SwitchId) -> Option<&Switch> {
        self.switches.get(id)
    }

    /// Returns all switches.
    pub fn switches(&self) -> impl Iterator<Item = (SwitchId, &Switch)> {
        self.switches.iter()
    }

    /// Returns a switch port.
    pub fn port(&self, id: PortId) -> Option<&Port> {
        self.ports.get(id)
    }

    /// Returns all switch ports.
    pub fn ports(&self) -> impl Iterator<Item = (PortId, &Port)> {
        self.ports.iter()
    }

    /// Returns the switch port of that name, which is unique.
    pub fn port_by_name(&self, name: &str) -> Option<PortId> {
        let named = self.port_names.find(self.hasher.hash_one(name), |id| *self.ports.slot(id).name == *name);
        named.min_by_key(|id| self.ports.slot(*id).uuid)
    }

    /// Returns the switch ports of type `router` that lead to the router port of that name.
    pub fn switch_ports_to(&self, router_port: &str) -> &[PortId] {
        self.leading.get(router_port)
    }

    // ----- routers and their ports -----

    /// Returns a router.
    pub fn router(&self, id: RouterId) -> Option<&Router> {
        self.routers.get(id)
    }

    /// Returns all routers.
    pub fn routers(&self) -> impl Iterator<Item = (RouterId, &Router)> {
        self.routers.iter()
    }

    /// Returns the routers of that name; it looks at all routers.
    pub fn router_by_name(&self, name: &str) -> impl Iterator<Item = RouterId> {
        self.routers().filter(move |(_, router)| *router.name == *name).map(|(id, _)| id)
    }

    /// Returns a router port.
    pub fn router_port(&self, id: RouterPortId) -> Option<&RouterPort> {
        self.router_ports.get(id)
    }

    /// Returns all router ports.
    pub fn router_ports(&self) -> impl Iterator<Item = (RouterPortId, &RouterPort)> {
        self.router_ports.iter()
    }

    /// Returns the router port of that name, which is unique.
    pub fn router_port_by_name(&self, name: &str) -> Option<RouterPortId> {
        self.router_ports_named(name).min_by_key(|id| self.router_ports.slot(*id).uuid)
    }

    /// Returns the router ports whose `peer` is that name.
    pub fn peers_of(&self, router_port: &str) -> &[RouterPortId] {
        self.peers.get(router_port)
    }

    // ----- load balancers -----

    /// Returns a load balancer.
    pub fn load_balancer(&self, id: LoadBalancerId) -> Option<&LoadBalancer> {
        self.balancers.get(id)
    }

    /// Returns the load balancer with that UUID, be its row here or not.
    pub fn load_balancer_by_uuid(&self, uuid: Uuid) -> Option<LoadBalancerId> {
        self.balancers.find(uuid)
    }

    /// Returns all load balancers.
    pub fn load_balancers(&self) -> impl Iterator<Item = (LoadBalancerId, &LoadBalancer)> {
        self.balancers.iter()
    }

    /// Returns a group of load balancers.
    pub fn group(&self, id: GroupId) -> Option<&Group> {
        self.groups.get(id)
    }

    /// Returns all groups of load balancers.
    pub fn groups(&self) -> impl Iterator<Item = (GroupId, &Group)> {
        self.groups.iter()
    }

    /// Returns the load balancers on a router, directly or by groups, each once.
    pub fn load_balancers_of(&self, router: RouterId) -> impl Iterator<Item = LoadBalancerId> {
        let (direct, groups) = match self.router(router) {
            Some(router) => (&router.load_balancers[..], &router.groups[..]),
            None => (&[][..], &[][..]),
        };
        let mut grouped: Vec<_> = groups
            .iter()
            .flat_map(|group| &self.groups.slot(*group).load_balancers)
            .filter(|id| direct.binary_search(id).is_err())
            .copied()
            .collect();
        grouped.sort_unstable();
        grouped.dedup();
        direct.iter().copied().chain(grouped).filter(|id| self.balancers.get(*id).is_some())
    }

    /// Returns the routers that a load balancer is on, directly or by groups, each once.
    pub fn routers_of(&self, balancer: LoadBalancerId) -> impl Iterator<Item = RouterId> {
        let mut routers = Vec::new();
        if let Some(balancer) = self.load_balancer(balancer) {
            routers.extend(balancer.routers.as_slice());
            for group in balancer.groups.as_slice() {
                routers.extend(self.groups.slot(*group).routers.as_slice());
            }
        }
        routers.sort_unstable();
        routers.dedup();
        routers.into_iter()
    }

    /// Returns how a load balancer comes to be on a router, if it does.
    pub fn attachment(&self, router: RouterId, balancer: LoadBalancerId) -> Option<Attachment> {
        self.load_balancer(balancer)?;
        let router = self.router(router)?;
        if router.load_balancers.binary_search(&balancer).is_ok() {
            return Some(Attachment::Direct);
        }
        let has =
            |group: &&GroupId| self.groups.slot(**group).load_balancers.binary_search(&balancer).is_ok();
        router.groups.iter().find(has).map(|group| Attachment::Group(*group))
    }

    /// Returns the load balancers with a VIP on the address.
    pub fn balancers_with_vip(&self, address: IpAddr) -> &[LoadBalancerId] {
        self.vips.get(&address)
    }

    /// Returns the load balancers with a backend at the address.
    pub fn balancers_with_backend(&self, address: IpAddr) -> &[LoadBalancerId] {
        self.backends.get(&address)
    }

    // ----- NAT -----

    /// Returns a NAT row.
    pub fn nat(&self, id: NatId) -> Option<&Nat> {
        self.nats.get(id)
    }

    /// Returns the NAT row with that UUID, be it here or not.
    pub fn nat_by_uuid(&self, uuid: Uuid) -> Option<NatId> {
        self.nats.find(uuid)
    }

    /// Returns all NAT rows.
    pub fn nats(&self) -> impl Iterator<Item = (NatId, &Nat)> {
        self.nats.iter()
    }

    /// Returns the handles of a router's NAT rows. The row of one may be missing.
    pub fn nats_of(&self, router: RouterId) -> &[NatId] {
        self.router(router).map_or(&[], |router| &router.nats)
    }

    /// Returns the NAT rows of a router with that external address, but for those of
    /// [`host_snats`](Self::host_snats).
    pub fn nats_by_external(&self, router: RouterId, address: IpAddr) -> &[NatId] {
        self.externals.get(&(router, address))
    }

    /// Returns the [hosts' `snat` rows](Nat::is_host_snat) of a router with that external address.
    pub fn host_snats(&self, router: RouterId, address: IpAddr) -> &[NatId] {
        self.host_snats.get(&(router, address))
    }

    /// Returns the NAT rows of a router whose logical prefix is just that address.
    pub fn nats_by_logical(&self, router: RouterId, address: IpAddr) -> &[NatId] {
        self.logicals.get(&(router, address))
    }

    /// Returns the NAT rows tagged with the port of that name; tagged rows without a port have the
    /// empty name.
    pub fn nats_tagged(&self, port: &str) -> &[NatId] {
        self.tagged.get(port)
    }

    /// Returns the names of ports for which there are tagged NAT rows, in no order.
    pub fn tagged_names(&self) -> impl ExactSizeIterator<Item = &Arc<str>> {
        self.tagged.keys()
    }

    /// Returns all tagged NAT rows.
    pub fn tagged_nats(&self) -> impl Iterator<Item = (NatId, &Nat)> {
        self.tagged.rows().map(|id| (id, self.nats.slot(id)))
    }

    // ----- within the store -----

    fn router_ports_named(&self, name: &str) -> impl Iterator<Item = RouterPortId> {
        let is = move |id| *self.router_ports.slot(id).name == *name;
        self.router_port_names.find(self.hasher.hash_one(name), is)
    }
}

impl Default for Store {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Store")
            .field("switches", &self.switches.len())
            .field("ports", &self.ports.len())
            .field("routers", &self.routers.len())
            .field("router_ports", &self.router_ports.len())
            .field("load_balancers", &self.balancers.len())
            .field("groups", &self.groups.len())
            .field("nats", &self.nats.len())
            .finish_non_exhaustive()
    }
}
