//! Writing a schema as JSON.

use serde::{Serialize, Serializer};
use serde_json::{Map, Value, json};

use super::{BaseType, ColumnSchema, ColumnType, Constraint, DatabaseSchema, Max, RefType, TableSchema};
use crate::value::Datum;

impl Serialize for DatabaseSchema {
    /// Writes the JSON that [`DatabaseSchema::parse`] reads, with every root table marked as such.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut json = members([
            ("name", Some(json!(self.name))),
            ("version", Some(json!(self.version)).filter(|_| !self.version.is_empty())),
            ("cksum", self.checksum.as_ref().map(|checksum| json!(checksum))),
        ]);
        let tables = self.tables.iter().map(|(name, schema)| (name.clone(), table(schema)));
        json.insert("tables".to_owned(), Value::Object(tables.collect()));
        json.serialize(serializer)
    }
}

/// Returns the members that are present.
fn members<const N: usize>(members: [(&str, Option<Value>); N]) -> Map<String, Value> {
    members.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))).collect()
}

fn table(table: &TableSchema) -> Value {
    let columns: Map<_, _> =
        table.columns.iter().map(|(name, schema)| (name.clone(), column(schema))).collect();
    Value::Object(members([
        ("columns", Some(Value::Object(columns))),
        ("maxRows", table.max_rows.map(Value::from)),
        ("isRoot", Some(json!(true)).filter(|_| table.is_root)),
        ("indexes", Some(json!(table.indexes)).filter(|_| !table.indexes.is_empty())),
    ]))
}

fn column(column: &ColumnSchema) -> Value {
    Value::Object(members([
        ("type", Some(column_type(&column.column_type))),
        ("ephemeral", Some(json!(true)).filter(|_| column.ephemeral)),
        ("mutable", Some(json!(false)).filter(|_| !column.mutable)),
    ]))
}

fn column_type(column: &ColumnType) -> Value {
    let is_scalar = !column.is_map() && column.min == 1 && column.max_is_one();
    if is_scalar && column.key.constraint == Constraint::None {
        return json!(column.key.atomic.name());
    }
    let max = match column.max {
        Max::Limited(max) => json!(max),
        Max::Unlimited => json!("unlimited"),
    };
    Value::Object(members([
        ("key", Some(base_type(&column.key))),
        ("value", column.value.as_ref().map(base_type)),
        ("min", Some(json!(column.min)).filter(|_| column.min != 1)),
        ("max", Some(max).filter(|_| !column.max_is_one())),
    ]))
}

fn base_type(base: &BaseType) -> Value {
    let bound = |bound: Value, none: Value| Some(bound).filter(|bound| *bound != none);
    let constraint = match &base.constraint {
        Constraint::None => return json!(base.atomic.name()),
        Constraint::Enum(atoms) => members([("enum", Some(json!(Datum::Set(atoms.clone()))))]),
        Constraint::Integer { min, max } => members([
            ("minInteger", bound(json!(min), json!(i64::MIN))),
            ("maxInteger", bound(json!(max), json!(i64::MAX))),
        ]),
        Constraint::Real { min, max } => members([
            ("minReal", bound(json!(min), json!(f64::MIN))),
            ("maxReal", bound(json!(max), json!(f64::MAX))),
        ]),
        Constraint::Length { min, max } => members([
            ("minLength", bound(json!(min), json!(0))),
            ("maxLength", bound(json!(max), json!(u64::MAX))),
        ]),
        Constraint::Reference { table, ref_type } => members([
            ("refTable", Some(json!(table))),
            ("refType", Some(json!("weak")).filter(|_| *ref_type == RefType::Weak)),
        ]),
    };
    let mut json = members([("type", Some(json!(base.atomic.name())))]);
    json.extend(constraint);
    Value::Object(json)
}
