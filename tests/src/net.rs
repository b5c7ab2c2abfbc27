//! Networks as Incus writes them into the Northbound database: the same names, options and references.
//!
//! Every method is one transaction (reads aside) and is done when it returns; the plural ones are for bulk.

mod address;
mod builder;
mod forward;
mod nat;

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use ipnet::IpNet;
use serde_json::{Value, json};

use crate::northbound::DATABASE;
use crate::row::{json_map, json_set, map_column, named, optional_string, set_column, uuid_ref};
use crate::rpc;
use crate::wait::eventually;
use address::{ipv4, ipv6};
pub use builder::NetBuilder;
pub use forward::{DefaultTarget, Protocol};
pub use nat::Nat;

/// Addresses below this distance from the router's are allocated by northd, those from here to the middle of the subnet
/// are assigned here.
const FIRST_STATIC: u32 = 10;

/// One network: a router with a gateway port, an external and an internal switch, instances, forwards.
#[derive(Debug)]
pub struct Net {
    id: u32,
    /// Of the database's servers.
    sockets: Vec<PathBuf>,
    uplinks: Vec<IpNet>,
    internals: Vec<IpNet>,
    snat: bool,
    /// The number of instances created so far, for names and addresses of the next ones.
    made: u32,
}

/// An instance's port as it was made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Instance {
    /// The `Logical_Switch_Port`'s name.
    pub port: String,
    /// Its MAC address.
    pub mac: String,
    /// Its IPv4 address; `None` also while a dynamic one is not read (see [`Net::wait_for_addresses`]).
    pub ipv4: Option<Ipv4Addr>,
    /// Its IPv6 address, as above.
    pub ipv6: Option<Ipv6Addr>,
}

/// How an instance gets its addresses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Addressing {
    /// The next free ones of the network, written as `"MAC v4 v6"`.
    Static,
    /// `"MAC dynamic"`: northd chooses.
    Dynamic,
    /// The whole `addresses` column, with any content.
    Raw(Vec<String>),
}

impl Net {
    /// Describes network `id` (1 to 65535) with addresses derived from the number; see [`NetBuilder`].
    pub fn builder(id: u32) -> NetBuilder {
        NetBuilder::new(id)
    }

    // === names ===

    /// `incus-netN`.
    pub fn prefix(&self) -> String {
        format!("incus-net{}", self.id)
    }

    /// The router: `incus-netN-lr`.
    pub fn router(&self) -> String {
        format!("{}-lr", self.prefix())
    }

    /// The router's gateway port: `incus-netN-lr-lrp-ext`.
    pub fn gateway_port(&self) -> String {
        format!("{}-lr-lrp-ext", self.prefix())
    }

    /// The router's internal port: `incus-netN-lr-lrp-int`.
    pub fn internal_port(&self) -> String {
        format!("{}-lr-lrp-int", self.prefix())
    }

    /// The switch with the uplink: `incus-netN-ls-ext`.
    pub fn external_switch(&self) -> String {
        format!("{}-ls-ext", self.prefix())
    }

    /// The switch with the instances: `incus-netN-ls-int`.
    pub fn internal_switch(&self) -> String {
        format!("{}-ls-int", self.prefix())
    }

    /// The load balancer of a forward: `incus-netN-lb-ADDRESS-tcp`.
    pub fn balancer(&self, protocol: Protocol, listen: IpAddr) -> String {
        format!("{}-lb-{listen}-{protocol}", self.prefix())
    }

    // === addresses ===

    /// The router's own IPv4 address on the uplink, which the network's SNAT uses.
    pub fn external_ipv4(&self) -> Option<Ipv4Addr> {
        self.uplinks.iter().find_map(|net| ipv4(net.addr()))
    }

    /// The router's own IPv6 address on the uplink.
    pub fn external_ipv6(&self) -> Option<Ipv6Addr> {
        self.uplinks.iter().find_map(|net| ipv6(net.addr()))
    }

    /// The internal IPv4 network, as the base SNAT row has it: `10.57.1.0/24`.
    pub fn subnet4(&self) -> Option<String> {
        self.internals.iter().find(|net| net.addr().is_ipv4()).map(|net| net.trunc().to_string())
    }

    /// The internal IPv6 network.
    pub fn subnet6(&self) -> Option<String> {
        self.internals.iter().find(|net| net.addr().is_ipv6()).map(|net| net.trunc().to_string())
    }

    // === instances ===

    /// Adds an instance with one port `incus-netN-instance-UUID-eth0`.
    pub fn add_instance(&mut self, addressing: Addressing) -> Result<Instance> {
        self.add_instances(1, addressing)?.pop().context("one instance asked for, none made")
    }

    /// Adds `count` instances in one transaction.
    pub fn add_instances(&mut self, count: u32, addressing: Addressing) -> Result<Vec<Instance>> {
        let (mut made, mut inserts) = (Vec::new(), Vec::new());
        for index in 0..count {
            let (instance, addresses) = self.describe_instance(&addressing)?;
            inserts.push(json!({"op": "insert", "table": "Logical_Switch_Port", "uuid-name": format!("p{index}"), "row": {
                "name": instance.port,
                "addresses": json_set(addresses.into_iter().map(Value::from)),
                "enabled": true,
                "external_ids": json_map([("incus_switch", self.internal_switch().as_str()), ("incus_location", "none")]),
            }}));
            made.push(instance);
        }
        let ports = json_set((0..count).map(|index| named(&format!("p{index}"))));
        inserts.push(add_to("Logical_Switch", &self.internal_switch(), "ports", ports));
        self.transact(inserts)?;
        Ok(made)
    }

    /// Removes an instance's port.
    pub fn remove_instance(&self, port: &str) -> Result<()> {
        let uuid = self.uuid_of("Logical_Switch_Port", port)?;
        self.transact(vec![remove_from("Logical_Switch", &self.internal_switch(), "ports", uuid_ref(&uuid))])
            .map(drop)
    }

    /// Rewrites a port's `addresses` column.
    pub fn set_addresses(&self, port: &str, addresses: &[&str]) -> Result<()> {
        let addresses = json_set(addresses.iter().map(|&text| Value::from(text)));
        self.update("Logical_Switch_Port", port, json!({"addresses": addresses}))
    }

    /// The `dynamic_addresses` column: `"MAC v4 v6"`, once northd has written it.
    pub fn dynamic_addresses(&self, port: &str) -> Result<Option<String>> {
        Ok(optional_string(&self.column("Logical_Switch_Port", port, "dynamic_addresses")?))
    }

    /// Waits until northd has given the instance its dynamic addresses, and fills them in.
    pub fn wait_for_addresses(&self, instance: &mut Instance) -> Result<()> {
        let text = eventually(Duration::from_secs(20), "northd gives a dynamic address", || {
            self.dynamic_addresses(&instance.port)
        })?;
        for address in text.split_whitespace().filter_map(|word| word.parse::<IpAddr>().ok()) {
            match address {
                IpAddr::V4(address) => instance.ipv4 = Some(address),
                IpAddr::V6(address) => instance.ipv6 = Some(address),
            }
        }
        Ok(())
    }

    // === what people and CMSes write ===

    /// Writes a key of a port's `external_ids`, or removes it, as the operator's tools do.
    pub fn annotate(&self, port: &str, key: &str, value: Option<&str>) -> Result<()> {
        self.set_key("Logical_Switch_Port", port, "external_ids", key, value)
    }

    /// Writes a key of the router's `external_ids`, or removes it.
    pub fn annotate_router(&self, key: &str, value: Option<&str>) -> Result<()> {
        self.set_key("Logical_Router", &self.router(), "external_ids", key, value)
    }

    /// A port's `external_ids`.
    pub fn external_ids(&self, port: &str) -> Result<BTreeMap<String, String>> {
        Ok(map_column(&self.column("Logical_Switch_Port", port, "external_ids")?))
    }

    // === more than a usual network ===

    /// Adds another gateway port with its own switch and chassis group, as a peering over a transit switch does.
    pub fn add_second_gateway(&self, networks: &[&str]) -> Result<String> {
        let switch = format!("ts-incus-{}", self.prefix());
        let port = switch.clone();
        let mut operations = builder::gateway_group(&switch);
        operations.extend(builder::joined_switch(&builder::Joint {
            router: &self.router(),
            router_port: &port,
            mac: &address::mac(0xfe_0000 + self.id),
            networks: networks.iter().map(|&text| text.to_owned()).collect(),
            gateway: Some(named("group")),
            switch: &switch,
            other_config: Vec::new(),
        }));
        self.transact(operations)?;
        Ok(port)
    }

    /// Removes the whole network.
    pub fn remove(self) -> Result<()> {
        let delete = |table: &str, name: &str| json!({"op": "delete", "table": table, "where": [["name", "==", name]]});
        let mut operations = vec![
            delete("Logical_Router", &self.router()),
            delete("Logical_Switch", &self.external_switch()),
            delete("Logical_Switch", &self.internal_switch()),
        ];
        let ours = format!("{}-lb-", self.prefix());
        let found = self.transact(vec![
            json!({"op": "select", "table": "Load_Balancer", "where": [], "columns": ["name"]}),
        ])?;
        let names = found[0]["rows"].as_array().into_iter().flatten().filter_map(|row| row["name"].as_str());
        operations
            .extend(names.filter(|name| name.starts_with(&ours)).map(|name| delete("Load_Balancer", name)));
        self.transact(operations)?;
        // Only now that no port refers to it: the reference is a strong one.
        self.transact(vec![delete("HA_Chassis_Group", &self.prefix())]).map(drop)
    }

    // === inside ===

    fn transact(&self, operations: Vec<Value>) -> Result<Vec<Value>> {
        rpc::transact_at(&self.sockets, DATABASE, &operations).with_context(|| self.prefix())
    }

    fn column(&self, table: &str, name: &str, column: &str) -> Result<Value> {
        let found = self.transact(vec![select(table, name, &[column])])?;
        let value = found[0]["rows"].get(0).map(|row| row[column].clone());
        value.with_context(|| format!("no {table} {name}"))
    }

    fn uuid_of(&self, table: &str, name: &str) -> Result<String> {
        let value = set_column(&self.column(table, name, "_uuid")?).pop();
        value.as_ref().and_then(Value::as_str).map(str::to_owned).context("a row without a UUID")
    }

    fn update(&self, table: &str, name: &str, row: Value) -> Result<()> {
        let results = self.transact(vec![
            json!({"op": "update", "table": table, "where": [["name", "==", name]], "row": row}),
        ])?;
        changed_one(&results, table, name)
    }

    fn set_key(&self, table: &str, name: &str, column: &str, key: &str, value: Option<&str>) -> Result<()> {
        // An insert never overwrites an existing key.
        let mut mutations = vec![json!([column, "delete", json_set([json!(key)])])];
        mutations.extend(value.map(|value| json!([column, "insert", json_map([(key, value)])])));
        let results = self.transact(vec![
            json!({"op": "mutate", "table": table, "where": [["name", "==", name]], "mutations": mutations}),
        ])?;
        changed_one(&results, table, name)
    }

    fn describe_instance(&mut self, addressing: &Addressing) -> Result<(Instance, Vec<String>)> {
        self.made += 1;
        let number = self.made;
        let mac = address::mac(number);
        let (addresses, column) = match addressing {
            Addressing::Static => {
                let free = |net| address::host(net, FIRST_STATIC + number - 1);
                let addresses = self.internals.iter().map(free).collect::<Result<Vec<_>>>()?;
                (addresses, None)
            }
            Addressing::Dynamic => (Vec::new(), Some(vec![format!("{mac} dynamic")])),
            Addressing::Raw(column) => (Vec::new(), Some(column.clone())),
        };
        let column = column.unwrap_or_else(|| {
            let words = addresses.iter().map(IpAddr::to_string);
            vec![std::iter::once(mac.clone()).chain(words).collect::<Vec<_>>().join(" ")]
        });
        let uuid = format!("00000000-0000-4000-8000-{:04x}{number:08x}", self.id);
        let instance = Instance {
            port: format!("{}-instance-{uuid}-eth0", self.prefix()),
            mac,
            ipv4: addresses.iter().copied().find_map(ipv4),
            ipv6: addresses.iter().copied().find_map(ipv6),
        };
        Ok((instance, column))
    }
}

impl Instance {
    /// The IPv4 address as a forward's target.
    pub fn v4(&self) -> Result<IpAddr> {
        self.ipv4.map(IpAddr::V4).with_context(|| format!("{} has no IPv4 address", self.port))
    }

    /// The IPv6 address as a forward's target.
    pub fn v6(&self) -> Result<IpAddr> {
        self.ipv6.map(IpAddr::V6).with_context(|| format!("{} has no IPv6 address", self.port))
    }
}

// === operations ===

fn select(table: &str, name: &str, columns: &[&str]) -> Value {
    json!({"op": "select", "table": table, "where": [["name", "==", name]], "columns": columns})
}

fn add_to(table: &str, name: &str, column: &str, what: Value) -> Value {
    json!({"op": "mutate", "table": table, "where": [["name", "==", name]], "mutations": [[column, "insert", what]]})
}

fn remove_from(table: &str, name: &str, column: &str, what: Value) -> Value {
    json!({"op": "mutate", "table": table, "where": [["name", "==", name]], "mutations": [[column, "delete", what]]})
}

fn changed_one(results: &[Value], table: &str, name: &str) -> Result<()> {
    match results[0]["count"].as_u64() {
        Some(1) => Ok(()),
        _ => bail!("no {table} {name}"),
    }
}
