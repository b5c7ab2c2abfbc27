//! Schemas that are converted while servers and clients run.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::Result;
use ovn_extaddr_tests::Output;
use serde_json::{Value, json};

/// Converts the Northbound database at `remote` to a schema changed by `change`; the file is written to `dir`. Returns
/// the old schema.
pub(crate) fn convert(remote: &str, dir: &Path, change: impl FnOnce(&mut Value)) -> Result<Value> {
    let mut get = Command::new("ovsdb-client");
    get.args(["get-schema", remote, "OVN_Northbound"]);
    let old: Value = serde_json::from_str(&Output::capture(get)?.success()?)?;
    let mut new = old.clone();
    change(&mut new);
    let file = dir.join("new.ovsschema");
    fs::write(&file, new.to_string())?;
    let mut convert = Command::new("ovsdb-client");
    convert.args(["convert", remote]).arg(&file);
    Output::capture(convert)?.success()?;
    Ok(old)
}

/// A future schema: it has one column more and one table less.
pub(crate) fn another(schema: &mut Value) {
    schema["version"] = json!("99.0.0");
    schema["tables"]["Address_Set"]["columns"]["color"] = json!({"type": "string"});
    let tables = schema["tables"].as_object_mut().expect("a schema has tables");
    tables.remove("Static_MAC_Binding").expect("it is as old as OVN 22.03");
}
