//! Which network an address belongs to: one that others can reach keeps its own addresses.

use anyhow::{Context, Result};
use ovn_extaddr_tests::{Addressing, Net, json_map, set_column, uuid_ref};
use serde_json::json;

use super::{A, B, Case, egress};
use crate::fixture::{V4, ip};

/// Joins two routers as Incus' local peering does.
fn peer(case: &Case, other: &Net) -> Result<()> {
    let ends = [(&case.net, other, "10.57.1.1/24"), (other, &case.net, "10.57.2.1/24")];
    for (number, (here, there, network)) in ends.into_iter().enumerate() {
        let name = |a: &Net, b: &Net| format!("{}-lrp-peer-{}", a.router(), b.prefix());
        let done = case.fixture.server.transact(vec![
            json!({"op": "insert", "table": "Logical_Router_Port", "uuid-name": "port", "row": {
                "name": name(here, there), "peer": name(there, here),
                "mac": format!("0a:00:00:00:02:0{number}"), "networks": network,
            }}),
            json!({"op": "mutate", "table": "Logical_Router", "where": [["name", "==", here.router()]],
                "mutations": [["ports", "insert", ["named-uuid", "port"]]]}),
        ])?;
        set_column(&done[0]["uuid"]).pop().context("no port was made")?;
    }
    Ok(())
}

#[test]
fn peered_networks_do_not_share_forward_addresses() -> Result<()> {
    let case = Case::start("")?;
    let mut other = Net::builder(2).create(&case.fixture.server)?;
    let there = other.add_instance(Addressing::Static)?;
    peer(&case, &other)?;
    case.forward(A, 80)?;
    other.add_forward(ip(B), 80, there.v4()?, 80)?;
    // Even if it is forwarded to the very instance that requests it.
    other.add_forward(ip("203.0.113.103"), 80, case.one.v4()?, 80)?;
    for address in [B, "203.0.113.103"] {
        case.annotate(&case.one, Some(address))?;
        case.state(&case.one, "rejected not-a-forward")?;
        case.becomes([])?;
    }
    other.annotate(&there.port, V4, Some(A))?;
    case.fixture.wait_for_state(&there.port, V4, "rejected not-a-forward")?;
    case.annotate(&case.one, Some(A))?;
    case.becomes([egress(&case.one, A)])?;
    other.annotate(&there.port, V4, Some(B))?;
    case.becomes([egress(&case.one, A), egress(&there, B)])
}

#[test]
fn gateway_router_with_the_forward_is_selected_of_two() -> Result<()> {
    let case = Case::start("")?;
    // As in OVN-Kubernetes: a switch joins the instances' router to the gateway routers.
    let server = &case.fixture.server;
    let other = Net::builder(2).create(server)?;
    for (switch, port, name) in
        [(case.net.internal_switch(), "to-1", "join-1"), (other.internal_switch(), "to-2", "join-2")]
    {
        server.transact(vec![
            json!({"op": "insert", "table": "Logical_Router_Port", "uuid-name": "port", "row": {
                "name": port, "mac": "0a:00:00:00:03:01", "networks": "100.64.0.9/16",
            }}),
            json!({"op": "insert", "table": "Logical_Switch_Port", "uuid-name": "lsp", "row": {
                "name": name, "type": "router", "addresses": "router", "options": json_map([("router-port", port)]),
            }}),
            json!({"op": "mutate", "table": "Logical_Switch", "where": [["name", "==", switch]],
                "mutations": [["ports", "insert", ["named-uuid", "lsp"]]]}),
            if port == "to-1" {
                json!({"op": "insert", "table": "Logical_Router", "row": {"name": "cluster", "ports": ["named-uuid", "port"]}})
            } else {
                json!({"op": "mutate", "table": "Logical_Router", "where": [["name", "==", "cluster"]],
                    "mutations": [["ports", "insert", ["named-uuid", "port"]]]})
            },
        ])?;
    }
    server.transact(vec![
        json!({"op": "insert", "table": "Logical_Router_Port", "uuid-name": "port", "row": {
            "name": "to-pods", "mac": "0a:00:00:00:03:02", "networks": "10.244.0.1/24",
        }}),
        json!({"op": "mutate", "table": "Logical_Router", "where": [["name", "==", "cluster"]],
            "mutations": [["ports", "insert", ["named-uuid", "port"]]]}),
        json!({"op": "insert", "table": "Logical_Switch_Port", "uuid-name": "lsp", "row": {
            "name": "pods-router", "type": "router", "addresses": "router",
            "options": json_map([("router-port", "to-pods")]),
        }}),
        json!({"op": "insert", "table": "Logical_Switch_Port", "uuid-name": "pod", "row": {
            "name": "pod", "addresses": "0a:00:00:00:03:03 10.244.0.9", "external_ids": json_map([(V4, A)]),
        }}),
        json!({"op": "insert", "table": "Logical_Switch", "row": {
            "name": "pods", "ports": ["set", [["named-uuid", "lsp"], ["named-uuid", "pod"]]],
        }}),
    ])?;
    let row = || format!("10.244.0.9 leaves as {A} for pod");
    // Both have the address, and neither forwards it to this instance.
    case.forward(A, 80)?;
    other.add_forward(ip(A), 80, ip("10.57.2.77"), 80)?;
    case.fixture.wait_for_state("pod", V4, "rejected ambiguous-router")?;
    other.add_forward(ip(A), 81, ip("10.244.0.9"), 80)?;
    case.becomes([row()])?;
    assert!(case.net.nats()?.iter().all(|nat| nat.external_ids.is_empty()), "the row is on the other router");
    // Both forward it to this instance.
    case.net.add_forward(ip(A), 81, ip("10.244.0.9"), 80)?;
    case.fixture.wait_for_state("pod", V4, "rejected ambiguous-router")?;
    case.becomes([])?;
    other.remove_forward(ip(A))?;
    case.becomes([row()])?;
    assert!(other.nats()?.iter().all(|nat| nat.external_ids.is_empty()), "the row is on the first router");
    // The route there is cut.
    let found = server.transact(vec![
        json!({"op": "select", "table": "Logical_Switch_Port", "where": [["name", "==", "join-1"]]}),
    ])?;
    let uuid = found[0]["rows"][0]["_uuid"][1].as_str().context("a port")?;
    server.transact(vec![
        json!({"op": "mutate", "table": "Logical_Switch", "where": [["name", "==", case.net.internal_switch()]],
            "mutations": [["ports", "delete", uuid_ref(uuid)]]}),
    ])?;
    case.fixture.wait_for_state("pod", V4, "rejected not-a-forward")?;
    case.becomes([])
}
