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
fn insert_carries_the_name_of_its_row() {
    let row = || Row::new().with("a", 1);
    check(|t| t.insert("T", Row::new()), json!({"op": "insert", "table": "T", "row": {}}));
    check(
        |t| t.insert_named("T", "new", row()),
        json!({"op": "insert", "table": "T", "row": {"a": 1}, "uuid-name": "new"}),
    );
    // ovsdb-server refuses ["uuid", ...] only here.
    check(
        |t| t.insert_as("T", UUID, row()),
        json!({"op": "insert", "table": "T", "row": {"a": 1}, "uuid": UUID_TEXT}),
    );
}

#[test]
fn select_names_columns_only_on_request() {
    check(|t| t.select("T", []), json!({"op": "select", "table": "T", "where": []}));
    check(
        |t| t.select_columns("T", [Condition::uuid(UUID)], ["a", "b"]),
        json!({"op": "select", "table": "T", "where": [["_uuid", "==", ["uuid", UUID_TEXT]]], "columns": ["a", "b"]}),
    );
}

/// Regression: libovsdb, which omits empty members: no row, all rows and a row of defaults cannot be expressed.
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
fn wait_without_a_timeout_omits_the_member() {
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
fn other_operations_are_serialized_as_in_rfc_7047() {
    check(|t| t.commit(true), json!({"op": "commit", "durable": true}));
    check(Transaction::abort, json!({"op": "abort"}));
    check(|t| t.comment("why"), json!({"op": "comment", "comment": "why"}));
    check(|t| t.assert_lock("leader"), json!({"op": "assert", "lock": "leader"}));
}

#[test]
fn condition_functions_are_serialized_as_symbols() {
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
fn mutators_are_serialized_as_symbols() {
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

#[test]
fn map_key_is_set_by_delete_and_insert_mutations() {
    let text = serde_json::to_string(&Mutation::set_key("external_ids", "k", "v")).unwrap();
    assert_eq!(text, r#"[["external_ids","delete","k"],["external_ids","insert",["map",[["k","v"]]]]]"#);
}

#[test]
fn condition_may_be_a_boolean() {
    let conditions = [Condition::Boolean(true), Condition::excludes("c", 1)];
    assert_eq!(serde_json::to_string(&conditions).unwrap(), r#"[true,["c","excludes",1]]"#);
}
