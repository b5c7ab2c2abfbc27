//! The choice of the gateway port for a row.

use std::cmp::Reverse;
use std::net::IpAddr;

use ovn_model::{Nat, RouterId, RouterPortId, Store};

use crate::network::Network;
use crate::northd;
use crate::reason::Reason;
use crate::topology::{gateway_ports, holds};

/// Chooses the `gateway_port` of a row with this external address for one of these internal addresses, where the router
/// has several: northd ignores a row without one unless a port's network holds its address.
///
/// Replies to an address arrive at the port whose network holds it. An address in the networks of several ports or of
/// none is for a port by which the instance's own SNAT leaves. Where several are possible, the row stays at `current`,
/// its present port: a change would break connections.
///
/// # Errors
/// Neither the ports' networks nor that SNAT determine a port.
pub fn port(
    network: Network<'_, '_>,
    router: RouterId,
    external: IpAddr,
    internal: &[IpAddr],
    current: impl FnOnce() -> Option<RouterPortId>,
) -> Result<Option<RouterPortId>, Reason> {
    let store = network.store;
    if gateway_ports(store, router).nth(1).is_none() {
        return Ok(None);
    }
    // Before OVN 22.06 rows were applied at one of them, and load balancers at none.
    if !store.supports(Nat::COLUMNS.gateway_port) {
        return Err(Reason::NoGatewayPort);
    }
    let mut home: Vec<_> =
        gateway_ports(store, router).filter(|port| holds(store, *port, external)).collect();
    // Of several possible ones, the one with the least UUID: every agent chooses the same.
    home.sort_unstable_by_key(|port| store.router_port(*port).map(|row| row.uuid));
    let leaving = leaving(network, router, internal);
    let both: Vec<_> = leaving.iter().copied().filter(|port| home.contains(port)).collect();
    let candidates = [both, home, leaving].into_iter().find(|ports| !ports.is_empty()).unwrap_or_default();
    let stays = current().filter(|port| candidates.contains(port));
    stays.or_else(|| candidates.first().copied()).map(Some).ok_or(Reason::NoGatewayPort)
}

/// Returns the gateway ports by which the SNAT of the instance's networks leaves, if the row's own is not among them:
/// packets that are routed there leave without the row's translation.
pub fn other_ways(
    network: Network<'_, '_>,
    router: RouterId,
    internal: &[IpAddr],
    chosen: Option<RouterPortId>,
) -> Vec<RouterPortId> {
    let mut ports = leaving(network, router, internal);
    if chosen.is_none_or(|chosen| ports.contains(&chosen)) {
        ports.clear();
    }
    ports.dedup();
    ports
}

/// Returns the gateway ports by which the SNAT of the instance's networks leaves, that of the longest prefix first.
fn leaving(network: Network<'_, '_>, router: RouterId, internal: &[IpAddr]) -> Vec<RouterPortId> {
    let Network { store, owner } = network;
    let rows = store.network_snats(router).filter(|(_, nat)| !owner.owns(nat));
    let leaving = rows.filter_map(|(_, nat)| {
        let network = nat.logical_ip()?;
        internal.iter().find(|address| network.contains(*address))?;
        let port = northd::nat_port(store, nat).ok()?.filter(|_| northd::nat_flaw(store, nat).is_none())?;
        Some((Reverse(network.prefix_len()), store.router_port(port)?.uuid, port))
    });
    let mut leaving: Vec<_> = leaving.collect();
    leaving.sort_unstable();
    leaving.into_iter().map(|(.., port)| port).collect()
}

/// Returns the gateway port that a row names, if it is one of the router and there are several.
pub fn named(store: &Store, router: RouterId, port: Option<RouterPortId>) -> Option<RouterPortId> {
    let mut ports = gateway_ports(store, router);
    let is_one_of_several = |port: &RouterPortId| {
        let ports: Vec<_> = ports.by_ref().collect();
        ports.len() > 1 && ports.contains(port)
    };
    port.filter(is_one_of_several)
}
