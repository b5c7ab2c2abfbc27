use serde_json::json;
use uuid::Uuid;

use super::*;
use crate::value::{Atom, Datum};

const UUID: Uuid = Uuid::from_u128(0x3b8f_7c1e_0000_4000_8000_0000_0000_0001);
const UUID_TEXT: &str = "3b8f7c1e-0000-4000-8000-000000000001";

/// Compares the only operation of a transaction with its JSON.
fn check(append: impl FnOnce(&mut Transaction) -> usize, expected: serde_json::Value) {
    let mut transaction = Transaction::new("db");
    assert_eq!(append(&mut transaction), 0);
    assert_eq!(serde_json::to_value(&transaction).unwrap(), json!(["db", expected]));
}

#[test]
fn inserts_carry_the_names_of_their_rows() {
    let row = || Row::new().with("a", 1);
    check(|t| t.insert("T", Row::new()), json!({"op": "insert", "table": "T", "row": {}}));
    check(
        |t| t.insert_named("T", "new", row()),
        json!({"op": "insert", "table": "T", "row": {"a": 1}, "uuid-name": "new"}),
    );
    // ovsdb-server refuses ["uuid", ...] in this one place.
    check(
        |t| t.insert_as("T", UUID, row()),
        json!({"op": "insert", "table": "T", "row": {"a": 1}, "uuid": UUID_TEXT}),
    );
}

#[test]
fn selects_name_columns_only_if_asked() {
    check(|t| t.select("T", []), json!({"op": "select", "table": "T", "where": []}));
    check(
        |t| t.select_columns("T", [Condition::uuid(UUID)], ["a", "b"]),
        json!({"op": "select", "table": "T", "where": [["_uuid", "==", ["uuid", UUID_TEXT]]], "columns": ["a", "b"]}),
    );
}

/// Regression: libovsdb, which leaves out what is empty: no row, all rows and a row of defaults cannot be said.
#[test]
fn empty_conditions_rows_and_columns_are_written() {
    check(|t| t.update("T", [], Row::new()), json!({"op": "update", "table": "T", "where": [], "row": {}}));
    check(|t| t.mutate("T", [], []), json!({"op": "mutate", "table": "T", "where": [], "mutations": []}));
    check(|t| t.delete("T", []), json!({"op": "delete", "table": "T", "where": []}));
    check(
        |t| t.require("T", [], ["name"], Until::Equal, []),
        json!({"op": "wait", "timeout": 0, "table": "T", "where": [], "columns": ["name"], "until": "==", "rows": []}),
    );
}

#[test]
fn waits_without_timeout_have_no_such_member() {
    let wait = |timeout| Operation::Wait {
        timeout,
        table: "T".into(),
        conditions: Vec::new(),
        columns: Vec::new(),
        until: Until::NotEqual,
        rows: vec![Row::new()],
    };
    let mut expected =
        json!({"op": "wait", "table": "T", "where": [], "columns": [], "until": "!=", "rows": [{}]});
    check(|t| t.push(wait(None)), expected.clone());
    expected["timeout"] = json!(1500);
    check(|t| t.push(wait(Some(1500))), expected);
}

#[test]
fn remaining_operations_have_their_members() {
    check(|t| t.commit(true), json!({"op": "commit", "durable": true}));
    check(Transaction::abort, json!({"op": "abort"}));
    check(|t| t.comment("why"), json!({"op": "comment", "comment": "why"}));
    check(|t| t.assert_lock("leader"), json!({"op": "assert", "lock": "leader"}));
}

#[test]
fn functions_have_their_symbols() {
    let names = [
        (Function::Equal, "=="),
        (Function::NotEqual, "!="),
        (Function::Less, "<"),
        (Function::LessOrEqual, "<="),
        (Function::Greater, ">"),
        (Function::GreaterOrEqual, ">="),
        (Function::Includes, "includes"),
        (Function::Excludes, "excludes"),
    ];
    for (function, name) in names {
        let condition = Condition::new("c", function, 1);
        assert_eq!(serde_json::to_value(condition).unwrap(), json!(["c", name, 1]));
    }
    let ids = Condition::includes("external_ids", Datum::map([("k", "v")]));
    assert_eq!(
        serde_json::to_value(ids).unwrap(),
        json!(["external_ids", "includes", ["map", [["k", "v"]]]])
    );
}

#[test]
fn mutators_have_their_symbols() {
    let names = [
        (Mutator::Add, "+="),
        (Mutator::Subtract, "-="),
        (Mutator::Multiply, "*="),
        (Mutator::Divide, "/="),
        (Mutator::Remainder, "%="),
        (Mutator::Insert, "insert"),
        (Mutator::Delete, "delete"),
    ];
    for (mutator, name) in names {
        let mutation = Mutation::new("c", mutator, 1);
        assert_eq!(serde_json::to_value(mutation).unwrap(), json!(["c", name, 1]));
    }
    let keys = Mutation::delete("external_ids", Datum::set(["a", "b"]));
    assert_eq!(serde_json::to_value(keys).unwrap(), json!(["external_ids", "delete", ["set", ["a", "b"]]]));
}

#[test]
fn operations_keep_their_order_and_refer_to_new_rows() {
    let mut transaction = Transaction::new("OVN_Northbound");
    assert!(transaction.is_empty());
    let port = transaction.insert_named("Logical_Switch_Port", "p", Row::new().with("name", "p0"));
    let new = Datum::scalar(Atom::NamedUuid("p".into()));
    let switch = transaction.mutate(
        "Logical_Switch",
        [Condition::eq("name", "ls0")],
        [Mutation::insert("ports", new)],
    );
    assert_eq!((port, switch, transaction.len()), (0, 1, 2));
    assert_eq!(
        serde_json::to_string(&transaction).unwrap(),
        concat!(
            r#"["OVN_Northbound","#,
            r#"{"op":"insert","table":"Logical_Switch_Port","row":{"name":"p0"},"uuid-name":"p"},"#,
            r#"{"op":"mutate","table":"Logical_Switch","where":[["name","==","ls0"]],"#,
            r#""mutations":[["ports","insert",["named-uuid","p"]]]}]"#
        )
    );
}
