//! Which gateway port a row is for.

use std::net::IpAddr;

use ovn_model::{Family, Nat, NatKind, RouterId, RouterPortId, Store, is_host};

use crate::ownership::Owner;
use crate::reason::Reason;
use crate::topology::gateway_ports;

/// Chooses the `gateway_port` of a row with this external address, where the router has several:
/// northd ignores a row without one unless a port's network holds its address.
///
/// # Errors
/// Neither the ports' networks nor the router's own SNAT tell.
pub fn port(
    store: &Store,
    owner: &Owner,
    router: RouterId,
    external: IpAddr,
) -> Result<Option<RouterPortId>, Reason> {
    if gateway_ports(store, router).nth(1).is_none() || !store.supports(Nat::COLUMNS.gateway_port) {
        return Ok(None);
    }
    let mut ports: Vec<_> = gateway_ports(store, router).collect();
    // Of several that would do, the one with the least UUID: every agent chooses the same.
    ports.sort_by_key(|id| store.router_port(*id).map(|row| row.uuid));
    if let Some(port) = home(store, &ports, external) {
        return Ok(Some(port));
    }
    let base = store.nats_of(router).iter().filter_map(|id| store.nat(*id)).filter(|nat| {
        nat.kind == Some(NatKind::Snat)
            && nat.logical_ip().is_some_and(|net| !is_host(&net))
            && nat.external_ip().is_some_and(|e| Family::of(e) == Family::of(external))
            && nat.router == Some(router)
            && !owner.owns(nat)
    });
    // One that names none leaves where its address is at home.
    let leaves: Vec<_> =
        base.filter_map(|nat| nat.gateway_port.or_else(|| home(store, &ports, nat.external_ip()?))).collect();
    ports.iter().find(|port| leaves.contains(port)).copied().map(Some).ok_or(Reason::NoGatewayPort)
}

/// Returns the first of some router ports whose networks hold the address.
pub fn home(store: &Store, ports: &[RouterPortId], address: IpAddr) -> Option<RouterPortId> {
    let holds = |id: &RouterPortId| {
        store.router_port(*id).is_some_and(|row| row.networks.iter().any(|net| net.contains(&address)))
    };
    ports.iter().copied().find(holds)
}
