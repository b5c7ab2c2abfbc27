//! The content of a database without the agent's rows: text that is equal for two databases with different UUIDs.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result};
use ovn_extaddr_tests::{OvsdbServer, Row, Snapshot, map_column, set_column};
use serde_json::{Value, json};

/// Columns that northd writes, and irrelevant ones.
const NOT_LOOKED_AT: [&str; 4] = [
    "NB_Global",
    "Logical_Switch_Port.up",
    "Logical_Switch_Port.dynamic_addresses",
    "Logical_Switch_Port.tag",
];

/// All rows except the agent's, a line each, with its conversions undone in this text.
pub(super) fn foreign(server: &OvsdbServer) -> Result<BTreeSet<String>> {
    let mut snapshot = server.snapshot()?.without(&NOT_LOOKED_AT);
    put_back(&mut snapshot)?;
    let ours: BTreeSet<String> =
        snapshot.rows("NAT").filter(|(_, row)| is_ours(row)).map(|(uuid, _)| uuid.to_owned()).collect();
    let mut rows = BTreeMap::new();
    for (table, all) in &snapshot.tables {
        rows.extend(all.iter().map(|(uuid, row)| (uuid.as_str(), (table.as_str(), row))));
    }
    let view = View { rows, ours: &ours };
    let mut counted: BTreeMap<String, u32> = BTreeMap::new();
    for uuid in view.rows.keys().filter(|uuid| !ours.contains(**uuid)) {
        *counted.entry(view.content(uuid)).or_default() += 1;
    }
    Ok(counted.into_iter().map(|(line, count)| format!("{count} x {line}")).collect())
}

fn is_ours(row: &Row) -> bool {
    map_column(&row["external_ids"]).contains_key("ovn-extaddr:owner")
}

/// Undoes the conversions that the agent's rows record.
fn put_back(snapshot: &mut Snapshot) -> Result<()> {
    let mut done = Vec::new();
    for (uuid, row) in snapshot.rows("NAT") {
        let undo = map_column(&row["external_ids"]).remove("ovn-extaddr:undo");
        let has = |router: &Row| set_column(&router["nat"]).contains(&json!(uuid));
        let router = snapshot.rows("Logical_Router").find(|(_, router)| has(router)).map(|(uuid, _)| uuid);
        done.extend(undo.zip(router.map(str::to_owned)));
    }
    for (undo, router) in done {
        for one in undo.split("; ") {
            let words: Vec<&str> = one.split(' ').collect();
            let tables = &mut snapshot.tables;
            let balancers = tables.get_mut("Load_Balancer").context("no balancers")?;
            match words[..] {
                ["attach", balancer] if balancers.contains_key(balancer) => {
                    let router = tables.get_mut("Logical_Router").and_then(|all| all.get_mut(&router));
                    let row = router.context("no router")?;
                    let mut set: Vec<Value> = set_column(&row["load_balancer"]);
                    set.push(json!(balancer));
                    let set: Vec<Value> = set.iter().map(|uuid| json!(["uuid", uuid])).collect();
                    row.insert("load_balancer".to_owned(), json!(["set", set]));
                }
                ["restore", balancer, key, value] => {
                    let Some(row) = balancers.get_mut(balancer) else { continue };
                    let mut vips = map_column(&row["vips"]);
                    vips.entry(key.to_owned()).or_insert_with(|| value.to_owned());
                    let pairs: Vec<Value> = vips.iter().map(|pair| json!([pair.0, pair.1])).collect();
                    row.insert("vips".to_owned(), json!(["map", pairs]));
                }
                _ => {}
            }
        }
    }
    Ok(())
}

struct View<'a> {
    rows: BTreeMap<&'a str, (&'a str, &'a Row)>,
    ours: &'a BTreeSet<String>,
}

impl View<'_> {
    fn content(&self, uuid: &str) -> String {
        let Some((table, row)) = self.rows.get(uuid) else { return "gone".to_owned() };
        let columns: Vec<String> =
            row.iter().map(|(name, value)| format!("{name}={}", self.text(value))).collect();
        format!("{table} {}", columns.join(" "))
    }

    /// A reference: by name if there is one, otherwise by the row's content.
    fn label(&self, uuid: &str) -> String {
        let named = self.rows.get(uuid).and_then(|(table, row)| {
            let name = row.get("name")?.as_str().filter(|name| !name.is_empty())?;
            Some(format!("{table}:{name}"))
        });
        named.unwrap_or_else(|| format!("({})", self.content(uuid)))
    }

    fn text(&self, value: &Value) -> String {
        if value.as_array().is_some_and(|parts| parts[0] == "map") {
            return format!("{:?}", map_column(value));
        }
        let is_reference = |item: &Value| item.as_str().is_some_and(|text| self.rows.contains_key(text));
        let mut items: Vec<String> = set_column(value)
            .iter()
            .filter(|item| !item.as_str().is_some_and(|text| self.ours.contains(text)))
            .map(|item| match item.as_str() {
                Some(text) if is_reference(item) => self.label(text),
                _ => item.to_string(),
            })
            .collect();
        items.sort();
        items.join(",")
    }
}
