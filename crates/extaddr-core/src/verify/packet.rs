//! Packets with some known fields, and the evaluation of matches for them.

use std::net::IpAddr;

use ovn_model::Family;

use super::expression::{Expression, Relation, Value};
use crate::port_range::PortRange;

/// The transport protocol of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Transport {
    /// TCP
    Tcp,
    /// UDP
    Udp,
    /// SCTP
    Sctp,
    /// ICMP of the packet's family, as of `ping`.
    Icmp,
}

/// A packet at a router, of a connection that an instance began. A field that is `None` may have any value.
#[derive(Clone, Copy, Debug)]
pub(super) struct Packet<'a> {
    /// The family of its addresses.
    pub(super) family: Family,
    /// Its source address.
    pub(super) source: Option<IpAddr>,
    /// Its destination address.
    pub(super) destination: Option<IpAddr>,
    /// The router port by which it came.
    pub(super) inport: Option<&'a str>,
    /// The router port by which it leaves.
    pub(super) outport: Option<&'a str>,
    /// A port on the chassis where the packet is.
    pub(super) resident: Option<&'a str>,
    /// Its transport protocol.
    pub(super) transport: Option<Transport>,
    /// The range of its destination port.
    pub(super) to_port: Option<PortRange>,
    /// Whether connection tracking is known not to consider it a reply.
    pub(super) is_request: bool,
}

/// Predicates of packets that belong to no connection.
const UNCONNECTED: [&str; 10] =
    ["arp", "rarp", "nd", "nd_ns", "nd_ns_mcast", "nd_na", "nd_rs", "nd_ra", "mldv1", "mldv2"];

impl Transport {
    /// All of them.
    pub(super) const ALL: [Self; 4] = [Self::Tcp, Self::Udp, Self::Sctp, Self::Icmp];

    /// Returns its name in OVN.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
            Self::Sctp => "sctp",
            Self::Icmp => "icmp",
        }
    }

    /// Returns whether its packets have ports.
    pub(super) fn has_ports(self) -> bool {
        self != Self::Icmp
    }
}

impl Packet<'_> {
    /// Returns whether a match accepts the packet; `None` if that depends on unknown fields.
    pub(super) fn meets(&self, expression: &Expression) -> Option<bool> {
        match expression {
            Expression::Constant(value) => Some(*value),
            Expression::All(parts) => self.meets_each(parts, false),
            Expression::Any(parts) => self.meets_each(parts, true),
            Expression::Not(inner) => self.meets(inner).map(|met| !met),
            Expression::Symbol(name) => self.has(name),
            Expression::Resident(port) => (self.resident == Some(port)).then_some(true),
            Expression::Compare { field, relation, values } => self.compares(field, *relation, values),
            Expression::Opaque => None,
        }
    }

    /// Evaluates the parts until one is `decisive`.
    fn meets_each(&self, parts: &[Expression], decisive: bool) -> Option<bool> {
        let mut found = Some(!decisive);
        for part in parts {
            match self.meets(part) {
                Some(met) if met == decisive => return Some(decisive),
                None => found = None,
                Some(_) => {}
            }
        }
        found
    }

    fn has(&self, symbol: &str) -> Option<bool> {
        let is_v4 = self.family == Family::V4;
        match symbol {
            "ip" => Some(true),
            "ip4" => Some(is_v4),
            "ip6" => Some(!is_v4),
            "icmp4" if !is_v4 => Some(false),
            "icmp6" if is_v4 => Some(false),
            "icmp" | "icmp4" | "icmp6" => self.transport.map(|transport| transport == Transport::Icmp),
            "tcp" | "udp" | "sctp" => self.transport.map(|transport| transport.name() == symbol),
            "ct.rpl" if self.is_request => Some(false),
            // Earlier stages set these for packets that a load balancer or DNAT rule forwarded.
            _ if symbol.starts_with("flags.") => Some(false),
            _ if UNCONNECTED.contains(&symbol) => Some(false),
            _ => None,
        }
    }

    fn compares(&self, field: &str, relation: Relation, values: &[Value]) -> Option<bool> {
        let (protocol, part) = field.split_once('.').unwrap_or((field, ""));
        // A comparison with a field that the packet does not have is false, whatever the relation.
        let of_family = match protocol {
            "ip4" => self.family == Family::V4,
            "ip6" => self.family == Family::V6,
            _ => true,
        };
        if !of_family {
            return Some(false);
        }
        let of_transport = matches!(protocol, "tcp" | "udp" | "sctp");
        if of_transport && self.has(protocol) == Some(false) {
            return Some(false);
        }
        let equals = |value: &Value| match (protocol, part) {
            ("ip4" | "ip6", "src") => self.source.and_then(|address| is_within(address, value)),
            ("ip4" | "ip6", "dst") => self.destination.and_then(|address| is_within(address, value)),
            ("inport", "") => self.inport.and_then(|port| is_named(port, value)),
            ("outport", "") => self.outport.and_then(|port| is_named(port, value)),
            ("flags", _) => as_number(value).map(|number| number == 0),
            (_, "dst") if of_transport => {
                let (range, number) = (self.to_port?, as_number(value)?);
                match u16::try_from(number) {
                    Ok(port) if range.holds(port) => (range.count() == 1).then_some(true),
                    _ => Some(false),
                }
            }
            _ => None,
        };
        // A set in braces means any of its members.
        let mut found = Some(false);
        for value in values {
            match equals(value) {
                Some(true) => {
                    found = Some(true);
                    break;
                }
                None => found = None,
                Some(false) => {}
            }
        }
        match relation {
            Relation::Equal => found,
            Relation::NotEqual => found.map(|equal| !equal),
            Relation::Ordered => None,
        }
        // If the protocol is not known, only a mismatch is certain.
        .filter(|met| !*met || !of_transport || self.has(protocol) == Some(true))
    }
}

fn is_within(address: IpAddr, value: &Value) -> Option<bool> {
    match value {
        Value::Prefix(prefix) => Some(prefix.contains(&address)),
        _ => None,
    }
}

fn is_named(port: &str, value: &Value) -> Option<bool> {
    match value {
        Value::Text(name) => Some(port == name),
        _ => None,
    }
}

fn as_number(value: &Value) -> Option<u64> {
    match value {
        Value::Number(number) => Some(*number),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outbound() -> Packet<'static> {
        Packet {
            family: Family::V4,
            source: Some(IpAddr::from([10, 57, 0, 11])),
            destination: None,
            inport: None,
            outport: Some("R-ext"),
            resident: Some("cr-R-ext"),
            transport: None,
            to_port: None,
            is_request: true,
        }
    }

    fn reply(transport: Transport, first: u16, last: u16) -> Packet<'static> {
        Packet {
            source: None,
            destination: Some(IpAddr::from([203, 0, 113, 10])),
            inport: Some("R-ext"),
            outport: None,
            transport: Some(transport),
            to_port: transport.has_ports().then_some(PortRange { first, last }),
            is_request: false,
            ..outbound()
        }
    }

    #[test]
    fn match_of_a_packet_is_true_false_or_unknown() {
        let (yes, no, unknown) = (Some(true), Some(false), None);
        for (text, expected) in [
            ("1", yes),
            ("ip && ip4.src == 10.57.0.11 && outport == \"R-ext\" && is_chassis_resident(\"cr-R-ext\")", yes),
            ("ip && ip4.src == 10.57.0.11 && (!ct.trk || !ct.rpl)", yes),
            ("ip && ip4.src == 10.57.0.0/24 && outport == \"R-ext\"", yes),
            ("ip && ip4.src == 10.57.0.12", no),
            ("ip && ip4.src == 10.57.0.11 && outport == \"R-two\"", no),
            ("ip && ip6.src == fd42::b", no),
            ("ip && ip6.src != fd42::b", no),
            ("ip4.src != 10.57.0.12", yes),
            ("ip4.src == {10.57.0.12, 10.57.0.11}", yes),
            ("ip4.src == $set", unknown),
            ("ip4.src == $set && ip4.src == 10.57.0.12", no),
            ("ip4.src == 10.57.0.11 && ip4.dst == $set", unknown),
            ("ip4.src == 10.57.0.11 && reg9[4] == 1", unknown),
            ("ip4.src == 10.57.0.11 && is_chassis_resident(\"c1\")", unknown),
            ("flags.skip_snat_for_lb == 1 && ip", no),
            ("flags.loopback == 0 && ip", yes),
            ("nd_ns", no),
            ("nonsense(", unknown),
            ("tcp && ip4.src == 10.57.0.11", unknown),
        ] {
            assert_eq!(outbound().meets(&Expression::parse(text)), expected, "{text}");
        }
    }

    #[test]
    fn match_of_a_port_range_is_unknown_inside_and_false_outside() {
        let (yes, no, unknown) = (Some(true), Some(false), None);
        for (transport, first, last, text, expected) in [
            (Transport::Tcp, 1024, 39_999, "ip4 && ip4.dst == 203.0.113.10 && tcp && tcp.dst == 80", no),
            (
                Transport::Tcp,
                1024,
                39_999,
                "ip4 && ip4.dst == 203.0.113.10 && tcp && tcp.dst == 2000",
                unknown,
            ),
            (Transport::Tcp, 2000, 2000, "ip4 && ip4.dst == 203.0.113.10 && tcp && tcp.dst == 2000", yes),
            (Transport::Udp, 1024, 39_999, "ip4 && ip4.dst == 203.0.113.10 && tcp && tcp.dst == 2000", no),
            (Transport::Udp, 1024, 39_999, "ip4.dst == 203.0.113.10 && tcp.dst != 2000", no),
            (Transport::Tcp, 1024, 39_999, "ip4 && ip4.dst == 203.0.113.10 && tcp", yes),
            (Transport::Icmp, 1, 1, "ip4 && ip4.dst == 203.0.113.10 && tcp", no),
            (Transport::Icmp, 1, 1, "ip && ip4.dst == 203.0.113.10", yes),
            (Transport::Icmp, 1, 1, "icmp4", yes),
            (Transport::Icmp, 1, 1, "icmp6", no),
            (Transport::Tcp, 1024, 2000, "ip4.dst == 203.0.113.11 && tcp", no),
        ] {
            let packet = reply(transport, first, last);
            assert_eq!(packet.meets(&Expression::parse(text)), expected, "{transport:?} {text}");
        }
    }
}
