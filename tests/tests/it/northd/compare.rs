//! OVN's behaviour compared with the program's answers.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use ovn_extaddr_tests::lab::hazards;

use super::answers::{Forward, Intent, expected};
use super::case::{Case, Gateway, Port, instance, port_name};
use super::draw::{IN_NETWORK, NO_RANGE};
use super::packets::{Inbound, Outbound, Seen, Source};

/// A difference.
#[derive(Clone, Debug)]
pub(super) struct Disagreement {
    /// The subject of the comparison. Smaller cases are searched in which it differs, too.
    pub(super) kind: &'static str,
    /// Both sides.
    pub(super) text: String,
}

/// Everything about one router.
pub(super) struct Evidence<'a> {
    pub(super) case: &'a Case,
    pub(super) number: &'a str,
    /// Without an agent.
    pub(super) before: &'a Seen,
    pub(super) forwards: Vec<&'a Forward>,
    pub(super) wanted: Vec<&'a Intent>,
    /// `lr_out_snat` and `lr_in_unsnat` without an agent.
    pub(super) flows_before: &'a [String],
    /// After an agent has done its work.
    pub(super) after: &'a Seen,
    pub(super) given: Vec<&'a Intent>,
    pub(super) flows_after: &'a [String],
}

/// Compares everything.
pub(super) fn compare(evidence: &Evidence<'_>) -> Vec<Disagreement> {
    let mut found = Vec::new();
    evidence.forwards(&mut found);
    for intent in &evidence.wanted {
        evidence.wanted(intent, &mut found);
    }
    evidence.outbound(&mut found);
    evidence.inbound(&mut found);
    evidence.rivals(&mut found);
    evidence.hazards(&mut found);
    found
}

impl Evidence<'_> {
    /// Checks that OVN forwards exactly what `forwards` lists.
    fn forwards(&self, found: &mut Vec<Disagreement>) {
        for (probe, seen) in &self.before.inbound {
            let expected = expected(&self.forwards, *probe);
            let agrees = if expected.is_empty() { seen.is_empty() } else { expected.contains(seen) };
            // A row for some packets only may or may not match ours, and precedes or follows a VIP.
            let agrees =
                agrees || self.is_partial(probe.address) && self.leads_to(probe.address).is_superset(seen);
            // Disabled ports block everything that a router forwards, and `list` reports that; it also reports a router
            // without a gateway, whose VIPs do not matter.
            let agrees = agrees || seen.is_empty() && self.is_cut_off();
            // An internal VIP precedes a row for the same address.
            let by_design = expected.is_empty() && self.is_no_forward_by_design(probe.address)
                || is_internal(probe.address)
                || self.is_undecided(probe.address);
            if !agrees && !by_design {
                let (protocol, kind) = (
                    if probe.udp { "udp" } else { "tcp" },
                    if expected.is_empty() { "forward-unknown" } else { "forward-believed" },
                );
                let text = format!(
                    "{protocol} to {} port {}: OVN sends it to {seen:?}, forwards says {expected:?}",
                    probe.address, probe.port
                );
                found.push(Disagreement { kind, text });
            }
        }
    }

    /// Checks that the state of an intent holds before an agent changes anything.
    fn wanted(&self, intent: &Intent, found: &mut Vec<Disagreement>) {
        let mut differ = |kind, text: String| {
            let Intent { port, state, reason, wanted, message, .. } = intent;
            let text = format!("{port} wants {wanted}, {state} {reason} ({message}): {text}");
            found.push(Disagreement { kind, text });
        };
        let Some(index) = self.index(intent) else { return };
        let sources = self.sources(self.before, index, intent);
        match (&*intent.state, &*intent.reason) {
            ("foreign", _) => {
                let given = |source: &Source| matches!(source, Source::As(address, _) if Some(*address) == intent.external);
                let by_port = sources.chunks(2).any(|both| both.iter().all(|(_, source)| given(source)));
                // All packets here may be to exempted peers.
                let is_exempted = intent.external.is_some_and(|address| self.is_partial(address));
                if !by_port && !is_exempted {
                    differ("foreign-without-effect", format!("OVN gives {sources:?}"));
                }
            }
            ("pending", _) => {
                let place = self.places(intent);
                let already = sources
                    .iter()
                    .filter(|(outbound, _)| place.contains(&outbound.by))
                    .all(|(_, source)| matches!(source, Source::As(address, None) if Some(*address) == intent.external));
                if already && !self.case.nats().any(super::case::Nat::is_partial) {
                    differ("already-so", format!("OVN gives {sources:?}"));
                }
            }
            ("conflict", "foreign-nat") => {
                let address = instance(index)[usize::from(intent.v6)];
                if !names(self.flows_before, address) {
                    differ("conflict-without-effect", format!("no flow of OVN names {address}"));
                }
            }
            ("rejected", "not-a-forward") => {
                let Ok(address) = intent.wanted.parse::<IpAddr>() else { return };
                if !self.is_no_forward_by_design(address)
                    && let Some((probe, seen)) = self.forwarded(address)
                {
                    differ("forward-refused", format!("OVN sends {probe:?} to {seen:?}"));
                }
            }
            _ => {}
        }
    }

    /// Checks that connections of instances leave with the granted address, and all others as before.
    fn outbound(&self, found: &mut Vec<Disagreement>) {
        for (outbound, after) in &self.after.outbound {
            let name = port_name(self.number, outbound.instance);
            let intent = self.given.iter().find(|intent| intent.port == name && intent.v6 == outbound.v6);
            let active = intent.filter(|intent| intent.state == "active");
            if let Some(intent) = intent.filter(|intent| {
                !["active", "foreign", "conflict", "rejected", "waiting"].contains(&&*intent.state)
            }) {
                let text =
                    format!("{name} wants {} and is {} {}", intent.wanted, intent.state, intent.reason);
                found.push(Disagreement { kind: "unsettled", text });
            }
            match active.filter(|intent| self.places(intent).contains(&outbound.by)) {
                Some(intent) => {
                    let expected = intent.external.map(|address| Source::As(address, intent.range.clone()));
                    if Some(after) != expected.as_ref() && !self.is_by_other(outbound, intent, after) {
                        let text = format!(
                            "{name} is active as {expected:?}, and OVN by {outbound:?} gives {after:?}"
                        );
                        found.push(Disagreement { kind: "active-without-effect", text });
                    }
                }
                None => {
                    let before = self.before.outbound.get(outbound);
                    if Some(after) != before {
                        let state = intent.map_or("no intent", |intent| &*intent.state);
                        let text = format!(
                            "{name} ({state}) left as {before:?} by {outbound:?} before, and now as {after:?}"
                        );
                        found.push(Disagreement { kind: "changed-source", text });
                    }
                }
            }
        }
    }

    /// Checks that forwards are the same as before.
    fn inbound(&self, found: &mut Vec<Disagreement>) {
        for (probe, after) in &self.after.inbound {
            let Some(before) = self.before.inbound.get(probe) else { continue };
            // A converted VIP forwards one or two more protocols.
            let other = Inbound { udp: !probe.udp, ..*probe };
            let whole: BTreeSet<IpAddr> =
                self.before.inbound.get(&other).into_iter().flatten().map(|(address, _)| *address).collect();
            let addresses: BTreeSet<IpAddr> = after.iter().map(|(address, _)| *address).collect();
            let converted = before.is_empty() && !addresses.is_empty() && addresses == whole;
            if after != before && !converted {
                let text = format!("OVN sent {probe:?} to {before:?} before, and now to {after:?}");
                found.push(Disagreement { kind: "changed-forward", text });
            }
        }
    }

    /// Checks that no two flows for the same packets have different actions.
    fn rivals(&self, found: &mut Vec<Disagreement>) {
        let parsed = |line: &String| -> Option<(String, String)> {
            let (flow, action) = line.split_once("action=(")?;
            (!is_refused(action)).then(|| (flow.to_owned(), action.to_owned()))
        };
        let flows: Vec<(String, String)> = self.flows_after.iter().filter_map(parsed).collect();
        let active: Vec<IpAddr> = self
            .given
            .iter()
            .filter(|intent| intent.state == "active")
            .filter_map(|intent| Some(instance(self.index(intent)?)[usize::from(intent.v6)]))
            .collect();
        for (index, (flow, action)) in flows.iter().enumerate() {
            let rival = flows[..index].iter().find(|(other, theirs)| other == flow && theirs != action);
            if let Some((_, theirs)) = rival
                && active.iter().any(|address| names(std::slice::from_ref(flow), *address))
            {
                let text = format!("two flows for one packet: {flow}: {action} and {theirs}");
                found.push(Disagreement { kind: "rival", text });
            }
        }
    }

    /// Checks that no flow matches the replies to connections that leave by our rows.
    fn hazards(&self, found: &mut Vec<Disagreement>) {
        let rows = self.given.iter().filter(|intent| intent.state == "active").filter_map(|intent| {
            Some(ovn_extaddr_tests::Nat {
                kind: "snat".to_owned(),
                external_ip: intent.external?.to_string(),
                logical_ip: instance(self.index(intent)?)[usize::from(intent.v6)].to_string(),
                external_port_range: intent.range.clone().unwrap_or_default(),
                gateway_port: None,
                options: BTreeMap::new(),
                external_ids: BTreeMap::new(),
                uuid: String::new(),
            })
        });
        let rows: Vec<_> = rows.collect();
        let unsnat = |flow: &&String| flow.contains("(lr_in_unsnat");
        let flows: Vec<String> = self.flows_after.iter().filter(unsnat).cloned().collect();
        for hazard in hazards::find(&flows, &rows) {
            found.push(Disagreement { kind: "hazard", text: hazard.to_string() });
        }
    }

    // === inside ===

    /// Whether it is by design not a forward for the program, whatever OVN does: a service among instances, an address
    /// that a row only makes the router answer ARP for, and the own address of a router without gateway ports and
    /// without SNAT to show the sides.
    fn is_no_forward_by_design(&self, address: IpAddr) -> bool {
        let has_no_sides = self.case.gateway == Gateway::Chassis && !self.case.base;
        is_internal(address)
            || self.is_identity(address)
            || has_no_sides && Port::Ext.has(address)
            || self.is_undecided(address)
    }

    /// Whether it differs between chassis, or between releases.
    fn is_undecided(&self, address: IpAddr) -> bool {
        let is_in_network = || address.to_string().starts_with(IN_NETWORK);
        self.case.balancers().any(|balancer| balancer.is_template() && balancer.has(address))
            || is_in_network() && self.case.nats().any(|nat| nat.external.ends_with("/24"))
    }

    fn is_cut_off(&self) -> bool {
        self.case.outer_disabled || self.case.inner_disabled || self.case.gateway == Gateway::None
    }

    /// All targets of an address that the program knows.
    fn leads_to(&self, address: IpAddr) -> BTreeSet<super::packets::Target> {
        let here = self.forwards.iter().filter(|forward| forward.address == Some(address));
        here.flat_map(|forward| forward.targets.iter().copied()).collect()
    }

    fn is_partial(&self, address: IpAddr) -> bool {
        self.case.nats().any(|nat| nat.is_partial() && nat.external.parse() == Ok(address))
    }

    /// Whether an active override has no effect on these packets, and reports this: a row for some of them precedes it,
    /// or has the same address; or they do not get out anyway.
    fn is_by_other(&self, outbound: &Outbound, intent: &Intent, after: &Source) -> bool {
        match *after {
            Source::Lost => self.before.outbound.get(outbound) == Some(&Source::Lost),
            Source::As(address, _) if Some(address) == intent.external => self.is_partial(address),
            Source::As(address, _) => {
                self.case.nats().any(|nat| nat.matching.is_some() && nat.external.parse() == Ok(address))
            }
            Source::Kept => false,
        }
    }

    fn is_identity(&self, address: IpAddr) -> bool {
        self.case.nats().any(|nat| nat.external == nat.logical && nat.external.parse() == Ok(address))
    }

    fn index(&self, intent: &Intent) -> Option<usize> {
        (0..super::case::INSTANCES).find(|index| port_name(self.number, *index) == intent.port)
    }

    /// The outer ports that an override is for.
    fn places(&self, intent: &Intent) -> Vec<Port> {
        let outer = self.case.outer().iter().copied();
        outer
            .filter(|port| intent.gateway_port.as_ref().is_none_or(|name| *name == port.name(self.number)))
            .collect()
    }

    fn sources(&self, seen: &Seen, index: usize, intent: &Intent) -> Vec<(Outbound, Source)> {
        let of = |outbound: &Outbound| outbound.instance == index && outbound.v6 == intent.v6;
        seen.outbound
            .iter()
            .filter(|(outbound, _)| of(outbound))
            .map(|(o, source)| (*o, source.clone()))
            .collect()
    }

    fn forwarded(&self, address: IpAddr) -> Option<(&Inbound, &BTreeSet<super::packets::Target>)> {
        self.before.inbound.iter().find(|(probe, seen)| probe.address == address && !seen.is_empty())
    }
}

/// Whether it is in the instances' own networks.
fn is_internal(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => v4.octets()[..3] == [10, 57, 0],
        IpAddr::V6(v6) => v6.segments()[..4] == [0xfd42, 0x57, 0, 0],
    }
}

/// Whether ovn-controller refuses an action that northd makes from a row: a source that is written with a mask or
/// leading zeros (lib/lex.c, `lex_parse_integer__`), or an invalid range.
fn is_refused(action: &str) -> bool {
    let sources = action.split("ct_snat").skip(1).filter_map(|rest| {
        let arguments = rest.strip_prefix("_in_czone").unwrap_or(rest).strip_prefix('(')?;
        arguments.split([',', ')']).next()
    });
    action.contains(NO_RANGE) || sources.into_iter().any(|source| source.parse::<IpAddr>().is_err())
}

/// Whether a flow is for packets of an instance's address.
fn names(flows: &[String], address: IpAddr) -> bool {
    let address = address.to_string();
    // With or without the prefix length of a host.
    flows.iter().any(|flow| flow.split([' ', '(', ')', ';', ',', '=', '/']).any(|word| word == address))
}
