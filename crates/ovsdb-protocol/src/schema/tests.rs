use super::*;
use crate::value::{Atom, AtomicType, Datum};

/// A part of the northbound schema of OVN with an addition for each rule that it does not exercise.
const SCHEMA: &str = r#"{
    "name": "OVN_Northbound",
    "version": "7.3.0",
    "cksum": "3546526738 35222",
    "x-from-the-future": {"any": ["thing"]},
    "tables": {
        "NB_Global": {
            "columns": {
                "name": {"type": "string"},
                "nb_cfg": {"type": {"key": "integer"}, "ephemeral": true},
                "external_ids": {
                    "type": {"key": "string", "value": "string", "min": 0, "max": "unlimited"}}},
            "maxRows": 1,
            "isRoot": true},
        "Logical_Switch": {
            "columns": {
                "name": {"type": "string", "mutable": false},
                "ports": {"type": {"key": {"type": "uuid", "refTable": "Logical_Switch_Port", "refType": "strong"},
                                   "min": 0, "max": "unlimited"}},
                "copp": {"type": {"key": {"type": "uuid", "refTable": "Copp", "refType": "weak"},
                                  "min": 0, "max": 1}},
                "forwarding_groups": {
                    "type": {"key": {"type": "uuid", "refTable": "Forwarding_Group"}, "min": 0, "max": 5}}},
            "isRoot": true,
            "indexes": [["name"], ["name", "copp"]],
            "comment": "ignored"},
        "Logical_Switch_Port": {
            "columns": {
                "tag": {"type": {"key": {"type": "integer", "minInteger": 1, "maxInteger": 4095}, "min": 0, "max": 1}},
                "tag_request": {"type": {"key": {"type": "integer", "maxInteger": 4095}}},
                "up": {"type": {"key": "boolean", "min": 0, "max": 1}},
                "rate": {"type": {"key": {"type": "real", "minReal": 0.5}}},
                "label": {"type": {"key": {"type": "string", "minLength": 2, "maxLength": 9}}},
                "direction": {"type": {"key": {"type": "string", "enum": ["set", ["from-lport", "to-lport"]]}}},
                "protocol": {"type": {"key": {"type": "string", "enum": "tcp"}, "min": 0}},
                "weights": {"type": {"key": {"type": "real", "enum": ["set", [0, 1.5]]},
                                     "value": {"type": "integer", "minInteger": 0}, "min": 1, "max": 1}}}}}}"#;

fn schema() -> DatabaseSchema {
    DatabaseSchema::parse(SCHEMA).unwrap()
}

fn port(column: &str) -> ColumnType {
    schema().column("Logical_Switch_Port", column).unwrap().column_type.clone()
}

#[test]
fn schema_tables_and_columns_are_parsed() {
    let schema = schema();
    assert_eq!((schema.name.as_str(), schema.version.as_str()), ("OVN_Northbound", "7.3.0"));
    assert_eq!(schema.checksum.as_deref(), Some("3546526738 35222"));
    let global = schema.table("NB_Global").unwrap();
    assert_eq!((global.max_rows, global.is_root), (Some(1), true));
    assert!(global.columns["nb_cfg"].ephemeral && global.columns["nb_cfg"].mutable);
    let switch = schema.table("Logical_Switch").unwrap();
    assert_eq!(switch.indexes, [vec!["name"], vec!["name", "copp"]]);
    assert!(!switch.columns["name"].mutable && !switch.columns["name"].ephemeral);
    assert_eq!((switch.max_rows, switch.is_root), (None, true));
    assert!(!schema.table("Logical_Switch_Port").unwrap().is_root);
    assert!(schema.table("Nowhere").is_none());
}

#[test]
fn all_tables_are_roots_where_none_is_marked() {
    let schema = DatabaseSchema::parse(
        r#"{"name":"d","tables":{"a":{"columns":{}},"b":{"columns":{},"isRoot":false}}}"#,
    )
    .unwrap();
    assert!(schema.tables.values().all(|table| table.is_root));
    assert_eq!((schema.version.as_str(), schema.checksum), ("", None));
}

#[test]
fn column_predicates_distinguish_maps_and_scalars() {
    let schema = schema();
    let kinds = |table, column| {
        let column = &schema.column(table, column).unwrap().column_type;
        (column.is_map(), column.max_is_one())
    };
    assert_eq!(kinds("NB_Global", "name"), (false, true));
    assert_eq!(kinds("NB_Global", "nb_cfg"), (false, true));
    assert_eq!(kinds("NB_Global", "external_ids"), (true, false));
    assert_eq!(kinds("Logical_Switch", "ports"), (false, false));
    assert_eq!(kinds("Logical_Switch", "copp"), (false, true));
    assert_eq!(kinds("Logical_Switch_Port", "weights"), (true, true));
    assert_eq!(kinds("Logical_Switch_Port", "_uuid"), (false, true));
    assert!(schema.column("Logical_Switch", "_version").is_some());
}

#[test]
fn column_constraints_are_parsed() {
    assert_eq!(port("tag").key.constraint, Constraint::Integer { min: 1, max: 4095 });
    assert_eq!(port("tag_request").key.constraint, Constraint::Integer { min: i64::MIN, max: 4095 });
    assert_eq!(port("rate").key.constraint, Constraint::Real { min: 0.5, max: f64::MAX });
    assert_eq!(port("label").key.constraint, Constraint::Length { min: 2, max: 9 });
    assert_eq!(port("up").key.constraint, Constraint::None);
    let direction = ["from-lport", "to-lport"].map(Atom::from).into();
    assert_eq!(port("direction").key.enumeration(), Some(&direction));
    assert_eq!(port("protocol").key.enumeration(), Some(&["tcp"].map(Atom::from).into()));
    // The members of an enumeration are of its type, whatever their JSON looks like.
    assert_eq!(port("weights").key.enumeration(), Some(&[0.0, 1.5].map(Atom::from).into()));
}

#[test]
fn references_are_strong_by_default() {
    let schema = schema();
    let key = |column| &schema.column("Logical_Switch", column).unwrap().column_type.key;
    let reference = |column| (key(column).ref_table(), key(column).ref_type());
    assert_eq!(reference("ports"), (Some("Logical_Switch_Port"), Some(RefType::Strong)));
    assert_eq!(reference("copp"), (Some("Copp"), Some(RefType::Weak)));
    assert_eq!(reference("forwarding_groups"), (Some("Forwarding_Group"), Some(RefType::Strong)));
    assert_eq!(reference("name"), (None, None));
}

#[test]
fn column_defaults_are_those_of_the_server() {
    let empty_map = Datum::map::<Atom, Atom>([]);
    let schema = schema();
    let default = |table, column| schema.column(table, column).unwrap().column_type.default_datum();
    assert_eq!(default("NB_Global", "name"), Datum::scalar(""));
    assert_eq!(default("NB_Global", "nb_cfg"), Datum::scalar(0));
    assert_eq!(default("NB_Global", "external_ids"), empty_map);
    assert_eq!(default("Logical_Switch", "ports"), Datum::empty());
    assert_eq!(default("Logical_Switch", "_uuid"), Datum::scalar(uuid::Uuid::nil()));
    assert_eq!(port("rate").default_datum(), Datum::scalar(0.0));
    assert_eq!(port("up").default_datum(), Datum::empty());
    assert_eq!(port("direction").default_datum(), Datum::scalar(""));
    assert_eq!(port("weights").default_datum(), Datum::map([(0.0, 0)]));
    assert_eq!(ColumnType::scalar(AtomicType::Boolean).default_datum(), Datum::scalar(false));
}

#[test]
fn malformed_column_type_is_an_error_of_its_column() {
    for (json, reason) in [
        (r#""int""#, r#"expected an atomic type, found "int""#),
        ("5", "expected a type, found 5"),
        ("{}", "no key"),
        (r#"{"key":{}}"#, "no type"),
        (r#"{"key":"integer","value":7}"#, "expected an atomic type, found 7"),
        (r#"{"key":"integer","min":2}"#, "min is neither 0 nor 1"),
        (r#"{"key":"integer","min":-1}"#, "min is neither 0 nor 1"),
        (r#"{"key":"integer","max":0}"#, r#"max is neither a positive integer nor "unlimited""#),
        (r#"{"key":"integer","max":"many"}"#, r#"max is neither a positive integer nor "unlimited""#),
        (r#"{"key":{"type":"integer","minInteger":2,"maxInteger":1}}"#, "the minimum exceeds the maximum"),
        (r#"{"key":{"type":"string","minLength":-1}}"#, "minLength is -1"),
        (r#"{"key":{"type":"uuid","refTable":5}}"#, "refTable is not a string"),
        (
            r#"{"key":{"type":"uuid","refTable":"t","refType":"x"}}"#,
            r#"refType is neither "strong" nor "weak""#,
        ),
        (
            r#"{"key":{"type":"string","enum":["set",[1]]}}"#,
            "malformed enum: element: expected type string, found 1 of type integer",
        ),
        (
            r#"{"key":{"type":"string","enum":["set",[]]}}"#,
            "malformed enum: expected 1 to any number of elements, found 0",
        ),
    ] {
        let text = format!(r#"{{"name":"d","tables":{{"t":{{"columns":{{"c":{{"type":{json}}}}}}}}}}}"#);
        let error = DatabaseSchema::parse(&text).unwrap_err().to_string();
        assert_eq!(error, format!(r#"malformed type of column "c" of table "t": {reason}"#));
    }
}

#[test]
fn malformed_schema_is_refused() {
    for text in ["", "[]", "null", "{}", r#"{"name":"d"}"#, r#"{"name":"d","tables":{"t":{}}}"#] {
        assert!(matches!(DatabaseSchema::parse(text), Err(SchemaError::Json(_))), "{text}");
    }
}
