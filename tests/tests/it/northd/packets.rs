//! OVN's behaviour for a router, determined by following packets through its logical flows.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use anyhow::Result;
use ovn_extaddr_tests::Tracer;

use super::case::{Case, INSTANCES, OUTSIDE, Port, Row, endpoint, instance, mac, port_name};

/// A port that is not forwarded individually.
const UNLISTED: u16 = 4567;

/// From outside to an address and port.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Inbound {
    pub(super) udp: bool,
    pub(super) address: IpAddr,
    pub(super) port: u16,
}

/// From an instance's address to a host beyond an outer port.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Outbound {
    pub(super) instance: usize,
    pub(super) v6: bool,
    pub(super) by: Port,
    pub(super) udp: bool,
}

/// A target of packets: an address, and its port unless that is unchanged.
pub(super) type Target = (IpAddr, Option<u16>);

/// The result for an instance's source address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Source {
    /// The packet does not get out.
    Lost,
    Kept,
    /// With a port range, if there is one.
    As(IpAddr, Option<String>),
}

/// The results for all packets.
#[derive(Debug, Default)]
pub(super) struct Seen {
    /// The targets of each address and port from outside, by any outer port; none: it is not forwarded.
    pub(super) inbound: BTreeMap<Inbound, BTreeSet<Target>>,
    pub(super) outbound: BTreeMap<Outbound, Source>,
}

/// Follows packets of every kind that may matter to a router.
pub(super) fn look(tracer: &mut Tracer, case: &Case, number: &str) -> Result<Seen> {
    let mut seen = Seen::default();
    for inbound in probes(case) {
        let mut targets = BTreeSet::new();
        for port in case.outer() {
            targets.extend(arrives(tracer, number, *port, inbound)?);
        }
        seen.inbound.insert(inbound, targets);
    }
    for index in 0..INSTANCES {
        for v6 in [false, true] {
            for by in case.outer().iter().copied() {
                for udp in [false, true] {
                    let outbound = Outbound { instance: index, v6, by, udp };
                    let source = leaves(tracer, number, outbound)?;
                    seen.outbound.insert(outbound, source);
                }
            }
        }
    }
    Ok(seen)
}

/// The addresses that rows and intents name, and the ports that go with them.
fn probes(case: &Case) -> BTreeSet<Inbound> {
    let mut named: BTreeMap<IpAddr, BTreeSet<u16>> = BTreeMap::new();
    let mut name = |text: &str| {
        if let Some((address, port)) = endpoint(text) {
            named.entry(address).or_default().extend(port);
        }
    };
    for row in &case.rows {
        match row {
            Row::Balancer(balancer) => balancer.vips.iter().for_each(|(vip, _)| name(vip)),
            Row::Nat(nat) => name(nat.external.trim_end_matches("/32").trim_end_matches("/128")),
            Row::Intent { wanted, .. } => name(wanted),
        }
    }
    let mut probes = BTreeSet::new();
    for (address, ports) in named.into_iter().filter(|(address, _)| !address.is_unspecified()) {
        for port in ports.into_iter().chain([UNLISTED]).filter(|port| *port > 0) {
            probes.extend([false, true].map(|udp| Inbound { udp, address, port }));
        }
    }
    probes
}

/// The targets of a packet from outside.
fn arrives(tracer: &mut Tracer, number: &str, by: Port, probe: Inbound) -> Result<Vec<Target>> {
    let Inbound { udp, address, port } = probe;
    let (switch, host) = by.outside(number);
    let packet =
        packet(&host, [OUTSIDE, by.mac()], [by.beyond()[usize::from(address.is_ipv6())], address], udp, port);
    let account = tracer.follow(&switch, &packet)?;
    let targets = actions(&account, &format!("R{number}"), "lr_in_dnat").find_map(targets);
    let targets = targets.unwrap_or_default();
    let is_instance = |address: IpAddr| (0..INSTANCES).any(|index| instance(index).contains(&address));
    let reached = (0..INSTANCES).any(|index| outputs_to(&account, &port_name(number, index)));
    let lost = targets.iter().all(|(address, _)| is_instance(*address)) && !reached;
    Ok(if lost { Vec::new() } else { targets })
}

/// The source address of a leaving packet.
fn leaves(tracer: &mut Tracer, number: &str, outbound: Outbound) -> Result<Source> {
    let Outbound { instance: index, v6, by, udp } = outbound;
    let family = usize::from(v6);
    let ends = [instance(index)[family], by.beyond()[family]];
    let packet = packet(&port_name(number, index), [&mac(index), Port::Inner.mac()], ends, udp, 80);
    let account = tracer.follow(&format!("S{number}"), &packet)?;
    if !outputs_to(&account, &by.outside(number).1) {
        return Ok(Source::Lost);
    }
    let found = actions(&account, &format!("R{number}"), "lr_out_snat").find_map(source);
    Ok(found.unwrap_or(Source::Kept))
}

fn packet(inport: &str, macs: [&str; 2], ends: [IpAddr; 2], udp: bool, port: u16) -> String {
    let [from, to] = ends;
    let (ip, proto) = (if from.is_ipv4() { "ip4" } else { "ip6" }, if udp { "udp" } else { "tcp" });
    format!(
        "inport == \"{inport}\" && eth.src == {} && eth.dst == {} && {ip}.src == {from} && {ip}.dst == {to} && \
         ip.ttl == 64 && {proto} && {proto}.src == 33333 && {proto}.dst == {port}",
        macs[0], macs[1],
    )
}

/// The actions that were taken in a stage of a datapath.
fn actions<'a>(account: &'a str, datapath: &str, stage: &str) -> impl Iterator<Item = &'a str> {
    let (datapath, stage) = (format!("(dp=\"{datapath}\","), stage.to_owned());
    let (mut inside, mut here) = (false, false);
    account
        .lines()
        .filter(move |line| {
            let text = line.trim_start();
            if text.starts_with("ingress(dp=") || text.starts_with("egress(dp=") {
                inside = text.contains(&datapath);
                here = false;
            } else if let Some((_, rest)) =
                text.split_once(". ").filter(|(table, _)| table.parse::<u8>().is_ok())
            {
                here = rest.split(' ').next() == Some(&stage);
                return false;
            }
            inside && here
        })
        .map(str::trim)
}

fn outputs_to(account: &str, port: &str) -> bool {
    account.contains(&format!("output to \"{port}\","))
}

/// The targets in an action: `ct_lb_mark(backends=10.57.0.11:8080,10.57.0.12:8080);`, `ct_dnat_in_czone(10.57.0.11);`,
/// `ip4.dst=10.57.0.11;`.
fn targets(action: &str) -> Option<Vec<Target>> {
    if let Some((_, rest)) = action.split_once("backends=") {
        let list = rest.split([';', ')']).next()?;
        return Some(list.split(',').filter_map(|text| endpoint(text.trim())).collect());
    }
    let address = parameter(action, "ct_dnat").or_else(|| assigned(action, "dst"))?;
    Some(vec![(address.parse().ok()?, None)])
}

fn source(action: &str) -> Option<Source> {
    if let Some(address) = assigned(action, "src") {
        return Some(Source::As(address.parse().ok()?, None));
    }
    let text = action.strip_prefix("ct_snat")?.split_once('(')?.1.split(')').next()?;
    let (address, range) =
        text.split_once(',').map_or((text, None), |(address, range)| (address, Some(range)));
    Some(Source::As(address.trim().parse().ok()?, range.map(|range| range.trim().to_owned())))
}

/// The address of `ct_dnat(10.57.0.11,1024-30000);`.
fn parameter<'a>(action: &'a str, function: &str) -> Option<&'a str> {
    let (_, rest) = action.strip_prefix(function)?.split_once('(')?;
    rest.split([',', ')']).next().map(str::trim)
}

/// The address of `ip4.dst=10.57.0.11;`.
fn assigned<'a>(action: &'a str, end: &str) -> Option<&'a str> {
    let (field, value) = action.split_once('=')?;
    let is_address = ["ip4.", "ip6."].iter().any(|ip| field.trim().strip_prefix(ip) == Some(end));
    is_address.then(|| value.trim().trim_end_matches(';').trim())
}
