//! When connections with a former address keep their way back, and for how long.

use std::time::Duration;

use serde_json::json;

use super::*;
use crate::engine::ReconcileKey;
use crate::report;
use crate::rules::PortRangeRule;
use crate::testing::{Edit, NetworkBuilder};

/// The time of the engine in `NetworkBuilder::plan`.
const NOW: u64 = 1_800_000_000;
const A: &str = "203.0.113.10";
const TARGET: &str = "10.57.0.11";
const DELETE: &str = "delete drain 203.0.113.10";

/// A network that forwards `A` to `p1`, which wants another address or none; connections drain for 300 seconds.
fn network(wanted: &str) -> NetworkBuilder {
    let mut network = NetworkBuilder::new();
    network.rules.drain = Duration::from_secs(300);
    network.wants("p1", wanted);
    network.balancer("fw", &[("203.0.113.10:80", "10.57.0.11:80")], &["R"]);
    network
}

/// The same network with a drain row that has 100 seconds left.
fn draining(wanted: &str) -> NetworkBuilder {
    let mut network = network(wanted);
    network.drain_row("p1", A, TARGET, NOW + 100);
    network
}

#[test]
fn ended_override_leaves_a_drain_row() {
    let mut network = network("none");
    network.own_row("p1", A, TARGET, None);
    let delete = "delete snat 203.0.113.10 for 10.57.0.11";
    assert_eq!(network.plan("p1"), [delete, "insert drain 203.0.113.10"]);
    let (store, engine) = network.decided();
    let changes = engine.changes(&store, &ReconcileKey::Port(Arc::from("p1")));
    assert!(changes.iter().filter_map(RowChange::row).all(OwnRow::is_drain));
    // Not where nothing drains, or the port does not have the address any more.
    let mut off = network.clone();
    off.rules.drain = Duration::ZERO;
    assert_eq!(off.plan("p1"), [delete]);
    network.instance("p1", "02:00:00:00:00:11 10.57.0.19");
    assert_eq!(network.plan("p1"), [delete]);
}

#[test]
fn drain_row_is_deleted_when_its_time_is_over() {
    for (left, planned) in [(1, &[][..]), (300, &[]), (0, &[DELETE]), (301, &["update drain 203.0.113.10"])] {
        let mut network = network("none");
        network.drain_row("p1", A, TARGET, NOW + left);
        assert_eq!(network.plan("p1"), planned, "{left} s are left");
    }
    let mut past = network("none");
    past.drain_row("p1", A, TARGET, NOW - 1);
    assert_eq!(past.plan("p1"), [DELETE]);
}

#[test]
fn useless_drain_row_is_deleted() {
    assert_eq!(draining("none").plan("p1"), Vec::<String>::new());
    let cases: [(&str, Edit); 4] = [
        ("nothing drains any more", |n| n.rules.drain = Duration::ZERO),
        ("the port has another address", |n| n.instance("p1", "02:00:00:00:00:11 10.57.0.19")),
        ("the port is gone", |n| n.delete("Logical_Switch_Port", "p1")),
        ("its tags say nothing", |n| {
            n.drain_row("p1", A, "web", NOW + 100);
        }),
    ];
    for (what, change) in cases {
        let mut network = draining("none");
        change(&mut network);
        assert_eq!(network.plan("p1"), [DELETE], "{what}");
    }
    // An override with the address translates replies itself.
    let mut network = draining(A);
    network.own_row("p1", A, TARGET, None);
    assert!(network.plan("p1").iter().any(|change| change == DELETE), "{:?}", network.plan("p1"));
    // So does one that is still to be written.
    assert!(draining(A).plan("p1").iter().any(|change| change == DELETE));
    // The row of another address does not.
    let mut network = draining("203.0.113.11");
    network.balancer("fw2", &[("203.0.113.11:80", "10.57.0.11:80")], &["R"]);
    assert!(!network.plan("p1").iter().any(|change| change == DELETE));
}

#[test]
fn changed_drain_row_is_rewritten() {
    let mut network = network("none");
    let name = network.drain_row("p1", A, TARGET, NOW + 100);
    network.put("NAT", &name, json!({"external_port_range": "1-2"}));
    assert_eq!(network.plan("p1"), ["update drain 203.0.113.10"]);
    // One that begins again gets a new time.
    let mut network = draining("none");
    network.own_row("p1", A, TARGET, None);
    assert_eq!(network.plan("p1"), ["delete snat 203.0.113.10 for 10.57.0.11", "update drain 203.0.113.10"]);
}

#[test]
fn next_drain_deadline_respects_a_shortened_drain_time() {
    let network = draining("none");
    let store = network.store();
    let rows: Vec<_> = store
        .nats()
        .filter_map(|(id, nat)| {
            let role = network.rules.owner.role(nat);
            role.map(|role| Owned { id, router: nat.router.unwrap(), nat, role: Some(role) })
        })
        .collect();
    let next = |drain: u64, wall: u64| {
        let mut rules = network.rules.clone();
        rules.drain = Duration::from_secs(drain);
        next_time(&rules, &rows, wall)
    };
    assert_eq!(next(300, NOW), Some(NOW + 100));
    assert_eq!(next(40, NOW), Some(NOW + 60));
    assert_eq!(next(40, NOW + 60), Some(NOW + 100));
    assert_eq!(next(40, NOW + 100), None);
    assert_eq!(next_time(&network.rules, &[], NOW), None);
}

#[test]
fn internal_address_of_a_drain_row_is_unusable() {
    for n in 0..1000 {
        let uuid = Uuid::new_v5(&Uuid::NAMESPACE_OID, &[n as u8, (n >> 8) as u8]);
        let IpAddr::V4(v4) = unused(uuid, Family::V4) else { panic!() };
        assert!(v4.octets()[0] >= 240 && !v4.is_broadcast());
        let IpAddr::V6(v6) = unused(uuid, Family::V6) else { panic!() };
        assert_eq!(v6.segments()[..4], [0x100, 0, 0, 0]);
    }
}

#[test]
fn withdrawn_intent_is_reported_as_draining() {
    let (store, engine) = draining("none").decided();
    let port = Arc::from("p1");
    assert_eq!(report::entries(&store, &engine, &port, None)[0].state.name(), "draining");
    assert_eq!(report::statuses(&store, &engine, &port, None)[0].state.name(), "draining");
}

#[test]
fn override_that_keeps_its_address_leaves_no_drain_row() {
    // Its source ports change.
    let mut network = network(A);
    network.own_row("p1", A, TARGET, None);
    assert_eq!(network.plan("p1"), ["update snat 203.0.113.10 for 10.57.0.11 ports 1024-65535"]);
    // One of two internal addresses does not need its row any more.
    network.rules.port_range = PortRangeRule::Off;
    network.instance("p1", "02:00:00:00:00:11 10.57.0.11 10.57.0.12");
    network.own_row("p1", A, "10.57.0.12", None);
    network.nat("theirs", "R", "snat", A, "10.57.0.12");
    assert_eq!(network.plan("p1"), ["delete snat 203.0.113.10 for 10.57.0.12"]);
}

#[test]
fn addresses_of_a_port_drain_independently() {
    let mut network = network("none");
    network.balancer("before", &[("203.0.113.12:80", "10.57.0.11:80")], &["R"]);
    network.drain_row("p1", "203.0.113.12", TARGET, NOW + 100);
    network.own_row("p1", A, TARGET, None);
    assert_eq!(network.plan("p1"), ["delete snat 203.0.113.10 for 10.57.0.11", "insert drain 203.0.113.10"]);
}

#[test]
fn families_and_ports_drain_independently() {
    let mut network = network("none");
    network.balancer("fw6", &[("[2001:db8::10]:80", "[fd42:57::b]:80")], &["R"]);
    network.instance("p2", "02:00:00:00:00:12 10.57.0.12");
    network.own_row("p1", A, TARGET, None);
    network.own_row("p1", "2001:db8::10", "fd42:57::b", None);
    network.own_row("p2", A, "10.57.0.12", None);
    let changes = [
        "delete snat 2001:db8::10 for fd42:57::b",
        "delete snat 203.0.113.10 for 10.57.0.11",
        "insert drain 2001:db8::10",
        "insert drain 203.0.113.10",
    ];
    assert_eq!(network.plan("p1"), changes);
    assert_eq!(network.plan("p2"), ["delete snat 203.0.113.10 for 10.57.0.12", "insert drain 203.0.113.10"]);
}
