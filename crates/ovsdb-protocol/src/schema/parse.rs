//! Reading a schema from JSON.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;
use serde_json::{Map, Value};

use super::{BaseType, ColumnSchema, ColumnType, Constraint, DatabaseSchema, Max, RefType, TableSchema};
use crate::value::{Atom, AtomicType, Datum};

/// The error of a text that is not a database schema.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SchemaError {
    /// The text is not JSON, or does not have the structure of a schema.
    #[error("not the JSON of a schema")]
    Json(#[source] serde_json::Error),
    /// The type of a column is invalid.
    #[error("malformed type of column {column:?} of table {table:?}: {reason}")]
    ColumnType {
        /// The name of the table.
        table: String,
        /// The name of the column.
        column: String,
        /// The reason.
        reason: String,
    },
}

// Members unknown to these structs are ignored everywhere: a newer server may send more.

#[derive(Deserialize)]
struct DatabaseJson {
    name: String,
    #[serde(default)]
    version: String,
    cksum: Option<String>,
    tables: BTreeMap<String, TableJson>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct TableJson {
    columns: BTreeMap<String, ColumnJson>,
    max_rows: Option<u64>,
    #[serde(default)]
    is_root: bool,
    #[serde(default)]
    indexes: Vec<Vec<String>>,
}

#[derive(Deserialize)]
struct ColumnJson {
    r#type: Value,
    #[serde(default)]
    ephemeral: bool,
    #[serde(default = "yes")]
    mutable: bool,
}

fn yes() -> bool {
    true
}

impl DatabaseSchema {
    /// Reads a schema, as in a schema file or in the reply to `get_schema`.
    ///
    /// Members that are not in RFC 7047 are ignored, so that schemas of newer servers can be read.
    ///
    /// # Errors
    ///
    /// Fails if the text is not a schema; the error names the table and the column if one is invalid.
    pub fn parse(text: &str) -> Result<Self, SchemaError> {
        Self::from_json(serde_json::from_str(text).map_err(SchemaError::Json)?)
    }

    fn from_json(json: DatabaseJson) -> Result<Self, SchemaError> {
        // RFC 7047 section 3.2: without any table marked as root, all are.
        let all_are_roots = json.tables.values().all(|table| !table.is_root);
        let mut tables = BTreeMap::new();
        for (name, table) in json.tables {
            let mut columns = BTreeMap::new();
            for (column, ColumnJson { r#type, ephemeral, mutable }) in table.columns {
                match column_type(&r#type) {
                    Ok(column_type) => {
                        columns.insert(column, ColumnSchema { column_type, ephemeral, mutable });
                    }
                    Err(reason) => return Err(SchemaError::ColumnType { table: name, column, reason }),
                }
            }
            let is_root = table.is_root || all_are_roots;
            let schema = TableSchema { columns, max_rows: table.max_rows, is_root, indexes: table.indexes };
            tables.insert(name, schema);
        }
        Ok(Self { name: json.name, version: json.version, checksum: json.cksum, tables })
    }
}

/// Reads a `<type>`.
fn column_type(json: &Value) -> Result<ColumnType, String> {
    let members = match json {
        Value::Object(members) => members,
        Value::String(_) => {
            return Ok(ColumnType { key: base_type(json)?, ..ColumnType::scalar(AtomicType::Uuid) });
        }
        _ => return Err(format!("expected a type, found {json}")),
    };
    let key = base_type(members.get("key").ok_or("no key")?)?;
    let value = members.get("value").map(base_type).transpose()?;
    let min = match members.get("min").map(Value::as_u64) {
        None => 1,
        Some(Some(min @ 0..=1)) => min,
        Some(_) => return Err("min is neither 0 nor 1".to_owned()),
    };
    let max = match members.get("max") {
        None => Max::Limited(1),
        Some(Value::String(max)) if max == "unlimited" => Max::Unlimited,
        Some(max) => match max.as_u64() {
            Some(max @ 1..) => Max::Limited(max),
            _ => return Err("max is neither a positive integer nor \"unlimited\"".to_owned()),
        },
    };
    Ok(ColumnType { key, value, min, max })
}

/// Reads a `<base-type>`.
fn base_type(json: &Value) -> Result<BaseType, String> {
    let none = Map::new();
    let (name, members) = match json {
        Value::Object(members) => (members.get("type").ok_or("no type")?, members),
        _ => (json, &none),
    };
    let atomic = name
        .as_str()
        .and_then(AtomicType::from_name)
        .ok_or_else(|| format!("expected an atomic type, found {name}"))?;
    let constraint = constraint(atomic, members)?;
    Ok(BaseType { atomic, constraint })
}

/// Reads the constraint among the members of a `<base-type>`.
fn constraint(atomic: AtomicType, members: &Map<String, Value>) -> Result<Constraint, String> {
    if let Some(atoms) = members.get("enum") {
        return enumeration(atomic, atoms).map(Constraint::Enum);
    }
    match atomic {
        AtomicType::Integer => {
            let (min, max) = bounds(members, ["minInteger", "maxInteger"], Value::as_i64)?;
            let unbounded = min.is_none() && max.is_none();
            let (min, max) = ordered(min.unwrap_or(i64::MIN), max.unwrap_or(i64::MAX))?;
            Ok(if unbounded { Constraint::None } else { Constraint::Integer { min, max } })
        }
        AtomicType::Real => {
            let (min, max) = bounds(members, ["minReal", "maxReal"], Value::as_f64)?;
            let unbounded = min.is_none() && max.is_none();
            let (min, max) = ordered(min.unwrap_or(f64::MIN), max.unwrap_or(f64::MAX))?;
            Ok(if unbounded { Constraint::None } else { Constraint::Real { min, max } })
        }
        AtomicType::String => {
            let (min, max) = bounds(members, ["minLength", "maxLength"], Value::as_u64)?;
            let unbounded = min.is_none() && max.is_none();
            let (min, max) = ordered(min.unwrap_or(0), max.unwrap_or(u64::MAX))?;
            Ok(if unbounded { Constraint::None } else { Constraint::Length { min, max } })
        }
        AtomicType::Boolean => Ok(Constraint::None),
        AtomicType::Uuid => reference(members),
    }
}

/// Reads an `enum`: an atom, or a set of atoms, of the type.
fn enumeration(atomic: AtomicType, json: &Value) -> Result<BTreeSet<Atom>, String> {
    let many = ColumnType { max: Max::Unlimited, ..ColumnType::scalar(atomic) };
    let datum = Datum::deserialize(json)
        .map_err(|error| error.to_string())
        .and_then(|datum| datum.conform(&many).map_err(|error| error.to_string()))
        .map_err(|error| format!("malformed enum: {error}"))?;
    Ok(datum.iter().cloned().collect())
}

/// Reads `refTable` and `refType`.
fn reference(members: &Map<String, Value>) -> Result<Constraint, String> {
    let Some(table) = members.get("refTable") else {
        return Ok(Constraint::None);
    };
    let table = table.as_str().ok_or("refTable is not a string")?.to_owned();
    let ref_type = match members.get("refType").map(Value::as_str) {
        None | Some(Some("strong")) => RefType::Strong,
        Some(Some("weak")) => RefType::Weak,
        Some(_) => return Err("refType is neither \"strong\" nor \"weak\"".to_owned()),
    };
    Ok(Constraint::Reference { table, ref_type })
}

/// Reads the two bounds of a range, each of them optional.
fn bounds<T>(
    members: &Map<String, Value>,
    names: [&str; 2],
    read: impl Fn(&Value) -> Option<T>,
) -> Result<(Option<T>, Option<T>), String> {
    let bound = |name| match members.get(name) {
        None => Ok(None),
        Some(json) => read(json).map(Some).ok_or_else(|| format!("{name} is {json}")),
    };
    Ok((bound(names[0])?, bound(names[1])?))
}

/// Refuses an empty range.
fn ordered<T: PartialOrd>(min: T, max: T) -> Result<(T, T), String> {
    if min <= max { Ok((min, max)) } else { Err("the minimum exceeds the maximum".to_owned()) }
}
