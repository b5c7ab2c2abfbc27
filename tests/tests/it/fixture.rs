//! What the scenarios share. The database is not read with the agent's own code.

use std::collections::BTreeSet;
use std::env;
use std::net::IpAddr;
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result, bail, ensure};
use ovn_extaddr_tests::{
    Agent, Cli, Instance, Net, Northbound, OvsdbServer, PROMPT, eventually, map_column, set_column,
};
use serde_json::{Value, json};

/// Long enough for everything that has to happen at once, on a busy machine.
pub(crate) const SOON: Duration = Duration::from_secs(20);

/// The keys of an intent.
pub(crate) const V4: &str = "ipv4.address.external";
pub(crate) const V6: &str = "ipv6.address.external";

/// The owner that agents have by default.
pub(crate) const OWNER: &str = "ovn-extaddr";

/// A Northbound server and an agent.
pub(crate) struct Fixture {
    // In this order: the agent is dropped before its server.
    pub(crate) agent: Agent,
    pub(crate) cli: Cli,
    pub(crate) server: OvsdbServer,
}

impl Fixture {
    pub(crate) fn start() -> Result<Self> {
        Self::with_config(PROMPT)
    }

    /// With this configuration of the agent and the commands.
    pub(crate) fn with_config(config: &str) -> Result<Self> {
        let server = OvsdbServer::northbound()?;
        let cli = Cli::new(server.remote())?;
        cli.write_config(config)?;
        Ok(Self { agent: Agent::builder(server.remote()).config(config).start()?, cli, server })
    }

    /// Waits until the agent's rows are exactly these and nothing is left to do.
    pub(crate) fn wait_for_rows<const N: usize>(&self, rows: [String; N]) -> Result<()> {
        wait_for_rows(&self.server, OWNER, rows)?;
        wait_until_settled(&self.cli)
    }

    pub(crate) fn wait_for_state(&self, port: &str, key: &str, expected: &str) -> Result<()> {
        wait_for_state(&self.cli, port, key, expected)
    }
}

pub(crate) fn ip(text: &str) -> IpAddr {
    text.parse().expect("an address written in a test")
}

/// A row as [`owned`] describes it.
pub(crate) fn row(
    net: &Net,
    instance: &Instance,
    external: impl ToString,
    internal: impl ToString,
) -> String {
    let (router, external, internal) = (net.router(), external.to_string(), internal.to_string());
    format!("{router}: {internal} as {external} for {}", instance.port)
}

/// The rows of an owner, one line each. Checks that each is a correct row of the agent, on one router.
pub(crate) fn owned(server: &impl Northbound, owner: &str) -> Result<BTreeSet<String>> {
    let found = server.transact(vec![
        json!({"op": "select", "table": "NAT", "where": [
            ["external_ids", "includes", ["map", [["ovn-extaddr:owner", owner]]]],
        ]}),
        json!({"op": "select", "table": "Logical_Router", "where": [], "columns": ["name", "nat"]}),
    ])?;
    let empty = Vec::new();
    let routers: Vec<(&str, Vec<Value>)> = found[1]["rows"]
        .as_array()
        .unwrap_or(&empty)
        .iter()
        .map(|router| (router["name"].as_str().unwrap_or_default(), set_column(&router["nat"])))
        .collect();
    let mut rows = BTreeSet::new();
    for nat in found[0]["rows"].as_array().unwrap_or(&empty) {
        let uuid = set_column(&nat["_uuid"]).pop().context("a row without a UUID")?;
        let on: Vec<_> =
            routers.iter().filter(|(_, nats)| nats.contains(&uuid)).map(|(name, _)| *name).collect();
        let [router] = on[..] else { bail!("the row is on routers {on:?}: {nat}") };
        let ids = map_column(&nat["external_ids"]);
        ensure!(nat["type"] == "snat", "type of {nat}");
        ensure!(nat["options"] == json!(["map", [["stateless", "false"]]]), "options of {nat}");
        ensure!(ids.get("ovn-extaddr:role").map(String::as_str) == Some("egress"), "role of {nat}");
        let port = ids.get("ovn-extaddr:port").context("a row of ours without a port")?;
        let text = |column: &str| nat[column].as_str().unwrap_or_default();
        let line = format!("{router}: {} as {} for {port}", text("logical_ip"), text("external_ip"));
        ensure!(!rows.contains(&line), "doubled: {line}");
        rows.insert(line);
    }
    Ok(rows)
}

/// Waits until the rows of an owner are exactly these.
pub(crate) fn wait_for_rows(
    server: &impl Northbound,
    owner: &str,
    rows: impl IntoIterator<Item = String>,
) -> Result<()> {
    let expected: BTreeSet<_> = rows.into_iter().collect();
    eventually(SOON, &format!("the rows of {owner} are {expected:#?}"), || {
        let found = owned(server, owner)?;
        ensure!(found == expected, "they are {found:#?}");
        Ok(true)
    })
}

/// The state of an intent, and the reason if there is one: `rejected not-a-forward`; `-` if there is no intent.
pub(crate) fn state(cli: &Cli, port: &str, key: &str) -> Result<String> {
    let family = if key == V4 { "ipv4" } else { "ipv6" };
    let list = cli.list_json()?;
    let entry = list.iter().find(|entry| entry["port"] == port && entry["family"] == family);
    Ok(entry.map_or_else(|| "-".to_owned(), state_of))
}

/// The same for an element of `list --json`.
pub(crate) fn state_of(entry: &Value) -> String {
    let words = [&entry["state"], &entry["reason"]].into_iter().filter_map(Value::as_str);
    words.collect::<Vec<_>>().join(" ")
}

/// Waits until an intent is in a state, given as [`state`] does.
pub(crate) fn wait_for_state(cli: &Cli, port: &str, key: &str, expected: &str) -> Result<()> {
    eventually(SOON, &format!("{port} is {expected}"), || {
        let found = state(cli, port, key)?;
        ensure!(found == expected, "it is {found}");
        Ok(true)
    })
}

/// Waits until a check of the whole database finds nothing to change.
pub(crate) fn wait_until_settled(cli: &Cli) -> Result<()> {
    eventually(SOON, "nothing is left to change", || {
        let plan = cli.run(&["plan", "--exit-code"])?;
        ensure!(plan.code() == Some(0), "{plan:?}");
        Ok(true)
    })
}

/// The versions of an owner's rows: a row that was deleted and made again has another one, even with the same UUID.
pub(crate) fn versions(server: &OvsdbServer, owner: &str) -> Result<BTreeSet<String>> {
    let found =
        server.transact(vec![json!({"op": "select", "table": "NAT", "columns": ["_version"], "where": [
            ["external_ids", "includes", ["map", [["ovn-extaddr:owner", owner]]]],
        ]})])?;
    Ok(found[0]["rows"].as_array().into_iter().flatten().map(|row| row["_version"].to_string()).collect())
}

/// The seed of a random run, a different one each time unless `OVN_EXTADDR_SEED` is set, and its length, which
/// `OVN_EXTADDR_STEPS` changes.
pub(crate) fn seed_and_steps(usual: u64) -> Result<(u64, u64)> {
    let given = |name: &str| -> Result<Option<u64>> {
        env::var(name).ok().map(|text| text.parse().with_context(|| format!("{name}={text}"))).transpose()
    };
    let steps = given("OVN_EXTADDR_STEPS")?.unwrap_or(usual);
    let seed = match given("OVN_EXTADDR_SEED")? {
        Some(seed) => seed,
        None => SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?.as_nanos() as u64,
    };
    println!("replay with OVN_EXTADDR_SEED={seed} OVN_EXTADDR_STEPS={steps}");
    Ok((seed, steps))
}
