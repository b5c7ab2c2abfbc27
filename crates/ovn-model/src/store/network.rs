//! Rows and indexes together, for what depends on rows.

use std::net::IpAddr;

use super::indexes::{Indexes, assigned};
use super::slabs::Slabs;
use crate::change::{Change, Node, Recorder};
use crate::id::{LoadBalancerId, PortId, RouterId, RouterPortId};
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

    /// Returns the routers that a load balancer is on, directly or by groups, each once, be its row here or not.
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

    /// Notes the routers of router ports.
    pub(crate) fn note_routers(self, ports: impl IntoIterator<Item = RouterPortId>, recorder: &mut Recorder) {
        for port in ports {
            recorder.topology(self.slabs.router_ports.slot(port).router.map(Node::Router));
        }
    }

    /// Notes the other instances' ports on a port's switch that have one of its addresses.
    pub(crate) fn note_rivals(self, id: PortId, port: &Port, recorder: &mut Recorder) {
        let Some(switch) = port.switch else { return };
        for address in assigned(port) {
            for other in
                self.indexes.ports_with_address(self.slabs, switch, address).filter(|other| *other != id)
            {
                recorder.note(Change::Port(self.slabs.ports.slot(other).name.clone()));
            }
        }
    }

    /// Notes the addresses of virtual addresses and their backends on routers.
    pub(crate) fn note_vips<'v>(
        self,
        routers: &[RouterId],
        vips: impl IntoIterator<Item = &'v Vip>,
        recorder: &mut Recorder,
    ) {
        for vip in vips {
            let backends = vip.backends.iter().map(|backend| backend.address);
            for address in backends.chain([vip.endpoint.address]) {
                for router in routers {
                    recorder.note(Change::Address { router: *router, address });
                }
            }
        }
    }

    /// Notes that a load balancer is put on routers or taken off.
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
