//! Random edits, after each of which everything must agree with the oracle.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use extaddr_core::batch;
use extaddr_core::change::RowChange;
use extaddr_core::clock::Now;
use extaddr_core::engine::{Engine, ReconcileKey};
use extaddr_core::ownership::Owner;
use extaddr_core::reason::Code;
use extaddr_core::rules::{DefaultTargetRule, Rules};
use ovn_model::Store;
use ovsdb_protocol::Batch;
use proptest::prelude::*;

use crate::model::{Database, Value, delta, feed, fresh_store, snapshot};
use crate::oracle::{self, Change, Oracle, Verdict};
use crate::scenario::{Choices, edit, network};
use crate::transact::{execute, guards, written};
use crate::view;

/// Cases of a run that is not told otherwise by `PROPTEST_CASES`.
const CASES: u32 = 2000;

/// Transactions until nothing is left to do. One is enough, unless somebody put a row of ours where
/// its successor has to be: a row that is on another router too, or tagged for another port.
const MAX_ROUNDS: usize = 4;

/// The reasons that need what these worlds do not have: a policy, a configuration, a CMS, or a database that refuses.
const ELSEWHERE: [Code; 6] = [
    Code::NotPermitted,
    Code::NotATarget,
    Code::NoPort,
    Code::Refused,
    Code::SourceUnreachable,
    Code::DisputedInstance,
];

/// The rules of a static world: nothing is converted, and nothing takes time.
fn rules(owner: Owner) -> Rules {
    Rules {
        default_target: DefaultTargetRule::Reject,
        drain: Duration::ZERO,
        hold_down: Duration::ZERO,
        min_source_ports: oracle::MIN_SOURCE_PORTS,
        ..Rules::new(owner)
    }
}

fn now() -> Now {
    Now { instant: Instant::now(), wall: 1_800_000_000 }
}

/// A database, and what follows it.
struct World {
    owner: Owner,
    database: Database,
    store: Store,
    engine: Engine,
}

impl World {
    fn new(database: Database, c: &mut Choices) -> Self {
        let owner = Owner::default();
        let mut store = fresh_store(&database, c);
        let mut engine = Engine::new(rules(owner.clone()));
        engine.catch_up(&mut store, now());
        Self { owner, database, store, engine }
    }

    fn oracle(&self) -> Oracle<'_> {
        Oracle { database: &self.database, owner: &self.owner }
    }

    /// Lets the store and the engine know what became of the database.
    fn follow(&mut self, after: Database, c: &mut Choices) {
        let mut updates = delta(&self.database, &after, c.one_in(4));
        self.database = after;
        let mut batch = Batch::Delta;
        if c.one_in(8) {
            (updates, batch) = (snapshot(&self.database), Batch::Snapshot);
        }
        c.shuffle(&mut updates);
        feed(&mut self.store, batch, &updates);
        self.engine.catch_up(&mut self.store, now());
    }

    // ----- checks -----

    /// The engine says what the oracle says, and so do an engine and a store that start again.
    fn check(&self, c: &mut Choices) {
        let decisions = self.oracle().decisions();
        let changes = self.oracle().all_changes(&decisions);
        let (reached, forwards) = (self.oracle().reached(), self.oracle().all_forwards());
        let check = |who, store: &Store, engine: &Engine| {
            let decided = view::decisions(store, engine);
            for name in decisions.keys().chain(decided.keys()) {
                assert_eq!(decided.get(name), decisions.get(name), "{who} on {name}");
            }
            assert_eq!(view::all_changes(store, engine), changes, "{who}");
            view::check_standings(store, engine);
            // What can be reached and what is forwarded, wished for or not.
            assert_eq!(view::reached(store), reached, "{who}");
            assert_eq!(view::forwards(store, &self.owner), forwards, "{who}");
        };
        check("the engine", &self.store, &self.engine);

        let everything = ovn_model::Changes { everything: true, list: Vec::new() };
        let mut fresh = Engine::new(rules(self.owner.clone()));
        fresh.update(&self.store, &everything, now());
        check("a fresh engine", &self.store, &fresh);

        let mut store = fresh_store(&self.database, c);
        let mut fresh = Engine::new(rules(self.owner.clone()));
        fresh.catch_up(&mut store, now());
        check("a fresh engine on a fresh store", &store, &fresh);

        let mut withdrawing = Engine::withdrawing(rules(self.owner.clone()));
        withdrawing.update(&store, &everything, now());
        let expected = self.oracle().all_changes(&BTreeMap::new());
        assert_eq!(view::all_changes(&store, &withdrawing), expected, "withdrawing");
    }

    /// What is written is ours, and rests on guards that hold.
    fn check_transaction(&self, batch: &batch::Batch) {
        let transaction = &batch.transaction;
        let inserted: BTreeSet<_> = batch
            .subjects
            .values()
            .flatten()
            .filter_map(|change| if let RowChange::Insert(row) = change { Some(row.uuid) } else { None })
            .collect();
        for (table, uuid) in written(&self.database, transaction) {
            match (table, self.database.row(table, uuid)) {
                ("NAT", Some(row)) if self.oracle().is_ours(row) => {}
                // It is inserted: should the row be there, the database will refuse it.
                ("NAT", _) if inserted.contains(&uuid) => {}
                // Its set of NAT rows is changed; the rows are compared in `settle`.
                ("Logical_Router", Some(_)) => {}
                _ => panic!("{table} {uuid} is not ours: {transaction:#?}"),
            }
        }
        let (_, failing) = guards(&self.database, transaction);
        assert_eq!(failing, 0, "{transaction:#?}");
    }

    fn transaction(&self, ports: BTreeMap<Arc<str>, Vec<RowChange>>) -> batch::Batch {
        let subjects = ports.into_iter().map(|(port, changes)| (ReconcileKey::Port(port), changes)).collect();
        batch::merge(&self.store, &self.engine, &self.owner.lock(), subjects, now())
    }

    /// Whatever a row to be written rests on, its transaction fails once that is no more.
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

    /// Databases that each lack a fact that the row rests on.
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
        let port_row = |database: &mut Database, change: &dyn Fn(&mut crate::model::Row)| {
            change(database.row_mut("Logical_Switch_Port", uuid).unwrap());
        };
        without("the port", &|db| drop(db.rows.remove(&("Logical_Switch_Port", uuid))));
        without("the wish", &|db| port_row(db, &|row| row.set("external_ids", key, None)));
        without("that wish", &|db| port_row(db, &|row| row.set("external_ids", key, Some("203.0.113.99"))));
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

    // ----- what the agent does -----

    /// Writes what the engine wants until it wants nothing more.
    fn settle(&mut self, c: &mut Choices) {
        for round in 0.. {
            let changes = |port| self.engine.changes(&self.store, &ReconcileKey::Port(Arc::clone(port)));
            let mut ports: BTreeMap<_, _> =
                view::unsettled(&self.engine).map(|port| (Arc::clone(port), changes(port))).collect();
            let mut after = None;
            while after.is_none() && !ports.is_empty() {
                let batch = self.transaction(ports.clone());
                self.check_transaction(&batch);
                match execute(&self.database, &batch.transaction) {
                    Ok(database) => after = Some(database),
                    // As the agent does: the others go without the one that is refused.
                    Err((operation, error)) => {
                        let Some(subject @ ReconcileKey::Port(port)) = batch.origin(operation) else {
                            panic!("{error}")
                        };
                        let taken = batch.subjects[subject].iter().any(|change| {
                            matches!(change, RowChange::Insert(row)
                                if self.database.row("NAT", row.uuid).is_some())
                        });
                        assert!(taken, "{error}: {:#?}", batch.transaction);
                        ports.remove(port);
                    }
                }
            }
            let Some(after) = after else { return };
            assert!(round < MAX_ROUNDS, "it does not settle: {ports:#?}");
            self.check_foreign(&after);
            self.follow(after, c);
            self.check(c);
        }
    }

    /// Nothing but rows of ours differs, and routers' sets by such rows.
    fn check_foreign(&self, after: &Database) {
        let ours: BTreeSet<_> = [&self.database, after]
            .into_iter()
            .flat_map(|database| database.table("NAT"))
            .filter(|(_, row)| self.oracle().is_ours(row))
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
        let (old, new) = (plain(&self.database), plain(after));
        let (old_routers, new_routers) = (old.table("Logical_Router"), new.table("Logical_Router"));
        assert!(old_routers.eq(new_routers), "a router lost a foreign row");
        assert_eq!(old, new, "a foreign row was changed");
    }
}

fn run(seed: u64, old: bool, batches: &[Vec<u64>]) {
    let c = &mut Choices(seed);
    let mut world = World::new(network(c, old), c);
    world.check(c);
    for edits in std::iter::once(&Vec::new()).chain(batches) {
        let mut after = world.database.clone();
        edits.iter().for_each(|seed| edit(&mut after, &world.owner, &mut Choices(*seed)));
        after.drop_unreferenced_tagged();
        world.follow(after, c);
        world.check(c);
        world.check_guards();
        if c.one_in(2) {
            world.settle(c);
        }
    }
}

fn config() -> ProptestConfig {
    let mut config = ProptestConfig::default();
    if std::env::var_os("PROPTEST_CASES").is_none() {
        config.cases = CASES;
    }
    config
}

proptest! {
    #![proptest_config(config())]

    /// Regression: ovn-kubernetes#2764, whose `wait` has no timeout and blocks for ever: ours are all zero.
    #[test]
    fn the_engine_agrees_with_looking_at_everything(
        seed: u64,
        old in prop::bool::weighted(0.1),
        batches in prop::collection::vec(prop::collection::vec(any::<u64>(), 1..5), 0..6),
    ) {
        run(seed, old, &batches);
    }
}

/// What is compared must not be trivial: all outcomes come up, and often enough.
#[test]
fn the_scenarios_lead_to_every_verdict() {
    let mut count = BTreeMap::new();
    for seed in 0..2000 {
        let c = &mut Choices(seed);
        let mut database = network(c, false);
        let owner = Owner::default();
        (0..c.below(6)).for_each(|_| edit(&mut database, &owner, c));
        for decision in (Oracle { database: &database, owner: &owner }).decisions().into_values().flatten() {
            let verdict = match decision.verdict {
                Verdict::Granted(rows) if rows.iter().any(|row| row.gateway_port.is_some()) => "at a port",
                Verdict::Granted(rows) if rows.iter().any(|row| row.port_range.is_some()) => "in a range",
                Verdict::Granted(_) => "granted",
                Verdict::Foreign(_) => "foreign",
                Verdict::Waiting(code) | Verdict::Rejected(code) | Verdict::Conflict(code) => code,
            };
            *count.entry(verdict).or_insert(0) += 1;
        }
    }
    println!("{count:#?}");
    let rejections = Code::ALL.iter().filter(|code| !ELSEWHERE.contains(code)).map(|code| code.name());
    for verdict in ["at a port", "in a range", "granted", "foreign"].into_iter().chain(rejections) {
        assert!(count.get(verdict).is_some_and(|n| *n >= 5), "{verdict}: {count:#?}");
    }
}
