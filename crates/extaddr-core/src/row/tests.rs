//! The columns of each kind of row, as the database gets them.

use ovsdb_protocol::Row;
use serde_json::{Value, json};

use super::*;
use crate::testing::{NetworkBuilder, map};

/// The router `R` and its gateway port.
fn place(store: &Store) -> (RouterId, RouterPortId) {
    let (router, row) = store.routers().find(|(_, row)| &*row.name == "R").unwrap();
    let is_gateway = |id: &RouterPortId| store.router_port(*id).is_some_and(|port| &*port.name == "R-ext");
    (router, row.ports.iter().copied().find(is_gateway).unwrap())
}

/// A row of this purpose with a port range at the only gateway port.
fn row(store: &Store, purpose: Purpose) -> OwnRow {
    let (router, gateway_port) = place(store);
    OwnRow {
        router,
        uuid: Uuid::nil(),
        purpose,
        external: "203.0.113.10".parse().unwrap(),
        logical: "10.57.0.11".parse().unwrap(),
        port_range: Some(PortRange { first: 1024, last: 65535 }),
        gateway_port: Some(gateway_port),
        external_ips: None,
    }
}

fn columns(network: &NetworkBuilder, purpose: Purpose) -> Value {
    let store = network.store();
    let row = row(&store, purpose);
    serde_json::to_value(Row::from(row.columns(&store, &network.rules.owner, 7))).unwrap()
}

#[test]
fn rows_of_every_role_have_their_columns_and_tags() {
    let network = NetworkBuilder::new();
    let store = network.store();
    let gateway_port = store.router_port(place(&store).1).unwrap().uuid;
    let expected = |kind: &str, tags: &[(&str, &str)]| {
        json!({
            "type": kind,
            "external_ip": "203.0.113.10",
            "logical_ip": "10.57.0.11",
            "external_port_range": "1024-65535",
            "gateway_port": ["uuid", gateway_port],
            "options": map(&[("stateless", "false")]),
            "external_ids": map(tags),
        })
    };
    let owner = ("ovn-extaddr:owner", "ovn-extaddr");
    assert_eq!(
        columns(&network, Purpose::Egress { port: "p1".into() }),
        expected("snat", &[owner, ("ovn-extaddr:port", "p1"), ("ovn-extaddr:role", "egress")])
    );
    let internal = "10.57.0.11".parse().unwrap();
    for (until, text) in [(None, "7"), (Some(9), "9")] {
        let tags = [
            ("ovn-extaddr:internal", "10.57.0.11"),
            owner,
            ("ovn-extaddr:port", "p1"),
            ("ovn-extaddr:role", "drain"),
            ("ovn-extaddr:until", text),
        ];
        let purpose = Purpose::Drain { port: "p1".into(), internal, until };
        assert_eq!(columns(&network, purpose), expected("snat", &tags));
    }
    let undo = format!("attach {}", Uuid::nil());
    let tags = [owner, ("ovn-extaddr:role", "default-target"), ("ovn-extaddr:undo", &undo)];
    let purpose = Purpose::DefaultTarget { undo: vec![Undo::Attach(Uuid::nil())] };
    assert_eq!(columns(&network, purpose), expected("dnat", &tags));
}

#[test]
fn old_server_gets_only_columns_that_it_has() {
    let mut network = NetworkBuilder::new();
    network.is_old = true;
    let columns = columns(&network, Purpose::Egress { port: "p1".into() });
    let names: Vec<_> = columns.as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(names, ["external_ids", "external_ip", "logical_ip", "options", "type"]);
}

#[test]
fn external_ips_are_written_only_if_decided() {
    let network = NetworkBuilder::new();
    let store = network.store();
    let set = Uuid::from_u128(5);
    let none = json!(["set", []]);
    let one = json!(["uuid", set]);
    for (external_ips, allowed, exempted) in [
        (None, None, None),
        (Some(None), Some(&none), Some(&none)),
        (Some(Some(ExternalIps::Allowed(set))), Some(&one), Some(&none)),
        (Some(Some(ExternalIps::Exempted(set))), Some(&none), Some(&one)),
    ] {
        let row = OwnRow { external_ips, ..row(&store, Purpose::Egress { port: "p1".into() }) };
        let columns = Row::from(row.columns(&store, &network.rules.owner, 7));
        let columns = serde_json::to_value(columns).unwrap();
        assert_eq!((columns.get("allowed_ext_ips"), columns.get("exempted_ext_ips")), (allowed, exempted));
    }
}

#[test]
fn update_keeps_keys_of_others() {
    let mut network = NetworkBuilder::new();
    network.own_row("p1", "203.0.113.10", "10.57.0.11", None);
    let store = network.store();
    let (_, there) = store.nats().find(|(_, nat)| network.rules.owner.owns(nat)).unwrap();
    let row = row(&store, Purpose::Egress { port: "p2".into() });
    let (columns, mutations) = row.update(&store, &network.rules.owner, 7, there);
    let columns = serde_json::to_value(Row::from(columns)).unwrap();
    let names: Vec<_> = columns.as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(names, ["external_ip", "external_port_range", "gateway_port", "logical_ip", "type"]);
    let mutations: Vec<_> = mutations.into_iter().map(ovsdb_protocol::Mutation::from).collect();
    assert_eq!(
        serde_json::to_value(mutations).unwrap(),
        json!([
            ["options", "delete", "stateless"],
            ["options", "insert", map(&[("stateless", "false")])],
            [
                "external_ids",
                "delete",
                ["set", ["ovn-extaddr:owner", "ovn-extaddr:port", "ovn-extaddr:role"]]
            ],
            [
                "external_ids",
                "insert",
                map(&[
                    ("ovn-extaddr:owner", "ovn-extaddr"),
                    ("ovn-extaddr:port", "p2"),
                    ("ovn-extaddr:role", "egress")
                ])
            ],
        ])
    );
}

#[test]
fn limited_or_disabled_row_is_rewritten() {
    let set = || crate::testing::reference("Address_Set", "peers");
    for (columns, is_written) in [
        (json!({}), true),
        // An operator may limit the peers.
        (json!({"allowed_ext_ips": set()}), true),
        (json!({"match": "ip4.dst == 198.51.100.0/24"}), false),
        (json!({"external_mac": "02:00"}), false),
        (json!({"allowed_ext_ips": set(), "exempted_ext_ips": set()}), false),
    ] {
        let mut network = NetworkBuilder::new();
        network.own_row("p1", "203.0.113.10", "10.57.0.11", None);
        let store = network.store();
        let (_, nat) = store.nats().find(|(_, nat)| !nat.tags.is_empty()).unwrap();
        network.put("NAT", &nat.uuid.to_string(), columns.clone());
        let store = network.store();
        let (_, nat) = store.nats().find(|(_, nat)| !nat.tags.is_empty()).unwrap();
        let wanted = OwnRow {
            port_range: None,
            gateway_port: None,
            ..row(&store, Purpose::Egress { port: "p1".into() })
        };
        assert_eq!(wanted.is_written_in(nat, &network.rules.owner), is_written, "{columns}");
        let (update, _) = wanted.update(&store, &network.rules.owner, 0, nat);
        let update = serde_json::to_value(Row::from(update)).unwrap();
        for (column, default) in [("match", json!("")), ("external_mac", json!(["set", []]))] {
            assert_eq!(update.get(column), Some(&default).filter(|_| !is_written), "{columns}");
        }
        let has_both = columns.as_object().unwrap().len() == 2;
        assert_eq!(update.get("allowed_ext_ips").is_some(), has_both, "{columns}");
    }
}
