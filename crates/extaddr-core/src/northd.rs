//! The rules of ovn-northd: the virtual addresses, NAT rows and port addresses for which it makes flows, and the
//! reasons why it ignores others.
//!
//! What northd ignores has no effect: it forwards nothing, translates nothing, and must never be converted to something
//! that does. Each rule names the function of OVN that it follows.

mod seen;
#[cfg(test)]
mod tests;

use std::net::IpAddr;
use std::num::NonZeroU16;

use ovn_model::{
    ElementKind, Endpoint, Family, LoadBalancer, Nat, NatId, NatKind, Port, RouterId, RouterPort,
    RouterPortId, Store, Vip, is_host, keys, parse_port,
};
use ovsdb_protocol::Rare;
use smallvec::SmallVec;

use crate::topology::{gateway_ports, holds, router_ports};

pub use seen::{SeenSource, seen_behind_balancer, seen_behind_dnat};

/// The reason why northd ignores a virtual address as a whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum VipFlaw {
    /// A backend is not an address.
    Unreadable,
    /// A backend is of the other family.
    Family,
    /// A backend has a port, and the VIP has none.
    BackendPort,
    /// The VIP has a port, and a backend has none.
    NoBackendPort,
    /// A backend is missing before a comma.
    Gap,
}

/// The reason why northd ignores a NAT row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum NatFlaw {
    /// `external_ip` is not an address.
    External,
    /// `external_ip` is a network. Since 25.03 northd uses a row that forwards for all of the network's addresses;
    /// before, it ignored the row.
    ExternalNetwork,
    /// `external_ip` is an address of the router itself, which consumes packets for it.
    RouterAddress,
    /// `logical_ip` is not an address or network of the family of `external_ip`.
    Logical,
    /// `logical_ip` is a network, which only a `snat` row may have.
    Network,
    /// `gateway_port` is not a gateway port of the router.
    GatewayPort,
    /// There are several gateway ports, none of them is named, and none of their networks holds the address.
    NoGatewayPort,
    /// It has both allowed and exempted peers.
    ExternalIps,
    /// `external_mac` is not an Ethernet address.
    Mac,
    /// An address that the row translates to is written with a mask.
    Mask,
    /// `external_port_range` is not a port range.
    PortRange,
}

/// Returns whether northd uses a VIP, and the VIP is the same on each chassis.
///
/// The values of a template are in `Chassis_Template_Var`, different for each chassis: its VIPs never count as
/// forwards, not even those without a variable (lib/lb.c, `ovn_lb_vip_init_template`).
pub fn uses_vip(balancer: &LoadBalancer, vip: &Vip) -> bool {
    !balancer.is_template() && vip_flaw(vip).is_none()
}

/// Returns whether a router, by one of its ports, announces the addresses of VIPs and not those of NAT rows (`options` of
/// both in ovn-nb(5), since OVN 25.03). Its neighbours may do the same for it, and are not looked at.
pub fn announces_only_balancers(store: &Store, router: RouterId) -> bool {
    let Some(row) = store.router(router) else { return false };
    let option = |option: &Rare<Option<Box<str>>>| option.get().cloned().flatten();
    if !option(&row.dynamic_routing).is_some_and(|text| text.eq_ignore_ascii_case("true")) {
        return false;
    }
    let of_router = option(&row.redistribute);
    router_ports(store, router).any(|(_, port)| {
        let modes = option(&port.redistribute).or_else(|| of_router.clone()).unwrap_or_default();
        // northd removes no white space (northd/northd.c, `parse_dynamic_routing_redistribute`).
        let has = |mode: &str| modes.split(',').any(|other| other == mode);
        has("lb") && !has("nat")
    })
}

/// Returns the ports (or all) of an address of the router for which VIPs that are not forwards take replies. These are
/// VIPs of templates that do not name a variable, and those whose forwarding flow ovn-controller refuses, but not the
/// flow beside it (northd/northd.c, `build_lrouter_nat_flows_for_lb`, in `S_ROUTER_IN_UNSNAT`).
pub fn idle_ports(
    store: &Store,
    router: RouterId,
    address: IpAddr,
) -> impl Iterator<Item = Option<NonZeroU16>> {
    let balancers = store.balancers_with_vip(address).filter_map(move |id| {
        let row = store.load_balancer(id)?;
        let is_idle = |vip: &&Vip| row.is_template() || is_refused(vip);
        let idle = row.vips.on(address).iter().filter(is_idle).map(|vip| vip.endpoint.port);
        let mut idle = idle.peekable();
        // Every decision calls this, and most balancers have none.
        idle.peek()?;
        store.attachment(router, id).map(|_| idle.collect::<SmallVec<[_; 1]>>())
    });
    balancers.flatten()
}

/// Returns whether northd makes flows for a VIP of which ovn-controller refuses the forwarding one, since it parses
/// backends differently: none may be empty, and brackets are for IPv6 (lib/actions.c, `parse_ct_lb_action`).
fn is_refused(vip: &Vip) -> bool {
    // Every decision calls this.
    if !vip.is_doubtful() && !vip.has_gap() {
        return false;
    }
    let fits = |text: &str| {
        let backend = Endpoint::parse(text);
        backend.is_some_and(|backend| backend_flaw(vip.endpoint, backend).is_none())
    };
    match vip_flaw(vip) {
        Some(VipFlaw::Gap) => true,
        Some(VipFlaw::Unreadable) => vip.value().split(',').filter(|text| !text.is_empty()).all(fits),
        _ => false,
    }
}

/// Returns why northd ignores a VIP; `None` where it uses it.
///
/// Since OVN 22.12 one backend is enough for that (lib/lb.c, `ovn_lb_backend_init_explicit`, called by
/// `ovn_northd_lb_init` of northd/lb.c). Before, northd omitted only the backend, and did not compare ports; what one
/// release ignores is treated as ignored by all, since nobody can intend it.
pub fn vip_flaw(vip: &Vip) -> Option<VipFlaw> {
    if vip.is_doubtful() {
        return Some(VipFlaw::Unreadable);
    }
    let flaw = |backend: &Endpoint| backend_flaw(vip.endpoint, *backend);
    // For one that it does not ignore, northd makes a flow that ovn-controller refuses (lib/actions.c,
    // `parse_ct_lb_action`).
    vip.backends().iter().find_map(flaw).or_else(|| vip.has_gap().then_some(VipFlaw::Gap))
}

/// Returns why northd ignores a VIP with such a backend.
fn backend_flaw(vip: Endpoint, backend: Endpoint) -> Option<VipFlaw> {
    match (vip.port, backend.port) {
        _ if Family::from(backend.address) != Family::from(vip.address) => Some(VipFlaw::Family),
        (None, Some(_)) => Some(VipFlaw::BackendPort),
        (Some(_), None) => Some(VipFlaw::NoBackendPort),
        _ => None,
    }
}

/// Returns why northd ignores a NAT row of a router; `None` where it uses it, if it uses NAT on the router at all.
pub fn nat_flaw(store: &Store, nat: &Nat) -> Option<NatFlaw> {
    let external = nat.external_ip();
    let Some(external) = external else {
        // northd/en-lr-nat.c, `lr_nat_entry_ext_addrs_valid`; up to 24.09 `lrouter_check_nat_entry` of northd/northd.c.
        // Leaving packets cannot be translated to a network in any release.
        let forwards_all = nat.kind != Some(NatKind::Snat) && nat.external_network().is_some();
        return Some(if forwards_all { NatFlaw::ExternalNetwork } else { NatFlaw::External });
    };
    // All since 20.09; a bad `external_mac` up to 24.09 only where the row is distributed.
    if nat.external_ips().is_err() {
        return Some(NatFlaw::ExternalIps);
    }
    if nat.has_bad_external_mac() {
        return Some(NatFlaw::Mac);
    }
    // northd makes flows for these that ovn-controller refuses (lib/actions.c, `parse_ct_nat`).
    let is_snat = nat.kind == Some(NatKind::Snat);
    if if is_snat { nat.is_external_masked() } else { nat.is_logical_masked() } {
        return Some(NatFlaw::Mask);
    }
    let is_stateless = nat.kind == Some(NatKind::DnatAndSnat) && nat.stateless.get() == Some(&true);
    if !is_stateless && !is_port_range(&nat.external_port_range_text()) {
        return Some(NatFlaw::PortRange);
    }
    match nat.logical_ip() {
        Some(logical) if Family::from(logical.addr()) != Family::from(external) => Some(NatFlaw::Logical),
        None => Some(NatFlaw::Logical),
        Some(logical) if !is_snat && !is_host(&logical) => Some(NatFlaw::Network),
        Some(_) => nat_port(store, nat).err(),
    }
}

/// Returns why northd does not forward by a NAT row, which may still translate leaving packets.
pub fn forward_flaw(store: &Store, nat: &Nat) -> Option<NatFlaw> {
    let place = nat.router.zip(nat.external_ip());
    let is_kept = || place.is_some_and(|(router, external)| keeps(store, router, external));
    nat_flaw(store, nat).or_else(|| is_kept().then_some(NatFlaw::RouterAddress))
}

/// Returns whether a router consumes packets for an address: one of its own that is not in a `snat` row, a VIP, or an
/// option that makes the router translate to it (northd/northd.c, `build_lrouter_drop_own_dest`). Our own rows do not
/// count: they would expose an address that was not exposed.
fn keeps(store: &Store, router: RouterId, address: IpAddr) -> bool {
    let is_own = |port: &RouterPort| port.networks.iter().any(|network| network.addr() == address);
    if !router_ports(store, router).any(|(_, port)| is_own(port)) {
        return false;
    }
    let rows = store.nats_by_external(router, address).iter().chain(store.host_snats(router, address));
    let mut rows = rows.filter_map(|id| store.nat(*id));
    let is_snat = |nat: &Nat| nat.kind == Some(NatKind::Snat) && nat.tags.get(keys::OWNER).is_none();
    let balancers = store.balancers_with_vip(address).filter_map(|id| {
        store.attachment(router, id)?;
        store.load_balancer(id)
    });
    // A template's addresses are not known here.
    let mut vips = balancers.filter(|row| !row.is_template()).flat_map(|row| row.vips.on(address));
    let is_forced = || {
        let Some(row) = store.router(router) else { return false };
        let options = [row.lb_force_snat.get(), row.dnat_force_snat.get()];
        let mut texts = options.into_iter().filter_map(|option| option.and_then(Option::as_deref));
        seen::is_seen_as_router_port(row) || texts.any(|text| seen::forced_addresses(text).contains(&address))
    };
    !rows.any(is_snat) && !vips.any(|vip| vip_flaw(vip).is_none() || is_refused(vip)) && !is_forced()
}

/// Returns the gateway port whose packets a NAT row translates; `None` if it translates those of every port.
///
/// OVN: northd/en-lr-nat.c, `lr_nat_entry_set_dgw_port`; up to 24.09 `lrouter_check_nat_entry` of northd/northd.c.
///
/// # Errors
/// It is for no gateway port, and northd ignores it.
pub fn nat_port(store: &Store, nat: &Nat) -> Result<Option<RouterPortId>, NatFlaw> {
    // northd does not find an address that is written with a mask or leading blanks (northd/northd.c,
    // `lrp_find_member_ip`).
    let is_plain = || !nat.is_external_masked() && !nat.external_ip_text().starts_with([' ', '\t']);
    let external = nat.external_ip().filter(|_| is_plain());
    nat.router.map_or(Ok(None), |router| gateway_of(store, router, nat.gateway_port, external))
}

/// Returns the same for a row with this external address that names this gateway port, or none.
///
/// # Errors
/// It would be for no gateway port.
pub fn gateway_of(
    store: &Store,
    router: RouterId,
    named: Option<RouterPortId>,
    external: Option<IpAddr>,
) -> Result<Option<RouterPortId>, NatFlaw> {
    let mut ports = gateway_ports(store, router);
    if let Some(named) = named {
        return if ports.any(|port| port == named) { Ok(Some(named)) } else { Err(NatFlaw::GatewayPort) };
    }
    let ports: Vec<_> = ports.collect();
    match (&*ports, external) {
        ([], _) => Ok(None),
        ([port], _) => Ok(Some(*port)),
        // Before OVN 22.06 there was no column to name one.
        _ if !store.supports(Nat::COLUMNS.gateway_port) => Ok(None),
        // Of several possible ones northd takes any. The one with the least UUID is assumed.
        (ports, Some(external)) => {
            let at_home = ports.iter().filter(|port| holds(store, **port, external));
            let least = at_home.min_by_key(|port| store.router_port(**port).map(|row| row.uuid));
            least.map(|port| Some(*port)).ok_or(NatFlaw::NoGatewayPort)
        }
        (_, None) => Err(NatFlaw::NoGatewayPort),
    }
}

/// Returns whether `external_port_range` is empty, a port, or two ports with a hyphen between them, the greater last.
fn is_port_range(text: &str) -> bool {
    let port = |text: &str| parse_port(text.trim()).filter(|port| *port > 0);
    match text.split_once('-') {
        None => text.is_empty() || port(text).is_some(),
        Some((first, last)) => port(first).zip(port(last)).is_some_and(|(first, last)| first < last),
    }
}

/// Returns the rows with which some releases forward an address as part of its network. A row for that address alone
/// has a flow of the same priority (northd/northd.c, `build_lrouter_in_dnat_flow`).
pub fn forwarding_network(
    store: &Store,
    router: RouterId,
    address: IpAddr,
) -> impl Iterator<Item = (NatId, &Nat)> {
    let rows = store.nats_by_external_network(router).iter().filter_map(|id| Some((*id, store.nat(*id)?)));
    rows.filter(move |(_, nat)| {
        nat.kind != Some(NatKind::Snat)
            && nat.external_network().is_some_and(|network| network.contains(&address))
    })
}

/// Returns whether packets that a load balancer of the router forwards may arrive at any chassis, and so may the
/// replies to connections that leave with the address: the balancer is distributed, and the address is in no network of
/// a gateway port, whose chassis answers for it (northd/northd.c, `build_distr_lrouter_nat_flows_for_lb`, since 26.03).
pub fn is_spread(store: &Store, router: RouterId, balancer: &LoadBalancer, address: IpAddr) -> bool {
    // Every decision calls this, and hardly any balancer is.
    if !balancer.is_distributed() {
        return false;
    }
    let mut ports = gateway_ports(store, router).peekable();
    ports.peek().is_some() && !ports.any(|port| holds(store, port, address))
}

/// Returns whether a router translates for a load balancer without connection tracking, since it has several gateway
/// ports (northd/northd.c, `build_lrouter_nat_flows_for_lb`, since 25.03). Replies of the backends leave as any packet
/// does, and a row for one of them would give them other source ports.
pub fn is_stateless(store: &Store, router: RouterId, balancer: &LoadBalancer) -> bool {
    balancer.is_stateless() && gateway_ports(store, router).nth(1).is_some()
}

/// Returns whether a row is applied on the hypervisor of its own port, and not where the gateway port is bound: all
/// replies to its external address arrive there (northd/en-lr-nat.c, `lr_nat_entry_set_dgw_port`; up to 24.09
/// `lrouter_check_nat_entry` of northd/northd.c).
pub fn is_distributed(store: &Store, nat: &Nat) -> bool {
    nat.distributed_at().is_some() && matches!(nat_port(store, nat), Ok(Some(_)))
}

/// Returns the addresses by which packets from the router reach a port: its `own`, and those of ports of type `virtual`
/// on its switch that name it as a parent (controller/pinctrl.c, `pinctrl_handle_bind_vport`).
pub fn reached_addresses(
    store: &Store,
    port: &Port,
    family: Family,
    own: &[IpAddr],
) -> SmallVec<[IpAddr; 1]> {
    let virtuals = store.virtuals_of(&port.name).iter().filter_map(|id| store.port(*id));
    let virtuals = virtuals.filter(|row| row.switch == port.switch && !row.is_disabled());
    let virtuals = virtuals.filter_map(Port::virtual_ip).filter(|ip| Family::from(*ip) == family);
    own.iter().copied().chain(virtuals.filter(|ip| !own.contains(ip))).collect()
}

/// Returns the addresses of a family that a port has, static or allocated, sorted, each once.
///
/// An allocated address counts only as long as the port requests an allocation (northd/northd.c, `build_ipam`): until
/// northd clears the column, the address may be another port's. No router forwards packets with a link-local address,
/// RFC 4291 section 2.5.6 and RFC 3927 section 7.
pub fn port_addresses(port: &Port, family: Family) -> SmallVec<[IpAddr; 1]> {
    let asks = || port.addresses().iter().any(|element| element.kind() == ElementKind::Dynamic);
    let mut addresses = SmallVec::<[IpAddr; 1]>::new();
    let mut add = |address| {
        if Family::from(address) == family && !is_link_local(address) {
            addresses.push(address);
        }
    };
    port.addresses().for_each_assigned(&mut add);
    if !port.dynamic_addresses().is_empty() && asks() {
        port.dynamic_addresses().for_each_assigned(&mut add);
    }
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
    /// Describes the flaw.
    pub fn sentence(self) -> &'static str {
        match self {
            Self::Unreadable => "a backend is not an address",
            Self::Family => "a backend is of the other family",
            Self::BackendPort => "a backend has a port and the VIP has none",
            Self::NoBackendPort => "the VIP has a port and a backend has none",
            Self::Gap => "a backend is missing before a comma",
        }
    }
}

// ===== impl NatFlaw =====

impl NatFlaw {
    /// Describes the flaw.
    pub fn sentence(self) -> &'static str {
        match self {
            Self::External => "external_ip is not an address",
            Self::ExternalNetwork => {
                "external_ip is a network, all addresses of which OVN 25.03 and later send to logical_ip"
            }
            Self::RouterAddress => {
                "external_ip is the router's own address, which it keeps unless a snat row or a VIP has it"
            }
            Self::Logical => "logical_ip is not of the family of external_ip",
            Self::Network => "logical_ip is a network",
            Self::GatewayPort => "gateway_port is not a gateway port of the router",
            Self::NoGatewayPort => "it names no gateway port",
            Self::ExternalIps => "it has both allowed_ext_ips and exempted_ext_ips",
            Self::Mac => "external_mac is not an Ethernet address",
            Self::Mask => "the address that it translates to is written with a mask",
            Self::PortRange => "external_port_range is neither a port nor a range",
        }
    }
}
