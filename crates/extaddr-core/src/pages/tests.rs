use std::time::Instant;

use serde_json::json;

use super::*;
use crate::clock::Now;
use crate::sources::Kind;
use crate::sources::instance::InstanceJson;
use crate::sources::requests::{Requests, SourceUpdate};
use crate::testing::NetworkBuilder;

/// A network with `p0` to `p8`: three of them granted, three rejected, three without an intent; and intents for missing
/// ports.
fn network() -> NetworkBuilder {
    let mut network = NetworkBuilder::new();
    network.delete("Logical_Switch_Port", "p1");
    for number in 0..9 {
        let (port, address) = (format!("p{number}"), format!("10.57.0.{}", 20 + number));
        network.instance(&port, &format!("02:00:00:00:01:{number:02} {address}"));
        let (vip, target) = (format!("203.0.113.{}:80", 20 + number), format!("{address}:80"));
        network.balancer(&format!("fw{number}"), &[(&vip, &target)], &["R"]);
        match number % 3 {
            0 => network.wants(&port, &format!("203.0.113.{}", 20 + number)),
            1 => network.wants(&port, "203.0.113.99"),
            _ => {}
        }
    }
    let kept = [
        ("ovn-extaddr:ipv4.address.external:p55", "auto"),
        ("ovn-extaddr:ipv6.address.external:p55", "auto"),
        ("ovn-extaddr:ipv4.address.external:p56", "none"),
    ];
    network.put("NB_Global", "global", json!({"external_ids": crate::testing::map(&kept)}));
    network
}

fn decided(network: &NetworkBuilder) -> (Store, Engine) {
    let (mut store, mut engine) = (network.store(), Engine::new(network.rules.clone()));
    engine.catch_up(&mut store, Now { instant: Instant::now(), wall: 1_800_000_000 });
    (store, engine)
}

/// The page, made by a walk that has time for only one step at a time.
fn page(store: &Store, engine: &Engine, mut walk: Walk) -> Page {
    for _ in 0..1000 {
        if walk.is_done() {
            return walk.into_page();
        }
        walk.advance(store, engine, |_| None, || false);
    }
    panic!("the walk does not end");
}

fn text(entries: &[Entry]) -> String {
    let words = entries.iter().map(|entry| format!("{}/{}", entry.port, &entry.family[2..]));
    words.collect::<Vec<_>>().join(" ")
}

#[test]
fn pages_together_equal_the_list() {
    let (store, engine) = decided(&network());
    let all = text(&report::all(&store, &engine, |_| None));
    assert_eq!(all, "p0/v4 p1/v4 p3/v4 p4/v4 p55/v4 p55/v6 p6/v4 p7/v4");
    for limit in 1..9 {
        let (mut after, mut parts) = (None, Vec::new());
        loop {
            let page = page(&store, &engine, Walk::new(Filter::default(), after, limit));
            assert!(page.counts.is_none() && page.absent == 2);
            parts.extend(page.entries);
            after = page.next;
            if after.is_none() {
                break;
            }
        }
        assert_eq!(text(&parts), all, "{limit} at a time");
    }
}

#[test]
fn page_filter_equals_the_filtered_list() {
    use State::{Pending, Rejected, Waiting};
    let (store, engine) = decided(&network());
    for (states, words, expected) in [
        (&[][..], "P3", "p3/v4"),
        (&[Rejected], "", "p1/v4 p4/v4 p7/v4"),
        (&[Pending], "", "p0/v4 p3/v4 p6/v4"),
        (&[Waiting], "", "p55/v4 p55/v6"),
        (&[Waiting, Rejected], "p", "p1/v4 p4/v4 p55/v4 p55/v6 p7/v4"),
        (&[], "203.0.113.99", "p1/v4 p4/v4 p7/v4"),
        (&[], "10.57.0.23", "p3/v4"),
        (&[], "203.0.113.26", "p6/v4"),
        (&[], "not-a-forward", "p1/v4 p4/v4 p7/v4"),
        (&[Pending], "not-a-forward", ""),
        (&[], "auto", "p55/v4 p55/v6"),
        (&[], "nobody", ""),
    ] {
        let filter = Filter::new(states.to_vec(), words);
        let mut all = report::all(&store, &engine, |_| None);
        all.retain(|entry| filter.admits(entry));
        let page = page(&store, &engine, Walk::new(filter, None, 100));
        assert_eq!(text(&page.entries), expected, "{states:?} {words}");
        assert_eq!(text(&all), expected, "{states:?} {words}, of all");
        let counted = page.counts.map(|counts| counts.iter().sum::<usize>());
        if states.is_empty() {
            assert_eq!(counted, Some(page.entries.len()), "{words}");
        }
    }
}

#[test]
fn walk_restarts_when_the_engine_recomputes() {
    let network = network();
    let (store, mut engine) = decided(&network);
    let mut walk = Walk::new(Filter::default(), None, 100);
    walk.advance(&store, &engine, |_| None, || false);
    engine.set_rules(network.rules);
    engine.update(&store, &Default::default(), Now { instant: Instant::now(), wall: 1_800_000_000 });
    assert_eq!(text(&page(&store, &engine, walk).entries), text(&report::all(&store, &engine, |_| None)));
}

/// Two sources have 150 stopped instances each, a hundred of them the same ones.
#[test]
fn instances_without_ports_appear_once_on_pages() {
    let instance = |number: u32| {
        let json = json!({
            "name": format!("web{number}"),
            "config": {"volatile.uuid": format!("00000000-0000-4000-8000-{number:012}")},
            "expanded_config": {"user.eth0.ipv4.address.external": "auto"},
            "expanded_devices": {"eth0": {"type": "nic"}},
        });
        serde_json::from_value::<InstanceJson>(json).unwrap().read(false)
    };
    let network = network();
    let (mut store, mut engine) = (network.store(), Engine::new(network.rules));
    engine.set_requests(&store, Requests::new([Kind::Incus, Kind::Incus]));
    engine.take_update(&store, 0, SourceUpdate::Listed((0..150).map(instance).collect()));
    engine.take_update(&store, 1, SourceUpdate::Listed((50..200).map(instance).collect()));
    engine.catch_up(&mut store, Now { instant: Instant::now(), wall: 1_800_000_000 });
    let all = text(&report::all(&store, &engine, |_| None));
    assert_eq!(all.split(' ').count(), 208);
    let (mut after, mut parts) = (None, Vec::new());
    loop {
        let page = page(&store, &engine, Walk::new(Filter::default(), after, 30));
        parts.extend(page.entries);
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    assert_eq!(text(&parts), all);
    let one = page(&store, &engine, Walk::new(Filter::new(Vec::new(), "WEB7/eth0"), None, 30));
    assert_eq!(one.entries.len(), 1);
    assert_eq!(one.entries[0].name.as_deref(), Some("default:web7/eth0"));
}
