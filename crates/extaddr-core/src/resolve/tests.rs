//! Cases of docs/field-cases.md, and the decisions on them.

mod foreign;
mod found;
mod gateways;
mod intents;
mod paths;
mod reasons;
mod targets;

use serde_json::json;

use crate::rules::PortRangeRule;
use crate::testing::{NetworkBuilder, map};

const GRANTED: &str = "granted 203.0.113.10 for 10.57.0.11 ports 1024-65535";

/// The base of all cases: `p1` has an intent for an address.
fn wanting(address: &str) -> NetworkBuilder {
    let mut network = NetworkBuilder::new();
    network.wants("p1", address);
    network
}

/// The same, and the address is forwarded.
fn forwarded() -> NetworkBuilder {
    let mut network = wanting("203.0.113.10");
    network.balancer("fw", &[("203.0.113.10:80", "10.57.0.11:80")], &["R"]);
    network
}

#[test]
fn forwarded_address_is_granted() {
    assert_eq!(forwarded().outcome("p1"), GRANTED);
    let mut network = wanting("203.0.113.10");
    network.balancer("fw", &[("203.0.113.10", "10.57.0.11")], &["R"]);
    assert_eq!(network.outcome("p1"), "granted 203.0.113.10 for 10.57.0.11 converted");
}

#[test]
fn explanation_lists_every_step() {
    let network = forwarded();
    let checks = network.checks("p1");
    let steps = [
        "intent: ipv4.address.external of the port asks for 203.0.113.10",
        "switch: S",
        "internal: 10.57.0.11",
        "routers: R",
        "forward: 203.0.113.10:80 leads to 10.57.0.11 (load balancer fw on R)",
        "place: no foreign row translates the port's addresses",
        "port-range: 1024-65535: 64512 source ports, the largest block without a port that 203.0.113.10 listens on",
    ];
    assert_eq!(checks[..steps.len()], steps);
    assert!(
        matches!(&checks[steps.len()..], [change] if change.starts_with("change: ") && change.contains("may finish for 300 s"))
    );
}

#[test]
fn configured_port_range_is_used_despite_listening_ports() {
    let mut network = forwarded();
    network.balancer("fw", &[("203.0.113.10:2000", "10.57.0.11:80")], &[]);
    let said = |network: &NetworkBuilder| {
        network.checks("p1").into_iter().find(|check| check.contains("port-range: ")).unwrap()
    };
    for (rule, outcome, explained) in [
        (PortRangeRule::Auto, " ports 2001-65535", "port-range: 2001-65535: 63535 source ports, the largest"),
        (
            PortRangeRule::Off,
            "",
            "!port-range: all ports: connections from a port that 203.0.113.10 listens on (2000) break",
        ),
        (
            PortRangeRule::Fixed("1500-2500".parse().unwrap()),
            " ports 1500-2500",
            "!port-range: 1500-2500: connections from a port",
        ),
        (
            PortRangeRule::Fixed("3000-3999".parse().unwrap()),
            " ports 3000-3999",
            "port-range: 3000-3999: 1000 source ports, as configured",
        ),
    ] {
        network.rules.port_range = rule;
        assert_eq!(network.outcome("p1"), format!("granted 203.0.113.10 for 10.57.0.11{outcome}"));
        assert!(said(&network).starts_with(explained), "{}", said(&network));
    }
}

#[test]
fn row_uuid_is_independent_of_rows_that_exist() {
    let mut network = forwarded();
    let fresh = network.rows("p1");
    for (port, external) in [("p2", "203.0.113.10"), ("p1", "203.0.113.11"), ("p1", "203.0.113.10")] {
        network.own_row(port, external, "10.57.0.11", None);
        assert_eq!(network.rows("p1"), fresh, "beside a row of {port}");
    }
}

#[test]
fn field_case_3_vip_that_northd_skips_is_no_forward() {
    for (wanted, key, value) in [
        ("203.0.113.10", "203.0.113.10", "10.57.0.11:80"),
        ("203.0.113.10", "203.0.113.10:80", "10.57.0.11"),
        ("203.0.113.10", "203.0.113.10:80", "10.57.0.11:80,10.57.0.12"),
        ("203.0.113.10", "203.0.113.10", "fd42:57::b"),
        ("203.0.113.10", "203.0.113.10", "10.57.0.11,c1"),
        ("2001:db8::10", "2001:db8::10", "10.57.0.11"),
    ] {
        let mut network = wanting(wanted);
        network.balancer("fw", &[(key, value)], &["R"]);
        assert_eq!(network.outcome("p1"), "rejected not-a-forward", "{key}={value}");
        assert_eq!(network.hazards(), ["vip-ignored"], "{key}={value}");
        network.wants("p1", "auto");
        assert_eq!(network.outcome("p1"), "rejected no-forward-for-auto", "{key}={value}");
    }
}

#[test]
fn field_case_3_malformed_vip_beside_a_valid_one_is_ignored() {
    let mut network = wanting("203.0.113.10");
    let vips = [("203.0.113.10:80", "10.57.0.11:80"), ("203.0.113.10", "10.57.0.11:80")];
    network.balancer("fw", &vips, &["R"]);
    assert_eq!(network.outcome("p1"), GRANTED, "nothing is converted, and ports are as without it");
}

#[test]
fn field_case_4_vips_inside_the_network_are_no_forwards() {
    let inside = |network: &mut NetworkBuilder| {
        network.balancer("inside", &[("10.57.0.50:80", "10.57.0.11:8080")], &["R"]);
    };
    let mut network = wanting("10.57.0.50");
    inside(&mut network);
    assert_eq!(network.outcome("p1"), "rejected not-a-forward", "a gateway port shows what is inside");
    let mut routed = network.clone();
    routed.delete("NAT", "base");
    assert_eq!(routed.outcome("p1"), "rejected not-a-forward", "without SNAT, too");
    routed.wants("p1", "auto");
    assert_eq!(routed.outcome("p1"), "rejected no-forward-for-auto");
    network.bind_to_chassis();
    assert_eq!(network.outcome("p1"), "rejected not-a-forward", "SNAT does");
    network.put("NAT", "base", json!({"external_ip": "203.0.113.5"}));
    assert_eq!(network.outcome("p1"), "rejected not-a-forward", "SNAT with another address does");
    network.delete("NAT", "base");
    assert_eq!(network.outcome("p1"), "rejected not-a-forward", "the instance is in the network, too");
    network.wants("p1", "auto");
    assert_eq!(network.outcome("p1"), "rejected no-forward-for-auto");
    network.balancer("fw", &[("203.0.113.10:80", "10.57.0.11:80")], &["R"]);
    assert_eq!(network.outcome("p1"), GRANTED, "one outside is not ambiguous beside it");
}

#[test]
fn field_case_4_vip_in_another_network_behind_the_router_is_no_forward() {
    let mut network = forwarded();
    network.bind_to_chassis();
    network.router_port("R", "R-S2", &["10.58.0.1/24"]);
    assert_eq!(network.outcome("p1"), GRANTED);
    for logical in ["10.57.0.0/24", "10.56.0.0/14", "0.0.0.0/0"] {
        network.put("NAT", "base", json!({"logical_ip": logical}));
        network.balancer("inside", &[("10.58.0.50:80", "10.57.0.11:80")], &["R"]);
        network.wants("p1", "10.58.0.50");
        assert_eq!(network.outcome("p1"), "rejected not-a-forward", "SNAT of {logical}");
    }
    // The router's own address outside may be forwarded.
    network.put("NAT", "base", json!({"logical_ip": "0.0.0.0/0"}));
    network.balancer("own", &[("203.0.113.2:80", "10.57.0.11:80")], &["R"]);
    network.wants("p1", "203.0.113.2");
    assert_eq!(network.outcome("p1"), "foreign");
}

/// As with an uplink in a flat network.
#[test]
fn network_of_a_gateway_port_that_contains_the_instances_is_outside() {
    let mut network = forwarded();
    network.gateway_port("R", "R-ext", &["10.0.0.2/8"]);
    network.put("NAT", "base", json!({"external_ip": "10.0.0.2"}));
    network.balancer("fw", &[("10.200.0.10:80", "10.57.0.11:80")], &["R"]);
    for wanted in ["10.200.0.10", "auto"] {
        network.wants("p1", wanted);
        assert_eq!(network.outcome("p1"), GRANTED.replace("203.0.113.10", "10.200.0.10"));
    }
    network.balancer("fw", &[("10.57.0.50:80", "10.57.0.11:80")], &["R"]);
    network.wants("p1", "10.57.0.50");
    assert_eq!(network.outcome("p1"), "rejected not-a-forward");
}

#[test]
fn field_case_4_snat_to_an_inner_address_shows_no_outer_side() {
    for external in ["10.57.0.50", "10.57.0.1"] {
        let mut network = forwarded();
        network.bind_to_chassis();
        network.put("NAT", "base", json!({"external_ip": external, "logical_ip": "10.57.0.128/25"}));
        assert_eq!(network.outcome("p1"), GRANTED, "SNAT to {external}");
    }
}

#[test]
fn field_case_4_dnat_rows_inside_the_networks_are_no_forwards() {
    for bound in [false, true] {
        for (kind, external) in
            [("dnat", "10.58.0.50"), ("dnat_and_snat", "10.58.0.50"), ("dnat", "fd42:58::50")]
        {
            let mut network = wanting("auto");
            network.router_port("R", "R-S2", &["10.58.0.1/24", "fd42:58::1/64"]);
            let (target, base) = if external.contains(':') {
                network.wants("p1", external);
                ("fd42:57::b", Some("fd42:57::/64"))
            } else {
                ("10.57.0.11", None)
            };
            if let Some(base) = base {
                network.nat("base6", "R", "snat", "2001:db8::2", base);
            }
            if bound {
                network.bind_to_chassis();
            }
            network.nat("row", "R", kind, external, target);
            let expected =
                if base.is_some() { "rejected not-a-forward" } else { "rejected no-forward-for-auto" };
            assert_eq!(network.outcome("p1"), expected, "{kind} {external}, bound to a chassis: {bound}");
            network.wants("p1", external);
            assert_eq!(network.outcome("p1"), "rejected not-a-forward", "{kind} {external}");
            assert!(network.sentence("p1").contains("a service among instances"), "{kind} {external}");
        }
    }
}

#[test]
fn field_case_4_unroutable_addresses_are_no_forwards() {
    for address in [
        "169.254.169.254",
        "127.0.0.1",
        "0.0.0.0",
        "224.0.0.10",
        "255.255.255.255",
        "fe80::10",
        "ff02::10",
        "::1",
    ] {
        let mut network = wanting(address);
        let (vip, target) = if address.contains(':') {
            (format!("[{address}]:80"), "[fd42:57::b]:80")
        } else {
            (format!("{address}:80"), "10.57.0.11:80")
        };
        network.balancer("local", &[(&vip, target)], &["R"]);
        assert_eq!(network.outcome("p1"), "rejected not-a-forward", "{address}");
    }
    // Such a service does not make a forward ambiguous.
    let mut network = forwarded();
    network.balancer("dns", &[("169.254.20.10:53", "10.57.0.11:53")], &["R"]);
    network.wants("p1", "auto");
    assert_eq!(network.outcome("p1"), GRANTED);
}

#[test]
fn field_case_4_vip_in_a_network_behind_a_further_router_is_no_forward() {
    for bound in [false, true] {
        for (logical, inside) in [("10.58.0.0/16", true), ("10.59.0.0/16", false), ("0.0.0.0/0", false)] {
            let mut network = wanting("10.58.0.50");
            if bound {
                network.bind_to_chassis();
            }
            network.nat("behind", "R", "snat", "203.0.113.2", logical);
            network.balancer("lb", &[("10.58.0.50:80", "10.57.0.11:80")], &["R"]);
            let expected = if inside {
                "rejected not-a-forward"
            } else {
                "granted 10.58.0.50 for 10.57.0.11 ports 1024-65535"
            };
            assert_eq!(network.outcome("p1"), expected, "SNAT of {logical}, bound to a chassis: {bound}");
        }
    }
}

#[test]
fn field_case_27_nat_rows_that_northd_ignores_are_no_forwards() {
    for (external, logical, port) in [
        ("203.0.113.10", "fd42:57::b", None),
        ("203.0.113.10", "10.57.0.0/24", None),
        ("203.0.113.10", "10.57.0.11", Some("R-S")),
    ] {
        for kind in ["dnat", "dnat_and_snat"] {
            let mut network = wanting("203.0.113.10");
            network.nat("fw", "R", kind, external, logical);
            if let Some(port) = port {
                network.nat_at("fw", port);
            }
            assert_eq!(network.outcome("p1"), "rejected not-a-forward", "{kind} {logical} at {port:?}");
            assert_eq!(network.hazards(), ["nat-ignored"], "{kind} {logical} at {port:?}");
        }
    }
    let mut network = wanting("203.0.113.10");
    network.nat("fw", "R", "dnat", "203.0.113.10", "10.57.0.11");
    assert_eq!(network.outcome("p1"), "granted 203.0.113.10 for 10.57.0.11");
}

#[test]
fn field_case_27_ignored_row_does_not_prevent_a_conversion() {
    let mut network = wanting("203.0.113.10");
    network.balancer("fw", &[("203.0.113.10", "10.57.0.11")], &["R"]);
    network.nat("ignored", "R", "dnat", "203.0.113.10", "fd42:57::b");
    assert_eq!(network.outcome("p1"), "granted 203.0.113.10 for 10.57.0.11 converted");
    network.nat("heeded", "R", "dnat", "203.0.113.10", "10.57.0.12");
    assert_eq!(network.outcome("p1"), "rejected default-target");
}

#[test]
fn field_case_27_network_as_external_ip_is_no_forward_and_prevents_a_conversion() {
    let mut network = wanting("203.0.113.10");
    network.nat("fw", "R", "dnat_and_snat", "203.0.113.0/24", "10.57.0.11");
    assert_eq!(network.outcome("p1"), "rejected not-a-forward");
    assert_eq!(network.hazards(), ["nat-network"]);
    assert!(network.sentence("p1").contains("OVN 25.03 and later"), "{}", network.sentence("p1"));
    // A row for the address alone would conflict with the one for the whole network.
    network.balancer("lb", &[("203.0.113.10", "10.57.0.11")], &["R"]);
    assert_eq!(network.outcome("p1"), "rejected default-target");
    network.put("NAT", "fw", json!({"external_ip": "192.0.2.0/24"}));
    assert_eq!(network.outcome("p1"), "granted 203.0.113.10 for 10.57.0.11 converted");
    // Forwards of single ports precede it, and so does the look-up of replies.
    network.put("NAT", "fw", json!({"external_ip": "203.0.113.0/24"}));
    network.balancer("lb", &[("203.0.113.10:80", "10.57.0.11:80")], &[]);
    assert_eq!(network.outcome("p1"), GRANTED);
    network.put("NAT", "fw", json!({"options": map(&[("stateless", "true")])}));
    assert_eq!(network.outcome("p1"), "conflict stateless-nat");
}

#[test]
fn field_case_28_foreign_rows_that_northd_ignores_fulfil_nothing() {
    let mut network = forwarded();
    network.nat("foreign", "R", "snat", "203.0.113.10", "10.57.0.11");
    assert_eq!(network.outcome("p1"), "foreign");
    network.nat_at("foreign", "R-S");
    assert_eq!(network.outcome("p1"), GRANTED);
    network.put("NAT", "foreign", json!({"external_ip": "203.0.113.11"}));
    assert_eq!(network.outcome("p1"), GRANTED, "nor are they in the way");
}

#[test]
fn field_case_14_stale_dynamic_address_is_ignored() {
    let mut network = forwarded();
    network.put("Logical_Switch_Port", "p1", json!({"dynamic_addresses": "02:00:00:00:00:11 10.57.0.20"}));
    network.instance("p2", "02:00:00:00:00:12 10.57.0.20");
    assert_eq!(network.outcome("p1"), GRANTED);
    assert_eq!(network.hazards(), Vec::<&str>::new());
}

#[test]
fn field_case_26_instances_that_share_an_address_have_the_same_source_ports() {
    let mut network = forwarded();
    network.instance("p2", "02:00:00:00:00:12 10.57.0.12");
    network.wants("p2", "203.0.113.10");
    network.balancer("fw2", &[("203.0.113.10:443", "10.57.0.12:443")], &["R"]);
    for (port, internal) in [("p1", "10.57.0.11"), ("p2", "10.57.0.12")] {
        let expected = format!("granted 203.0.113.10 for {internal} ports 1024-65535");
        assert_eq!(network.outcome(port), expected, "the router tells their connections apart");
    }
    // The ports of all of them count, by any protocol.
    network.balancer("fw3", &[("203.0.113.10:2201", "10.57.0.11:22")], &["R"]);
    network.balancer("fw4", &[("203.0.113.10:5353", "10.57.0.12:53")], &["R"]);
    network.put("Load_Balancer", "fw4", json!({"protocol": "udp"}));
    for (port, internal) in [("p1", "10.57.0.11"), ("p2", "10.57.0.12")] {
        assert_eq!(network.outcome(port), format!("granted 203.0.113.10 for {internal} ports 5354-65535"));
    }
    // So do several addresses of one instance.
    network.instance("p2", "02:00:00:00:00:12 10.57.0.12 10.57.0.13");
    assert_eq!(network.outcome("p2"), "granted 203.0.113.10 for 10.57.0.12, 10.57.0.13 ports 5354-65535");
}

#[test]
fn field_case_32_link_local_addresses_get_no_rows() {
    let mut network = forwarded();
    network.instance("p2", "02:00:00:00:00:12 fe80::1 fd42:57::c");
    network.instance("p3", "02:00:00:00:00:13 fe80::1 fd42:57::d");
    network.balancer("fw6", &[("[2001:db8::10]:80", "[fd42:57::c]:80")], &["R"]);
    network.wants("p2", "2001:db8::10");
    network.wants("p3", "2001:db8::10");
    assert_eq!(network.outcome("p2"), "granted 2001:db8::10 for fd42:57::c ports 1024-65535");
    assert_eq!(network.outcome("p3"), "granted 2001:db8::10 for fd42:57::d ports 1024-65535");
    assert_eq!(network.hazards(), Vec::<&str>::new(), "nor are they one address of two ports");
}

#[test]
fn field_case_17_forward_address_of_another_router_is_a_hazard() {
    let mut network = forwarded();
    network.router("R2");
    network.gateway_port("R2", "R2-ext", &["203.0.113.10/24"]);
    assert_eq!(network.hazards(), ["address-of-router"]);
    network.put("Logical_Router_Port", "R2-ext", json!({"enabled": false}));
    assert_eq!(network.hazards(), Vec::<&str>::new(), "OVN makes nothing of a disabled port");
    // It also answers for addresses that it translates to.
    network.put("Logical_Router_Port", "R2-ext", json!({"enabled": true, "networks": "203.0.113.3/24"}));
    assert_eq!(network.hazards(), Vec::<&str>::new());
    network.nat("base2", "R2", "snat", "203.0.113.10", "10.58.0.0/24");
    assert_eq!(network.hazards(), ["address-of-router"]);
    // They meet where both are joined, or both are in physical networks; elsewhere they do not.
    for name in ["ext", "ext2"] {
        network.put("Logical_Switch", name, json!({"name": name}));
    }
    network.join("ext", "R-ext");
    network.join("ext2", "R2-ext");
    assert_eq!(network.hazards(), Vec::<&str>::new());
    network.switch_port("ext", "ext-net", json!({"type": "localnet"}));
    assert_eq!(network.hazards(), Vec::<&str>::new());
    network.switch_port("ext2", "ext2-net", json!({"type": "localnet"}));
    assert_eq!(network.hazards(), ["address-of-router"]);
    for port in ["ext-net", "ext2-net"] {
        network.put("Logical_Switch_Port", port, json!({"type": "patch"}));
    }
    network.join("ext", "R2-ext");
    assert_eq!(network.hazards(), ["address-of-router"]);
}

#[test]
fn field_case_22_sentence_says_why_the_address_is_no_forward() {
    let mut network = wanting("10.57.0.50");
    network.balancer("inside", &[("10.57.0.50:80", "10.57.0.11:80")], &["R"]);
    assert!(network.sentence("p1").contains("in a network behind router R: a service among instances"));
    let mut network = wanting("203.0.113.10");
    network.balancer("fw", &[("203.0.113.10", "10.57.0.11:80")], &["R"]);
    assert!(network.sentence("p1").contains("OVN ignores the VIP on router R: a backend has a port"));
    let mut network = wanting("203.0.113.10");
    network.nat("fw", "R", "dnat", "203.0.113.10", "fd42:57::b");
    assert!(network.sentence("p1").contains("OVN ignores the NAT row on router R: logical_ip"));
    let mut network = wanting("203.0.113.10");
    network.router("R2");
    network.balancer("fw", &[("203.0.113.10:80", "10.57.0.11:80")], &["R2"]);
    assert!(network.sentence("p1").contains("it is one of router R2, which the port cannot reach"));
    network.put("Logical_Router", "R2", json!({"load_balancer": ["set", []]}));
    assert!(network.sentence("p1").contains("it is a VIP of load balancer fw, which is on no router"));
}

#[test]
fn field_case_29_stateless_row_of_a_neighbour_is_a_conflict() {
    let mut network = wanting("203.0.113.10");
    network.nat("neighbour", "R", "dnat_and_snat", "203.0.113.10", "10.57.0.12");
    assert_eq!(network.outcome("p1"), "granted 203.0.113.10 for 10.57.0.11");
    for stateless in ["true", "True"] {
        network.put("NAT", "neighbour", json!({"options": map(&[("stateless", stateless)])}));
        assert_eq!(network.outcome("p1"), "conflict stateless-nat");
    }
    // At another gateway port it does not affect our row.
    network.gateway_port("R", "R-ext2", &["198.51.100.2/24"]);
    assert_eq!(network.outcome("p1"), "conflict stateless-nat");
    network.balancer("fw", &[("203.0.113.10:80", "10.57.0.11:80")], &["R"]);
    network.nat_at("neighbour", "R-ext2");
    assert_eq!(network.outcome("p1"), format!("{GRANTED} at R-ext"));
    // The intent of its own instance is fulfilled.
    network.instance("p2", "02:00:00:00:00:12 10.57.0.12");
    network.wants("p2", "203.0.113.10");
    network.put("NAT", "neighbour", json!({"gateway_port": ["set", []]}));
    assert_eq!(network.outcome("p2"), "foreign");
}

#[test]
fn field_case_5_too_few_free_source_ports_are_a_refusal() {
    let listening = |ports: &mut dyn Iterator<Item = u16>| {
        let vips: Vec<_> =
            ports.map(|port| (format!("203.0.113.10:{port}"), format!("10.57.0.11:{port}"))).collect();
        let vips: Vec<_> = vips.iter().map(|(key, value)| (&**key, &**value)).collect();
        let mut network = wanting("203.0.113.10");
        network.balancer("fw", &vips, &["R"]);
        network
    };
    let mut network = listening(&mut (1024..=65535));
    network.rules.min_source_ports = 0;
    assert_eq!(network.outcome("p1"), "rejected no-source-ports", "none at all is never enough");
    assert!(network.sentence("p1").contains("the largest block without one has 0,"));

    // Every 128th port leaves blocks of 127.
    let granted = "granted 203.0.113.10 for 10.57.0.11 ports";
    let mut network = listening(&mut (1152..=65535).step_by(128));
    assert_eq!(network.outcome("p1"), format!("{granted} 1024-1151"), "as many as are required");
    network.rules.min_source_ports = 129;
    assert_eq!(network.outcome("p1"), "rejected no-source-ports");
    network.rules.port_range = PortRangeRule::Fixed("512-1023".parse().unwrap());
    assert_eq!(network.outcome("p1"), format!("{granted} 512-1023"), "below 1024 only if configured");
}
