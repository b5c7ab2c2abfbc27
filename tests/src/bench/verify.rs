//! Verification of overrides in a Southbound database with ten flows for every port.

use std::collections::HashMap;
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use super::cold_start::ASKING;
use super::figure::{Figure, Goal, Series};
use super::ground::Ground;
use super::observer::Observer;
use super::subject::Subject;
use super::usage::Usage;
use super::{Bench, MIB};
use crate::agent::Cli;
use crate::generate::{Estate, Translation};
use crate::ovsdb_server::OvsdbServer;
use crate::row::set_column;

/// Flows in the Southbound database, for each port.
const FLOWS: u64 = 10;

/// Measures the command for one port and for all overrides.
pub(super) fn measure(bench: &Bench) -> Result<Vec<Figure>> {
    let ground = Ground::open(Estate::of_ports(bench.ports).asking(ASKING))?;
    let intents = ground.estate.intents() as usize;
    let mut observer = Observer::open(&ground.socket())?;
    let agent = Subject::in_charge(&ground.remote())?;
    observer.inserted(intents)?;
    agent.stop()?;
    drop(observer);

    let translations = translations(&ground)?;
    ensure!(translations.len() == intents, "{intents} ask, and there are {} rows", translations.len());
    let flows = FLOWS * u64::from(bench.ports);
    bench.say(format_args!("verify: a Southbound with {flows} flows and {intents} overrides"));
    let southbound = OvsdbServer::with_file("OVN_Southbound", |file| {
        ground.estate.write_southbound(&translations, flows, file)
    })?;
    let cli = Cli::new(ground.remote())?;
    let port = ground.estate.member(0, 0).name;
    let (mut one, mut all) = (Vec::new(), Vec::new());
    for round in bench.rounds() {
        bench.say(format_args!("verify, round {round}"));
        one.push(run(&cli, &southbound, &[&port])?);
        all.push(run(&cli, &southbound, &[])?);
    }
    let figures = [("verify of one port", one), ("verify of all overrides", all)].into_iter().flat_map(
        |(name, runs)| {
            let wall = Series::times(runs.iter().map(|(wall, _)| *wall));
            let cpu = Series::times(runs.iter().map(|(_, usage)| usage.cpu));
            let peak = Series::bytes(runs.iter().map(|(_, usage)| usage.peak));
            [
                Figure::new(name, wall).goal(Goal::Most(10.0)),
                Figure::new(format!("{name}: CPU"), cpu),
                Figure::new(format!("{name}: peak memory"), peak).goal(Goal::Most(100.0 * MIB)),
            ]
        },
    );
    Ok(figures.collect())
}

/// Runs the command to its end; it succeeds if all checks pass.
fn run(cli: &Cli, southbound: &OvsdbServer, arguments: &[&str]) -> Result<(Duration, Usage)> {
    let mut command = cli.command(&[&["verify"], arguments].concat());
    command.env("OVN_SB_DB", southbound.remote()).stdin(Stdio::null()).stdout(Stdio::null());
    let start = Instant::now();
    Usage::until_end(command.spawn()?, start)
}

/// Reads the overrides that the agent has made.
fn translations(ground: &Ground) -> Result<Vec<Translation>> {
    let found = ground.server.transact(vec![
        json!({"op": "select", "table": "Logical_Router", "where": [], "columns": ["name", "nat"]}),
        json!({"op": "select", "table": "NAT", "where": [
            ["external_ids", "includes", ["map", [["ovn-extaddr:role", "egress"]]]],
        ], "columns": ["_uuid", "external_ip", "logical_ip", "external_port_range"]}),
    ])?;
    let rows = |index: usize| found[index]["rows"].as_array().into_iter().flatten();
    let mut networks: HashMap<String, u32> = HashMap::new();
    for router in rows(0) {
        let name = router["name"].as_str().unwrap_or_default();
        let number = name.strip_prefix("incus-net").and_then(|rest| rest.strip_suffix("-lr"));
        let number = number.and_then(|text| text.parse().ok()).with_context(|| format!("a router {name}"))?;
        let nats = set_column(&router["nat"]);
        networks.extend(nats.iter().filter_map(Value::as_str).map(|nat| (nat.to_owned(), number)));
    }
    let translations = rows(1).map(|row| {
        let text = |column: &str| row[column].as_str().unwrap_or_default().to_owned();
        let nat = set_column(&row["_uuid"]).pop();
        let nat = nat.as_ref().and_then(Value::as_str).context("a row without a UUID")?.to_owned();
        Ok(Translation {
            network: *networks.get(&nat).context("a row of no router")?,
            internal: text("logical_ip"),
            external: text("external_ip"),
            ports: text("external_port_range"),
            nat,
        })
    });
    translations.collect()
}
