//! The command line.

use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand};
use clap_complete::CompleteEnv;
use tracing::level_filters::LevelFilter;

use crate::agent;
use crate::log;
use crate::settings::Options;
use style::{Palette, When};

mod check_config;
mod cleanup;
mod complete;
mod completions;
mod doctor;
mod explain;
mod forwards;
mod list;
mod man;
mod notes;
mod output;
mod plan;
mod port;
mod set;
mod style;
mod table;
mod verify;
mod words;

/// Gives OVN instances the address of their network forward for outbound connections too.
///
/// The agent watches the Northbound database, checks that a requested address really is a forward address of that
/// instance's network, and keeps one guarded SNAT row per instance address up to date as the network changes.
#[derive(Debug, Parser)]
#[command(name = "ovn-extaddr", version, max_term_width = 100)]
pub struct Cli {
    #[command(flatten)]
    options: Options,

    /// When to use colours.
    #[arg(
        long,
        value_enum,
        value_name = "WHEN",
        default_value_t,
        global = true,
        help_heading = "Common options"
    )]
    color: When,

    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the agent: keep the rows as the intents require, until told to stop.
    Run(agent::Run),
    /// Show what an agent would change now, without changing it.
    Plan(plan::Plan),
    /// List every port with an intent, and its state.
    List(list::List),
    /// Show the way from a port to its rows, step by step.
    Explain(explain::Explain),
    /// Check in the Southbound database whether the data plane applies the overrides.
    Verify(verify::Verify),
    /// Show the forward addresses of routers, where they lead and who uses them.
    Forwards(forwards::Forwards),
    /// Ask for an external address for a port.
    Set(set::Set),
    /// Withdraw the intent of a port.
    Unset(set::Unset),
    /// Check the configuration and the policy file, and show what is in force.
    CheckConfig(check_config::CheckConfig),
    /// Look at everything that may be wrong: connection, certificates, locks, the network itself.
    Doctor(doctor::Doctor),
    /// Remove all rows of this owner, and restore the VIPs that they replace; intents stay.
    Cleanup(cleanup::Cleanup),
    /// Print what a shell needs to complete commands, and names of the database.
    Completions(completions::Completions),
    /// Print the manual page, or write those of all commands.
    Man(man::Manual),
}

impl Cli {
    /// Answers a shell's request for completions, and ends the process then.
    pub fn complete() {
        CompleteEnv::with_factory(Self::command)
            .var(completions::VARIABLE)
            .shells(completions::SHELLS)
            .complete();
    }

    /// Executes the command line.
    ///
    /// # Errors
    /// It failed; the error says why.
    pub async fn run(self) -> anyhow::Result<ExitCode> {
        match &self.command {
            Command::Completions(command) => return command.run(),
            Command::Man(command) => return command.run(),
            _ => {}
        }
        let usual = if let Command::Run(_) = self.command { log::DEFAULT_LEVEL } else { LevelFilter::WARN };
        let mut log = log::start(self.options.log_level().unwrap_or(usual));
        let palette = Palette::new(self.color);
        let settings = self.options.resolve();
        match self.command {
            Command::Run(command) => {
                let settings = settings?;
                log.configure(settings.log_level).map_err(anyhow::Error::msg)?;
                command.run(self.options, settings, log).await
            }
            Command::Plan(command) => command.run(settings?, palette).await,
            Command::List(command) => command.run(settings?, palette).await,
            Command::Explain(command) => command.run(settings?, palette).await,
            Command::Verify(command) => command.run(settings?, palette).await,
            Command::Forwards(command) => command.run(settings?, palette).await,
            Command::Set(command) => command.run(settings?, palette).await,
            Command::Unset(command) => command.run(settings?).await,
            Command::CheckConfig(command) => command.run(&settings?, palette),
            Command::Cleanup(command) => command.run(settings?).await,
            // An invalid configuration is one of its findings.
            Command::Doctor(command) => command.run(settings, palette).await,
            // These were executed above.
            Command::Completions(_) | Command::Man(_) => Ok(ExitCode::SUCCESS),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_command_and_option_has_a_help_text() {
        let mut command = Cli::command();
        command.build();
        for command in command.get_subcommands().chain([&command]) {
            assert!(command.get_about().is_some(), "{}", command.get_name());
            for argument in command.get_arguments() {
                assert!(argument.get_help().is_some(), "{argument} of {}", command.get_name());
            }
        }
    }
}
