//! From bytes to rows: `cargo bench -p ovn-extaddr-tests --bench codec`.

use divan::counter::BytesCount;
use divan::{Bencher, black_box};
use ovn_extaddr_tests::generate::{Estate, schema};
use ovn_model::Store;
use ovsdb_protocol::testing::replay;
use ovsdb_protocol::{
    ApplyError, Batch, Cache, ColumnSink, DatabaseSchema, DatumReader, DecodeError, MonitorRequests, Replica,
    RowChange, RowUpdate, SchemaMismatch,
};

/// What a socket returns at once.
const CHUNK: usize = 64 << 10;

const ESTATE: Estate = Estate { networks: 50, instances: 200, forwards: 20, asking: 20, crowd: 0 };

fn main() {
    divan::main();
}

/// Finds where rows begin and end.
#[divan::bench]
fn scan(bencher: Bencher<'_, '_>) {
    let reply = ESTATE.reply(Store::monitors);
    let bencher = bencher.counter(BytesCount::of_str(&reply));
    bencher.bench(|| replay(reply.as_bytes(), CHUNK, &mut Blind).expect("a reply"));
}

/// Reads every column of every row.
#[divan::bench]
fn read(bencher: Bencher<'_, '_>) {
    let reply = ESTATE.reply(Store::monitors);
    let bencher = bencher.counter(BytesCount::of_str(&reply));
    bencher.bench(|| replay(reply.as_bytes(), CHUNK, &mut Reader).expect("a reply"));
}

/// Keeps every row, untyped.
#[divan::bench]
fn cache(bencher: Bencher<'_, '_>) {
    let reply = ESTATE.reply(Store::monitors);
    let schema = schema().expect("OVN is installed: see scripts/setup");
    let schema = DatabaseSchema::parse(&schema).expect("a schema");
    let bencher = bencher.counter(BytesCount::of_str(&reply));
    bencher.bench(|| {
        let mut cache = Cache::everything();
        cache.declare(&schema).expect("a suitable schema");
        replay(reply.as_bytes(), CHUNK, &mut cache).expect("a reply");
        cache
    });
}

/// Sees rows and does not read them.
struct Blind;

/// Reads all columns.
struct Reader;

impl Replica for Blind {
    fn declare(&mut self, _: &DatabaseSchema) -> Result<MonitorRequests, SchemaMismatch> {
        Ok(MonitorRequests::new())
    }

    fn begin(&mut self, _: Batch) {}

    fn apply(&mut self, update: RowUpdate<'_>) -> Result<(), ApplyError> {
        black_box(update);
        Ok(())
    }

    fn commit(&mut self) {}
}

impl Replica for Reader {
    fn declare(&mut self, _: &DatabaseSchema) -> Result<MonitorRequests, SchemaMismatch> {
        Ok(MonitorRequests::new())
    }

    fn begin(&mut self, _: Batch) {}

    fn apply(&mut self, update: RowUpdate<'_>) -> Result<(), ApplyError> {
        if let RowChange::Insert(columns) = update.change {
            columns.read(self).expect("a row");
        }
        Ok(())
    }

    fn commit(&mut self) {}
}

impl ColumnSink for Reader {
    fn column(&mut self, name: &str, value: &mut DatumReader<'_, '_>) -> Result<(), DecodeError> {
        match name {
            "external_ids" | "options" | "vips" => value.string_pairs(|key, value| {
                black_box((key.len(), value.len()));
            }),
            _ => value.atoms(|atom| {
                black_box(atom.as_str().map(str::len));
                Ok(())
            }),
        }
    }

    fn rejected(&mut self, name: &str, error: DecodeError) {
        panic!("{name}: {error}");
    }
}
