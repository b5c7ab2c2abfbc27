//! Cases that the random updates do not reach, or not clearly.

use std::sync::Arc;

use ovsdb_protocol::{ApplyError, Batch, Replica, Uuid};

use super::super::Store;
use crate::testing::{Update, feed};
use crate::{Change, Changes, Family, NatKind, Node, keys, naming};

const SWITCH: &str = "Logical_Switch";
const PORT: &str = "Logical_Switch_Port";
const ROUTER: &str = "Logical_Router";
const BALANCER: &str = "Load_Balancer";

fn uuid(n: u128) -> String {
    format!("[\"uuid\",\"{}\"]", Uuid::from_u128(n))
}

fn row_update(table: &'static str, row: u128, what: &'static str, columns: &str) -> Update {
    Update::new(table, Uuid::from_u128(row), what, columns)
}

fn set(elements: impl IntoIterator<Item = String>) -> String {
    format!("[\"set\",[{}]]", elements.into_iter().collect::<Vec<_>>().join(","))
}

fn filled(updates: &[Update]) -> Store {
    let mut store = Store::new();
    feed(&mut store, Batch::Snapshot, updates);
    assert_eq!(store.take_changes(), Changes { everything: true, list: vec![] });
    store
}

fn after(store: &mut Store, updates: &[Update]) -> Vec<Change> {
    feed(store, Batch::Delta, updates);
    let changes = store.take_changes();
    assert!(!changes.everything);
    changes.list
}

fn refused(store: &mut Store, update: &Update) -> ApplyError {
    store.begin(Batch::Delta);
    update.apply(store).unwrap_err()
}

#[test]
fn update_that_contradicts_the_store_is_refused() {
    let mut store = filled(&[row_update(PORT, 1, "insert", r#"{"name":"p"}"#)]);
    for update in [
        row_update(PORT, 1, "insert", r#"{"name":"p"}"#),
        row_update(PORT, 2, "modify", r#"{"name":"p"}"#),
        row_update(PORT, 2, "replace", r#"{"name":"p"}"#),
        row_update(PORT, 2, "delete", ""),
        row_update(PORT, 1, "modify", r#"{"name":"p""#),
        row_update(ROUTER, 2, "modify", "{}"),
    ] {
        refused(&mut store, &update);
    }
    // A referenced placeholder is not a row.
    after(&mut store, &[row_update(SWITCH, 3, "insert", &format!(r#"{{"ports":{}}}"#, uuid(9)))]);
    refused(&mut store, &row_update(PORT, 9, "delete", ""));
    assert_eq!(store.ports().count(), 1);
    // Tables that are not declared are ignored.
    assert_eq!(after(&mut store, &[row_update("Connection", 7, "modify", r#"{"target":"ptcp:"}"#)]), []);
}

/// The difference of a set that cannot be read leaves the set unknown, and the rest of the database unchanged.
#[test]
fn unreadable_difference_is_a_problem_of_its_column() {
    let mut store =
        filled(&[row_update(PORT, 1, "insert", r#"{"name":"p","addresses":"0a:00:00:00:00:01 10.0.0.2"}"#)]);
    let bad = row_update(PORT, 1, "modify", r#"{"name":"q","addresses":["set",["router",5]]}"#);
    after(&mut store, &[bad]);
    let addresses = |store: &Store| {
        store.ports().flat_map(|(_, port)| port.internal_addresses(Family::V4).to_vec()).count()
    };
    let columns = |store: &Store| store.problems().map(|p| p.column.to_string()).collect::<Vec<_>>();
    assert_eq!((addresses(&store), columns(&store)), (0, vec!["addresses".to_owned()]));
    let next = r#"{"addresses":"0a:00:00:00:00:01 10.0.0.3"}"#;
    after(&mut store, &[row_update(PORT, 1, "modify", next)]);
    assert_eq!((addresses(&store), columns(&store)), (0, vec!["addresses".to_owned()]));
    feed(&mut store, Batch::Snapshot, &[row_update(PORT, 1, "insert", next)]);
    assert_eq!((addresses(&store), columns(&store)), (1, vec![]));
}

#[test]
fn row_with_bad_values_stays_usable_and_can_be_deleted() {
    let bad = r#"{"type":"what","external_ip":"x","logical_ip":["map",[]],"match":5,
        "external_ids":["map",[["ovn-extaddr:port","p"],["other","o"]]]}"#;
    let mut store = filled(&[row_update("NAT", 1, "insert", bad)]);
    let id = store.nats_tagged("p")[0];
    let nat = store.nat(id).unwrap();
    assert_eq!((nat.kind, nat.external_ip(), nat.logical_ip(), nat.matches()), (None, None, None, ""));
    assert_eq!(nat.external_ip_text(), "x");
    let columns =
        |store: &Store| store.problems().map(|p| (p.column.to_string(), p.message)).collect::<Vec<_>>();
    assert_eq!(columns(&store).len(), 4);
    assert_eq!(columns(&store)[1], ("external_ip".to_owned(), "not an address: \"x\"".to_owned()));

    let fix = r#"{"type":"snat","external_ip":"192.0.2.1","logical_ip":"10.0.0.2/32"}"#;
    assert_eq!(after(&mut store, &[row_update("NAT", 1, "modify", fix)]), [Change::Tagged("p".into())]);
    let nat = store.nat(id).unwrap();
    assert_eq!((nat.kind, &*nat.logical_ip_text()), (Some(NatKind::Snat), "10.0.0.2/32"));
    assert_eq!(nat.logical_host(), Some("10.0.0.2".parse().unwrap()));
    assert_eq!(columns(&store).len(), 1);

    assert_eq!(after(&mut store, &[row_update("NAT", 1, "delete", "")]), [Change::Tagged("p".into())]);
    assert_eq!((columns(&store).len(), store.nat(id).is_none()), (0, true));
}

#[test]
fn own_row_is_recognised_before_and_after_its_router_arrives() {
    let address = "10.0.0.2".parse().unwrap();
    let ours = naming::row_uuid("o", "egress", Uuid::from_u128(2), address, "p").as_u128();
    let tags = r#"[["ovn-extaddr:owner","o"],["ovn-extaddr:port","p"],["ovn-extaddr:role","egress"]]"#;
    let row = format!(r#"{{"type":"snat","logical_ip":"10.0.0.2","external_ids":["map",{tags}]}}"#);
    let claim = format!(r#"{{"nat":{}}}"#, set([uuid(ours), uuid(7)]));
    let mut updates = [
        row_update("NAT", ours, "insert", &row),
        row_update("NAT", 7, "insert", &row),
        row_update(ROUTER, 2, "insert", &claim),
    ];
    for _ in 0..2 {
        let mut store = filled(&updates);
        let named = |store: &Store| {
            let named: Vec<_> =
                store.nats().filter(|(_, nat)| nat.is_named()).map(|(_, nat)| nat.uuid.as_u128()).collect();
            named == [ours]
        };
        assert!(named(&store));
        // All parts of the name may change, and change back.
        let tag = |key, value| format!(r#"{{"external_ids":["map",[["ovn-extaddr:{key}","{value}"]]]}}"#);
        let logical = |address| format!(r#"{{"logical_ip":"{address}"}}"#);
        for (change, back) in [
            (tag("owner", "n"), tag("owner", "o")),
            (tag("port", "q"), tag("port", "p")),
            (tag("role", "drain"), tag("role", "egress")),
            (logical("10.0.0.3"), logical("10.0.0.2")),
        ] {
            for (update, is_named) in [(change, false), (back, true)] {
                after(&mut store, &[row_update("NAT", ours, "modify", &update)]);
                assert_eq!(named(&store), is_named, "{update}");
            }
        }
        // On another router the name is different.
        let nat = format!(r#"{{"nat":{}}}"#, uuid(ours));
        after(&mut store, &[row_update(ROUTER, 2, "modify", &nat), row_update(ROUTER, 3, "insert", &nat)]);
        assert!(!named(&store));
        updates.reverse();
    }
}

#[test]
fn changed_vip_is_the_only_reported_change_of_its_balancer() {
    let vips = |n: u8| format!(r#"["192.0.2.{n}:80","10.0.0.{n}:80"]"#);
    let all = format!(r#"{{"vips":["map",[{}]]}}"#, (0..200).map(vips).collect::<Vec<_>>().join(","));
    let router = format!(r#"{{"load_balancer":{}}}"#, uuid(1));
    let mut store =
        filled(&[row_update(BALANCER, 1, "insert", &all), row_update(ROUTER, 2, "insert", &router)]);
    let (router, _) = store.routers().next().unwrap();
    let at = |address: &str| Change::Address { router, address: address.parse().unwrap() };
    let balancer = store.load_balancers().next().unwrap().1.uuid;

    let change = r#"{"vips":["map",[["192.0.2.7:80","10.0.0.8:80"]]]}"#;
    let changes = after(&mut store, &[row_update(BALANCER, 1, "modify", change)]);
    assert_eq!(changes, [at("10.0.0.7"), at("10.0.0.8"), at("192.0.2.7"), Change::Balancer(balancer)]);
    assert_eq!(store.balancers_with_backend("10.0.0.7".parse().unwrap()).count(), 0);
    assert_eq!(store.balancers_with_backend("10.0.0.8".parse().unwrap()).count(), 1);

    // Its removal removes two backends, one of which still exists elsewhere.
    let changes = after(&mut store, &[row_update(BALANCER, 1, "modify", change)]);
    assert_eq!(changes, [at("10.0.0.8"), at("192.0.2.7"), Change::Balancer(balancer)]);
    assert_eq!(store.balancers_with_vip("192.0.2.7".parse().unwrap()).count(), 0);
    assert_eq!(store.balancers_with_backend("10.0.0.8".parse().unwrap()).count(), 1);
}

#[test]
fn rename_of_a_port_reports_both_names() {
    let mut store = filled(&[row_update(PORT, 1, "insert", r#"{"name":"old"}"#)]);
    let changes = after(&mut store, &[row_update(PORT, 1, "modify", r#"{"name":"new"}"#)]);
    assert_eq!(changes, ["new", "old"].map(|name| Change::Port(name.into())));
    assert_eq!((store.port_by_name("old"), store.port_by_name("new").is_some()), (None, true));
    // Keys of others do not matter.
    let other = r#"{"external_ids":["map",[["incus_location","a"]]],"options":["map",[["x","y"]]]}"#;
    assert_eq!(after(&mut store, &[row_update(PORT, 1, "modify", other)]), []);
}

#[test]
fn changed_router_port_reports_all_nodes_that_it_joins() {
    let link = r#"{"name":"p","type":"router","options":["map",[["router-port","l"]]]}"#;
    let mut store = filled(&[
        row_update(SWITCH, 1, "insert", &format!(r#"{{"ports":{}}}"#, uuid(2))),
        row_update(PORT, 2, "insert", link),
        row_update("Logical_Router_Port", 3, "insert", r#"{"name":"l","networks":"10.0.0.1/24"}"#),
        row_update(ROUTER, 4, "insert", &format!(r#"{{"ports":{}}}"#, uuid(3))),
        row_update("Logical_Router_Port", 5, "insert", r#"{"name":"m","peer":"l","networks":"10.0.0.2/24"}"#),
        row_update(ROUTER, 6, "insert", &format!(r#"{{"name":"peer","ports":{}}}"#, uuid(5))),
    ]);
    let nodes = |store: &Store| -> Vec<_> {
        let switches = store.switches().map(|(id, _)| Change::Topology(Node::Switch(id)));
        switches.chain(store.routers().map(|(id, _)| Change::Topology(Node::Router(id)))).collect()
    };
    let all = nodes(&store);
    assert_eq!(all.len(), 3);
    let gateway = format!(r#"{{"ha_chassis_group":{}}}"#, uuid(99));
    assert_eq!(after(&mut store, &[row_update("Logical_Router_Port", 3, "modify", &gateway)]), all);
    let port = store.router_port_by_name("l").and_then(|id| store.router_port(id)).unwrap();
    assert!(port.is_gateway() && port.networks.iter().eq(&["10.0.0.1/24".parse().unwrap()]));
}

#[test]
fn handle_is_not_reused_before_its_deletion_is_reported() {
    let mut store = filled(&[row_update(ROUTER, 1, "insert", "{}")]);
    let (old, _) = store.routers().next().unwrap();
    let replaced = [row_update(ROUTER, 1, "delete", ""), row_update(ROUTER, 2, "insert", "{}")];
    let changes = after(&mut store, &replaced);
    let (new, _) = store.routers().next().unwrap();
    assert_ne!(old, new);
    assert_eq!(changes, [old, new].map(|id| Change::Topology(Node::Router(id))));
    assert_eq!(store.router(old).map(|router| router.uuid), None);

    after(&mut store, &[row_update(ROUTER, 3, "insert", "{}")]);
    assert!(store.router(old).is_some(), "it is used again");
}

#[test]
fn store_holds_large_tables_and_sets() {
    let name = |n: u128| {
        let columns =
            format!(r#"{{"name":"p{n}","addresses":"0a:00:00:00:00:01 10.0.{}.{}"}}"#, n / 256, n % 256);
        row_update(PORT, 1000 + n, "insert", &columns)
    };
    let ports = format!(r#"{{"ports":{}}}"#, set((0..3000).map(|n| uuid(1000 + n))));
    let mut updates = vec![row_update(SWITCH, 1, "insert", &ports)];
    updates.extend((0..3000).map(name));
    let mut store = filled(&updates);
    assert_eq!(store.ports().count(), 3000);
    for n in [0, 511, 512, 2999u128] {
        let id = store.port_by_name(&format!("p{n}")).unwrap();
        let port = store.port(id).unwrap();
        assert_eq!(port.uuid.as_u128(), 1000 + n);
        assert!(port.switch.is_some());
        let address = std::net::IpAddr::from([10, 0, (n / 256) as u8, (n % 256) as u8]);
        assert_eq!(*port.internal_addresses(Family::V4), [address]);
    }
    // More changes than are listed.
    feed(&mut store, Batch::Delta, &[row_update(SWITCH, 1, "modify", &ports)]);
    assert_eq!(store.take_changes().list.len(), 3000);
    updates.truncate(1);
    feed(&mut store, Batch::Snapshot, &updates);
    assert!(store.take_changes().everything);
    assert_eq!(store.ports().count(), 0);
}

#[test]
fn port_name_shares_its_memory_with_tags() {
    let tags = format!(r#"{{"external_ids":["map",[["{}","p"]]]}}"#, keys::PORT);
    let store =
        filled(&[row_update(PORT, 1, "insert", r#"{"name":"p"}"#), row_update("NAT", 2, "insert", &tags)]);
    let port = store.port(store.port_by_name("p").unwrap()).unwrap();
    assert!(Arc::ptr_eq(&port.name, &store.tagged_names().next().unwrap()));
}

#[test]
fn rows_keep_their_size_limits() {
    // The databases for measurements have 100,000 of the first.
    assert_eq!(size_of::<crate::Port>(), 80);
    // A column that few rows use is Rare, or in a group. If a row has to become larger, docs/performance.md says the price.
    assert!(size_of::<crate::Nat>() <= 136, "{}", size_of::<crate::Nat>());
    assert!(size_of::<crate::Vip>() <= 48, "{}", size_of::<crate::Vip>());
    assert!(size_of::<crate::LoadBalancer>() <= 112, "{}", size_of::<crate::LoadBalancer>());
}
