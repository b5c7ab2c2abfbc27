//! The agents on this machine, by their control sockets.

use std::collections::BTreeSet;
use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, bail};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::time::timeout;

use super::{Finding, Level};

/// The maximum length of an answer to `status`, which is a few lines, in bytes.
const MAX_BYTES: u64 = 1 << 20;

pub(super) async fn look(limit: Duration) -> Vec<Finding> {
    let mut findings = Vec::new();
    for socket in sockets() {
        let place = socket.display();
        let asked = timeout(limit, status(&socket)).await;
        findings.push(match asked.unwrap_or_else(|_| bail_silent(limit)) {
            Ok(status) => agent(&format!("{place}"), &status),
            Err(error) => Finding::new(
                "agent",
                Level::Warning,
                format!("{place}: {error:#}"),
                "see whether the agent runs; a socket that was left behind goes with the next start",
            ),
        });
    }
    if findings.is_empty() {
        findings.push(Finding::good("agent", "none on this machine"));
    }
    findings
}

fn bail_silent(limit: Duration) -> anyhow::Result<String> {
    bail!("the agent does not answer within {limit:?}: its loop hangs, or it is stopped")
}

fn agent(place: &str, status: &str) -> Finding {
    let value = |name: &str| status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
    let (role, owner) = (value("role").unwrap_or("?"), value("owner").unwrap_or("?"));
    let message = format!("{place}: {role}, of owner {owner}, database {}", value("database").unwrap_or("?"));
    if let Some(error) = value("configuration error") {
        let message = format!("{message}; its configuration files are not in force: {error}");
        return Finding::new(
            "agent",
            Level::Warning,
            message,
            "correct them, or restart it if the error says so; it keeps to what it read before",
        );
    }
    if let Some(error) = value("connection error") {
        let message = format!("{message}: {error}");
        let cure = "see which database it is configured for, and whether its user may open the socket";
        return Finding::new("agent", Level::Warning, message, cure);
    }
    // Root, who runs this, may reach a CMS that the agent's user may not.
    let mut sources = status.lines().filter_map(|line| line.strip_prefix("source: "));
    if let Some(source) = sources.find(|source| source.contains(": cannot be read")) {
        let message = format!("{message}; source {source}");
        let cure = "see whether the agent's user may read it: docs/install.md, the socket of Incus or LXD";
        return Finding::new("agent", Level::Warning, message, cure);
    }
    if role == "paused" {
        let cure = "ovn-appctl -t ovn-extaddr resume";
        return Finding::new("agent", Level::Warning, message, cure);
    }
    Finding::good("agent", message)
}

/// Returns the control sockets in the places of services, of OVN and of this program.
fn sockets() -> BTreeSet<PathBuf> {
    let set = |name| env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let places = [
        set("RUNTIME_DIRECTORY"),
        Some(set("OVN_RUNDIR").unwrap_or_else(|| PathBuf::from("/var/run/ovn"))),
        Some(PathBuf::from("/run/ovn-extaddr")).filter(|_| set("OVN_RUNDIR").is_none()),
    ];
    let entries =
        places.into_iter().flatten().filter_map(|place| fs::read_dir(place).ok()).flatten().flatten();
    let is_ours = |path: &Path| {
        path.file_name()
            .and_then(|name| name.to_str())
            .is_some_and(|name| name.starts_with("ovn-extaddr.") && name.ends_with(".ctl"))
    };
    let sockets = entries.map(|entry| entry.path()).filter(|path| is_ours(path));
    // OVN's directory has links to the service's sockets.
    sockets.filter_map(|path| fs::canonicalize(path).ok()).collect()
}

async fn status(socket: &Path) -> anyhow::Result<String> {
    let mut stream = UnixStream::connect(socket).await?;
    let request = json!({"id": 0, "method": "status", "params": []});
    stream.write_all(request.to_string().as_bytes()).await?;
    stream.shutdown().await?;
    let mut text = String::new();
    stream.take(MAX_BYTES).read_to_string(&mut text).await?;
    let answer: Value = serde_json::from_str(&text).context("it does not speak the protocol")?;
    answer["result"].as_str().map(str::to_owned).context("it answered with an error")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Found by a reading: `doctor`, as root, reached the CMS itself and called an agent good that cannot.
    #[test]
    fn finding_on_an_agent_names_what_it_reports() {
        for (lines, level, text) in [
            ("", Level::Good, "active, of owner o"),
            ("configuration error: no such key\n", Level::Warning, "no such key"),
            ("connection error: permission denied\n", Level::Warning, "permission denied"),
            ("source: incus at unix:/i: instances: 2, NICs with intents: 1\n", Level::Good, "active"),
            ("source: incus at unix:/i: cannot be read: denied; not read yet\n", Level::Warning, "denied"),
        ] {
            let finding = agent("/s", &format!("role: active\nowner: o\ndatabase: synchronised\n{lines}"));
            assert_eq!(finding.level, level, "{lines}");
            assert!(finding.message.contains(text), "{}", finding.message);
        }
    }
}
