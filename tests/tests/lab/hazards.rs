//! The structural check itself, on flows as ovn-sbctl prints them and rows as ovn-nbctl writes them.

use ovn_extaddr_tests::Nat;
use ovn_extaddr_tests::lab::hazards::find;

fn snat(external: &str, logical: &str, range: &str) -> Nat {
    Nat {
        kind: "snat".to_owned(),
        external_ip: external.to_owned(),
        logical_ip: logical.to_owned(),
        external_port_range: range.to_owned(),
        gateway_port: None,
        options: Default::default(),
        external_ids: Default::default(),
        uuid: String::new(),
    }
}

fn flow(priority: u32, matching: &str, action: &str) -> String {
    format!("table=4 (lr_in_unsnat       ), priority={priority}  , match=({matching}), action=({action})")
}

/// The replies found at risk, as `protocol:port`.
fn at_risk(flows: &[String], nat: Nat) -> Vec<String> {
    find(flows, &[nat]).iter().map(|hazard| format!("{}:{}", hazard.proto, hazard.port)).collect()
}

#[test]
fn vip_with_a_port_is_a_hazard_for_that_port_only() {
    let flows = [
        flow(120, "ip4 && ip4.dst == 203.0.113.10 && tcp && tcp.dst == 40000", "next;"),
        flow(
            100,
            "ip && ip4.dst == 203.0.113.10 && inport == \"lrp\" && is_chassis_resident(\"cr-lrp\")",
            "ct_snat;",
        ),
    ];
    assert_eq!(at_risk(&flows, snat("203.0.113.10", "10.57.1.10", "")), ["tcp:40000"]);
    assert_eq!(at_risk(&flows, snat("203.0.113.10", "10.57.1.10", "40000-65535")), ["tcp:40000"]);
    assert!(at_risk(&flows, snat("203.0.113.10", "10.57.1.10", "1024-39999")).is_empty());
    assert!(at_risk(&flows, snat("203.0.113.11", "10.57.1.10", "")).is_empty());
}

#[test]
fn vip_without_a_port_is_a_hazard_for_every_port_of_its_protocol() {
    let flows = [flow(120, "ip6.dst == 2001:db8::10 && udp", "next;")];
    assert_eq!(at_risk(&flows, snat("2001:db8::10", "fd42::a", "5000-6000")), ["udp:5000"]);
    let flows = [flow(120, "ip4.dst == 203.0.113.10", "next;")];
    assert_eq!(at_risk(&flows, snat("203.0.113.10", "10.57.1.10", "7-9")), ["icmp:0", "tcp:7", "udp:7"]);
}

#[test]
fn unknown_match_counts_as_a_hazard() {
    let flows = [flow(120, "ip4.dst == 203.0.113.10 && tcp && reg9[5] == 1 && inport == \"lrp\"", "next;")];
    assert_eq!(at_risk(&flows, snat("203.0.113.10", "10.57.1.10", "1024-39999")), ["tcp:1024"]);
    let flows = [flow(120, "ip4.dst == {203.0.113.9, 203.0.113.10} && tcp && tcp.dst == {80, 443}", "next;")];
    assert_eq!(at_risk(&flows, snat("203.0.113.10", "10.57.1.10", "")), ["tcp:80", "tcp:443"]);
}

#[test]
fn network_snat_and_drain_rows_are_no_hazards() {
    let flows = [
        flow(120, "ip4.dst == 203.0.113.10 && tcp", "next;"),
        flow(120, "ip6.dst == 2001:db8::10 && tcp", "next;"),
    ];
    for nat in [
        snat("203.0.113.10", "10.57.1.0/24", ""),
        snat("203.0.113.10", "240.0.0.1", ""),
        snat("2001:db8::10", "100::1", ""),
    ] {
        assert!(at_risk(&flows, nat).is_empty());
    }
    assert!(!at_risk(&flows, snat("2001:db8::10", "fd42::a/128", "")).is_empty());
}
