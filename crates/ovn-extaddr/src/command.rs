//! The command line.

use std::io::{self, Write};
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use serde::Serialize;
use tracing::level_filters::LevelFilter;

use crate::agent;
use crate::log;
use crate::settings::Options;

mod cleanup;
mod explain;
mod forwards;
mod list;
mod plan;
mod set;
mod table;

/// Gives OVN instances the address of their network forward for outbound connections too.
#[derive(Debug, Parser)]
#[command(name = "ovn-extaddr", version, max_term_width = 100)]
pub struct Cli {
    #[command(flatten)]
    options: Options,

    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the agent: keep the rows in step with what is asked for, until told to stop.
    Run(agent::Run),
    /// Show what an agent would change now, without changing it.
    Plan(plan::Plan),
    /// List every port with an intent and where it stands.
    List(list::List),
    /// Show the way from a port to its rows, step by step.
    Explain(explain::Explain),
    /// Show the forward addresses of routers, where they lead and who uses them.
    Forwards(forwards::Forwards),
    /// Ask for an external address for a port.
    Set(set::Set),
    /// Withdraw what is asked for a port.
    Unset(set::Unset),
    /// Remove everything that this owner put into the database.
    Cleanup(cleanup::Cleanup),
}

impl Cli {
    /// Does what the command line asks for.
    ///
    /// # Errors
    /// It could not be done; the error says why.
    pub async fn run(self) -> anyhow::Result<ExitCode> {
        let usual = if let Command::Run(_) = self.command { LevelFilter::INFO } else { LevelFilter::WARN };
        let mut log = log::start(self.options.log_level().unwrap_or(usual));
        let settings = self.options.settle()?;
        if let (Command::Run(_), Some(level)) = (&self.command, settings.log_level) {
            log.set_usual(level).map_err(anyhow::Error::msg)?;
        }
        match self.command {
            Command::Run(command) => command.run(self.options, settings, log).await,
            Command::Plan(command) => command.run(settings).await,
            Command::List(command) => command.run(settings).await,
            Command::Explain(command) => command.run(settings).await,
            Command::Forwards(command) => command.run(settings).await,
            Command::Set(command) => command.run(settings).await,
            Command::Unset(command) => command.run(settings).await,
            Command::Cleanup(command) => command.run(settings).await,
        }
    }
}

/// Prints to standard output. That nobody reads on is no error.
fn print(text: &str) -> anyhow::Result<()> {
    match io::stdout().lock().write_all(text.as_bytes()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(error.into()),
        _ => Ok(()),
    }
}

/// Prints JSON for machines.
fn print_json(value: &impl Serialize) -> anyhow::Result<()> {
    print(&format!("{}\n", serde_json::to_string_pretty(value)?))
}
