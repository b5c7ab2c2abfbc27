use std::ffi::OsStr;
use std::io::ErrorKind;
use std::path::Path;
use std::process::{Command, ExitStatus, Stdio};

use anyhow::{Error, Result, anyhow, bail};

use crate::container::Container;

/// The result of a finished program.
#[derive(Debug)]
pub struct Output {
    /// Exit status.
    pub status: ExitStatus,
    /// Standard output; bytes that are not UTF-8 are replaced.
    pub stdout: String,
    /// Standard error; bytes that are not UTF-8 are replaced.
    pub stderr: String,
}

impl Output {
    /// Runs `command` to its end, with no standard input.
    pub fn capture(mut command: Command) -> Result<Self> {
        let output = command.stdin(Stdio::null()).output().map_err(|error| start_error(&command, error))?;
        Ok(Self {
            status: output.status,
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        })
    }

    /// The exit code, or `None` if a signal ended the program.
    pub fn code(&self) -> Option<i32> {
        self.status.code()
    }

    /// Returns standard output.
    pub fn success(self) -> Result<String> {
        if !self.status.success() {
            bail!("{}\n{}{}", self.status, self.stdout, self.stderr);
        }
        Ok(self.stdout)
    }
}

/// A command that uses only the OVN or OVS in `dir`, whatever the caller's environment contains.
pub(crate) fn isolated(program: impl AsRef<OsStr>, dir: &Path) -> Command {
    let program = program.as_ref();
    let mut command = match Container::given().filter(|_| Container::has(program)) {
        Some(container) => container.command(program),
        None => Command::new(program),
    };
    // Debian has ovsdb-server where only root's PATH looks.
    let path = std::env::var("PATH").unwrap_or_default();
    command.env("PATH", format!("{path}:/usr/sbin:/sbin"));
    for name in
        ["OVN_NB_DB", "OVN_SB_DB", "OVN_NB_DAEMON", "OVN_SB_DAEMON", "OVN_NBCTL_OPTIONS", "OVN_SBCTL_OPTIONS"]
    {
        command.env_remove(name);
    }
    for prefix in ["OVS", "OVN"] {
        for kind in ["RUNDIR", "LOGDIR", "DBDIR", "SYSCONFDIR"] {
            command.env(format!("{prefix}_{kind}"), dir);
        }
    }
    command
}

/// Runs `command` and returns its standard output; a failure names the command.
pub(crate) fn run(command: Command) -> Result<String> {
    let line = command_line(&command);
    Output::capture(command)?.success().map_err(|error| error.context(line))
}

/// Turns "no such file" into something a person can act on.
pub(crate) fn start_error(command: &Command, error: std::io::Error) -> Error {
    let program = command.get_program().display();
    if error.kind() == ErrorKind::NotFound {
        anyhow!("{program} is not installed: run scripts/setup (tests are never skipped)")
    } else {
        Error::new(error).context(format!("cannot start {program}"))
    }
}

/// The command as one would type it, cut short: a batch can be very long.
fn command_line(command: &Command) -> String {
    const ENOUGH: usize = 2000;
    let mut line = command.get_program().display().to_string();
    for argument in command.get_args() {
        if line.len() > ENOUGH {
            line.push_str(" ...");
            break;
        }
        line.push(' ');
        line.push_str(&argument.to_string_lossy());
    }
    line
}
