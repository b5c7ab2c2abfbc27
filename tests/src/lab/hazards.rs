//! Flows that can match the replies to an overridden instance's own connections, read from the Southbound logical flows.
//!
//! A reply comes in at the gateway for (`external_ip`, a port of the override's range). It finds back to the instance
//! only if stage `lr_in_unsnat` un-SNATs it. For a load balancer's VIP on a NAT address northd adds, depending on the
//! release, a flow of priority 120 by which packets pass that stage unchanged; it must not match any such reply. Terms
//! of a match that are not understood count as true, so that nothing is overlooked.

use std::fmt::{self, Display, Formatter};
use std::net::IpAddr;
use std::ops::RangeInclusive;

use crate::net::Nat;

use super::Proto;

/// A flow that matches replies before they are translated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hazard {
    /// The override's external address.
    pub external: IpAddr,
    /// The address of the instance, as in its row.
    pub logical: String,
    /// The protocol of the reply.
    pub proto: Proto,
    /// A possible destination port of the reply; 0 for ICMP.
    pub port: u16,
    /// The flow, as ovn-sbctl prints it.
    pub flow: String,
}

/// A packet that arrives at the router.
#[derive(Clone, Copy, Debug)]
struct Packet {
    to: IpAddr,
    proto: Proto,
    port: u16,
}

/// A logical flow of `ovn-sbctl lflow-list`.
#[derive(Debug)]
struct Flow<'a> {
    priority: u32,
    matching: &'a str,
    action: &'a str,
    line: &'a str,
}

/// Finds what is wrong in a router's `lr_in_unsnat` flows, given its NAT rows.
///
/// It checks every `snat` row of a single instance, ours or not. Rows of a whole network belong to the CMS, and drain
/// rows are for connections that are established already.
pub fn find(flows: &[String], nats: &[Nat]) -> Vec<Hazard> {
    let flows: Vec<Flow<'_>> = flows.iter().filter_map(|line| Flow::parse(line)).collect();
    let mut hazards = Vec::new();
    for nat in nats.iter().filter(|nat| is_override(nat)) {
        let Ok(external) = nat.external_ip.parse::<IpAddr>() else { continue };
        let range = port_range(&nat.external_port_range);
        for packet in samples(external, &range, &flows) {
            // The first flow that matches it is sufficient.
            let taken =
                flows.iter().find(|flow| flow.priority >= 120 && flow.passes() && flow.matches(&packet));
            if let Some(flow) = taken {
                hazards.push(Hazard {
                    external,
                    logical: nat.logical_ip.clone(),
                    proto: packet.proto,
                    port: packet.port,
                    flow: flow.line.to_owned(),
                });
            }
        }
    }
    hazards
}

/// The replies to check: one for each protocol, and one for each port of the range that a flow names.
fn samples(to: IpAddr, range: &RangeInclusive<u16>, flows: &[Flow<'_>]) -> Vec<Packet> {
    let mut packets = vec![Packet { to, proto: Proto::Icmp, port: 0 }];
    for proto in [Proto::Tcp, Proto::Udp] {
        let mut ports: Vec<u16> = flows.iter().flat_map(|flow| flow.ports()).collect();
        ports.sort_unstable();
        ports.dedup();
        // One port that no flow names represents all such ports.
        ports.extend(range.clone().find(|port| !ports.contains(port)));
        ports.retain(|port| range.contains(port));
        packets.extend(ports.into_iter().map(|port| Packet { to, proto, port }));
    }
    packets
}

/// Whether a row is for one instance's own connections: not for a network, and not a drain row.
fn is_override(nat: &Nat) -> bool {
    let (address, len) = nat.logical_ip.split_once('/').unwrap_or((&nat.logical_ip, ""));
    let single = match address.parse() {
        Ok(IpAddr::V4(address)) => (len.is_empty() || len == "32") && address.octets()[0] < 240,
        Ok(IpAddr::V6(address)) => {
            (len.is_empty() || len == "128") && address.segments()[..4] != [0x100, 0, 0, 0]
        }
        Err(_) => false,
    };
    nat.kind == "snat" && single
}

/// All ports if there is no range: the instance chooses then.
fn port_range(text: &str) -> RangeInclusive<u16> {
    let (low, high) = text.split_once('-').unwrap_or((text, text));
    match (low.trim().parse(), high.trim().parse()) {
        (Ok(low), Ok(high)) => low..=high,
        _ => 1..=u16::MAX,
    }
}

impl<'a> Flow<'a> {
    /// Reads `table=4 (lr_in_unsnat ), priority=120 , match=(ip4 && ip4.dst == 1.2.3.4), action=(next;)`.
    fn parse(line: &'a str) -> Option<Self> {
        let (_, rest) = line.split_once("priority=")?;
        let (priority, rest) = rest.split_once(',')?;
        let (_, rest) = rest.split_once("match=(")?;
        let (matching, action) = rest.split_once("), action=(")?;
        Some(Self {
            priority: priority.trim().parse().ok()?,
            matching,
            action: action.trim_end().strip_suffix(')')?,
            line: line.trim(),
        })
    }

    /// Whether the packet goes on without un-SNAT.
    fn passes(&self) -> bool {
        !self.action.contains("ct_snat")
    }

    /// The ports its match names.
    fn ports(&self) -> Vec<u16> {
        let atoms = self.matching.split("&&").filter_map(|atom| atom.split_once("=="));
        atoms
            .filter(|(field, _)| field.trim().ends_with(".dst"))
            .flat_map(|(_, values)| set(values))
            .filter_map(|value| value.parse().ok())
            .collect()
    }

    fn matches(&self, packet: &Packet) -> bool {
        self.matching.split("&&").all(|atom| packet.fits(atom.trim()))
    }
}

impl Packet {
    /// Whether one term of a conjunction holds. True in doubt.
    fn fits(&self, atom: &str) -> bool {
        match atom {
            "ip4" => return self.to.is_ipv4(),
            "ip6" => return self.to.is_ipv6(),
            "tcp" => return self.proto == Proto::Tcp,
            "udp" => return self.proto == Proto::Udp,
            "sctp" => return false,
            "icmp4" | "icmp6" | "icmp" => return self.proto == Proto::Icmp,
            _ => {}
        }
        let Some((field, values)) = atom.split_once("==") else { return true };
        match field.trim() {
            "ip4.dst" | "ip6.dst" => set(values).any(|value| value.parse() == Ok(self.to)),
            "tcp.dst" => self.proto == Proto::Tcp && set(values).any(|value| value.parse() == Ok(self.port)),
            "udp.dst" => self.proto == Proto::Udp && set(values).any(|value| value.parse() == Ok(self.port)),
            "sctp.dst" => false,
            _ => true,
        }
    }
}

/// The values of `a` or of `{a, b}`.
fn set(values: &str) -> impl Iterator<Item = &str> {
    values.trim().trim_matches(['{', '}']).split(',').map(str::trim)
}

impl Display for Hazard {
    fn fmt(&self, out: &mut Formatter<'_>) -> fmt::Result {
        let Self { external, logical, proto, port, flow } = self;
        write!(out, "a {proto} reply for {logical} to {external} port {port} is taken by: {flow}")
    }
}
