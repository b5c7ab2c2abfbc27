//! How long rows stay whose forward is gone.

use std::time::Duration;

use serde_json::json;

use crate::rules::PortRangeRule;
use crate::testing::{Edit, Live, NetworkBuilder, reference};

const A: &str = "203.0.113.10";
const TARGET: &str = "10.57.0.11";
const DELETE: &str = "delete snat 203.0.113.10 for 10.57.0.11";
const SETTLED: [&str; 0] = [];
/// The default of `hold-down`.
const HOLD_DOWN: Duration = Duration::from_secs(2);
const ALMOST: Duration = Duration::from_millis(1_999);

/// A network that forwards `A` to `p1`, which wants an address or none.
fn forwarded(wanted: &str) -> NetworkBuilder {
    let mut network = NetworkBuilder::new();
    network.rules.port_range = PortRangeRule::Off;
    network.wants("p1", wanted);
    forward(&mut network);
    network
}

/// The same, with the row of its override.
fn overridden() -> NetworkBuilder {
    let mut network = forwarded(A);
    network.own_row("p1", A, TARGET, None);
    network
}

fn forward(network: &mut NetworkBuilder) {
    network.put("Logical_Router", "R", json!({"load_balancer": ["set", []]}));
    network.balancer("fw", &[("203.0.113.10:80", "10.57.0.11:80")], &["R"]);
}

fn unforward(network: &mut NetworkBuilder) {
    network.delete("Load_Balancer", "fw");
}

/// Another network forwards the address.
fn forward_elsewhere(network: &mut NetworkBuilder) {
    network.router("R2");
    network.balancer("fw2", &[("203.0.113.10:80", "10.58.0.11:80")], &["R2"]);
}

#[test]
fn row_is_held_for_the_hold_down_after_its_forward() {
    let mut live = Live::new(overridden());
    assert_eq!(live.plan("p1"), SETTLED);
    live.edit(unforward);
    assert_eq!(live.outcome("p1"), "rejected not-a-forward");
    assert_eq!(live.plan("p1"), SETTLED);
    live.pass(ALMOST);
    assert_eq!(live.plan("p1"), SETTLED);
    live.pass(HOLD_DOWN - ALMOST);
    assert_eq!(live.plan("p1"), [DELETE]);
}

#[test]
fn forward_that_returns_restarts_the_hold_down() {
    let mut live = Live::new(overridden());
    live.edit(unforward);
    live.pass(ALMOST);
    live.edit(forward);
    assert_eq!(live.outcome("p1"), "granted 203.0.113.10 for 10.57.0.11");
    live.pass(HOLD_DOWN);
    live.edit(unforward);
    live.pass(ALMOST);
    assert_eq!(live.plan("p1"), SETTLED);
    live.pass(HOLD_DOWN - ALMOST);
    assert_eq!(live.plan("p1"), [DELETE]);
}

#[test]
fn other_changes_delete_a_held_row_at_once() {
    let cases: [(&str, Edit); 7] = [
        ("another network has the address", forward_elsewhere),
        ("the port wants nothing", |n| n.wants("p1", "none")),
        ("its key is unset", |n| n.put("Logical_Switch_Port", "p1", json!({"external_ids": ["map", []]}))),
        ("it wants another address", |n| n.wants("p1", "203.0.113.11")),
        ("the port has another address", |n| n.instance("p1", "02:00:00:00:00:11 10.57.0.19")),
        ("the port is gone", |n| n.delete("Logical_Switch_Port", "p1")),
        ("the router is not the port's any more", |n| n.delete("Logical_Switch_Port", "S-R-S")),
    ];
    for (what, edit) in cases {
        let mut live = Live::new(overridden());
        live.edit(|network| {
            unforward(network);
            edit(network);
        });
        assert_eq!(live.plan("p1"), [DELETE], "{what}");
        let mut live = Live::new(overridden());
        live.edit(unforward);
        live.pass(ALMOST);
        live.edit(edit);
        assert_eq!(live.plan("p1"), [DELETE], "{what}, while the row is held");
    }
}

#[test]
fn row_is_not_held_while_another_network_has_the_address() {
    let mut live = Live::new(overridden());
    live.edit(unforward);
    live.pass(ALMOST);
    live.edit(forward_elsewhere);
    assert_eq!(live.plan("p1"), [DELETE]);
    // The time begins again, as the row was on its way out.
    live.edit(|network| network.delete("Load_Balancer", "fw2"));
    assert_eq!(live.plan("p1"), SETTLED);
    live.pass(HOLD_DOWN);
    assert_eq!(live.plan("p1"), [DELETE]);
}

#[test]
fn row_of_an_auto_intent_is_held_too() {
    let mut network = overridden();
    network.wants("p1", "auto");
    let mut live = Live::new(network);
    live.edit(unforward);
    assert_eq!(live.outcome("p1"), "rejected no-forward-for-auto");
    assert_eq!(live.plan("p1"), SETTLED);
    live.pass(HOLD_DOWN);
    assert_eq!(live.plan("p1"), [DELETE]);
}

#[test]
fn held_row_of_a_port_without_its_own_intent_is_not_reported() {
    let mut network = overridden();
    network.rules.auto = true;
    network.put("Logical_Switch_Port", "p1", json!({"external_ids": ["map", []]}));
    let mut live = Live::new(network);
    assert_eq!(live.outcome("p1"), "granted 203.0.113.10 for 10.57.0.11");
    live.edit(unforward);
    assert_eq!(live.outcome("p1"), "");
    assert_eq!(live.plan("p1"), SETTLED);
    live.pass(HOLD_DOWN);
    assert_eq!(live.plan("p1"), [DELETE]);
    // Nor where it has no router, or no address yet. That several forwards lead to it is worth a report.
    live.edit(|network| network.delete("Logical_Switch_Port", "S-R-S"));
    assert_eq!(live.outcome("p1"), "");
    live.edit(|network| {
        network.join("S", "R-S");
        network.instance("p1", "unknown");
    });
    assert_eq!(live.outcome("p1"), "");
    live.edit(|network| {
        network.instance("p1", "02:00:00:00:00:11 10.57.0.11");
        let vips = [("203.0.113.10:80", "10.57.0.11:80"), ("203.0.113.11:80", "10.57.0.11:80")];
        network.balancer("fw", &vips, &[]);
        network.put("Logical_Router", "R", json!({"load_balancer": reference("Load_Balancer", "fw")}));
    });
    assert_eq!(live.outcome("p1"), "rejected ambiguous-auto");
}

/// A network where connections of `p1` with the address finish.
fn draining() -> NetworkBuilder {
    let mut network = forwarded("none");
    network.drain_row("p1", A, TARGET, 1_800_000_100);
    network
}

#[test]
fn drain_row_is_held_for_the_hold_down_after_its_forward() {
    const DELETE: &str = "delete drain 203.0.113.10";
    let mut live = Live::new(draining());
    assert_eq!(live.plan("p1"), SETTLED);
    live.edit(unforward);
    live.pass(ALMOST);
    assert_eq!(live.plan("p1"), SETTLED);
    live.pass(HOLD_DOWN - ALMOST);
    assert_eq!(live.plan("p1"), [DELETE]);
    // Not where another network has the address.
    let mut live = Live::new(draining());
    live.edit(|network| {
        unforward(network);
        forward_elsewhere(network);
    });
    assert_eq!(live.plan("p1"), [DELETE]);
}
