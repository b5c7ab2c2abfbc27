use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use super::DATABASE;
use crate::clock::Clock;
use crate::command::{isolated, run};
use crate::ovsdb_server::{launch, listening_port};
use crate::process::Daemon;
use crate::snapshot::Snapshot;

/// One ovsdb-server among several that share a directory, where its files have its name as a prefix.
#[derive(Debug)]
pub struct Member {
    daemon: Daemon,
    dir: PathBuf,
    name: String,
    arguments: Vec<String>,
    /// The environment for its clock.
    environment: Vec<(String, String)>,
    tcp_port: u16,
}

impl Member {
    /// Starts a server with these arguments, its database among them.
    pub(super) fn start(dir: &Path, name: &str, arguments: &[String]) -> Result<Self> {
        Self::start_by(None, dir, name, arguments)
    }

    /// As [`start`](Self::start), with a server that uses this clock.
    pub(super) fn start_by(
        clock: Option<&Clock>,
        dir: &Path,
        name: &str,
        arguments: &[String],
    ) -> Result<Self> {
        let environment = clock.map_or_else(Vec::new, |clock| clock.environment().to_vec());
        let daemon = launch(dir, name, 0, arguments, &environment)?;
        let tcp_port = listening_port(daemon.log_path()).context("no TCP port in the server's log")?;
        let (dir, name, arguments) = (dir.to_owned(), name.to_owned(), arguments.to_vec());
        Ok(Self { daemon, dir, name, arguments, environment, tcp_port })
    }

    /// The path of the Unix socket.
    pub fn socket(&self) -> PathBuf {
        socket(&self.dir, &self.name)
    }

    /// The Unix socket, as the OVN tools' `--db` takes it.
    pub fn remote(&self) -> String {
        format!("unix:{}", self.socket().display())
    }

    /// The TCP port, which stays the same across restarts, as the OVN tools' `--db` takes it.
    pub fn tcp_remote(&self) -> String {
        format!("tcp:127.0.0.1:{}", self.tcp_port)
    }

    /// The process, to stop it with `SIGSTOP` or to read its log.
    pub fn daemon(&mut self) -> &mut Daemon {
        &mut self.daemon
    }

    /// Sends a command to the server's control socket, as `ovs-appctl` does.
    pub fn appctl(&self, arguments: &[&str]) -> Result<String> {
        self.control(20, arguments)
    }

    /// Lets the server compact its file. It refuses that if nothing was added to the file since the last time, which is no
    /// failure here.
    pub fn compact(&self) -> Result<()> {
        let refused = |error: anyhow::Error| match format!("{error:#}") {
            text if text.contains("not storing a duplicate snapshot") => Ok(()),
            _ => Err(error),
        };
        self.appctl(&["ovsdb-server/compact"]).map(drop).or_else(refused)
    }

    fn control(&self, seconds: u32, arguments: &[&str]) -> Result<String> {
        let mut command = isolated("ovs-appctl", &self.dir);
        command.arg(format!("--timeout={seconds}")).arg("-t");
        command.arg(self.dir.join(format!("{}.ctl", self.name))).args(arguments);
        run(command)
    }

    /// The server's status in its cluster.
    pub fn cluster_status(&self) -> Result<String> {
        // It is polled, and may be frozen.
        self.control(2, &["cluster/status", DATABASE])
    }

    /// The content of this server's database.
    pub fn snapshot(&self) -> Result<Snapshot> {
        let mut command = isolated("ovsdb-client", &self.dir);
        command.args(["--timeout=20", "--format=json", "--no-leader-only", "dump", &self.remote(), DATABASE]);
        Snapshot::parse(&run(command)?)
    }

    /// Kills the server with SIGKILL; its files stay.
    pub fn kill9(&mut self) -> Result<()> {
        self.daemon.kill9()
    }

    /// Starts the server after [`kill9`](Self::kill9), with the same files, socket and port.
    pub fn restart(&mut self) -> Result<()> {
        if self.daemon.is_running() {
            bail!("the server runs already");
        }
        self.daemon = launch(&self.dir, &self.name, self.tcp_port, &self.arguments, &self.environment)?;
        Ok(())
    }
}

fn socket(dir: &Path, name: &str) -> PathBuf {
    dir.join(format!("{name}.sock"))
}
