use std::cmp::Ordering;
use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};

use proptest::prelude::*;
use uuid::Uuid;

use super::*;
use crate::schema::{BaseType, ColumnType, Constraint, DatabaseSchema, Max};

const UUID: Uuid = Uuid::from_u128(0x36bf_f9c6_0000_4000_8000_0000_0000_00ff);
const UUID_JSON: &str = r#"["uuid","36bff9c6-0000-4000-8000-0000000000ff"]"#;

fn set(atomic: AtomicType) -> ColumnType {
    ColumnType { min: 0, max: Max::Unlimited, ..ColumnType::scalar(atomic) }
}

fn map(key: AtomicType, value: AtomicType) -> ColumnType {
    ColumnType { value: Some(BaseType::any(value)), ..set(key) }
}

fn constrained(atomic: AtomicType, constraint: Constraint) -> ColumnType {
    ColumnType { key: BaseType { atomic, constraint }, ..set(atomic) }
}

/// Reads a value of a column.
fn read(text: &str, column: &ColumnType) -> Result<Datum, String> {
    let datum: Datum = serde_json::from_str(text).map_err(|error| format!("malformed value: {error}"))?;
    datum.conform(column).map_err(|error| error.to_string())
}

fn complaint(text: &str, column: &ColumnType) -> String {
    match read(text, column) {
        Ok(datum) => panic!("{text} was taken for {datum:?}"),
        Err(error) => error,
    }
}

#[test]
fn values_are_serialized_and_parsed_as_in_rfc_7047() {
    let empty_map = Datum::map::<Atom, Atom>([]);
    for (datum, json) in [
        (Datum::scalar(5), "5"),
        (Datum::scalar(i64::MAX), "9223372036854775807"),
        (Datum::scalar(i64::MIN), "-9223372036854775808"),
        (Datum::scalar(9_007_199_254_740_993_i64), "9007199254740993"),
        (Datum::scalar(2.5), "2.5"),
        (Datum::scalar(3.0), "3.0"),
        (Datum::scalar(true), "true"),
        (Datum::scalar(""), r#""""#),
        (Datum::scalar("set"), r#""set""#),
        (Datum::scalar("a\"b\n\u{e9}"), "\"a\\\"b\\n\u{e9}\""),
        (Datum::scalar(UUID), UUID_JSON),
        (Datum::scalar(Atom::NamedUuid("row1".into())), r#"["named-uuid","row1"]"#),
        (Datum::empty(), r#"["set",[]]"#),
        (Datum::set(["b", "a"]), r#"["set",["a","b"]]"#),
        (empty_map, r#"["map",[]]"#),
        (Datum::map([("k", 1)]), r#"["map",[["k",1]]]"#),
        (Datum::map([(2, false), (1, true)]), r#"["map",[[1,true],[2,false]]]"#),
    ] {
        assert_eq!(serde_json::to_string(&datum).unwrap(), json);
        assert_eq!(serde_json::from_str::<Datum>(json).unwrap(), datum, "{json}");
    }
}

/// Rule: a set of one arrives as the bare atom.
#[test]
fn tagged_set_of_one_equals_the_bare_atom() {
    assert_eq!(serde_json::from_str::<Datum>(r#"["set",["a"]]"#).unwrap(), Datum::scalar("a"));
    let set = format!(r#"["set",[{UUID_JSON}]]"#);
    assert_eq!(serde_json::from_str::<Datum>(&set).unwrap(), Datum::scalar(UUID));
}

#[test]
fn reals_without_json_are_not_written_as_null() {
    for real in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
        assert!(serde_json::to_string(&Datum::scalar(real)).is_err());
    }
}

#[test]
fn zeros_of_either_sign_are_equal_and_atoms_of_other_types_are_not() {
    let hash = |atom: &Atom| {
        let mut hasher = DefaultHasher::new();
        atom.hash(&mut hasher);
        hasher.finish()
    };
    let (zero, minus) = (Atom::Real(0.0), Atom::Real(-0.0));
    assert_eq!(zero.cmp(&minus), Ordering::Equal);
    assert_eq!(hash(&zero), hash(&minus));
    assert_ne!(Atom::Integer(1), Atom::Real(1.0));
    assert_ne!(Atom::from("a"), Atom::NamedUuid("a".into()));
    assert_eq!(Atom::Real(f64::NAN), Atom::Real(f64::NAN));
    assert!(Atom::Real(-1.0) < minus && minus < Atom::Real(f64::MIN_POSITIVE));
}

#[test]
fn number_takes_the_type_of_its_column() {
    let integer = ColumnType::scalar(AtomicType::Integer);
    let real = ColumnType::scalar(AtomicType::Real);
    assert_eq!(read("3", &real).unwrap(), Datum::scalar(3.0));
    assert_eq!(read("9223372036854775808", &real).unwrap(), Datum::scalar(9.223_372_036_854_776e18));
    assert_eq!(read("1.0", &integer).unwrap(), Datum::scalar(1));
    assert_eq!(read("-2e3", &integer).unwrap(), Datum::scalar(-2000));
    assert_eq!(read("9223372036854775807", &integer).unwrap(), Datum::scalar(i64::MAX));
    assert_eq!(
        read(r#"["map",[[1,2],[1.5,2.0]]]"#, &map(AtomicType::Real, AtomicType::Integer)).unwrap(),
        Datum::map([(1.0, 2), (1.5, 2)])
    );
    for text in ["1.5", "9223372036854775808", "9007199254740993.0", "1e300", "true", "\"1\""] {
        assert!(read(text, &integer).is_err(), "{text}");
    }
}

#[test]
fn collection_of_another_kind_than_the_column_is_refused() {
    let strings = set(AtomicType::String);
    let mapping = map(AtomicType::String, AtomicType::Integer);
    assert_eq!(complaint(r#"["map",[]]"#, &strings), "expected a set, found a map");
    assert_eq!(complaint(r#""a""#, &mapping), "expected a map, found a set");
    let empty = Datum::empty().conform(&mapping).unwrap();
    assert_eq!(serde_json::to_string(&empty).unwrap(), r#"["map",[]]"#);
}

#[test]
fn number_of_elements_is_checked_against_the_column() {
    let scalar = ColumnType::scalar(AtomicType::Integer);
    let pairs = ColumnType { max: Max::Limited(2), ..set(AtomicType::Integer) };
    assert_eq!(complaint(r#"["set",[]]"#, &scalar), "expected 1 to 1 elements, found 0");
    assert_eq!(complaint(r#"["set",[1,2]]"#, &scalar), "expected 1 to 1 elements, found 2");
    assert_eq!(complaint(r#"["set",[1,2,3]]"#, &pairs), "expected 0 to 2 elements, found 3");
    assert!(read(r#"["set",[1,2]]"#, &pairs).is_ok());
    assert!(Datum::set([1, 2, 3]).convert(&pairs).is_ok());
}

#[test]
fn conformance_error_names_the_atom_and_its_place() {
    let mapping = map(AtomicType::String, AtomicType::Integer);
    assert_eq!(
        complaint(r#"["map",[["a",1],["b","x"]]]"#, &mapping),
        "value of key \"b\": expected type integer, found \"x\" of type string"
    );
    assert_eq!(
        complaint(r#"["map",[[true,1]]]"#, &mapping),
        "key: expected type string, found true of type boolean"
    );
    let reals = set(AtomicType::Real);
    assert_eq!(complaint(r#"["set",[1,1.0]]"#, &reals), "element: 1.0 occurs twice");
    assert!(complaint("[", &reals).starts_with("malformed value: "));
}

#[test]
fn constraints_are_checked_for_every_atom() {
    let color = Constraint::Enum(["red", "blue"].map(Atom::from).into());
    let color = constrained(AtomicType::String, color);
    let port = constrained(AtomicType::Integer, Constraint::Integer { min: 1, max: 9 });
    let ratio = constrained(AtomicType::Real, Constraint::Real { min: 0.0, max: 1.0 });
    let name = constrained(AtomicType::String, Constraint::Length { min: 1, max: 2 });
    for (column, text) in [
        (&color, r#"["set",["red","blue"]]"#),
        (&port, r#"["set",[1,9.0]]"#),
        (&ratio, r#"["set",[0,0.5,1]]"#),
        (&ratio, "-0.0"),
        (&name, "\"\u{e9}\u{e9}\""),
    ] {
        assert!(read(text, column).is_ok(), "{text}");
    }
    assert_eq!(complaint(r#""green""#, &color), "element: \"green\" is not one of \"blue\", \"red\"");
    assert_eq!(complaint(r#"["set",[1,10]]"#, &port), "element: 10 is not between 1 and 9");
    assert_eq!(complaint("0.0", &port), "element: 0 is not between 1 and 9");
    assert_eq!(complaint("2", &ratio), "element: 2.0 is not between 0.0 and 1.0");
    assert_eq!(complaint(r#""""#, &name), "element: \"\" is not of a length between 1 and 2");
    let keyed = ColumnType { key: port.key, ..map(AtomicType::Integer, AtomicType::String) };
    assert_eq!(complaint(r#"["map",[[0,"a"]]]"#, &keyed), "key: 0 is not between 1 and 9");
}

#[test]
fn named_uuid_conforms_to_a_uuid_column() {
    let named = Datum::scalar(Atom::NamedUuid("new".into()));
    assert!(named.clone().conform(&set(AtomicType::Uuid)).is_ok());
    assert!(named.conform(&set(AtomicType::String)).is_err());
}

#[test]
fn datum_accessors_return_single_elements() {
    assert_eq!(Datum::scalar("a").as_str(), Some("a"));
    assert_eq!(Datum::scalar(7).as_integer(), Some(7));
    assert_eq!(Datum::scalar(7).as_str(), None);
    assert_eq!(Datum::set([7, 8]).as_integer(), None);
    assert_eq!(Datum::optional(None::<i64>), Datum::empty());
    assert_eq!(Datum::from("x"), Datum::optional(Some("x")));
    let ids = Datum::map([("b", "2"), ("a", "1")]);
    assert_eq!(ids.get("a").and_then(Atom::as_str), Some("1"));
    assert_eq!(ids.iter().filter_map(Atom::as_str).collect::<Vec<_>>(), ["a", "b"]);
    assert_eq!(ids.pairs().count(), 2);
    assert!(ids.contains("b") && !ids.contains("c") && ids.as_atom().is_none());
}

#[test]
fn row_is_serialized_as_an_object() {
    let row = Row::new().with("name", "ls0").with("tag", Datum::empty());
    let json = r#"{"name":"ls0","tag":["set",[]]}"#;
    assert_eq!(serde_json::to_string(&row).unwrap(), json);
    assert_eq!(serde_json::from_str::<Row>(json).unwrap(), row);
    assert_eq!(serde_json::to_string(&Row::new()).unwrap(), "{}");
    let row: Row = serde_json::from_str(&format!(r#"{{"_uuid":{UUID_JSON}}}"#)).unwrap();
    assert_eq!(row.uuid(), Some(UUID));
}

#[test]
fn rows_conform_to_their_table() {
    let schema = DatabaseSchema::parse(
        r#"{"name":"db","tables":{"t":{"columns":{
            "r":{"type":"real"},"m":{"type":{"key":"string","value":"string","min":0}}}}}}"#,
    )
    .unwrap();
    let table = schema.table("t").unwrap();
    let row = Row::new().with("r", 1).with("m", Datum::empty()).with("_uuid", UUID).conform(table).unwrap();
    assert_eq!(row.get("r"), Some(&Datum::scalar(1.0)));
    assert_eq!(row.get("m"), Some(&Datum::map::<Atom, Atom>([])));
    let error = Row::new().with("x", 1).conform(table).unwrap_err();
    assert_eq!(error.to_string(), "unknown column \"x\"");
    let error = Row::new().with("r", "1").conform(table).unwrap_err();
    assert_eq!(error.to_string(), "column \"r\"");
    let source = std::error::Error::source(&error).unwrap().to_string();
    assert_eq!(source, "element: expected type real, found \"1\" of type string");
}

fn atom() -> impl Strategy<Value = Atom> {
    prop_oneof![
        any::<i64>().prop_map(Atom::Integer),
        // Fractions of powers of two: every parser reads them exactly.
        (-4000_i32..4000).prop_map(|quarters| Atom::Real(f64::from(quarters) / 4.0)),
        any::<bool>().prop_map(Atom::Boolean),
        ".{0,4}".prop_map(Atom::String),
        any::<u128>().prop_map(|bits| Atom::Uuid(Uuid::from_u128(bits))),
        "[a-z_][a-z0-9_]{0,4}".prop_map(Atom::NamedUuid),
    ]
}

fn datum() -> impl Strategy<Value = Datum> {
    prop_oneof![
        prop::collection::btree_set(atom(), 0..4).prop_map(Datum::Set),
        prop::collection::btree_map(atom(), atom(), 0..4).prop_map(Datum::Map),
    ]
}

proptest! {
    #[test]
    fn serialized_datum_is_parsed_to_itself(datum in datum()) {
        let json = serde_json::to_string(&datum).unwrap();
        prop_assert_eq!(serde_json::from_str::<Datum>(&json).unwrap(), datum);
    }

    #[test]
    fn atom_order_agrees_with_equality(a in atom(), b in atom()) {
        prop_assert_eq!(a == b, a.cmp(&b) == Ordering::Equal);
        prop_assert_eq!(a.cmp(&b), b.cmp(&a).reverse());
        prop_assert_eq!(&a, &a.clone());
    }

    #[test]
    fn conform_is_idempotent(datum in datum()) {
        for column in [set(AtomicType::Real), set(AtomicType::Integer), map(AtomicType::Real, AtomicType::Real)] {
            if let Ok(once) = datum.clone().conform(&column) {
                prop_assert_eq!(once.clone().conform(&column), Ok(once));
            }
        }
    }
}

#[test]
fn numbers_and_texts_convert_to_atoms() {
    assert_eq!(
        [Atom::from(7_u8), 7_u16.into(), 7_u32.into(), 7_i8.into(), 7_i16.into()],
        [7, 7, 7, 7, 7].map(Atom::Integer)
    );
    assert_eq!(Atom::from(0.5_f32), Atom::Real(0.5));
    let text = "a".to_owned();
    assert_eq!([Atom::from(&text), text.clone().into_boxed_str().into()], [Atom::from("a"), text.into()]);
}

#[test]
fn collections_convert_to_datums() {
    assert_eq!(Datum::from(vec!["b", "a", "b"]), Datum::set(["a", "b"]));
    assert_eq!(Datum::from([1, 2]), Datum::set([1, 2]));
    assert_eq!(Datum::from(std::collections::BTreeSet::from([1])), Datum::scalar(1));
    assert_eq!(Datum::from(std::collections::BTreeMap::from([("a", 1)])), Datum::map([("a", 1)]));
    assert_eq!((Datum::from(Some(1)), Datum::from(None::<&str>)), (Datum::scalar(1), Datum::empty()));
}

/// The real `3.0` arrives as `3`.
#[test]
fn integer_reads_as_a_real_without_a_schema() {
    let row: Row = serde_json::from_str(r#"{"r":3}"#).unwrap();
    let read = row.get("r").unwrap();
    assert_eq!((read.as_real(), read.as_integer()), (Some(3.0), Some(3)));
    let real = read.clone().convert(&ColumnType::scalar(AtomicType::Real)).unwrap();
    assert_eq!((real.as_real(), real.as_integer()), (Some(3.0), None));
    assert_eq!(
        (read.as_atom().unwrap().to_string(), real.as_atom().unwrap().to_string()),
        ("3".into(), "3.0".into())
    );
}
