//! Settings: options, environment, files; the first that has a value wins.

mod file;
mod socket;
pub(crate) mod sources;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, bail};
use extaddr_core::ownership::Owner;
use extaddr_core::policy::Policy;
use extaddr_core::rules::Rules;
use extaddr_core::{DATABASE, SOUTHBOUND};
use ovsdb_protocol::{Remotes, SessionConfig, TlsConfig, Uuid};
use tracing::level_filters::LevelFilter;

use crate::http::access::StatusPage;
use crate::http::listen::Listen;
use crate::sources::cms::Cms;
use file::File;

/// The maximum time for draining connections, and for waiting for a forward or another agent.
const MAX_DURATION: Duration = Duration::from_secs(24 * 3600);

/// The default time for which changes may be outstanding before the agent that has the lock is challenged.
const TAKEOVER: Duration = Duration::from_secs(30);

/// The socket of a Northbound server on this machine.
const DEFAULT_SOCKET: &str = "ovnnb_db.sock";

/// The same of a Southbound server.
const DEFAULT_SOUTHBOUND_SOCKET: &str = "ovnsb_db.sock";

/// The maximum length of a reply of the Southbound database, in bytes: 2,000,000 flows of NAT rows.
const MAX_SOUTHBOUND_REPLY: usize = 1 << 30;

/// The time for which a Southbound server may be silent before it is probed: it is silent while it searches millions of
/// flows.
const SOUTHBOUND_PROBE: Duration = Duration::from_secs(60);

/// Options of every command.
#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "Common options")]
pub struct Options {
    /// Where the Northbound database's servers listen, with commas between them.
    #[arg(long, value_name = "REMOTES", env = "OVN_NB_DB", global = true)]
    db: Option<Remotes>,

    /// Where the Southbound database's servers listen, for verify and what verifies; it is only read.
    #[arg(long, value_name = "REMOTES", env = "OVN_SB_DB", global = true)]
    sb_db: Option<Remotes>,

    /// The name of the group of agents that act as one; it marks the rows that are theirs.
    #[arg(long, value_name = "NAME", global = true, value_parser = |text: &str| text.parse::<Owner>())]
    owner: Option<Owner>,

    /// The private key, for ssl: remotes.
    #[arg(short, long, value_name = "FILE", global = true)]
    private_key: Option<PathBuf>,

    /// The certificate of the private key.
    #[arg(short, long, value_name = "FILE", global = true)]
    certificate: Option<PathBuf>,

    /// The certificate of the CA that has signed the servers' certificates.
    #[arg(short = 'C', long, value_name = "FILE", global = true, conflicts_with = "bootstrap_ca_cert")]
    ca_cert: Option<PathBuf>,

    /// As --ca-cert, but if there is no such file, it is taken from the server and written, unverified.
    #[arg(long, value_name = "FILE", global = true)]
    bootstrap_ca_cert: Option<PathBuf>,

    /// Read from any server of a cluster, even if it may lag behind. The agent keeps to the leader.
    #[arg(long, global = true)]
    no_leader_only: bool,

    /// How many seconds to wait for the database at most [default, and 0: until every remote failed, or was silent for 5 seconds].
    #[arg(short, long, value_name = "SECONDS", global = true)]
    timeout: Option<u64>,

    /// The configuration file, instead of /etc/ovn-extaddr/config.toml and its drop-ins.
    #[arg(long, value_name = "FILE", env = "OVN_EXTADDR_CONFIG", global = true)]
    config: Option<PathBuf>,

    /// How much to log to standard error: error, warn, info, debug or trace.
    #[arg(long, value_name = "LEVEL", env = "OVN_EXTADDR_LOG", global = true)]
    log_level: Option<LevelFilter>,
}

/// The configuration files, read and merged.
#[derive(Debug)]
struct Configuration {
    file: File,
    /// The files, in the order in which later ones override earlier ones.
    files: Vec<PathBuf>,
    /// The file that each effective key is from.
    origins: BTreeMap<String, PathBuf>,
}

/// All settings, completely resolved.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The remotes of the database.
    pub remotes: Remotes,
    /// The places where its socket was searched, if no setting names the database.
    pub places: Vec<PathBuf>,
    /// The remotes of the Southbound database.
    pub southbound: Remotes,
    /// The rules that decisions depend on.
    pub rules: Rules,
    /// The CMSes that are sources of intents.
    pub cms: Vec<Cms>,
    /// The TLS configuration for the database.
    pub tls: TlsConfig,
    /// The cluster that the servers must belong to.
    pub cluster_id: Option<Uuid>,
    /// Whether commands that only read use only the leader of a cluster.
    pub leader_only: bool,
    /// The time to wait for the database.
    pub timeout: Option<Duration>,
    /// The policy file, if there is one.
    pub policy: Option<PathBuf>,
    /// The log level, if it is set.
    pub log_level: Option<LevelFilter>,
    /// The place where metrics are offered.
    pub metrics: Option<Listen>,
    /// Whether there are metrics for each router.
    pub metrics_by_router: bool,
    /// The access to the status page, which is offered where the metrics are.
    pub status_page: StatusPage,
    /// The time for which changes may be outstanding before the agent that has the lock is challenged. `None`:
    /// forever.
    pub takeover: Option<Duration>,
    /// The interval at which overrides are verified in the Southbound database. `None`: never.
    pub verify_interval: Option<Duration>,
    /// The audit file.
    pub audit: Option<PathBuf>,
    /// The configuration files that were read.
    pub files: Vec<PathBuf>,
    /// The file that each key is from.
    pub origins: BTreeMap<String, PathBuf>,
}

impl Options {
    /// Returns the log level, if it is set.
    pub fn log_level(&self) -> Option<LevelFilter> {
        self.log_level
    }

    /// Returns the paths that the configuration may have, whether they exist or not: files, and directories of drop-ins.
    pub fn places(&self) -> (PathBuf, Vec<PathBuf>) {
        match &self.config {
            Some(file) => (file.clone(), Vec::new()),
            None => (Path::new("/").join(sources::FILE), sources::directories(Path::new("/")).collect()),
        }
    }

    /// Returns the path of the policy file that the configuration files name.
    ///
    /// # Errors
    /// As [`resolve`](Self::resolve), except for the policy file itself.
    pub fn policy(&self) -> anyhow::Result<Option<PathBuf>> {
        Ok(self.configuration()?.file.policy)
    }

    fn configuration(&self) -> anyhow::Result<Configuration> {
        Configuration::read(self.config.as_deref(), Path::new("/"))
    }

    /// Reads the configuration files and resolves all settings.
    ///
    /// # Errors
    /// A named file does not exist, or a file is invalid.
    pub fn resolve(&self) -> anyhow::Result<Settings> {
        let Configuration { file, files, mut origins } = self.configuration()?;
        let is_ca_named = self.ca_cert.is_some() || self.bootstrap_ca_cert.is_some();
        for (key, is_named) in [
            ("db", self.db.is_some()),
            ("sb-db", self.sb_db.is_some()),
            ("private-key", self.private_key.is_some()),
            ("certificate", self.certificate.is_some()),
            ("ca-cert", is_ca_named),
            ("bootstrap-ca-cert", is_ca_named),
            ("owner", self.owner.is_some()),
            ("log-level", self.log_level.is_some()),
        ] {
            if is_named {
                origins.remove(key);
            }
        }
        let (remotes, places) = remotes(self.db.as_ref(), ("db", file.db), DEFAULT_SOCKET)?;
        let (southbound, _) =
            self::remotes(self.sb_db.as_ref(), ("sb-db", file.sb_db), DEFAULT_SOUTHBOUND_SOCKET)?;
        let cluster_id = match (remotes.cluster_id(), file.cluster_id) {
            (Some(listed), Some(configured)) if listed != configured => {
                bail!(
                    "the remotes name cluster {listed}, and configuration key cluster-id names {configured}"
                )
            }
            (listed, configured) => listed.or(configured),
        };
        if file.ca_cert.is_some() && file.bootstrap_ca_cert.is_some() {
            bail!("configuration key ca-cert or bootstrap-ca-cert: one of them only");
        }
        // The CA options of the command line replace those of the file, in either form.
        let (ca_cert, bootstrap) = match (self.ca_cert.clone(), self.bootstrap_ca_cert.clone()) {
            (None, None) => (file.ca_cert, file.bootstrap_ca_cert),
            named => named,
        };
        let tls = TlsConfig {
            private_key: self.private_key.clone().or(file.private_key).map(Into::into),
            certificate: self.certificate.clone().or(file.certificate).map(Into::into),
            bootstrap: bootstrap.is_some(),
            ca_cert: ca_cert.or(bootstrap).map(Into::into),
            verify_host_name: file.verify_host_name.unwrap_or_default(),
            ..TlsConfig::default()
        };
        let leader_only = !self.no_leader_only;
        let owner = match (&self.owner, file.owner) {
            (Some(owner), _) => owner.clone(),
            (None, Some(text)) => match text.parse() {
                Ok(owner) => owner,
                Err(error) => bail!("configuration key owner: {error}"),
            },
            (None, None) => Owner::default(),
        };
        let usual = Rules::new(owner);
        let limited = |key: &str, duration: Duration| {
            if duration > MAX_DURATION {
                bail!("configuration key {key}: expected seconds, {} at most", MAX_DURATION.as_secs());
            }
            Ok(duration)
        };
        let seconds = |seconds| Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX);
        let hold_down = limited("hold-down", file.hold_down.map_or(usual.hold_down, seconds))?;
        let drain = limited("drain", file.drain.map_or(usual.drain, Duration::from_secs))?;
        let takeover = limited("takeover", file.takeover.map_or(TAKEOVER, Duration::from_secs))?;
        let verify_interval = Duration::from_secs(file.verify_interval.unwrap_or_default());
        let verify_interval = limited("verify-interval", verify_interval)?;
        let rules = Rules {
            port_range: file.port_range.unwrap_or_default(),
            min_source_ports: file.min_source_ports.unwrap_or(usual.min_source_ports),
            default_target: file.default_target.unwrap_or_default(),
            exemptions: file.exemptions.unwrap_or_default(),
            drain,
            hold_down,
            auto: file.auto.unwrap_or_default(),
            require_target: file.require_target.unwrap_or_default(),
            allow: file.allow,
            policy: file.policy.as_deref().map(read_policy).transpose()?.unwrap_or_default(),
            ..usual
        };
        let status_page = file.status_page.unwrap_or_default();
        if let Err(error) = status_page.check(file.metrics.as_ref()) {
            bail!("configuration key status-page: {error}");
        }
        // For ovn-nbctl(8), 0 is the default.
        let timeout = self.timeout.filter(|seconds| *seconds > 0).map(Duration::from_secs);
        Ok(Settings {
            remotes,
            places,
            southbound,
            tls,
            cluster_id,
            leader_only,
            rules,
            cms: file.cms,
            timeout,
            policy: file.policy,
            log_level: self.log_level.or_else(|| file.log_level.map(|level| level.0)),
            metrics: file.metrics,
            metrics_by_router: file.metrics_by_router.unwrap_or_default(),
            status_page,
            takeover: Some(takeover).filter(|takeover| !takeover.is_zero()),
            verify_interval: Some(verify_interval).filter(|interval| !interval.is_zero()),
            audit: file.audit,
            files,
            origins,
        })
    }
}

impl Settings {
    /// Returns the configuration of sessions with the database's leader.
    pub fn session(&self) -> SessionConfig {
        let mut config = SessionConfig::new(self.remotes.clone(), DATABASE);
        config.tls = self.tls.clone();
        config.cluster_id = self.cluster_id;
        config
    }

    /// Returns the same as [`session`](Self::session), for commands that only read.
    pub fn reading_session(&self) -> SessionConfig {
        let mut config = self.session();
        config.leader_only = self.leader_only;
        config
    }

    /// Returns the configuration of sessions with the Southbound database, which is only read: any server is sufficient.
    pub fn southbound_session(&self) -> SessionConfig {
        let mut config = SessionConfig::new(self.southbound.clone(), SOUTHBOUND);
        config.tls = self.tls.clone();
        config.leader_only = false;
        config.limits.value = MAX_SOUTHBOUND_REPLY;
        config.probe = Some(SOUTHBOUND_PROBE);
        config
    }
}

impl Configuration {
    /// Reads the named file, or those below `root`.
    fn read(named: Option<&Path>, root: &Path) -> anyhow::Result<Self> {
        let files = match named {
            Some(path) => vec![path.to_owned()],
            None => sources::files(root)?,
        };
        let (mut merged, mut origins) = (toml::Table::new(), BTreeMap::new());
        for path in &files {
            let over = file::read(path)?;
            origins.extend(over.keys().map(|key| (key.clone(), path.clone())));
            file::overlay(&mut merged, over);
        }
        Ok(Self { file: merged.try_into()?, files, origins })
    }
}

/// Determines the servers of a database: from an option or the environment, a key of the configuration, or the usual
/// places of this socket. Also returns the places that were searched for it.
fn remotes(
    option: Option<&Remotes>,
    (key, configured): (&str, Option<String>),
    socket: &str,
) -> anyhow::Result<(Remotes, Vec<PathBuf>)> {
    let named: Option<Remotes> = match (option, configured) {
        (Some(remotes), _) => Some(remotes.clone()),
        (None, Some(text)) => Some(text.parse().with_context(|| format!("configuration key {key}"))?),
        (None, None) => None,
    };
    if let Some(remotes) = named {
        return Ok((remotes.relative_to(&socket_directory()), Vec::new()));
    }
    let places = socket::places(variable("OVN_RUNDIR"), socket);
    let place = socket::find(&places, Path::exists).context("no place for a socket")?;
    let remotes = format!("unix:{}", place.display()).parse();
    Ok((remotes.with_context(|| format!("the socket {}", place.display()))?, places))
}

fn read_policy(path: &Path) -> anyhow::Result<Policy> {
    let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    // A file that could not be written, as with a full disk, must not withdraw every intent.
    if text.is_empty() {
        bail!("{} is empty; a comment makes it a policy without rules", path.display());
    }
    file::parse(path, &text)
}

/// Returns the base directory of relative socket names, as in OVN's programs: `ovs_rundir` of Open vSwitch's
/// `lib/stream-unix.c`.
fn socket_directory() -> PathBuf {
    variable("OVS_RUNDIR").unwrap_or_else(|| "/var/run/openvswitch".into())
}

/// Returns the directory that an environment variable names.
fn variable(name: &str) -> Option<PathBuf> {
    std::env::var_os(name).filter(|directory| !directory.is_empty()).map(PathBuf::from)
}

#[cfg(test)]
mod tests;
