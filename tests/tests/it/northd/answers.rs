//! The program's answers about a router.

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
    pub(super) kind: String,
    pub(super) protocol: Option<String>,
    pub(super) port: Option<u64>,
    /// Why OVN ignores it.
    pub(super) ignored: Option<String>,
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
                kind: text_of(&entry["kind"]),
                protocol: entry["protocol"].as_str().map(str::to_owned),
                port: entry["port"].as_u64(),
                ignored: entry["ignored"].as_str().map(str::to_owned),
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

/// The expected targets of a packet by the program's answers: one of these, each a set of targets of which any may be
/// chosen. None: it is not forwarded.
pub(super) fn expected(forwards: &[&Forward], probe: Inbound) -> Vec<BTreeSet<Target>> {
    let protocol = if probe.udp { "udp" } else { "tcp" };
    let heeded = || forwards.iter().filter(|forward| forward.ignored.is_none());
    let here = || heeded().filter(|forward| forward.address == Some(probe.address));
    let fits = |forward: &&&Forward| {
        forward.protocol.as_deref().is_none_or(|its| its == protocol)
            && forward.port.is_none_or(|port| port == u64::from(probe.port))
    };
    // northd's flows for a VIP precede those of NAT rows, and those with a port precede those without.
    let order: [&[&str]; 3] = [&["port"], &["default-target"], &["converted", "dnat", "dnat_and_snat"]];
    let of = |kinds: &[&str]| -> Vec<BTreeSet<Target>> {
        let found = here().filter(|forward| kinds.contains(&&*forward.kind)).filter(fits);
        found.map(|forward| forward.targets.clone()).collect()
    };
    order.into_iter().map(of).find(|found| !found.is_empty()).unwrap_or_default()
}
