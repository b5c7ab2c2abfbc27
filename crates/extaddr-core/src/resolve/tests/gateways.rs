//! Several gateway ports, and the rows at each.

use serde_json::json;

use super::{GRANTED, forwarded, wanting};
use crate::testing::{NetworkBuilder, map};

const UPLINK_GRANTED: &str = "granted 192.0.2.10 for 10.57.0.11 ports 1024-65535";

/// Two gateway ports, and an address in the networks of neither.
fn two_uplinks() -> NetworkBuilder {
    let mut network = wanting("192.0.2.10");
    network.balancer("fw", &[("192.0.2.10:80", "10.57.0.11:80")], &["R"]);
    network.gateway_port("R", "R-ext2", &["198.51.100.2/24"]);
    network.nat_at("base", "R-ext2");
    network
}

#[test]
fn field_case_34_override_keeps_its_gateway_port() {
    for (first, later) in [("R-ext", "R-ext2"), ("R-ext2", "R-ext")] {
        let mut network = two_uplinks();
        network.nat_at("base", first);
        assert_eq!(network.outcome("p1"), format!("{UPLINK_GRANTED} at {first}"));
        network.own_row("p1", "192.0.2.10", "10.57.0.11", Some(first));
        for logical in ["10.57.0.0/24", "10.57.0.0/28", "0.0.0.0/0"] {
            network.nat("later", "R", "snat", "203.0.113.2", logical);
            network.nat_at("later", later);
            assert_eq!(
                network.outcome("p1"),
                format!("{UPLINK_GRANTED} at {first}"),
                "beside {logical} at {later}"
            );
        }
        // One for another address has no effect.
        let mut network = network.clone();
        network.delete("NAT", "base");
        assert_eq!(
            network.outcome("p1"),
            format!("{UPLINK_GRANTED} at {later}"),
            "nothing leaves by {first} any more"
        );
    }
}

#[test]
fn field_case_34_override_moves_to_the_gateway_port_whose_network_holds_the_address() {
    let mut network = two_uplinks();
    network.own_row("p1", "192.0.2.10", "10.57.0.11", Some("R-ext2"));
    network.put("Logical_Router_Port", "R-ext", json!({"networks": "192.0.2.2/24"}));
    assert_eq!(network.outcome("p1"), format!("{UPLINK_GRANTED} at R-ext"));
}

#[test]
fn field_case_35_drain_row_stays_at_the_former_gateway_port() {
    let mut network = two_uplinks();
    network.own_row("p1", "192.0.2.10", "10.57.0.11", Some("R-ext2"));
    network.nat_at("base", "R-ext");
    let moved = [
        "insert drain 192.0.2.10 at R-ext2",
        "update snat 192.0.2.10 for 10.57.0.11 ports 1024-65535 at R-ext",
    ];
    assert_eq!(network.plan("p1"), moved);
    // A changed address also leaves its drain row where it was.
    network.balancer("fw2", &[("192.0.2.11:80", "10.57.0.11:80")], &["R"]);
    network.wants("p1", "192.0.2.11");
    assert_eq!(
        network.plan("p1"),
        [
            "insert drain 192.0.2.10 at R-ext2",
            "update snat 192.0.2.11 for 10.57.0.11 ports 1024-65535 at R-ext"
        ]
    );
    // If only the name of the same port changes, no drain row is left.
    let mut network = two_uplinks();
    network.put("Logical_Router_Port", "R-ext", json!({"networks": "192.0.2.2/24"}));
    network.own_row("p1", "192.0.2.10", "10.57.0.11", None);
    assert_eq!(network.plan("p1"), ["update snat 192.0.2.10 for 10.57.0.11 ports 1024-65535 at R-ext"]);
}

#[test]
fn field_case_19_drain_row_is_deleted_with_its_forward() {
    let mut network = NetworkBuilder::new();
    network.balancer("fw", &[("203.0.113.10:80", "10.57.0.11:80")], &["R"]);
    network.balancer("other", &[("203.0.113.11:80", "10.57.0.11:80")], &["R"]);
    network.own_row("p1", "203.0.113.10", "10.57.0.11", None);
    network.wants("p1", "203.0.113.11");
    let drained = ["insert drain 203.0.113.10", "update snat 203.0.113.11 for 10.57.0.11 ports 1024-65535"];
    assert_eq!(network.plan("p1"), drained, "as long as it is forwarded");
    network.delete("Load_Balancer", "fw");
    assert_eq!(
        network.plan("p1"),
        drained[1..],
        "OVN would announce an address that is not a forward any more"
    );
}

#[test]
fn field_case_36_explain_reports_the_effect_of_a_change_on_connections() {
    let mut network = forwarded();
    let said =
        |network: &NetworkBuilder| network.checks("p1").iter().any(|check| check.starts_with("change: "));
    assert!(said(&network));
    // A forward of a whole address has no port that is listened on.
    network.put("Logical_Router", "R", json!({"load_balancer": ["set", []]}));
    network.nat("fw", "R", "dnat", "203.0.113.10", "10.57.0.11");
    assert!(!said(&network));
}

#[test]
fn field_case_33_other_gateway_ports_of_the_network_are_a_hazard() {
    let hazard = |network: &NetworkBuilder| {
        network.checks("p1").into_iter().find(|check| check.starts_with("!gateway-port"))
    };
    let mut network = forwarded();
    network.gateway_port("R", "R-ext2", &["198.51.100.2/24"]);
    network.nat_at("base", "R-ext");
    assert_eq!(hazard(&network), None);
    network.nat_at("base", "R-ext2");
    let said = hazard(&network).unwrap();
    assert!(
        said.starts_with("!gateway-port: R-ext: 203.0.113.10 is at home there; what leaves by R-ext2"),
        "{said}"
    );
    network.nat("base2", "R", "snat", "203.0.113.2", "10.57.0.0/16");
    assert_eq!(hazard(&network), None, "some of it leaves there");
}

#[test]
fn field_case_33_unknown_gateway_port_is_a_refusal_with_a_cure() {
    let mut network = two_uplinks();
    network.delete("NAT", "base");
    assert_eq!(network.outcome("p1"), "rejected no-gateway-port");
    assert!(network.sentence("p1").contains("give one of them a network that holds it"));
}

#[test]
fn field_case_12_a_default_target_beside_several_gateway_ports_is_not_converted() {
    let mut network = wanting("203.0.113.10");
    network.balancer("fw", &[("203.0.113.10", "10.57.0.11")], &["R"]);
    assert_eq!(network.outcome("p1"), "granted 203.0.113.10 for 10.57.0.11 converted");
    network.gateway_port("R", "R-ext2", &["198.51.100.2/24"]);
    assert_eq!(network.outcome("p1"), "rejected default-target");
    assert!(network.sentence("p1").contains("its router has several gateway ports"));
}

#[test]
fn field_case_29_stateless_balancer_is_a_conflict() {
    let stateless = |text: &str| json!({"options": map(&[("use_stateless_nat", text)])});
    // The option has an effect if there are several gateway ports.
    let mut network = forwarded();
    network.put("Load_Balancer", "fw", stateless("true"));
    assert_eq!(network.outcome("p1"), "granted 203.0.113.10 for 10.57.0.11 ports 1024-65535");
    network.gateway_port("R", "R-ext2", &["198.51.100.2/24"]);
    for (text, outcome) in [
        ("true", "conflict stateless-balancer"),
        ("TRUE", "conflict stateless-balancer"),
        ("false", "granted 203.0.113.10 for 10.57.0.11 ports 1024-65535 at R-ext"),
    ] {
        network.put("Load_Balancer", "fw", stateless(text));
        assert_eq!(network.outcome("p1"), outcome, "{text}");
    }
    // It may have any other address or other targets.
    network.balancer("other", &[("198.51.100.10:443", "10.57.0.12:443,10.57.0.11:443")], &["R"]);
    network.put("Load_Balancer", "other", stateless("true"));
    assert_eq!(network.outcome("p1"), "conflict stateless-balancer");
    network.balancer("other", &[("198.51.100.10:443", "10.57.0.12:443")], &["R"]);
    assert_eq!(network.outcome("p1"), "granted 203.0.113.10 for 10.57.0.11 ports 1024-65535 at R-ext");
    // A VIP that OVN ignores does not count, whatever its balancer has besides.
    let vips = [("198.51.100.10:443", "10.57.0.12:443"), ("198.51.100.11:443", "10.57.0.11")];
    network.balancer("other", &vips, &["R"]);
    assert_eq!(network.outcome("p1"), "granted 203.0.113.10 for 10.57.0.11 ports 1024-65535 at R-ext");
}

#[test]
fn row_for_another_address_does_not_keep_its_gateway_port() {
    for port in ["R-ext", "R-ext2"] {
        let mut network = two_uplinks();
        network.nat("more", "R", "snat", "203.0.113.2", "10.57.0.0/24");
        network.nat_at("more", "R-ext");
        let without = network.outcome("p1");
        network.own_row("p1", "192.0.2.99", "10.57.0.11", Some(port));
        assert_eq!(network.outcome("p1"), without, "one at {port}");
    }
}

#[test]
fn drain_row_names_a_gateway_port_only_if_there_are_several() {
    let mut network = wanting("203.0.113.11");
    let vips = [("203.0.113.10:80", "10.57.0.11:80"), ("203.0.113.11:80", "10.57.0.11:80")];
    network.balancer("fw", &vips, &["R"]);
    network.own_row("p1", "203.0.113.10", "10.57.0.11", Some("R-ext"));
    let updated = "update snat 203.0.113.11 for 10.57.0.11 ports 1024-65535";
    assert_eq!(network.plan("p1"), ["insert drain 203.0.113.10", updated]);
    // A row that names a former gateway port moves to the port whose network holds its address.
    network.gateway_port("R", "R-ext2", &["198.51.100.2/24"]);
    network.own_row("p1", "203.0.113.10", "10.57.0.11", Some("R-S"));
    let updated = format!("{updated} at R-ext");
    assert_eq!(network.plan("p1"), ["insert drain 203.0.113.10 at R-ext", &*updated]);
}

/// Before OVN 22.06 a row cannot name one, and load balancers of such a router have no effect.
#[test]
fn several_gateway_ports_of_an_old_release_are_a_refusal() {
    let mut network = forwarded();
    network.is_old = true;
    assert_eq!(network.outcome("p1"), "granted 203.0.113.10 for 10.57.0.11", "without a range of ports");
    network.gateway_port("R", "R-ext2", &["198.51.100.2/24"]);
    assert_eq!(network.outcome("p1"), "rejected no-gateway-port");
}

#[test]
fn explain_warns_of_neutron_routers() {
    let mut network = wanting("203.0.113.10");
    network.balancer("fw", &[("203.0.113.10:80", "10.57.0.11:80")], &["R"]);
    let told =
        |network: &NetworkBuilder| network.checks("p1").iter().any(|check| check.starts_with("!neutron: "));
    assert!(!told(&network));
    let name = "neutron-6b0c7d1a-7a55-4c0e-9b51-3d1c6f0a0001";
    network.put("Logical_Router", "R", json!({"name": name}));
    assert!(told(&network));
    // Above all where its maintenance has taken the gateway port.
    network.put("Logical_Router_Port", "R-ext", json!({"ha_chassis_group": ["set", []]}));
    assert_eq!(network.outcome("p1"), "rejected no-gateway");
    let cure = "`openstack router set --description repaired 6b0c7d1a-7a55-4c0e-9b51-3d1c6f0a0001`";
    assert!(told(&network) && network.sentence("p1").ends_with(cure), "{}", network.sentence("p1"));
}

#[test]
fn network_snat_without_a_gateway_port_decides_by_its_own_address() {
    let mut network = two_uplinks();
    network.put("NAT", "base", json!({"gateway_port": ["set", []]}));
    assert_eq!(network.outcome("p1"), format!("{UPLINK_GRANTED} at R-ext"), "203.0.113.2 is at home there");
}

#[test]
fn drain_row_without_its_gateway_port_is_rewritten() {
    let mut network = two_uplinks();
    network.wants("p1", "none");
    let name = network.drain_row("p1", "192.0.2.10", "10.57.0.11", 1_800_000_100);
    assert_eq!(network.plan("p1"), ["update drain 192.0.2.10 at R-ext2"]);
    network.nat_at(&name, "R-ext2");
    assert_eq!(network.plan("p1"), [""; 0]);
}

#[test]
fn field_case_13_row_of_another_gateway_port_does_not_conflict() {
    let mut network = forwarded();
    network.gateway_port("R", "R-priv", &["192.0.2.2/24"]);
    network.nat("private", "R", "snat", "192.0.2.50", "10.57.0.11");
    assert_eq!(network.outcome("p1"), format!("{GRANTED} at R-ext"), "it is at home at R-priv");
    network.nat_at("private", "R-priv");
    assert_eq!(network.outcome("p1"), format!("{GRANTED} at R-ext"), "it names R-priv");
    network.put("NAT", "private", json!({"external_ip": "203.0.113.10"}));
    assert_eq!(network.outcome("p1"), format!("{GRANTED} at R-ext"), "nor does it fulfil anything");
    network.nat_at("private", "R-ext");
    assert_eq!(network.outcome("p1"), "foreign");
    network.put("NAT", "private", json!({"external_ip": "203.0.113.11"}));
    assert_eq!(network.outcome("p1"), "conflict foreign-nat");
}

#[test]
fn field_case_30_gateway_port_of_the_network_snat_is_preferred_in_one_network() {
    for port in ["R-ext", "R-ext2"] {
        let mut network = forwarded();
        network.gateway_port("R", "R-ext2", &["203.0.113.3/24"]);
        network.nat_at("base", port);
        assert_eq!(network.outcome("p1"), format!("{GRANTED} at {port}"));
    }
}

#[test]
fn field_case_30_row_on_a_router_bound_to_a_chassis_names_no_gateway_port() {
    let mut network = forwarded();
    network.gateway_port("R", "R-ext2", &["198.51.100.2/24"]);
    network.put("Logical_Router", "R", json!({"options": map(&[("chassis", "gateway-1")])}));
    assert_eq!(network.outcome("p1"), GRANTED, "a row that names one has no effect there");
}

#[test]
fn field_case_33_row_is_at_the_gateway_port_of_the_network_snat() {
    let mut network = wanting("192.0.2.10");
    network.balancer("fw", &[("192.0.2.10:80", "10.57.0.11:80")], &["R"]);
    network.gateway_port("R", "R-ext2", &["198.51.100.2/24"]);
    network.nat_at("base", "R-ext2");
    network.nat("other", "R", "snat", "203.0.113.2", "10.99.0.0/24");
    network.nat_at("other", "R-ext");
    let granted = "granted 192.0.2.10 for 10.57.0.11 ports 1024-65535";
    assert_eq!(network.outcome("p1"), format!("{granted} at R-ext2"));
    // A longer prefix of the same network counts first.
    network.nat("part", "R", "snat", "203.0.113.3", "10.57.0.0/28");
    network.nat_at("part", "R-ext");
    assert_eq!(network.outcome("p1"), format!("{granted} at R-ext"));
    for row in ["base", "part"] {
        network.delete("NAT", row);
    }
    assert_eq!(network.outcome("p1"), "rejected no-gateway-port", "nothing tells by which it leaves");
}

#[test]
fn field_case_33_ignored_network_snat_shows_no_gateway_port() {
    let mut network = wanting("192.0.2.10");
    network.balancer("fw", &[("192.0.2.10:80", "10.57.0.11:80")], &["R"]);
    network.gateway_port("R", "R-ext2", &["198.51.100.2/24"]);
    network.put("NAT", "base", json!({"external_ip": "2001:db8::2"}));
    network.nat_at("base", "R-ext2");
    assert_eq!(network.outcome("p1"), "rejected no-gateway-port");
}
