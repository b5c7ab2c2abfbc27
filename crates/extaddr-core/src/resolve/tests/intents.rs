//! Sources of intents, and addresses that are allowed although nothing forwards them.

use serde_json::json;

use super::{GRANTED, forwarded};
use crate::policy::Policy;
use crate::resolve::Dependency;
use crate::testing::{Edit, NetworkBuilder, allow, map};

/// The network without any intent.
fn silent() -> NetworkBuilder {
    let mut network = forwarded();
    network.put("Logical_Switch_Port", "p1", json!({"external_ids": map(&[])}));
    network
}

fn policy(text: &str) -> Policy {
    Policy::parse(text).unwrap()
}

#[test]
fn intent_sources_have_an_order_of_precedence() {
    let mut network = silent();
    assert_eq!(network.outcome("p1"), "");
    // The edit, the source and intent that follow, and the explanation.
    let auto_routers: [(Edit, &str, &str); 5] = [
        (|n| n.rules.auto = true, "config auto", "the configuration asks for auto for every port"),
        (
            |n| n.put("Logical_Router", "R", json!({"external_ids": map(&[("address.external", "auto")])})),
            "router auto",
            "address.external of the router asks for auto",
        ),
        (
            |n| n.rules.policy = policy("[[rule]]\nport = \"p*\"\nipv4 = \"203.0.113.10\""),
            "policy 203.0.113.10",
            "the policy file asks for 203.0.113.10",
        ),
        (
            |n| {
                let ids = map(&[("ovn-extaddr:ipv4.address.external:p1", " 203.0.113.10")]);
                n.put("NB_Global", "global", json!({"external_ids": ids}));
            },
            "kept 203.0.113.10",
            "a key that outlives the port asks for 203.0.113.10 (`set --keep`)",
        ),
        (|n| n.wants("p1", "auto"), "annotation auto", "ipv4.address.external of the port asks for auto"),
    ];
    for (speak, asked, explained) in auto_routers {
        speak(&mut network);
        assert_eq!(network.asked("p1"), asked);
        assert_eq!(network.checks("p1")[0], format!("intent: {explained}"));
        assert_eq!(network.outcome("p1"), GRANTED, "{asked}");
    }
    // `none` is an intent, too.
    network.wants("p1", "none");
    assert_eq!((network.asked("p1"), network.outcome("p1")), (String::new(), String::new()));
}

#[test]
fn defaults_apply_to_instances_only() {
    let mut network = silent();
    network.rules.auto = true;
    network.rules.policy = policy("[[rule]]\nport = \"*\"\nipv4 = \"203.0.113.10\"");
    assert_eq!(network.outcome("p1"), GRANTED);
    network.put("Logical_Switch_Port", "p1", json!({"type": "localport"}));
    assert_eq!(network.outcome("p1"), "");
    network.wants("p1", "203.0.113.10");
    assert_eq!(network.outcome("p1"), "rejected not-an-instance");
}

#[test]
fn policy_rule_matches_a_port_by_switch_and_router() {
    for (rule, is_asked) in [
        ("switch = \"S\"", true),
        ("switch = \"T\"", false),
        ("router = \"R\"", true),
        ("router = \"S\"", false),
        ("switch = \"S\"\nrouter = \"?\"", true),
        ("switch = \"S\"\nport = \"p2\"", false),
    ] {
        let mut network = silent();
        network.rules.policy = policy(&format!("[[rule]]\n{rule}\nipv4 = \"203.0.113.10\""));
        assert_eq!(network.outcome("p1"), if is_asked { GRANTED } else { "" }, "{rule}");
    }
}

#[test]
fn port_without_an_address_under_default_auto_is_not_reported() {
    for spoil in [
        |n: &mut NetworkBuilder| n.delete("Load_Balancer", "fw"),
        |n: &mut NetworkBuilder| n.delete("Logical_Switch_Port", "S-R-S"),
        |n: &mut NetworkBuilder| {
            n.put("Logical_Switch_Port", "p1", json!({"addresses": "02:00:00:00:00:11"}))
        },
    ] {
        let mut network = silent();
        network.rules.auto = true;
        spoil(&mut network);
        assert_eq!(network.outcome("p1"), "");
    }
    // A reason that concerns an existing address is reported.
    let mut network = silent();
    network.rules.auto = true;
    network.put("Logical_Router", "R", json!({"enabled": false}));
    assert_eq!(network.outcome("p1"), "rejected router-disabled");
}

#[test]
fn router_key_other_than_auto_is_ignored() {
    let mut network = silent();
    let ids = json!({"external_ids": map(&[("address.external", "none")])});
    network.put("Logical_Router", "R", ids);
    assert_eq!(network.outcome("p1"), "");
}

/// 203.0.113.10 is allowed on `R`, and nothing forwards it.
fn allowed() -> NetworkBuilder {
    let mut network = forwarded();
    network.delete("Load_Balancer", "fw");
    network.rules.allow = vec![allow("R", "203.0.113.0/28")];
    network
}

#[test]
fn allowed_address_needs_no_forward() {
    let granted = "granted 203.0.113.10 for 10.57.0.11";
    let mut network = allowed();
    assert_eq!(network.outcome("p1"), granted);
    network.put("Logical_Router_Port", "R-ext", json!({"ha_chassis_group": ["set", []]}));
    assert_eq!(
        network.outcome("p1"),
        "rejected not-permitted",
        "on a router without a gateway it would do nothing"
    );
    let mut network = allowed();
    network.rules.allow = vec![allow("R2", "203.0.113.0/28")];
    assert_eq!(network.outcome("p1"), "rejected not-permitted", "it is allowed elsewhere");
    // One that is forwarded needs no permission.
    let mut network = forwarded();
    network.rules.allow = vec![allow("R", "192.0.2.0/24")];
    assert_eq!(network.outcome("p1"), GRANTED);
    // No target is required where nothing has one.
    let mut network = allowed();
    network.rules.require_target = true;
    assert_eq!(network.outcome("p1"), granted);
}

#[test]
fn address_of_another_router_is_not_allowed() {
    let others: [(Edit, &str); 6] = [
        (|n| n.balancer("fw2", &[("203.0.113.10:80", "10.60.0.11:80")], &["R2"]), "rejected not-permitted"),
        (|n| n.nat("other", "R2", "dnat", "203.0.113.10", "10.60.0.11"), "rejected not-permitted"),
        (|n| n.nat("other", "R2", "snat", "203.0.113.10", "10.60.0.11"), "rejected not-permitted"),
        (|n| n.nat("other", "R2", "snat", "203.0.113.10", "10.60.0.0/24"), "rejected not-permitted"),
        (|n| n.router_port("R2", "R2-own", &["203.0.113.10/24"]), "rejected not-permitted"),
        (
            |n| n.nat("other", "R2", "snat", "203.0.113.11", "10.60.0.11"),
            "granted 203.0.113.10 for 10.57.0.11",
        ),
    ];
    for (n, (have, outcome)) in others.into_iter().enumerate() {
        let mut network = allowed();
        network.router("R2");
        network.gateway_port("R2", "R2-ext", &["198.51.100.2/24"]);
        have(&mut network);
        assert_eq!(network.outcome("p1"), outcome, "case {n}");
    }
}

#[test]
fn allowed_address_is_granted_on_the_nearest_usable_router() {
    let second = |network: &mut NetworkBuilder| {
        network.rules.allow = vec![allow("*", "203.0.113.0/28")];
        network.router("R2");
        network.router_port("R2", "R2-S", &["10.57.0.2/24"]);
        network.gateway_port("R2", "R2-ext", &["203.0.113.3/24"]);
        network.join("S", "R2-S");
    };
    let mut network = allowed();
    second(&mut network);
    assert_eq!(network.outcome("p1"), "rejected ambiguous-router");
    network.put("Logical_Router", "R2", json!({"enabled": false}));
    assert_eq!(network.outcome("p1"), "granted 203.0.113.10 for 10.57.0.11");
}

#[test]
fn allowed_address_is_watched_on_all_routers() {
    let anywhere = |network: &NetworkBuilder| {
        let address = "203.0.113.10".parse().unwrap();
        network.watched("p1").contains(&Dependency::Anywhere(address))
    };
    assert!(anywhere(&allowed()));
    assert!(!anywhere(&forwarded()), "nothing is allowed");
    let mut network = forwarded();
    network.rules.allow = vec![allow("R", "203.0.113.0/28")];
    assert!(!anywhere(&network), "it is forwarded here");
}

#[test]
fn families_are_decided_independently() {
    let ipv6 = "granted 2001:db8::10 for fd42:57::b ports 1024-65535";
    for (v4, v6, outcome) in [
        ("203.0.113.10", "2001:db8::10", format!("{GRANTED}; {ipv6}")),
        ("203.0.113.10", "web", format!("{GRANTED}; rejected invalid-address")),
        ("none", "auto", ipv6.to_owned()),
    ] {
        let mut network = forwarded();
        network.balancer("fw6", &[("[2001:db8::10]:80", "[fd42:57::b]:80")], &["R"]);
        let keys = map(&[("ipv4.address.external", v4), ("ipv6.address.external", v6)]);
        network.put("Logical_Switch_Port", "p1", json!({"external_ids": keys}));
        assert_eq!(network.outcome("p1"), outcome);
    }
}

/// VIPs beside the instance are no forwards, and take replies nevertheless.
#[test]
fn allowed_address_beside_the_instance_avoids_the_ports_of_its_vips() {
    let mut network = NetworkBuilder::new();
    network.bind_to_chassis();
    network.delete("NAT", "base");
    network.wants("p1", "10.57.0.80");
    network.rules.allow = vec![allow("*", "10.57.0.0/24")];
    assert_eq!(network.outcome("p1"), "granted 10.57.0.80 for 10.57.0.11");
    network.balancer("service", &[("10.57.0.80:40000", "10.57.0.12:80")], &["R"]);
    assert_eq!(network.outcome("p1"), "granted 10.57.0.80 for 10.57.0.11 ports 1024-39999");
}
