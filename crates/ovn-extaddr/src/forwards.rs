//! Forward addresses: what routers send to instances.

use std::cell::LazyCell;
use std::net::IpAddr;
use std::num::NonZeroU16;

use ovn_model::{LoadBalancerId, Nat, NatId, NatKind, RouterId, Store, Vip};

use crate::conversion;
use crate::ownership::{Owner, Role};
use crate::rules::Rules;
use crate::topology::{gateway_ports, router_ports};

/// One reason why an address is a forward address of a router.
#[derive(Clone, Copy, Debug)]
pub enum Forward<'a> {
    /// A VIP of a load balancer on the router.
    Vip(LoadBalancerId, &'a Vip),
    /// A `dnat` or `dnat_and_snat` row of the router.
    Nat(NatId, &'a Nat),
    /// A row of ours that does the work of a VIP without a port.
    Converted(NatId, &'a Nat),
}

/// Returns why `address` is a forward address of `router`; nothing if it is none.
pub fn at<'a>(
    store: &'a Store,
    owner: &Owner,
    router: RouterId,
    address: IpAddr,
) -> impl Iterator<Item = Forward<'a>> {
    let balancers = store.balancers_with_vip(address).iter().copied();
    // The same for all, and not asked for where there are none.
    let is_internal = LazyCell::new(move || is_internal(store, router, address));
    let balancers = balancers.filter(move |id| store.attachment(router, *id).is_some() && !*is_internal);
    let vips = balancers
        .filter_map(move |id| Some((id, store.load_balancer(id)?)))
        .flat_map(move |(id, row)| row.vips_on(address).iter().map(move |vip| Forward::Vip(id, vip)));
    vips.chain(rows(store, owner, router, store.nats_by_external(router, address)))
}

/// Returns whether another network than that of `router` has the address: a router forwards it, has it itself, or
/// leaves with it.
///
/// Of our own overrides on several routers, those on the router with the least UUID have it: so it is decided the same
/// way everywhere, whoever came first.
pub fn is_elsewhere(store: &Store, owner: &Owner, router: RouterId, address: IpAddr) -> bool {
    let uuid = |router| store.router(router).map(|row| row.uuid);
    store.routers().filter(|(other, _)| *other != router).any(|(other, row)| {
        let rows = store.host_snats(other, address).iter().chain(store.nats_by_external(other, address));
        let leaves = |nat: &Nat| match owner.role(nat) {
            None => is_egress(nat),
            Some(role) => role == Role::Egress && Some(row.uuid) < uuid(router),
        };
        at(store, owner, other, address).next().is_some()
            || rows.filter_map(|id| store.nat(*id)).any(leaves)
            || router_ports(store, other)
                .any(|(_, port)| port.networks.iter().any(|net| net.addr() == address))
    })
}

/// Returns whether an address may be used on a router that does not forward it: the configuration
/// says so, and no other network has it.
pub fn is_allowed(store: &Store, rules: &Rules, router: RouterId, external: IpAddr) -> bool {
    store.router(router).is_some_and(|row| rules.permits(&row.name, external))
        && !is_elsewhere(store, &rules.owner, router, external)
}

/// Returns whether a row changes the source of what leaves.
pub fn is_egress(nat: &Nat) -> bool {
    matches!(nat.kind, Some(NatKind::Snat | NatKind::DnatAndSnat))
}

/// Returns the addresses that `router` sends to `target`, among others perhaps.
pub fn leading_to(store: &Store, owner: &Owner, router: RouterId, target: IpAddr) -> Vec<IpAddr> {
    let balancers = store.balancers_with_backend(target).iter().copied();
    let balancers = balancers.filter(|id| store.attachment(router, *id).is_some());
    let vips = balancers.filter_map(|id| store.load_balancer(id)).flat_map(|row| {
        let vips = row.vips.iter().filter(|vip| vip.backends.iter().any(|b| b.address == target));
        vips.map(|vip| vip.endpoint.address).filter(|address| !is_internal(store, router, *address))
    });
    let rows = rows(store, owner, router, store.nats_by_logical(router, target));
    let mut found: Vec<_> = vips.chain(rows.filter_map(|forward| forward.address())).collect();
    found.sort_unstable();
    found.dedup();
    found
}

/// Returns all forwards of `router`, sorted by address and port.
pub fn of<'a>(store: &'a Store, owner: &'a Owner, router: RouterId) -> Vec<Forward<'a>> {
    let vips = store.load_balancers_of(router).filter_map(|id| Some((id, store.load_balancer(id)?)));
    let vips = vips.flat_map(|(id, row)| row.vips.iter().map(move |vip| Forward::Vip(id, vip)));
    let vips = vips.filter(|vip| vip.address().is_some_and(|address| !is_internal(store, router, address)));
    let mut found: Vec<_> = vips.chain(rows(store, owner, router, store.nats_of(router))).collect();
    found.sort_by_key(|forward| (forward.address(), forward.port()));
    found
}

fn rows<'a>(
    store: &'a Store,
    owner: &Owner,
    router: RouterId,
    ids: &[NatId],
) -> impl Iterator<Item = Forward<'a>> + use<'a> {
    let rows = ids.iter().filter_map(|id| Some((*id, store.nat(*id)?)));
    // One that several routers claim is only one's.
    let here = rows.filter(|(_, nat)| nat.router == Some(router));
    let found: Vec<_> = here.filter_map(|(id, nat)| row(store, owner, id, nat)).collect();
    found.into_iter()
}

fn row<'a>(store: &'a Store, owner: &Owner, id: NatId, nat: &'a Nat) -> Option<Forward<'a>> {
    if owner.owns(nat) {
        let converted = owner.role(nat) == Some(Role::DefaultTarget);
        // The VIP that it stands for must be there still: its balancer is, or the forward is gone.
        let alive = converted && conversion::targets(store, nat).next().is_some();
        return alive.then_some(Forward::Converted(id, nat));
    }
    let forwards = matches!(nat.kind, Some(NatKind::Dnat | NatKind::DnatAndSnat));
    // An identity row only makes the router answer ARP for an address that is routed anyway.
    let identity = nat.logical_host().is_some() && nat.logical_host() == nat.external_ip();
    (forwards && !identity).then_some(Forward::Nat(id, nat))
}

/// Returns whether the address lies in a network on the inner side of the router. A VIP there is a
/// service among instances and no forward.
pub fn is_internal(store: &Store, router: RouterId, address: IpAddr) -> bool {
    // A router that is a gateway as a whole does not show which side is which: there only its own
    // addresses are certainly none.
    let has_gateway_port = gateway_ports(store, router).next().is_some();
    router_ports(store, router).any(|(_, port)| {
        port.networks.iter().any(|network| {
            if has_gateway_port {
                !port.is_gateway() && network.contains(&address)
            } else {
                network.addr() == address
            }
        })
    })
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

    /// Returns where it leads.
    pub fn targets(&self) -> impl Iterator<Item = IpAddr> {
        let (vip, nat) = match self {
            Self::Vip(_, vip) => (Some(vip), None),
            Self::Nat(_, nat) | Self::Converted(_, nat) => (None, nat.logical_host()),
        };
        vip.into_iter().flat_map(|vip| vip.backends.iter().map(|backend| backend.address)).chain(nat)
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
