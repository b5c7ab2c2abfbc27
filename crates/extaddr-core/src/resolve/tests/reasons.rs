//! One network for each reason, and a part of its sentence.

use std::collections::BTreeSet;

use serde_json::json;

use super::forwarded;
use crate::reason::Code;
use crate::rules::DefaultTargetRule;
use crate::testing::{Edit, allow, map};

/// The reasons that do not follow from the database alone: [`report`](crate::report), [`apply`](crate::apply) and CMSes
/// have them, with tests there.
const ELSEWHERE: [Code; 4] = [Code::NoPort, Code::Refused, Code::SourceUnreachable, Code::DisputedInstance];

/// An edit of a network in which `p1` would be granted 203.0.113.10, the decision after it, and a part of the sentence.
const CASES: &[(Edit, &str, &str)] = &[
    (|n| n.wants("p1", "web"), "rejected invalid-address", "\"web\" is not an IPv4 address"),
    (
        |n| n.annotate("p1", "ipv4.address.external", "2001:db8::10"),
        "rejected wrong-family",
        "2001:db8::10 is not an IPv4 address: set ipv6.address.external instead",
    ),
    (
        |n| n.put("Logical_Switch_Port", "p1", json!({"type": "localport"})),
        "rejected not-an-instance",
        "remove ipv4.address.external from this one",
    ),
    (
        |n| n.put("Logical_Switch", "S", json!({"ports": ["set", []]})),
        "waiting no-switch",
        "no switch has this port",
    ),
    (
        |n| n.put("Logical_Switch_Port", "p1", json!({"addresses": "02:00:00:00:00:11 fd42:57::b"})),
        "waiting no-address",
        "the port has no ipv4 address, neither static nor allocated",
    ),
    (
        |n| n.delete("Logical_Switch_Port", "S-R-S"),
        "rejected no-router",
        "no router is joined to the port's switch",
    ),
    (
        |n| n.delete("Load_Balancer", "fw"),
        "rejected not-a-forward",
        "203.0.113.10 is not a forward address of the port's network: create",
    ),
    (
        |n| {
            n.delete("Load_Balancer", "fw");
            n.rules.allow = vec![allow("*", "198.51.100.0/24")];
        },
        "rejected not-permitted",
        "nothing forwards 203.0.113.10 to the port's network, and no allowed prefix grants it",
    ),
    (
        |n| {
            n.router("R2");
            n.gateway_port("R2", "R2-ext", &["203.0.113.3/24"]);
            n.delete("Load_Balancer", "fw");
            n.balancer("fw2", &[("203.0.113.10:80", "10.57.0.11:80")], &["R2"]);
            n.rules.allow = vec![allow("*", "203.0.113.0/24")];
        },
        "rejected not-permitted",
        "to the port's network (it is one of router R2, which the port cannot reach), and no allowed prefix",
    ),
    (
        |n| {
            n.balancer("fw", &[("203.0.113.10:80", "10.57.0.12:80")], &[]);
            n.rules.require_target = true;
        },
        "rejected not-a-target",
        "forwards 203.0.113.10 to others but not to this port",
    ),
    (
        |n| {
            n.router("R2");
            n.router_port("R2", "R2-S", &["10.57.0.2/24"]);
            n.gateway_port("R2", "R2-ext", &["203.0.113.3/24"]);
            n.join("S", "R2-S");
            n.balancer("fw2", &[("203.0.113.10:80", "10.57.0.11:80")], &["R2"]);
        },
        "rejected ambiguous-router",
        "203.0.113.10 is a forward address of both R and R2 at the same distance",
    ),
    (
        |n| {
            n.wants("p1", "auto");
            n.router("R2");
            n.router_port("R2", "R2-S", &["10.57.0.2/24"]);
            n.gateway_port("R2", "R2-ext", &["203.0.113.3/24"]);
            n.join("S", "R2-S");
            n.balancer("fw2", &[("203.0.113.10:80", "10.57.0.11:80")], &["R2"]);
        },
        "rejected ambiguous-router",
        "203.0.113.10 is a forward address of both R and R2 at the same distance",
    ),
    (
        |n| n.put("Logical_Router", "R", json!({"enabled": false})),
        "rejected router-disabled",
        "R is disabled, so that OVN ignores it",
    ),
    (
        |n| n.put("Logical_Router_Port", "R-S", json!({"enabled": false})),
        "rejected port-disabled",
        "router port R-S is disabled, so that OVN drops all packets between the port and R or the outside: enable it (`ovn-nbctl lrp-set-enabled`",
    ),
    (
        |n| n.put("Logical_Router_Port", "R-ext", json!({"ha_chassis_group": ["set", []]})),
        "rejected no-gateway",
        "R has no gateway port and no options:chassis",
    ),
    (
        |n| {
            n.wants("p1", "192.0.2.10");
            n.balancer("fw", &[("192.0.2.10:80", "10.57.0.11:80")], &[]);
            n.gateway_port("R", "R-ext2", &["198.51.100.2/24"]);
            n.delete("NAT", "base");
        },
        "rejected no-gateway-port",
        "R has several gateway ports and 192.0.2.10 is in no network of theirs",
    ),
    (
        |n| {
            n.balancer("fw", &[("203.0.113.10", "10.57.0.11")], &[]);
            n.rules.default_target = DefaultTargetRule::Reject;
        },
        "rejected default-target",
        "a load balancer forwards all ports of the address on R, beside which OVN breaks TCP replies, and it is not converted, for the configuration has",
    ),
    (
        |n| n.rules.min_source_ports = 64_513,
        "rejected no-source-ports",
        "the largest block without one has 64512, too few",
    ),
    (
        |n| {
            n.wants("p1", "auto");
            n.delete("Load_Balancer", "fw");
        },
        "rejected no-forward-for-auto",
        "no forward address leads to this port alone",
    ),
    (
        |n| {
            n.wants("p1", "auto");
            n.balancer("fw2", &[("203.0.113.11:80", "10.57.0.11:80")], &["R"]);
        },
        "rejected ambiguous-auto",
        "both 203.0.113.10 and 203.0.113.11 lead to this port alone: set ipv4.address.external to one",
    ),
    (
        |n| n.nat("both", "R", "dnat_and_snat", "203.0.113.22", "10.57.0.11"),
        "conflict foreign-nat",
        "already to 203.0.113.22",
    ),
    (
        // An address that is routed to the instance, for which the router only answers ARP (canonical/lxd#8031).
        |n| {
            n.delete("Load_Balancer", "fw");
            n.nat("identity", "R", "dnat_and_snat", "203.0.113.10", "203.0.113.10");
            n.put("NAT", "identity", json!({"logical_port": "p1", "external_mac": "02:00:00:00:00:11"}));
        },
        "rejected not-a-forward",
        "203.0.113.10 is not a forward address",
    ),
    (
        |n| n.nat("foreign", "R", "snat", "203.0.113.11", "10.57.0.11"),
        "conflict foreign-nat",
        "translates the port's address already to 203.0.113.11",
    ),
    (
        |n| {
            n.nat("neighbour", "R", "dnat_and_snat", "203.0.113.10", "10.57.0.12");
            n.put("NAT", "neighbour", json!({"options": map(&[("stateless", "true")])}));
        },
        "conflict stateless-nat",
        "203.0.113.10",
    ),
    (
        |n| {
            n.nat("neighbour", "R", "dnat_and_snat", "203.0.113.10", "10.57.0.12");
            let columns = json!({"external_mac": "02:00:00:00:00:99", "logical_port": "p2"});
            n.put("NAT", "neighbour", columns);
        },
        "conflict distributed-nat",
        "port p2",
    ),
    (
        |n| {
            n.wants("p1", "198.51.100.10");
            n.balancer("fw", &[("198.51.100.10:80", "10.57.0.11:80")], &[]);
            n.put("Load_Balancer", "fw", json!({"options": map(&[("distributed", "true")])}));
        },
        "conflict distributed-balancer",
        "fw",
    ),
    (
        |n| {
            n.gateway_port("R", "R-ext2", &["198.51.100.2/24"]);
            n.put("Load_Balancer", "fw", json!({"options": map(&[("use_stateless_nat", "true")])}));
        },
        "conflict stateless-balancer",
        "load balancer fw leads to the port on R without connection tracking",
    ),
    (|n| n.instance("p2", "02:00:00:00:00:12 10.57.0.11"), "conflict duplicate-address", "10.57.0.11"),
];

#[test]
fn every_reason_has_its_outcome_and_sentence() {
    for &(change, outcome, part) in CASES {
        let mut network = forwarded();
        change(&mut network);
        assert_eq!(network.outcome("p1"), outcome);
        let sentence = network.sentence("p1");
        assert!(sentence.contains(part), "{outcome}: {sentence}");
    }
}

#[test]
fn every_reason_has_a_test_network() {
    let found = CASES.iter().filter_map(|(_, outcome, _)| outcome.split(' ').nth(1));
    let found: BTreeSet<_> = found.chain(ELSEWHERE.map(Code::name)).collect();
    assert_eq!(found, Code::ALL.iter().map(|code| code.name()).collect());
}
