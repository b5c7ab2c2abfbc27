//! Situations in networks of other users, found after the field cases: those of docs/field-cases.md that are marked `own`
//! and that no test of a single rule shows.

use serde_json::json;

use super::GRANTED;
use crate::testing::{Edit, NetworkBuilder};

/// Edits a network with a second instance `p2`, and checks the decision on each port. Returns the network.
fn check(edit: Edit, decided: &[(&str, &str)]) -> NetworkBuilder {
    let mut network = NetworkBuilder::new();
    network.instance("p2", "02:00:00:00:00:12 10.57.0.12");
    edit(&mut network);
    for (port, outcome) in decided {
        assert_eq!(network.outcome(port), *outcome, "{port}");
    }
    network
}

/// lxc/incus#3596
#[test]
fn own_3_dnat_row_for_the_rest_of_an_address_is_granted() {
    check(
        |n| {
            n.wants("p1", "203.0.113.10");
            n.wants("p2", "auto");
            n.nat("rest", "R", "dnat", "203.0.113.10", "10.57.0.11");
            n.balancer("fw", &[("203.0.113.10:8080", "10.57.0.12:80")], &["R"]);
        },
        &[
            ("p1", "granted 203.0.113.10 for 10.57.0.11 ports 8081-65535"),
            ("p2", "rejected no-forward-for-auto"),
        ],
    );
}

/// ovn-org/ovn#222, kubeovn/kube-ovn#3329 and #6841
#[test]
fn own_7_forwards_of_two_outer_networks_are_granted_at_their_gateway_ports() {
    check(
        |n| {
            n.wants("p1", "auto");
            n.wants("p2", "auto");
            n.gateway_port("R", "R-priv", &["192.0.2.2/24"]);
            n.nat("base2", "R", "snat", "192.0.2.2", "10.57.0.0/24");
            n.nat_at("base2", "R-priv");
            let vips = [("203.0.113.10:80", "10.57.0.11:80"), ("192.0.2.10:80", "10.57.0.12:80")];
            n.balancer("fw", &vips, &["R"]);
        },
        &[
            ("p1", "granted 203.0.113.10 for 10.57.0.11 ports 1024-65535 at R-ext"),
            ("p2", "granted 192.0.2.10 for 10.57.0.12 ports 1024-65535 at R-priv"),
        ],
    );
}

/// ovn-kubernetes/ovn-kubernetes#1794 and #3371: SNAT for each pod, and a leftover row.
#[test]
fn own_10_leftover_snat_row_for_the_instance_is_a_conflict() {
    let network = check(
        |n| {
            n.wants("p1", "203.0.113.10");
            n.bind_to_chassis();
            n.nat("pod", "R", "snat", "203.0.113.2", "10.57.0.11");
            n.nat("left", "R", "snat", "203.0.113.99", "10.57.0.11");
            n.put("NAT", "left", json!({"logical_port": "node"}));
            n.balancer("fw", &[("203.0.113.10:80", "10.57.0.11:80")], &["R"]);
        },
        &[("p1", "conflict foreign-nat")],
    );
    assert!(network.hazards().contains(&"rival-snat"));
}

/// ovn-org/ovn#209
#[test]
fn own_13_snat_of_the_longest_prefix_decides_in_overlapping_networks() {
    check(
        |n| {
            n.wants("p1", "203.0.113.27");
            n.wants("p2", "203.0.113.27");
            n.nat("part", "R", "snat", "203.0.113.27", "10.57.0.8/30");
            n.nat("all", "R", "snat", "203.0.113.2", "0.0.0.0/0");
            n.balancer("fw", &[("203.0.113.27:80", "10.57.0.11:80,10.57.0.12:80")], &["R"]);
        },
        &[("p1", "foreign"), ("p2", "granted 203.0.113.27 for 10.57.0.12 ports 1024-65535")],
    );
}

/// lxc/incus#3244
#[test]
fn own_14_address_forwarded_by_two_networks_is_granted_on_each() {
    let mut network = check(
        |n| {
            n.wants("p1", "203.0.113.10");
            n.balancer("fw", &[("203.0.113.10:80", "10.57.0.11:80")], &["R"]);
            n.router("R2");
            n.router_port("R2", "R2-S2", &["10.58.0.1/24"]);
            n.gateway_port("R2", "R2-ext", &["203.0.113.3/24"]);
            n.put("Logical_Switch", "S2", json!({"name": "S2"}));
            n.join("S2", "R2-S2");
            n.switch_port("S2", "q1", json!({"addresses": "02:00:00:00:00:21 10.58.0.11"}));
            n.wants("q1", "203.0.113.10");
        },
        &[("p1", GRANTED), ("q1", "rejected not-a-forward")],
    );
    network.balancer("fw2", &[("203.0.113.10:443", "10.58.0.11:443")], &["R2"]);
    assert_eq!(network.outcome("p1"), GRANTED);
    assert_eq!(network.outcome("q1"), "granted 203.0.113.10 for 10.58.0.11 ports 1024-65535");
    assert_eq!(network.hazards(), ["forward-twice"]);
}

/// An internal balancer of Octavia's OVN provider, whose address has a floating IP that is a VIP of the balancer, too.
#[test]
fn own_18_vip_with_the_floating_ip_of_a_balancer_is_granted() {
    check(
        |n| {
            n.wants("p1", "203.0.113.10");
            n.wants("p2", "10.57.0.50");
            n.switch_port("S", "vip", json!({"addresses": "02:00:00:00:00:50 10.57.0.50", "enabled": false}));
            let vips = [("10.57.0.50:80", "10.57.0.11:8080"), ("203.0.113.10:80", "10.57.0.11:8080")];
            n.balancer("lb", &vips, &["R"]);
            n.nat("fip", "R", "dnat_and_snat", "203.0.113.10", "10.57.0.50");
        },
        &[("p1", GRANTED), ("p2", "rejected not-a-forward")],
    );
}

/// lxc/incus#2781
#[test]
fn own_20_port_range_avoids_the_listening_port_not_the_target_port() {
    check(
        |n| {
            n.wants("p1", "203.0.113.10");
            n.balancer("fw", &[("203.0.113.10:40000", "10.57.0.11:50000")], &["R"]);
        },
        &[("p1", "granted 203.0.113.10 for 10.57.0.11 ports 1024-39999")],
    );
}

/// lxc/incus#1502
#[test]
fn own_21_forward_in_two_balancers_is_granted() {
    check(
        |n| {
            n.wants("p1", "auto");
            for name in ["one", "two"] {
                n.balancer(name, &[("203.0.113.10:80", "10.57.0.11:80")], &["R"]);
            }
        },
        &[("p1", GRANTED)],
    );
}

/// canonical/lxd#9106
#[test]
fn own_22_forward_outside_the_networks_of_the_router_is_granted() {
    check(
        |n| {
            n.wants("p1", "auto");
            n.wants("p2", "198.51.100.7");
            n.put("NAT", "base", json!({"external_ip": "198.51.100.7"}));
            n.balancer("fw", &[("198.51.100.10:80", "10.57.0.11:80")], &["R"]);
        },
        &[("p1", "granted 198.51.100.10 for 10.57.0.11 ports 1024-65535"), ("p2", "rejected not-a-forward")],
    );
}
