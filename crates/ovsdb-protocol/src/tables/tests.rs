mod random;

use ovsdb_derive::Table;

use super::*;
use crate::row::Columns;

#[derive(Clone, Debug, Table)]
#[ovsdb(table = "T")]
struct Row {
    #[ovsdb(uuid)]
    uuid: Uuid,
    #[ovsdb(index)]
    name: String,
    #[ovsdb(index)]
    tags: Vec<String>,
    #[ovsdb(key = "options:size", index)]
    size: Option<String>,
}

const SCHEMA: &str = r#"{"name":"D","version":"1.0.0","tables":{"T":{"columns":{
    "name":{"type":"string"},
    "tags":{"type":{"key":"string","min":0,"max":"unlimited"}},
    "options":{"type":{"key":"string","value":"string","min":0,"max":"unlimited"}}}}}}"#;

fn tables() -> Tables {
    let mut tables = Tables::new();
    assert!(tables.add::<Row>() && !tables.add::<Row>());
    tables.declare(&DatabaseSchema::parse(SCHEMA).unwrap()).unwrap();
    tables
}

fn feed(tables: &mut Tables, batch: Batch, changes: &[(u128, RowChange<'_>)]) -> Result<(), ApplyError> {
    tables.begin(batch);
    for (uuid, change) in changes {
        tables.apply(RowUpdate { table: "T", uuid: Uuid::from_u128(*uuid), change: *change })?;
    }
    tables.commit();
    Ok(())
}

fn insert(text: &str) -> RowChange<'_> {
    RowChange::Insert(Columns::new(text))
}

fn modify(text: &str) -> RowChange<'_> {
    RowChange::Modify(Columns::new(text))
}

/// Renders the changes: the names before and after.
fn changed_names(tables: &mut Tables) -> Vec<(Option<String>, Option<String>)> {
    let name = |row: &Option<Arc<Row>>| row.as_ref().map(|row| row.name.clone());
    tables.take_changes::<Row>().iter().map(|change| (name(&change.old), name(&change.new))).collect()
}

fn names(pairs: &[(Option<&str>, Option<&str>)]) -> Vec<(Option<String>, Option<String>)> {
    pairs.iter().map(|(old, new)| (old.map(str::to_owned), new.map(str::to_owned))).collect()
}

#[test]
fn repeated_snapshot_reports_only_true_differences() {
    let mut tables = tables();
    let all = [(1, insert(r#"{"name":"a"}"#)), (2, insert(r#"{"name":"b","tags":["set",["x","y"]]}"#))];
    feed(&mut tables, Batch::Snapshot, &all).unwrap();
    assert_eq!(changed_names(&mut tables), names(&[(None, Some("a")), (None, Some("b"))]));
    feed(&mut tables, Batch::Snapshot, &all).unwrap();
    assert_eq!(changed_names(&mut tables), []);
    feed(&mut tables, Batch::Delta, &[(2, modify(r#"{"tags":"x"}"#))]).unwrap();
    feed(&mut tables, Batch::Snapshot, &all[1..]).unwrap();
    // The second row has the same content again as when the changes were taken.
    assert_eq!(changed_names(&mut tables), names(&[(Some("a"), None)]));
    assert_eq!(tables.table::<Row>().unwrap().len(), 1);
}

#[test]
fn batch_is_invisible_before_its_commit() {
    let mut tables = tables();
    feed(&mut tables, Batch::Snapshot, &[(1, insert(r#"{"name":"a"}"#))]).unwrap();
    tables.begin(Batch::Delta);
    let update = RowUpdate { table: "T", uuid: Uuid::from_u128(1), change: modify(r#"{"name":"b"}"#) };
    tables.apply(update).unwrap();
    let name = |tables: &Tables| tables.table::<Row>().unwrap().get(Uuid::from_u128(1)).unwrap().name.clone();
    assert_eq!(name(&tables), "a");
    tables.commit();
    assert_eq!(name(&tables), "b");
}

#[test]
fn contradicting_update_is_refused() {
    for (batch, changes) in [
        (Batch::Delta, vec![(1, modify("{}"))]),
        (Batch::Delta, vec![(1, RowChange::Delete)]),
        (Batch::Snapshot, vec![(1, insert("{}")), (1, insert("{}"))]),
        (Batch::Delta, vec![(1, insert("{"))]),
    ] {
        assert!(feed(&mut tables(), batch, &changes).is_err(), "{changes:?}");
    }
}

#[test]
fn unreadable_value_is_a_problem_until_a_whole_value_arrives() {
    let mut tables = tables();
    let bad = r#"{"name":"a","tags":["set",[1]],"options":["map",[["size","1"]]]}"#;
    feed(&mut tables, Batch::Snapshot, &[(1, insert(bad))]).unwrap();
    let problems =
        |tables: &Tables| tables.problems().iter().map(|p| p.column.to_string()).collect::<Vec<_>>();
    assert_eq!(problems(&tables), ["tags"]);
    // A difference from an unknown value has no effect.
    feed(&mut tables, Batch::Delta, &[(1, modify(r#"{"tags":"x","name":"b"}"#))]).unwrap();
    let row = Arc::clone(tables.table::<Row>().unwrap().get(Uuid::from_u128(1)).unwrap());
    assert_eq!((&*row.name, &row.tags[..], row.size.as_deref()), ("b", &[][..], Some("1")));
    assert_eq!(row.uuid, Uuid::from_u128(1));
    assert_eq!(problems(&tables), ["tags"]);
    feed(&mut tables, Batch::Snapshot, &[(1, insert(r#"{"name":"b","tags":"x"}"#))]).unwrap();
    assert_eq!(problems(&tables), [""; 0]);
}

#[test]
fn rows_are_found_by_indexed_columns() {
    let mut tables = tables();
    let found = |tables: &Tables| {
        let table = tables.table::<Row>().unwrap();
        let numbers = |rows: Vec<(Uuid, &Arc<Row>)>| -> Vec<_> {
            rows.iter().map(|(uuid, _)| uuid.as_u128()).collect()
        };
        [
            numbers(table.find(Row::INDEXES.name, "a").collect()),
            numbers(table.find(Row::INDEXES.tags, "x").collect()),
            numbers(table.find(Row::INDEXES.size, "1").collect()),
        ]
    };
    let all = [
        (3, insert(r#"{"name":"a","tags":["set",["x","y"]]}"#)),
        (2, insert(r#"{"name":"a","options":["map",[["size","1"]]]}"#)),
        (1, insert(r#"{"name":"b","tags":"x"}"#)),
    ];
    feed(&mut tables, Batch::Snapshot, &all).unwrap();
    assert_eq!(found(&tables), [vec![2, 3], vec![1, 3], vec![2]]);
    assert!(tables.table::<Row>().unwrap().find(Row::INDEXES.name, "c").next().is_none());

    tables.begin(Batch::Delta);
    let rename = RowUpdate { table: "T", uuid: Uuid::from_u128(3), change: modify(r#"{"name":"b"}"#) };
    tables.apply(rename).unwrap();
    assert_eq!(found(&tables), [vec![2, 3], vec![1, 3], vec![2]], "before the commit");
    tables.commit();
    assert_eq!(found(&tables), [vec![2], vec![1, 3], vec![2]]);

    let changes = [
        (1, RowChange::Delete),
        (2, modify(r#"{"tags":"x","options":["map",[["size","1"]]]}"#)),
        (3, modify(r#"{"tags":"x"}"#)),
    ];
    feed(&mut tables, Batch::Delta, &changes).unwrap();
    assert_eq!(found(&tables), [vec![2], vec![2], vec![]]);
    feed(&mut tables, Batch::Snapshot, &all[2..]).unwrap();
    assert_eq!(found(&tables), [vec![], vec![1], vec![]]);
}
