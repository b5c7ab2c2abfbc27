use serde_json::{Value, json};

use super::*;
use crate::sources::instance::InstanceJson;

const A: &str = "00000000-0000-4000-8000-00000000000a";
const B: &str = "00000000-0000-4000-8000-00000000000b";

/// An instance with an intent for `eth0`.
fn asking(name: &str, uuid: &str, address: &str) -> Instance {
    let (project, name) = name.split_once(':').unwrap_or(("default", name));
    read(json!({
        "name": name, "project": project, "config": {"volatile.uuid": uuid},
        "expanded_config": {"user.eth0.ipv4.address.external": address},
        "expanded_devices": {"eth0": {"type": "nic", "network": "ovn0"}},
    }))
}

/// An instance without intents.
fn silent(name: &str, uuid: &str) -> Instance {
    read(json!({"name": name, "config": {"volatile.uuid": uuid}}))
}

/// An instance whose intents the CMS does not know.
fn unreadable(name: &str) -> Instance {
    read(json!({"name": name, "status": "Error"}))
}

fn read(json: Value) -> Instance {
    serde_json::from_value::<InstanceJson>(json).unwrap().read(false)
}

fn port(uuid: &str) -> String {
    format!("incus-net2-instance-{uuid}-eth0")
}

/// The intent for the port of a UUID, in a word.
fn looked_up(requests: &Requests, uuid: &str) -> String {
    match requests.look_up(&port(uuid), Family::V4) {
        Lookup::None => "silent".to_owned(),
        Lookup::Unknown(kind) => format!("{} unheard", kind.name()),
        Lookup::Found { instance, written, .. } => format!("{instance} {}", written.text),
        Lookup::Ambiguous(_, one, other) => format!("{one} or {other}"),
    }
}

fn affected(uuids: &[&str], presumed: bool) -> Affected {
    let instances = uuids.iter().map(|uuid| (Kind::Incus, Uuid::parse_str(uuid).unwrap())).collect();
    Affected { instances, presumed }
}

#[test]
fn unchanged_source_stays_known_when_others_change() {
    let mut requests = Requests::new([Kind::Incus]);
    requests.take(0, SourceUpdate::Listed(Vec::new()));
    let known = |requests: &Requests| requests.statuses().map(|status| status.was_read).collect::<Vec<_>>();
    let requests = requests.with_sources([(Kind::Lxd, None), (Kind::Incus, Some(0)), (Kind::Incus, Some(0))]);
    assert_eq!(known(&requests), [false, true, false], "what has been taken is not taken twice");
    assert_eq!(known(&requests.with_sources([(Kind::Incus, Some(7))])), [false]);
}

#[test]
fn second_listing_affects_only_changed_instances() {
    let mut requests = Requests::new([Kind::Incus]);
    let list =
        |address: &str| SourceUpdate::Listed(vec![asking("a", A, address), asking("b", B, "203.0.113.2")]);
    assert_eq!(requests.take(0, list("203.0.113.1")), affected(&[A, B], true));
    assert_eq!(requests.take(0, list("203.0.113.1")), affected(&[], false));
    assert_eq!(requests.take(0, list("203.0.113.9")), affected(&[A], false));
    assert_eq!(
        (&*looked_up(&requests, A), &*looked_up(&requests, B)),
        ("default:a 203.0.113.9", "default:b 203.0.113.2")
    );
    assert_eq!(
        requests.take(0, SourceUpdate::Listed(vec![asking("b", B, "203.0.113.2")])),
        affected(&[A], false)
    );
    assert_eq!(looked_up(&requests, A), "silent");
}

#[test]
fn read_instance_affects_its_own_ports() {
    let mut requests = Requests::new([Kind::Incus]);
    requests.take(0, SourceUpdate::Listed(vec![asking("a", A, "203.0.113.1")]));
    assert_eq!(requests.take(0, SourceUpdate::Read(asking("a", A, "203.0.113.1"))), affected(&[], false));
    assert_eq!(requests.take(0, SourceUpdate::Read(asking("b", B, "203.0.113.2"))), affected(&[B], false));
    // It was deleted, and another has its name.
    assert_eq!(requests.take(0, SourceUpdate::Read(asking("b", A, "203.0.113.1"))), affected(&[A, B], false));
    assert_eq!(
        requests.take(0, SourceUpdate::Gone(InstanceName::new("default", "b"))),
        affected(&[A], false)
    );
    assert_eq!(requests.take(0, SourceUpdate::Gone(InstanceName::new("default", "b"))), affected(&[], false));
    assert_eq!((&*looked_up(&requests, A), &*looked_up(&requests, B)), ("default:a 203.0.113.1", "silent"));
    assert_eq!(requests.take(0, SourceUpdate::Read(silent("a", A))), affected(&[A], false));
    assert_eq!(looked_up(&requests, A), "silent");
}

#[test]
fn lost_source_withdraws_no_intents() {
    let mut requests = Requests::new([Kind::Incus]);
    assert_eq!(looked_up(&requests, A), "incus unheard");
    assert_eq!(requests.take(0, SourceUpdate::Lost("refused".to_owned())), affected(&[], false));
    assert_eq!(looked_up(&requests, A), "incus unheard");
    requests.take(0, SourceUpdate::Listed(vec![asking("a", A, "203.0.113.1")]));
    assert_eq!(requests.take(0, SourceUpdate::Lost("broken".to_owned())), affected(&[], false));
    assert_eq!((&*looked_up(&requests, A), &*looked_up(&requests, B)), ("default:a 203.0.113.1", "silent"));
    let status = requests.statuses().next().unwrap();
    assert_eq!((status.failure.as_deref(), status.was_read), (Some("broken"), true));
    requests.take(0, SourceUpdate::Listed(Vec::new()));
    assert_eq!(requests.statuses().next().unwrap().failure, None);
}

#[test]
fn unreadable_instance_keeps_its_intents() {
    let mut requests = Requests::new([Kind::Incus]);
    let listed = SourceUpdate::Listed(vec![asking("a", A, "203.0.113.1"), unreadable("b")]);
    assert_eq!(requests.take(0, listed), affected(&[A], false));
    // `b` may have any UUID that no other has.
    assert_eq!(
        (&*looked_up(&requests, A), &*looked_up(&requests, B)),
        ("default:a 203.0.113.1", "incus unheard")
    );
    requests.take(0, SourceUpdate::Listed(vec![unreadable("a"), unreadable("b")]));
    assert_eq!(looked_up(&requests, A), "default:a 203.0.113.1");
    assert_eq!(requests.take(0, SourceUpdate::Read(silent("b", B))), affected(&[B], true));
    assert_eq!(looked_up(&requests, B), "silent");
}

#[test]
fn status_counts_instances_and_intents() {
    let cases = [
        (vec![], "instances: 0, NICs with intents: 0"),
        (vec![asking("a", A, "203.0.113.1"), silent("b", B)], "instances: 2, NICs with intents: 1"),
        (
            vec![asking("a", A, "203.0.113.1"), unreadable("b")],
            "instances: 2, NICs with intents: 1, instances with unknown intents: 1",
        ),
    ];
    for (instances, text) in cases {
        let mut requests = Requests::new([Kind::Incus]);
        let status = |requests: &Requests| requests.statuses().next().unwrap().to_string();
        assert_eq!(status(&requests), "not read yet");
        requests.take(0, SourceUpdate::Listed(instances));
        assert_eq!(status(&requests), text);
    }
}

#[test]
fn instances_with_the_same_uuid_are_ambiguous() {
    let mut requests = Requests::new([Kind::Incus]);
    requests.take(
        0,
        SourceUpdate::Listed(vec![asking("a", A, "203.0.113.1"), asking("evil:a", A, "203.0.113.2")]),
    );
    assert_eq!(looked_up(&requests, A), "default:a or evil:a");
    assert_eq!(requests.name(&port(A)), None);
    // Not by an intent if the other has none either, nor by having none.
    requests.take(0, SourceUpdate::Read(silent("a", A)));
    assert_eq!(looked_up(&requests, A), "default:a or evil:a");
    assert_eq!(requests.take(0, SourceUpdate::Gone(InstanceName::new("evil", "a"))), affected(&[A], false));
    assert_eq!(looked_up(&requests, A), "silent");
    // A move makes a copy that has the UUID for a while.
    requests.take(0, SourceUpdate::Read(asking("a", A, "203.0.113.1")));
    requests.take(0, SourceUpdate::Read(asking("move-of-a", A, "203.0.113.1")));
    assert!(looked_up(&requests, A).ends_with(" 203.0.113.1"));
}

#[test]
fn first_configured_source_with_an_intent_wins() {
    let mut requests = Requests::new([Kind::Incus, Kind::Lxd, Kind::Incus]);
    requests.take(2, SourceUpdate::Listed(vec![asking("late", A, "203.0.113.2")]));
    assert_eq!(looked_up(&requests, A), "default:late 203.0.113.2");
    requests.take(0, SourceUpdate::Listed(vec![asking("early", A, "203.0.113.1")]));
    assert_eq!(looked_up(&requests, A), "default:early 203.0.113.1");
    assert_eq!(looked_up(&requests, B), "silent");
    let lxd = port(A).replace("incus", "lxd");
    assert_eq!(requests.look_up(&lxd, Family::V4), Lookup::Unknown(Kind::Lxd));
    assert_eq!(requests.look_up(&port(A), Family::V6), Lookup::None);
    assert_eq!(requests.look_up("p1", Family::V4), Lookup::None);
    assert_eq!(requests.name(&port(A)).as_deref(), Some("default:early/eth0"));
    assert_eq!(requests.take(7, SourceUpdate::Listed(Vec::new())), affected(&[], false));
}

#[test]
fn source_may_have_intents_for_ports_of_its_kind_only() {
    let incus = Requests::new([Kind::Incus]);
    let cases = [(port(A), true), (port(A).replace("incus", "lxd"), false), ("p1".to_owned(), false)];
    for (port, expected) in cases {
        assert_eq!(incus.may_have_intent_for(&port), expected, "{port}");
        assert!(!Requests::default().may_have_intent_for(&port), "{port}");
    }
}
