//! What ovn-northd makes flows of: the virtual addresses, NAT rows and port addresses that it heeds, and why it passes
//! over others.
//!
//! What northd passes over has no effect: it forwards nothing, translates nothing, and must never be converted to
//! something that does. Each rule names the function of OVN that it follows.

#[cfg(test)]
mod tests;

use std::net::IpAddr;

use ovn_model::{
    ElementKind, Endpoint, Family, Nat, NatKind, Port, RouterPortId, Store, Vip, is_host, parse_prefix,
};
use smallvec::SmallVec;

use crate::topology::{gateway_ports, holds};

/// Why northd passes over a virtual address as a whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum VipFlaw {
    /// A backend is no address.
    Unreadable,
    /// A backend is of the other family.
    Family,
    /// A backend has a port, and the VIP has none.
    BackendPort,
    /// The VIP has a port, and a backend has none.
    NoBackendPort,
}

/// Why northd passes over a NAT row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum NatFlaw {
    /// `external_ip` is no address.
    External,
    /// `logical_ip` is no address or network of the family of `external_ip`.
    Logical,
    /// `logical_ip` is a network, which only a `snat` row may have.
    Network,
    /// `gateway_port` is no gateway port of the router.
    GatewayPort,
    /// There are several gateway ports, none of them is named, and the address is in no network of theirs.
    NoGatewayPort,
}

/// Returns why northd passes over a VIP; `None` where it heeds it.
///
/// Since OVN 22.12 one backend is enough for that (lib/lb.c, `ovn_lb_backend_init_explicit`, called by `ovn_northd_lb_init`
/// of northd/lb.c). Before, northd left out the backend only, and did not compare ports; what a release passes over is
/// treated as passed over by all, since nobody can mean it.
pub fn vip_flaw(vip: &Vip) -> Option<VipFlaw> {
    let flaw = |backend: &Endpoint| match (vip.endpoint.port, backend.port) {
        _ if Family::of(backend.address) != Family::of(vip.endpoint.address) => Some(VipFlaw::Family),
        (None, Some(_)) => Some(VipFlaw::BackendPort),
        (Some(_), None) => Some(VipFlaw::NoBackendPort),
        _ => None,
    };
    if vip.is_doubtful() {
        return Some(VipFlaw::Unreadable);
    }
    vip.backends.iter().find_map(flaw)
}

/// Returns why northd passes over a NAT row of a router; `None` where it heeds it, if it heeds NAT on the router at all.
pub fn nat_flaw(store: &Store, nat: &Nat) -> Option<NatFlaw> {
    let external = nat.external_ip();
    // A host's prefix is an address to northd, and not to us: the row forwards nothing here, but is not to blame.
    let is_host_prefix = || parse_prefix(&nat.external_ip_text()).is_some_and(|prefix| is_host(&prefix));
    let Some(external) = external else { return (!is_host_prefix()).then_some(NatFlaw::External) };
    match nat.logical_ip() {
        Some(logical) if Family::of(logical.addr()) != Family::of(external) => Some(NatFlaw::Logical),
        None => Some(NatFlaw::Logical),
        Some(logical) if nat.kind != Some(NatKind::Snat) && !is_host(&logical) => Some(NatFlaw::Network),
        Some(_) => nat_port(store, nat).err(),
    }
}

/// Returns the gateway port whose packets a NAT row is for; `None` where it is for those of every port.
///
/// OVN: northd/en-lr-nat.c, `lr_nat_entry_set_dgw_port`; up to 23.09 `lrouter_check_nat_entry` of northd/northd.c.
///
/// # Errors
/// It is for none, and northd passes over it.
pub fn nat_port(store: &Store, nat: &Nat) -> Result<Option<RouterPortId>, NatFlaw> {
    let Some(router) = nat.router else { return Ok(None) };
    let mut ports = gateway_ports(store, router);
    if let Some(named) = nat.gateway_port {
        return if ports.any(|port| port == named) { Ok(Some(named)) } else { Err(NatFlaw::GatewayPort) };
    }
    let ports: Vec<_> = ports.collect();
    match (&*ports, nat.external_ip()) {
        ([], _) => Ok(None),
        ([port], _) => Ok(Some(*port)),
        // Before OVN 22.06 there was nothing to name one by.
        _ if !store.supports(Nat::COLUMNS.gateway_port) => Ok(None),
        // Of several that would do northd takes any. The one with the least UUID is as good as another.
        (ports, Some(external)) => {
            let at_home = ports.iter().filter(|port| holds(store, **port, external));
            let least = at_home.min_by_key(|port| store.router_port(**port).map(|row| row.uuid));
            least.map(|port| Some(*port)).ok_or(NatFlaw::NoGatewayPort)
        }
        (_, None) => Err(NatFlaw::NoGatewayPort),
    }
}

/// Returns the addresses of a family that a port has, static or allocated, sorted, each once.
///
/// What was allocated counts only as long as the port asks for an allocation (northd/northd.c, `build_ipam`):
/// until northd clears the column, the address may be another port's. No router forwards what has
/// a link-local address, RFC 4291 section 2.5.6 and RFC 3927 section 7.
pub fn port_addresses(port: &Port, family: Family) -> SmallVec<[IpAddr; 1]> {
    let asks = || port.addresses.iter().any(|element| element.kind() == ElementKind::Dynamic);
    let allocated = Some(&port.dynamic_addresses).filter(|set| !set.is_empty() && asks());
    let all = port.addresses.assigned(family);
    let all = all.chain(allocated.into_iter().flat_map(move |set| set.assigned(family)));
    let mut addresses: SmallVec<[IpAddr; 1]> = all.filter(|address| !is_link_local(*address)).collect();
    if addresses.len() > 1 {
        let mut sorted = addresses.to_vec();
        sorted.sort_unstable();
        sorted.dedup();
        addresses = sorted.into_iter().collect();
    }
    addresses
}

fn is_link_local(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => v4.is_link_local(),
        IpAddr::V6(v6) => v6.is_unicast_link_local(),
    }
}

// ===== impl VipFlaw =====

impl VipFlaw {
    /// Says what is wrong.
    pub fn sentence(self) -> &'static str {
        match self {
            Self::Unreadable => "a backend is no address",
            Self::Family => "a backend is of the other family",
            Self::BackendPort => "a backend has a port and the VIP has none",
            Self::NoBackendPort => "the VIP has a port and a backend has none",
        }
    }
}

// ===== impl NatFlaw =====

impl NatFlaw {
    /// Says what is wrong.
    pub fn sentence(self) -> &'static str {
        match self {
            Self::External => "external_ip is no address",
            Self::Logical => "logical_ip is not of the family of external_ip",
            Self::Network => "logical_ip is a network",
            Self::GatewayPort => "gateway_port is no gateway port of the router",
            Self::NoGatewayPort => "it names no gateway port",
        }
    }
}
