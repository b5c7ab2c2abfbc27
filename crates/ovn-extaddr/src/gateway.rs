//! Which gateway port a row is for.

use std::cmp::Reverse;
use std::net::IpAddr;

use ovn_model::{Nat, NatKind, RouterId, RouterPortId, Store, is_host};

use crate::northd;
use crate::ownership::Owner;
use crate::reason::Reason;
use crate::topology::{gateway_ports, holds};

/// Chooses the `gateway_port` of a row with this external address for one of these internal addresses, where the router
/// has several: northd ignores a row without one unless a port's network holds its address.
///
/// Replies to an address arrive where it is at home. One that is at home at several ports or at none is for the port by
/// which the instance's own SNAT leaves.
///
/// # Errors
/// Neither the ports' networks nor that SNAT tell.
pub fn port(
    store: &Store,
    owner: &Owner,
    router: RouterId,
    external: IpAddr,
    internal: &[IpAddr],
) -> Result<Option<RouterPortId>, Reason> {
    if gateway_ports(store, router).nth(1).is_none() || !store.supports(Nat::COLUMNS.gateway_port) {
        return Ok(None);
    }
    let at_home = || gateway_ports(store, router).filter(|port| holds(store, *port, external));
    let leaves = base(store, owner, router, internal);
    if let Some(port) = at_home().find(|port| Some(*port) == leaves) {
        return Ok(Some(port));
    }
    // Of several that would do, the one with the least UUID: every agent chooses the same.
    let least = at_home().min_by_key(|port| store.router_port(*port).map(|row| row.uuid));
    least.or(leaves).map(Some).ok_or(Reason::NoGatewayPort)
}

/// Returns the gateway port by which the SNAT of the instance's network leaves: of several rows OVN takes the one with the
/// longest prefix.
fn base(store: &Store, owner: &Owner, router: RouterId, internal: &[IpAddr]) -> Option<RouterPortId> {
    let rows = store.nats_of(router).iter().filter_map(|id| store.nat(*id));
    let rows =
        rows.filter(|nat| nat.kind == Some(NatKind::Snat) && nat.router == Some(router) && !owner.owns(nat));
    let leaves = rows.filter_map(|nat| {
        let network = nat.logical_ip().filter(|network| !is_host(network))?;
        internal.iter().find(|address| network.contains(*address))?;
        let port = northd::nat_port(store, nat).ok()?.filter(|_| northd::nat_flaw(store, nat).is_none())?;
        Some((network.prefix_len(), Reverse(store.router_port(port)?.uuid), port))
    });
    leaves.max().map(|(.., port)| port)
}
