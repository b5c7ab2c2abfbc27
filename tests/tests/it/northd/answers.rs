//! What the program says of a router.

use std::collections::BTreeSet;
use std::net::IpAddr;

use anyhow::{Context, Result};
use ovn_extaddr_tests::Cli;
use serde_json::Value;

use super::packets::{Inbound, Target};

/// An element of `forwards --json`.
#[derive(Clone, Debug)]
pub(super) struct Forward {
    pub(super) router: String,
    pub(super) address: Option<IpAddr>,
    pub(super) protocol: Option<String>,
    pub(super) port: Option<u64>,
    pub(super) targets: BTreeSet<Target>,
}

/// An element of `list --json`.
#[derive(Clone, Debug)]
pub(super) struct Intent {
    pub(super) port: String,
    pub(super) v6: bool,
    pub(super) state: String,
    pub(super) reason: String,
    pub(super) wanted: String,
    pub(super) external: Option<IpAddr>,
    pub(super) range: Option<String>,
    pub(super) gateway_port: Option<String>,
    pub(super) message: String,
}

pub(super) fn forwards(cli: &Cli) -> Result<Vec<Forward>> {
    let text = cli.run(&["forwards", "--json"])?.success()?;
    let list: Vec<Value> = serde_json::from_str(&text).context("forwards --json")?;
    list.iter()
        .map(|entry| {
            let targets = entry["targets"].as_array().into_iter().flatten();
            let target = |target: &Value| {
                let port = target["port"].as_u64().map(u16::try_from).transpose().context("a port")?;
                Ok((address(&target["address"]).context("a target without an address")?, port))
            };
            Ok(Forward {
                router: text_of(&entry["router"]),
                address: address(&entry["address"]),
                protocol: entry["protocol"].as_str().map(str::to_owned),
                port: entry["port"].as_u64(),
                targets: targets.map(target).collect::<Result<_>>()?,
            })
        })
        .collect()
}

pub(super) fn intents(cli: &Cli) -> Result<Vec<Intent>> {
    let intent = |entry: &Value| Intent {
        port: text_of(&entry["port"]),
        v6: entry["family"] == "ipv6",
        state: text_of(&entry["state"]),
        reason: text_of(&entry["reason"]),
        wanted: text_of(&entry["wanted"]),
        external: address(&entry["external"]),
        range: entry["port_range"].as_str().map(str::to_owned),
        gateway_port: entry["gateway_port"].as_str().map(str::to_owned),
        message: text_of(&entry["message"]),
    };
    Ok(cli.list_json()?.iter().map(intent).collect())
}

fn text_of(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

fn address(value: &Value) -> Option<IpAddr> {
    value.as_str().and_then(|text| text.parse().ok())
}

/// Where a packet should be sent by what the program says: one of these, each a set of targets of which any may be
/// chosen. None: it is not forwarded.
pub(super) fn expected(forwards: &[&Forward], probe: Inbound) -> Vec<BTreeSet<Target>> {
    let protocol = if probe.udp { "udp" } else { "tcp" };
    let here = || forwards.iter().filter(|forward| forward.address == Some(probe.address));
    let of = |port: Option<u64>| -> Vec<BTreeSet<Target>> {
        // To northd a VIP without a port is for all protocols, whatever that of its balancer.
        let fits = |forward: &&&Forward| port.is_none() || forward.protocol.as_deref() == Some(protocol);
        let vips = here().filter(|forward| forward.protocol.is_some() && forward.port == port).filter(fits);
        vips.map(|forward| forward.targets.clone()).collect()
    };
    // northd's flows for a VIP come before those of NAT rows, and those with a port before those without.
    let rows =
        || here().filter(|forward| forward.protocol.is_none()).map(|row| row.targets.clone()).collect();
    [of(Some(u64::from(probe.port))), of(None), rows()]
        .into_iter()
        .find(|found| !found.is_empty())
        .unwrap_or_default()
}
