//! Random histories of a table, compared with a map of rows.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::table::ColumnGroup;
use crate::testing::{difference, row};
use crate::value::Row as DataRow;

/// The number of rows that appear and disappear.
const ROWS: u128 = 4;

/// The change of a row in a batch: its new columns, or `None` if it does not exist.
type Content = BTreeMap<Uuid, Option<DataRow>>;

fn batches() -> impl Strategy<Value = Vec<(bool, Content)>> {
    let uuid = (0..ROWS).prop_map(Uuid::from_u128);
    let content = prop::collection::btree_map(uuid, prop::option::weighted(0.8, row(&Row::TABLE)), 0..=3);
    prop::collection::vec((prop::bool::weighted(0.2), content), 1..12)
}

fn text(row: &DataRow) -> String {
    serde_json::to_string(row).unwrap()
}

/// Applies the batch to the tables and to the map.
fn take(tables: &mut Tables, rows: &mut BTreeMap<Uuid, DataRow>, is_snapshot: bool, content: Content) {
    let layout = tables.table::<Row>().unwrap().layout();
    let batch = if is_snapshot { Batch::Snapshot } else { Batch::Delta };
    if is_snapshot {
        rows.clear();
    }
    tables.begin(batch);
    for (uuid, new) in content {
        let columns = match (rows.get(&uuid), &new) {
            (Some(old), Some(new)) => text(&difference(&Row::TABLE, layout, old, new)),
            (None, Some(new)) => text(new),
            (_, None) => String::new(),
        };
        let change = match (rows.contains_key(&uuid), &new) {
            (true, Some(_)) => Some(modify(&columns)),
            (false, Some(_)) => Some(insert(&columns)),
            (true, None) => Some(RowChange::Delete),
            (false, None) => None,
        };
        if let Some(change) = change {
            tables.apply(RowUpdate { table: "T", uuid, change }).unwrap();
        }
        match new {
            Some(new) => drop(rows.insert(uuid, new)),
            None => drop(rows.remove(&uuid)),
        }
    }
    tables.commit();
}

/// The rows of the map as the table should have them.
fn expected(rows: &BTreeMap<Uuid, DataRow>) -> BTreeMap<Uuid, Row> {
    let mut tables = tables();
    tables.begin(Batch::Snapshot);
    for (uuid, row) in rows {
        let text = text(row);
        tables.apply(RowUpdate { table: "T", uuid: *uuid, change: insert(&text) }).unwrap();
    }
    tables.commit();
    let table = tables.table::<Row>().unwrap();
    table.rows().map(|(uuid, row)| (uuid, (**row).clone())).collect()
}

fn is_equal(a: &BTreeMap<Uuid, Row>, b: &BTreeMap<Uuid, Row>) -> bool {
    a.keys().eq(b.keys()) && a.values().zip(b.values()).all(|(a, b)| a.changed(b).is_empty())
}

proptest! {
    #[test]
    fn table_agrees_with_a_model_after_random_batches(batches in batches(), every in 1_usize..4) {
        let (mut tables, mut rows, mut copy) = (tables(), BTreeMap::new(), BTreeMap::new());
        for (number, (is_snapshot, content)) in batches.into_iter().enumerate() {
            take(&mut tables, &mut rows, is_snapshot, content);
            let expected = expected(&rows);
            let table = tables.table::<Row>().unwrap();
            let found: BTreeMap<_, _> = table.rows().map(|(uuid, row)| (uuid, (**row).clone())).collect();
            prop_assert!(is_equal(&found, &expected), "{found:?} {expected:?}");

            // Every row is found by each of its keys, and no other is.
            let all = |is_it: &dyn Fn(&Row) -> bool| -> Vec<Uuid> {
                expected.iter().filter(|(_, row)| is_it(row)).map(|(uuid, _)| *uuid).collect()
            };
            for key in ["", "a", "b", "true", "10.0.0.1", "é€😀", "absent"] {
                let uuids = |(uuid, _)| uuid;
                let by_name: Vec<_> = table.find(Row::INDEXES.name, key).map(uuids).collect();
                prop_assert_eq!(by_name, all(&|row| row.name == key));
                let by_tag: Vec<_> = table.find(Row::INDEXES.tags, key).map(uuids).collect();
                prop_assert_eq!(by_tag, all(&|row| row.tags.iter().any(|tag| tag == key)));
                let by_size: Vec<_> = table.find(Row::INDEXES.size, key).map(uuids).collect();
                prop_assert_eq!(by_size, all(&|row| row.size.as_deref() == Some(key)));
            }

            // A reader who takes the changes now and then arrives at the same content.
            if number % every == 0 {
                for Change { uuid, old, new } in tables.take_changes::<Row>() {
                    let known = copy.get(&uuid).map(|row: &Row| row.name.clone());
                    prop_assert_eq!(known, old.map(|row| row.name.clone()));
                    match new {
                        Some(new) => drop(copy.insert(uuid, (*new).clone())),
                        None => drop(copy.remove(&uuid)),
                    }
                }
                prop_assert!(is_equal(&copy, &expected), "{copy:?} {expected:?}");
            }
        }
        prop_assert!(tables.problems().is_empty());
    }
}
