//! The rows, and the links between them.

mod dependents;
mod finder;
mod index;
mod indexes;
mod links;
mod network;
mod owner;
mod row;
mod sets;
mod slab;
mod slabs;
mod slot;
#[cfg(test)]
mod tests;
mod write;

use std::net::IpAddr;
use std::sync::Arc;

use ovsdb_protocol::{Batch, Field, Missing, Problem, Problems, Table, TableLayout, Uuid};
use smallvec::SmallVec;

use crate::change::{Changes, Recorder};
use crate::family::Family;
use crate::id::{GroupId, LoadBalancerId, NatId, PortId, RouterId, RouterPortId, SwitchId};
use crate::tables::Nat;
use indexes::Indexes;
pub(crate) use network::Network;
pub(crate) use sets::IdSet;
pub use slabs::Slabs;
use slabs::TABLES;
pub(crate) use slot::Meta;

/// A copy of the relevant Northbound tables, updated as the [`Replica`](ovsdb_protocol::Replica) of a session.
///
/// It is consistent only after a commit. A handle leads to `None` if its row does not exist; slices of handles are
/// sorted, and contain only existing rows unless stated otherwise.
#[derive(Debug, Default)]
pub struct Store {
    batch: Option<Batch>,
    /// The server's layout of each table.
    layouts: Vec<TableLayout>,
    slabs: Slabs,
    indexes: Indexes,
    recorder: Recorder,
    problems: Problems,
}

/// The way in which a load balancer is attached to a router.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Attachment {
    /// The router names it.
    Direct,
    /// The router names a group that contains it; of several, the one with the least handle.
    Group(GroupId),
}

impl Store {
    fn network(&self) -> Network<'_> {
        Network { slabs: &self.slabs, indexes: &self.indexes }
    }

    /// Returns an empty store.
    pub fn new() -> Self {
        Self::default()
    }

    /// Returns true if the column is declared to be monitored.
    pub fn monitors(table: &str, column: &str) -> bool {
        Self::tables().iter().any(|declared| declared.name == table && declared.column(column).is_some())
    }

    /// Returns the tables and columns that are declared to be monitored.
    pub fn tables() -> &'static [ovsdb_protocol::TableSpec] {
        TABLES
    }

    /// Returns true if the server has a column.
    pub fn supports<T: Table, V>(&self, column: Field<T, V>) -> bool {
        T::column_index(column.name()).is_some_and(|index| self.layout::<T>().present.contains(index))
    }

    /// Returns the declared tables and columns that the server lacks.
    pub fn missing(&self) -> impl Iterator<Item = Missing> {
        TABLES.iter().zip(&self.layouts).flat_map(|(table, layout)| Missing::list(table, *layout))
    }

    fn layout<R: Table>(&self) -> TableLayout {
        let layout = TABLES.iter().zip(&self.layouts).find(|(declared, _)| declared.name == R::TABLE.name);
        layout.map(|(_, layout)| *layout).unwrap_or_default()
    }

    /// Returns the changes by committed batches since the last call. Handles of deleted rows may be used again from now
    /// on.
    pub fn take_changes(&mut self) -> Changes {
        if self.batch.is_none() {
            self.slabs.reclaim();
        }
        self.recorder.take()
    }

    /// Returns the present values that are not understood, up to a maximum number.
    pub fn problems(&self) -> impl Iterator<Item = Problem> {
        self.problems.iter()
    }

    /// Returns the number of problems beyond those that [`Store::problems`] lists.
    pub fn unlisted_problems(&self) -> usize {
        self.problems.unlisted()
    }

    // ----- switches and their ports -----

    /// Returns the ports of a switch that are of type `router`, sorted.
    pub fn router_ports_of(&self, switch: SwitchId) -> &[PortId] {
        self.indexes.router_type.get(&switch)
    }

    /// Returns the ports of other switches that a switch is joined with directly: each is the peer of one of its ports,
    /// and vice versa.
    pub fn switch_joints(&self, switch: SwitchId) -> impl Iterator<Item = (PortId, PortId)> {
        self.network().switch_joints(switch)
    }

    /// Returns the switches that form one network with a switch, itself first: those that it is joined with, directly
    /// or over others, by ports that are not disabled.
    pub fn joined_switches(&self, switch: SwitchId) -> SmallVec<[SwitchId; 1]> {
        self.network().joined_switches(switch, |port| !port.is_disabled())
    }

    /// Returns the ports of a switch that lead to [physical networks](crate::PortKind::is_physical), sorted.
    pub fn physical_ports(&self, switch: SwitchId) -> &[PortId] {
        self.indexes.physical.get(&switch)
    }

    /// Returns the ports of type `virtual` whose address may be at the port of that name.
    pub fn virtuals_of(&self, parent: &str) -> &[PortId] {
        self.indexes.virtuals.get(parent)
    }

    /// Returns the instances' ports on a switch that have an address, static or allocated, even if the allocation is
    /// outdated.
    pub fn ports_with_address(&self, switch: SwitchId, address: IpAddr) -> impl Iterator<Item = PortId> {
        self.indexes.ports_with_address(&self.slabs, switch, address)
    }

    /// Returns the switch port of that name, which is unique.
    pub fn port_by_name(&self, name: &str) -> Option<PortId> {
        self.indexes.port_named(&self.slabs, name)
    }

    /// Returns the switch ports of type `router` that lead to the router port of that name.
    pub fn switch_ports_to(&self, router_port: &str) -> &[PortId] {
        self.indexes.leading.get(router_port)
    }

    // ----- routers and their ports -----

    /// Returns the router port of that name, which is unique.
    pub fn router_port_by_name(&self, name: &str) -> Option<RouterPortId> {
        let named = self.indexes.router_ports_named(&self.slabs, name);
        named.min_by_key(|id| self.slabs.router_ports.slot(*id).uuid)
    }

    /// Returns the router ports whose `peer` is that name.
    pub fn peers_of(&self, router_port: &str) -> &[RouterPortId] {
        self.indexes.peers.get(router_port)
    }

    // ----- load balancers -----

    /// Returns the load balancer with that UUID, whether its row exists or not.
    pub fn load_balancer_by_uuid(&self, uuid: Uuid) -> Option<LoadBalancerId> {
        self.slabs.balancers.find(uuid)
    }

    /// Returns the load balancers of a router, directly or by groups, without duplicates.
    pub fn load_balancers_of(&self, router: RouterId) -> impl Iterator<Item = LoadBalancerId> {
        let (direct, groups) = match self.router(router) {
            Some(router) => (&router.load_balancers[..], &router.groups[..]),
            None => (&[][..], &[][..]),
        };
        let mut grouped: Vec<_> = groups
            .iter()
            .flat_map(|group| &self.slabs.groups.slot(*group).load_balancers)
            .filter(|id| direct.binary_search(id).is_err())
            .copied()
            .collect();
        grouped.sort_unstable();
        grouped.dedup();
        direct.iter().copied().chain(grouped).filter(|id| self.slabs.balancers.get(*id).is_some())
    }

    /// Returns the routers of a load balancer, directly or by groups, without duplicates.
    pub fn routers_of(&self, balancer: LoadBalancerId) -> impl Iterator<Item = RouterId> {
        let routers = self.load_balancer(balancer).map(|_| self.network().routers_of(balancer));
        routers.into_iter().flatten()
    }

    /// Returns the attachment of a load balancer to a router, if there is one.
    pub fn attachment(&self, router: RouterId, balancer: LoadBalancerId) -> Option<Attachment> {
        self.load_balancer(balancer)?;
        let router = self.router(router)?;
        if router.load_balancers.binary_search(&balancer).is_ok() {
            return Some(Attachment::Direct);
        }
        let has = |group: &&GroupId| {
            self.slabs.groups.slot(**group).load_balancers.binary_search(&balancer).is_ok()
        };
        router.groups.iter().find(has).map(|group| Attachment::Group(*group))
    }

    /// Returns the load balancers with a VIP on the address.
    pub fn balancers_with_vip(&self, address: IpAddr) -> impl Iterator<Item = LoadBalancerId> + use<> {
        self.indexes.balancers_with_vip(&self.slabs, address).into_iter()
    }

    /// Returns true if any load balancer has one of the options that are read.
    pub fn has_balancer_options(&self) -> bool {
        self.indexes.balancers_with_options > 0
    }

    /// Returns the load balancers with a backend at the address.
    pub fn balancers_with_backend(&self, address: IpAddr) -> impl Iterator<Item = LoadBalancerId> + use<> {
        self.indexes.balancers_with_backend(&self.slabs, address).into_iter()
    }

    // ----- the database as a whole -----

    /// Returns the kept intent for the port of that name, whether the port exists or not.
    pub fn kept(&self, port: &str, family: Family) -> Option<&str> {
        let rows = self.slabs.globals.iter().map(|(_, row)| row);
        let asking = rows.filter_map(|row| Some((row.uuid, row.kept.get(port, family)?)));
        asking.min_by_key(|(uuid, _)| *uuid).map(|(_, text)| text)
    }

    /// Returns all kept intents.
    pub fn all_kept(&self) -> impl Iterator<Item = (&str, Family, &str)> {
        self.slabs.globals.iter().flat_map(|(_, row)| row.kept.iter())
    }

    // ----- NAT -----

    /// Returns the NAT row with that UUID, whether it exists or not.
    pub fn nat_by_uuid(&self, uuid: Uuid) -> Option<NatId> {
        self.slabs.nats.find(uuid)
    }

    /// Returns the handles of a router's NAT rows. The row of one may be missing.
    pub fn nats_of(&self, router: RouterId) -> &[NatId] {
        self.router(router).map_or(&[], |router| &router.nats)
    }

    /// Returns the NAT rows of a router with that external address, except those of [`host_snats`](Self::host_snats): a
    /// network may have thousands of these.
    pub fn nats_by_external(&self, router: RouterId, address: IpAddr) -> &[NatId] {
        self.indexes.externals.get(&(router, address))
    }

    /// Returns the [hosts' `snat` rows](Nat::is_host_snat) of a router with that external address.
    ///
    /// Their changes are reported as [`Change::HostSnat`](crate::Change::HostSnat), which no decision on a port depends on. A rule that looks at them
    /// needs its own line in `dependents.rs`, or an index of the few rows that matter to it.
    pub fn host_snats(&self, router: RouterId, address: IpAddr) -> &[NatId] {
        self.indexes.host_snats.get(&(router, address))
    }

    /// Returns the [networks' `snat` rows](Nat::is_network_snat) of a router.
    pub fn network_snats(&self, router: RouterId) -> impl Iterator<Item = (NatId, &Nat)> {
        self.indexes.network_snats.get(&router).iter().map(|id| (*id, self.slabs.nats.slot(*id)))
    }

    /// Returns the NAT rows of a router whose external address is [a network](Nat::external_network).
    pub fn nats_by_external_network(&self, router: RouterId) -> &[NatId] {
        self.indexes.external_networks.get(&router)
    }

    /// Returns the NAT rows of a router whose logical prefix is that single address.
    pub fn nats_by_logical(&self, router: RouterId, address: IpAddr) -> impl Iterator<Item = NatId> + use<> {
        self.indexes.nats_by_logical(&self.slabs, router, address).into_iter()
    }

    /// Returns the NAT rows tagged with the port of that name; tagged rows without a port have the
    /// empty name.
    pub fn nats_tagged(&self, port: &str) -> SmallVec<[NatId; 2]> {
        self.indexes.nats_tagged(&self.slabs, port)
    }

    /// Returns the tagged NAT rows without a port.
    pub fn nats_tagged_portless(&self) -> &[NatId] {
        &self.indexes.portless
    }

    /// Returns the names of the ports of tagged NAT rows, in no order, once for each row.
    pub fn tagged_names(&self) -> impl Iterator<Item = Arc<str>> {
        let network = self.network();
        self.tagged_nats().filter_map(|(_, nat)| nat.tagged()).map(move |name| network.port_name(name))
    }

    /// Returns all tagged NAT rows, in no order.
    pub fn tagged_nats(&self) -> impl Iterator<Item = (NatId, &Nat)> {
        self.indexes.all_tagged().map(|id| (id, self.slabs.nats.slot(id)))
    }

    /// Returns the number of tagged NAT rows.
    pub fn tagged_count(&self) -> usize {
        self.indexes.tagged_count()
    }
}
