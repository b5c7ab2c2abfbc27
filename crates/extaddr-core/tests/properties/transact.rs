//! Executes transactions on the plain database, as in RFC 7047 §5.2, without optimisation.

use std::collections::BTreeSet;

use ovsdb_protocol::{Transaction, Uuid};
use serde_json::Value as Json;

use crate::model::{Atom, Database, Kind, Row, Value, tables};

/// Executes a transaction, all of it or nothing.
///
/// # Errors
/// The index of the operation that failed, and why.
pub(crate) fn execute(database: &Database, transaction: &Transaction) -> Result<Database, (usize, String)> {
    let mut after = database.clone();
    for (index, operation) in operations(transaction).iter().enumerate() {
        step(&mut after, operation).map_err(|error| (index, error))?;
    }
    // A row without references is deleted in tables that are not root tables.
    let referenced = |database: &Database| -> BTreeSet<Uuid> {
        database.table("Logical_Router").flat_map(|(_, row)| row.refs("nat")).collect()
    };
    let (before, now) = (referenced(database), referenced(&after));
    after.rows.retain(|(table, uuid), _| *table != "NAT" || !before.contains(uuid) || now.contains(uuid));
    Ok(after)
}

/// Counts the `wait` operations that hold and those that do not.
pub(crate) fn guards(database: &Database, transaction: &Transaction) -> (usize, usize) {
    let operations = operations(transaction);
    let waits = operations.iter().filter(|operation| operation["op"] == "wait");
    let holds: Vec<_> = waits.map(|operation| step(&mut database.clone(), operation).is_ok()).collect();
    let held = holds.iter().filter(|holds| **holds).count();
    (held, holds.len() - held)
}

/// The rows that a transaction writes to, by table.
pub(crate) fn written(database: &Database, transaction: &Transaction) -> BTreeSet<(&'static str, Uuid)> {
    let mut written = BTreeSet::new();
    for operation in operations(transaction) {
        match operation["op"].as_str().unwrap() {
            "insert" => drop(written.insert((table(&operation), uuid(&operation["uuid"])))),
            "update" | "mutate" | "delete" => {
                let table = table(&operation);
                let rows = matching(database, &operation).into_iter();
                written.extend(rows.map(|uuid| (table, uuid)));
            }
            _ => {}
        }
    }
    written
}

/// The transaction as it goes over the wire, without the name of the database.
fn operations(transaction: &Transaction) -> Vec<Json> {
    let json = serde_json::to_value(transaction).unwrap();
    json.as_array().unwrap()[1..].to_vec()
}

fn step(database: &mut Database, operation: &Json) -> Result<(), String> {
    match operation["op"].as_str().unwrap() {
        "assert" | "comment" => {}
        "insert" => {
            let key = (table(operation), uuid(&operation["uuid"]));
            let mut row = database.new_row(key.0, []);
            assign(database, key.0, &mut row, &operation["row"]);
            if database.rows.insert(key, row).is_some() {
                return Err(format!("there is a row {} already", key.1));
            }
        }
        "update" => {
            let table = table(operation);
            for uuid in matching(database, operation) {
                let mut row = database.rows[&(table, uuid)].clone();
                assign(database, table, &mut row, &operation["row"]);
                database.rows.insert((table, uuid), row);
            }
        }
        "mutate" => {
            let table = table(operation);
            for uuid in matching(database, operation) {
                let row = database.row_mut(table, uuid).unwrap();
                for mutation in operation["mutations"].as_array().unwrap() {
                    let (column, mutator) = (mutation[0].as_str().unwrap(), mutation[1].as_str().unwrap());
                    let mut operand = Value::parse(&mutation[2]);
                    match (row.0.get_mut(column).unwrap(), mutator) {
                        (Value::Set(set), "insert") => set.append(operand.set_mut()),
                        (Value::Set(set), "delete") => set.retain(|atom| !operand.set_mut().contains(atom)),
                        // An existing key keeps its value, and only a whole pair is removed.
                        (Value::Map(map), "insert") => {
                            operand.map_mut().append(map);
                            *map = std::mem::take(operand.map_mut());
                        }
                        (Value::Map(map), "delete") if matches!(operand, Value::Set(_)) => {
                            map.retain(|key, _| !operand.set_mut().contains(&Atom::Text(key.clone())));
                        }
                        (Value::Map(map), "delete") => {
                            map.retain(|key, value| operand.map_mut().get(key) != Some(value));
                        }
                        _ => panic!("{operation}"),
                    }
                }
            }
        }
        "wait" => {
            assert_eq!((&operation["timeout"], &operation["until"]), (&0.into(), &"==".into()));
            let table = table(operation);
            let columns: Vec<_> =
                operation["columns"].as_array().unwrap().iter().map(|c| c.as_str().unwrap()).collect();
            let there: BTreeSet<Vec<Value>> = matching(database, operation)
                .into_iter()
                .map(|uuid| columns.iter().map(|c| database.rows[&(table, uuid)].0[c].clone()).collect())
                .collect();
            let expected: BTreeSet<Vec<Value>> = operation["rows"]
                .as_array()
                .unwrap()
                .iter()
                .map(|row| columns.iter().map(|c| Value::parse(&row[*c])).collect())
                .collect();
            if there != expected {
                return Err(format!("{there:?} is not {expected:?}: {operation}"));
            }
        }
        _ => panic!("{operation}"),
    }
    Ok(())
}

fn table(operation: &Json) -> &'static str {
    let name = operation["table"].as_str().unwrap();
    tables().find(|(table, _)| *table == name).unwrap().0
}

fn uuid(json: &Json) -> Uuid {
    json.as_str().unwrap().parse().unwrap()
}

fn assign(database: &Database, table: &'static str, row: &mut Row, columns: &Json) {
    for (name, value) in columns.as_object().unwrap() {
        let (column, kind) = database.columns(table).find(|(column, _)| column == name).unwrap();
        let value = Value::parse(value);
        match (&value, kind) {
            (Value::Map(_), Kind::Map) | (Value::Set(_), Kind::Set) => {}
            (Value::Set(set), Kind::Maybe | Kind::MaybeFlag) => assert!(set.len() <= 1, "{name}: {value:?}"),
            (Value::Set(set), Kind::Text) => assert_eq!(set.len(), 1, "{name}: {value:?}"),
            _ => panic!("{name}: {value:?}"),
        }
        row.put(column, value);
    }
}

/// The rows that meet all conditions.
fn matching(database: &Database, operation: &Json) -> Vec<Uuid> {
    let conditions = operation["where"].as_array().unwrap();
    assert!(!conditions.is_empty(), "{operation} is about all rows");
    let meets = |uuid: Uuid, row: &Row| {
        conditions.iter().all(|condition| {
            let (column, function) = (condition[0].as_str().unwrap(), condition[1].as_str().unwrap());
            let operand = Value::parse(&condition[2]);
            let value =
                if column == "_uuid" { Value::Set([Atom::Ref(uuid)].into()) } else { row.0[column].clone() };
            match function {
                "==" => value == operand,
                "includes" => value.includes(&operand),
                _ => panic!("{operation}"),
            }
        })
    };
    database.table(table(operation)).filter(|(uuid, row)| meets(*uuid, row)).map(|(uuid, _)| uuid).collect()
}
