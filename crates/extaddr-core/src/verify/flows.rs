//! The checks of logical flows: the translation to the address, flows that prevent it, and the way back.

use ovn_model::Family;

use super::action::{Action, Translation};
use super::check::{CURE_OF_NORTHD, Check, Code, Override};
use super::packet::{Packet, Transport};
use super::southbound::{Flow, Gateway, SNAT_STAGE, Stage, Stages, UNSNAT_STAGE};
use crate::port_range::PortRange;

/// The maximum number of flows of a kind that a message names.
const MAX_NAMED: usize = 3;

/// The amount by which the priority of a rule of a router with gateway ports is raised.
const OF_GATEWAY_PORT: i64 = 128;

/// The result of the checks of a router's flows.
pub(super) struct Verdict<'a> {
    pub(super) checks: Vec<Check>,
    /// The gateway at which the translation happens.
    pub(super) gateway: Option<&'a Gateway>,
    /// Whether the translating flow exists.
    pub(super) is_there: bool,
}

/// The flow that gives an instance its address.
struct Giving<'a> {
    gateway: Option<&'a Gateway>,
    flow: &'a Flow,
    translation: Translation,
    /// Whether it matches all packets of the instance that leave there.
    is_whole: bool,
    /// Whether it does so only on the gateway's chassis.
    is_resident: bool,
}

/// Checks the flows of a router for an override.
pub(super) fn check<'a>(wanted: &Override, stages: Stages<'a>, gateways: &'a [Gateway]) -> Verdict<'a> {
    let candidates = candidates(wanted, gateways);
    let usual = candidates.iter().flatten().next().copied();
    let Some(stage) = stages.snat else {
        let check = Check::unknown(
            Code::Snat,
            format!("router {} has no flow of stage {SNAT_STAGE}", wanted.router),
            "look at its flows: `ovn-sbctl lflow-list`; this release may name its stages differently",
        );
        return Verdict { checks: vec![check], gateway: usual, is_there: false };
    };
    let Some(giving) = giving(wanted, stage, &candidates) else {
        return Verdict { checks: vec![missing(wanted, stage, usual)], gateway: usual, is_there: false };
    };
    let mut checks = vec![snat(wanted, &giving), rival(wanted, stage, &giving)];
    let packet = reply(wanted, giving.gateway);
    match stages.unsnat {
        Some(stage) => checks.extend(way_back(wanted, stage, packet, &giving)),
        None => checks.push(Check::unknown(
            Code::Unsnat,
            format!("router {} has no flow of stage {UNSNAT_STAGE}", wanted.router),
            "look at its flows: `ovn-sbctl lflow-list`; this release may name its stages differently",
        )),
    }
    Verdict { checks, gateway: giving.gateway, is_there: true }
}

/// Returns the gateways at which the instance's packets may get the address; `None` for one that is not known.
fn candidates<'a>(wanted: &Override, gateways: &'a [Gateway]) -> Vec<Option<&'a Gateway>> {
    let distributed: Vec<_> = gateways.iter().filter(|gateway| gateway.is_distributed).collect();
    let named =
        |gateway: &&Gateway| wanted.gateway_port.as_ref().is_none_or(|name| *name == gateway.router_port);
    if !distributed.is_empty() {
        return distributed.into_iter().filter(named).map(Some).collect();
    }
    match gateways.first() {
        Some(gateway) => vec![Some(gateway)],
        None => vec![None],
    }
}

/// Returns a new connection's packet on its way out.
fn request<'a>(wanted: &Override, gateway: Option<&'a Gateway>) -> Packet<'a> {
    let gateway = gateway.filter(|gateway| gateway.is_distributed);
    Packet {
        family: Family::from(wanted.internal),
        source: Some(wanted.internal),
        destination: None,
        inport: None,
        outport: gateway.map(|gateway| &*gateway.router_port),
        resident: gateway.map(|gateway| &*gateway.binding),
        transport: None,
        to_port: None,
        is_request: true,
    }
}

/// Returns a reply that comes in.
fn reply<'a>(wanted: &Override, gateway: Option<&'a Gateway>) -> Packet<'a> {
    let gateway = gateway.filter(|gateway| gateway.is_distributed);
    Packet {
        source: None,
        destination: Some(wanted.external),
        inport: gateway.map(|gateway| &*gateway.router_port),
        outport: None,
        is_request: false,
        ..request(wanted, gateway)
    }
}

/// Finds the flow that gives the address: of several, one that matches all packets, and then the first that is evaluated.
fn giving<'a>(wanted: &Override, stage: &'a Stage, candidates: &[Option<&'a Gateway>]) -> Option<Giving<'a>> {
    let found = candidates.iter().flat_map(|gateway| {
        let packet = request(wanted, *gateway);
        stage.candidates(wanted.internal).filter_map(move |flow| {
            let Action::Translate(translation) = flow.action() else { return None };
            let expression = flow.expression();
            let met = packet.meets(&expression);
            // A flow whose match depends on unknown facts may be for other packets, such as the flow for addresses that
            // the router itself forwards. The flow of a row that is limited to some peers has the usual priority.
            let is_usual = flow.priority == usual_priority(wanted, *gateway) && flow.is_of(wanted.nat);
            let is_ours = met == Some(true) || met.is_none() && is_usual;
            let is_resident = Packet { resident: None, ..packet }.meets(&expression).is_none();
            (is_ours && translation.address == wanted.external).then_some(Giving {
                gateway: *gateway,
                flow,
                translation,
                is_whole: met == Some(true),
                is_resident,
            })
        })
    });
    found.max_by_key(|giving| (giving.is_whole, giving.flow.priority))
}

/// Returns the priority that ovn-northd gives the flow of a host's rule.
fn usual_priority(wanted: &Override, gateway: Option<&Gateway>) -> i64 {
    let is_distributed = gateway.is_some_and(|gateway| gateway.is_distributed);
    host_bits(Family::from(wanted.internal)) + 1 + if is_distributed { OF_GATEWAY_PORT } else { 0 }
}

/// Reports that no flow gives the address, and what happens to the packets instead.
fn missing(wanted: &Override, stage: &Stage, gateway: Option<&Gateway>) -> Check {
    let Override { internal, external, router, nat, .. } = wanted;
    let packet = request(wanted, gateway);
    let taking = stage.candidates(*internal).filter(|flow| packet.meets(&flow.expression()) == Some(true));
    let instead = match taking.max_by_key(|flow| flow.priority).map(Flow::action) {
        Some(Action::Translate(translation)) => format!("; it leaves as {}", translation.address),
        Some(Action::Pass) => format!("; it leaves as {internal}"),
        _ => String::new(),
    };
    let by = match (&wanted.gateway_port, gateway) {
        (Some(name), None) => format!(" by gateway port {name}, which is not in the Southbound database"),
        _ => String::new(),
    };
    Check::failed(
        Code::Snat,
        format!("no flow of {router} gives {internal} the address {external}{by}{instead}"),
        format!("{CURE_OF_NORTHD} of NAT row {nat}"),
    )
}

fn snat(wanted: &Override, giving: &Giving<'_>) -> Check {
    let Giving { gateway, flow, translation, is_whole, is_resident } = giving;
    let Override { internal, external, ports, .. } = wanted;
    if translation.ports != *ports {
        let text = |ports: Option<PortRange>| {
            ports.map_or_else(|| "any source port".to_owned(), |ports| format!("source ports {ports}"))
        };
        return Check::failed(
            Code::Snat,
            format!(
                "the flow gives {internal} {}, and its row says {}",
                text(translation.ports),
                text(*ports)
            ),
            CURE_OF_NORTHD,
        );
    }
    let is_distributed = gateway.is_some_and(|gateway| gateway.is_distributed);
    let expected = usual_priority(wanted, *gateway);
    let place = gateway.map_or_else(String::new, |gateway| format!(" by {}", gateway.router_port));
    let what = format!("{internal} leaves{place} as {external} (flow of priority {})", flow.priority);
    let look = format!("look at the flow: `ovn-sbctl lflow-list {}`", wanted.router);
    // Packets to addresses that the router itself forwards have their own flow at the next priority.
    if ![expected, expected + 1].contains(&flow.priority) {
        return Check::unknown(
            Code::Snat,
            format!("{what}, where ovn-northd is known to give {expected}"),
            look,
        );
    }
    if is_distributed && !is_resident {
        return Check::unknown(
            Code::Snat,
            format!("{what}, on every chassis and not on the gateway's only"),
            look,
        );
    }
    if !is_whole {
        return Check::ok(Code::Snat, format!("{what}, to some destinations: {}", flow.matching));
    }
    Check::ok(Code::Snat, what)
}

fn rival(wanted: &Override, stage: &Stage, giving: &Giving<'_>) -> Check {
    let packet = request(wanted, giving.gateway);
    let (mut taking, mut doubtful) = (Vec::new(), Vec::new());
    for flow in stage.candidates(wanted.internal) {
        if flow.priority < giving.flow.priority || std::ptr::eq(flow, giving.flow) || flow.is_of(wanted.nat) {
            continue;
        }
        let met = packet.meets(&flow.expression());
        let does = match flow.action() {
            // It is for replies to what came in.
            Action::Restore => continue,
            Action::Translate(other) if (other.address, other.ports) == (wanted.external, wanted.ports) => {
                continue;
            }
            Action::Translate(other) => format!("gives {}", other.address),
            Action::Pass => "leaves it untranslated".to_owned(),
            Action::Other => format!("does {}", flow.actions),
        };
        let text = format!("a flow of priority {} {does} ({})", flow.priority, flow.origin());
        match met {
            Some(false) => {}
            // Some packets get another address.
            None if !matches!(flow.action(), Action::Translate(_)) => doubtful.push((flow, text)),
            _ => taking.push((flow, text)),
        }
    }
    let cure = |flows: &[(&Flow, String)]| {
        let hint = flows.iter().find_map(|(flow, _)| flow.hint.as_deref());
        hint.map_or_else(
            || format!("look at the flow: `ovn-sbctl lflow-list {}`", wanted.router),
            |hint| {
                format!(
                    "remove or change that rule: `ovn-nbctl list nat {hint}`, `ovn-nbctl lr-nat-list {}`",
                    wanted.router
                )
            },
        )
    };
    let list = |flows: &[(&Flow, String)]| {
        flows.iter().take(MAX_NAMED).map(|(_, text)| &**text).collect::<Vec<_>>().join("; ")
    };
    if !taking.is_empty() {
        return Check::failed(Code::Rival, list(&taking), cure(&taking));
    }
    if !doubtful.is_empty() {
        return Check::unknown(
            Code::Rival,
            format!("for some packets, {}", list(&doubtful)),
            cure(&doubtful),
        );
    }
    Check::ok(Code::Rival, "no other flow takes its packets first")
}

/// Checks that replies are translated back.
fn way_back(wanted: &Override, stage: &Stage, packet: Packet<'_>, giving: &Giving<'_>) -> Vec<Check> {
    let external = wanted.external;
    let restoring = stage
        .candidates(external)
        .filter(|flow| flow.action() == Action::Restore && packet.meets(&flow.expression()) == Some(true))
        .max_by_key(|flow| flow.priority);
    let Some(restoring) = restoring else {
        let check = Check::failed(
            Code::Unsnat,
            format!("no flow of {} translates replies to {external} back", wanted.router),
            format!("{CURE_OF_NORTHD} of NAT row {}", wanted.nat),
        );
        return vec![check];
    };
    let found =
        format!("replies to {external} are translated back (flow of priority {})", restoring.priority);
    vec![Check::ok(Code::Unsnat, found), replies(wanted, stage, packet, giving, restoring)]
}

/// Checks that no flow precedes the one that translates replies back: load balancers have such flows.
fn replies(
    wanted: &Override,
    stage: &Stage,
    packet: Packet<'_>,
    giving: &Giving<'_>,
    restoring: &Flow,
) -> Check {
    let all = PortRange { first: 1, last: u16::MAX };
    let mut hiding: Vec<(&Flow, Vec<&str>)> = Vec::new();
    for flow in stage.candidates(wanted.external) {
        if flow.priority < restoring.priority || flow.action() == Action::Restore {
            continue;
        }
        let expression = flow.expression();
        let hidden: Vec<_> = Transport::ALL
            .into_iter()
            .filter(|transport| {
                let to_port = transport.has_ports().then_some(giving.translation.ports.unwrap_or(all));
                Packet { transport: Some(*transport), to_port, ..packet }.meets(&expression) != Some(false)
            })
            .map(Transport::name)
            .collect();
        if !hidden.is_empty() {
            hiding.push((flow, hidden));
        }
    }
    let Some((first, _)) = hiding.first() else {
        return Check::ok(Code::Replies, "nothing takes replies for forwarded traffic");
    };
    if giving.translation.is_in_common_zone {
        let found = "replies that are taken for forwarded traffic are translated back with it: both have one conntrack zone";
        return Check::ok(Code::Replies, found);
    }
    let named = hiding
        .iter()
        .take(MAX_NAMED)
        .map(|(flow, hidden)| format!("{} by {}", hidden.join(", "), flow.matching));
    Check::failed(
        Code::Replies,
        format!(
            "replies are taken for forwarded traffic and get lost: {}",
            named.collect::<Vec<_>>().join("; ")
        ),
        format!(
            "let the agent keep source ports off forwarded ones (port-range = \"auto\") and convert default targets \
             (default-target = \"convert\"); the flow is {}",
            first.origin()
        ),
    )
}

/// Returns the length of a host prefix of a family.
fn host_bits(family: Family) -> i64 {
    match family {
        Family::V4 => 32,
        Family::V6 => 128,
    }
}
