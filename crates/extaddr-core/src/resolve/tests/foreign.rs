//! Foreign rows beside ours.

use serde_json::{Value, json};

use super::{GRANTED, forwarded, wanting};
use crate::rules::{ExemptionsRule, PortRangeRule};
use crate::testing::{NetworkBuilder, map, reference};

fn address_set() -> Value {
    reference("Address_Set", "peers")
}

/// A foreign row for `p1`'s address, with more columns.
fn beside(external: &str, columns: Value) -> NetworkBuilder {
    let mut network = forwarded();
    network.nat("foreign", "R", "snat", external, "10.57.0.11");
    network.put("NAT", "foreign", columns);
    network
}

#[test]
fn field_case_6_foreign_row_decides_by_the_packets_it_translates() {
    let conflict = "conflict foreign-nat";
    for (columns, with_the_address, with_another) in [
        (json!({}), "foreign", conflict),
        // Exempted packets would leave untranslated even with our own row beside it.
        (json!({"exempted_ext_ips": address_set()}), "foreign", conflict),
        // Some packets only: ours is for the others, if either row may translate these.
        (json!({"allowed_ext_ips": address_set()}), GRANTED, conflict),
        (json!({"match": "ip4.dst == 198.51.100.0/24"}), GRANTED, conflict),
        // OVN ignores it.
        (json!({"allowed_ext_ips": address_set(), "exempted_ext_ips": address_set()}), GRANTED, GRANTED),
        (json!({"external_mac": "02:00:00:00:00"}), GRANTED, GRANTED),
    ] {
        assert_eq!(beside("203.0.113.10", columns.clone()).outcome("p1"), with_the_address, "{columns}");
        assert_eq!(beside("203.0.113.11", columns.clone()).outcome("p1"), with_another, "{columns}");
    }
    let network = beside("203.0.113.11", json!({"match": "tcp"}));
    assert!(
        network
            .sentence("p1")
            .contains("translates some packets of the port's address already to 203.0.113.11")
    );
}

#[test]
fn field_case_6_network_snat_with_the_address_is_foreign() {
    for (columns, outcome) in [
        (json!({}), "foreign"),
        (json!({"exempted_ext_ips": address_set()}), "foreign"),
        (json!({"allowed_ext_ips": address_set()}), GRANTED),
        (json!({"match": "tcp"}), GRANTED),
    ] {
        let mut network = forwarded();
        network.put("NAT", "base", json!({"external_ip": "203.0.113.10"}));
        network.put("NAT", "base", columns.clone());
        assert_eq!(network.outcome("p1"), outcome, "{columns}");
        // A longer prefix with another address takes precedence, even for some packets.
        network.nat("part", "R", "snat", "203.0.113.11", "10.57.0.0/28");
        network.put("NAT", "part", json!({"allowed_ext_ips": address_set()}));
        assert_eq!(network.outcome("p1"), GRANTED, "{columns}");
    }
}

#[test]
fn network_snat_with_the_address_yields_only_to_a_longer_prefix_at_its_gateway_port() {
    let mut network = forwarded();
    network.put("NAT", "base", json!({"external_ip": "203.0.113.10"}));
    // OVN may choose either of two rows for one network.
    network.nat("again", "R", "snat", "203.0.113.3", "10.57.0.0/255.255.255.0");
    assert_eq!(network.outcome("p1"), "foreign");

    let mut network = forwarded();
    network.put("NAT", "base", json!({"external_ip": "203.0.113.10"}));
    network.gateway_port("R", "R-ext2", &["198.51.100.2/24"]);
    network.nat_at("base", "R-ext");
    network.nat("part", "R", "snat", "198.51.100.5", "10.57.0.0/28");
    network.nat_at("part", "R-ext2");
    assert_eq!(network.outcome("p1"), "foreign");
}

#[test]
fn snat_of_another_network_has_no_exemptions_for_the_port() {
    let mut network = forwarded();
    network.nat("else", "R", "snat", "203.0.113.9", "10.99.0.0/28");
    network.put("NAT", "else", json!({"exempted_ext_ips": address_set()}));
    let hazards = |network: &NetworkBuilder, code: &str| {
        network.checks("p1").iter().filter(|check| check.starts_with(code)).count()
    };
    assert_eq!(hazards(&network, "!exemptions: "), 0);
    network.put("NAT", "base", json!({"exempted_ext_ips": address_set()}));
    assert_eq!((hazards(&network, "!exemptions: "), hazards(&network, "!match: ")), (1, 0));
}

#[test]
fn field_case_6_exemptions_of_the_network_snat_are_a_hazard() {
    let mut network = forwarded();
    network.put("NAT", "base", json!({"exempted_ext_ips": address_set()}));
    assert_eq!(network.outcome("p1"), GRANTED);
    assert!(network.checks("p1").iter().any(|check| check.starts_with("!exemptions: ")));
    network.own_row("p1", "203.0.113.10", "10.57.0.11", None);
    let written = json!({"external_port_range": "1024-65535"});
    let row = own(&network);
    network.put("NAT", row, written);
    assert_eq!(network.plan("p1"), Vec::<String>::new());
    assert_eq!(network.hazards(), ["exemptions"]);

    network.rules.exemptions = ExemptionsRule::Inherit;
    assert!(network.checks("p1").iter().any(|check| check.starts_with("exemptions: ")));
    assert_eq!(network.plan("p1"), ["update snat 203.0.113.10 for 10.57.0.11 ports 1024-65535"]);
    network.put("NAT", row, json!({"allowed_ext_ips": address_set()}));
    assert_eq!(network.plan("p1").len(), 1, "not the other way round");
    network.put("NAT", row, json!({"allowed_ext_ips": ["set", []], "exempted_ext_ips": address_set()}));
    assert_eq!(network.plan("p1"), Vec::<String>::new());
    assert_eq!(network.hazards(), Vec::<&str>::new());
    network.put("NAT", "base", json!({"exempted_ext_ips": ["set", []]}));
    assert_eq!(network.plan("p1").len(), 1, "it goes with that of the network's");

    // A longer prefix in the network counts.
    network.nat("part", "R", "snat", "203.0.113.2", "10.57.0.0/28");
    network.put("NAT", "part", json!({"exempted_ext_ips": address_set()}));
    assert_eq!(network.plan("p1"), Vec::<String>::new());
}

/// The UUID of our row for `p1`.
fn own(network: &NetworkBuilder) -> &'static str {
    let store = network.store();
    let (_, nat) = store.tagged_nats().next().unwrap();
    nat.uuid.to_string().leak()
}

#[test]
fn field_case_6_row_with_a_match_precedes_rows_without_one() {
    let mut network = forwarded();
    network.nat("policy", "R", "snat", "203.0.113.9", "10.57.0.0/24");
    network.put("NAT", "policy", json!({"match": "ip4.dst == 198.51.100.0/24"}));
    assert_eq!(network.outcome("p1"), GRANTED);
    assert!(network.checks("p1").iter().any(|check| check.starts_with("!match: ")));
    assert_eq!(network.hazards(), Vec::<&str>::new(), "as long as there is no override");
    network.own_row("p1", "203.0.113.10", "10.57.0.11", None);
    network.put("NAT", own(&network), json!({"external_port_range": "1024-65535"}));
    assert_eq!(network.hazards(), ["match-first"]);
}

#[test]
fn field_case_29_distributed_row_of_a_neighbour_is_a_conflict() {
    let distributed = json!({"external_mac": "02:00:00:00:00:99", "logical_port": "p2"});
    let mut network = wanting("203.0.113.10");
    network.instance("p2", "02:00:00:00:00:12 10.57.0.12");
    network.nat("neighbour", "R", "dnat_and_snat", "203.0.113.10", "10.57.0.12");
    network.put("NAT", "neighbour", distributed.clone());
    assert_eq!(network.outcome("p1"), "conflict distributed-nat");
    assert!(network.sentence("p1").contains("to port p2 on its own hypervisor"));
    // The intent of its own instance is fulfilled.
    network.wants("p2", "203.0.113.10");
    assert_eq!(network.outcome("p2"), "foreign");
    // Both columns are needed for it.
    network.put("NAT", "neighbour", json!({"logical_port": ["set", []]}));
    assert_eq!(network.outcome("p1"), "granted 203.0.113.10 for 10.57.0.11");
    // At another gateway port it does not affect our row.
    network.put("NAT", "neighbour", distributed);
    network.balancer("fw", &[("203.0.113.10:80", "10.57.0.11:80")], &["R"]);
    network.gateway_port("R", "R-ext2", &["198.51.100.2/24"]);
    assert_eq!(network.outcome("p1"), "conflict distributed-nat");
    network.nat_at("neighbour", "R-ext2");
    assert_eq!(network.outcome("p1"), format!("{GRANTED} at R-ext"));
    // A router that is bound to a chassis is in one place.
    let mut network = network.clone();
    network.put("NAT", "neighbour", json!({"gateway_port": ["set", []]}));
    network.put("Logical_Router", "R", json!({"options": map(&[("chassis", "gateway-1")])}));
    assert_eq!(network.outcome("p1"), GRANTED);
}

#[test]
fn field_case_14_internal_address_of_two_ports_gets_no_row() {
    let duplicate = "conflict duplicate-address";
    let mut network = forwarded();
    network.instance("p2", "02:00:00:00:00:12 10.57.0.11");
    assert_eq!(
        network.outcome("p1"),
        duplicate,
        "the other would leave as this one, though it asks for nothing"
    );
    network.wants("p2", "203.0.113.10");
    assert_eq!((network.outcome("p1"), network.outcome("p2")), (duplicate.to_owned(), duplicate.to_owned()));
    // Nothing leaves a disabled port.
    network.put("Logical_Switch_Port", "p2", json!({"enabled": false}));
    assert_eq!(network.outcome("p1"), GRANTED);
    network.put("Logical_Switch_Port", "p2", json!({"enabled": true, "type": "localnet"}));
    assert_eq!(network.outcome("p1"), GRANTED, "no instance has it");
    network.put("Logical_Switch_Port", "p2", json!({"type": "external"}));
    assert_eq!(network.outcome("p1"), duplicate);
    // An allocated address that is not requested any more belongs to nobody.
    network.put("Logical_Switch_Port", "p2", json!({"addresses": "02:00:00:00:00:12 10.57.0.12"}));
    network.put("Logical_Switch_Port", "p2", json!({"dynamic_addresses": "02:00:00:00:00:12 10.57.0.11"}));
    assert_eq!(network.outcome("p1"), GRANTED);
}

#[test]
fn owner_with_the_lesser_name_keeps_its_override() {
    let group = |network: &mut NetworkBuilder, owner: &str| network.rules.owner = owner.parse().unwrap();
    // Both with the same address, and with different ones, as by their policies.
    for other in ["203.0.113.10", "203.0.113.11"] {
        let mut network = forwarded();
        network.rules.port_range = PortRangeRule::Off;
        group(&mut network, "second");
        network.own_row("p1", other, "10.57.0.11", None);
        group(&mut network, "ovn-extaddr");
        // The first to write has it.
        let outcome = if other == "203.0.113.10" { "foreign" } else { "conflict foreign-nat" };
        assert_eq!(network.outcome("p1"), outcome);
        network.own_row("p1", "203.0.113.10", "10.57.0.11", None);
        assert_eq!(network.outcome("p1"), "granted 203.0.113.10 for 10.57.0.11");
        assert_eq!(network.plan("p1"), [""; 0]);
        group(&mut network, "second");
        assert_eq!(network.outcome("p1"), "foreign");
        let delete = format!("delete snat {other} for 10.57.0.11");
        assert!(network.plan("p1").contains(&delete), "{:?}", network.plan("p1"));
    }
}

#[test]
fn default_target_beside_a_foreign_row_is_a_hazard() {
    let mut network = wanting("203.0.113.10");
    network.balancer("fw", &[("203.0.113.10", "10.57.0.11")], &["R"]);
    network.nat("foreign", "R", "snat", "203.0.113.10", "10.57.0.11");
    assert_eq!(network.outcome("p1"), "foreign");
    let hazard = "!conversion: a VIP forwards all ports of 203.0.113.10";
    assert!(network.checks("p1").iter().any(|check| check.starts_with(hazard)));
}
