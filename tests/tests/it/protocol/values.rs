//! Values of every column type: the server and the library agree on accepted, sent and refused values.

use std::fs;

use anyhow::{Context, Result, bail, ensure};
use ovn_extaddr_tests::OvsdbServer;
use ovsdb_protocol::{
    ApplyError, Atom, Batch, Cache, Client, Condition, DatabaseSchema, Datum, Max, MonitorRequest,
    MonitorRequests, MonitorSelect, Mutation, Mutator, OperationResult, Outcome, Replica, Row, RowChange,
    RowFilter, RowUpdate, SchemaMismatch, Selection, Session, SessionConfig, SessionEvent, TransactError,
    Transaction, Uuid,
};
use serde_json::{Value, json};
use tokio::time::timeout;

use super::{Follower, SOON, client};

const ROW: Uuid = Uuid::from_u128(0x0e57_0000_0000_4000_8000_0000_0000_0001);

/// A table with a column of each kind, and one to refer to.
pub(super) fn schema() -> Value {
    let set = |key: Value| json!({"type": {"key": key, "min": 0, "max": "unlimited"}});
    let optional = |key: Value| json!({"type": {"key": key, "min": 0, "max": 1}});
    let map =
        |key: &str, value: &str| json!({"type": {"key": key, "value": value, "min": 0, "max": "unlimited"}});
    let reference = |strength: &str| json!({"type": "uuid", "refTable": "Target", "refType": strength});
    json!({"name": "Types", "version": "1.0.0", "tables": {
        "Target": {"columns": {"name": {"type": "string"}}, "isRoot": true},
        "Thing": {"isRoot": true, "maxRows": 9, "columns": {
            "integer": {"type": "integer"},
            "real": {"type": "real"},
            "boolean": {"type": "boolean"},
            "string": {"type": "string"},
            "uuid": {"type": "uuid"},
            "integers": set(json!("integer")),
            "reals": set(json!("real")),
            "booleans": set(json!("boolean")),
            "strings": set(json!("string")),
            "uuids": set(json!("uuid")),
            "maybe": optional(json!("string")),
            "maybe_real": optional(json!("real")),
            "some": {"type": {"key": "integer", "min": 1, "max": 3}},
            "enumerated": optional(json!({"type": "string", "enum": ["set", ["red", "blue"]]})),
            "numbered": optional(json!({"type": "real", "enum": ["set", [1, 2.5]]})),
            "ranged": optional(json!({"type": "integer", "minInteger": -5, "maxInteger": 5})),
            "ratio": optional(json!({"type": "real", "minReal": 0.0, "maxReal": 1.0})),
            "short": optional(json!({"type": "string", "minLength": 1, "maxLength": 3})),
            "strong": set(reference("strong")),
            "weak": set(reference("weak")),
            "texts": map("string", "string"),
            "counts": map("string", "integer"),
            "flags": map("integer", "boolean"),
            "weights": map("real", "real"),
            "names": map("uuid", "string"),
            "pair": {"type": {"key": "string", "value": "string", "min": 0, "max": 1}},
        }},
    }})
}

fn server() -> Result<OvsdbServer> {
    let file = tempfile::NamedTempFile::new()?;
    fs::write(file.path(), schema().to_string())?;
    OvsdbServer::with_schema(file.path())
}

async fn run<R>(client: &Client, build: impl FnOnce(&mut Transaction) -> R) -> Result<Outcome> {
    let mut transaction = Transaction::new("Types");
    let _ = build(&mut transaction);
    Ok(timeout(SOON, client.transact(&transaction)).await??)
}

async fn commit<R>(client: &Client, build: impl FnOnce(&mut Transaction) -> R) -> Result<()> {
    match run(client, build).await? {
        Outcome::Committed(_) => Ok(()),
        other => bail!("{other:?}"),
    }
}

/// A cache of these selections, kept in sync.
fn follower(server: &OvsdbServer, cache: Cache) -> Result<Follower> {
    Ok(Follower::with(Session::new(SessionConfig::new(server.remote().parse()?, "Types")), cache))
}

fn map<K: Into<Atom>, V: Into<Atom>>(pairs: impl IntoIterator<Item = (K, V)>) -> Datum {
    Datum::map(pairs)
}

/// Values that a server accepts, and returns unchanged.
pub(super) fn good() -> Vec<(&'static str, Datum)> {
    let texts = [
        "",
        "a",
        "\"\\/\u{8}\u{c}\n\r\t",
        "\u{1}\u{1f}\u{7f}",
        "é€😀\u{10ffff}\u{feff}",
        "\\u0000 \\ud800",
        "]}{[,:",
        "\u{2028}\u{ffff}",
    ];
    let mut values: Vec<(&str, Datum)> = vec![
        ("integer", i64::MAX.into()),
        ("integer", i64::MIN.into()),
        ("integer", 9_007_199_254_740_993_i64.into()),
        ("real", 1e300.into()),
        ("real", 1e-300.into()),
        ("real", (-0.0).into()),
        ("real", 3.0.into()),
        ("real", (-2.5).into()),
        ("real", 1e15.into()),
        ("real", 1e-307.into()),
        ("boolean", true.into()),
        ("uuid", Uuid::max().into()),
        ("uuid", Uuid::nil().into()),
        ("integers", Datum::empty()),
        ("integers", [5].into()),
        ("integers", vec![i64::MIN, -1, 0, 1, i64::MAX].into()),
        ("reals", [0.0, 1.0, 1.5, -1e300, 1e22].into()),
        ("booleans", [true, false].into()),
        ("strings", texts.into()),
        ("uuids", [Uuid::nil(), ROW, Uuid::max()].into()),
        ("maybe", None::<String>.into()),
        ("maybe", Some("").into()),
        ("maybe_real", Some(7.0).into()),
        ("some", [1, 2, 3].into()),
        ("enumerated", "red".into()),
        ("enumerated", Datum::empty()),
        ("numbered", 1.0.into()),
        ("numbered", 2.5.into()),
        ("ranged", (-5).into()),
        ("ranged", 5.into()),
        ("ratio", 0.0.into()),
        ("ratio", 1.0.into()),
        ("short", "é€😀".into()),
        ("texts", map(texts.map(|text| (text, text)))),
        ("texts", map::<Atom, Atom>([])),
        ("counts", map([("a", i64::MIN), ("b", i64::MAX)])),
        ("flags", map([(i64::MIN, true), (0, false)])),
        ("weights", map([(0.5, 2.0), (2.0, 0.5)])),
        ("names", map([(Uuid::nil(), "nil"), (Uuid::max(), "max")])),
        ("pair", map([("k", "v")])),
    ];
    values.extend(texts.map(|text| ("string", text.into())));
    values
}

/// Values that a server refuses.
fn bad() -> Vec<(&'static str, Datum)> {
    vec![
        ("integer", "1".into()),
        ("integer", 1.5.into()),
        ("integer", 1e19.into()),
        ("integer", true.into()),
        ("integer", Datum::empty()),
        ("integer", [1, 2].into()),
        ("real", "1".into()),
        ("real", true.into()),
        ("boolean", 1.into()),
        ("string", 1.into()),
        ("string", ROW.into()),
        ("uuid", "0e570000-0000-4000-8000-000000000001".into()),
        ("integers", vec![Atom::from(1), Atom::from("x")].into()),
        ("integers", vec![Atom::from(1), Atom::from(1.0)].into()),
        ("integers", map([(1, 1)])),
        ("reals", vec![Atom::from(1), Atom::from(1.0)].into()),
        ("maybe", ["a", "b"].into()),
        ("some", Datum::empty()),
        ("some", [1, 2, 3, 4].into()),
        ("enumerated", "green".into()),
        ("enumerated", "".into()),
        ("numbered", 2.into()),
        ("ranged", (-6).into()),
        ("ranged", 6.into()),
        ("ratio", (-0.1).into()),
        ("ratio", 1.1.into()),
        ("short", "".into()),
        ("short", "abcd".into()),
        ("texts", "a".into()),
        ("texts", map([("a", 1)])),
        ("counts", map([("a", "1")])),
        ("flags", map([(true, true)])),
        ("pair", map([("a", "1"), ("b", "2")])),
        ("unknown", 1.into()),
    ]
}

/// Accepted values conform to the server's schema and come back unchanged, by a select and by a monitor.
///
/// Regression: libovsdb, whose integers pass through floats and are rounded beyond 2^53.
#[tokio::test]
async fn accepted_values_are_returned_unchanged() -> Result<()> {
    let server = server()?;
    let client = client(&server).await?;
    let schema = client.get_schema("Types").await?;
    let table = schema.table("Thing").context("it is there")?;
    let mut follower = follower(&server, Cache::everything())?;
    follower.synced().await?;
    let some = || Row::new().with("some", [1]);
    commit(&client, |t| t.insert_as("Thing", ROW, some())).await?;
    for (column, value) in good() {
        let what = format!("{column} = {value:?}");
        let row = Row::new().with(column, value.clone());
        let expected = row.clone().conform(table).with_context(|| what.clone())?;
        // First from the default, then from the present value, then back by an insert of the whole row.
        commit(&client, |t| t.update("Thing", [Condition::uuid(ROW)], row.clone()))
            .await
            .context(what.clone())?;
        let outcome =
            run(&client, |t| t.select_columns("Thing", [Condition::eq(column, value.clone())], [column]));
        let Outcome::Committed(results) = outcome.await? else { bail!("{what}: no select") };
        let Some(OperationResult::Rows(rows)) = results.get(0) else { bail!("{what}: no rows") };
        let selected = rows.first().with_context(|| format!("{what} is not found by its value"))?;
        ensure!(selected.clone().conform(table)? == expected, "{what}: selected {selected:?}");
        let has = |follower: &Follower| {
            follower.cache.get("Thing", &ROW).is_some_and(|row| row.get(column) == expected.get(column))
        };
        while !has(&follower) {
            follower
                .next()
                .await
                .with_context(|| format!("{what}: {:?}", follower.cache.get("Thing", &ROW)))?;
        }
        commit(&client, |t| t.delete("Thing", [])).await?;
        while follower.cache.get("Thing", &ROW).is_some() {
            follower.next().await?;
        }
        let whole: Row = some().into_iter().chain(row).collect();
        commit(&client, |t| t.insert_as("Thing", ROW, whole)).await.with_context(|| what.clone())?;
        while !has(&follower) {
            follower.next().await.with_context(|| what.clone())?;
        }
    }
    assert_eq!(follower.cache.error(), None);
    assert!(follower.cache.problems().is_empty());
    // The server's arithmetic.
    let steps = [
        (Mutator::Add, 5),
        (Mutator::Subtract, 3),
        (Mutator::Multiply, 10),
        (Mutator::Divide, 4),
        (Mutator::Remainder, 100),
    ];
    let outcome = run(&client, |t| {
        t.update("Thing", [], Row::new().with("integer", 40));
        for (mutator, by) in steps {
            t.mutate("Thing", [], [Mutation::new("integer", mutator, by)]);
        }
        t.select_columns("Thing", [], ["integer"])
    });
    let Outcome::Committed(results) = outcome.await? else { bail!("no arithmetic") };
    assert_eq!(results.rows(6), Some(&[Row::new().with("integer", 5)][..]));
    assert_eq!(table.columns["some"].column_type.max, Max::Limited(3));
    Ok(())
}

#[tokio::test]
async fn refused_values_do_not_conform() -> Result<()> {
    let server = server()?;
    let client = client(&server).await?;
    let schema = client.get_schema("Types").await?;
    let table = schema.table("Thing").context("it is there")?;
    for (column, value) in bad() {
        let row = Row::new().with("some", 1).with(column, value);
        ensure!(row.clone().conform(table).is_err(), "{row:?} conforms");
        let outcome = run(&client, |t| t.insert("Thing", row.clone())).await?;
        let Outcome::Refused(TransactError { operation: Some(0), .. }) = outcome else {
            bail!("{row:?}: {outcome:?}")
        };
    }
    client.echo().await?;
    Ok(())
}

/// ovsdb-server writes 15 digits of a real, so that two elements of a set may have the same text and the largest
/// doubles become invalid.
#[tokio::test]
async fn unreadable_values_of_the_server_are_problems_of_their_columns() -> Result<()> {
    let server = server()?;
    let client = client(&server).await?;
    let row = Row::new().with("some", 1).with("string", "fine");
    commit(&client, |t| {
        t.insert_as(
            "Thing",
            ROW,
            row.clone().with("reals", [1.000_000_000_000_000_2, 1.000_000_000_000_000_4]),
        );
        t.insert("Thing", row.clone().with("real", f64::MAX));
    })
    .await?;
    let mut follower = follower(&server, Cache::everything())?;
    follower.synced().await?;
    assert_eq!(follower.cache.rows("Thing").count(), 2);
    assert!(follower.cache.rows("Thing").all(|(_, row)| row.get("string") == Some(&"fine".into())));
    let columns = |follower: &Follower| -> Vec<_> {
        let mut columns: Vec<_> = follower.cache.problems().iter().map(|it| it.column.to_string()).collect();
        columns.sort();
        columns
    };
    assert_eq!(columns(&follower), ["real", "reals"]);

    // A difference from an unknown set does not help; a whole new value of a scalar does.
    commit(&client, |t| {
        t.mutate("Thing", [], [Mutation::insert("reals", [2.5])]);
        t.update("Thing", [], Row::new().with("real", 0.5));
    })
    .await?;
    while columns(&follower) != ["reals"] {
        follower.next().await?;
    }
    // Other changes are not affected, and the row is complete when it is inserted again.
    commit(&client, |t| t.delete("Thing", [])).await?;
    while !columns(&follower).is_empty() {
        follower.next().await?;
    }
    assert_eq!(follower.cache.error(), None);
    Ok(())
}

/// ovsdb-server 3.1 and 3.7 crash if `monitor_cond_change` adds a condition on a column that several clients do not
/// monitor.
#[tokio::test]
async fn conditions_on_other_columns_do_not_crash_the_server() -> Result<()> {
    let server = server()?;
    let client = client(&server).await?;
    let insert =
        |t: &mut Transaction, n: i64| t.insert("Thing", Row::new().with("some", 1).with("integer", n));
    commit(&client, |t| (0..3).map(|n| insert(t, n)).count()).await?;
    let mut followers = Vec::new();
    for round in 0..4 {
        let selections = [
            Selection::table("Target").columns(["name"]),
            Selection::table("Thing")
                .columns(["string"])
                .rows(RowFilter::Any(vec![Condition::eq("integer", 1), Condition::eq("future", 1)]))
                .load_stage(1),
        ];
        let mut follower = follower(&server, Cache::new(selections))?;
        follower.synced().await?;
        followers.push(follower);
        commit(&client, |t| {
            t.update(
                "Thing",
                [Condition::eq("integer", 0)],
                Row::new().with("integer", 1).with("string", "x"),
            );
            t.update("Thing", [Condition::eq("integer", 2)], Row::new().with("integer", 0));
            t.delete("Thing", [Condition::eq("integer", 7)]);
            insert(t, if round % 2 == 0 { 2 } else { 0 })
        })
        .await?;
    }
    let outcome = run(&client, |t| t.select("Thing", [Condition::eq("integer", 1)])).await?;
    let Outcome::Committed(results) = outcome else { bail!("{outcome:?}") };
    let expected = results.rows(0).context("rows")?.len();
    for follower in &mut followers {
        while follower.cache.rows("Thing").count() != expected {
            follower.next().await?;
        }
        assert!(follower.session.is_synced(), "no connection was lost");
    }
    Ok(())
}

#[tokio::test]
async fn dry_run_transaction_reports_its_results_and_changes_nothing() -> Result<()> {
    let server = server()?;
    let client = client(&server).await?;
    let row = Row::new().with("some", 1);
    commit(&client, |t| t.insert("Thing", row.clone().with("texts", map([("k", "old"), ("o", "1")]))))
        .await?;
    let outcome = run(&client, |t| {
        t.mutate("Thing", [Condition::Boolean(true)], Mutation::set_key("texts", "k", "new"));
        t.mutate("Thing", [Condition::Boolean(false)], Mutation::set_key("texts", "k", "newer"));
        t.select_columns("Thing", [], ["texts"]);
        t.abort();
    });
    let Outcome::Refused(refusal) = outcome.await? else { bail!("an abort is a refusal") };
    assert_eq!((refusal.results.count(0), refusal.results.count(1)), (Some(1), Some(0)));
    let new = Row::new().with("texts", map([("k", "new"), ("o", "1")]));
    assert_eq!(refusal.results.rows(2), Some([new].as_slice()));
    let outcome = run(&client, |t| t.select_columns("Thing", [], ["texts"])).await?;
    let Outcome::Committed(results) = outcome else { bail!("{outcome:?}") };
    let old = Row::new().with("texts", map([("k", "old"), ("o", "1")]));
    assert_eq!(results.rows(0), Some([old].as_slice()));
    Ok(())
}

#[tokio::test]
async fn select_member_limits_the_reported_events() -> Result<()> {
    let server = server()?;
    let client = client(&server).await?;
    let target = |name: &str| Row::new().with("name", name);
    commit(&client, |t| t.insert("Target", target("there"))).await?;
    let select = MonitorSelect { initial: false, modify: false, ..MonitorSelect::default() };
    let mut session = Session::new(SessionConfig::new(server.remote().parse()?, "Types"));
    let mut events = Events { select, seen: Vec::new() };
    while !matches!(timeout(SOON, session.next(&mut events)).await?, SessionEvent::Synced { .. }) {}
    assert_eq!(events.seen, []);
    commit(&client, |t| t.update("Target", [], target("renamed"))).await?;
    commit(&client, |t| t.insert_as("Target", ROW, target("new"))).await?;
    assert!(matches!(timeout(SOON, session.next(&mut events)).await?, SessionEvent::Updated));
    assert_eq!(events.seen, [(ROW, "insert")]);
    commit(&client, |t| t.delete("Target", [])).await?;
    assert!(matches!(timeout(SOON, session.next(&mut events)).await?, SessionEvent::Updated));
    assert!(events.seen[1..].iter().all(|(_, kind)| *kind == "delete"), "{:?}", events.seen);
    Ok(())
}

/// A replica that keeps no rows, and records their changes.
struct Events {
    select: MonitorSelect,
    seen: Vec<(Uuid, &'static str)>,
}

impl Replica for Events {
    fn declare(&mut self, _: &DatabaseSchema) -> Result<MonitorRequests, SchemaMismatch> {
        Ok([("Target".to_owned(), MonitorRequest::columns(["name"]).select(self.select))].into())
    }

    fn begin(&mut self, _: Batch) {}

    fn apply(&mut self, update: RowUpdate<'_>) -> Result<(), ApplyError> {
        self.seen.push((
            update.uuid,
            match update.change {
                RowChange::Insert(_) => "insert",
                RowChange::Delete => "delete",
                _ => "modify",
            },
        ));
        Ok(())
    }

    fn commit(&mut self) {}
}
