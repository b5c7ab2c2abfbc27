//! From bytes to typed rows with all indexes: `cargo bench -p ovn-extaddr-tests --bench store`.

use divan::Bencher;
use divan::counter::BytesCount;
use ovn_extaddr_tests::generate::{Estate, schema};
use ovn_model::Store;
use ovsdb_protocol::testing::replay;
use ovsdb_protocol::{DatabaseSchema, Replica};

/// What a socket returns at once.
const CHUNK: usize = 64 << 10;

const ESTATE: Estate = Estate { networks: 50, instances: 200, forwards: 20, asking: 20, crowd: 0 };

fn main() {
    divan::main();
}

fn empty() -> Store {
    let schema = schema().expect("OVN is installed: see scripts/setup");
    let mut store = Store::new();
    store.declare(&DatabaseSchema::parse(&schema).expect("a schema")).expect("a suitable schema");
    store
}

/// A snapshot for an empty store.
#[divan::bench]
fn fill(bencher: Bencher<'_, '_>) {
    let reply = ESTATE.reply(Store::monitors);
    let bencher = bencher.counter(BytesCount::of_str(&reply)).with_inputs(empty);
    bencher.bench_values(|mut store| {
        replay(reply.as_bytes(), CHUNK, &mut store).expect("a reply");
        store
    });
}

/// The same snapshot again, as after a lost connection: nothing changes.
#[divan::bench]
fn fill_again(bencher: Bencher<'_, '_>) {
    let reply = ESTATE.reply(Store::monitors);
    let mut store = empty();
    replay(reply.as_bytes(), CHUNK, &mut store).expect("a reply");
    let bencher = bencher.counter(BytesCount::of_str(&reply));
    bencher.bench_local(|| replay(reply.as_bytes(), CHUNK, &mut store).expect("a reply"));
}
