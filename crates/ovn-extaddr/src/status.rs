//! The status of the agent, for people and machines.

use std::fmt;
use std::path::PathBuf;
use std::time::SystemTime;

use ovsdb_protocol::ServerRole;
use serde::Serialize;

use crate::clock::rfc3339;

/// The answer of `/api/v1/status` and of the command `status`. Field names are stable.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Status {
    pub(crate) role: &'static str,
    pub(crate) owner: String,
    pub(crate) version: &'static str,
    /// Seconds since the start.
    pub(crate) uptime: u64,
    pub(crate) database: DatabaseStatus,
    pub(crate) lock: LockReport,
    /// The number of ports and conversions whose rows differ from the desired state.
    pub(crate) to_change: usize,
    /// Whether a transaction is under way.
    pub(crate) under_way: bool,
    pub(crate) last_commit: Option<Commit>,
    pub(crate) last_refusal: Option<Failure>,
    pub(crate) configuration: Configuration,
    /// A sentence for each CMS.
    pub(crate) sources: Vec<String>,
    /// The last findings in the Southbound database; `null` if verification is off.
    pub(crate) verification: Option<String>,
    /// The place where metrics are offered.
    pub(crate) metrics: Option<String>,
    /// `off`, `local` or `any`.
    pub(crate) status_page: &'static str,
    pub(crate) audit: Option<PathBuf>,
    /// The number of intents in each state, in the order of the states.
    #[serde(serialize_with = "object")]
    pub(crate) intents: Vec<(&'static str, usize)>,
}

/// The Northbound database and the connection to it.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct DatabaseStatus {
    pub(crate) remote: Option<String>,
    /// Whether the copy of it is in sync.
    pub(crate) synced: bool,
    /// The server's role in its cluster: `standalone`, `leader`, `follower` or `relay`.
    pub(crate) server: Option<&'static str>,
    /// The reason why it is not in sync, if known.
    pub(crate) error: Option<Failure>,
}

/// The lock that allows one agent of an owner to write.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct LockReport {
    pub(crate) name: String,
    /// `held`, `challenged`, `waiting` or `none`.
    pub(crate) state: &'static str,
    #[serde(serialize_with = "time")]
    pub(crate) since: Option<SystemTime>,
    /// The number of times that the agent got it, if it has it.
    pub(crate) epoch: Option<u64>,
}

/// A transaction that was committed.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Commit {
    pub(crate) at: String,
    pub(crate) changes: usize,
}

/// An error, with the time at which it occurred.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Failure {
    pub(crate) at: String,
    pub(crate) message: String,
}

/// The configuration files in force.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Configuration {
    pub(crate) files: Vec<PathBuf>,
    /// The reason why the present files are not in force.
    pub(crate) error: Option<String>,
}

// ===== impl Failure =====

impl Failure {
    pub(crate) fn new((at, message): &(SystemTime, String)) -> Self {
        Self { at: rfc3339(*at), message: message.clone() }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at {}", self.message, self.at)
    }
}

// ===== impl Commit =====

impl fmt::Display for Commit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} changes at {}", self.changes, self.at)
    }
}

// ===== impl LockReport =====

impl LockReport {
    /// Describes the holder.
    pub(crate) fn sentence(&self) -> String {
        let since = self.since.map_or_else(String::new, |since| format!(" since {}", rfc3339(since)));
        match (self.state, self.epoch) {
            ("held", epoch) => format!("held{since}, epoch {}", epoch.unwrap_or_default()),
            ("challenged", _) => "taken, to see whether the other agent is alive".to_owned(),
            ("waiting", _) => "another agent has it".to_owned(),
            _ => "none".to_owned(),
        }
    }
}

// ===== impl DatabaseStatus =====

impl DatabaseStatus {
    /// Describes where it is, and whether the copy is in sync.
    pub(crate) fn sentence(&self) -> String {
        let synced = if self.synced { "synchronised" } else { "not synchronised" };
        format!("{} ({synced})", self.remote.as_deref().unwrap_or("none"))
    }
}

// ===== impl Status =====

impl fmt::Display for Status {
    /// Writes a line for each field, as `ovn-appctl` prints them.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut line = |name: &str, value: &dyn fmt::Display| writeln!(f, "{name}: {value}");
        line("role", &self.role)?;
        line("owner", &self.owner)?;
        line("version", &self.version)?;
        line("uptime", &format_args!("{} s", self.uptime))?;
        line("database", &self.database.sentence())?;
        if let Some(error) = &self.database.error {
            line("connection error", error)?;
        }
        line("lock", &format_args!("{} ({})", self.lock.name, self.lock.sentence()))?;
        line("to change", &self.to_change)?;
        line("under way", &if self.under_way { "a transaction" } else { "nothing" })?;
        line("last commit", &or(self.last_commit.as_ref(), "none"))?;
        line("last refusal", &or(self.last_refusal.as_ref(), "none"))?;
        let files: Vec<_> = self.configuration.files.iter().map(|file| file.display().to_string()).collect();
        line("configuration", &or(Some(files.join(", ")).filter(|_| !files.is_empty()).as_ref(), "none"))?;
        if let Some(wrong) = &self.configuration.error {
            line("configuration error", &wrong.replace('\n', " "))?;
        }
        for source in &self.sources {
            line("source", source)?;
        }
        line("verification", &or(self.verification.as_ref(), "off"))?;
        line("metrics", &or(self.metrics.as_ref(), "off"))?;
        line("status page", &self.status_page)?;
        line("audit", &or(self.audit.as_ref().map(|path| path.display()).as_ref(), "off"))?;
        for (state, count) in self.intents.iter().filter(|(_, count)| *count > 0) {
            line(state, count)?;
        }
        Ok(())
    }
}

/// Returns the word for a server's role.
pub(crate) fn server_word(role: ServerRole) -> &'static str {
    match role {
        ServerRole::Standalone => "standalone",
        ServerRole::Leader => "leader",
        ServerRole::Follower => "follower",
        ServerRole::Relay => "relay",
    }
}

fn or(value: Option<&impl fmt::Display>, otherwise: &str) -> String {
    value.map_or_else(|| otherwise.to_owned(), ToString::to_string)
}

fn object<S: serde::Serializer>(counts: &[(&str, usize)], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_map(counts.iter().copied())
}

fn time<S: serde::Serializer>(time: &Option<SystemTime>, serializer: S) -> Result<S::Ok, S::Error> {
    time.map(rfc3339).serialize(serializer)
}
