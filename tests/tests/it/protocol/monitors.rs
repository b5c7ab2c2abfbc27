use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result, bail};
use ovn_extaddr_tests::{Addressing, Net, OvsdbServer, Proxy, json_map, json_set};
use ovsdb_protocol::{
    Cache, Change, Condition, Datum, Outcome, Row, RowFilter, Selection, Session, SessionConfig,
    SessionEvent, Table, Transaction, TypedRow,
};
use serde_json::{Value, json};
use tokio::time::timeout;

use super::{Follower, SOON, client};

/// A proxy between a client and the server that makes it look like Open vSwitch 2.6: without `monitor_cond_since`.
/// Returns the remote.
pub(super) fn older(server: &OvsdbServer) -> Result<String> {
    let older = |text: &str| text.replace("cond_since", "cond_later");
    Ok(Proxy::start(server.dir().join("old.sock"), &server.socket(), older, str::to_owned)?.remote())
}

/// Changes sets, maps, optional values and rows in ways that differ with `seed`.
fn churn(server: &OvsdbServer, seed: u64) -> Result<()> {
    let mut state = seed;
    let mut pick = |bound: u64| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % bound
    };
    for _ in 0..60 {
        let name = format!("set{}", pick(4));
        let row = json!([["name", "==", name]]);
        let addresses: BTreeSet<_> = (0..pick(4)).map(|_| format!("10.0.0.{}", pick(6))).collect();
        let addresses = json_set(addresses.into_iter().map(Value::from));
        let pairs: BTreeMap<_, _> =
            (0..pick(4)).map(|_| (format!("k{}", pick(4)), format!("v{}", pick(2)))).collect();
        let port = format!("port{}", pick(3));
        let tag = if pick(2) == 0 { json_set([]) } else { json!(1 + pick(3)) };
        let operations = match pick(8) {
            0 => vec![json!({"op": "delete", "table": "Address_Set", "where": row})],
            1 | 2 => vec![
                json!({"op": "delete", "table": "Address_Set", "where": row}),
                json!({"op": "insert", "table": "Address_Set", "row": {"name": name, "addresses": addresses}}),
            ],
            3 => vec![
                json!({"op": "update", "table": "Address_Set", "where": row, "row": {"addresses": addresses}}),
            ],
            4 => vec![
                json!({"op": "update", "table": "Address_Set", "where": [], "row": {"external_ids": json_map(pairs)}}),
            ],
            5 => vec![json!({"op": "mutate", "table": "Address_Set", "where": row, "mutations": [
                ["addresses", "insert", addresses], ["external_ids", "delete", json_set([json!("k1")])]]})],
            6 => vec![
                json!({"op": "delete", "table": "Logical_Switch", "where": [["name", "==", port]]}),
                json!({"op": "insert", "table": "Logical_Switch", "row": {"name": port, "ports": ["named-uuid", "p"]}}),
                json!({"op": "insert", "table": "Logical_Switch_Port", "uuid-name": "p", "row": {"name": port}}),
            ],
            _ => vec![
                json!({"op": "update", "table": "Logical_Switch_Port", "where": [["name", "==", port]], "row": {"tag": tag}}),
            ],
        };
        // Names of ports are unique; a refused duplicate does not matter.
        server.transact(operations)?;
    }
    Ok(())
}

/// Regression: henrybarreto/ovsdb, to which all rows of `monitor_cond` are empty.
#[tokio::test]
async fn all_monitor_versions_report_the_same_rows() -> Result<()> {
    let server = OvsdbServer::northbound()?;
    let mut net = Net::builder(1).create(&server)?;
    let instance = net.add_instance(Addressing::Static)?;
    net.add_forward("203.0.113.101".parse()?, 443, instance.v4()?, 8443)?;

    let [mut newest, mut middle] = [Follower::new(&server)?, Follower::connect(&older(&server)?)?];
    for seed in 1..=3 {
        for follower in [&mut newest, &mut middle] {
            follower.catch_up(&server).await?;
        }
        churn(&server, seed)?;
    }
    for follower in [&mut newest, &mut middle] {
        follower.catch_up(&server).await?;
    }
    assert_eq!(newest.content()?, middle.content()?);

    // This breaks the connections, and from now on the server behaves like one before 2.6.
    server.appctl(&["ovsdb-server/disable-monitor-cond"])?;
    let mut oldest = Follower::new(&server)?;
    oldest.catch_up(&server).await?;
    let told = newest.told;
    newest.synced().await?;
    assert_eq!(newest.told, told, "the same content another way is no difference");
    for seed in 4..=6 {
        churn(&server, seed)?;
        for follower in [&mut newest, &mut oldest] {
            follower.catch_up(&server).await?;
        }
    }
    for follower in [&newest, &middle, &oldest] {
        assert_eq!(follower.cache.error(), None);
    }
    Ok(())
}

/// Regression: libovsdb, which drops events when its reader is slow. The server joins changes instead.
#[tokio::test]
async fn slow_reader_arrives_at_the_same_content() -> Result<()> {
    let server = OvsdbServer::northbound()?;
    let mut follower = Follower::new(&server)?;
    follower.synced().await?;
    // Nobody reads meanwhile: the server joins what it cannot send.
    for seed in 10..=20 {
        churn(&server, seed)?;
    }
    follower.catch_up(&server).await?;
    assert_eq!(follower.cache.error(), None);
    Ok(())
}

/// Rule: a row that starts to match a condition is inserted, and one that ceases to is deleted.
#[tokio::test]
async fn monitor_conditions_limit_columns_and_rows() -> Result<()> {
    let server = OvsdbServer::northbound()?;
    let add = |name: &str| json!({"op": "insert", "table": "Address_Set", "row": {"name": name}});
    server.transact(vec![add("a"), add("b"), add("c")])?;
    let named = |name: &str| Condition::eq("name", name);
    let selections = [
        Selection::table("Address_Set")
            .columns(["name", "future"])
            .rows(RowFilter::Any(vec![named("a"), named("b")])),
        Selection::table("Meter").rows(RowFilter::Any(vec![])),
        Selection::table("Future"),
    ];
    let session = Session::new(SessionConfig::new(server.remote().parse()?, "OVN_Northbound"));
    let mut follower = Follower::with(session, Cache::new(selections));
    follower.synced().await?;
    let names = |follower: &Follower| -> Vec<_> {
        let mut rows: Vec<_> = follower.cache.rows("Address_Set").map(|(_, row)| (**row).clone()).collect();
        rows.sort();
        rows
    };
    let row = |name: &str| Row::new().with("name", name);
    assert_eq!(names(&follower), [row("a"), row("b")]);
    let absent: Vec<_> = follower.cache.absent().iter().map(ToString::to_string).collect();
    assert_eq!(absent, ["Address_Set.future", "Future"]);

    // A row that starts to match is inserted, and one that ceases to is deleted.
    let rename = |from: &str, to: &str| json!({"op": "update", "table": "Address_Set", "where": [["name", "==", from]], "row": {"name": to}});
    server.transact(vec![rename("a", "x"), rename("c", "a")])?;
    while !matches!(follower.next().await?, SessionEvent::Updated) {}
    assert_eq!(names(&follower), [row("a"), row("b")]);
    assert_eq!(follower.told, [3, 0, 1]);
    Ok(())
}

#[derive(Clone, Debug, Table)]
#[ovsdb(table = "Address_Set")]
struct AddressSet {
    #[ovsdb(index)]
    name: String,
}

#[derive(Clone, Debug, Table)]
#[ovsdb(table = "Meter")]
struct Meter {
    #[ovsdb(column = "name")]
    _name: String,
}

#[derive(Clone, Debug, Table)]
#[ovsdb(table = "Nope")]
struct Nope {
    #[ovsdb(column = "name")]
    _name: String,
}

#[tokio::test]
async fn client_keeps_typed_tables() -> Result<()> {
    let server = OvsdbServer::northbound()?;
    let client = client(&server).await?;
    let insert = |name: &str| {
        let mut transaction = Transaction::new("OVN_Northbound");
        transaction.on::<AddressSet>().insert(TypedRow::new().with(AddressSet::COLUMNS.name, name));
        transaction
    };
    let Outcome::Committed(made) = client.transact(&insert("a")).await? else { bail!("not committed") };
    let a = made.uuid(0).context("an insert")?;
    let mut sets = timeout(SOON, client.monitor::<AddressSet>()).await??;
    let names = |changes: Vec<Change<AddressSet>>| -> Vec<String> {
        changes.iter().filter_map(|change| Some(change.new.as_ref()?.name.clone())).collect()
    };
    assert_eq!(names(timeout(SOON, sets.next()).await??), ["a"]);

    // Another table, on the existing connection.
    let found = sets.find_one(AddressSet::INDEXES.name, "a").map(|(uuid, _)| uuid);
    assert_eq!((found, sets.find(AddressSet::INDEXES.name, "b").len()), (Some(a), 0));
    let meters = timeout(SOON, client.monitor::<Meter>()).await??;
    assert!(meters.rows().is_empty() && sets.take_changes().is_empty());

    client.transact(&insert("b")).await?;
    assert_eq!(names(sets.take_changes()), ["b"], "before the outcome");
    let only_a = || RowFilter::Any(vec![AddressSet::COLUMNS.name.eq("a")]);
    timeout(SOON, sets.set_condition(only_a())).await??;
    assert_eq!(sets.rows().len(), 1);
    assert!(sets.take_changes().iter().all(|change| change.new.is_none()));
    server.transact(vec![json!({"op": "delete", "table": "Address_Set", "where": []})])?;
    let gone = timeout(SOON, sets.next()).await??;
    assert_eq!((gone.len(), gone[0].uuid, gone[0].new.is_none()), (1, a, true));

    let error = client.clone().fail_fast().monitor::<Nope>().await.expect_err("no such table");
    assert!(error.to_string().contains("Nope"), "{error:#}");
    client.echo().await?;
    Ok(())
}

/// Regression: openshift/ovn-kubernetes#931 and ovn-kubernetes#2754, where parsing takes ten seconds and breaks the
/// connection.
#[tokio::test]
async fn five_thousand_rows_are_read_in_time() -> Result<()> {
    let server = OvsdbServer::northbound()?;
    let rows = |from: u32| -> Vec<Value> {
        let ids = |n: u32| json_map([("number", n.to_string()), ("text", "\"\\é".repeat(20))]);
        (from..from + 1000)
            .map(|n| {
                json!({"op": "insert", "table": "Address_Set", "row": {
                "name": format!("set{n}"), "external_ids": ids(n),
                "addresses": json_set((0..n % 20).map(|k| json!(format!("10.0.{}.{k}", n % 250))))}})
            })
            .collect()
    };
    for from in (0..5000).step_by(1000) {
        server.transact(rows(from))?;
    }
    let mut follower = Follower::new(&server)?;
    follower.synced().await?;
    assert_eq!(follower.cache.len(), 5000);
    assert_eq!(follower.session.received().1, 5000);
    follower.catch_up(&server).await?;
    let number = |row: &Row| row.get("external_ids").and_then(|ids| ids.get("number").cloned());
    let (_, row) = follower.cache.rows("Address_Set").next().context("a row")?;
    assert_eq!(
        row.get("name").and_then(Datum::as_str).map(str::to_owned),
        number(row).map(|n| format!("set{}", n.as_str().unwrap_or_default()))
    );
    Ok(())
}
