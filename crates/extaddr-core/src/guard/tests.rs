//! The facts that the transactions for a network require.

use std::collections::BTreeMap;

use ovn_model::Family;
use ovsdb_protocol::LockName;
use serde_json::{Value, json};

use crate::batch;
use crate::engine::ReconcileKey;
use crate::ownership::Role;
use crate::testing::{Edit, NetworkBuilder, map, reference};
use crate::undo::UNDO;

const A: &str = "203.0.113.10";
const TARGET: &str = "10.57.0.11";
const PORT: [&str; 3] = [
    "Logical_Switch S: ports p1",
    "Logical_Switch_Port p1: addresses \"02:00:00:00:00:11 10.57.0.11 fd42:57::b\"",
    "Logical_Switch_Port p1: external_ids [[\"ipv4.address.external\",\"203.0.113.10\"]]",
];

/// A network where `p1` wants an address.
fn wanting() -> NetworkBuilder {
    let mut network = NetworkBuilder::new();
    network.wants("p1", A);
    network
}

/// Returns the facts that all changes together require, sorted: a table, the row's anchor, and a condition each.
fn required(network: &NetworkBuilder) -> Vec<String> {
    required_by(network, |_| true)
}

/// Returns the same for the changes of some keys.
fn required_by(network: &NetworkBuilder, is_included: impl Fn(&ReconcileKey) -> bool) -> Vec<String> {
    let (store, engine) = network.decided();
    let keys = engine.unsettled().iter().filter(|key| is_included(key));
    let subjects: BTreeMap<_, _> = keys.map(|key| (key.clone(), engine.changes(&store, key))).collect();
    let lock: LockName = "ovn_extaddr".parse().unwrap();
    let batch = batch::merge(&store, &engine, &lock, subjects);
    let transaction = serde_json::to_value(&batch.transaction).unwrap();
    let readable = |value: &Value| {
        let value = if value[0] == "map" || value[0] == "uuid" { &value[1] } else { value };
        let name = value.as_str().and_then(|uuid| network.name_of(uuid.parse().ok()?));
        name.map_or_else(|| value.to_string(), str::to_owned)
    };
    let waits = transaction.as_array().unwrap().iter().filter(|operation| operation["op"] == "wait");
    let facts = waits.flat_map(|wait| {
        assert_eq!((&wait["until"], &wait["timeout"]), (&json!("=="), &json!(0)), "{wait}");
        let anchor: Vec<_> =
            wait["rows"][0].as_object().unwrap().values().map(|v| v.as_str().unwrap()).collect();
        let conditions = wait["where"].as_array().unwrap();
        assert_eq!(conditions[0][0], "_uuid", "{wait}");
        let facts = conditions[1..].iter().map(|condition| {
            let (column, function) = (condition[0].as_str().unwrap(), condition[1].as_str().unwrap());
            let function = if function == "includes" { "" } else { " is" };
            let (table, value) = (wait["table"].as_str().unwrap(), readable(&condition[2]));
            format!("{table} {}: {column}{function} {value}", anchor.join(" "))
        });
        facts.collect::<Vec<_>>()
    });
    let mut facts: Vec<_> = facts.collect();
    facts.sort_unstable();
    facts
}

/// Returns the facts about the port, and these.
fn with(more: &[&str]) -> Vec<String> {
    let mut facts: Vec<_> = PORT.iter().chain(more).map(ToString::to_string).collect();
    facts.sort_unstable();
    facts
}

#[test]
fn row_requires_its_port_and_its_forward() {
    let cases: [(Edit, &[&str]); 4] = [
        (
            |n| n.balancer("fw", &[("203.0.113.10:80", "10.57.0.11:80")], &["R"]),
            &[
                "Load_Balancer fw: vips [[\"203.0.113.10:80\",\"10.57.0.11:80\"]]",
                "Logical_Router R: load_balancer fw",
            ],
        ),
        (
            |n| {
                n.balancer("fw", &[("203.0.113.10:80", "10.57.0.11:80")], &[]);
                let members = reference("Load_Balancer", "fw");
                n.put("Load_Balancer_Group", "g", json!({"name": "g", "load_balancer": members}));
                let group = reference("Load_Balancer_Group", "g");
                n.put("Logical_Router", "R", json!({"load_balancer_group": group}));
            },
            &[
                "Load_Balancer fw: vips [[\"203.0.113.10:80\",\"10.57.0.11:80\"]]",
                "Load_Balancer_Group g: load_balancer fw",
                "Logical_Router R: load_balancer_group g",
            ],
        ),
        (
            |n| n.nat("theirs", "R", "dnat", A, TARGET),
            &[
                "Logical_Router R: nat theirs",
                "NAT dnat: external_ip is \"203.0.113.10\"",
                "NAT dnat: logical_ip is \"10.57.0.11\"",
            ],
        ),
        // The forward that leads to the port is taken for the one that is not removed soon.
        (
            |n| {
                n.balancer("fw", &[("203.0.113.10:80", "10.57.0.12:80")], &["R"]);
                n.balancer("fw2", &[("203.0.113.10:443", "10.57.0.11:443")], &["R"]);
                n.balancer("fw3", &[("203.0.113.10:81", "10.57.0.12:80")], &["R"]);
            },
            &[
                "Load_Balancer fw2: vips [[\"203.0.113.10:443\",\"10.57.0.11:443\"]]",
                "Logical_Router R: load_balancer fw2",
            ],
        ),
    ];
    for (forward, facts) in cases {
        let mut network = wanting();
        forward(&mut network);
        assert_eq!(required(&network), with(facts));
    }
}

#[test]
fn allocated_address_is_required_in_dynamic_addresses() {
    let mut network = wanting();
    network.balancer("fw", &[("203.0.113.10:80", "10.57.0.11:80")], &["R"]);
    network.put(
        "Logical_Switch_Port",
        "p1",
        json!({"addresses": "dynamic", "dynamic_addresses": "02:00:00:00:00:11 10.57.0.11"}),
    );
    let facts = required(&network);
    assert!(
        facts.contains(
            &"Logical_Switch_Port p1: dynamic_addresses \"02:00:00:00:00:11 10.57.0.11\"".to_owned()
        ),
        "{facts:#?}"
    );
}

#[test]
fn conversion_requires_the_vips_it_removes() {
    let mut network = wanting();
    network.balancer("fw", &[(A, TARGET)], &["R"]);
    let conversion = |network: &NetworkBuilder| {
        let mut facts = required(network);
        facts.retain(|fact| !PORT.contains(&&**fact));
        facts
    };
    // A balancer that is detached has no other VIP.
    assert_eq!(
        conversion(&network),
        [
            "Load_Balancer fw: vips [[\"203.0.113.10\",\"10.57.0.11\"]]",
            "Load_Balancer fw: vips is [[\"203.0.113.10\",\"10.57.0.11\"]]",
            "Logical_Router R: load_balancer fw",
        ]
    );
    network.put("Load_Balancer", "fw", json!({"vips": map(&[(A, TARGET), ("203.0.113.11:80", TARGET)])}));
    assert_eq!(
        conversion(&network),
        ["Load_Balancer fw: vips [[\"203.0.113.10\",\"10.57.0.11\"]]", "Logical_Router R: load_balancer fw"]
    );
}

#[test]
fn conversion_without_its_override_requires_the_vip() {
    let mut network = wanting();
    network.balancer("fw", &[(A, TARGET), ("203.0.113.11:80", TARGET)], &["R"]);
    assert_eq!(
        required_by(&network, |key| matches!(key, ReconcileKey::Conversion(_))),
        ["Load_Balancer fw: vips [[\"203.0.113.10\",\"10.57.0.11\"]]"]
    );
}

#[test]
fn row_beside_a_conversion_requires_the_conversion_row() {
    let mut network = wanting();
    network.balancer("fw", &[(A, TARGET)], &[]);
    let store = network.store();
    let undo = format!("attach {}", store.load_balancers().next().unwrap().1.uuid);
    let name = network.row_of_role(Role::DefaultTarget, "", A, &[(UNDO, &undo)]);
    network.put("NAT", &name, json!({"type": "dnat", "external_ip": A, "logical_ip": TARGET}));
    assert_eq!(required(&network), with(&[&format!("Logical_Router R: nat {name}")]));
}

#[test]
fn every_family_requires_its_own_key() {
    let mut network = NetworkBuilder::new();
    network.wants("p1", "2001:db8::10");
    network.balancer("fw", &[("[2001:db8::10]:80", "[fd42:57::b]:80")], &["R"]);
    let facts = required(&network);
    let key = ovn_model::keys::port_key(Family::V6);
    assert!(
        facts.contains(&format!("Logical_Switch_Port p1: external_ids [[\"{key}\",\"2001:db8::10\"]]")),
        "{facts:#?}"
    );
}
