//! Forward addresses that several routers of one network answer for.

use std::collections::{BTreeSet, HashMap};
use std::net::IpAddr;

use ovn_model::{NatKind, RouterId, RouterPort, RouterPortId, Store, SwitchId};

use super::rows::{is_foreign, name, rows};
use crate::forwards::Forward;
use crate::network::Network;
use crate::topology::{gateway_ports, is_disabled, is_gateway, router_ports};
use crate::{forwards, northd};

/// A router that answers for an address, by one of its ports or by NAT.
struct Holder {
    router: RouterId,
    port: Option<RouterPortId>,
}

/// The networks that a router is in by some of its ports.
#[derive(Default)]
struct Links {
    switches: BTreeSet<SwitchId>,
    /// Whether it is in a network that is physical or not known: two such routers may share it.
    is_open: bool,
}

/// Returns the forward addresses that another router in the same network has on a port or in an SNAT row.
pub(super) fn shared_addresses(network: Network<'_, '_>) -> Vec<String> {
    let store = network.store;
    let holders = holders(store);
    let mut places = BTreeSet::new();
    for (router, row) in store.routers() {
        for address in forwards::on_router(network, router).iter().filter_map(Forward::address) {
            let others = holders.get(&address).into_iter().flatten().filter(|holder| holder.router != router);
            let met = others.filter(|holder| {
                let ports = router_ports(store, router).map(|(_, port)| port);
                holder.links(store).meet(&Links::through(store, ports))
            });
            places.extend(met.map(|holder| {
                format!("{address}, which {} forwards, of {}", row.name, name(store, holder.router))
            }));
        }
    }
    places.into_iter().collect()
}

/// Returns the routers that answer for addresses of their own, and for those that they translate to.
fn holders(store: &Store) -> HashMap<IpAddr, Vec<Holder>> {
    let mut holders: HashMap<_, Vec<_>> = HashMap::new();
    for (id, port) in store.router_ports() {
        // OVN ignores a disabled one.
        let router = port.router.filter(|router| port.enabled != Some(false) && !is_disabled(store, *router));
        let Some(router) = router else { continue };
        for network in port.networks.iter() {
            holders.entry(network.addr()).or_default().push(Holder { router, port: Some(id) });
        }
    }
    for (router, nat) in rows(store) {
        let answers =
            nat.kind == Some(NatKind::Snat) && is_foreign(nat) && northd::nat_flaw(store, nat).is_none();
        let address =
            nat.external_ip().filter(|_| answers && is_gateway(store, router) && !is_disabled(store, router));
        let Some(address) = address else { continue };
        holders.entry(address).or_default().push(Holder { router, port: None });
    }
    holders
}

impl Holder {
    fn links(&self, store: &Store) -> Links {
        if let Some(port) = self.port {
            return Links::through(store, store.router_port(port));
        }
        let gateways: Vec<_> =
            gateway_ports(store, self.router).filter_map(|id| store.router_port(id)).collect();
        match gateways.is_empty() {
            true => Links::through(store, router_ports(store, self.router).map(|(_, port)| port)),
            false => Links::through(store, gateways),
        }
    }
}

impl Links {
    fn through<'a>(store: &Store, ports: impl IntoIterator<Item = &'a RouterPort>) -> Self {
        let mut links = Self::default();
        for port in ports {
            let ends = store.switch_ports_to(&port.name);
            let switches = ends.iter().filter_map(|id| store.port(*id)?.switch);
            links.switches.extend(switches.flat_map(|switch| store.joined_switches(switch)));
            let is_peered = || port.peer.is_some() || !store.peers_of(&port.name).is_empty();
            links.is_open |= ends.is_empty() && !is_peered();
        }
        links.is_open |= links.switches.iter().any(|switch| !store.physical_ports(*switch).is_empty());
        links
    }

    fn meet(&self, other: &Self) -> bool {
        self.is_open && other.is_open || !self.switches.is_disjoint(&other.switches)
    }
}
