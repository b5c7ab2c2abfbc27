use anyhow::{Context, Result, bail};
use ovn_extaddr_tests::OvsdbServer;
use ovsdb_protocol::{
    Atom, Client, Condition, Datum, ErrorClass, LockName, LockStatus, Mutation, Operation, OperationResult,
    Outcome, Results, Row, TransactError, Transaction, Until, Uuid,
};
use tokio::time::timeout;

use super::{SOON, client};

const NB: &str = "OVN_Northbound";
const OURS: Uuid = Uuid::from_u128(0x0e57_0000_0000_4000_8000_0000_0000_0001);

/// Commits the operations that `build` appends.
async fn commit(client: &Client, build: impl FnOnce(&mut Transaction)) -> Result<Results> {
    match run(client, build).await? {
        Outcome::Committed(results) => Ok(results),
        other => bail!("{other:?}"),
    }
}

async fn run(client: &Client, build: impl FnOnce(&mut Transaction)) -> Result<Outcome> {
    let mut transaction = Transaction::new(NB);
    build(&mut transaction);
    Ok(timeout(SOON, client.transact(&transaction)).await??)
}

fn set(name: &str) -> Row {
    Row::new().with("name", name)
}

#[tokio::test]
async fn every_operation_returns_its_result() -> Result<()> {
    let server = OvsdbServer::northbound()?;
    let client = client(&server).await?;
    let lock: LockName = "leader".parse()?;
    let lock = client.lock(&lock).await?;
    assert_eq!(lock.status(), LockStatus::Held(1));
    let named = Datum::scalar(Atom::NamedUuid("port".to_owned()));
    let results = commit(&client, |t| {
        t.assert_lock("leader");
        t.require("Address_Set", [], ["name"], Until::Equal, []);
        t.insert("Address_Set", set("a").with("addresses", Datum::set(["10.0.0.1", "10.0.0.2"])));
        t.insert_as("Address_Set", OURS, set("b"));
        t.insert_named("Logical_Switch_Port", "port", set("lsp"));
        t.insert("Logical_Switch", set("ls").with("ports", named));
        t.update("Address_Set", [], Row::new().with("external_ids", Datum::map([("k", "v")])));
        t.mutate(
            "Address_Set",
            [Condition::eq("name", "a")],
            [
                Mutation::insert("addresses", Datum::set(["10.0.0.3", "10.0.0.1"])),
                Mutation::delete("external_ids", Datum::set(["k"])),
            ],
        );
        t.select("Address_Set", [Condition::uuid(OURS)]);
        t.select_columns("Address_Set", [Condition::eq("name", "a")], ["addresses", "external_ids"]);
        t.select("Address_Set", [Condition::eq("name", "nobody")]);
        t.delete("Address_Set", [Condition::includes("addresses", Datum::set(["10.0.0.3"]))]);
        t.delete("Address_Set", [Condition::eq("name", "nobody")]);
        t.comment("every operation");
        t.commit(true);
    })
    .await?;

    assert_eq!((results.len(), results.get(0)), (15, Some(&OperationResult::Empty)));
    assert_eq!(results.get(1), Some(&OperationResult::Empty));
    assert!(results.uuid(2).is_some() && results.uuid(4).is_some() && results.uuid(5).is_some());
    assert_eq!(results.uuid(3), Some(OURS));
    assert_eq!((results.count(6), results.count(7)), (Some(2), Some(1)));
    let [ours] = results.rows(8).context("a select")? else { bail!("not one row") };
    assert_eq!((ours.uuid(), ours.get("name")), (Some(OURS), Some(&Datum::scalar("b"))));
    assert_eq!(ours.get("external_ids"), Some(&Datum::map([("k", "v")])));
    assert!(ours.get("_version").is_some());
    let [a] = results.rows(9).context("a select")? else { bail!("not one row") };
    let addresses = Datum::set(["10.0.0.1", "10.0.0.2", "10.0.0.3"]);
    assert_eq!(
        *a,
        Row::new().with("addresses", addresses).with("external_ids", Datum::map::<&str, &str>([]))
    );
    assert_eq!(results.rows(10), Some(&[][..]));
    assert_eq!((results.count(11), results.count(12)), (Some(1), Some(0)));
    assert_eq!(results.get(13), Some(&OperationResult::Empty));
    assert_eq!(results.get(14), Some(&OperationResult::Empty));
    assert_eq!(server.snapshot()?.rows("Address_Set").count(), 1);
    Ok(())
}

/// Regression: libovsdb, which waits for a "duplicate uuid name" that the server never sends.
#[tokio::test]
async fn every_server_error_has_its_class() -> Result<()> {
    let server = OvsdbServer::northbound()?;
    let client = client(&server).await?;
    commit(&client, |t| {
        t.insert_as("Address_Set", OURS, set("a"));
        t.insert("Load_Balancer_Group", set("g"));
    })
    .await?;
    let before = server.dump()?;

    type Build = fn(&mut Transaction);
    let cases: [(&str, Option<usize>, ErrorClass, Build); 13] = [
        ("unknown column", Some(1), ErrorClass::Permanent, |t| {
            t.comment("fine");
            t.insert("Address_Set", Row::new().with("nope", 1));
            t.comment("never run");
        }),
        ("syntax error", Some(0), ErrorClass::Permanent, |t| {
            t.select("Nope", []);
        }),
        ("syntax error", Some(0), ErrorClass::Permanent, |t| {
            t.update("Address_Set", [], Row::new().with("name", 5));
        }),
        ("constraint violation", Some(0), ErrorClass::Permanent, |t| {
            t.insert("QoS", Row::new().with("priority", 40000));
        }),
        ("constraint violation", None, ErrorClass::Conflict, |t| {
            t.insert("Address_Set", set("a"));
        }),
        ("referential integrity violation", None, ErrorClass::Conflict, |t| {
            t.insert("Logical_Switch", Row::new().with("ports", Datum::set([OURS])));
        }),
        ("duplicate uuid", Some(0), ErrorClass::Conflict, |t| {
            t.insert_as("Address_Set", OURS, set("b"));
        }),
        ("duplicate uuid-name", Some(1), ErrorClass::Permanent, |t| {
            t.insert_named("Address_Set", "n", set("b"));
            t.insert_named("Address_Set", "n", set("c"));
        }),
        ("timed out", Some(0), ErrorClass::Precondition, |t| {
            t.require("Address_Set", [], ["name"], Until::NotEqual, [set("a")]);
            t.delete("Address_Set", []);
        }),
        ("timed out", Some(0), ErrorClass::Precondition, |t| {
            t.push(Operation::Wait {
                timeout: Some(50),
                table: "Address_Set".to_owned(),
                conditions: Vec::new(),
                columns: vec!["name".to_owned()],
                until: Until::Equal,
                rows: Vec::new(),
            });
        }),
        ("not owner", Some(0), ErrorClass::LockLost, |t| {
            t.assert_lock("leader");
            t.delete("Address_Set", []);
        }),
        ("aborted", Some(1), ErrorClass::Aborted, |t| {
            t.delete("Address_Set", []);
            t.abort();
        }),
        ("unknown database", None, ErrorClass::Unavailable, |t| {
            t.database = "nope".to_owned();
            t.delete("Address_Set", []);
        }),
    ];
    for (name, operation, class, build) in cases {
        let Outcome::Refused(refusal) = run(&client, build).await? else { bail!("{name}: not refused") };
        let TransactError { operation: at, error, .. } = &refusal;
        assert_eq!((&*error.error, *at, refusal.class()), (name, operation, class), "{refusal:?}");
    }
    assert_eq!(server.dump()?, before);

    let Outcome::Refused(refusal) = run(&client, |t| {
        t.database = "_Server".to_owned();
        t.delete("Database", []);
    })
    .await?
    else {
        bail!("the server lets itself be written")
    };
    assert_eq!(refusal.class(), ErrorClass::Unavailable, "{refusal:?}");
    Ok(())
}

#[tokio::test]
async fn wait_operation_ends_when_another_client_satisfies_it() -> Result<()> {
    let server = OvsdbServer::northbound()?;
    let waiting = client(&server).await?;
    let other = client(&server).await?;
    let wait = |t: &mut Transaction| {
        t.push(Operation::Wait {
            timeout: None,
            table: "Address_Set".to_owned(),
            conditions: Vec::new(),
            columns: vec!["name".to_owned()],
            until: Until::Equal,
            rows: vec![set("a")],
        });
    };
    let insert = async {
        waiting.echo().await?;
        commit(&other, |t| {
            t.insert("Address_Set", set("a"));
        })
        .await
    };
    let (waited, inserted) = tokio::join!(commit(&waiting, wait), insert);
    assert_eq!(waited?.get(0), Some(&OperationResult::Empty));
    inserted?;
    Ok(())
}

/// Regression: libovsdb, which forgets requests that it gives up, while the server does not.
#[tokio::test]
async fn dropped_transaction_is_cancelled() -> Result<()> {
    let server = OvsdbServer::northbound()?;
    let client = client(&server).await?;
    let mut transaction = Transaction::new(NB);
    transaction.push(Operation::Wait {
        timeout: None,
        table: "Address_Set".to_owned(),
        conditions: Vec::new(),
        columns: vec!["name".to_owned()],
        until: Until::Equal,
        rows: vec![set("a")],
    });
    transaction.insert("Address_Set", set("b"));
    tokio::select! {
        outcome = client.transact(&transaction) => bail!("{outcome:?}"),
        () = tokio::time::sleep(std::time::Duration::from_millis(100)) => {}
    }
    // Now the wait would succeed, but it was withdrawn.
    commit(&client, |t| {
        t.insert("Address_Set", set("a"));
    })
    .await?;
    client.echo().await?;
    assert_eq!(server.snapshot()?.rows("Address_Set").count(), 1);
    Ok(())
}

/// Rule: the server ends the monitors of clients that are aware of conversions, and sends the rows of the new schema to
/// those that request them.
#[tokio::test]
async fn client_converts_its_database() -> Result<()> {
    let server = OvsdbServer::northbound()?;
    let client = client(&server).await?;
    commit(&client, |t| {
        t.insert("Address_Set", set("a"));
    })
    .await?;
    let mut schema: serde_json::Value = client.request("get_schema", &[NB]).await?;
    schema["version"] = "99.0.0".into();
    schema["tables"]["Address_Set"]["columns"]["colour"] = serde_json::json!({"type": "string"});
    client.convert(&schema).await?;
    let results = commit(&client, |t| {
        t.select_columns("Address_Set", [], ["name", "colour"]);
    })
    .await?;
    assert_eq!(results.rows(0), Some(&[set("a").with("colour", "")][..]));
    let error = client.convert(&serde_json::json!({"name": "Other"})).await.expect_err("not a schema");
    assert!(error.as_database_error().is_some(), "{error:#}");
    Ok(())
}
