//! When changes are sent, and when not.

use std::sync::Arc;

use ovsdb_protocol::Results;
use ovsdb_protocol::testing::transaction_id;
use serde_json::json;

use super::*;
use crate::difference::Action;
use crate::ownership::Role;
use crate::rules::PortRangeRule;
use crate::testing::{Live, NetworkBuilder, reference};
use crate::undo::UNDO;

const A: &str = "203.0.113.10";
const TARGET: &str = "10.57.0.11";

/// A network where `p1` wants an address that is forwarded to it.
fn wanting() -> NetworkBuilder {
    let mut network = NetworkBuilder::new();
    network.rules.port_range = PortRangeRule::Off;
    network.wants("p1", A);
    network.balancer("fw", &[("203.0.113.10:80", "10.57.0.11:80")], &["R"]);
    network
}

fn applier(network: &NetworkBuilder) -> Applier {
    Applier::new(network.rules.owner.lock())
}

/// Sends what is to be sent; returns its id.
fn send(live: &Live, applier: &mut Applier, number: u64) -> Option<TransactionId> {
    let (store, engine, now) = live.parts();
    let id = transaction_id(number);
    applier.next(store, engine, now)?.sent(id);
    Some(id)
}

fn end(
    live: &Live,
    applier: &mut Applier,
    id: TransactionId,
    outcome: Outcome,
) -> Option<TransactionOutcome> {
    let (store, engine, now) = live.parts();
    applier.completed(id, outcome, store, engine, now).map(|report| report.outcome)
}

fn committed() -> Outcome {
    Outcome::Committed(Results::default())
}

/// Somebody removes our row.
fn remove_row(network: &mut NetworkBuilder) {
    let name = network.row_of_role(Role::Egress, "p1", TARGET, &[]);
    network.delete("NAT", &name);
}

/// The same network with two addresses of `p1`, of which the second one has its row.
fn two_addresses() -> NetworkBuilder {
    let mut network = wanting();
    network.put("Logical_Switch_Port", "p1", json!({"addresses": "02:00:00:00:00:11 10.57.0.11 10.57.0.12"}));
    network.own_row("p1", A, "10.57.0.12", None);
    network
}

/// Takes the second address away from the port.
fn give_up(network: &mut NetworkBuilder) {
    network.put("Logical_Switch_Port", "p1", json!({"addresses": "02:00:00:00:00:11 10.57.0.11"}));
}

/// Returns the changes of the transaction that is to be sent.
fn next(live: &Live, applier: &mut Applier) -> Vec<&'static str> {
    let (store, engine, now) = live.parts();
    let pending = applier.next(store, engine, now).expect("something is to be sent");
    pending.subjects().values().flatten().map(|change| Action::from(change).name()).collect()
}

/// Has the row of `p1` removed and restored once more often than that is not contested. Returns the network and applier.
fn contested(network: NetworkBuilder) -> (Live, Applier) {
    let mut applier = applier(&network);
    let mut live = Live::new(network);
    for number in 0..=11 {
        live.pass(Duration::from_secs(2));
        let id = send(&live, &mut applier, number).expect("the row is missing");
        live.edit(|network| network.own_row("p1", A, TARGET, None));
        assert_eq!(end(&live, &mut applier, id, committed()), Some(TransactionOutcome::Committed));
        live.edit(remove_row);
    }
    (live, applier)
}

#[test]
fn at_most_one_transaction_is_pending() {
    let network = wanting();
    let mut applier = applier(&network);
    let mut live = Live::new(network);
    let id = send(&live, &mut applier, 1).unwrap();
    assert!(applier.is_busy() && applier.is_under_way(&Arc::from("p1")));
    assert_eq!(send(&live, &mut applier, 2), None);
    live.edit(|network| network.own_row("p1", A, TARGET, None));
    assert_eq!(end(&live, &mut applier, id, committed()), Some(TransactionOutcome::Committed));
    assert!(!applier.is_busy());
    assert_eq!(send(&live, &mut applier, 3), None, "nothing is left to change");
    assert_eq!(end(&live, &mut applier, id, committed()), None, "it is known");
}

#[test]
fn transaction_without_effect_is_retried_ever_less_often() {
    let network = wanting();
    let mut applier = applier(&network);
    let mut live = Live::new(network);
    let mut wait = Duration::from_millis(200);
    for number in 1..5 {
        let id = send(&live, &mut applier, number).unwrap();
        end(&live, &mut applier, id, committed());
        let obstacle = applier.obstacle(live.parts().1, &Arc::from("p1"));
        assert!(matches!(obstacle, Some(Obstacle::Refused(why)) if why.contains("no effect")));
        assert_eq!(send(&live, &mut applier, 10 + number), None);
        assert_eq!(applier.next_deadline(), Some(live.parts().2.instant + wait));
        live.pass(wait);
        wait *= 2;
    }
    // Other changes do not wait.
    live.edit(|network| network.wants("p1", "203.0.113.11"));
    live.edit(|network| network.balancer("fw2", &[("203.0.113.11:80", "10.57.0.11:80")], &["R"]));
    assert!(send(&live, &mut applier, 20).is_some());
}

/// Found by a reading: an agent that was no longer active reported the old error when the row was needed again.
#[test]
fn refusal_is_forgotten_when_another_agent_has_made_the_row() {
    let network = wanting();
    let mut applier = applier(&network);
    let mut live = Live::new(network);
    let id = send(&live, &mut applier, 1).unwrap();
    end(&live, &mut applier, id, committed());
    live.edit(|network| network.own_row("p1", A, TARGET, None));
    let (_, engine, now) = live.parts();
    applier.expire(engine, now.instant);
    live.edit(remove_row);
    assert_eq!(applier.obstacle(live.parts().1, &Arc::from("p1")), None);
}

#[test]
fn unknown_transaction_is_repeated_with_the_same_row_uuid() {
    let network = wanting();
    let mut applier = applier(&network);
    let live = Live::new(network);
    let id = send(&live, &mut applier, 1).unwrap();
    assert_eq!(end(&live, &mut applier, id, Outcome::Unknown), Some(TransactionOutcome::Unknown));
    assert!(send(&live, &mut applier, 2).is_some(), "the row has the same UUID, so it is inserted once");
}

#[test]
fn contention_expires_after_a_time_without_restoration() {
    let port = Arc::from("p1");
    let (mut live, mut applier) = contested(wanting());
    assert_eq!(applier.obstacle(live.parts().1, &port), Some(Obstacle::Contested));
    // The agent does not write any more: nothing is sent.
    applier.take_touched();
    let over = applier.next_expiry().unwrap();
    assert!(over > live.parts().2.instant);
    live.pass(over - live.parts().2.instant);
    applier.expire(live.parts().1, live.parts().2.instant);
    assert_eq!(applier.obstacle(live.parts().1, &port), None);
    assert!(applier.take_touched().contains(&port), "that is to be reported");
    assert_eq!(applier.next_expiry(), None);
}

#[test]
fn contested_row_does_not_delay_a_deletion() {
    let (mut live, mut applier) = contested(two_addresses());
    live.edit(give_up);
    assert_eq!(next(&live, &mut applier), ["delete"]);
}

#[test]
fn refused_row_does_not_delay_a_deletion() {
    let network = two_addresses();
    let mut applier = applier(&network);
    let mut live = Live::new(network);
    live.edit(give_up);
    // The deletion and the insertion have no effect: the whole waits, but not the deletion.
    let id = send(&live, &mut applier, 1).unwrap();
    end(&live, &mut applier, id, committed());
    assert_eq!(next(&live, &mut applier), ["delete"]);
}

/// With the row the record of the VIP is gone: the VIP is put back first, which is not the agent's own withdrawal.
#[test]
fn repeated_deletion_of_a_conversion_row_is_contested() {
    let mut network = wanting();
    network.balancer("fw", &[(A, TARGET)], &["R"]);
    network.own_row("p1", A, TARGET, None);
    let undo = format!("attach {}", network.store().load_balancers().next().unwrap().1.uuid);
    let row = |network: &mut NetworkBuilder| {
        let row = network.row_of_role(Role::DefaultTarget, "", A, &[(UNDO, &undo)]);
        network.put("NAT", &row, json!({"type": "dnat", "external_ip": A, "logical_ip": TARGET}));
        row
    };
    let mut applier = applier(&network);
    let mut live = Live::new(network);
    for number in 0..=11 {
        live.pass(Duration::from_secs(2));
        let id = send(&live, &mut applier, number).expect("the balancer is attached");
        live.edit(|network| {
            row(network);
            network.put("Logical_Router", "R", json!({"load_balancer": ["set", []]}));
        });
        end(&live, &mut applier, id, committed());
        live.edit(|network| {
            let row = row(network);
            network.delete("NAT", &row);
        });
        assert_eq!(next(&live, &mut applier), ["attach"]);
        let id = send(&live, &mut applier, 100 + number).unwrap();
        live.edit(|network| {
            network.put("Logical_Router", "R", json!({"load_balancer": reference("Load_Balancer", "fw")}));
        });
        end(&live, &mut applier, id, committed());
    }
    assert_eq!(applier.obstacle(live.parts().1, &Arc::from("p1")), Some(Obstacle::Contested));
}

/// A network whose conversion has its row, and somebody attached the balancer again.
fn attached_again() -> NetworkBuilder {
    let mut network = NetworkBuilder::new();
    network.wants("p1", A);
    network.balancer("fw", &[(A, TARGET)], &[]);
    network.own_row("p1", A, TARGET, None);
    let undo = format!("attach {}", network.store().load_balancers().next().unwrap().1.uuid);
    let name = network.row_of_role(Role::DefaultTarget, "", A, &[(UNDO, &undo)]);
    network.put("NAT", &name, json!({"type": "dnat", "external_ip": A, "logical_ip": TARGET}));
    attach(&mut network);
    network
}

fn attach(network: &mut NetworkBuilder) {
    network.put("Logical_Router", "R", json!({"load_balancer": reference("Load_Balancer", "fw")}));
}

/// The override beside the VIP is not deleted: the next attempt is the whole, too.
#[test]
fn unavailable_database_is_asked_again_after_a_pause() {
    let network = attached_again();
    let mut applier = applier(&network);
    let mut live = Live::new(network);
    let whole = next(&live, &mut applier);
    assert!(!whole.contains(&"delete"), "{whole:?}");
    for (number, wait) in
        [200, 400, 800, 1600, 3200, 5000, 5000].map(Duration::from_millis).into_iter().enumerate()
    {
        let id = send(&live, &mut applier, number as u64).expect("the pause is over");
        end(&live, &mut applier, id, Outcome::from_result(r#"[{"error":"I/O error"}]"#, 1).unwrap());
        assert_eq!(applier.take_touched().len(), 1);
        let obstacle = applier.obstacle(live.parts().1, &Arc::from("p1"));
        assert!(matches!(obstacle, Some(Obstacle::Refused(why)) if why.contains("I/O error")));
        assert_eq!(send(&live, &mut applier, 100), None);
        assert_eq!(applier.next_deadline(), Some(live.parts().2.instant + wait));
        live.pass(wait);
        assert_eq!(next(&live, &mut applier), whole);
    }
    // Whoever has the lock now does it: the error is not shown.
    let id = send(&live, &mut applier, 200).unwrap();
    end(&live, &mut applier, id, Outcome::from_result(r#"[{"error":"not owner"}]"#, 1).unwrap());
    assert_eq!((send(&live, &mut applier, 201), applier.take_touched().len()), (None, 1));
    assert_eq!(applier.obstacle(live.parts().1, &Arc::from("p1")), None);
    // Nothing is sent, and the pause is forgotten.
    let expiry = applier.next_expiry().expect("it is kept for a while");
    live.pass(expiry.duration_since(live.parts().2.instant));
    let (_, engine, now) = live.parts();
    applier.expire(engine, now.instant);
    assert_eq!((applier.next_expiry(), applier.obstacle(engine, &Arc::from("p1"))), (None, None));
    assert_eq!(applier.take_touched().len(), 1);
}

#[test]
fn contested_conversion_deletes_its_override() {
    let network = attached_again();
    let mut applier = applier(&network);
    let mut live = Live::new(network);
    for number in 0..=11 {
        live.pass(Duration::from_secs(2));
        live.edit(attach);
        let id = send(&live, &mut applier, number).expect("the balancer is attached");
        live.edit(|network| network.put("Logical_Router", "R", json!({"load_balancer": ["set", []]})));
        end(&live, &mut applier, id, committed());
    }
    live.edit(attach);
    assert_eq!(next(&live, &mut applier), ["delete"], "the override: beside the VIP, replies would break");
}
