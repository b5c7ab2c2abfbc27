//! The source that an instance sees in packets that a router forwards to it: `lb_force_snat_ip`, `dnat_force_snat_ip`
//! and `skip_snat`.

use std::net::IpAddr;

use ovn_model::{Family, LoadBalancer, Router, is_host, parse_prefix};

/// The source of packets that a router has forwarded to an instance.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SeenSource {
    /// The sender, unless a rule for the source says otherwise.
    Usual,
    /// The sender, whatever the rules say.
    Kept,
    /// This address.
    Forced(IpAddr),
    /// The address of the router port by which they leave.
    RouterPort,
}

/// Returns the source that is seen behind a load balancer of a router.
///
/// Only on a router that is bound to a chassis do these options affect packets from outside (northd/northd.c,
/// `build_lrouter_nat_defrag_and_lb` and `build_lrouter_flows_for_lb`; which of them it is,
/// `build_lrouter_nat_flows_for_lb`). It is so from 22.03 to 26.03.
pub fn seen_behind_balancer(router: &Router, balancer: &LoadBalancer, family: Family) -> SeenSource {
    if router.chassis.is_none() {
        return SeenSource::Usual;
    }
    if balancer.skips_snat() {
        return SeenSource::Kept;
    }
    if is_seen_as_router_port(router) {
        return SeenSource::RouterPort;
    }
    forced(router.lb_force_snat.get().and_then(Option::as_deref), family)
}

/// Returns whether packets that load balancers of a router forward get the address of the port by which they leave.
pub(super) fn is_seen_as_router_port(router: &Router) -> bool {
    router.chassis.is_some() && router.lb_force_snat.get().and_then(Option::as_deref) == Some("router_ip")
}

/// Returns the source that is seen behind a `dnat` row of a router (northd/northd.c, `build_lrouter_in_dnat_flow`).
pub fn seen_behind_dnat(router: &Router, family: Family) -> SeenSource {
    let addresses = router.dnat_force_snat.get().and_then(Option::as_deref);
    forced(addresses.filter(|_| router.chassis.is_some()), family)
}

fn forced(addresses: Option<&str>, family: Family) -> SeenSource {
    let addresses = forced_addresses(addresses.unwrap_or_default());
    let address = addresses.into_iter().find(|address| Family::from(*address) == family);
    address.map_or(SeenSource::Usual, SeenSource::Forced)
}

/// Reads addresses as northd does (lib/ovn-util.c, `extract_ip_address`): those before the first character that belongs
/// to none. All of them are invalid if there are two of a family, or a network.
pub(super) fn forced_addresses(text: &str) -> Vec<IpAddr> {
    let mut found = Vec::new();
    for word in text.split_ascii_whitespace() {
        let end = word.find(|c: char| !c.is_ascii_hexdigit() && !['.', ':', '/'].contains(&c));
        let Some(address) = parse_prefix(&word[..end.unwrap_or(word.len())]) else { break };
        found.push(address);
        if end.is_some() {
            break;
        }
    }
    let is_single = |family| found.iter().filter(|net| Family::from(net.addr()) == family).count() <= 1;
    if !Family::ALL.into_iter().all(is_single) || !found.iter().all(is_host) {
        return Vec::new();
    }
    found.iter().map(ipnet::IpNet::addr).collect()
}
