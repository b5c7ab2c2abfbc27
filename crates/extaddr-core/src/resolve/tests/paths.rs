//! Ways from an instance to its router.

use serde_json::{Value, json};

use super::{GRANTED, forwarded, wanting};
use crate::testing::{NetworkBuilder, map};

fn joint(peer: &str) -> Value {
    json!({"type": "switch", "peer": peer})
}

/// `p1` on a switch that is joined with `S` by ports of type `switch`.
fn leaf() -> NetworkBuilder {
    let mut network = forwarded();
    network.put("Logical_Switch", "S", json!({"ports": ["set", []]}));
    network.join("S", "R-S");
    network.put("Logical_Switch", "leaf", json!({"name": "leaf"}));
    network.switch_port("leaf", "p1", json!({}));
    network.switch_port("leaf", "leaf-S", joint("S-leaf"));
    network.switch_port("S", "S-leaf", joint("leaf-S"));
    network
}

#[test]
fn field_case_8_router_is_found_across_peered_switches() {
    let mut network = leaf();
    assert_eq!(network.outcome("p1"), GRANTED);
    // Each must name the other (northd/northd.c, `join_logical_ports`).
    for wrong in ["other", "p1", ""] {
        network.put("Logical_Switch_Port", "S-leaf", joint(wrong));
        assert_eq!(network.outcome("p1"), "rejected no-router", "{wrong}");
    }
    network.put("Logical_Switch_Port", "S-leaf", json!({"peer": ["set", []]}));
    assert_eq!(network.outcome("p1"), "rejected no-router");
    network.put("Logical_Switch_Port", "S-leaf", json!({"peer": "leaf-S", "type": "patch"}));
    assert_eq!(network.outcome("p1"), "rejected no-router", "both are of that type");
}

#[test]
fn field_case_8_rings_and_chains_of_switches_are_traversed() {
    let mut network = leaf();
    for (one, other) in [("leaf", "S2"), ("S2", "S")] {
        for switch in [one, other] {
            network.put("Logical_Switch", switch, json!({"name": switch}));
        }
        let (a, b) = (format!("{one}-{other}-x"), format!("{other}-{one}-x"));
        network.switch_port(one, &a, joint(&b));
        network.switch_port(other, &b, joint(&a));
    }
    assert_eq!(network.outcome("p1"), GRANTED, "a ring");
    network.put("Logical_Switch_Port", "leaf-S", json!({"peer": ["set", []]}));
    assert_eq!(network.outcome("p1"), GRANTED, "a chain");
    network.put("Logical_Switch_Port", "leaf-S2-x", json!({"enabled": false}));
    assert_eq!(network.outcome("p1"), "rejected port-disabled");
    assert!(network.sentence("p1").starts_with("switch port leaf-S2-x is disabled"));
}

#[test]
fn field_case_31_disabled_port_on_the_path_is_a_refusal() {
    for (table, name) in
        [("Logical_Switch_Port", "S-R-S"), ("Logical_Router_Port", "R-S"), ("Logical_Router_Port", "R-ext")]
    {
        let mut network = forwarded();
        network.put(table, name, json!({"enabled": false}));
        assert_eq!(network.outcome("p1"), "rejected port-disabled", "{name}");
        let kind = if table == "Logical_Switch_Port" { "switch" } else { "router" };
        assert!(network.sentence("p1").starts_with(&format!("{kind} port {name} is disabled")), "{name}");
        network.put(table, name, json!({"enabled": true}));
        assert_eq!(network.outcome("p1"), GRANTED, "{name}");
    }
    // The other end of the gateway port.
    let mut network = forwarded();
    network.put("Logical_Switch", "ext", json!({"name": "ext"}));
    network.join("ext", "R-ext");
    assert_eq!(network.outcome("p1"), GRANTED);
    network.put("Logical_Switch_Port", "ext-R-ext", json!({"enabled": false}));
    assert_eq!(network.outcome("p1"), "rejected port-disabled");
    // The instance's own port may be enabled at any time, and has the address from then on.
    let mut network = forwarded();
    network.put("Logical_Switch_Port", "p1", json!({"enabled": false}));
    assert_eq!(network.outcome("p1"), GRANTED);
    assert!(network.checks("p1").iter().any(|check| check.starts_with("!disabled: ")));
}

#[test]
fn field_case_31_path_around_a_disabled_port_is_taken() {
    // R2 is joined with the switch, too, and its way is open.
    let mut network = forwarded();
    network.router("R2");
    network.router_port("R2", "R2-S", &["10.57.0.2/24"]);
    network.gateway_port("R2", "R2-ext", &["203.0.113.3/24"]);
    network.join("S", "R2-S");
    network.balancer("fw2", &[("203.0.113.10:80", "10.57.0.11:80")], &["R2"]);
    assert_eq!(network.outcome("p1"), "rejected ambiguous-router");
    network.put("Logical_Switch_Port", "S-R-S", json!({"enabled": false}));
    assert_eq!(network.outcome("p1"), GRANTED);
    // Two ways to one router, of which one is closed.
    network.put("Logical_Router", "R2", json!({"load_balancer": ["set", []]}));
    assert_eq!(network.outcome("p1"), "rejected port-disabled");
    network.router_port("R", "R-S-2", &["10.57.0.3/24"]);
    network.join("S", "R-S-2");
    assert_eq!(network.outcome("p1"), GRANTED);
}

#[test]
fn router_that_forwards_to_the_port_is_taken_before_one_that_forwards_elsewhere() {
    let mut network = forwarded();
    network.rules.require_target = true;
    network.balancer("fw", &[("203.0.113.10:80", "10.57.0.12:80")], &["R"]);
    assert_eq!(network.outcome("p1"), "rejected not-a-target");
    network.router("R2");
    network.router_port("R2", "R2-S", &["10.57.0.2/24"]);
    network.gateway_port("R2", "R2-ext", &["203.0.113.3/24"]);
    network.join("S", "R2-S");
    network.balancer("fw2", &[("203.0.113.10:80", "10.57.0.13:80")], &["R2"]);
    assert_eq!(network.outcome("p1"), "rejected ambiguous-router", "both lead elsewhere");
    network.balancer("fw2", &[("203.0.113.10:80", "10.57.0.11:80")], &[]);
    assert_eq!(network.outcome("p1"), GRANTED);
}

#[test]
fn peer_router_with_a_gateway_port_is_another_network() {
    let mut network = forwarded();
    network.router("R2");
    network.gateway_port("R2", "R2-ext", &["203.0.113.3/24"]);
    for (router, port, peer) in [("R", "R-R2", "R2-R"), ("R2", "R2-R", "R-R2")] {
        network.router_port(router, port, &["100.64.0.1/24"]);
        network.put("Logical_Router_Port", port, json!({"peer": peer}));
    }
    // Even a forward to this very instance.
    network.balancer("fw2", &[("203.0.113.11:80", "10.57.0.11:80")], &["R2"]);
    network.wants("p1", "203.0.113.11");
    assert_eq!(network.outcome("p1"), "rejected not-a-forward");
}

#[test]
fn field_case_31_disabled_port_between_routers_is_a_refusal() {
    // S - inner - R by a peering.
    let mut network = forwarded();
    network.router("inner");
    network.router_port("inner", "inner-S", &["10.57.0.2/24"]);
    network.router_port("inner", "inner-R", &["100.64.0.2/24"]);
    network.router_port("R", "R-inner", &["100.64.0.1/24"]);
    network.put("Logical_Router_Port", "inner-R", json!({"peer": "R-inner"}));
    network.put("Logical_Router_Port", "R-inner", json!({"peer": "inner-R"}));
    network.delete("Logical_Switch_Port", "S-R-S");
    network.join("S", "inner-S");
    assert_eq!(network.outcome("p1"), GRANTED);
    for port in ["inner-R", "R-inner"] {
        // Each has to name the other.
        let mut network = network.clone();
        network.put("Logical_Router_Port", port, json!({"peer": ["set", []]}));
        assert_eq!(network.outcome("p1"), "rejected not-a-forward", "{port}");
    }
    for port in ["inner-R", "R-inner", "inner-S"] {
        let mut network = network.clone();
        network.put("Logical_Router_Port", port, json!({"enabled": false}));
        assert_eq!(network.outcome("p1"), "rejected port-disabled", "{port}");
        assert!(network.sentence("p1").starts_with(&format!("router port {port} is disabled")), "{port}");
    }
    network.put("Logical_Router", "inner", json!({"enabled": false}));
    assert_eq!(network.outcome("p1"), "rejected not-a-forward");
    assert!(network.sentence("p1").contains("one of router R, which the port cannot reach"));
}

#[test]
fn field_case_31_router_with_all_outer_ports_disabled_is_a_refusal() {
    let disable = |network: &mut NetworkBuilder, port: &str| {
        network.put("Logical_Router_Port", port, json!({"enabled": false}));
    };
    let mut network = forwarded();
    network.bind_to_chassis();
    network.router_port("R", "R-ext2", &["192.0.2.2/24"]);
    disable(&mut network, "R-ext");
    assert_eq!(network.outcome("p1"), GRANTED, "by R-ext2");
    disable(&mut network, "R-ext2");
    assert_eq!(network.outcome("p1"), "rejected port-disabled");
    // A foreign row has no effect there, too.
    let mut network = forwarded();
    network.nat("foreign", "R", "snat", "203.0.113.10", "10.57.0.11");
    assert_eq!(network.outcome("p1"), "foreign");
    disable(&mut network, "R-ext");
    assert_eq!(network.outcome("p1"), "rejected port-disabled");
}

#[test]
fn field_case_14_duplicate_address_across_peered_switches_is_a_conflict() {
    let mut network = leaf();
    network.instance("p2", "02:00:00:00:00:12 10.57.0.11");
    assert_eq!(network.outcome("p1"), "conflict duplicate-address");
    network.put("Logical_Switch_Port", "p2", json!({"addresses": "02:00:00:00:00:12 10.57.0.12"}));
    assert_eq!(network.outcome("p1"), GRANTED);
}

/// A chain of routers, the last of which is a gateway and has the forward.
fn chain(length: u8) -> NetworkBuilder {
    let mut network = forwarded();
    network.delete("Logical_Switch_Port", "S-R-S");
    network.delete("Logical_Router", "R");
    for n in 1..=length {
        let (router, inner, outer) = (format!("c{n}"), format!("c{n}-in"), format!("c{n}-out"));
        network.router(&router);
        network.router_port(&router, &inner, &[]);
        network.router_port(&router, &outer, &[]);
        if n > 1 {
            let before = format!("c{}-out", n - 1);
            network.put("Logical_Router_Port", &inner, json!({"peer": before}));
            network.put("Logical_Router_Port", &before, json!({"peer": inner}));
        }
    }
    network.join("S", "c1-in");
    let last = format!("c{length}");
    network.gateway_port(&last, "ext", &["203.0.113.2/24"]);
    network.balancer("last", &[("203.0.113.10:80", "10.57.0.11:80")], &[&last]);
    network
}

#[test]
fn path_search_is_limited_to_four_routers() {
    for length in 1..=4 {
        assert_eq!(chain(length).outcome("p1"), GRANTED, "{length} routers");
    }
    assert_eq!(chain(5).outcome("p1"), "rejected not-a-forward");
}

#[test]
fn path_search_stops_at_a_gateway_router() {
    let mut network = chain(3);
    network.put("Logical_Router", "c2", json!({"options": map(&[("chassis", "gateway-1")])}));
    assert_eq!(network.outcome("p1"), "rejected not-a-forward");
}

#[test]
fn nearest_router_with_the_forward_is_selected() {
    let mut network = chain(3);
    network.balancer("first", &[("203.0.113.10:80", "10.57.0.11:80")], &["c1", "c2"]);
    network.put("Logical_Router_Port", "ext", json!({"ha_chassis_group": ["set", []]}));
    assert_eq!(network.outcome("p1"), "rejected no-gateway");
    assert!(network.sentence("p1").starts_with("c1 has no gateway port"), "{}", network.sentence("p1"));
}

#[test]
fn path_search_stops_at_a_router_with_a_gateway_port() {
    // R's gateway port leads to a switch where another router with a gateway port is.
    let mut network = wanting("198.51.100.10");
    network.router("R0");
    network.gateway_port("R0", "R0-ext", &["198.51.100.2/24"]);
    network.router_port("R0", "R0-X", &["203.0.113.1/24"]);
    network.put("Logical_Switch", "X", json!({"name": "X"}));
    network.join("X", "R-ext");
    network.join("X", "R0-X");
    network.nat("out", "R0", "snat", "198.51.100.2", "0.0.0.0/0");
    network.balancer("fw", &[("198.51.100.10:80", "10.57.0.11:80")], &["R0"]);
    assert_eq!(network.outcome("p1"), "rejected not-a-forward");
    network.wants("p1", "auto");
    assert_eq!(network.outcome("p1"), "rejected no-forward-for-auto");
}

#[test]
fn router_is_not_entered_by_its_gateway_port() {
    let mut network = forwarded();
    network.put("Logical_Switch", "ext", json!({"name": "ext"}));
    network.join("ext", "R-ext");
    network.switch_port("ext", "outsider", json!({"addresses": "02:00:00:00:00:99 203.0.113.200"}));
    network.wants("outsider", "203.0.113.10");
    assert_eq!(network.outcome("outsider"), "rejected no-router");
}

#[test]
fn field_case_9_a_disabled_router_is_passed_over() {
    let mut network = forwarded();
    network.put("Logical_Router", "R", json!({"enabled": false}));
    assert_eq!(network.outcome("p1"), "rejected router-disabled");
    network.put("Logical_Router", "R", json!({"enabled": true}));
    assert_eq!(network.outcome("p1"), GRANTED);
    // Of two routers with the forward, the one whose NAT OVN uses is taken.
    network.router("R2");
    network.router_port("R2", "R2-S", &["10.57.0.2/24"]);
    network.join("S", "R2-S");
    network.put("Logical_Router", "R2", json!({"options": map(&[("chassis", "ch1")]), "enabled": false}));
    network.balancer("fw2", &[("203.0.113.10:80", "10.57.0.11:80")], &["R2"]);
    assert_eq!(network.outcome("p1"), GRANTED);
}

#[test]
fn field_case_9_auto_passes_over_forwards_on_routers_that_cannot_serve() {
    let mut network = forwarded();
    network.wants("p1", "auto");
    network.router("R2");
    network.router_port("R2", "R2-S", &["10.57.0.2/24"]);
    network.join("S", "R2-S");
    network.balancer("fw2", &[("203.0.113.11:80", "10.57.0.11:80")], &["R2"]);
    assert_eq!(network.outcome("p1"), GRANTED, "R2 has no gateway");
    network.put("Logical_Router", "R2", json!({"options": map(&[("chassis", "ch1")])}));
    assert_eq!(network.outcome("p1"), "rejected ambiguous-auto");
    network.put("Logical_Router", "R2", json!({"enabled": false}));
    assert_eq!(network.outcome("p1"), GRANTED, "R2 is disabled");
    network.put("Logical_Router", "R2", json!({"enabled": true}));
    network.put("Logical_Router_Port", "R2-S", json!({"enabled": false}));
    assert_eq!(network.outcome("p1"), GRANTED, "the way to R2 is cut off");
    // Without an alternative, the address determines the reason.
    network.put("Logical_Router", "R", json!({"enabled": false}));
    network.delete("Load_Balancer", "fw2");
    assert_eq!(network.outcome("p1"), "rejected router-disabled");
}

#[test]
fn field_case_30_balancer_on_inner_and_outer_router_is_granted_on_the_outer_one() {
    // S - inner - join - R: the inner router has no gateway.
    let mut network = NetworkBuilder::new();
    network.put("Logical_Switch", "join", json!({"name": "join"}));
    network.router("inner");
    network.router_port("inner", "inner-S", &["10.57.0.2/24"]);
    network.router_port("inner", "inner-join", &["100.64.0.2/24"]);
    network.router_port("R", "R-join", &["100.64.0.1/24"]);
    network.delete("Logical_Switch_Port", "S-R-S");
    network.join("S", "inner-S");
    network.join("join", "inner-join");
    network.join("join", "R-join");
    network.wants("p1", "203.0.113.10");
    network.balancer("fw", &[("203.0.113.10:80", "10.57.0.11:80")], &["inner", "R"]);
    assert_eq!(network.outcome("p1"), GRANTED);
    let mut network = network.clone();
    network.put("Logical_Router", "R", json!({"load_balancer": ["set", []]}));
    assert_eq!(network.outcome("p1"), "rejected no-gateway");
}
