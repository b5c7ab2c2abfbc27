use std::collections::BTreeMap;
use std::net::IpAddr;

use anyhow::{Context, Result};
use ipnet::IpNet;
use serde_json::{Value, json};

use super::{Net, add_to, remove_from};
use crate::row::{json_map, json_set, map_column, named, optional_string, set_column, uuid_ref};

/// A `NAT` row.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Nat {
    /// `snat`, `dnat` or `dnat_and_snat`.
    pub kind: String,
    /// As written.
    pub external_ip: String,
    /// As written.
    pub logical_ip: String,
    /// Empty if not set.
    pub external_port_range: String,
    /// The gateway port's row.
    pub gateway_port: Option<String>,
    /// As written.
    pub options: BTreeMap<String, String>,
    /// As written.
    pub external_ids: BTreeMap<String, String>,
    /// The row.
    pub uuid: String,
}

/// The router's NAT rows.
impl Net {
    /// The router's NAT rows, sorted.
    pub fn nats(&self) -> Result<Vec<Nat>> {
        let references = set_column(&self.column("Logical_Router", &self.router(), "nat")?);
        let selects = references
            .iter()
            .filter_map(Value::as_str)
            .map(|uuid| json!({"op": "select", "table": "NAT", "where": [["_uuid", "==", uuid_ref(uuid)]]}));
        let mut nats = Vec::new();
        for result in self.transact(selects.collect())? {
            // A row may have gone since its reference was read.
            nats.extend(result["rows"].as_array().into_iter().flatten().map(parse_nat));
        }
        nats.sort();
        Ok(nats)
    }

    /// Adds a foreign NAT row of type `snat`, `dnat` or `dnat_and_snat` and returns its UUID.
    pub fn add_nat(&self, kind: &str, external: IpAddr, logical: &str) -> Result<String> {
        let results = self.transact(vec![
            insert_nat("nat", kind, &external.to_string(), logical),
            add_to("Logical_Router", &self.router(), "nat", named("nat")),
        ])?;
        let uuid = results.first().and_then(|result| set_column(&result["uuid"]).pop());
        uuid.as_ref().and_then(Value::as_str).map(str::to_owned).context("an insert without a UUID")
    }

    /// Removes a NAT row from the router, whatever its owner.
    pub fn remove_nat(&self, uuid: &str) -> Result<()> {
        self.transact(vec![remove_from("Logical_Router", &self.router(), "nat", uuid_ref(uuid))]).map(drop)
    }

    /// Does the same as `incus network set` for some keys: removes **all** `snat` rows and adds the network's own again.
    pub fn wipe_snat(&self) -> Result<()> {
        let rows: Vec<Value> =
            self.nats()?.iter().filter(|nat| nat.kind == "snat").map(|nat| uuid_ref(&nat.uuid)).collect();
        let mut operations = vec![remove_from("Logical_Router", &self.router(), "nat", json_set(rows))];
        operations.extend(self.base_snat());
        self.transact(operations).map(drop)
    }

    /// The rows that translate the whole network to the router's own addresses.
    pub(super) fn base_snat(&self) -> Vec<Value> {
        let mut operations = Vec::new();
        for (index, internal) in self.internals.iter().enumerate().filter(|_| self.snat) {
            let same_family = |uplink: &&IpNet| uplink.addr().is_ipv4() == internal.addr().is_ipv4();
            if let Some(uplink) = self.uplinks.iter().find(same_family) {
                let row = format!("snat{index}");
                operations.push(insert_nat(
                    &row,
                    "snat",
                    &uplink.addr().to_string(),
                    &internal.trunc().to_string(),
                ));
                operations.push(add_to("Logical_Router", &self.router(), "nat", named(&row)));
            }
        }
        operations
    }
}

fn insert_nat(row: &str, kind: &str, external: &str, logical: &str) -> Value {
    json!({"op": "insert", "table": "NAT", "uuid-name": row, "row": {
        "type": kind, "external_ip": external, "logical_ip": logical, "options": json_map([("stateless", "false")]),
    }})
}

fn parse_nat(row: &Value) -> Nat {
    let text = |column: &str| row[column].as_str().unwrap_or_default().to_owned();
    Nat {
        kind: text("type"),
        external_ip: text("external_ip"),
        logical_ip: text("logical_ip"),
        external_port_range: text("external_port_range"),
        gateway_port: optional_string(&row["gateway_port"]),
        options: map_column(&row["options"]),
        external_ids: map_column(&row["external_ids"]),
        uuid: optional_string(&row["_uuid"]).unwrap_or_default(),
    }
}
