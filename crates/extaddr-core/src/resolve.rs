//! The decision on an intent: the rows that fulfil it, or the reason against it. Pure.

mod decision;
mod occupancy;
mod question;
#[cfg(test)]
mod tests;

use std::net::IpAddr;
use std::num::NonZeroU16;
use std::sync::Arc;

use ovn_model::{Family, LoadBalancerId, Nat, NatKind, RouterId, RouterPortId, Store, Vip, keys};
use smallvec::SmallVec;
use uuid::Uuid;

use crate::conversion::Site;
use crate::explain::{Check, Trace};
use crate::forwards::{self, Forward, is_allowed, is_neighbour};
use crate::gateway;
use crate::intent;
use crate::key::Key;
use crate::northd;
use crate::ownership::Role;
use crate::port_range::{self, PortRange};
use crate::reason::{NoForward, Reason, Unconvertible};
use crate::rules::PortRangeRule;
use crate::topology::{disabled_gateway, disabled_outside, is_disabled, is_gateway, is_neutron_router};
use crate::wanted::{Source, Wanted};
pub use decision::{Decision, Dependency, Grant, Place, Verdict};
use occupancy::Occupancy;
pub use question::Question;

/// Decides on the intent of a port for an address family, `None` where there is none.
pub fn resolve(
    question: Question<'_>,
    watched: &mut Vec<Dependency>,
    trace: &mut impl Trace,
) -> Option<Decision> {
    let Question { store, rules, requests, reach, port, family } = question;
    let intent = intent::find(store, rules, requests, reach, port, family)?;
    let mut decision = Decision {
        family,
        wanted: intent.text,
        source: intent.source,
        presumed: intent.presumed,
        internal: northd::port_addresses(port, family),
        router: None,
        external: None,
        converts: false,
        verdict: Verdict::Waiting(Reason::NoSwitch),
    };
    decision.verdict = match intent.wanted {
        Ok(wanted) => {
            trace.passed("intent", || match decision.source {
                Source::Annotation => format!("{} of the port asks for {wanted}", keys::port_key(family)),
                Source::Cms(kind) if intent.presumed => {
                    format!("{} cannot be reached; the rows that are there say {wanted}", kind.title())
                }
                Source::Cms(kind) => {
                    let key = Key::find(requests, decision.source, &port.name, family);
                    format!("{key} in {} asks for {wanted}", kind.title())
                }
                Source::Kept => format!("a key that outlives the port asks for {wanted} (`set --keep`)"),
                Source::Policy => format!("the policy file asks for {wanted}"),
                Source::Router => format!("{} of the router asks for {wanted}", keys::ROUTER),
                Source::Config => format!("the configuration asks for {wanted} for every port"),
            });
            decide(question, wanted, &mut decision, watched, trace).unwrap_or_else(|verdict| verdict)
        }
        Err(reason) => Verdict::Rejected(reason),
    };
    Some(decision)
}

/// Follows the chain from port to rows; the `Err` is what breaks it. The order is: the port, the router, what already
/// translates (`foreign`), what would consume replies, what has to be converted. The first failure is the reason.
fn decide(
    question: Question<'_>,
    wanted: Wanted,
    decision: &mut Decision,
    watched: &mut Vec<Dependency>,
    trace: &mut impl Trace,
) -> Result<Verdict, Verdict> {
    let Question { store, rules, reach, port, .. } = question;
    if !port.kind.is_instance() {
        return Err(Verdict::Rejected(Reason::NotAnInstance));
    }
    let switch = port.switch.and_then(|id| store.switch(id)).ok_or(Verdict::Waiting(Reason::NoSwitch))?;
    trace.passed("switch", || switch.name.to_string());
    if decision.internal.is_empty() {
        return Err(Verdict::Waiting(Reason::NoAddress));
    }
    trace.passed("internal", || Check::list(&*decision.internal));
    if port.is_disabled() {
        trace.hazard("disabled", || "the port is disabled, so that OVN drops its packets".to_owned());
    }
    let reached = northd::reached_addresses(store, port, question.family, &decision.internal);
    if reached.len() > decision.internal.len() {
        trace.passed("virtual", || {
            let virtuals = reached.iter().filter(|address| !decision.internal.contains(address));
            format!("{} may be this port's, too: what is forwarded there leads to it", Check::list(virtuals))
        });
    }
    if reach.routers.is_empty() {
        return Err(Verdict::Rejected(Reason::NoRouter));
    }
    trace.passed("routers", || {
        Check::list(reach.routers.iter().filter_map(|(id, _)| Some(&store.router(*id)?.name)))
    });
    for (router, _) in &reach.routers {
        watched.extend(reached.iter().map(|address| Dependency::Address(*router, *address)));
    }

    let external = match wanted {
        Wanted::Address(address) => address,
        Wanted::Auto => {
            let address = sole_forward(question, &reached, watched).map_err(Verdict::Rejected)?;
            trace.passed("auto", || format!("{address} leads to this port alone"));
            address
        }
    };
    decision.external = Some(external);
    watched.extend(reach.routers.iter().map(|(router, _)| Dependency::Address(*router, external)));
    let forwarded = |router: RouterId| forwards_at(question, router, external, &reached).next().is_some();
    // Where the address is forwarded, other networks do not matter.
    if !rules.allow.is_empty() && !reach.routers.iter().any(|(router, _)| forwarded(*router)) {
        watched.push(Dependency::Anywhere(external));
    }
    let (router, found) = router_of(question, external, &reached).map_err(Verdict::Rejected)?;
    decision.router = Some(router);
    for forward in &found {
        trace.passed("forward", || Check::forward(store, router, forward));
    }
    if is_neutron_router(store, router) {
        trace.hazard("neutron", || {
            "beside an override, each edit of the router in Neutron makes its gateway port again, and maintenance of the router may leave it without one: any edit puts that right".to_owned()
        });
    }
    if let Some(reason) = unfit(question, router) {
        return Err(Verdict::Rejected(reason));
    }

    let current = || current_gateway_port(question, router, external, &decision.internal);
    let gateway_port = gateway::port(rules.network(store), router, external, &decision.internal, current);
    let place = Occupancy { question, router, external, gateway_port: gateway_port.clone().ok().flatten() };
    let leaves_by = gateway_port.as_ref().ok().and_then(|port| {
        let port = northd::gateway_of(store, router, *port, Some(external)).ok().flatten()?;
        disabled_gateway(store, port)
    });
    if let Some(port) = leaves_by.or_else(|| disabled_outside(store, router, &decision.internal)) {
        return Err(Verdict::Rejected(Reason::PortDisabled(port)));
    }
    let (mut missing, mut fulfilled) = (Vec::new(), None);
    for internal in &*decision.internal {
        match place.occupant(*internal)? {
            Some(nat) => fulfilled = fulfilled.or(Some(nat)),
            None => missing.push(*internal),
        }
    }
    if let (true, Some(nat)) = (missing.is_empty(), fulfilled) {
        if found.iter().any(Forward::is_default_target) {
            trace.hazard("conversion", || {
                format!("a VIP forwards all ports of {external}, beside which OVN breaks TCP replies: take the foreign row away, and the agent converts the VIP for its override")
            });
        }
        return Ok(Verdict::Foreign(nat));
    }
    if let Some(reason) = conflict(place, &found, &missing) {
        return Err(Verdict::Conflict(reason));
    }
    trace.passed("place", || "no foreign row translates the port's addresses".to_owned());
    let idle: SmallVec<[_; 1]> = northd::idle_ports(store, router, external).collect();
    if idle.contains(&None) {
        return Err(Verdict::Rejected(Reason::DefaultTarget(Unconvertible::Shared)));
    }
    let site = Site::among(rules.network(store), router, external, &found);
    watched.extend(site.balancers().map(Dependency::Balancer));
    let conversion = site.needed(store, rules).map_err(Verdict::Rejected)?;
    if let Some(conversion) = &conversion {
        decision.converts = true;
        trace.passed("conversion", || {
            format!(
                "all ports of {external} lead to {} by a dnat row of the agent in place of a VIP: ping reaches it too, and so do all protocols; from inside, the way is by the router",
                conversion.row.logical
            )
        });
    }
    let gateway_port = gateway_port.map_err(Verdict::Rejected)?;
    if let Some(row) = gateway_port.and_then(|id| store.router_port(id)) {
        trace.passed("gateway-port", || row.name.to_string());
        trace.hazard_if("gateway-port", || {
            let others = gateway::other_ways(rules.network(store), router, &decision.internal, gateway_port);
            let others = others.iter().filter_map(|id| store.router_port(*id)).map(|port| &port.name);
            let others = Some(Check::list(others)).filter(|others| !others.is_empty())?;
            Some(format!("{}: {external} is at home there; what leaves by {others}, as the SNAT of the instance's network does, does not have it", row.name))
        });
    }
    let port_range = port_range(question, external, &found, &idle, trace).map_err(Verdict::Rejected)?;
    let external_ips = place.peers(&missing, trace).map(Box::new);
    let router_uuid = store.router(router).map_or_else(Uuid::nil, |row| row.uuid);
    let uuid = |logical| {
        // The UUID of an existing row was computed when it arrived.
        let there = store.nats_by_logical(router, logical).filter_map(|id| store.nat(id));
        let mut there = there.filter(|nat| nat.is_named() && rules.owner.is_override_of(nat, &port.name));
        let uuid = || rules.owner.row_uuid(Role::Egress, router_uuid, logical, &port.name);
        there.next().map_or_else(uuid, |nat| nat.uuid)
    };
    let rows = missing.into_iter().map(|logical| (logical, uuid(logical))).collect();
    Ok(Verdict::Granted(Grant { rows, port_range, gateway_port, external_ips }))
}

/// Returns why a router cannot serve the port, whatever the address.
fn unfit(question: Question<'_>, router: RouterId) -> Option<Reason> {
    let Question { store, reach, .. } = question;
    if is_disabled(store, router) {
        return Some(Reason::RouterDisabled);
    }
    if let Some(port) = reach.cut_off_by(router) {
        return Some(Reason::PortDisabled(port));
    }
    (!is_gateway(store, router)).then_some(Reason::NoGateway)
}

/// Returns the reason if something besides the port's rows takes its packets, or replies to its connections.
fn conflict(place: Occupancy<'_>, found: &[Forward<'_>], internal: &[IpAddr]) -> Option<Reason> {
    let Occupancy { question, router, external, .. } = place;
    let store = question.store;
    let is_spread = |id: &LoadBalancerId| {
        store.load_balancer(*id).is_some_and(|row| northd::is_spread(store, router, row, external))
    };
    let spread = || {
        let mut balancers = found.iter().filter_map(|forward| match forward {
            Forward::Vip(id, _) => Some(*id),
            Forward::Nat(..) | Forward::Converted(..) => None,
        });
        balancers.find(is_spread)
    };
    place
        .stateless()
        .map(Reason::StatelessNat)
        .or_else(|| place.distributed().map(Reason::DistributedNat))
        .or_else(|| spread().map(Reason::DistributedBalancer))
        .or_else(|| stateless_balancer(store, router, internal).map(Reason::StatelessBalancer))
        .or_else(|| internal.iter().find_map(|address| rival(question, *address)))
}

/// Returns the gateway port of the port's override of the address; of several, that of the row with the least UUID.
fn current_gateway_port(
    question: Question<'_>,
    router: RouterId,
    external: IpAddr,
    internal: &[IpAddr],
) -> Option<RouterPortId> {
    let Question { store, rules, port, .. } = question;
    let rows = internal.iter().flat_map(|address| store.nats_by_logical(router, *address));
    let rows = rows
        .filter_map(|id| store.nat(id))
        .filter(|nat| nat.external_ip() == Some(external) && rules.owner.is_override_of(nat, &port.name));
    rows.min_by_key(|nat| nat.uuid)?.gateway_port
}

/// Looks for a load balancer without connection tracking that has one of the addresses as a backend.
fn stateless_balancer(store: &Store, router: RouterId, internal: &[IpAddr]) -> Option<LoadBalancerId> {
    // Every decision calls this, and most databases have no balancer with any option.
    let asked = internal.iter().filter(|_| store.has_balancer_options());
    let found = asked.flat_map(|address| {
        let leads_here = |vip: &Vip| vip.backends().iter().any(|backend| backend.address == *address);
        store.balancers_with_backend(*address).filter_map(move |id| {
            store.attachment(router, id)?;
            let row = store.load_balancer(id).filter(|row| northd::is_stateless(store, router, row))?;
            row.vips.iter().any(|vip| leads_here(vip) && northd::uses_vip(row, vip)).then_some((row.uuid, id))
        })
    });
    found.min().map(|(_, id)| id)
}

/// Looks for another instance's port in the same network that has the address: its packets would leave with this port's
/// external address.
fn rival(question: Question<'_>, address: IpAddr) -> Option<Reason> {
    let Question { store, port, family, .. } = question;
    let switches = store.joined_switches(port.switch?);
    let ports = switches.iter().flat_map(|switch| store.ports_with_address(*switch, address));
    let ports = ports.filter_map(|id| store.port(id));
    let others = ports.filter(|other| other.uuid != port.uuid && !other.is_disabled());
    let rivals = others.filter(|other| northd::port_addresses(other, family).contains(&address));
    let first = rivals.map(|other| &other.name).min()?;
    Some(Reason::DuplicateAddress(address, Arc::clone(first)))
}

/// Chooses the source ports of the port's own connections.
///
/// # Errors
/// Too few ports are left that the address does not listen on.
fn port_range(
    question: Question<'_>,
    external: IpAddr,
    found: &[Forward<'_>],
    idle: &[Option<NonZeroU16>],
    trace: &mut impl Trace,
) -> Result<Option<PortRange>, Reason> {
    if !question.store.supports(Nat::COLUMNS.external_port_range) {
        return Ok(None);
    }
    let forwarded = found.iter().filter_map(Forward::port);
    let mut listening: Vec<_> = forwarded.chain(idle.iter().copied().flatten()).map(u16::from).collect();
    listening.sort_unstable();
    listening.dedup();
    let range = match question.rules.port_range {
        PortRangeRule::Off => None,
        PortRangeRule::Fixed(range) => Some(range),
        PortRangeRule::Auto if listening.is_empty() => None,
        PortRangeRule::Auto => {
            let free = port_range::free_of(&listening);
            let left = free.map_or(0, PortRange::count);
            // Without any port left, connections would have ports that the address listens on, and lose their replies.
            if left < u32::from(question.rules.min_source_ports.max(1)) {
                return Err(Reason::NoSourcePorts(left));
            }
            free
        }
    };
    let is_by_port = !listening.is_empty();
    let mut taken = listening;
    taken.retain(|port| range.is_none_or(|range| range.holds(*port)));
    if !taken.is_empty() {
        trace.hazard("port-range", || {
            let range = range.map_or_else(|| "all ports".to_owned(), |range| range.to_string());
            format!("{range}: connections from a port that {external} listens on ({}) break; port-range = \"auto\" keeps off them", Check::list(&taken))
        });
    } else if let Some(range) = range {
        trace.passed("port-range", || match question.rules.port_range {
            PortRangeRule::Auto => {
                format!(
                    "{range}: {} source ports, the largest block without a port that {external} listens on",
                    range.count()
                )
            }
            _ => format!("{range}: {} source ports, as configured", range.count()),
        });
    }
    if is_by_port {
        trace.passed("change", || {
            let finish = match question.rules.drain.as_secs() {
                0 => "connections with it end".to_owned(),
                seconds => format!("connections with it may finish for {seconds} s"),
            };
            format!("when the address is changed or taken back, {finish}; a UDP flow that does not pause by then stays cut off, on releases such as OVN 26.03 until it rests for its connection tracking time")
        });
    }
    Ok(range)
}

/// Finds the one forward address that leads only to the port.
fn sole_forward(
    question: Question<'_>,
    internal: &[IpAddr],
    watched: &mut Vec<Dependency>,
) -> Result<IpAddr, Reason> {
    let Question { store, rules, reach, family, .. } = question;
    let network = rules.network(store);
    let mut found: SmallVec<[(RouterId, IpAddr); 4]> = SmallVec::new();
    for (router, _) in &reach.routers {
        for target in internal {
            for address in forwards::leading_to(network, *router, *target) {
                if Family::from(address) != family {
                    continue;
                }
                watched.push(Dependency::Address(*router, address));
                let alone = !is_neighbour(store, *router, address, internal)
                    && forwards::on_address(network, *router, address).all(|f| f.leads_only_to(internal));
                if alone {
                    found.push((*router, address));
                }
            }
        }
    }
    let differs = |found: &[(RouterId, IpAddr)]| found.iter().any(|(_, address)| *address != found[0].1);
    // If there are several, those on unusable routers do not count.
    if differs(&found) {
        let serves = |(router, _): &(RouterId, IpAddr)| unfit(question, *router).is_none();
        let serving: SmallVec<[_; 4]> = found.iter().copied().filter(serves).collect();
        if !serving.is_empty() {
            found = serving;
        }
    }
    let (least, greatest) = (found.iter().map(|(_, ip)| *ip).min(), found.iter().map(|(_, ip)| *ip).max());
    match least.zip(greatest) {
        None => Err(Reason::NoForwardForAuto),
        Some((least, greatest)) if least == greatest => Ok(least),
        Some((least, greatest)) => Err(Reason::AmbiguousAuto(least, greatest)),
    }
}

/// Returns the forwards of an address on a router for an instance with these addresses.
fn forwards_at<'a>(
    question: Question<'a>,
    router: RouterId,
    external: IpAddr,
    internal: &[IpAddr],
) -> impl Iterator<Item = Forward<'a>> + use<'a> {
    let Question { store, rules, .. } = question;
    let is_outside = !is_neighbour(store, router, external, internal);
    forwards::on_address(rules.network(store), router, external).filter(move |_| is_outside)
}

/// Finds the router that has the address: one that sends it to this port rather than another, then one that can serve
/// it, then the nearest. If no router forwards it, one for which the configuration allows it. Returns the router with its
/// forwards.
fn router_of<'a>(
    question: Question<'a>,
    external: IpAddr,
    internal: &[IpAddr],
) -> Result<(RouterId, Vec<Forward<'a>>), Reason> {
    let Question { store, rules, reach, .. } = question;
    let (mut found, mut candidates) = (Vec::with_capacity(8), Vec::with_capacity(1));
    let is_cut =
        |unfit: &Option<Reason>| matches!(unfit, Some(Reason::RouterDisabled | Reason::PortDisabled(_)));
    for (router, hops) in &reach.routers {
        let start = found.len();
        found.extend(forwards_at(question, *router, external, internal));
        let here = start..found.len();
        if !here.is_empty() {
            let leads_here = |f: &Forward<'_>| f.targets().any(|target| internal.contains(&target));
            let leads_elsewhere = !found[here.clone()].iter().any(leads_here);
            // The same balancer may be on an inner router too, where it does not affect packets from outside.
            let unfit = unfit(question, *router);
            let rank = (is_cut(&unfit), leads_elsewhere, unfit.is_some(), *hops);
            candidates.push((rank, *router, here));
        }
    }
    if candidates.is_empty() {
        let allowed = reach
            .routers
            .iter()
            .filter(|(id, _)| is_gateway(store, *id) && is_allowed(store, rules, *id, external));
        for (router, hops) in allowed {
            let unfit = unfit(question, *router);
            // On a router whose sides are not known, VIPs beside the instance are not forwards, and listen nevertheless.
            let start = found.len();
            found.extend(forwards::on_address(rules.network(store), *router, external));
            let rank = (is_cut(&unfit), false, unfit.is_some(), *hops);
            candidates.push((rank, *router, start..found.len()));
        }
    }
    candidates.sort_unstable_by_key(|(rank, router, _)| (*rank, *router));
    match &*candidates {
        [] => {
            let why = no_forward(question, external);
            Err(if rules.allow.is_empty() { Reason::NotAForward(why) } else { Reason::NotPermitted(why) })
        }
        [(a, first, _), (b, second, _), ..] if a == b => Err(Reason::AmbiguousRouter(*first, *second)),
        [((_, true, ..), ..), ..] if rules.require_target => Err(Reason::NotATarget),
        [(_, router, here), ..] => {
            found.truncate(here.end);
            found.drain(..here.start);
            Ok((*router, found))
        }
    }
}

/// Returns the reason why the routers that have an address do not forward it: a VIP that OVN uses and that is not a
/// forward is inside.
fn no_forward(question: Question<'_>, external: IpAddr) -> Option<NoForward> {
    let Question { store, reach, .. } = question;
    reach.routers.iter().find_map(|(router, _)| {
        let balancers = store.balancers_with_vip(external);
        let here = balancers.filter(|id| store.attachment(*router, *id).is_some());
        let here = here.filter_map(|id| store.load_balancer(id));
        let mut vips = here.flat_map(|row| row.vips.on(external).iter().map(move |vip| (row, vip)));
        let nats = store.nats_by_external(*router, external).iter().filter_map(|id| store.nat(*id));
        let mut nats = nats.filter(|nat| nat.kind != Some(NatKind::Snat));
        vips.next()
            .map(|(row, vip)| match northd::vip_flaw(vip) {
                _ if row.is_template() => NoForward::Template(*router),
                Some(flaw) => NoForward::Vip(*router, flaw),
                None => NoForward::Inside(*router),
            })
            .or_else(|| {
                nats.find_map(|nat| match northd::forward_flaw(store, nat) {
                    Some(flaw) => Some(NoForward::Nat(*router, flaw)),
                    None => {
                        forwards::is_internal(store, *router, external).then_some(NoForward::Inside(*router))
                    }
                })
            })
            .or_else(|| {
                let mut networks = northd::forwarding_network(store, *router, external);
                networks.next().map(|_| NoForward::Network(*router))
            })
    })
}
