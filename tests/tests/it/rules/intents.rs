//! Reloads of configuration and policy, `auto` on a router, and a gateway port that is created again.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use ovn_extaddr_tests::{Addressing, Net, eventually, json_set, set_column, uuid_ref};
use serde_json::json;

use super::{A, B, Case, egress};
use crate::fixture::{OWNER, SOON, ip, versions};

impl Case {
    /// Writes a policy file next to the configuration, and returns the configuration's line that names it.
    fn write_policy(&self, text: &str) -> Result<String> {
        let path = self.policy_file();
        fs::write(&path, text)?;
        Ok(format!("policy = \"{}\"\n", path.display()))
    }

    fn policy_file(&self) -> PathBuf {
        self.fixture.agent.dir().join("policy.toml")
    }

    /// Waits until the agent has logged this once more.
    fn logs(&self, text: &str, times: usize) -> Result<()> {
        eventually(SOON, &format!("the agent says {text:?} {times} times"), || {
            let log = self.fixture.agent.log();
            ensure!(log.matches(text).count() >= times, "{log}");
            Ok(true)
        })
    }
}

const PROMPT: &str = ovn_extaddr_tests::PROMPT;
const RELOADED: &str = "configuration reloaded";
const WRONG: &str = "the old one stays";

// ===== the policy file =====

/// As kubelet updates a ConfigMap's volume: the file is a link through `..data`, which is replaced by another link.
#[test]
fn policy_in_a_kubernetes_volume_is_reloaded() -> Result<()> {
    let case = Case::start("")?;
    case.forward(A, 80)?;
    case.forward(B, 80)?;
    let volume = case.fixture.agent.dir().join("volume");
    fs::create_dir(&volume)?;
    let publish = |version: &str, address: &str| -> Result<()> {
        fs::create_dir(volume.join(version))?;
        let rule = format!("[[rule]]\nport = \"{}\"\nipv4 = \"{address}\"\n", case.one.port);
        fs::write(volume.join(version).join("policy.toml"), rule)?;
        symlink(version, volume.join("..data_tmp"))?;
        Ok(fs::rename(volume.join("..data_tmp"), volume.join("..data"))?)
    };
    publish("..1", A)?;
    symlink("..data/policy.toml", volume.join("policy.toml"))?;
    case.configure(&format!("{PROMPT}policy = \"{}\"\n", volume.join("policy.toml").display()))?;
    case.becomes([egress(&case.one, A)])?;
    publish("..2", B)?;
    case.becomes([egress(&case.one, B)])
}

#[test]
fn changed_policy_file_is_reloaded() -> Result<()> {
    let case = Case::start("")?;
    case.forward(A, 80)?;
    case.forward(B, 80)?;
    let rule = |address: &str| format!("[[rule]]\nport = \"{}\"\nipv4 = \"{address}\"\n", case.one.port);
    // The configuration names it before it exists.
    let policy = format!("policy = \"{}\"\n", case.policy_file().display());
    case.configure(&format!("{PROMPT}{policy}"))?;
    case.logs(WRONG, 1)?;
    case.write_policy(&rule(A))?;
    case.becomes([egress(&case.one, A)])?;
    case.write_policy(&rule(B))?;
    case.becomes([egress(&case.one, B)])?;
    // As an editor does it: a new file takes the place of the old one.
    let new = case.fixture.agent.dir().join("new");
    fs::write(&new, rule(A))?;
    fs::rename(new, case.policy_file())?;
    case.becomes([egress(&case.one, A)])
}

// ===== reload =====

#[test]
fn invalid_file_is_reported_with_its_line_and_the_old_one_stays_in_force() -> Result<()> {
    let case = Case::start("")?;
    case.forward(A, 80)?;
    let policy = case.write_policy(&format!("[[rule]]\nport = \"*\"\nipv4 = \"{A}\"\n"))?;
    let good = format!("{PROMPT}{policy}");
    case.configure(&good)?;
    case.becomes([egress(&case.one, A), egress(&case.two, A)])?;
    let before = versions(&case.fixture.server, OWNER)?;

    for (wrong, line) in [
        (format!("{good}hold-dwn = 5\n"), ":4:"),
        (format!("{good}drain = \"long\"\n"), ":4:"),
        (format!("{good}port-range = \"5-1\"\n"), ":4:"),
        (format!("{good}owner = \"somebody\"\n"), "restart"),
        (format!("{PROMPT}policy = \"/nonexistent/policy\"\n"), "/nonexistent/policy"),
        (format!("{good}[[allow]]\nrouter = \"*\"\nprefixes = [\"203.0.113.0/33\"]\n"), ":6:"),
    ] {
        let old = case.fixture.agent.log().len();
        case.fixture.agent.write_config(&wrong)?;
        eventually(SOON, "the agent says what is wrong", || {
            let log = case.fixture.agent.log();
            let log = log.get(old..).unwrap_or_default();
            ensure!(log.contains("stays") && log.contains(line), "no {line} in {log}");
            Ok(true)
        })
        .with_context(|| wrong.clone())?;
    }
    let old = case.fixture.agent.log().len();
    case.write_policy("[[rule]]\nport = \"*\"\n\nipv4 = \"web\"\n")?;
    case.fixture.agent.write_config(&good)?;
    eventually(SOON, "the agent says what is wrong with the policy", || {
        let log = case.fixture.agent.log();
        let log = log.get(old..).unwrap_or_default();
        ensure!(log.contains(WRONG) && log.contains("policy.toml") && log.contains(":4:"), "{log}");
        Ok(true)
    })?;
    assert_eq!(versions(&case.fixture.server, OWNER)?, before, "nothing was touched");
    // The agent still sees changes.
    case.write_policy(&format!("[[rule]]\nport = \"{}\"\nipv4 = \"{A}\"\n", case.one.port))?;
    case.becomes([egress(&case.one, A)])
}

#[test]
fn sighup_reloads_the_configuration() -> Result<()> {
    let mut case = Case::start("")?;
    let times = case.fixture.agent.log().matches(RELOADED).count();
    case.fixture.agent.daemon().signal("HUP")?;
    case.logs(RELOADED, times + 1)?;
    // What needs a restart is refused.
    case.configure(&format!("{PROMPT}ca-cert = \"ca.pem\"\n"))?;
    case.logs("names of the files of keys and certificates needs a restart", 1)?;
    // A file that seems to be gone is an error as well.
    let times = case.fixture.agent.log().matches("cannot read").count();
    fs::remove_file(case.fixture.agent.dir().join("config.toml"))?;
    case.fixture.agent.daemon().signal("HUP")?;
    case.logs("cannot read", times + 1)?;
    case.forward(A, 80)?;
    case.annotate(&case.one, Some(A))?;
    case.becomes([egress(&case.one, A)])
}

// ===== auto =====

#[test]
fn auto_on_a_router_applies_only_to_ports_behind_it() -> Result<()> {
    let case = Case::start("")?;
    let mut other = Net::builder(2).create(&case.fixture.server)?;
    let there = other.add_instance(Addressing::Static)?;
    other.add_forward(ip(B), 80, there.v4()?, 80)?;
    case.forward(A, 80)?;
    case.net.annotate_router("address.external", Some("auto"))?;
    case.becomes([egress(&case.one, A)])?;
    other.annotate_router("address.external", Some("auto"))?;
    case.becomes([egress(&case.one, A), egress(&there, B)])?;
    case.net.annotate_router("address.external", None)?;
    case.becomes([egress(&there, B)])
}

// ===== the gateway port =====

#[test]
fn recreated_gateway_port_is_named_again() -> Result<()> {
    let case = Case::start("")?;
    let second = case.net.add_second_gateway(&["198.51.100.2/24"])?;
    case.forward(A, 80)?;
    case.net.add_forward(ip("198.51.100.50"), 80, case.two.v4()?, 80)?;
    case.annotate(&case.one, Some(A))?;
    case.annotate(&case.two, Some("198.51.100.50"))?;
    let rows = || [egress(&case.one, A), egress(&case.two, "198.51.100.50")];
    case.becomes(rows())?;
    for port in [case.net.gateway_port(), second] {
        let old = named_by(&case)?;
        // As Incus does when the uplink changes; the references to it disappear silently.
        recreate(&case, &port)?;
        eventually(SOON, "the row names the new port", || {
            let new = named_by(&case)?;
            ensure!(new.iter().all(Option::is_some), "one names none: {new:?}");
            ensure!(new != old, "they are the old ones");
            Ok(true)
        })?;
        case.becomes(rows())?;
    }
    Ok(())
}

/// The gateway port of each of the agent's rows.
fn named_by(case: &Case) -> Result<Vec<Option<String>>> {
    let nats = case.net.nats()?.into_iter().filter(|nat| !nat.external_ids.is_empty());
    Ok(nats.map(|nat| nat.gateway_port).collect())
}

/// Deletes a router port and makes it again in the same transaction.
fn recreate(case: &Case, port: &str) -> Result<()> {
    let server = &case.fixture.server;
    let found = server.transact(vec![
        json!({"op": "select", "table": "Logical_Router_Port", "where": [["name", "==", port]]}),
    ])?;
    let row = &found[0]["rows"][0];
    let uuid = set_column(&row["_uuid"]).pop().context("no such port")?;
    let uuid = uuid_ref(uuid.as_str().context("a UUID")?);
    let copy = json!({
        "name": row["name"], "mac": row["mac"], "networks": row["networks"], "ha_chassis_group": row["ha_chassis_group"],
    });
    server.transact(vec![
        json!({"op": "mutate", "table": "Logical_Router", "where": [["name", "==", case.net.router()]],
            "mutations": [["ports", "delete", json_set([uuid])]]}),
        json!({"op": "insert", "table": "Logical_Router_Port", "uuid-name": "again", "row": copy}),
        json!({"op": "mutate", "table": "Logical_Router", "where": [["name", "==", case.net.router()]],
            "mutations": [["ports", "insert", json_set([json!(["named-uuid", "again"])])]]}),
    ])?;
    Ok(())
}
