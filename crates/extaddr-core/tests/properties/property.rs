//! Random edits, after each of which everything must agree with the oracle.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use extaddr_core::batch;
use extaddr_core::change::RowChange;
use extaddr_core::engine::{Engine, ReconcileKey};
use extaddr_core::ownership::Owner;
use extaddr_core::reason::Code;
use ovn_model::Store;
use proptest::prelude::*;

use crate::case::{self, Case, Cases, Step};
use crate::model::{Database, Row, Value, fresh_store};
use crate::oracle::{self, Change, Oracle, Verdict};
use crate::scenario::in_words;
use crate::transact::{guards, written};
use crate::view;
use crate::world::World;

/// The reasons that need something missing in these worlds: a policy that names ports, a CMS, or a database that refuses.
const ELSEWHERE: [Code; 4] = [Code::NoPort, Code::Refused, Code::SourceUnreachable, Code::DisputedInstance];

/// Cases among which each outcome must occur.
const MAX_SURVEYED: u32 = 2000;

impl World {
    /// The engine agrees with the oracle, and so do a new engine and store.
    fn check(&mut self) {
        let oracle = self.oracle();
        let decisions = oracle.decisions();
        let changes = oracle.all_changes(&decisions);
        let (reached, forwards) = (oracle.reached(), oracle.all_forwards());
        let check = |who, store: &Store, engine: &Engine| {
            let decided = view::decisions(store, engine);
            for name in decisions.keys().chain(decided.keys()) {
                let (is, should) = (decided.get(name), decisions.get(name));
                assert!(is == should, "{who} on {name}: {} is not {}", in_words(&is), in_words(&should));
            }
            let wanted = view::all_changes(store, engine);
            assert!(wanted == changes, "{who}: {} is not {}", in_words(&wanted), in_words(&changes));
            view::check_statuses(store, engine);
            // Reachable routers and forwards, with or without intents.
            assert_eq!(view::reached(store), reached, "{who}");
            assert_eq!(view::forwards(store, &self.owner), forwards, "{who}");
        };
        check("the engine", &self.store, &self.engine);

        let everything = ovn_model::Changes { everything: true, list: Vec::new() };
        let mut fresh = Engine::new(self.rules());
        fresh.update(&self.store, &everything, self.now);
        check("a fresh engine", &self.store, &fresh);

        let mut store = fresh_store(&self.database, &mut self.arrival);
        let mut fresh = Engine::new(self.rules());
        fresh.catch_up(&mut store, self.now);
        check("a fresh engine on a fresh store", &store, &fresh);

        let mut withdrawing = Engine::withdrawing(self.rules());
        withdrawing.update(&store, &everything, self.now);
        let expected = self.oracle().all_changes(&BTreeMap::new());
        assert_eq!(view::all_changes(&store, &withdrawing), expected, "withdrawing");
    }

    /// Only our own rows are written, with guards that hold.
    fn check_transaction(&self, batch: &batch::Batch) {
        let transaction = &batch.transaction;
        let inserted: BTreeSet<_> = batch
            .subjects
            .values()
            .flatten()
            .filter_map(|change| if let RowChange::Insert(row) = change { Some(row.uuid) } else { None })
            .collect();
        let oracle = self.oracle();
        for (table, uuid) in written(&self.database, transaction) {
            match (table, self.database.row(table, uuid)) {
                ("NAT", Some(row)) if oracle.is_ours(row) => {}
                // It is inserted: if the row exists, the database will refuse it.
                ("NAT", _) if inserted.contains(&uuid) => {}
                // Its set of NAT rows is changed; the rows are compared in `settle`.
                ("Logical_Router", Some(_)) => {}
                _ => panic!("{table} {uuid} is not ours: {transaction:#?}"),
            }
        }
        let (_, failing) = guards(&self.database, transaction);
        assert_eq!(failing, 0, "{transaction:#?}");
    }

    /// For each fact that a row to be written depends on, its transaction fails once the fact does not hold any more.
    fn check_guards(&self) {
        for port in view::unsettled(&self.engine) {
            let changes = self.engine.changes(&self.store, &ReconcileKey::Port(Arc::clone(port)));
            let transaction = self.transaction([(Arc::clone(port), changes)].into()).transaction;
            assert_eq!(guards(&self.database, &transaction).1, 0, "{port}: {transaction:#?}");
            for change in view::changes(&self.store, &self.engine, port) {
                let (Change::Insert(row) | Change::Update(_, row)) = change else { continue };
                for (what, database) in self.without_facts(port, &row) {
                    let (_, failing) = guards(&database, &transaction);
                    assert!(failing > 0, "{port}: {what} is gone unnoticed: {transaction:#?}");
                }
            }
        }
    }

    /// Databases that each lack a fact that the row depends on.
    fn without_facts(&self, port: &str, row: &oracle::Desired) -> Vec<(&'static str, Database)> {
        let mut databases = Vec::new();
        let mut without = |what, change: &dyn Fn(&mut Database)| {
            let mut database = self.database.clone();
            change(&mut database);
            databases.push((what, database));
        };
        let mut ports = self.database.table("Logical_Switch_Port");
        let (uuid, old) = ports.find(|(_, row)| row.text("name") == port).unwrap();
        let key = if row.logical.is_ipv4() { "ipv4.address.external" } else { "ipv6.address.external" };
        let port_row = |database: &mut Database, change: &dyn Fn(&mut Row)| {
            change(database.row_mut("Logical_Switch_Port", uuid).unwrap());
        };
        without("the port", &|db| drop(db.rows.remove(&("Logical_Switch_Port", uuid))));
        // Intents of other sources are not guarded.
        if old.get("external_ids", key).is_some() {
            without("the wish", &|db| port_row(db, &|row| row.set("external_ids", key, None)));
            without("that wish", &|db| {
                port_row(db, &|row| row.set("external_ids", key, Some("203.0.113.99")));
            });
        }
        without("the address", &|db| {
            port_row(db, &|new| {
                for column in ["addresses", "dynamic_addresses"] {
                    let others =
                        old.texts(column).filter(|text| !oracle::assigned(text).contains(&row.logical));
                    new.put(column, Value::texts(others));
                }
            });
        });
        without("the switch's port", &|db| {
            for ((table, _), row) in &mut db.rows {
                if *table == "Logical_Switch" {
                    row.link("ports", uuid, false);
                }
            }
        });
        let forwards = self.oracle().forwards(row.router);
        let forwards: Vec<_> = forwards.iter().filter(|forward| forward.address == row.external).collect();
        if forwards.is_empty() {
            // It is allowed without a forward.
            return databases;
        }
        without("the forward", &|db| {
            for forward in &forwards {
                let row = db.row_mut(forward.row.0, forward.row.1).unwrap();
                match &forward.vip {
                    Some(key) => row.set("vips", key, None),
                    None => row.put("external_ip", Value::text("203.0.113.99")),
                }
            }
        });
        without("the forward's row", &|db| {
            db.rows.retain(|key, _| !forwards.iter().any(|forward| forward.row == *key));
        });
        without("the forward's attachment", &|db| {
            for forward in &forwards {
                for ((table, _), row) in &mut db.rows {
                    match *table {
                        "Logical_Router" => {
                            row.link("nat", forward.row.1, false);
                            row.link("load_balancer", forward.row.1, false);
                        }
                        "Load_Balancer_Group" => row.link("load_balancer", forward.row.1, false),
                        _ => {}
                    }
                }
            }
        });
        without("the forward's router's sets", &|db| {
            let router = db.row_mut("Logical_Router", row.router).unwrap();
            for column in ["nat", "load_balancer", "load_balancer_group"] {
                router.put(column, Value::refs([]));
            }
        });
        databases
    }

    /// Only our own rows differ, and sets of routers by such rows.
    fn check_foreign(&self, before: &Database) {
        let oracle = self.oracle();
        let ours: BTreeSet<_> = [before, &self.database]
            .into_iter()
            .flat_map(|database| database.table("NAT"))
            .filter(|(_, row)| oracle.is_ours(row))
            .map(|(uuid, _)| uuid)
            .collect();
        let plain = |database: &Database| {
            let mut database = database.clone();
            for uuid in &ours {
                database.rows.remove(&("NAT", *uuid));
                for ((table, _), row) in &mut database.rows {
                    if *table == "Logical_Router" {
                        row.link("nat", *uuid, false);
                    }
                }
            }
            database
        };
        let (old, new) = (plain(before), plain(&self.database));
        let (old_routers, new_routers) = (old.table("Logical_Router"), new.table("Logical_Router"));
        assert!(old_routers.eq(new_routers), "a router lost a foreign row");
        assert_eq!(old, new, "a foreign row was changed");
    }
}

fn run(case: &Case) {
    let world = &mut World::new(case);
    world.check();
    for step in &case.steps {
        match step {
            Step::Edits(edits) => {
                world.edit(edits);
                world.check();
                world.check_guards();
            }
            Step::Configure(settings) => {
                world.configure(settings);
                world.check();
            }
            Step::Settle => world.settle(World::check_transaction, |world, before| {
                world.check_foreign(before);
                world.check();
            }),
            Step::Pass(_) | Step::Restart => {}
        }
    }
}

proptest! {
    #![proptest_config(case::config())]

    /// Regression: ovn-kubernetes#2764, whose `wait` has no timeout and blocks forever: our timeouts are all zero.
    #[test]
    fn engine_agrees_with_a_scan_of_the_database(case in Cases::Still) {
        run(&case);
    }
}

/// The comparison must not be trivial: cases lead to all outcomes.
#[test]
fn random_cases_contain_every_decision() {
    let owner = Owner::default();
    let rejections = Code::ALL.iter().filter(|code| !ELSEWHERE.contains(code)).map(|code| code.name());
    let sources = ["annotation", "kept", "policy", "router", "config"];
    let granted = ["at a port", "in a range", "granted", "foreign"];
    let mut missing: BTreeSet<_> = granted.into_iter().chain(sources).chain(rejections).collect();
    for n in 0..MAX_SURVEYED {
        let Case { start: mut database, mut settings, steps, .. } = case::nth(Cases::Still, n);
        for step in steps {
            match step {
                Step::Edits(edits) => edits.iter().for_each(|edit| edit.apply(&mut database, &owner)),
                Step::Configure(other) => settings = other,
                _ => {}
            }
        }
        let oracle = Oracle::new(&database, &owner, &settings);
        for decision in oracle.decisions().into_values().flatten() {
            missing.remove(decision.source);
            missing.remove(match decision.verdict {
                Verdict::Granted(rows) if rows.iter().any(|row| row.gateway_port.is_some()) => "at a port",
                Verdict::Granted(rows) if rows.iter().any(|row| row.port_range.is_some()) => "in a range",
                Verdict::Granted(_) => "granted",
                Verdict::Foreign(_) => "foreign",
                Verdict::Waiting(code) | Verdict::Rejected(code) | Verdict::Conflict(code) => code,
            });
        }
        if missing.is_empty() {
            return;
        }
    }
    panic!(
        "the oracle never decides {missing:?}: is the rule in oracle.rs? Then let scenario.rs draw what it needs, at the end of a function, so that the other networks stay the same"
    );
}
