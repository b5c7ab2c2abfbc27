//! A configuration file: its keys, and the rules by which one file overrides another.

use std::fmt;
use std::path::{Path, PathBuf};

use anyhow::Context;
use extaddr_core::policy::Allow;
use extaddr_core::rules::{DefaultTargetRule, ExemptionsRule, PortRangeRule};
use extaddr_core::suggest::did_you_mean;
use ovsdb_protocol::Uuid;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use toml::{Table, Value};

use crate::http::access::StatusPage;
use crate::http::listen::Listen;
use crate::sources::cms::Cms;

/// The content of one file, or of several that were merged.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct File {
    pub(super) db: Option<String>,
    pub(super) sb_db: Option<String>,
    pub(super) owner: Option<String>,
    pub(super) port_range: Option<PortRangeRule>,
    pub(super) min_source_ports: Option<u16>,
    pub(super) default_target: Option<DefaultTargetRule>,
    pub(super) exemptions: Option<ExemptionsRule>,
    /// Seconds.
    pub(super) drain: Option<u64>,
    /// Seconds.
    pub(super) hold_down: Option<f64>,
    /// Seconds.
    pub(super) takeover: Option<u64>,
    /// Seconds.
    pub(super) verify_interval: Option<u64>,
    pub(super) auto: Option<bool>,
    pub(super) require_target: Option<bool>,
    pub(super) allow: Vec<Allow>,
    pub(super) cms: Vec<Cms>,
    pub(super) policy: Option<PathBuf>,
    pub(super) private_key: Option<PathBuf>,
    pub(super) certificate: Option<PathBuf>,
    pub(super) ca_cert: Option<PathBuf>,
    pub(super) bootstrap_ca_cert: Option<PathBuf>,
    pub(super) verify_host_name: Option<bool>,
    pub(super) cluster_id: Option<Uuid>,
    pub(super) log_level: Option<LogLevel>,
    pub(super) metrics: Option<Listen>,
    pub(super) metrics_by_router: Option<bool>,
    pub(super) status_page: Option<StatusPage>,
    pub(super) audit: Option<PathBuf>,
}

/// `log-level`.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(try_from = "String")]
pub(super) struct LogLevel(pub(super) tracing::level_filters::LevelFilter);

/// An error in a file, and its position.
#[derive(Debug)]
struct Mistake(String);

/// The forms of the CA option: one replaces the other.
const CA_KEYS: [&str; 2] = ["ca-cert", "bootstrap-ca-cert"];

/// Reads a file and checks its keys and values.
pub(super) fn read(path: &Path) -> anyhow::Result<Table> {
    let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    parse::<File>(path, &text)?;
    parse(path, &text)
}

/// Merges a file into those that it overrides: its values take precedence, and its `[[allow]]` and `[[cms]]` are
/// appended.
pub(super) fn overlay(table: &mut Table, over: Table) {
    if CA_KEYS.iter().any(|key| over.contains_key(*key)) {
        table.retain(|key, _| !CA_KEYS.contains(&key));
    }
    for (key, value) in over {
        match (table.get_mut(&key), value) {
            (Some(Value::Array(array)), Value::Array(more)) => array.extend(more),
            (_, value) => drop(table.insert(key, value)),
        }
    }
}

/// Parses TOML. An error has the file, the line and, for an unknown key, a guess.
pub(super) fn parse<T: DeserializeOwned>(path: &Path, text: &str) -> anyhow::Result<T> {
    toml::from_str(text).map_err(|error| Mistake::new(path, text, &error).into())
}

// ===== impl Mistake =====

impl Mistake {
    fn new(path: &Path, text: &str, error: &toml::de::Error) -> Self {
        let before = error.span().and_then(|span| text.get(..span.start));
        let line = before.map(|before| 1 + before.matches('\n').count());
        let place =
            line.map_or_else(|| path.display().to_string(), |line| format!("{}:{line}", path.display()));
        let message = error.message().replace('\n', ", ");
        let quoted: Vec<_> = message.split('`').skip(1).step_by(2).collect();
        match quoted[..] {
            // serde: unknown field `x`, expected one of `a`, `b`
            [unknown, ref known @ ..] if message.starts_with("unknown field") => {
                let guess = did_you_mean(unknown, known.iter().copied());
                let known =
                    if guess.is_empty() { format!("; known are {}", known.join(", ")) } else { guess };
                Self(format!("{place}: unknown key {unknown}{known}"))
            }
            _ => Self(format!("{place}: {message}")),
        }
    }
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Mistake {}

// ===== impl LogLevel =====

impl TryFrom<String> for LogLevel {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
            .map(Self)
            .map_err(|_| format!("\"{text}\" is not a level: error, warn, info, debug or trace"))
    }
}
