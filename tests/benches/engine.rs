//! From a store to decisions and changes: `cargo bench -p ovn-extaddr-tests --bench engine`.

use std::time::Instant;

use divan::Bencher;
use divan::counter::ItemsCount;
use extaddr_core::clock::Now;
use extaddr_core::engine::{Engine, ReconcileKey};
use extaddr_core::ownership::Owner;
use extaddr_core::resolve::{Question, resolve};
use extaddr_core::rules::Rules;
use extaddr_core::sources::requests::Requests;
use extaddr_core::topology::reach;
use ovn_extaddr_tests::generate::{Estate, schema};
use ovn_model::{Change, Changes, Family, Store};
use ovsdb_protocol::testing::replay;
use ovsdb_protocol::{DatabaseSchema, Replica};

const ESTATE: Estate = Estate { networks: 50, instances: 200, forwards: 20, asking: 20, crowd: 0 };

fn main() {
    divan::main();
}

fn store() -> Store {
    let schema = schema().expect("OVN is installed: see scripts/setup");
    let mut store = Store::new();
    store.declare(&DatabaseSchema::parse(&schema).expect("a schema")).expect("a suitable schema");
    replay(ESTATE.reply(Store::monitors).as_bytes(), usize::MAX, &mut store).expect("a reply");
    store.take_changes();
    store
}

fn rules() -> Rules {
    Rules::new(Owner::default())
}

fn now() -> Now {
    Now { instant: Instant::now(), wall: 1_800_000_000 }
}

fn decided(store: &Store) -> Engine {
    let mut engine = Engine::new(rules());
    engine.update(store, &Changes { everything: true, list: Vec::new() }, now());
    engine
}

/// The topology behind a port, and the rows that fulfil its intent.
#[divan::bench]
fn resolve_one(bencher: Bencher<'_, '_>) {
    let (store, rules, requests) = (store(), rules(), Requests::default());
    let (_, port) = store.ports().find(|(_, port)| port.external(Family::V4).is_some()).expect("an intent");
    let reach = reach(&store, port.switch.expect("a switch"));
    let question = Question {
        store: &store,
        rules: &rules,
        requests: &requests,
        reach: &reach,
        port,
        family: Family::V4,
    };
    bencher.bench(|| resolve(question, &mut Vec::new(), &mut ()));
}

/// All decisions from nothing.
#[divan::bench]
fn decide_all(bencher: Bencher<'_, '_>) {
    let store = store();
    bencher.counter(ItemsCount::new(ESTATE.intents())).bench(|| decided(&store));
}

/// One port changed.
#[divan::bench]
fn decide_one(bencher: Bencher<'_, '_>) {
    let store = store();
    let mut engine = decided(&store);
    let port = engine.ports().next().expect("a port").clone();
    let changes = Changes { everything: false, list: vec![Change::Port(port)] };
    bencher.bench_local(|| engine.update(&store, &changes, now()));
}

/// The rows to be written, for all ports.
#[divan::bench]
fn plan_all(bencher: Bencher<'_, '_>) {
    let store = store();
    let engine = decided(&store);
    let subjects: Vec<ReconcileKey> = engine.unsettled().iter().cloned().collect();
    let all = || subjects.iter().map(|subject| engine.changes(&store, subject).len()).sum::<usize>();
    bencher.counter(ItemsCount::new(subjects.len())).bench_local(all);
}
