//! What ends a conversion, and what does not.

use super::*;

#[test]
fn vip_is_restored_however_its_use_ends() {
    let ends: [(&str, Edit); 4] = [
        ("its key is unset", |n| n.put("Logical_Switch_Port", "p1", json!({"external_ids": map(&[])}))),
        ("the port wants nothing", |n| n.wants("p1", "none")),
        ("it wants another address", |n| n.wants("p1", "203.0.113.99")),
        ("the port is gone", |n| n.delete("Logical_Switch_Port", "p1")),
    ];
    for (how, end) in ends {
        for (network, restored) in [(detached(), "attach fw"), (removed(), "restore-vip fw 203.0.113.10")] {
            let mut live = Live::new(network);
            live.edit(end);
            assert_eq!(live.conversions(), sorted(&[restored, DELETE]), "{how}");
        }
    }
}

#[test]
fn conversion_ends_where_it_does_harm() {
    for (what, spoil) in HARMFUL {
        let mut live = Live::new(detached());
        live.edit(spoil);
        assert_eq!(live.outcome("p1"), "rejected default-target", "{what}");
        assert_eq!(live.conversions(), ["attach fw", DELETE], "{what}");
    }
    let mut network = detached();
    network.rules.default_target = DefaultTargetRule::Reject;
    assert_eq!(network.conversions(), ["attach fw", DELETE], "the configuration forbids it");
}

#[test]
fn conversion_ends_with_the_last_port_that_has_its_address() {
    let mut network = detached();
    network.instance("p2", "02:00:00:00:00:12 10.57.0.12");
    network.wants("p2", A);
    let mut live = Live::new(network);
    assert_eq!(live.outcome("p2"), "granted 203.0.113.10 for 10.57.0.12 converted");
    live.edit(|network| network.wants("p1", "none"));
    assert_eq!(live.conversions(), [""; 0]);
    live.edit(|network| network.delete("Logical_Switch_Port", "p2"));
    assert_eq!(live.conversions(), ["attach fw", DELETE]);
}

#[test]
fn conversion_stays_while_a_row_has_its_address() {
    for (role, address) in [(Role::Egress, TARGET), (Role::Drain, A)] {
        let mut network = detached();
        network.wants("p1", "none");
        let name = network.row_of_role(role, "p1", address, &[]);
        network.put("NAT", &name, json!({"type": "snat", "external_ip": A, "logical_ip": "240.0.0.1"}));
        let mut live = Live::new(network);
        assert_eq!(live.conversions(), [""; 0], "{role:?}");
        live.edit(|network| network.delete("NAT", &name));
        assert_eq!(live.conversions(), ["attach fw", DELETE], "{role:?}");
    }
}
