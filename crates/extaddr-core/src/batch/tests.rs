//! Transactions as they are sent, with the names of rows for their UUIDs. `UPDATE_EXPECT=1 cargo test` writes them again.

use std::time::Instant;

use expect_test::{Expect, expect};
use serde_json::Value;

use crate::apply::Applier;
use crate::clock::Now;
use crate::testing::NetworkBuilder;

const A: &str = "203.0.113.10";
const TARGET: &str = "10.57.0.11";

/// Checks the operations of the first transaction, one in each line.
#[track_caller]
fn check(network: &NetworkBuilder, expected: &Expect) {
    let (store, engine) = network.decided();
    let mut applier = Applier::new(network.rules.owner.lock());
    let now = Now { instant: Instant::now(), wall: engine.wall() };
    let text = applier.next(&store, &engine, now).map_or_else(String::new, |pending| {
        let Value::Array(params) = serde_json::to_value(pending.transaction()).unwrap() else {
            panic!("an array")
        };
        params.iter().map(|operation| format!("{operation}\n")).collect()
    });
    expected.assert_eq(&network.with_names(&text));
}

/// A network where a VIP forwards the address to `p1`.
fn forwarded(vip: &str, backend: &str) -> NetworkBuilder {
    let mut network = NetworkBuilder::new();
    network.balancer("fw", &[(vip, backend)], &["R"]);
    network
}

#[test]
fn override_is_inserted_with_guards() {
    let mut network = forwarded("203.0.113.10:80", "10.57.0.11:80");
    network.wants("p1", A);
    check(
        &network,
        &expect![[r#"
        "OVN_Northbound"
        {"lock":"ovn_extaddr","op":"assert"}
        {"columns":["name"],"op":"wait","rows":[{"name":"p1"}],"table":"Logical_Switch_Port","timeout":0,"until":"==","where":[["_uuid","==",["uuid","<Logical_Switch_Port p1>"]],["external_ids","includes",["map",[["ipv4.address.external","203.0.113.10"]]]],["addresses","includes","02:00:00:00:00:11 10.57.0.11 fd42:57::b"]]}
        {"columns":["name"],"op":"wait","rows":[{"name":"S"}],"table":"Logical_Switch","timeout":0,"until":"==","where":[["_uuid","==",["uuid","<Logical_Switch S>"]],["ports","includes",["uuid","<Logical_Switch_Port p1>"]]]}
        {"columns":["name"],"op":"wait","rows":[{"name":"fw"}],"table":"Load_Balancer","timeout":0,"until":"==","where":[["_uuid","==",["uuid","<Load_Balancer fw>"]],["vips","includes",["map",[["203.0.113.10:80","10.57.0.11:80"]]]]]}
        {"columns":["name"],"op":"wait","rows":[{"name":"R"}],"table":"Logical_Router","timeout":0,"until":"==","where":[["_uuid","==",["uuid","<Logical_Router R>"]],["load_balancer","includes",["uuid","<Load_Balancer fw>"]]]}
        {"op":"insert","row":{"external_ids":["map",[["ovn-extaddr:owner","ovn-extaddr"],["ovn-extaddr:port","p1"],["ovn-extaddr:role","egress"]]],"external_ip":"203.0.113.10","external_port_range":"1024-65535","gateway_port":["set",[]],"logical_ip":"10.57.0.11","options":["map",[["stateless","false"]]],"type":"snat"},"table":"NAT","uuid":"43cef026-e0f3-5511-952f-68f74001a974"}
        {"mutations":[["nat","insert",["uuid","43cef026-e0f3-5511-952f-68f74001a974"]]],"op":"mutate","table":"Logical_Router","where":[["_uuid","==",["uuid","<Logical_Router R>"]]]}
        {"comment":"ovn-extaddr: 1 changes","op":"comment"}
    "#]],
    );
}

#[test]
fn modified_row_is_updated() {
    let mut network = forwarded("203.0.113.10:80", "10.57.0.11:80");
    network.wants("p1", A);
    network.own_row("p1", "203.0.113.77", TARGET, None);
    check(
        &network,
        &expect![[r#"
        "OVN_Northbound"
        {"lock":"ovn_extaddr","op":"assert"}
        {"columns":["name"],"op":"wait","rows":[{"name":"p1"}],"table":"Logical_Switch_Port","timeout":0,"until":"==","where":[["_uuid","==",["uuid","<Logical_Switch_Port p1>"]],["external_ids","includes",["map",[["ipv4.address.external","203.0.113.10"]]]],["addresses","includes","02:00:00:00:00:11 10.57.0.11 fd42:57::b"]]}
        {"columns":["name"],"op":"wait","rows":[{"name":"S"}],"table":"Logical_Switch","timeout":0,"until":"==","where":[["_uuid","==",["uuid","<Logical_Switch S>"]],["ports","includes",["uuid","<Logical_Switch_Port p1>"]]]}
        {"columns":["name"],"op":"wait","rows":[{"name":"fw"}],"table":"Load_Balancer","timeout":0,"until":"==","where":[["_uuid","==",["uuid","<Load_Balancer fw>"]],["vips","includes",["map",[["203.0.113.10:80","10.57.0.11:80"]]]]]}
        {"columns":["name"],"op":"wait","rows":[{"name":"R"}],"table":"Logical_Router","timeout":0,"until":"==","where":[["_uuid","==",["uuid","<Logical_Router R>"]],["load_balancer","includes",["uuid","<Load_Balancer fw>"]]]}
        {"op":"update","row":{"external_ip":"203.0.113.10","external_port_range":"1024-65535","gateway_port":["set",[]],"logical_ip":"10.57.0.11","type":"snat"},"table":"NAT","where":[["_uuid","==",["uuid","<NAT 43cef026-e0f3-5511-952f-68f74001a974>"]]]}
        {"mutations":[["options","delete","stateless"],["options","insert",["map",[["stateless","false"]]]],["external_ids","delete",["set",["ovn-extaddr:owner","ovn-extaddr:port","ovn-extaddr:role"]]],["external_ids","insert",["map",[["ovn-extaddr:owner","ovn-extaddr"],["ovn-extaddr:port","p1"],["ovn-extaddr:role","egress"]]]]],"op":"mutate","table":"NAT","where":[["_uuid","==",["uuid","<NAT 43cef026-e0f3-5511-952f-68f74001a974>"]]]}
        {"comment":"ovn-extaddr: 1 changes","op":"comment"}
    "#]],
    );
}

#[test]
fn withdrawn_override_is_deleted_and_drained() {
    let mut network = forwarded("203.0.113.10:80", "10.57.0.11:80");
    network.own_row("p1", A, TARGET, None);
    check(
        &network,
        &expect![[r#"
        "OVN_Northbound"
        {"lock":"ovn_extaddr","op":"assert"}
        {"op":"insert","row":{"external_ids":["map",[["ovn-extaddr:internal","10.57.0.11"],["ovn-extaddr:owner","ovn-extaddr"],["ovn-extaddr:port","p1"],["ovn-extaddr:role","drain"],["ovn-extaddr:until","1800000300"]]],"external_ip":"203.0.113.10","external_port_range":"","gateway_port":["set",[]],"logical_ip":"246.231.9.169","options":["map",[["stateless","false"]]],"type":"snat"},"table":"NAT","uuid":"07e709a9-2ff1-512a-aae7-74f5445282cc"}
        {"mutations":[["nat","delete",["uuid","<NAT 43cef026-e0f3-5511-952f-68f74001a974>"]],["nat","insert",["uuid","07e709a9-2ff1-512a-aae7-74f5445282cc"]]],"op":"mutate","table":"Logical_Router","where":[["_uuid","==",["uuid","<Logical_Router R>"]]]}
        {"comment":"ovn-extaddr: 2 changes","op":"comment"}
    "#]],
    );
}

#[test]
fn default_target_is_converted_with_the_override() {
    let mut network = forwarded(A, TARGET);
    network.wants("p1", A);
    check(
        &network,
        &expect![[r#"
        "OVN_Northbound"
        {"lock":"ovn_extaddr","op":"assert"}
        {"columns":["name"],"op":"wait","rows":[{"name":"p1"}],"table":"Logical_Switch_Port","timeout":0,"until":"==","where":[["_uuid","==",["uuid","<Logical_Switch_Port p1>"]],["external_ids","includes",["map",[["ipv4.address.external","203.0.113.10"]]]],["addresses","includes","02:00:00:00:00:11 10.57.0.11 fd42:57::b"]]}
        {"columns":["name"],"op":"wait","rows":[{"name":"S"}],"table":"Logical_Switch","timeout":0,"until":"==","where":[["_uuid","==",["uuid","<Logical_Switch S>"]],["ports","includes",["uuid","<Logical_Switch_Port p1>"]]]}
        {"columns":["name"],"op":"wait","rows":[{"name":"fw"}],"table":"Load_Balancer","timeout":0,"until":"==","where":[["_uuid","==",["uuid","<Load_Balancer fw>"]],["vips","includes",["map",[["203.0.113.10","10.57.0.11"]]]]]}
        {"columns":["name"],"op":"wait","rows":[{"name":"R"}],"table":"Logical_Router","timeout":0,"until":"==","where":[["_uuid","==",["uuid","<Logical_Router R>"]],["load_balancer","includes",["uuid","<Load_Balancer fw>"]]]}
        {"columns":["name"],"op":"wait","rows":[{"name":"fw"}],"table":"Load_Balancer","timeout":0,"until":"==","where":[["_uuid","==",["uuid","<Load_Balancer fw>"]],["vips","==",["map",[["203.0.113.10","10.57.0.11"]]]]]}
        {"op":"insert","row":{"external_ids":["map",[["ovn-extaddr:owner","ovn-extaddr"],["ovn-extaddr:port","p1"],["ovn-extaddr:role","egress"]]],"external_ip":"203.0.113.10","external_port_range":"","gateway_port":["set",[]],"logical_ip":"10.57.0.11","options":["map",[["stateless","false"]]],"type":"snat"},"table":"NAT","uuid":"43cef026-e0f3-5511-952f-68f74001a974"}
        {"op":"insert","row":{"external_ids":["map",[["ovn-extaddr:owner","ovn-extaddr"],["ovn-extaddr:role","default-target"],["ovn-extaddr:undo","attach <Load_Balancer fw>"]]],"external_ip":"203.0.113.10","external_port_range":"","gateway_port":["set",[]],"logical_ip":"10.57.0.11","options":["map",[["stateless","false"]]],"type":"dnat"},"table":"NAT","uuid":"dcbdef6f-e675-5cc7-90d9-c29b2928f342"}
        {"mutations":[["nat","insert",["set",[["uuid","43cef026-e0f3-5511-952f-68f74001a974"],["uuid","dcbdef6f-e675-5cc7-90d9-c29b2928f342"]]]],["load_balancer","delete",["uuid","<Load_Balancer fw>"]]],"op":"mutate","table":"Logical_Router","where":[["_uuid","==",["uuid","<Logical_Router R>"]]]}
        {"comment":"ovn-extaddr: 3 changes","op":"comment"}
    "#]],
    );
}

#[test]
fn settled_network_needs_no_transaction() {
    check(&forwarded("203.0.113.10:80", "10.57.0.11:80"), &expect![[""]]);
}
