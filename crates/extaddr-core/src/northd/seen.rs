//! The source that an instance sees in packets that a router forwards to it: `lb_force_snat_ip`, `dnat_force_snat_ip`
//! and `skip_snat`.

use std::net::IpAddr;

use ovn_model::{Family, LoadBalancer, Router, parse_prefix};

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

/// Reads addresses as northd does (northd/en-lr-nat.c, `get_force_snat_ip`): one invalid address makes the whole value
/// invalid.
fn forced(addresses: Option<&str>, family: Family) -> SeenSource {
    let parsed = addresses.unwrap_or_default().split_ascii_whitespace().map(parse_prefix);
    let Some(parsed) = parsed.collect::<Option<Vec<_>>>() else { return SeenSource::Usual };
    let mut of_family =
        parsed.iter().map(ipnet::IpNet::addr).filter(|address| Family::from(*address) == family);
    of_family.next().map_or(SeenSource::Usual, SeenSource::Forced)
}
