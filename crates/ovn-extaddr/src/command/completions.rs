//! `ovn-extaddr completions`

mod bash;

use std::process::ExitCode;

use anyhow::Context;
use clap::{Args, ValueEnum};
use clap_complete::env::{Elvish, Fish, Shells, Zsh};

use crate::command::output::print;
use bash::Bash;

/// The variable by which a shell asks the program for completions.
pub(crate) const VARIABLE: &str = "OVN_EXTADDR_COMPLETE";

/// The shells that are known.
pub(super) const SHELLS: Shells<'_> = Shells(&[&Bash, &Elvish, &Fish, &Zsh]);

/// Prints what a shell needs to complete our commands.
#[derive(Debug, Args)]
pub(super) struct Completions {
    /// The shell.
    shell: Shell,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Shell {
    Bash,
    Zsh,
    Fish,
    Elvish,
}

impl Completions {
    pub(super) fn run(&self) -> anyhow::Result<ExitCode> {
        print(&script(self.shell)?)?;
        Ok(ExitCode::SUCCESS)
    }
}

fn script(shell: Shell) -> anyhow::Result<String> {
    let name = match shell {
        Shell::Bash => "bash",
        Shell::Zsh => "zsh",
        Shell::Fish => "fish",
        Shell::Elvish => "elvish",
    };
    let completer = SHELLS.completer(name).with_context(|| format!("nothing is known of {name}"))?;
    let mut script = Vec::new();
    completer.write_registration(VARIABLE, "ovn-extaddr", "ovn-extaddr", "ovn-extaddr", &mut script)?;
    Ok(String::from_utf8(script)?)
}
