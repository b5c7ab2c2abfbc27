//! The rules: what the agent does besides overrides, and how the configuration controls it.

use std::collections::BTreeSet;
use std::net::IpAddr;

use anyhow::{Context, Result, bail, ensure};
use ovn_extaddr_tests::{
    Addressing, Agent, DefaultTarget, Instance, Net, OvsdbServer, Protocol, eventually, map_column,
    set_column,
};
use serde_json::{Value, json};

use crate::fixture::{Fixture, OWNER, SOON, V4, ip, wait_until_settled};

mod conversion;
mod intents;
mod withdrawal;

/// A forward address of network 1.
const A: &str = "203.0.113.101";
/// Another.
const B: &str = "203.0.113.102";

/// A network with two instances, and an agent.
struct Case {
    fixture: Fixture,
    net: Net,
    one: Instance,
    two: Instance,
}

impl Case {
    /// With these lines of configuration after `drain = 0` and `hold-down = 0`, or instead of them.
    fn start(config: &str) -> Result<Self> {
        let mut lines = String::new();
        for key in ["drain", "hold-down"] {
            if !config.contains(key) {
                lines += &format!("{key} = 0\n");
            }
        }
        let fixture = Fixture::with_config(&(lines + config))?;
        let mut net = Net::builder(1).create(&fixture.server)?;
        let (one, two) = (net.add_instance(Addressing::Static)?, net.add_instance(Addressing::Static)?);
        Ok(Self { fixture, net, one, two })
    }

    /// Replaces the whole configuration of the agent and the commands.
    fn configure(&self, config: &str) -> Result<()> {
        self.fixture.cli.write_config(config)?;
        self.fixture.agent.write_config(config)
    }

    fn annotate(&self, instance: &Instance, value: Option<&str>) -> Result<()> {
        self.net.annotate(&instance.port, V4, value)
    }

    /// Forwards a port of an address to the first instance.
    fn forward(&self, address: &str, port: u16) -> Result<()> {
        self.net.add_forward(ip(address), port, self.one.v4()?, port)
    }

    /// Forwards a whole address to the first instance, as Incus did until 7.2.
    fn default_target(&self, address: &str) -> Result<()> {
        self.net.add_default_target(ip(address), self.one.v4()?, DefaultTarget::Vip)
    }

    /// Waits until the agent's rows are exactly these, as [`ours`] describes them, and nothing is left to do.
    fn becomes<const N: usize>(&self, rows: [String; N]) -> Result<()> {
        self.rows_become(rows)?;
        wait_until_settled(&self.fixture.cli)
    }

    /// The same, but something may be left to do later.
    fn rows_become<const N: usize>(&self, rows: [String; N]) -> Result<()> {
        become_rows(&self.fixture.server, rows)
    }

    /// Everything except ports and the decisions for them: what the agent must not change.
    fn foreign(&self) -> Result<String> {
        foreign(&self.fixture.server)
    }

    /// Where an address's balancers of the network are: `router tcp` and so on.
    fn attached(&self, address: &str) -> Result<BTreeSet<String>> {
        attached(&self.fixture.server, &self.net, address)
    }
}

fn become_rows<const N: usize>(server: &OvsdbServer, rows: [String; N]) -> Result<()> {
    let expected = BTreeSet::from(rows);
    eventually(SOON, &format!("our rows are {expected:#?}"), || {
        let found = ours(server)?;
        ensure!(found == expected, "they are {found:#?}");
        Ok(true)
    })
}

/// An override as [`ours`] describes it.
fn egress(instance: &Instance, external: &str) -> String {
    format!("{} leaves as {external} for {}", instance.ipv4.expect("it has one"), instance.port)
}

/// A drain row.
fn drain(instance: &Instance, external: &str) -> String {
    format!("{} drains {external} for {}", instance.ipv4.expect("it has one"), instance.port)
}

/// The row of a converted address.
fn converted(external: &str, target: &Instance) -> String {
    format!("{external} goes to {}", target.ipv4.expect("it has one"))
}

/// The agent's rows of every role, one line each. Checks that each is correct for its role.
pub(crate) fn ours(server: &OvsdbServer) -> Result<BTreeSet<String>> {
    let found = server.transact(vec![
        json!({"op": "select", "table": "NAT", "where": [
            ["external_ids", "includes", ["map", [["ovn-extaddr:owner", OWNER]]]],
        ]}),
        json!({"op": "select", "table": "Logical_Router", "where": [], "columns": ["nat"]}),
    ])?;
    let references: Vec<Value> =
        rows_of(&found[1]).iter().flat_map(|router| set_column(&router["nat"])).collect();
    let (mut lines, mut unused) = (BTreeSet::new(), BTreeSet::new());
    for nat in rows_of(&found[0]) {
        let uuid = set_column(&nat["_uuid"]).pop().context("a row without a UUID")?;
        ensure!(references.iter().filter(|other| **other == uuid).count() == 1, "on one router: {nat}");
        ensure!(nat["options"] == json!(["map", [["stateless", "false"]]]), "options of {nat}");
        let ids = map_column(&nat["external_ids"]);
        let id = |key: &str| {
            ids.get(&format!("ovn-extaddr:{key}")).cloned().with_context(|| format!("no {key} in {nat}"))
        };
        let text = |column: &str| nat[column].as_str().unwrap_or_default();
        let (external, logical) = (text("external_ip"), text("logical_ip"));
        let (kind, keys, line) = match &*id("role")? {
            "egress" => ("snat", 3, format!("{logical} leaves as {external} for {}", id("port")?)),
            "drain" => {
                let nowhere = match logical.parse()? {
                    IpAddr::V4(address) => address.octets()[0] >= 240 && !address.is_broadcast(),
                    IpAddr::V6(address) => address.segments()[..4] == [0x100, 0, 0, 0],
                };
                ensure!(
                    nowhere && unused.insert(logical.to_owned()),
                    "no packet has it, nor another row: {nat}"
                );
                ensure!(
                    text("external_port_range").is_empty(),
                    "a drain row is for no new connection: {nat}"
                );
                id("until")?.parse::<u64>()?;
                ("snat", 5, format!("{} drains {external} for {}", id("internal")?, id("port")?))
            }
            "default-target" => {
                ensure!(!id("undo")?.is_empty(), "nothing to undo: {nat}");
                ("dnat", 3, format!("{external} goes to {logical}"))
            }
            role => bail!("role {role} of {nat}"),
        };
        ensure!(text("type") == kind && ids.len() == keys, "{nat}");
        ensure!(lines.insert(line), "doubled: {nat}");
    }
    Ok(lines)
}

fn rows_of(result: &Value) -> &[Value] {
    result["rows"].as_array().map(Vec::as_slice).unwrap_or_default()
}

fn foreign(server: &OvsdbServer) -> Result<String> {
    server.dump_without(&["Logical_Switch_Port", "Logical_Switch.ports"])
}

fn attached(server: &OvsdbServer, net: &Net, address: &str) -> Result<BTreeSet<String>> {
    let found = server.transact(vec![
        json!({"op": "select", "table": "Load_Balancer", "where": [], "columns": ["_uuid", "name"]}),
        json!({"op": "select", "table": "Logical_Router", "where": [["name", "==", net.router()]]}),
        json!({"op": "select", "table": "Logical_Switch", "where": [["name", "==", net.internal_switch()]]}),
    ])?;
    let mut places = BTreeSet::new();
    for protocol in [Protocol::Tcp, Protocol::Udp] {
        let name = net.balancer(protocol, ip(address));
        for balancer in rows_of(&found[0]).iter().filter(|row| row["name"] == *name) {
            let uuid = set_column(&balancer["_uuid"]).pop().context("a row without a UUID")?;
            for (index, place) in [(1, "router"), (2, "switch")] {
                if set_column(&found[index]["rows"][0]["load_balancer"]).contains(&uuid) {
                    places.insert(format!("{place} {protocol}"));
                }
            }
        }
    }
    Ok(places)
}

fn set<const N: usize>(words: [&str; N]) -> BTreeSet<String> {
    words.map(str::to_owned).into()
}

/// What the agent, which knows more than the commands, reports for a port.
fn agent_state(agent: &Agent, port: &str) -> Result<String> {
    let list: Vec<Value> = serde_json::from_str(&agent.appctl(&["list"])?)?;
    let entry = list.iter().find(|entry| entry["port"] == port);
    Ok(entry.map_or_else(|| "-".to_owned(), crate::fixture::state_of))
}
