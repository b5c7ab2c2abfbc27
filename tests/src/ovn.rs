use std::fs;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use anyhow::Result;

use crate::command::{isolated, run};
use crate::dir::Dir;
use crate::ovsdb_server::OvsdbServer;
use crate::process::Daemon;
use crate::trace::Tracer;

const READY: Duration = Duration::from_secs(20);

/// A Northbound and a Southbound server with an ovn-northd between them: OVN without any chassis.
#[derive(Debug)]
pub struct Ovn {
    // Before the servers: northd ends first, without errors.
    northd: Daemon,
    /// The Northbound server.
    pub nb: OvsdbServer,
    /// The Southbound server.
    pub sb: OvsdbServer,
    dir: Dir,
}

impl Ovn {
    /// Starts all three and waits until northd is active.
    pub fn start() -> Result<Self> {
        let (nb, sb, dir) = (OvsdbServer::northbound()?, OvsdbServer::southbound()?, Dir::new("northd")?);
        let northd = northd(&nb, &sb, &dir)?;
        let ovn = Self { northd, nb, sb, dir };
        ovn.sync()?;
        Ok(ovn)
    }

    /// Makes another northd create the logical flows again, in an empty Southbound database, so that they depend only
    /// on the present Northbound.
    pub fn renew_southbound(&mut self) -> Result<()> {
        self.northd.kill9()?;
        self.sb = OvsdbServer::southbound()?;
        // The killed process left it.
        fs::remove_file(control(&self.dir))?;
        self.northd = northd(&self.nb, &self.sb, &self.dir)?;
        self.sync()
    }

    /// The ovn-northd process, to stop it with `SIGSTOP` or to read its log.
    pub fn northd(&mut self) -> &mut Daemon {
        &mut self.northd
    }

    /// Sends a command to northd's control socket.
    pub fn northd_appctl(&self, arguments: &[&str]) -> Result<String> {
        let mut command = isolated("ovn-appctl", self.dir.path());
        command.arg("-t").arg(control(&self.dir)).args(arguments);
        run(command)
    }

    /// Runs ovn-nbctl; several commands may be chained with `--`.
    pub fn nbctl(&self, arguments: &[&str]) -> Result<String> {
        let mut command = self.tool("ovn-nbctl", &self.nb);
        command.args(arguments);
        run(command)
    }

    /// The same for commands in one line, whose words have no spaces.
    pub fn nbctl_line(&self, line: &str) -> Result<String> {
        self.nbctl(&line.split_ascii_whitespace().collect::<Vec<_>>())
    }

    /// As [`nbctl`](Self::nbctl), and waits until northd has brought the change to the Southbound database.
    pub fn nbctl_wait_sb(&self, arguments: &[&str]) -> Result<String> {
        let mut command = self.tool("ovn-nbctl", &self.nb);
        command.arg("--wait=sb").args(arguments);
        run(command)
    }

    /// Waits until northd has brought everything written so far to the Southbound database.
    pub fn sync(&self) -> Result<()> {
        self.nbctl_wait_sb(&["sync"]).map(drop)
    }

    /// Runs ovn-sbctl.
    pub fn sbctl(&self, arguments: &[&str]) -> Result<String> {
        let mut command = self.tool("ovn-sbctl", &self.sb);
        command.args(arguments);
        run(command)
    }

    /// The logical flows of a router or switch that belong to one stage, such as `lr_out_snat`.
    ///
    /// Only synchronised flows are included: call [`sync`](Self::sync) first.
    pub fn lflows(&self, datapath: &str, stage: &str) -> Result<Vec<String>> {
        // Stage names are padded inside their parentheses: (lr_out_snat        ).
        let wanted = |line: &&str| {
            line.split_once('(')
                .and_then(|(_, rest)| rest.split_once(')'))
                .is_some_and(|(at, _)| at.trim() == stage)
        };
        let flows = self.sbctl(&["lflow-list", datapath])?;
        Ok(flows.lines().filter(wanted).map(|line| line.trim().to_owned()).collect())
    }

    /// Starts an ovn-trace for the flows synchronised so far: call [`sync`](Self::sync) first.
    pub fn tracer(&self) -> Result<Tracer> {
        Tracer::start(&self.sb)
    }

    fn tool(&self, program: &str, server: &OvsdbServer) -> Command {
        let mut command = isolated(program, self.dir.path());
        command.args(["-vsyslog:off", "--timeout=60"]).arg(format!("--db={}", server.remote()));
        command
    }
}

fn northd(nb: &OvsdbServer, sb: &OvsdbServer, dir: &Dir) -> Result<Daemon> {
    let control = control(dir);
    let mut command = isolated("ovn-northd", dir.path());
    command
        .arg("-vsyslog:off")
        .arg(format!("--ovnnb-db={}", nb.remote()))
        .arg(format!("--ovnsb-db={}", sb.remote()))
        .arg(format!("--unixctl={}", control.display()));
    let mut northd = Daemon::spawn(command, &dir.path().join("northd.log"))?;
    northd.wait_ready(READY, || UnixStream::connect(&control).is_ok())?;
    Ok(northd)
}

fn control(dir: &Dir) -> PathBuf {
    dir.path().join("northd.ctl")
}
