use std::io::{BufRead, BufReader};
use std::process::{Child, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process};

use super::usage::Usage;
use crate::agent::Cli;

/// Longer than anything that is measured.
const TIMEOUT: Duration = Duration::from_secs(300);

/// A running agent. Every line of its log has its time of arrival, so that nothing is polled.
#[derive(Debug)]
pub(super) struct Subject {
    child: Child,
    started: Instant,
    lines: Receiver<(Instant, String)>,
    // After the process that uses it.
    _cli: Cli,
}

impl Subject {
    /// Starts an agent for a database. Withdrawn rows are deleted at once.
    pub(super) fn start(remote: &str, arguments: &[&str]) -> Result<Self> {
        Self::run(Cli::new(remote)?, arguments)
    }

    /// The same with this configuration.
    pub(super) fn configured(remote: &str, config: &str, arguments: &[&str]) -> Result<Self> {
        let cli = Cli::new(remote)?;
        cli.write_config(config)?;
        Self::run(cli, arguments)
    }

    fn run(cli: Cli, arguments: &[&str]) -> Result<Self> {
        let mut command = cli.command(&[&["run"], arguments].concat());
        let started = Instant::now();
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn()?;
        let log = child.stderr.take().context("no log")?;
        let (sender, lines) = mpsc::channel();
        thread::spawn(move || {
            for line in BufReader::new(log).lines().map_while(Result::ok) {
                // The receiver may be gone, but the agent has to be able to write.
                let _ = sender.send((Instant::now(), line));
            }
        });
        Ok(Self { child, started, lines, _cli: cli })
    }

    /// Starts an agent that may write, and waits until it is active.
    pub(super) fn in_charge(remote: &str) -> Result<Self> {
        let subject = Self::start(remote, &[])?;
        let (mut synced, mut active) = (false, false);
        while !(synced && active) {
            let (_, line) = subject.line()?;
            synced |= line.contains("synchronised with the database");
            active |= line.contains("active: this agent has the lock");
        }
        Ok(subject)
    }

    /// Waits for a line of the log that contains `text`. Returns its time since the start, and the line.
    pub(super) fn wait(&self, text: &str) -> Result<(Duration, String)> {
        loop {
            let (at, line) = self.line()?;
            if line.contains(text) {
                return Ok((at - self.started, line));
            }
        }
    }

    /// When the process was started.
    pub(super) fn started(&self) -> Instant {
        self.started
    }

    /// The resources that the process has used.
    pub(super) fn usage(&self) -> Result<Usage> {
        Usage::read(self.child.id())
    }

    /// Sends a signal.
    pub(super) fn signal(&self, signal: Signal) -> Result<()> {
        let pid = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw).context("no process id")?;
        Ok(kill_process(pid, signal)?)
    }

    /// Ends the agent in an orderly way.
    pub(super) fn stop(mut self) -> Result<()> {
        self.signal(Signal::TERM)?;
        let status = self.child.wait()?;
        if !status.success() {
            bail!("the agent ended with {status}");
        }
        Ok(())
    }

    fn line(&self) -> Result<(Instant, String)> {
        match self.lines.recv_timeout(TIMEOUT) {
            Ok(line) => Ok(line),
            Err(RecvTimeoutError::Timeout) => {
                bail!("the agent has not logged for {TIMEOUT:?} what it should")
            }
            Err(RecvTimeoutError::Disconnected) => bail!("the agent ended before it logged what it should"),
        }
    }
}

impl Drop for Subject {
    fn drop(&mut self) {
        // It has ended, or is to end now.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The number after `key=` in a line of the log.
pub(super) fn number(line: &str, key: &str) -> Result<u64> {
    let found = line.split_whitespace().find_map(|word| word.strip_prefix(key)?.strip_prefix('='));
    found.and_then(|text| text.parse().ok()).with_context(|| format!("no {key} in the agent's line {line}"))
}
