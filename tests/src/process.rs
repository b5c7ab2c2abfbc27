use std::fs::{self, OpenOptions};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread::{panicking, sleep};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::command::{run, start_error};

/// How many lines of a log an error message shows.
const TAIL: usize = 30;

/// A child process in the foreground, killed and waited for when dropped.
///
/// When dropped in a panic it shows the end of its log, which usually contains the cause of the failed test.
#[derive(Debug)]
pub struct Daemon {
    name: String,
    log: PathBuf,
    /// The length of the log before this process.
    before: u64,
    child: Child,
    exited: Option<ExitStatus>,
}

impl Daemon {
    /// Starts `command` with both outputs appended to `log`.
    pub fn spawn(mut command: Command, log: &Path) -> Result<Self> {
        let file = OpenOptions::new()
            .create(true)
            .append(true)
            .open(log)
            .with_context(|| format!("cannot open {}", log.display()))?;
        let before = file.metadata()?.len();
        let name = Path::new(command.get_program()).file_name().unwrap_or_default().display().to_string();
        let child = command
            .stdin(Stdio::null())
            .stdout(file.try_clone()?)
            .stderr(file)
            .spawn()
            .map_err(|error| start_error(&command, error))?;
        Ok(Self { name, log: log.to_path_buf(), before, child, exited: None })
    }

    /// Waits until `ready` returns true, or the process ends, or `timeout` passes.
    pub fn wait_ready(&mut self, timeout: Duration, mut ready: impl FnMut() -> bool) -> Result<()> {
        let start = Instant::now();
        while !ready() {
            let status = self.try_wait()?;
            let state = match status {
                Some(status) => format!("ended ({status}) instead of getting ready"),
                None if start.elapsed() > timeout => format!("is not ready after {timeout:?}"),
                None => {
                    sleep(Duration::from_millis(5));
                    continue;
                }
            };
            bail!("{} {state}; the end of its log:\n{}", self.name, self.log_tail(TAIL));
        }
        Ok(())
    }

    /// The process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Where both outputs go.
    pub fn log_path(&self) -> &Path {
        &self.log
    }

    /// The log so far, of all processes with this log.
    pub fn log(&self) -> String {
        read_from(&self.log, 0)
    }

    /// Waits until this process has logged `text`. An error has the end of the log.
    pub fn wait_for_log(&mut self, text: &str, timeout: Duration) -> Result<()> {
        let (path, before) = (self.log.clone(), self.before);
        self.wait_ready(timeout, || read_from(&path, before).contains(text))
    }

    /// The last `lines` of the log.
    pub fn log_tail(&self, lines: usize) -> String {
        let log = self.log();
        let all: Vec<&str> = log.lines().collect();
        all[all.len().saturating_sub(lines)..].join("\n")
    }

    /// Whether the process has not ended yet.
    pub fn is_running(&mut self) -> bool {
        matches!(self.try_wait(), Ok(None))
    }

    /// The exit status, once there is one.
    pub fn try_wait(&mut self) -> Result<Option<ExitStatus>> {
        if self.exited.is_none() {
            self.exited = self.child.try_wait().with_context(|| format!("cannot wait for {}", self.name))?;
        }
        Ok(self.exited)
    }

    /// Waits for the process to end by itself. It is left running if it has not after `timeout`.
    pub fn wait(&mut self, timeout: Duration) -> Result<ExitStatus> {
        let start = Instant::now();
        loop {
            if let Some(status) = self.try_wait()? {
                return Ok(status);
            }
            if start.elapsed() > timeout {
                bail!(
                    "{} still runs after {timeout:?}; the end of its log:\n{}",
                    self.name,
                    self.log_tail(TAIL)
                );
            }
            sleep(Duration::from_millis(5));
        }
    }

    /// Sends a signal by name: `TERM`, `HUP`, `STOP`, `CONT`.
    pub fn signal(&mut self, name: &str) -> Result<()> {
        if let Some(status) = self.try_wait()? {
            bail!("no SIG{name} for {}: it has ended ({status})", self.name);
        }
        // The shell's built-in kill: a minimal system has no other.
        let mut command = Command::new("sh");
        command.args(["-c", "kill -s \"$1\" \"$2\"", "sh", name, &self.pid().to_string()]);
        run(command).map(drop)
    }

    /// Kills the process with SIGKILL, like a crash or a power cut, and waits until it is gone.
    pub fn kill9(&mut self) -> Result<()> {
        if self.try_wait()?.is_none() {
            self.child.kill().with_context(|| format!("cannot kill {}", self.name))?;
            self.exited = Some(self.child.wait()?);
        }
        Ok(())
    }

    /// Asks the process to end (`SIGTERM`) and waits for that.
    pub fn terminate(&mut self, timeout: Duration) -> Result<ExitStatus> {
        self.signal("TERM")?;
        self.wait(timeout)
    }
}

fn read_from(log: &Path, start: u64) -> String {
    let bytes = fs::read(log).unwrap_or_default();
    let wanted = usize::try_from(start).ok().and_then(|start| bytes.get(start..));
    String::from_utf8_lossy(wanted.unwrap_or_default()).into_owned()
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let ended = self.try_wait().ok().flatten();
        // Nothing can be done here about a process that will not die.
        let _ = self.kill9();
        if panicking() {
            let state =
                ended.map_or_else(|| "ran until now".to_owned(), |status| format!("had ended: {status}"));
            eprintln!("---- {} ({state}), the end of its log\n{}", self.name, self.log_tail(TAIL));
        }
    }
}
