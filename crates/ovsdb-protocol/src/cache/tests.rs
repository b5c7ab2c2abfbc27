use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::diff::diff;
use crate::value::Datum;

const SCHEMA: &str = r#"{"name": "db", "tables": {
    "A": {"columns": {
        "n": {"type": "integer"},
        "o": {"type": {"key": "string", "min": 0, "max": 1}},
        "s": {"type": {"key": "integer", "min": 0, "max": "unlimited"}},
        "m": {"type": {"key": "string", "value": "integer", "min": 0, "max": "unlimited"}}}},
    "B": {"columns": {"n": {"type": "integer"}}}}}"#;

fn schema() -> DatabaseSchema {
    DatabaseSchema::parse(SCHEMA).unwrap()
}

fn id(number: u128) -> Uuid {
    Uuid::from_u128(number)
}

/// A row of table B.
fn b(n: i64) -> Row {
    Row::new().with("n", n)
}

/// A cache with row 1 of table B.
fn cache() -> Cache {
    let mut cache = Cache::new(&schema());
    cache.begin(Batch::Snapshot);
    cache.insert("B", id(1), b(1)).unwrap();
    assert_eq!(cache.commit().unwrap().len(), 1);
    cache
}

fn deltas(cache: &mut Cache) -> Vec<(u128, Option<Row>, Option<Row>)> {
    let row = |row: Option<Arc<Row>>| row.map(Arc::unwrap_or_clone);
    let deltas = cache.commit().unwrap().into_iter();
    deltas.map(|delta| (delta.uuid.as_u128(), row(delta.old), row(delta.new))).collect()
}

/// Rule: a row that comes lacks what has its default, be it every column.
#[test]
fn inserted_rows_have_all_columns_with_their_defaults() {
    let mut cache = Cache::new(&schema());
    cache.begin(Batch::Delta);
    cache.insert("A", id(1), Row::new().with("s", 5.0)).unwrap();
    assert!(cache.is_empty(), "readers see nothing of an open batch");
    cache.commit().unwrap();
    let empty_map: [(&str, i64); 0] = [];
    let expected =
        Row::new().with("n", 0).with("o", Datum::empty()).with("s", 5).with("m", Datum::map(empty_map));
    assert_eq!(**cache.get("A", &id(1)).unwrap(), expected);
}

#[test]
fn rows_have_only_the_monitored_columns() {
    let mut cache = Cache::with_columns(&schema(), [("A", ["n", "_uuid", "future"])]);
    assert_eq!(cache.tables().collect::<Vec<_>>(), ["A"]);
    cache.begin(Batch::Delta);
    cache.insert("A", id(1), Row::new().with("_uuid", id(1))).unwrap();
    cache.commit().unwrap();
    assert_eq!(**cache.get("A", &id(1)).unwrap(), Row::new().with("n", 0).with("_uuid", id(1)));
    cache.begin(Batch::Delta);
    let error = cache.insert("A", id(2), Row::new().with("s", 1)).unwrap_err();
    assert!(matches!(error, Inconsistency::Row { .. }));
    cache.begin(Batch::Delta);
    assert_eq!(cache.delete("B", id(1)), Err(Inconsistency::UnknownTable("B".into())));
}

#[test]
fn changes_of_one_batch_become_one_delta_per_row() {
    let mut cache = cache();
    cache.begin(Batch::Delta);
    cache.insert("B", id(2), Row::new()).unwrap();
    cache.modify("B", id(2), b(2)).unwrap();
    cache.insert("B", id(3), b(3)).unwrap();
    cache.delete("B", id(3)).unwrap();
    cache.delete("B", id(1)).unwrap();
    cache.insert("B", id(1), b(4)).unwrap();
    cache.replace("B", id(1), b(5)).unwrap();
    assert_eq!(deltas(&mut cache), [(1, Some(b(1)), Some(b(5))), (2, None, Some(b(2)))]);
    cache.begin(Batch::Delta);
    cache.modify("B", id(1), b(5)).unwrap();
    assert_eq!(deltas(&mut cache), [], "a change to the same value is none");
}

#[test]
fn a_snapshot_yields_only_the_differences() {
    let mut cache = cache();
    cache.begin(Batch::Delta);
    cache.insert("B", id(2), b(2)).unwrap();
    cache.insert("B", id(3), b(3)).unwrap();
    cache.insert("A", id(9), Row::new()).unwrap();
    cache.commit().unwrap();
    let before = Arc::clone(cache.get("B", &id(2)).unwrap());

    cache.begin(Batch::Snapshot);
    cache.insert("B", id(2), b(2)).unwrap();
    cache.insert("B", id(3), b(33)).unwrap();
    cache.insert("B", id(4), b(4)).unwrap();
    assert_eq!(cache.len(), 4, "readers keep the old content meanwhile");
    let all = deltas(&mut cache);
    assert_eq!(all[1], (1, Some(b(1)), None));
    assert_eq!(all[2], (3, Some(b(3)), Some(b(33))));
    assert_eq!(all[3], (4, None, Some(b(4))));
    assert_eq!((all[0].0, all.len()), (9, 4));
    assert!(Arc::ptr_eq(&before, cache.get("B", &id(2)).unwrap()));
    assert_eq!(cache.rows("B").map(|(uuid, _)| uuid.as_u128()).collect::<Vec<_>>(), [2, 3, 4]);

    cache.begin(Batch::Snapshot);
    assert_eq!(cache.commit().unwrap().len(), 3);
    assert!(cache.is_empty());
}

#[test]
fn contradictions_discard_the_batch() {
    type Change = fn(&mut Cache) -> Result<(), Inconsistency>;
    let contradictions: [Change; 8] = [
        |cache| cache.insert("B", id(1), b(7)),
        |cache| cache.insert("B", id(2), b(7)),
        |cache| cache.modify("B", id(3), b(7)),
        |cache| cache.replace("B", id(3), b(7)),
        |cache| cache.delete("B", id(3)),
        |cache| cache.delete("C", id(1)),
        |cache| cache.modify("B", id(1), Row::new().with("x", 1)),
        |cache| cache.modify("B", id(1), Row::new().with("n", Datum::empty())),
    ];
    for contradiction in contradictions {
        let mut cache = cache();
        cache.begin(Batch::Delta);
        cache.insert("B", id(2), b(2)).unwrap();
        let error = contradiction(&mut cache).unwrap_err();
        assert_ne!(error, Inconsistency::NoBatch);
        assert_eq!(cache.delete("B", id(1)), Err(Inconsistency::NoBatch));
        assert_eq!(cache.commit(), Err(Inconsistency::NoBatch));
        assert_eq!((cache.len(), &**cache.get("B", &id(1)).unwrap()), (1, &b(1)), "{error}");
        // And the next snapshot starts afresh.
        cache.begin(Batch::Snapshot);
        cache.insert("B", id(2), b(2)).unwrap();
        assert_eq!(deltas(&mut cache), [(1, Some(b(1)), None), (2, None, Some(b(2)))]);
    }
}

#[test]
fn a_snapshot_knows_only_its_own_rows() {
    let mut cache = cache();
    cache.begin(Batch::Snapshot);
    assert!(matches!(cache.modify("B", id(1), b(2)), Err(Inconsistency::Absent { .. })));
    cache.begin(Batch::Snapshot);
    cache.insert("B", id(1), b(1)).unwrap();
    assert!(matches!(cache.insert("B", id(1), b(1)), Err(Inconsistency::Exists { .. })));
}

#[test]
fn beginning_anew_discards_a_batch_cut_short() {
    let mut cache = cache();
    cache.begin(Batch::Snapshot);
    cache.insert("B", id(5), b(5)).unwrap();
    cache.begin(Batch::Delta);
    cache.insert("B", id(6), b(6)).unwrap();
    assert_eq!(deltas(&mut cache), [(6, None, Some(b(6)))]);
    assert_eq!(cache.commit(), Err(Inconsistency::NoBatch));
}

// ===== random histories =====

type Content = BTreeMap<(&'static str, Uuid), Row>;

/// How the client learns of a state of the database.
#[derive(Debug, Clone, Copy)]
enum Delivery {
    /// Differences to the state that the client knows.
    Delta,
    /// A whole snapshot.
    Snapshot,
    /// A batch that breaks off after so many rows, and a snapshot.
    Broken(usize),
    /// A change that contradicts the content, and a snapshot.
    Contradicted,
    /// Not at all; the next delivery tells of this state too.
    Missed,
}

fn a_row() -> impl Strategy<Value = Row> {
    let set = prop::collection::btree_set(0_i64..4, 0..3);
    let map = prop::collection::btree_map(prop::sample::select(vec!["x", "y"]), 0_i64..3, 0..3);
    (0_i64..3, prop::option::of(prop::sample::select(vec!["p", "q"])), set, map).prop_map(|(n, o, s, m)| {
        Row::new()
            .with("n", n)
            .with("o", Datum::optional(o))
            .with("s", Datum::set(s))
            .with("m", Datum::map(m))
    })
}

fn content() -> impl Strategy<Value = Content> {
    let a = prop::collection::btree_map(0_u128..4, a_row(), 0..4);
    let b = prop::collection::btree_map(0_u128..4, (0_i64..3).prop_map(b), 0..4);
    (a, b).prop_map(|(a, b)| {
        let a = a.into_iter().map(|(uuid, row)| (("A", id(uuid)), row));
        a.chain(b.into_iter().map(|(uuid, row)| (("B", id(uuid)), row))).collect()
    })
}

fn delivery() -> impl Strategy<Value = Delivery> {
    prop_oneof![
        6 => Just(Delivery::Delta),
        2 => Just(Delivery::Snapshot),
        1 => (0_usize..6).prop_map(Delivery::Broken),
        1 => Just(Delivery::Contradicted),
        2 => Just(Delivery::Missed),
    ]
}

/// Removes the columns that a server would leave out of an insert.
fn without_defaults(schema: &DatabaseSchema, table: &str, row: &Row) -> Row {
    let told = row
        .iter()
        .filter(|(name, datum)| **datum != schema.column(table, name).unwrap().column_type.default_datum());
    told.map(|(name, datum)| (name, datum.clone())).collect()
}

fn send_delta(cache: &mut Cache, schema: &DatabaseSchema, old: &Content, new: &Content) {
    for (key @ (table, uuid), row) in new {
        match old.get(key) {
            None => cache.insert(table, *uuid, without_defaults(schema, table, row)).unwrap(),
            Some(old) if old == row => {}
            Some(old) => {
                let changes = row.iter().filter_map(|(name, new)| {
                    let column = &schema.column(table, name).unwrap().column_type;
                    Some((name, diff(old.get(name).unwrap(), new, column)?))
                });
                cache.modify(table, *uuid, changes.collect()).unwrap();
            }
        }
    }
    for (table, uuid) in old.keys().filter(|key| !new.contains_key(*key)) {
        cache.delete(table, *uuid).unwrap();
    }
}

fn send_snapshot(cache: &mut Cache, schema: &DatabaseSchema, new: &Content, rows: usize) {
    for ((table, uuid), row) in new.iter().take(rows) {
        cache.insert(table, *uuid, without_defaults(schema, table, row)).unwrap();
    }
}

/// Applies deltas to a copy that knows nothing but deltas.
fn replay(copy: &mut BTreeMap<(Arc<str>, Uuid), Arc<Row>>, deltas: Vec<RowDelta>) {
    for RowDelta { table, uuid, old, new } in deltas {
        assert_ne!(old, new, "a delta changes something");
        let key = (table, uuid);
        assert_eq!(copy.get(&key), old.as_ref(), "a delta starts from what the copy has");
        match new {
            Some(row) => drop(copy.insert(key, row)),
            None => drop(copy.remove(&key)),
        }
    }
}

proptest! {
    #[test]
    fn deltas_lead_to_the_present_content(
        history in prop::collection::vec((content(), delivery()), 1..12),
        end in content(),
    ) {
        let schema = schema();
        let mut cache = Cache::new(&schema);
        let mut copy = BTreeMap::new();
        let mut known = Content::new();
        for (state, delivery) in history.into_iter().chain([(end, Delivery::Delta)]) {
            match delivery {
                Delivery::Missed => continue,
                Delivery::Delta => {
                    cache.begin(Batch::Delta);
                    send_delta(&mut cache, &schema, &known, &state);
                }
                Delivery::Broken(rows) => {
                    cache.begin(Batch::Snapshot);
                    send_snapshot(&mut cache, &schema, &state, rows);
                }
                Delivery::Contradicted => {
                    cache.begin(Batch::Delta);
                    send_delta(&mut cache, &schema, &known, &state);
                    cache.delete("A", id(99)).unwrap_err();
                    prop_assert_eq!(cache.len(), known.len());
                }
                Delivery::Snapshot => {}
            }
            if !matches!(delivery, Delivery::Delta) {
                cache.begin(Batch::Snapshot);
                send_snapshot(&mut cache, &schema, &state, usize::MAX);
            }
            replay(&mut copy, cache.commit().unwrap());
            known = state;
            prop_assert_eq!(copy.len(), known.len());
            for ((table, uuid), row) in &known {
                prop_assert_eq!(&**cache.get(table, uuid).unwrap(), row);
                prop_assert_eq!(&**copy.get(&(Arc::from(*table), *uuid)).unwrap(), row);
            }
        }
        prop_assert_eq!(cache.len(), known.len());
    }
}
