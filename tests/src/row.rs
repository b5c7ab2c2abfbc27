//! OVSDB's JSON notation (RFC 7047, section 5.1), as far as tests need it.

use std::collections::BTreeMap;

use serde_json::{Value, json};

/// Writes a map column.
pub fn json_map<K: AsRef<str>, V: AsRef<str>>(pairs: impl IntoIterator<Item = (K, V)>) -> Value {
    let pairs: Vec<Value> =
        pairs.into_iter().map(|(key, value)| json!([key.as_ref(), value.as_ref()])).collect();
    json!(["map", pairs])
}

/// Writes a set column.
pub fn json_set(items: impl IntoIterator<Item = Value>) -> Value {
    json!(["set", items.into_iter().collect::<Vec<_>>()])
}

/// Writes a reference to a row.
pub fn uuid_ref(uuid: &str) -> Value {
    json!(["uuid", uuid])
}

/// Writes a reference to a row inserted in the same transaction.
pub(crate) fn named(name: &str) -> Value {
    json!(["named-uuid", name])
}

/// Reads a set column: the server writes a set of one as the bare value. References become their UUID's text.
pub fn set_column(value: &Value) -> Vec<Value> {
    match value.as_array().map(Vec::as_slice) {
        Some([Value::String(tag), Value::Array(items)]) if tag == "set" => items.iter().map(plain).collect(),
        _ => vec![plain(value)],
    }
}

/// Reads a map column of strings; anything else is an empty map.
pub fn map_column(value: &Value) -> BTreeMap<String, String> {
    let Some([Value::String(tag), Value::Array(pairs)]) = value.as_array().map(Vec::as_slice) else {
        return BTreeMap::new();
    };
    if tag != "map" {
        return BTreeMap::new();
    }
    let text = |value: &Value| value.as_str().map(str::to_owned);
    pairs.iter().filter_map(|pair| Some((text(pair.get(0)?)?, text(pair.get(1)?)?))).collect()
}

/// The string in a column of zero or one strings.
pub(crate) fn optional_string(value: &Value) -> Option<String> {
    set_column(value).first().and_then(Value::as_str).map(str::to_owned)
}

fn plain(value: &Value) -> Value {
    match value.as_array().map(Vec::as_slice) {
        Some([Value::String(tag), uuid]) if tag == "uuid" => uuid.clone(),
        _ => value.clone(),
    }
}
