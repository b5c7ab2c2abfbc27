use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};
use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::Value;

use crate::built::built;
use crate::command::{Output, isolated, run};
use crate::dir::Dir;
use crate::process::Daemon;

const BINARY: &str = "ovn-extaddr";
const READY: Duration = Duration::from_secs(20);

/// Variables that the environment of a person or a service manager may contain and a test must not inherit.
const NOT_INHERITED: [&str; 9] = [
    "NOTIFY_SOCKET",
    "WATCHDOG_USEC",
    "WATCHDOG_PID",
    "RUNTIME_DIRECTORY",
    "OVN_EXTADDR_CONFIG",
    "OVN_EXTADDR_LOG",
    "CLICOLOR_FORCE",
    "COLUMNS",
    "LC_ALL",
];

/// The first message of a running agent: from then on it handles signals.
const STARTED: &str = " starting ";

/// The configuration for most tests: withdrawn rows are deleted at once.
pub const PROMPT: &str = "drain = 0\nhold-down = 0\n";

/// A running agent: `ovn-extaddr run` with its own run directory and configuration file.
#[derive(Debug)]
pub struct Agent {
    // Before `cli`, which owns the directory: the process ends first.
    daemon: Daemon,
    builder: AgentBuilder,
    cli: Cli,
}

/// How an agent is to be started; made by [`Agent::builder`].
#[derive(Clone, Debug)]
pub struct AgentBuilder {
    database: String,
    binary: Option<PathBuf>,
    config: String,
    arguments: Vec<String>,
    environment: Vec<(String, String)>,
}

/// The binary for one-shot commands, with or without an agent running.
#[derive(Debug)]
pub struct Cli {
    database: String,
    binary: PathBuf,
    dir: Dir,
}

impl Agent {
    /// Describes an agent for a database, which [`OvsdbServer::remote`](crate::OvsdbServer::remote) names; an empty
    /// name leaves it to the configuration.
    pub fn builder(database: impl Into<String>) -> AgentBuilder {
        AgentBuilder {
            database: database.into(),
            binary: None,
            config: PROMPT.to_owned(),
            arguments: Vec::new(),
            environment: Vec::new(),
        }
    }

    /// The binary that all tests use.
    pub fn built() -> Result<PathBuf> {
        built(BINARY)
    }

    /// Starts an agent with the default options and waits until it runs. Its further work takes some more milliseconds:
    /// see [`eventually`](crate::eventually) and [`wait_for_log`](Self::wait_for_log).
    pub fn start(database: impl Into<String>) -> Result<Self> {
        Self::builder(database).start()
    }

    /// The process, for signals and its log.
    pub fn daemon(&mut self) -> &mut Daemon {
        &mut self.daemon
    }

    /// The log so far, including that before a restart.
    pub fn log(&self) -> String {
        self.daemon.log()
    }

    /// Waits until the agent has logged `text` since it was last started.
    pub fn wait_for_log(&mut self, text: &str) -> Result<()> {
        self.daemon.wait_for_log(text, READY)
    }

    /// Kills the agent with SIGKILL.
    pub fn kill9(&mut self) -> Result<()> {
        self.daemon.kill9()
    }

    /// Asks the agent to end, as a service manager does, and waits for it.
    pub fn stop(&mut self) -> Result<ExitStatus> {
        self.daemon.terminate(READY)
    }

    /// Kills the agent if it runs, starts it again and waits until it runs.
    pub fn restart(&mut self) -> Result<()> {
        self.kill9()?;
        self.daemon = self.builder.launch(&self.cli)?;
        self.wait_ready()
    }

    /// Runs a one-shot command against the same database with the same configuration file.
    ///
    /// An error means that it cannot be started; whether it succeeded is in the output.
    pub fn cli(&self, arguments: &[&str]) -> Result<Output> {
        self.cli.run(arguments)
    }

    /// The entries of `ovn-extaddr list --json`.
    pub fn list_json(&self) -> Result<Vec<Value>> {
        self.cli.list_json()
    }

    /// Sends a command to the agent's control socket, as `ovn-appctl -t ovn-extaddr` does.
    pub fn appctl(&self, arguments: &[&str]) -> Result<String> {
        let mut command = isolated("ovn-appctl", self.cli.dir());
        command.arg("--timeout=20").arg("-t").arg(self.control()).args(arguments);
        run(command)
    }

    /// Rewrites the configuration file; the agent reads it on `SIGHUP` or when restarted.
    pub fn write_config(&self, text: &str) -> Result<()> {
        self.cli.write_config(text)
    }

    /// The agent's own directory.
    pub fn dir(&self) -> &Path {
        self.cli.dir()
    }

    fn control(&self) -> PathBuf {
        self.dir().join(format!("{BINARY}.{}.ctl", self.daemon.pid()))
    }

    fn wait_ready(&mut self) -> Result<()> {
        self.daemon.wait_for_log(STARTED, READY)
    }
}

impl AgentBuilder {
    /// The text of the configuration file; [`PROMPT`] by default.
    #[must_use]
    pub fn config(mut self, text: &str) -> Self {
        text.clone_into(&mut self.config);
        self
    }

    /// More arguments after `run`.
    #[must_use]
    pub fn args(mut self, arguments: &[&str]) -> Self {
        self.arguments.extend(arguments.iter().map(|&text| text.to_owned()));
        self
    }

    /// A variable of the agent's environment.
    #[must_use]
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    /// A program other than the one in the target directory.
    #[must_use]
    pub fn binary(mut self, path: impl Into<PathBuf>) -> Self {
        self.binary = Some(path.into());
        self
    }

    /// Starts the agent and waits until it runs, with or without a database.
    pub fn start(self) -> Result<Agent> {
        let mut agent = self.spawn()?;
        agent.wait_ready()?;
        Ok(agent)
    }

    /// Starts the agent and does not wait: for one that is expected to fail.
    pub fn spawn(self) -> Result<Agent> {
        let binary = self.binary.clone().map_or_else(|| built(BINARY), Ok)?;
        let cli = Cli { database: self.database.clone(), binary, dir: Dir::new("agent")? };
        cli.write_config(&self.config)?;
        let daemon = self.launch(&cli)?;
        Ok(Agent { daemon, builder: self, cli })
    }

    fn launch(&self, cli: &Cli) -> Result<Daemon> {
        let mut command = cli.command(&["run"]);
        if !self.database.is_empty() {
            command.arg("--db").arg(&self.database);
        }
        command.args(&self.arguments);
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        Daemon::spawn(command, &cli.dir().join("agent.log"))
    }
}

impl Cli {
    /// Prepares the binary for a database, with a configuration file of [`PROMPT`].
    pub fn new(database: impl Into<String>) -> Result<Self> {
        let cli = Self { database: database.into(), binary: built(BINARY)?, dir: Dir::new("cli")? };
        cli.write_config(PROMPT)?;
        Ok(cli)
    }

    /// Runs a command, such as `["list", "--json"]`, to its end.
    ///
    /// An error means that it cannot be started; whether it succeeded is in the output.
    pub fn run(&self, arguments: &[&str]) -> Result<Output> {
        Output::capture(self.command(arguments))
    }

    /// The entries of `ovn-extaddr list --json`.
    pub fn list_json(&self) -> Result<Vec<Value>> {
        let text = run(self.command(&["list", "--json"]))?;
        serde_json::from_str(&text).with_context(|| format!("list --json printed no JSON array:\n{text}"))
    }

    /// Rewrites the configuration file.
    pub fn write_config(&self, text: &str) -> Result<()> {
        // In one step: an agent watches it, and a part of it would be a valid configuration, too.
        let (path, new) = (self.config_path(), self.dir().join("config.toml.new"));
        fs::write(&new, text)
            .and_then(|()| fs::rename(new, path))
            .context("cannot write the configuration file")
    }

    /// The path of the configuration file.
    pub fn config_path(&self) -> PathBuf {
        self.dir().join("config.toml")
    }

    /// The run directory.
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// The command, to be run by the caller: the database by environment, the configuration file after the subcommand.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = isolated(&self.binary, self.dir());
        for name in NOT_INHERITED {
            command.env_remove(name);
        }
        if !self.database.is_empty() {
            command.env("OVN_NB_DB", &self.database);
        }
        let Some((subcommand, rest)) = arguments.split_first() else { return command };
        command.arg(subcommand);
        // These need no configuration.
        if !["completions", "man", "help"].contains(subcommand) && !subcommand.starts_with('-') {
            command.arg("--config").arg(self.config_path());
        }
        command.args(rest);
        command
    }
}
