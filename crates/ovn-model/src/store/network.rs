//! Rows and indexes together, for the dependents of rows.

use std::net::IpAddr;
use std::sync::Arc;

use smallvec::SmallVec;

use super::indexes::{Indexes, assigned};
use super::slabs::Slabs;
use crate::change::{Change, Node, Recorder};
use crate::id::{LoadBalancerId, PortId, RouterId, RouterPortId, SwitchId};
use crate::tables::Port;
use crate::vip::Vip;

/// The content of a store.
#[derive(Clone, Copy)]
pub(crate) struct Network<'a> {
    pub(crate) slabs: &'a Slabs,
    pub(crate) indexes: &'a Indexes,
}

impl<'a> Network<'a> {
    /// Returns the router ports of that name.
    pub(crate) fn router_ports_named(self, name: &str) -> impl Iterator<Item = RouterPortId> {
        self.indexes.router_ports_named(self.slabs, name)
    }

    /// Returns the name of a port, sharing the memory of the port's own name if the port exists.
    pub(crate) fn port_name(self, name: &str) -> Arc<str> {
        let port = self.indexes.port_named(self.slabs, name);
        port.map_or_else(|| name.into(), |port| Arc::clone(&self.slabs.ports.slot(port).name))
    }

    /// Returns the routers of a load balancer, directly or by groups, without duplicates, whether its row exists or not.
    pub(crate) fn routers_of(self, balancer: LoadBalancerId) -> Vec<RouterId> {
        let balancer = self.slabs.balancers.slot(balancer);
        let grouped = balancer.groups.get().into_iter().flatten();
        let grouped = grouped.flat_map(|group| &self.slabs.groups.slot(*group).routers);
        let mut routers: Vec<_> = balancer.routers.iter().chain(grouped).copied().collect();
        routers.sort_unstable();
        routers.dedup();
        routers
    }

    /// Returns true if an address is one of the router's own.
    pub(crate) fn is_own(self, router: RouterId, address: IpAddr) -> bool {
        let ports = self.slabs.routers.slot(router).ports.iter().map(|id| self.slabs.router_ports.slot(*id));
        ports.flat_map(|port| port.networks.iter()).any(|network| network.addr() == address)
    }

    /// Records the routers of router ports.
    pub(crate) fn note_routers(self, ports: impl IntoIterator<Item = RouterPortId>, recorder: &mut Recorder) {
        for port in ports {
            recorder.topology(self.slabs.router_ports.slot(port).router.map(Node::Router));
        }
    }

    /// Returns the ports of other switches that a switch is joined with directly: each is the peer of one of its ports,
    /// and vice versa.
    pub(crate) fn switch_joints(self, switch: SwitchId) -> impl Iterator<Item = (PortId, PortId)> {
        self.indexes.switch_type.get(&switch).iter().flat_map(move |id| {
            let port = self.slabs.ports.slot(*id);
            let naming = self.indexes.switch_peers.get(&*port.name).iter();
            let mutual =
                naming.filter(move |other| port.switch_peer() == Some(&*self.slabs.ports.slot(**other).name));
            mutual.map(|other| (*id, *other))
        })
    }

    /// Returns the switches that form one network with a switch, itself first: those that it is joined with, directly
    /// or over others, by ports that are `open`.
    pub(crate) fn joined_switches(
        self,
        switch: SwitchId,
        open: impl Fn(&Port) -> bool,
    ) -> SmallVec<[SwitchId; 1]> {
        let mut joined = SmallVec::from([switch]);
        let mut next = 0;
        while let Some(from) = joined.get(next).copied() {
            next += 1;
            for (port, peer) in self.switch_joints(from) {
                let [port, peer] = [port, peer].map(|id| self.slabs.ports.slot(id));
                let beyond = peer.switch.filter(|to| open(port) && open(peer) && !joined.contains(to));
                joined.extend(beyond);
            }
        }
        joined
    }

    /// Records the other instances' ports in a port's network that have one of its addresses.
    pub(crate) fn note_rivals(self, id: PortId, port: &Port, recorder: &mut Recorder) {
        let Some(switch) = port.switch else { return };
        for switch in self.joined_switches(switch, |_| true) {
            for address in assigned(port) {
                let there = self.indexes.ports_with_address(self.slabs, switch, address);
                for other in there.filter(|other| *other != id) {
                    recorder.note(Change::Port(self.slabs.ports.slot(other).name.clone()));
                }
            }
        }
    }

    /// Records the addresses of VIPs and their backends on routers.
    pub(crate) fn note_vips<'v>(
        self,
        routers: &[RouterId],
        vips: impl IntoIterator<Item = &'v Vip>,
        recorder: &mut Recorder,
    ) {
        for vip in vips {
            let backends = vip.backends().iter().map(|backend| backend.address);
            for address in backends.chain([vip.endpoint.address]) {
                for router in routers {
                    recorder.note(Change::Address { router: *router, address });
                }
            }
        }
    }

    /// Records that a load balancer is attached to or detached from routers.
    pub(crate) fn note_attachment(
        self,
        routers: &[RouterId],
        balancer: LoadBalancerId,
        recorder: &mut Recorder,
    ) {
        if let Some(row) = self.slabs.balancers.get(balancer) {
            recorder.note(Change::Balancer(row.uuid));
            self.note_vips(routers, row.vips.iter(), recorder);
        }
    }
}
