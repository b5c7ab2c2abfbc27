//! Random transactions while the conditions of monitors change and connections break: at the end every copy equals the
//! server's content.
//!
//! `OVN_EXTADDR_SEED=7 OVN_EXTADDR_STEPS=5000 cargo test -p ovn-extaddr-tests --test it protocol::random -- --nocapture`

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use fastrand::Rng;
use ovn_extaddr_tests::{OvsdbServer, Snapshot};
use ovsdb_protocol::{
    Cache, Client, Condition, Datum, Function, IntoColumn, Monitor, Mutation, Row, RowFilter, Selection,
    Session, SessionConfig, Table, Transaction, TypedCondition, TypedRowFilter, Uuid,
};
use serde_json::{Value, json, to_value};
use tokio::sync::watch;
use tokio::time::{Instant, sleep, sleep_until, timeout};

use super::monitors::older;
use super::{Follower, SOON, unify_reals, values};
use crate::fixture::seed_and_steps;

const DATABASE: &str = "Types";

/// The number of concurrent writers.
const WRITERS: u64 = 3;

/// How often the server is killed.
const ROUNDS: u64 = 3;

/// Rows have one of this many numbers, by which transactions and conditions find them.
const NUMBERS: u64 = 6;

/// A part of a table with a column of each kind.
#[derive(Clone, Debug, Table)]
#[ovsdb(table = "Thing", load_stage = 1)]
struct Thing {
    #[ovsdb(index)]
    integer: i64,
    real: f64,
    boolean: bool,
    #[ovsdb(index)]
    strings: BTreeSet<String>,
    maybe: Option<String>,
    weak: Vec<Uuid>,
    counts: BTreeMap<String, i64>,
    pair: BTreeMap<String, String>,
}

/// Rule: a row that starts to match a condition is inserted, and one that ceases to is deleted.
#[tokio::test]
async fn caches_equal_the_server_after_random_conditions_and_disconnections() -> Result<()> {
    let (seed, steps) = seed_and_steps(600)?;
    let mut random = Rng::with_seed(seed);
    let mut server = Arc::new(server()?);
    let cache = || Cache::new([Selection::table("Target"), Selection::table("Thing").load_stage(1)]);
    let mut watchers = Vec::new();
    for remote in [server.remote(), server.tcp_remote(), older(&server)?] {
        let session = Session::new(SessionConfig::new(remote.parse()?, DATABASE));
        watchers.push(Watcher::new(Follower::with(session, cache()), random.fork()));
    }
    let (client, driver) = Client::connect(SessionConfig::new(server.remote().parse()?, DATABASE));
    tokio::spawn(driver);
    let mut typed = TypedWatcher { monitor: client.monitor().await?, random: random.fork() };

    for round in 0..ROUNDS {
        let (stop, stopped) = watch::channel(false);
        let writing: Vec<_> = (0..WRITERS)
            .map(|_| {
                let (server, random) = (Arc::clone(&server), random.fork());
                tokio::task::spawn_blocking(move || write(&server, random, steps / ROUNDS / WRITERS))
            })
            .collect();
        let writers = async {
            let mut committed = 0;
            for writer in writing {
                committed += writer.await??;
            }
            stop.send_replace(true);
            anyhow::Ok(committed)
        };
        let [a, b, c] = &mut watchers[..] else { unreachable!("there are three") };
        let (committed, ..) = tokio::try_join!(
            writers,
            a.watch(stopped.clone()),
            b.watch(stopped.clone()),
            c.watch(stopped.clone()),
            typed.watch(stopped),
        )?;
        ensure!(committed > 0, "no transaction was committed");
        Arc::get_mut(&mut server).context("a writer is left")?.restart()?;
        println!(
            "round {round}: {committed} transactions, {} rows",
            server.snapshot()?.rows("Thing").count()
        );
        for watcher in &mut watchers {
            watcher.settle(&server).await?;
        }
        typed.settle(&server).await?;
    }
    for watcher in &watchers {
        ensure!(watcher.changed > 0, "no condition was changed");
        assert_eq!(watcher.follower.cache.error(), None);
    }
    Ok(())
}

fn server() -> Result<OvsdbServer> {
    let mut schema = values::schema();
    schema["tables"]["Thing"].as_object_mut().context("a table")?.remove("maxRows");
    let file = tempfile::NamedTempFile::new()?;
    fs::write(file.path(), schema.to_string())?;
    OvsdbServer::with_schema(file.path())
}

// ===== writing =====

/// Sends this many random transactions, and sometimes breaks all connections. Returns the number of commits.
fn write(server: &OvsdbServer, mut random: Rng, transactions: u64) -> Result<u64> {
    let good = values::good();
    let mut committed = 0;
    for number in 0..transactions {
        let mut transaction = Transaction::new(DATABASE);
        // ovsdb-server 3.1 may crash if a transaction deletes a row with weak references to it and has other operations.
        if random.u64(..4) == 0 {
            change_target(&mut transaction, &mut random);
        } else {
            for _ in 0..1 + random.u64(..3) {
                change_thing(&mut transaction, &mut random, &good);
            }
        }
        let Value::Array(mut operations) = to_value(&transaction)? else { unreachable!("it is an array") };
        operations.remove(0);
        // Some violate a constraint, such as those that delete a row with strong references to it.
        committed += u64::from(server.transact(operations).is_ok());
        if number % 50 == 49 {
            server.appctl(&["ovsdb-server/reconnect"])?;
        }
    }
    Ok(committed)
}

fn change_thing(transaction: &mut Transaction, random: &mut Rng, good: &[(&'static str, Datum)]) {
    let some = |random: &mut Rng| [Condition::eq("integer", number(random))];
    match random.u64(..9) {
        0..=2 => drop(transaction.insert("Thing", thing(random, good))),
        3..=5 => {
            let mut row = thing(random, good);
            if random.u64(..4) > 0 {
                row.remove("integer");
            }
            transaction.update("Thing", some(random), row);
        }
        6 | 7 => {
            let mutations = mutations(random);
            transaction.mutate("Thing", some(random), mutations);
        }
        _ => drop(transaction.delete("Thing", some(random))),
    };
}

fn change_target(transaction: &mut Transaction, random: &mut Rng) {
    let uuid = target(random);
    if random.u64(..3) == 0 {
        transaction.delete("Target", [Condition::uuid(uuid)]);
    } else {
        let name = format!("target{}", random.u64(..3));
        transaction.insert_as("Target", uuid, Row::new().with("name", name));
    }
}

fn number(random: &mut Rng) -> i64 {
    random.u64(..NUMBERS) as i64
}

/// The UUID of a row of `Target`, which may exist.
fn target(random: &mut Rng) -> Uuid {
    Uuid::from_u128(0x7a_0000_0000_4000_8000_0000_0000_0000 + u128::from(random.u64(..4)))
}

/// Some columns of a row.
fn thing(random: &mut Rng, good: &[(&'static str, Datum)]) -> Row {
    let mut row = Row::new().with("some", 1);
    for _ in 0..random.u64(..8) {
        let (column, value) = &good[random.usize(..good.len())];
        row.insert(*column, value.clone());
    }
    for column in ["strong", "weak"] {
        if random.u64(..3) == 0 {
            row.insert(column, Datum::set((0..random.u64(..3)).map(|_| target(random))));
        }
    }
    row.with("integer", number(random))
}

fn mutations(random: &mut Rng) -> Vec<Mutation> {
    let strings = Datum::set((0..1 + random.u64(..3)).map(|_| format!("s{}", random.u64(..5))));
    let mut mutations = vec![match random.u64(..3) {
        0 => Mutation::insert("strings", strings),
        1 => Mutation::delete("strings", strings),
        _ => Mutation::insert("weak", target(random)),
    }];
    match random.u64(..3) {
        0 => mutations.extend(Mutation::set_key("counts", format!("k{}", random.u64(..3)), number(random))),
        1 => mutations.push(Mutation::delete("counts", format!("k{}", random.u64(..3)))),
        _ => mutations.extend(Mutation::set_key("texts", "k", format!("v{}", random.u64(..3)))),
    }
    mutations
}

// ===== watching =====

/// A condition that many or few rows of `Thing` meet.
fn condition(random: &mut Rng) -> Condition {
    match random.u64(..8) {
        0 => Condition::new("integer", Function::Less, number(random)),
        1 => Condition::includes("strings", format!("s{}", random.u64(..5))),
        2 => Condition::excludes("counts", Datum::map([("k0", number(random))])),
        3 => Condition::eq("boolean", random.u64(..2) == 0),
        4 => Condition::includes("weak", target(random)),
        5 => Condition::Boolean(random.u64(..2) == 0),
        _ => Condition::eq("integer", number(random)),
    }
}

fn filter(random: &mut Rng) -> RowFilter {
    match random.u64(..4) {
        0 => RowFilter::All,
        _ => RowFilter::Any((0..random.u64(..4)).map(|_| condition(random)).collect()),
    }
}

/// The rows of `Thing` that the filter selects, according to the server.
fn selected(server: &OvsdbServer, rows: &RowFilter) -> Result<Snapshot> {
    let mut all = server.snapshot()?;
    if let RowFilter::Any(conditions) = rows {
        let mut found = BTreeSet::new();
        for condition in conditions {
            let select = json!({"op": "select", "table": "Thing", "columns": ["_uuid"], "where": [to_value(condition)?]});
            let result = server.transact(vec![select])?;
            let rows = result[0]["rows"].as_array().context("rows")?;
            found.extend(rows.iter().filter_map(|row| Some(row["_uuid"][1].as_str()?.to_owned())));
        }
        all.tables.get_mut("Thing").context("a table")?.retain(|uuid, _| found.contains(uuid));
    }
    Ok(all)
}

/// A session whose conditions change.
struct Watcher {
    follower: Follower,
    random: Rng,
    /// The number of changes.
    changed: u64,
}

impl Watcher {
    fn new(follower: Follower, random: Rng) -> Self {
        Self { follower, random, changed: 0 }
    }

    /// Receives everything, and sometimes changes conditions, until the writers have ended.
    async fn watch(&mut self, mut stopped: watch::Receiver<bool>) -> Result<()> {
        let mut next_change = Instant::now();
        while !*stopped.borrow() {
            tokio::select! {
                event = self.follower.next() => drop(event?),
                () = sleep_until(next_change) => {
                    let rows = filter(&mut self.random);
                    self.changed += u64::from(self.follower.session.set_condition("Thing", rows).is_ok());
                    next_change = Instant::now() + Duration::from_millis(self.random.u64(..40));
                }
                _ = stopped.changed() => {}
            }
        }
        Ok(())
    }

    /// Chooses a last condition, and continues until the cache equals the server's selection by it.
    async fn settle(&mut self, server: &OvsdbServer) -> Result<()> {
        let rows = filter(&mut self.random);
        let start = Instant::now();
        while self.follower.session.set_condition("Thing", rows.clone()).is_err() {
            ensure!(start.elapsed() < 3 * SOON, "the condition cannot be changed");
            self.follower.next().await?;
        }
        let expected = selected(server, &rows)?;
        self.follower.reach(&expected).await.with_context(|| format!("with {rows:?}"))
    }
}

/// A typed table whose conditions change.
struct TypedWatcher {
    monitor: Monitor<Thing>,
    random: Rng,
}

impl TypedWatcher {
    fn filter(&mut self) -> (TypedRowFilter<Thing>, RowFilter) {
        let random = &mut self.random;
        let conditions: Vec<TypedCondition<Thing>> = match random.u64(..4) {
            0 => return (RowFilter::All, RowFilter::All),
            1 => vec![],
            2 => vec![Thing::COLUMNS.integer.eq(number(random))],
            _ => vec![
                Thing::COLUMNS.strings.includes([format!("s{}", random.u64(..5))]),
                Thing::COLUMNS.integer.condition(Function::GreaterOrEqual, number(random)),
            ],
        };
        let untyped = conditions.iter().cloned().map(TypedCondition::into_untyped).collect();
        (RowFilter::Any(conditions), RowFilter::Any(untyped))
    }

    async fn watch(&mut self, mut stopped: watch::Receiver<bool>) -> Result<()> {
        while !*stopped.borrow() {
            let pause = Duration::from_millis(self.random.u64(..60));
            tokio::select! {
                () = sleep(pause) => {
                    let (rows, _) = self.filter();
                    // A connection that breaks at that moment leaves the conditions to the next one.
                    let _ = timeout(SOON, self.monitor.set_condition(rows)).await.context("no condition is set")?;
                }
                _ = stopped.changed() => {}
            }
        }
        Ok(())
    }

    async fn settle(&mut self, server: &OvsdbServer) -> Result<()> {
        let (rows, untyped) = self.filter();
        timeout(3 * SOON, self.monitor.set_condition(rows)).await.context("no condition is set")??;
        let expected = selected(server, &untyped)?;
        let expected: BTreeMap<_, _> = expected.rows("Thing").collect();
        let start = Instant::now();
        loop {
            let found = self.monitor.rows();
            let is_equal = found.len() == expected.len()
                && found.iter().all(|(uuid, row)| {
                    let columns = expected.get(&*uuid.to_string());
                    columns.is_some_and(|columns| is_same(row, columns))
                });
            if is_equal {
                for (uuid, row) in &found {
                    let by_integer = self.monitor.find(Thing::INDEXES.integer, &row.integer);
                    ensure!(by_integer.iter().any(|(found, _)| found == uuid), "{row:?} is not found");
                }
                return Ok(());
            }
            ensure!(start.elapsed() < 3 * SOON, "with {untyped:?}, {found:?} and not {expected:?}");
            let _ = timeout(Duration::from_millis(100), self.monitor.next()).await;
        }
    }
}

/// Returns true if a typed row equals the output of the server's own tool.
fn is_same(row: &Thing, columns: &ovn_extaddr_tests::Row) -> bool {
    let row = row.clone();
    let own: [(&str, Datum); 8] = [
        ("integer", row.integer.into()),
        ("real", row.real.into()),
        ("boolean", row.boolean.into()),
        ("strings", row.strings.into_column()),
        ("maybe", IntoColumn::<Option<String>>::into_column(row.maybe)),
        ("weak", row.weak.into_column()),
        ("counts", row.counts.into_column()),
        ("pair", row.pair.into_column()),
    ];
    own.iter().all(|(name, datum)| {
        let (Ok(mut own), Some(mut found)) = (to_value(datum), columns.get(*name).cloned()) else {
            return false;
        };
        unify_reals(&mut own);
        unify_reals(&mut found);
        own == found
    })
}
