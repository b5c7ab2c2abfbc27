mod random;

use std::collections::{BTreeMap, BTreeSet};

use ovsdb_derive::{AtomValue, ColumnGroup, Table};

use super::*;
use crate::cursor::Cursor;
use crate::problem::Problems;
use crate::row::Columns as ColumnsText;
use crate::schema::DatabaseSchema;
use crate::transact::{Condition, Mutation, Transaction};
use crate::value::{Datum, Row};

/// A table with a field of every kind.
#[derive(Clone, Debug, PartialEq, Table)]
#[ovsdb(table = "All", load_stage = 2, since = "1.0")]
struct All {
    #[ovsdb(uuid)]
    uuid: Uuid,
    name: String,
    number: i64,
    share: f64,
    flag: bool,
    #[ovsdb(column = "type")]
    kind: Kind,
    maybe: Option<String>,
    refs: Vec<Uuid>,
    words: BTreeSet<String>,
    counts: BTreeMap<String, i64>,
    #[ovsdb(key = "options:chassis")]
    chassis: Option<String>,
    #[ovsdb(key = "options:stateless")]
    stateless: Original<bool>,
    #[ovsdb(prefix = "options:x-")]
    pairs: BTreeMap<String, String>,
    #[ovsdb(flatten)]
    rare: Rare<Group>,
    #[ovsdb(skip)]
    links: u32,
}

#[derive(Clone, Debug, Default, PartialEq, ColumnGroup)]
#[ovsdb(row = "All")]
struct Group {
    #[ovsdb(optional, since = "2.0", absent = "nothing is sorted")]
    priority: i64,
    #[ovsdb(key = "external_ids:note")]
    note: Option<String>,
}

#[derive(Clone, Debug, Default, PartialEq, AtomValue)]
enum Kind {
    #[default]
    Plain,
    #[ovsdb(name = "dnat_and_snat")]
    Both,
}

const SCHEMA: &str = r#"{"name":"D","version":"1.0.0","tables":{"All":{"columns":{
    "name":{"type":"string"}, "number":{"type":"integer"}, "share":{"type":"real"}, "flag":{"type":"boolean"},
    "type":{"type":"string"}, "maybe":{"type":{"key":"string","min":0,"max":1}},
    "refs":{"type":{"key":"uuid","min":0,"max":"unlimited"}}, "words":{"type":{"key":"string","min":0,"max":1}},
    "counts":{"type":{"key":"string","value":"integer","min":0,"max":"unlimited"}},
    "options":{"type":{"key":"string","value":"string","min":0,"max":"unlimited"}},
    "external_ids":{"type":{"key":"string","value":"string","min":0,"max":"unlimited"}}}}}}"#;

fn schema(text: &str) -> DatabaseSchema {
    DatabaseSchema::parse(text).unwrap()
}

fn read(row: &mut All, text: &str, is_difference: bool, problems: &mut Problems) {
    let (_, layouts) = monitor_requests([&All::TABLE], &schema(SCHEMA)).unwrap();
    let had_problem = problems.has_row(All::TABLE.name, row.uuid);
    let read = ReadRow { uuid: row.uuid, columns: ColumnsText::new(text), is_difference, had_problem };
    read_row(row, read, layouts[0], &mut (), problems).unwrap();
}

#[test]
fn table_declaration_yields_its_monitor_request() {
    let names: Vec<_> = All::TABLE.columns.iter().map(|column| column.name).collect();
    let expected = "name number share flag type maybe refs words counts options priority external_ids";
    assert_eq!(names.join(" "), expected);
    assert_eq!((All::TABLE.name, All::TABLE.load_stage, All::TABLE.since), ("All", 2, "1.0"));
    let (requests, layouts) = monitor_requests([&All::TABLE], &schema(SCHEMA)).unwrap();
    assert_eq!(requests.keys().collect::<Vec<_>>(), ["All"]);
    let missing: Vec<_> = Missing::list(&All::TABLE, layouts[0]).collect();
    let said: Vec<_> = missing.iter().map(|m| (m.to_string(), m.since(), m.consequence())).collect();
    assert_eq!(said, [("All.priority".to_owned(), "2.0", "nothing is sorted")]);
    // For a set of at most one element the server sends the new value.
    let replaced: Vec<_> = layouts[0].replaced.iter().map(|column| names[column]).collect();
    assert_eq!(replaced, ["words"]);
}

#[test]
fn raw_identifier_is_the_name_without_its_prefix() {
    #[derive(Table)]
    #[ovsdb(table = "Raw")]
    struct Raw {
        r#type: String,
    }

    assert_eq!(Raw::TABLE.columns[0].name, "type");
}

#[test]
fn schema_with_a_missing_or_mistyped_column_is_refused() {
    let refused = |from, to| {
        let text = SCHEMA.replace(from, to);
        monitor_requests([&All::TABLE], &schema(&text)).unwrap_err().to_string()
    };
    assert_eq!(
        refused("\"number\"", "\"digits\""),
        "the database D has no column All.number, which 1.0 and newer releases have"
    );
    assert_eq!(
        refused("\"All\"", "\"Other\""),
        "the database D has no table All, which 1.0 and newer releases have"
    );
    assert_eq!(
        refused(r#""number":{"type":"integer"}"#, r#""number":{"type":"string"}"#),
        "the column All.number of the database D is not of type integer"
    );
}

#[test]
fn values_and_differences_are_read_into_fields() {
    let mut problems = Problems::default();
    let mut row = All::with_uuid(Uuid::from_u128(7));
    assert_eq!(row.uuid, Uuid::from_u128(7));
    let refs = |uuids: &[u128]| {
        let uuids = uuids.iter().map(|uuid| format!(r#"["uuid","{}"]"#, Uuid::from_u128(*uuid)));
        format!("[\"set\",[{}]]", uuids.collect::<Vec<_>>().join(","))
    };
    let text = format!(
        r#"{{"name":"n","number":5,"share":3,"flag":true,"type":"dnat_and_snat","maybe":"m","refs":{},
            "words":"w","counts":["map",[["a",1],["b",2]]],"unknown":{{}},"external_ids":["map",[["note","N"],["o","p"]]],
            "options":["map",[["chassis","c"],["stateless","TRUE"],["x-1","one"],["y","z"]]]}}"#,
        refs(&[2, 1])
    );
    read(&mut row, &text, false, &mut problems);
    assert_eq!((&*row.name, row.number, row.share, row.flag, &row.kind), ("n", 5, 3.0, true, &Kind::Both));
    assert_eq!(row.refs, [1, 2].map(Uuid::from_u128));
    assert_eq!(row.counts, BTreeMap::from([("a".to_owned(), 1), ("b".to_owned(), 2)]));
    assert_eq!((row.chassis.as_deref(), row.stateless.get()), (Some("c"), Some(&true)));
    assert_eq!((row.stateless.text(), row.pairs.len()), ("TRUE".into(), 1));
    assert!(!row.stateless.is_canonically(&true));
    assert_eq!(row.rare.get().and_then(|group| group.note.as_deref()), Some("N"));

    let before = row.clone();
    let text = format!(
        r#"{{"number":6,"maybe":["set",[]],"refs":{},"words":"v","counts":["map",[["a",1],["b",3]]],
            "options":["map",[["chassis","c"],["stateless","true"],["x-1","one"]]],"external_ids":["map",[["note","N"]]]}}"#,
        refs(&[2, 3])
    );
    read(&mut row, &text, true, &mut problems);
    assert_eq!((row.number, &row.maybe, &row.chassis, row.pairs.len()), (6, &None, &None, 0));
    assert_eq!(row.refs, [1, 3].map(Uuid::from_u128));
    assert_eq!(row.words, BTreeSet::from(["v".to_owned()]));
    assert_eq!(row.counts, BTreeMap::from([("b".to_owned(), 3)]));
    assert!(row.stateless.is_canonically(&true) && row.rare.get().is_none());
    let changed: Vec<_> = before.changed(&row).iter().map(|column| All::TABLE.columns[column].name).collect();
    assert_eq!(changed.join(" "), "number maybe refs words counts options external_ids");
    for column in 0..All::TABLE.columns.len() {
        row.reset(column);
    }
    assert_eq!(row, All::with_uuid(row.uuid));
    assert!(problems.is_empty());
}

#[test]
fn malformed_value_is_a_problem_of_its_column() {
    let mut problems = Problems::default();
    let mut row = All::with_uuid(Uuid::nil());
    read(
        &mut row,
        r#"{"type":"what","number":"five","name":"n","maybe":["set",["a","b"]]}"#,
        false,
        &mut problems,
    );
    let found: Vec<_> =
        problems.iter().map(|problem| format!("{}: {}", problem.column, problem.message)).collect();
    assert_eq!(
        found,
        [
            "type: not understood: \"what\"",
            "number: expected an integer at byte 0",
            "maybe: expected at most one value at byte 0",
        ]
    );
    assert_eq!((&*row.name, row.number, &row.kind, row.maybe.is_none()), ("n", 0, &Kind::Plain, true));
    read(&mut row, r#"{"type":"plain"}"#, true, &mut problems);
    assert_eq!(problems.len(), 2);
}

#[test]
fn value_that_is_not_understood_does_not_leave_the_former_one() {
    fn invalid(field: &mut impl Column, text: &str) {
        let applied = field.apply(&mut DatumReader::new(&mut Cursor::new(text)), &mut ());
        assert!(matches!(applied, Err(ColumnError::Invalid(_))), "{applied:?}");
    }

    let mut kind = Kind::Both;
    invalid(&mut kind, r#""what""#);
    assert_eq!(kind, Kind::Plain);
    let mut kinds = BTreeMap::from(["a", "b"].map(|key| (key.to_owned(), Kind::Both)));
    invalid(&mut kinds, r#"["map",[["a","what"],["b","plain"]]]"#);
    assert_eq!(kinds, BTreeMap::from([("b".to_owned(), Kind::Plain)]));
}

#[test]
fn typed_rows_are_written_by_the_table_declaration() {
    let row = TypedRow::new()
        .with(All::COLUMNS.name, "n")
        .with(All::COLUMNS.kind, Kind::Both)
        .with(All::COLUMNS.maybe, "m")
        .with(All::COLUMNS.words, ["a".to_owned()])
        .with_key(All::COLUMNS.chassis, "c")
        .with_pairs(All::COLUMNS.pairs, [("x-1", "one")])
        .with(Group::COLUMNS.priority, 5);
    let expected = Row::new()
        .with("name", "n")
        .with("type", "dnat_and_snat")
        .with("maybe", "m")
        .with("words", "a")
        .with("options", Datum::map([("chassis", "c"), ("x-1", "one")]))
        .with("priority", 5);
    let mut typed = Transaction::new("D");
    let mut untyped = typed.clone();
    typed.on::<All>().insert(row);
    untyped.insert("All", expected);
    typed.on::<All>().mutate([All::COLUMNS.name.eq("n")], [All::COLUMNS.refs.insert([Uuid::nil()])]);
    untyped.mutate("All", [Condition::eq("name", "n")], [Mutation::insert("refs", Uuid::nil())]);
    typed.on::<All>().mutate([All::COLUMNS.chassis.eq("c")], All::COLUMNS.chassis.set("d"));
    untyped.mutate(
        "All",
        [Condition::includes("options", Datum::map([("chassis", "c")]))],
        [Mutation::delete("options", "chassis"), Mutation::insert("options", Datum::map([("chassis", "d")]))],
    );
    assert_eq!(typed, untyped);
}

#[test]
fn one_key_of_a_whole_map_is_set_and_removed() {
    #[derive(Clone, Debug, Table)]
    #[ovsdb(table = "T")]
    struct Whole {
        name: String,
        words: Vec<String>,
        ids: BTreeMap<String, String>,
    }

    let mut typed = Transaction::new("D");
    let mut untyped = typed.clone();
    let name = "n".to_owned();
    typed.on::<Whole>().insert_named("x", TypedRow::new().with(Whole::COLUMNS.name, &name));
    untyped.insert_named("T", "x", Row::new().with("name", "n"));
    typed.on::<Whole>().update([], TypedRow::new().with(Whole::COLUMNS.words, ["a"]));
    untyped.update("T", [], Row::new().with("words", Datum::set(["a"])));
    let set = Mutation::insert("ids", Datum::map([("k", "v")]));
    typed.on::<Whole>().mutate([], Whole::COLUMNS.ids.set_key("k", "v"));
    untyped.mutate("T", [], [Mutation::delete("ids", "k"), set]);
    typed.on::<Whole>().mutate([], [Whole::COLUMNS.ids.remove_key("k")]);
    untyped.mutate("T", [], [Mutation::delete("ids", "k")]);
    assert_eq!(typed, untyped);
}
