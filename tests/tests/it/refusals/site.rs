//! One network of the table of refusals, and the edits of it.

use std::net::IpAddr;

use anyhow::{Context, Result, ensure};
use ovn_extaddr_tests::{Instance, Nat, Net, OvsdbServer, Protocol, json_map, uuid_ref};
use serde_json::{Value, json};

use super::table::Case;
use crate::fixture::{Fixture, V4, ip};

/// A network with one instance that requests `external`, which is not a forward yet.
pub(super) struct Site {
    pub(super) net: Net,
    pub(super) instance: Instance,
    pub(super) external: IpAddr,
}

impl Site {
    pub(super) fn new(server: &OvsdbServer, id: u32, case: &Case) -> Result<Self> {
        let mut net = (case.build)(Net::builder(id)).create(server)?;
        let instance = net.add_instance(case.addressing.clone())?;
        Ok(Self { net, instance, external: ip(&format!("203.0.113.{}", 100 + id)) })
    }

    pub(super) fn wants(&self, value: &str) -> Result<()> {
        self.net.annotate(&self.instance.port, V4, Some(value))
    }

    pub(super) fn wants_external(&self) -> Result<()> {
        self.wants(&self.external.to_string())
    }

    /// The instance's address, even if it is not written yet.
    pub(super) fn internal(&self) -> Result<IpAddr> {
        let subnet = self.net.subnet4().context("the networks of this table have IPv4")?;
        Ok(ip(&subnet.replace(".0/24", ".11")))
    }

    pub(super) fn forwarded(&self) -> Result<()> {
        self.net.add_forward(self.external, 443, self.internal()?, 443)
    }

    /// Makes every chassis forward, or only that of the gateway.
    pub(super) fn distributes(&self, server: &OvsdbServer, everywhere: bool) -> Result<()> {
        self.set_balancer_option(server, everywhere.then_some("distributed"))
    }

    pub(super) fn set_balancer_option(&self, server: &OvsdbServer, option: Option<&str>) -> Result<()> {
        let options = json_map(option.map(|option| (option, "true")));
        let name = self.net.balancer(Protocol::Tcp, self.external);
        self.set(server, "Load_Balancer", &name, json!({"options": options}))
    }

    /// Adds a second gateway port, unless there is one.
    pub(super) fn has_second_gateway(&self, server: &OvsdbServer) -> Result<()> {
        let name = format!("ts-incus-{}", self.net.prefix());
        if uuid_of(server, "Logical_Router_Port", &name).is_err() {
            ensure!(self.net.add_second_gateway(&["198.51.100.2/24"])? == name, "{name} is another one");
        }
        Ok(())
    }

    /// Forwarded and requested: granted, except for later edits.
    pub(super) fn complete(&self) -> Result<()> {
        self.forwarded()?;
        self.wants_external()
    }

    pub(super) fn set(&self, server: &OvsdbServer, table: &str, name: &str, row: Value) -> Result<()> {
        let named = json!([["name", "==", name]]);
        server.transact(vec![json!({"op": "update", "table": table, "where": named, "row": row})]).map(drop)
    }

    /// Puts a port with the instance's address onto its switch.
    pub(super) fn add_port(&self, server: &OvsdbServer, name: &str, external_ids: Value) -> Result<()> {
        let row = json!({"name": name, "addresses": format!("10:66:6a:ff:00:03 {}", self.internal()?),
            "external_ids": external_ids});
        server
            .transact(vec![
                json!({"op": "insert", "table": "Logical_Switch_Port", "uuid-name": "lsp", "row": row}),
                self.on_switch("insert", json!(["named-uuid", "lsp"])),
            ])
            .map(drop)
    }

    pub(super) fn on_switch(&self, mutator: &str, port: Value) -> Value {
        json!({"op": "mutate", "table": "Logical_Switch", "where": [["name", "==", self.net.internal_switch()]],
            "mutations": [["ports", mutator, port]]})
    }

    /// Removes the port from its switch, or puts it there.
    pub(super) fn attach(&self, server: &OvsdbServer, mutator: &str) -> Result<()> {
        let uuid = uuid_of(server, "Logical_Switch_Port", &self.instance.port)?;
        server.transact(vec![self.on_switch(mutator, uuid_ref(&uuid))]).map(drop)
    }

    /// Puts a foreign row in the place of this port's row.
    pub(super) fn occupy_row(&self, fixture: &Fixture) -> Result<()> {
        self.forwarded()?;
        fixture.agent.appctl(&["pause"])?;
        self.wants_external()?;
        let plan: Vec<Value> = serde_json::from_str(&fixture.cli.run(&["plan", "--json"])?.success()?)?;
        let ours = plan.iter().find(|change| change["port"] == self.instance.port.as_str());
        let uuid = ours.and_then(|change| change["nat"].as_str()).context("a row is planned")?;
        let row = json!({"type": "snat", "external_ip": "198.51.100.9", "logical_ip": "192.0.2.77"});
        fixture.server.transact(vec![
            json!({"op": "insert", "table": "NAT", "uuid": uuid, "row": row}),
            json!({"op": "mutate", "table": "Logical_Router", "where": [["name", "==", self.net.router()]],
                "mutations": [["nat", "insert", uuid_ref(uuid)]]}),
        ])?;
        fixture.agent.appctl(&["resume"]).map(drop)
    }

    pub(super) fn has_address(&self) -> Result<()> {
        let text = format!("{} {}", self.instance.mac, self.internal()?);
        self.net.set_addresses(&self.instance.port, &[&text])
    }

    /// A name that sorts before the instance's.
    pub(super) fn rival(&self) -> String {
        format!("{}-another", self.net.prefix())
    }

    pub(super) fn remove_foreign(&self) -> Result<()> {
        let base = self.net.subnet4().unwrap_or_default();
        let foreign = |nat: &&Nat| nat.external_ids.is_empty() && nat.logical_ip != base;
        for nat in self.net.nats()?.iter().filter(foreign) {
            self.net.remove_nat(&nat.uuid)?;
        }
        Ok(())
    }
}

/// Joins the instances' switch to its router, or separates them.
pub(super) fn join(server: &OvsdbServer, site: &Site, mutator: &str) -> Result<()> {
    // A type other than `router` separates them; the port itself stays.
    let kind = if mutator == "insert" { "router" } else { "virtual" };
    server
        .transact(vec![json!({"op": "update", "table": "Logical_Switch_Port",
            "where": [["name", "==", format!("{}-lsp-router", site.net.internal_switch())]], "row": {"type": kind}})])
        .map(drop)
}

/// Gives another network's router a port on the instances' switch.
pub(super) fn join_another(server: &OvsdbServer, site: &Site, other: &Net) -> Result<()> {
    server
        .transact(vec![
            json!({"op": "insert", "table": "Logical_Router_Port", "uuid-name": "lrp", "row": {
                "name": "second", "mac": "10:66:6a:ff:00:01", "networks": "172.16.99.1/24"}}),
            json!({"op": "mutate", "table": "Logical_Router", "where": [["name", "==", other.router()]],
                "mutations": [["ports", "insert", ["named-uuid", "lrp"]]]}),
            json!({"op": "insert", "table": "Logical_Switch_Port", "uuid-name": "lsp", "row": {
                "name": "to-second", "type": "router", "options": json_map([("router-port", "second")])}}),
            json!({"op": "mutate", "table": "Logical_Switch",
                "where": [["name", "==", site.net.internal_switch()]],
                "mutations": [["ports", "insert", ["named-uuid", "lsp"]]]}),
        ])
        .map(drop)
}

pub(super) fn uuid_of(server: &OvsdbServer, table: &str, name: &str) -> Result<String> {
    let found = server.transact(vec![json!({"op": "select", "table": table, "columns": ["_uuid"],
        "where": [["name", "==", name]]})])?;
    found[0]["rows"][0]["_uuid"][1].as_str().map(str::to_owned).with_context(|| format!("no {table} {name}"))
}
