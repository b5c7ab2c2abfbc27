//! Forward addresses: the addresses that routers send to instances.

use std::cell::LazyCell;
use std::net::IpAddr;
use std::num::NonZeroU16;

use ipnet::IpNet;
use ovn_model::{LoadBalancer, LoadBalancerId, Nat, NatId, NatKind, RouterId, RouterPort, Store, Vip};

use crate::network::Network;
use crate::ownership::Role;
use crate::rules::Rules;
use crate::topology::{gateway_ports, router_ports};
use crate::{northd, undo};

/// A reason why an address is a forward address of a router.
#[derive(Clone, Copy, Debug)]
pub enum Forward<'a> {
    /// A VIP of a load balancer on the router.
    Vip(LoadBalancerId, &'a Vip),
    /// A `dnat` or `dnat_and_snat` row of the router.
    Nat(NatId, &'a Nat),
    /// Our row that replaces a VIP without a port.
    Converted(NatId, &'a Nat),
}

/// Returns why `address` is a forward address of `router`; nothing if it is not.
pub fn on_address<'a>(
    network: Network<'a, '_>,
    router: RouterId,
    address: IpAddr,
) -> impl Iterator<Item = Forward<'a>> + use<'a> {
    let store = network.store;
    let balancers = store.balancers_with_vip(address);
    // The same for all, and not computed where there are none.
    let is_internal = LazyCell::new(move || is_internal(store, router, address));
    let balancers = balancers.filter(move |id| store.attachment(router, *id).is_some() && !*is_internal);
    let vips =
        balancers.filter_map(move |id| Some((id, store.load_balancer(id)?))).flat_map(move |(id, row)| {
            used_vips(row, row.vips.on(address)).map(move |vip| Forward::Vip(id, vip))
        });
    vips.chain(rows(network, router, store.nats_by_external(router, address).iter().copied()))
}

/// Returns whether another network than that of `router` has the address: one of its routers forwards it, has it, or
/// translates to it.
///
/// Of our own overrides on several routers, those on the router with the least UUID have it: so every agent decides the
/// same, whichever came first.
pub fn is_elsewhere(network: Network<'_, '_>, router: RouterId, address: IpAddr) -> bool {
    let Network { store, owner } = network;
    let uuid = |router| store.router(router).map(|row| row.uuid);
    store.routers().filter(|(other, _)| *other != router).any(|(other, row)| {
        let rows = store.host_snats(other, address).iter().chain(store.nats_by_external(other, address));
        let leaves = |nat: &Nat| match owner.role(nat) {
            None => is_egress(nat),
            Some(role) => role == Role::Egress && Some(row.uuid) < uuid(router),
        };
        on_address(network, other, address).next().is_some()
            || rows.filter_map(|id| store.nat(*id)).any(leaves)
            || router_ports(store, other)
                .any(|(_, port)| port.networks.iter().any(|net| net.addr() == address))
    })
}

/// Returns whether an address may be used on a router that does not forward it: the configuration
/// says so, and no other network has it.
pub fn is_allowed(store: &Store, rules: &Rules, router: RouterId, external: IpAddr) -> bool {
    store.router(router).is_some_and(|row| rules.permits(&row.name, external))
        && !is_elsewhere(rules.network(store), router, external)
}

/// Returns whether a row changes the source of what leaves. A row for both directions whose external address is written
/// with a mask only forwards: ovn-controller refuses the flow for the other one (lib/actions.c, `parse_ct_nat`).
pub fn is_egress(nat: &Nat) -> bool {
    matches!(nat.kind, Some(NatKind::Snat | NatKind::DnatAndSnat)) && !nat.is_external_masked()
}

/// Returns the addresses that `router` sends to `target`, possibly among other targets.
pub fn leading_to(network: Network<'_, '_>, router: RouterId, target: IpAddr) -> Vec<IpAddr> {
    let store = network.store;
    let balancers = store.balancers_with_backend(target).filter(|id| store.attachment(router, *id).is_some());
    let vips = balancers.filter_map(|id| store.load_balancer(id)).flat_map(|row| {
        let vips = used_vips(row, &row.vips).filter(|vip| vip.backends().iter().any(|b| b.address == target));
        vips.map(|vip| vip.endpoint.address).filter(|address| !is_internal(store, router, *address))
    });
    let rows = rows(network, router, store.nats_by_logical(router, target));
    let mut found: Vec<_> = vips.chain(rows.iter().filter_map(Forward::address)).collect();
    found.sort_unstable();
    found.dedup();
    found
}

/// Returns all forwards of `router`, sorted by address and port.
pub fn on_router<'a>(network: Network<'a, '_>, router: RouterId) -> Vec<Forward<'a>> {
    let store = network.store;
    let vips = store.load_balancers_of(router).filter_map(|id| Some((id, store.load_balancer(id)?)));
    let vips = vips.flat_map(|(id, row)| used_vips(row, &row.vips).map(move |vip| Forward::Vip(id, vip)));
    let vips = vips.filter(|vip| vip.address().is_some_and(|address| !is_internal(store, router, address)));
    let mut found: Vec<_> =
        vips.chain(rows(network, router, store.nats_of(router).iter().copied())).collect();
    found.sort_by_key(|forward| (forward.address(), forward.port()));
    found
}

/// Returns the VIPs that northd uses.
fn used_vips<'a>(balancer: &'a LoadBalancer, vips: &'a [Vip]) -> impl Iterator<Item = &'a Vip> {
    vips.iter().filter(|vip| northd::uses_vip(balancer, vip))
}

fn rows<'a>(
    network: Network<'a, '_>,
    router: RouterId,
    ids: impl IntoIterator<Item = NatId>,
) -> Vec<Forward<'a>> {
    let rows = ids.into_iter().filter_map(|id| Some((id, network.store.nat(id)?)));
    // A row that several routers refer to belongs to only one.
    let here = rows.filter(|(_, nat)| nat.router == Some(router));
    here.filter_map(|(id, nat)| row(network, id, nat)).collect()
}

fn row<'a>(network: Network<'a, '_>, id: NatId, nat: &'a Nat) -> Option<Forward<'a>> {
    let Network { store, owner } = network;
    if owner.owns(nat) {
        let converted = owner.role(nat) == Some(Role::DefaultTarget);
        // The VIP that it replaces must still exist in its balancer; otherwise the forward is gone.
        let alive = converted && undo::targets(store, nat).next().is_some();
        return alive.then_some(Forward::Converted(id, nat));
    }
    let forwards = matches!(nat.kind, Some(NatKind::Dnat | NatKind::DnatAndSnat))
        && nat.logical_host().is_some()
        && northd::forward_flaw(store, nat).is_none();
    // An identity row only makes the router answer ARP for an address that is routed anyway.
    let identity = nat.logical_host() == nat.external_ip();
    let is_inside = || {
        let place = nat.router.zip(nat.external_ip());
        place.is_some_and(|(router, external)| is_internal(store, router, external))
    };
    (forwards && !identity && !is_inside()).then_some(Forward::Nat(id, nat))
}

/// Returns whether the address lies in a network on the inner side of the router, or in no network with an outside. A
/// VIP on such an address is a service among instances and not a forward.
pub fn is_internal(store: &Store, router: RouterId, address: IpAddr) -> bool {
    if !is_routable(address) {
        return true;
    }
    let ports = || router_ports(store, router).map(|(_, port)| port);
    let mut here = ports().filter(|port| in_networks(port, address)).peekable();
    if here.peek().is_none() {
        // It may be in a network behind further routers.
        return is_translated(store, router, address);
    }
    if ports().any(|port| port.is_gateway()) {
        return here.any(|port| !port.is_gateway());
    }
    here.any(|port| is_inner(store, router, port, address))
}

/// Returns whether anybody outside can send to the address: no router forwards packets for link-local, loopback,
/// multicast or unspecified addresses (RFC 6890). These include addresses of node-local services.
fn is_routable(address: IpAddr) -> bool {
    let is_local = match address {
        IpAddr::V4(v4) => v4.is_link_local() || v4.is_broadcast(),
        IpAddr::V6(v6) => v6.is_unicast_link_local(),
    };
    !(is_local || address.is_loopback() || address.is_multicast() || address.is_unspecified())
}

/// Returns whether the router translates the address as the source of leaving packets, as one of a network: it is then
/// an inner address. A row for all addresses proves nothing.
fn is_translated(store: &Store, router: RouterId, address: IpAddr) -> bool {
    let mut networks = store.network_snats(router).filter_map(|(_, nat)| nat.logical_ip());
    networks.any(|network| network.prefix_len() > 0 && network.contains(&address))
}

/// Returns whether the address in a network of the port is on the inner side of a router without gateway ports. There
/// the SNAT of its networks shows the sides: the network of its external address is outside, and the networks that it
/// translates are inside. Without such SNAT nothing is known except that the router's own addresses are not forwards.
fn is_inner(store: &Store, router: RouterId, port: &RouterPort, address: IpAddr) -> bool {
    let leaving = store.network_snats(router).filter_map(|(_, nat)| nat.external_ip().zip(nat.logical_ip()));
    let leaving: Vec<_> = leaving.collect();
    // An external address in the network that the row translates proves nothing.
    let shows = |network: &IpNet, (external, logical): &(IpAddr, IpNet)| {
        network.contains(external) && !network.contains(logical) && !is_part(network, logical)
    };
    let is_outer =
        |port: &RouterPort| port.networks.iter().any(|network| leaving.iter().any(|row| shows(network, row)));
    let is_inside = || is_translated(store, router, address);
    let is_own = || port.networks.iter().any(|net| net.addr() == address);
    !is_outer(port)
        && (is_own() || is_inside() || router_ports(store, router).any(|(_, port)| is_outer(port)))
}

/// Returns whether a network lies in another one that does not hold all addresses.
fn is_part(network: &IpNet, whole: &IpNet) -> bool {
    whole.prefix_len() > 0 && whole.contains(network)
}

fn in_networks(port: &RouterPort, address: IpAddr) -> bool {
    port.networks.iter().any(|network| network.contains(&address))
}

/// Returns whether the address is in the same inner network of the router as one of an instance's addresses. Even a router
/// whose sides are not known does not forward it to the instance from outside. The network of a gateway port is outside,
/// even if it contains the instances' networks.
pub fn is_neighbour(store: &Store, router: RouterId, address: IpAddr, internal: &[IpAddr]) -> bool {
    let is_outer = |id| gateway_ports(store, router).any(|outer| outer == id);
    let inner = router_ports(store, router).filter(|(id, _)| !is_outer(*id));
    let mut networks = inner.flat_map(|(_, port)| port.networks.iter());
    networks.any(|net| net.contains(&address) && internal.iter().any(|internal| net.contains(internal)))
}

impl Forward<'_> {
    /// Returns the address that is forwarded.
    pub fn address(&self) -> Option<IpAddr> {
        match self {
            Self::Vip(_, vip) => Some(vip.endpoint.address),
            Self::Nat(_, nat) | Self::Converted(_, nat) => nat.external_ip(),
        }
    }

    /// Returns the port that is forwarded; `None` for the whole address.
    pub fn port(&self) -> Option<NonZeroU16> {
        if let Self::Vip(_, vip) = self { vip.endpoint.port } else { None }
    }

    /// Returns its targets.
    pub fn targets(&self) -> impl Iterator<Item = IpAddr> {
        let (vip, nat) = match self {
            Self::Vip(_, vip) => (Some(vip), None),
            Self::Nat(_, nat) | Self::Converted(_, nat) => (None, nat.logical_host()),
        };
        vip.into_iter().flat_map(|vip| vip.backends().iter().map(|backend| backend.address)).chain(nat)
    }

    /// Returns whether it leads to one of `addresses` and nowhere else.
    pub fn leads_only_to(&self, addresses: &[IpAddr]) -> bool {
        self.targets().next().is_some() && self.targets().all(|target| addresses.contains(&target))
    }

    /// Returns whether it is a VIP for all ports of the address.
    pub fn is_default_target(&self) -> bool {
        matches!(self, Self::Vip(_, vip) if vip.endpoint.port.is_none())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::testing::NetworkBuilder;

    const A: &str = "203.0.113.10";

    /// Returns whether `A` is elsewhere for a router with the least or the greatest of all UUIDs beside `R`, and for `R`.
    fn is_elsewhere_for(network: &NetworkBuilder) -> [bool; 3] {
        let mut network = network.clone();
        let others = ["00000000-0000-4000-8000-000000000001", "ffffffff-ffff-4fff-bfff-ffffffffffff"];
        others.iter().for_each(|name| network.router(name));
        let store = network.store();
        let named =
            |name: &str| store.routers().find(|(_, row)| &*row.name == name).map(|(id, _)| id).unwrap();
        [others[0], others[1], "R"]
            .map(|name| is_elsewhere(network.rules.network(&store), named(name), A.parse().unwrap()))
    }

    #[test]
    fn address_of_another_router_counts_as_elsewhere() {
        let network = NetworkBuilder::new();
        assert_eq!(is_elsewhere_for(&network), [false; 3]);
        let mut forwarded = network.clone();
        forwarded.balancer("fw", &[("203.0.113.10:80", "10.57.0.11:80")], &["R"]);
        assert_eq!(is_elsewhere_for(&forwarded), [true, true, false]);
        let mut its_own = network.clone();
        its_own.router_port("R", "R-more", &["203.0.113.10/32"]);
        assert_eq!(is_elsewhere_for(&its_own), [true, true, false]);
        let mut foreign = network;
        foreign.nat("one", "R", "snat", A, "10.57.0.12");
        assert_eq!(is_elsewhere_for(&foreign), [true, true, false]);
    }

    #[test]
    fn override_on_the_router_with_the_least_uuid_keeps_its_address() {
        let mut network = NetworkBuilder::new();
        network.own_row("p1", A, "10.57.0.11", None);
        assert_eq!(is_elsewhere_for(&network), [false, true, false]);
        // A row that drains has no claim.
        let mut network = NetworkBuilder::new();
        let name = network.row_of_role(Role::Drain, "p1", A, &[]);
        network.put("NAT", &name, json!({"type": "snat", "external_ip": A, "logical_ip": "240.0.0.1"}));
        assert_eq!(is_elsewhere_for(&network), [false; 3]);
    }

    #[test]
    fn network_snat_shows_the_outer_side_of_a_router_without_gateway_ports() {
        const INSIDE: (&str, &str) = ("203.0.113.2", "10.57.0.0/24");
        const OWN: &str = "10.57.0.1";
        // The SNAT row, an address, and whether it is internal. The router also has 192.168.7.1/24.
        let cases = [
            (Some(INSIDE), A, false),
            (Some(INSIDE), "203.0.113.2", false),
            (Some(INSIDE), "10.57.0.50", true),
            // Where there is an outer side, everything else is inside.
            (Some(INSIDE), "192.168.7.50", true),
            // Nothing is known, except what the router has itself.
            (None, A, false),
            (None, "10.57.0.50", false),
            (None, OWN, true),
            // A row for all addresses shows the outer side.
            (Some(("203.0.113.2", "0.0.0.0/0")), "203.0.113.2", false),
            (Some(("203.0.113.2", "0.0.0.0/0")), "10.57.0.50", true),
            // One for a network that its external address is in, too, shows none.
            (Some(("203.0.113.2", "203.0.112.0/23")), A, true),
            (Some(("203.0.113.2", "203.0.113.0/25")), A, true),
            (Some(("203.0.113.2", "203.0.113.0/25")), "203.0.113.200", false),
        ];
        for (snat, address, internal) in cases {
            let mut network = NetworkBuilder::new();
            network.bind_to_chassis();
            network.router_port("R", "R-T", &["192.168.7.1/24"]);
            network.delete("NAT", "base");
            if let Some((external, logical)) = snat {
                network.nat("base", "R", "snat", external, logical);
            }
            let store = network.store();
            let (router, _) = store.routers().next().unwrap();
            assert_eq!(is_internal(&store, router, address.parse().unwrap()), internal, "{address} {snat:?}");
        }
    }
}
