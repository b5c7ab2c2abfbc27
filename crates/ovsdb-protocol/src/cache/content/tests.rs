use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::diff::diff;
use crate::row::Columns;
use crate::schema::DatabaseSchema;
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

/// A cache of all tables and columns.
fn empty() -> Content {
    let schema = schema();
    let mut content = Content::default();
    for (name, table) in &schema.tables {
        content.add_table(name, table, &table.columns.keys().cloned().collect::<Vec<_>>());
    }
    content
}

/// A cache with row 1 of table B.
fn cache() -> Content {
    let mut cache = empty();
    cache.begin(Batch::Snapshot);
    cache.insert("B", id(1), b(1)).unwrap();
    assert_eq!(cache.commit().unwrap().len(), 1);
    cache
}

/// Updates as a server sends them.
impl Content {
    fn send(&mut self, table: &str, uuid: Uuid, change: RowChange<'_>) -> Result<(), CacheError> {
        self.apply(RowUpdate { table, uuid, change })
    }

    fn insert(&mut self, table: &str, uuid: Uuid, row: Row) -> Result<(), CacheError> {
        let text = serde_json::to_string(&row).unwrap();
        self.send(table, uuid, RowChange::Insert(Columns::new(&text)))
    }

    fn modify(&mut self, table: &str, uuid: Uuid, row: Row) -> Result<(), CacheError> {
        let text = serde_json::to_string(&row).unwrap();
        self.send(table, uuid, RowChange::Modify(Columns::new(&text)))
    }

    fn replace(&mut self, table: &str, uuid: Uuid, row: Row) -> Result<(), CacheError> {
        let text = serde_json::to_string(&row).unwrap();
        self.send(table, uuid, RowChange::Replace(Columns::new(&text)))
    }

    fn delete(&mut self, table: &str, uuid: Uuid) -> Result<(), CacheError> {
        self.send(table, uuid, RowChange::Delete)
    }
}

fn deltas(cache: &mut Content) -> Vec<(u128, Option<Row>, Option<Row>)> {
    let row = |row: Option<Arc<Row>>| row.map(Arc::unwrap_or_clone);
    let deltas = cache.commit().unwrap().into_iter();
    deltas.map(|delta| (delta.uuid.as_u128(), row(delta.old), row(delta.new))).collect()
}

/// Rule: an inserted row lacks columns with default values, even if that is every column.
#[test]
fn inserted_row_has_the_defaults_of_omitted_columns() {
    let mut cache = empty();
    cache.begin(Batch::Delta);
    cache.insert("A", id(1), Row::new().with("s", 5.0)).unwrap();
    assert!(cache.len() == 0, "readers see nothing of an open batch");
    cache.commit().unwrap();
    let empty_map: [(&str, i64); 0] = [];
    let expected =
        Row::new().with("n", 0).with("o", Datum::empty()).with("s", 5).with("m", Datum::map(empty_map));
    assert_eq!(**cache.get("A", &id(1)).unwrap(), expected);
}

#[test]
fn rows_have_only_the_monitored_columns() {
    let schema = schema();
    let mut cache = Content::default();
    let columns = ["n", "_uuid", "future"].map(str::to_owned);
    cache.add_table("A", &schema.tables["A"], &columns);
    assert_eq!(cache.tables().collect::<Vec<_>>(), ["A"]);
    cache.begin(Batch::Delta);
    cache.insert("A", id(1), Row::new().with("_uuid", id(1)).with("s", 1)).unwrap();
    cache.commit().unwrap();
    assert_eq!(**cache.get("A", &id(1)).unwrap(), Row::new().with("n", 0).with("_uuid", id(1)));
    cache.begin(Batch::Delta);
    assert_eq!(cache.delete("B", id(1)), Err(CacheError::UnknownTable("B".into())));
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
fn snapshot_yields_deltas_only_for_differences() {
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
    assert!(cache.len() == 0);
}

#[test]
fn contradicting_update_discards_its_batch() {
    type Change = fn(&mut Content) -> Result<(), CacheError>;
    let contradictions: [Change; 7] = [
        |cache| cache.insert("B", id(1), b(7)),
        |cache| cache.insert("B", id(2), b(7)),
        |cache| cache.modify("B", id(3), b(7)),
        |cache| cache.replace("B", id(3), b(7)),
        |cache| cache.delete("B", id(3)),
        |cache| cache.delete("C", id(1)),
        |cache| cache.send("B", id(1), RowChange::Modify(Columns::new("{\"n\":"))),
    ];
    for contradiction in contradictions {
        let mut cache = cache();
        cache.begin(Batch::Delta);
        cache.insert("B", id(2), b(2)).unwrap();
        let error = contradiction(&mut cache).unwrap_err();
        assert_ne!(error, CacheError::NoBatch);
        assert_eq!(cache.delete("B", id(1)), Err(CacheError::NoBatch));
        assert_eq!(cache.commit(), Err(CacheError::NoBatch));
        assert_eq!((cache.len(), &**cache.get("B", &id(1)).unwrap()), (1, &b(1)), "{error}");
        // The next snapshot starts empty.
        cache.begin(Batch::Snapshot);
        cache.insert("B", id(2), b(2)).unwrap();
        assert_eq!(deltas(&mut cache), [(1, Some(b(1)), None), (2, None, Some(b(2)))]);
    }
}

#[test]
fn snapshot_knows_only_its_own_rows() {
    let mut cache = cache();
    cache.begin(Batch::Snapshot);
    assert!(matches!(cache.modify("B", id(1), b(2)), Err(CacheError::Absent { .. })));
    cache.begin(Batch::Snapshot);
    cache.insert("B", id(1), b(1)).unwrap();
    assert!(matches!(cache.insert("B", id(1), b(1)), Err(CacheError::Exists { .. })));
}

#[test]
fn new_batch_discards_an_unfinished_one() {
    let mut cache = cache();
    cache.begin(Batch::Snapshot);
    cache.insert("B", id(5), b(5)).unwrap();
    cache.begin(Batch::Delta);
    cache.insert("B", id(6), b(6)).unwrap();
    assert_eq!(deltas(&mut cache), [(6, None, Some(b(6)))]);
    assert_eq!(cache.commit(), Err(CacheError::NoBatch));
}

// ===== values that cannot be read =====

/// The problems, as row numbers, columns and messages.
fn problems(cache: &Content) -> Vec<(u128, String, String)> {
    let problems = cache.problems().iter();
    problems.map(|it| (it.uuid.as_u128(), it.column.to_string(), it.message)).collect()
}

fn update<'a>(cache: &mut Content, change: fn(Columns<'a>) -> RowChange<'a>, text: &'a str) {
    cache.begin(Batch::Delta);
    cache.send("A", id(1), change(Columns::new(text))).unwrap();
    cache.commit().unwrap();
}

/// Such as a set of two reals with the same text in ovsdb-server's notation.
#[test]
fn unreadable_value_is_missing_until_a_whole_value_arrives() {
    let mut cache = empty();
    let row = |cache: &Content| serde_json::to_string(&**cache.get("A", &id(1)).unwrap()).unwrap();
    update(&mut cache, RowChange::Insert, r#"{"n":1e999,"o":"x","s":["set",[1,1]],"m":["map",[["a","b"]]]}"#);
    assert_eq!(row(&cache), r#"{"o":"x"}"#);
    let expected = "value of key \"a\": expected type integer, found \"b\" of type string";
    assert_eq!(
        problems(&cache),
        [
            (1, "m".to_owned(), expected.to_owned()),
            (1, "n".to_owned(), "expected a number in range at byte 5".to_owned()),
            (1, "s".to_owned(), "expected every element of the set once at byte 23".to_owned()),
        ]
    );
    // A scalar arrives as a new value; a difference from an unknown value has no meaning.
    update(&mut cache, RowChange::Modify, r#"{"n":7,"s":["set",[3,4]],"m":["map",[["k",1]]]}"#);
    assert_eq!(row(&cache), r#"{"n":7,"o":"x"}"#);
    assert_eq!(problems(&cache).len(), 2);
    // A difference that cannot be read makes the value unknown.
    update(&mut cache, RowChange::Modify, r#"{"o":["map",[]]}"#);
    assert_eq!((row(&cache).as_str(), problems(&cache).len()), (r#"{"n":7}"#, 3));
    update(&mut cache, RowChange::Replace, r#"{"s":["set",[3,4]]}"#);
    assert_eq!(row(&cache), r#"{"m":["map",[]],"n":0,"o":["set",[]],"s":["set",[3,4]]}"#);
    assert!(cache.problems().is_empty());

    update(&mut cache, RowChange::Modify, r#"{"s":["set",[3,3]]}"#);
    assert_eq!(problems(&cache).len(), 1);
    cache.begin(Batch::Delta);
    cache.delete("A", id(1)).unwrap();
    cache.commit().unwrap();
    assert!(cache.problems().is_empty(), "with its row");
}

#[test]
fn problems_follow_the_committed_content() {
    let mut cache = empty();
    update(&mut cache, RowChange::Insert, r#"{"n":"x"}"#);
    cache.begin(Batch::Snapshot);
    cache.send("A", id(1), RowChange::Insert(Columns::new(r#"{"o":5}"#))).unwrap();
    cache.send("A", id(2), RowChange::Insert(Columns::new(r#"{"o":5}"#))).unwrap();
    assert_eq!(problems(&cache).len(), 1, "not yet");
    cache.begin(Batch::Snapshot);
    cache.send("A", id(1), RowChange::Insert(Columns::new(r#"{"n":"x"}"#))).unwrap();
    cache.commit().unwrap();
    assert_eq!(problems(&cache).iter().map(|it| (it.0, it.1.as_str())).collect::<Vec<_>>(), [(1, "n")]);
    cache.begin(Batch::Snapshot);
    cache.commit().unwrap();
    assert!(cache.problems().is_empty());
}

/// A conversion of the schema may leave values that its constraints forbid.
#[test]
fn value_outside_its_constraints_is_accepted_from_the_server() {
    let schema = DatabaseSchema::parse(
        r#"{"name":"db","tables":{"A":{"columns":{
            "e":{"type":{"key":{"type":"string","enum":["set",["a","b"]]}}},
            "n":{"type":{"key":{"type":"integer","minInteger":1}}}}}}}"#,
    )
    .unwrap();
    let mut cache = Content::default();
    let table = &schema.tables["A"];
    cache.add_table("A", table, &table.columns.keys().cloned().collect::<Vec<_>>());
    update(&mut cache, RowChange::Insert, "{}");
    update(&mut cache, RowChange::Modify, r#"{"n":["set",[]]}"#);
    assert_eq!(**cache.get("A", &id(1)).unwrap(), Row::new().with("e", "").with("n", Datum::empty()));
    assert!(cache.problems().is_empty());
}

// ===== random histories =====

type State = BTreeMap<(&'static str, Uuid), Row>;

/// How the client receives a state of the database.
#[derive(Debug, Clone, Copy)]
enum Delivery {
    /// Differences from the state that the client has.
    Delta,
    /// A whole snapshot.
    Snapshot,
    /// A batch that breaks off after this many rows, and a snapshot.
    Broken(usize),
    /// A change that contradicts the content, and a snapshot.
    Contradicted,
    /// Not at all; the next delivery includes this state.
    Missed,
}

fn any_row() -> impl Strategy<Value = Row> {
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

fn state() -> impl Strategy<Value = State> {
    let a = prop::collection::btree_map(0_u128..4, any_row(), 0..4);
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

fn send_delta(cache: &mut Content, schema: &DatabaseSchema, old: &State, new: &State) {
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

fn send_snapshot(cache: &mut Content, schema: &DatabaseSchema, new: &State, rows: usize) {
    for ((table, uuid), row) in new.iter().take(rows) {
        cache.insert(table, *uuid, without_defaults(schema, table, row)).unwrap();
    }
}

/// Applies deltas to a copy that gets only deltas.
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
    fn accumulated_deltas_equal_the_content(
        history in prop::collection::vec((state(), delivery()), 1..12),
        end in state(),
    ) {
        let schema = schema();
        let mut cache = empty();
        let mut copy = BTreeMap::new();
        let mut known = State::new();
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
