//! Intents of CMSes, and the decisions on them.

use std::sync::Arc;
use std::time::Instant;

use ovn_model::{Family, Store};
use serde_json::json;

use super::*;
use crate::apply::Obstacle;
use crate::explain::Check;
use crate::report::{self, Entry};
use crate::sources::Kind;
use crate::sources::instance::{Instance, InstanceJson};
use crate::sources::nic::InstanceName;
use crate::testing::{NetworkBuilder, map};
use crate::topology::reach;

const UUID: &str = "00000000-0000-4000-8000-00000000000a";
const PORT: &str = "incus-net2-instance-00000000-0000-4000-8000-00000000000a-eth0";

/// A network with the port of an instance, and two forwards to it.
fn network() -> NetworkBuilder {
    let mut network = NetworkBuilder::new();
    network.instance(PORT, "02:00:00:00:00:12 10.57.0.12");
    let vips = [("203.0.113.10:80", "10.57.0.12:80"), ("203.0.113.11:80", "10.57.0.12:80")];
    network.balancer("fw", &vips, &["R"]);
    network
}

/// The instance, with an intent for `eth0`.
fn web1(address: &str) -> Instance {
    let json = json!({
        "name": "web1", "config": {"volatile.uuid": UUID},
        "expanded_config": {"user.eth0.ipv4.address.external": address},
        "expanded_devices": {"eth0": {"type": "nic"}, "eth1": {"type": "nic", "user.ipv4.address.external": "auto"}},
    });
    serde_json::from_value::<InstanceJson>(json).unwrap().read(false)
}

fn now() -> Now {
    Now { instant: Instant::now(), wall: 1_800_000_000 }
}

/// An engine with an Incus as a source that was not read yet.
fn expecting(network: &NetworkBuilder) -> Engine {
    let mut engine = Engine::new(network.rules.clone());
    engine.set_requests(&network.store(), Requests::new([Kind::Incus]));
    engine
}

fn entry(store: &Store, engine: &Engine) -> Option<Entry> {
    report::entries(store, engine, &Arc::from(PORT), None).pop()
}

/// The port's only intent: address, source, state, reason.
fn reported(store: &Store, engine: &Engine) -> String {
    entry(store, engine).map_or_else(
        || "-".to_owned(),
        |entry| {
            let reason = entry.reason.map_or("", |code| code.name());
            format!("{} {} {} {reason}", entry.wanted, entry.source, entry.state.name())
        },
    )
}

/// Inserts the row that the port has from an earlier decision.
fn with_row(network: &mut NetworkBuilder, external: &str) {
    let store = network.store();
    let router = store.routers().find(|(_, router)| *router.name == *"R").unwrap().1.uuid;
    let uuid = network.rules.owner.row_uuid(Role::Egress, router, "10.57.0.12".parse().unwrap(), PORT);
    let ids =
        [("ovn-extaddr:owner", "ovn-extaddr"), ("ovn-extaddr:port", PORT), ("ovn-extaddr:role", "egress")];
    network.nat(&uuid.to_string(), "R", "snat", external, "10.57.0.12");
    let columns = json!({
        "external_ids": map(&ids),
        "external_port_range": "1024-65535",
        "options": map(&[("stateless", "false")]),
    });
    network.put("NAT", &uuid.to_string(), columns);
}

#[test]
fn source_update_redecides_only_its_ports_at_once() {
    let network = network();
    let mut store = network.store();
    let mut engine = expecting(&network);
    engine.catch_up(&mut store, now());
    assert_eq!(reported(&store, &engine), "-");
    for (update, expected) in [
        (SourceUpdate::Listed(vec![web1("203.0.113.10")]), "203.0.113.10 incus pending "),
        (SourceUpdate::Lost("away".to_owned()), "203.0.113.10 incus pending "),
        (SourceUpdate::Read(web1("203.0.113.11")), "203.0.113.11 incus pending "),
        (SourceUpdate::Read(web1("203.0.113.99")), "203.0.113.99 incus rejected not-a-forward"),
        (SourceUpdate::Read(web1("web")), "web incus rejected invalid-address"),
        (SourceUpdate::Read(web1("none")), "-"),
        (SourceUpdate::Read(web1("203.0.113.10")), "203.0.113.10 incus pending "),
        (SourceUpdate::Gone(InstanceName::new("default", "web1")), "-"),
    ] {
        engine.take_update(&store, 0, update);
        let decided = engine.catch_up(&mut store, now());
        assert!(decided.iter().all(|port| **port == *PORT), "{decided:?}");
        assert_eq!(reported(&store, &engine), expected);
        if expected.contains("rejected") {
            let message = entry(&store, &engine).unwrap().message;
            let key = "set user.eth0.ipv4.address.external of instance web1 in project default to";
            assert!(message.contains(key), "{message}");
        }
    }
}

#[test]
fn unreadable_instance_leaves_rows_unchanged() {
    let mut network = network();
    with_row(&mut network, "203.0.113.10");
    let mut store = network.store();
    let mut engine = expecting(&network);
    let unreadable = json!({"name": "web1", "status": "Error"});
    let instance = serde_json::from_value::<InstanceJson>(unreadable).unwrap().read(false);
    engine.take_update(&store, 0, SourceUpdate::Listed(vec![instance]));
    engine.catch_up(&mut store, now());
    assert_eq!(reported(&store, &engine), "203.0.113.10 incus pending source-unreachable");
    assert!(engine.unsettled().is_empty());
    assert_eq!(engine.requests().statuses().next().unwrap().unknown, 1);
}

#[test]
fn port_without_an_intent_has_no_entry() {
    let mut network = network();
    network.instance(&PORT.replace("000a-eth0", "000b-eth0"), "02:00:00:00:00:13 10.57.0.13");
    let mut store = network.store();
    let mut engine = expecting(&network);
    let known = |engine: &mut Engine, store: &mut Store, update| {
        engine.take_update(store, 0, update);
        engine.catch_up(store, now());
        engine.ports().map(ToString::to_string).collect::<Vec<_>>()
    };
    engine.catch_up(&mut store, now());
    assert_eq!(engine.ports().count(), 0);
    assert_eq!(known(&mut engine, &mut store, SourceUpdate::Listed(Vec::new())), [""; 0]);
    assert_eq!(known(&mut engine, &mut store, SourceUpdate::Read(web1("203.0.113.10"))), [PORT]);
    assert_eq!(
        known(&mut engine, &mut store, SourceUpdate::Gone(InstanceName::new("default", "web1"))),
        [""; 0]
    );
}

#[test]
fn source_precedes_the_policy_and_follows_the_key_of_the_port() {
    let mut network = network();
    let policy = format!("[[rule]]\nport = \"{PORT}\"\nipv4 = \"203.0.113.11\"");
    network.rules.policy = crate::policy::Policy::parse(&policy).unwrap();
    let decide = |network: &NetworkBuilder, update: SourceUpdate| {
        let mut store = network.store();
        let mut engine = expecting(network);
        engine.take_update(&store, 0, update);
        engine.catch_up(&mut store, now());
        reported(&store, &engine)
    };
    let asking = || SourceUpdate::Listed(vec![web1("203.0.113.10")]);
    assert_eq!(decide(&network, asking()), "203.0.113.10 incus pending ");
    assert_eq!(decide(&network, SourceUpdate::Listed(Vec::new())), "203.0.113.11 policy pending ");
    assert_eq!(decide(&network, SourceUpdate::Listed(vec![web1("none")])), "-");
    network.wants(PORT, "auto");
    assert_eq!(decide(&network, asking()), "auto annotation rejected ambiguous-auto");
}

#[test]
fn unreachable_source_leaves_rows_unchanged() {
    let mut network = network();
    with_row(&mut network, "203.0.113.10");
    let mut store = network.store();
    let mut engine = expecting(&network);
    engine.catch_up(&mut store, now());
    assert_eq!(reported(&store, &engine), "203.0.113.10 incus pending source-unreachable");
    assert!(engine.unsettled().is_empty(), "{:?}", engine.changes(&store, &ReconcileKey::Port(PORT.into())));
    engine.take_update(&store, 0, SourceUpdate::Lost("refused".to_owned()));
    assert!(engine.catch_up(&mut store, now()).is_empty());
    for (address, state) in [("203.0.113.10", "active"), ("203.0.113.11", "pending")] {
        engine.take_update(&store, 0, SourceUpdate::Listed(vec![web1(address)]));
        engine.catch_up(&mut store, now());
        assert_eq!(reported(&store, &engine), format!("{address} incus {state} "));
    }
    engine.take_update(&store, 0, SourceUpdate::Listed(Vec::new()));
    engine.catch_up(&mut store, now());
    assert_eq!(engine.unsettled().len(), 1, "what nobody asks for goes");
}

/// Found by a reading: an agent on standby whose CMS was lost, and which then became active, deleted the rows that the other
/// agent had made meanwhile, and restored former addresses.
#[test]
fn source_that_is_lost_while_another_agent_writes_leaves_its_rows() {
    for listed in [vec![], vec![web1("203.0.113.10")], vec![web1("203.0.113.11")]] {
        let mut network = network();
        let mut store = network.store();
        let mut engine = expecting(&network);
        engine.take_update(&store, 0, SourceUpdate::Listed(listed));
        engine.take_update(&store, 0, SourceUpdate::Lost("refused".to_owned()));
        engine.catch_up(&mut store, now());
        with_row(&mut network, "203.0.113.11");
        store = network.store();
        engine.forget_lost_sources(&store);
        engine.catch_up(&mut store, now());
        assert_eq!(reported(&store, &engine), "203.0.113.11 incus pending source-unreachable");
        assert!(engine.unsettled().is_empty(), "{:?}", engine.unsettled());
        engine.take_update(&store, 0, SourceUpdate::Listed(vec![web1("203.0.113.11")]));
        engine.forget_lost_sources(&store);
        engine.catch_up(&mut store, now());
        assert_eq!(reported(&store, &engine), "203.0.113.11 incus active ");
    }
}

/// A kept intent for the address of the row is in force, whatever the CMS wants.
#[test]
fn row_that_another_source_wants_is_not_presumed() {
    let mut network = network();
    with_row(&mut network, "203.0.113.10");
    for (kept, expected) in [
        ("203.0.113.10", "203.0.113.10 kept active "),
        ("203.0.113.11", "203.0.113.10 incus pending source-unreachable"),
        ("none", "203.0.113.10 incus pending source-unreachable"),
    ] {
        let key = format!("ovn-extaddr:ipv4.address.external:{PORT}");
        network.put("NB_Global", "global", json!({"external_ids": map(&[(&key, kept)])}));
        let mut store = network.store();
        let mut engine = expecting(&network);
        engine.catch_up(&mut store, now());
        assert_eq!(reported(&store, &engine), expected);
    }
}

#[test]
fn row_of_an_unreachable_source_is_deleted_with_its_forward_or_port() {
    for spoil in [
        |network: &mut NetworkBuilder| network.delete("Load_Balancer", "fw"),
        |network: &mut NetworkBuilder| network.delete("Logical_Switch_Port", PORT),
    ] {
        let mut network = network();
        network.rules.hold_down = std::time::Duration::ZERO;
        network.rules.drain = std::time::Duration::ZERO;
        with_row(&mut network, "203.0.113.10");
        spoil(&mut network);
        let mut store = network.store();
        let mut engine = expecting(&network);
        engine.catch_up(&mut store, now());
        assert_eq!(engine.unsettled().len(), 1);
    }
}

#[test]
fn intent_without_a_port_waits_under_the_name_of_its_instance() {
    let mut network = network();
    network.delete("Logical_Switch_Port", PORT);
    let store = network.store();
    let mut engine = expecting(&network);
    engine.take_update(&store, 0, SourceUpdate::Listed(vec![web1("203.0.113.10")]));
    let absent: Vec<_> = report::absent(&store, &engine).collect();
    let shown: Vec<_> =
        absent.iter().map(|entry| (entry.name.as_deref(), &*entry.wanted, entry.state.name())).collect();
    let expected = [
        (Some("default:web1/eth0"), "203.0.113.10", "waiting"),
        (Some("default:web1/eth1"), "auto", "waiting"),
    ];
    assert_eq!(shown, expected);
    assert!(absent[0].message.contains("instance default:web1 has no port"), "{}", absent[0].message);
}

#[test]
fn recomputation_leads_to_the_same_decisions() {
    let network = network();
    let mut store = network.store();
    let mut engine = expecting(&network);
    engine.take_update(&store, 0, SourceUpdate::Listed(vec![web1("203.0.113.10")]));
    engine.catch_up(&mut store, now());
    let before = engine.decisions(PORT).to_vec();
    assert_eq!(before[0].family, Family::V4);
    let rules = engine.rules().clone();
    engine.set_rules(rules);
    assert_eq!(engine.decisions(PORT), before, "until then they are shown");
    engine.catch_up(&mut store, now());
    assert_eq!(engine.decisions(PORT), before);
}

/// How the intent of the port is explained.
fn explained(store: &Store, engine: &Engine) -> String {
    let port = store.port(store.port_by_name(PORT).unwrap()).unwrap();
    let reach = reach(store, port.switch.unwrap());
    let (rules, requests, family) = (engine.rules(), engine.requests(), Family::V4);
    let question = Question { store, rules, requests, reach: &reach, port, family };
    let mut checks: Vec<Check> = Vec::new();
    resolve(question, &mut Vec::new(), &mut checks);
    checks.first().map_or_else(String::new, |check| check.detail.clone())
}

#[test]
fn explanation_distinguishes_source_from_presumed_intents() {
    let mut network = network();
    with_row(&mut network, "203.0.113.10");
    let mut store = network.store();
    let mut engine = expecting(&network);
    engine.catch_up(&mut store, now());
    let presumed = "Incus cannot be reached; the rows that are there say 203.0.113.10";
    assert_eq!(explained(&store, &engine), presumed);
    engine.take_update(&store, 0, SourceUpdate::Listed(vec![web1("203.0.113.11")]));
    let said = explained(&store, &engine);
    assert!(said.ends_with(" in Incus asks for 203.0.113.11"), "{said}");
}

#[test]
fn drain_row_is_no_presumed_intent() {
    let mut network = network();
    with_row(&mut network, "203.0.113.10");
    let store = network.store();
    let row = store.tagged_nats().next().unwrap().1.uuid.to_string();
    let ids =
        [("ovn-extaddr:owner", "ovn-extaddr"), ("ovn-extaddr:port", PORT), ("ovn-extaddr:role", "drain")];
    network.put("NAT", &row, json!({"external_ids": map(&ids)}));
    let mut store = network.store();
    let mut engine = expecting(&network);
    engine.catch_up(&mut store, now());
    assert_eq!(explained(&store, &engine), "");
}

#[test]
fn instances_with_the_same_uuid_are_rejected_as_ambiguous() {
    let network = network();
    let mut store = network.store();
    let mut engine = expecting(&network);
    let other = |address: &str| {
        let mut other = web1(address);
        other.name = InstanceName::new("default", "web2");
        other
    };
    engine.take_update(&store, 0, SourceUpdate::Listed(vec![web1("203.0.113.10"), other("203.0.113.11")]));
    engine.catch_up(&mut store, now());
    let entry = entry(&store, &engine).unwrap();
    assert_eq!(entry.reason.map(|code| code.name()), Some("disputed-instance"));
    assert!(entry.message.contains("have the same volatile.uuid"), "{}", entry.message);
    engine.take_update(&store, 0, SourceUpdate::Read(other("203.0.113.10")));
    engine.catch_up(&mut store, now());
    assert_eq!(reported(&store, &engine), "203.0.113.10 incus pending ", "they ask for the same");
}

#[test]
fn missing_port_named_in_the_policy_is_reported_as_waiting() {
    let mut network = network();
    let policy = "[[rule]]\nport = \"p9\"\nipv4 = \"203.0.113.10\"\n[[rule]]\nport = \"p1\"\nipv4 = \"none\"";
    network.rules.policy = crate::policy::Policy::parse(policy).unwrap();
    let mut store = network.store();
    let mut engine = Engine::new(network.rules);
    engine.catch_up(&mut store, now());
    let absent: Vec<_> = report::absent(&store, &engine).collect();
    let [entry] = &absent[..] else { panic!("{absent:?}") };
    assert_eq!((&*entry.port, entry.state.name()), ("p9", "waiting"));
    assert_eq!(entry.reason.map(|code| code.name()), Some("no-port"));
}

#[test]
fn missing_port_is_reported_once_with_the_source_that_takes_precedence() {
    let mut network = network();
    network.delete("Logical_Switch_Port", PORT);
    let rule = |address| format!("[[rule]]\nport = \"{PORT}\"\nipv4 = \"{address}\"\n");
    let policy = rule("203.0.113.11") + &rule("203.0.113.12");
    network.rules.policy = crate::policy::Policy::parse(&policy).unwrap();
    let reports = |network: &NetworkBuilder, instances| {
        let mut store = network.store();
        let mut engine = expecting(network);
        engine.take_update(&store, 0, SourceUpdate::Listed(instances));
        engine.catch_up(&mut store, now());
        let about = report::absent(&store, &engine).filter(|entry| report::is_about_missing(entry, PORT));
        about.map(|entry| format!("{} {}", entry.source, entry.wanted)).collect::<Vec<_>>()
    };
    assert_eq!(reports(&network, Vec::new()), ["policy 203.0.113.11"]);
    let key = format!("ovn-extaddr:ipv4.address.external:{PORT}");
    network.put("NB_Global", "global", json!({"external_ids": map(&[(&key, "203.0.113.13")])}));
    assert_eq!(reports(&network, Vec::new()), ["kept 203.0.113.13"]);
    assert_eq!(reports(&network, vec![web1("203.0.113.10")]), ["incus 203.0.113.10"]);
}

#[test]
fn refusal_of_the_database_is_reported() {
    let mut network = network();
    network.wants(PORT, "203.0.113.10");
    let mut store = network.store();
    let mut engine = Engine::new(network.rules.clone());
    engine.catch_up(&mut store, now());
    let obstacle = Obstacle::Refused("operation 3 refused: constraint violation".into());
    let entries = report::entries(&store, &engine, &Arc::from(PORT), Some(&obstacle));
    assert_eq!(entries[0].reason.map(|code| code.name()), Some("refused"));
    assert!(
        entries[0].message.contains("operation 3 refused: constraint violation"),
        "{}",
        entries[0].message
    );
}
