//! The source that an instance sees of what a router sends on to it: `lb_force_snat_ip`, `dnat_force_snat_ip` and
//! `skip_snat`.

use std::net::IpAddr;

use ovn_model::{Family, LoadBalancer, Router, parse_prefix};

/// The source of packets that a router has sent on to an instance.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SeenSource {
    /// Who sent them, unless a rule for the source says otherwise.
    Usual,
    /// Who sent them, whatever the rules say.
    Kept,
    /// This address.
    Forced(IpAddr),
    /// That of the router port by which they leave.
    RouterPort,
}

/// Returns what is seen behind a load balancer of a router.
///
/// Only on a router that is bound to a chassis does any of that have an effect on what comes from outside
/// (northd/northd.c, `build_lrouter_nat_defrag_and_lb` and `build_lrouter_flows_for_lb`; which of them it is,
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

/// Returns whether what load balancers of a router forward has the address of the port by which it leaves.
pub(super) fn is_seen_as_router_port(router: &Router) -> bool {
    router.chassis.is_some() && router.lb_force_snat.get().and_then(Option::as_deref) == Some("router_ip")
}

/// Returns what is seen behind a `dnat` row of a router (northd/northd.c, `build_lrouter_in_dnat_flow`).
pub fn seen_behind_dnat(router: &Router, family: Family) -> SeenSource {
    let addresses = router.dnat_force_snat.get().and_then(Option::as_deref);
    forced(addresses.filter(|_| router.chassis.is_some()), family)
}

/// Reads addresses as northd does (northd/en-lr-nat.c, `get_force_snat_ip`): one that is none spoils all.
fn forced(addresses: Option<&str>, family: Family) -> SeenSource {
    let parsed = addresses.unwrap_or_default().split_ascii_whitespace().map(parse_prefix);
    let Some(parsed) = parsed.collect::<Option<Vec<_>>>() else { return SeenSource::Usual };
    let mut of_family =
        parsed.iter().map(ipnet::IpNet::addr).filter(|address| Family::from(*address) == family);
    of_family.next().map_or(SeenSource::Usual, SeenSource::Forced)
}
