//! Several gateway ports, and what stays at which.

use serde_json::json;

use super::wanting;
use crate::testing::Network;

const GRANTED: &str = "granted 192.0.2.10 for 10.57.0.11 ports 1024-65535";

/// Two gateway ports, and an address that is at home at neither.
fn two_uplinks() -> Network {
    let mut network = wanting("192.0.2.10");
    network.balancer("fw", &[("192.0.2.10:80", "10.57.0.11:80")], &["R"]);
    network.gateway_port("R", "R-ext2", &["198.51.100.2/24"]);
    network.nat_at("base", "R-ext2");
    network
}

#[test]
fn field_case_34_an_override_stays_where_it_is() {
    for (first, later) in [("R-ext", "R-ext2"), ("R-ext2", "R-ext")] {
        let mut network = two_uplinks();
        network.nat_at("base", first);
        assert_eq!(network.outcome("p1"), format!("{GRANTED} at {first}"));
        network.own_row("p1", "192.0.2.10", "10.57.0.11", Some(first));
        for logical in ["10.57.0.0/24", "10.57.0.0/28", "0.0.0.0/0"] {
            network.nat("later", "R", "snat", "203.0.113.2", logical);
            network.nat_at("later", later);
            assert_eq!(network.outcome("p1"), format!("{GRANTED} at {first}"), "beside {logical} at {later}");
        }
        // One for another address says nothing.
        let mut network = network.clone();
        network.delete("NAT", "base");
        assert_eq!(
            network.outcome("p1"),
            format!("{GRANTED} at {later}"),
            "nothing leaves by {first} any more"
        );
    }
}

#[test]
fn field_case_34_an_address_goes_where_it_is_at_home() {
    let mut network = two_uplinks();
    network.own_row("p1", "192.0.2.10", "10.57.0.11", Some("R-ext2"));
    network.put("Logical_Router_Port", "R-ext", json!({"networks": "192.0.2.2/24"}));
    assert_eq!(network.outcome("p1"), format!("{GRANTED} at R-ext"));
}

#[test]
fn field_case_35_a_drain_row_at_the_gateway_port_that_is_left() {
    let mut network = two_uplinks();
    network.own_row("p1", "192.0.2.10", "10.57.0.11", Some("R-ext2"));
    network.nat_at("base", "R-ext");
    let moved = [
        "insert drain 192.0.2.10 at R-ext2",
        "update snat 192.0.2.10 for 10.57.0.11 ports 1024-65535 at R-ext",
    ];
    assert_eq!(network.plan("p1"), moved);
    // Beside it, an address that is changed leaves its drain row where it was, too.
    network.balancer("fw2", &[("192.0.2.11:80", "10.57.0.11:80")], &["R"]);
    network.wants("p1", "192.0.2.11");
    assert_eq!(
        network.plan("p1"),
        [
            "insert drain 192.0.2.10 at R-ext2",
            "update snat 192.0.2.11 for 10.57.0.11 ports 1024-65535 at R-ext"
        ]
    );
    // Where the same port is only named otherwise, nothing is left.
    let mut network = two_uplinks();
    network.put("Logical_Router_Port", "R-ext", json!({"networks": "192.0.2.2/24"}));
    network.own_row("p1", "192.0.2.10", "10.57.0.11", None);
    assert_eq!(network.plan("p1"), ["update snat 192.0.2.10 for 10.57.0.11 ports 1024-65535 at R-ext"]);
}

#[test]
fn field_case_19_a_drain_row_goes_with_its_forward() {
    let mut network = Network::new();
    network.balancer("fw", &[("203.0.113.10:80", "10.57.0.11:80")], &["R"]);
    network.balancer("other", &[("203.0.113.11:80", "10.57.0.11:80")], &["R"]);
    network.own_row("p1", "203.0.113.10", "10.57.0.11", None);
    network.wants("p1", "203.0.113.11");
    let drained = ["insert drain 203.0.113.10", "update snat 203.0.113.11 for 10.57.0.11 ports 1024-65535"];
    assert_eq!(network.plan("p1"), drained, "as long as it is forwarded");
    network.delete("Load_Balancer", "fw");
    assert_eq!(network.plan("p1"), drained[1..], "OVN would announce an address that is no forward any more");
}

#[test]
fn field_case_36_explain_says_what_a_change_does_to_connections() {
    let mut network = super::forwarded();
    let said = |network: &Network| network.checks("p1").iter().any(|check| check.starts_with("change: "));
    assert!(said(&network));
    // A connection to a whole address has no port that is listened on.
    network.put("Logical_Router", "R", json!({"load_balancer": ["set", []]}));
    network.nat("fw", "R", "dnat", "203.0.113.10", "10.57.0.11");
    assert!(!said(&network));
}
