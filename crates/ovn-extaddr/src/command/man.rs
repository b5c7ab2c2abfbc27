//! `ovn-extaddr man`

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context;
use clap::{Args, Command, CommandFactory};
use clap_mangen::Man;
use clap_mangen::roff::{Roff, bold, roman};

use crate::command::Cli;
use crate::command::output::print;

/// The section for system administration.
const SECTION: &str = "8";

/// Prints the manual, or writes the pages of all commands.
#[derive(Debug, Args)]
pub(super) struct Manual {
    /// Write a page for each command into this directory.
    #[arg(long, value_name = "DIRECTORY")]
    directory: Option<PathBuf>,
}

impl Manual {
    pub(super) fn run(&self) -> anyhow::Result<ExitCode> {
        let pages = pages()?;
        match &self.directory {
            None => {
                let main = pages.first().map(|(_, text)| text.as_str()).unwrap_or_default();
                print(main)?;
            }
            Some(directory) => {
                for (name, text) in &pages {
                    write(&directory.join(name), text)?;
                }
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn write(path: &Path, text: &str) -> anyhow::Result<()> {
    fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))
}

/// Returns the pages with their files' names, the main one first.
fn pages() -> anyhow::Result<Vec<(String, String)>> {
    let mut main = Cli::command().disable_help_subcommand(true);
    main.build();
    let mut pages = vec![page(&main, "ovn-extaddr", true)?];
    for command in main.get_subcommands().filter(|command| !command.is_hide_set()) {
        pages.push(page(command, &format!("ovn-extaddr-{}", command.get_name()), false)?);
    }
    Ok(pages)
}

fn page(command: &Command, title: &str, is_main: bool) -> anyhow::Result<(String, String)> {
    let name = command.get_name().to_owned();
    // The page's name has hyphens, but the command has spaces.
    let command = command.clone().display_name(title.to_owned());
    let synopsis = if is_main { name } else { format!("ovn-extaddr {name}") };
    let man = Man::new(command.bin_name(synopsis))
        .title(title.to_uppercase())
        .section(SECTION)
        .manual("OVN Manual");
    let mut text = Vec::new();
    man.render(&mut text)?;
    if is_main {
        closing().to_writer(&mut text)?;
    } else {
        let mut roff = Roff::new();
        roff.control("SH", ["SEE ALSO"]).text([bold("ovn-extaddr"), roman("(8)")]);
        roff.to_writer(&mut text)?;
    }
    Ok((format!("{title}.{SECTION}"), String::from_utf8(text)?))
}

/// Returns the sections that do not follow from the definitions of the options.
fn closing() -> Roff {
    let mut roff = Roff::new();
    roff.control("SH", ["EXIT STATUS"]);
    for (status, meaning) in [
        ("0", "It was done."),
        (
            "1",
            "It failed, and standard error has the reason; or a check of doctor or verify failed, as standard output says.",
        ),
        ("2", "The command line is invalid."),
        ("3", "Only with plan --exit-code: there is something to change."),
    ] {
        roff.control("TP", []).text([bold(status)]).text([roman(meaning)]);
    }
    roff.control("SH", ["ENVIRONMENT"]);
    for (name, meaning) in [
        ("OVN_NB_DB", "Where the Northbound database's servers listen, as --db."),
        ("OVN_SB_DB", "Where the Southbound database's servers listen, as --sb-db."),
        ("OVS_RUNDIR", "Where sockets are that --db names relatively. /var/run/openvswitch by default."),
        (
            "OVN_RUNDIR",
            "Where ovnnb_db.sock is, and the control socket; by default /var/run/ovn, for the former also where MicroOVN has it.",
        ),
        ("RUNTIME_DIRECTORY", "Where the control socket is; comes before OVN_RUNDIR."),
        ("OVN_EXTADDR_CONFIG", "The configuration file, as --config."),
        ("OVN_EXTADDR_LOG", "How much to log, as --log-level."),
        ("NO_COLOR", "No colours, if set to anything."),
    ] {
        roff.control("TP", []).text([bold(name)]).text([roman(meaning)]);
    }
    roff.control("SH", ["FILES"]);
    for (name, meaning) in [
        ("/etc/ovn-extaddr/config.toml", "The configuration. Every key is described in the file."),
        (
            "/usr/lib/ovn-extaddr/config.d, /run/ovn-extaddr.d, /etc/ovn-extaddr/config.d",
            "Drop-ins, *.toml, which override it in the order of their names.",
        ),
        ("/run/ovn-extaddr", "The control socket of the service, with its pidfile."),
    ] {
        roff.control("TP", []).text([bold(name)]).text([roman(meaning)]);
    }
    roff.control("SH", ["CONTROL"]);
    roff.text([roman(
        "A running agent answers ovn-appctl -t ovn-extaddr COMMAND: status, list, pause, resume, is-paused, recompute, \
         nb-connection-status, nb-cluster-state-reset, vlog/list, vlog/set, memory/show, coverage/show, version, exit, \
         list-commands.",
    )]);
    roff.control("SH", ["SEE ALSO"]);
    roff.text([
        bold("ovn-nbctl"),
        roman("(8), "),
        bold("ovn-nb"),
        roman("(5), "),
        bold("ovn-appctl"),
        roman("(8)"),
    ]);
    roff
}
