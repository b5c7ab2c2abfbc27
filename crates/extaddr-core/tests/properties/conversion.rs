//! Default targets: removed VIPs are recorded, nothing else is changed, and all of them are restored.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use extaddr_core::batch;
use extaddr_core::clock::Now;
use extaddr_core::engine::Engine;
use extaddr_core::ownership::Owner;
use extaddr_core::rules::Rules;
use extaddr_core::undo::Undo;
use ovn_model::{Changes, Store};
use ovsdb_protocol::{Batch, Uuid};
use proptest::prelude::*;

use crate::case::{self, Case, Cases};
use crate::model::{Database, Row, Value, delta, feed, fresh_store};
use crate::oracle::is_gateway_port;
use crate::transact::execute;

/// The most transactions until nothing is left to do: rows and conversions are written and deleted one after the other.
const MAX_ROUNDS: usize = 6;

fn now() -> Now {
    Now { instant: Instant::now(), wall: 1_800_000_000 }
}

fn rules(owner: &Owner) -> Rules {
    Rules { drain: Duration::ZERO, hold_down: Duration::ZERO, ..Rules::new(owner.clone()) }
}

fn is_ours(row: &Row, owner: &Owner) -> bool {
    row.get("external_ids", "ovn-extaddr:owner") == Some(owner.as_str())
}

/// The database without our rows.
fn foreign(database: &Database, owner: &Owner) -> Database {
    let mut database = database.clone();
    let rows: Vec<_> =
        database.table("NAT").filter(|(_, row)| is_ours(row, owner)).map(|(id, _)| id).collect();
    for uuid in rows {
        database.rows.remove(&("NAT", uuid));
        for ((table, _), row) in &mut database.rows {
            if *table == "Logical_Router" {
                row.link("nat", uuid, false);
            }
        }
    }
    database
}

/// The VIPs that our rows record, by router.
fn remembered(database: &Database, owner: &Owner) -> BTreeMap<Uuid, Vec<Undo>> {
    let mut undo: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for (router, row) in database.table("Logical_Router") {
        for nat in row.refs("nat").filter_map(|uuid| database.row("NAT", uuid)) {
            let text = nat.get("external_ids", "ovn-extaddr:undo").filter(|_| is_ours(nat, owner));
            undo.entry(router).or_default().extend(text.map(Undo::list_from_text).unwrap_or_default());
        }
    }
    undo
}

/// Every difference in foreign rows is recorded, before if something was added and after if it was removed.
fn check_harm(before: &Database, after: &Database, owner: &Owner) {
    let (had, has) = (remembered(before, owner), remembered(after, owner));
    let (mut old, mut new) = (foreign(before, owner), foreign(after, owner));
    let routers: Vec<_> = old.table("Logical_Router").map(|(uuid, _)| uuid).collect();
    for router in routers {
        let balancers = |database: &Database| -> BTreeSet<Uuid> {
            database
                .row("Logical_Router", router)
                .into_iter()
                .flat_map(|row| row.refs("load_balancer"))
                .collect()
        };
        let (was, is) = (balancers(&old), balancers(&new));
        for (moved, memory) in [(was.difference(&is), &has), (is.difference(&was), &had)] {
            for balancer in moved {
                let known = memory.get(&router).is_some_and(|list| list.contains(&Undo::Attach(*balancer)));
                assert!(known, "balancer {balancer} moved at router {router} and nobody remembers");
            }
        }
        for database in [&mut old, &mut new] {
            database.row_mut("Logical_Router", router).unwrap().put("load_balancer", Value::refs([]));
        }
    }
    let all = |memory: &BTreeMap<Uuid, Vec<Undo>>| memory.values().flatten().cloned().collect::<Vec<_>>();
    let balancers: Vec<_> = old.table("Load_Balancer").map(|(uuid, _)| uuid).collect();
    for balancer in balancers {
        let vips = |database: &mut Database| {
            std::mem::take(
                database.row_mut("Load_Balancer", balancer).unwrap().0.get_mut("vips").unwrap().map_mut(),
            )
        };
        let (was, is) = (vips(&mut old), vips(&mut new));
        for ((one, other), memory) in [((&was, &is), all(&has)), ((&is, &was), all(&had))] {
            for (key, value) in one.iter().filter(|(key, _)| !other.contains_key(*key)) {
                let undo = Undo::Restore { balancer, key: (&**key).into(), value: (&**value).into() };
                assert!(memory.contains(&undo), "VIP {key} of {balancer} moved and nobody remembers");
            }
            assert!(one.iter().all(|(key, value)| other.get(key).is_none_or(|there| there == value)));
        }
    }
    assert_eq!(old, new, "something of others was changed");
}

/// Writes the engine's changes until there are none.
fn settle(mut database: Database, store: &mut Store, engine: &mut Engine, owner: &Owner) -> Database {
    for round in 0.. {
        engine.catch_up(store, now());
        let subjects: BTreeMap<_, _> = engine
            .unsettled()
            .iter()
            .map(|subject| (subject.clone(), engine.changes(store, subject)))
            .collect();
        if subjects.is_empty() {
            break;
        }
        assert!(round < MAX_ROUNDS, "it does not settle: {subjects:#?}");
        let transaction = batch::merge(store, engine, &owner.lock(), subjects).transaction;
        let after = execute(&database, &transaction)
            .unwrap_or_else(|(operation, error)| panic!("{operation}: {error}: {transaction:#?}"));
        check_harm(&database, &after, owner);
        feed(store, Batch::Delta, &delta(&database, &after, false));
        database = after;
    }
    database
}

/// The network of a case, without our rows.
fn original(case: &Case, owner: &Owner) -> Database {
    let mut original = foreign(&case.start, owner);
    // Most balancers also forward a whole address, to the first backend of another forward.
    let wholes = ["203.0.113.10", "203.0.113.10", "203.0.113.11", "2001:db8::10"];
    let balancers = original.rows.iter_mut().filter(|((table, _), _)| *table == "Load_Balancer");
    for (whole, (_, row)) in wholes.iter().cycle().zip(balancers) {
        let vips = row.0.get_mut("vips").unwrap().map_mut();
        let first = vips.values().next().and_then(|value| value.split([',']).next());
        let target = first.map(|target| {
            let address = target.rsplit_once(':').map_or(target, |(address, _)| address);
            address.trim_matches(['[', ']']).to_owned()
        });
        if let Some(target) = target {
            vips.insert((*whole).to_owned(), target);
        }
    }
    // A router with several gateway ports converts nothing, so most routers have none.
    if !original.rows.len().is_multiple_of(4) {
        for ((table, _), row) in &mut original.rows {
            if *table == "Logical_Router_Port" && is_gateway_port(row) {
                for column in ["ha_chassis_group", "gateway_chassis"] {
                    row.put(column, Value::refs([]));
                }
            }
        }
        let routers = original.rows.iter_mut().filter(|((table, _), _)| *table == "Logical_Router");
        for (n, (_, row)) in routers.enumerate() {
            if n % 3 < 2 {
                row.set("options", "chassis", Some("chassis-1"));
            }
        }
    }
    original
}

/// Grants everything that can be granted and withdraws it again. Returns the number of addresses converted meanwhile.
fn run(case: &Case) -> usize {
    let owner = Owner::default();
    let original = original(case, &owner);
    let mut store = fresh_store(&original, &mut case.arrival.clone());
    let mut engine = Engine::new(rules(&owner));
    let granted = settle(original.clone(), &mut store, &mut engine, &owner);
    let converted = remembered(&granted, &owner).values().map(Vec::len).sum();

    let mut engine = Engine::withdrawing(rules(&owner));
    engine.update(&store, &Changes { everything: true, list: Vec::new() }, now());
    let end = settle(granted, &mut store, &mut engine, &owner);
    assert_eq!(end, original, "not all came back");
    converted
}

proptest! {
    #![proptest_config(case::config())]

    #[test]
    fn converted_vips_are_restored_unchanged(case in Cases::Network) {
        run(&case);
    }
}

/// The checked cases must not be trivial.
#[test]
fn random_cases_contain_conversions() {
    let converted: usize = (0..300).map(|n| run(&case::nth(Cases::Network, n))).sum();
    assert!(converted >= 5, "{converted}");
}
