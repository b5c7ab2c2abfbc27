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

use crate::http::access::StatusPage;
use crate::http::listen::Listen;
use crate::sources::cms::Cms;

/// The content of one file.
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

impl File {
    /// Reads a file. Its keys are returned too, in alphabetical order.
    pub(super) fn read(path: &Path) -> anyhow::Result<(Self, Vec<String>)> {
        let text =
            std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
        let file = parse(path, &text)?;
        let keys: toml::Table = parse(path, &text)?;
        Ok((file, keys.keys().cloned().collect()))
    }

    /// Merges another file into this one: its values take precedence. Its `[[allow]]` and `[[cms]]` are appended.
    pub(super) fn overlay(self, over: Self) -> Self {
        let mut allow = self.allow;
        allow.extend(over.allow);
        let mut cms = self.cms;
        cms.extend(over.cms);
        // One form of the CA option replaces the other.
        let (ca_cert, bootstrap_ca_cert) = match (over.ca_cert, over.bootstrap_ca_cert) {
            (None, None) => (self.ca_cert, self.bootstrap_ca_cert),
            named => named,
        };
        Self {
            db: over.db.or(self.db),
            sb_db: over.sb_db.or(self.sb_db),
            owner: over.owner.or(self.owner),
            port_range: over.port_range.or(self.port_range),
            min_source_ports: over.min_source_ports.or(self.min_source_ports),
            default_target: over.default_target.or(self.default_target),
            exemptions: over.exemptions.or(self.exemptions),
            drain: over.drain.or(self.drain),
            hold_down: over.hold_down.or(self.hold_down),
            takeover: over.takeover.or(self.takeover),
            verify_interval: over.verify_interval.or(self.verify_interval),
            auto: over.auto.or(self.auto),
            require_target: over.require_target.or(self.require_target),
            allow,
            cms,
            policy: over.policy.or(self.policy),
            private_key: over.private_key.or(self.private_key),
            certificate: over.certificate.or(self.certificate),
            ca_cert,
            bootstrap_ca_cert,
            verify_host_name: over.verify_host_name.or(self.verify_host_name),
            cluster_id: over.cluster_id.or(self.cluster_id),
            log_level: over.log_level.or(self.log_level),
            metrics: over.metrics.or(self.metrics),
            metrics_by_router: over.metrics_by_router.or(self.metrics_by_router),
            status_page: over.status_page.or(self.status_page),
            audit: over.audit.or(self.audit),
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
