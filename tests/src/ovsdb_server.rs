use std::fs;
use std::net::{Ipv4Addr, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::clock::Clock;
use crate::command::{isolated, run};
use crate::dir::Dir;
use crate::northbound::DATABASE;
use crate::process::Daemon;
use crate::rpc;
use crate::snapshot::Snapshot;

/// Enough to read a database of a million ports; a server that ends is noticed at once. The names of the server's
/// files, without extensions.
const NAME: &str = "db";

const READY: Duration = Duration::from_secs(180);

/// The directories of schemas in Debian, Ubuntu, Fedora and a build from source.
const SCHEMA_DIRS: [&str; 4] =
    ["/usr/share/ovn", "/usr/local/share/ovn", "/usr/share/openvswitch", "/usr/local/share/openvswitch"];

/// One standalone ovsdb-server with one database, in its own directory.
///
/// It listens on a Unix socket and on a TCP port of 127.0.0.1 that stays the same across restarts.
#[derive(Debug)]
pub struct OvsdbServer {
    // Before `dir`: the process ends first, then its files are removed.
    daemon: Daemon,
    database: String,
    tcp_port: u16,
    /// The environment for its clock.
    environment: Vec<(String, String)>,
    dir: Dir,
}

impl OvsdbServer {
    /// Starts a server with an empty Northbound database.
    pub fn northbound() -> Result<Self> {
        Self::with_schema(&installed_schema("ovn-nb.ovsschema")?)
    }

    /// As [`northbound`](Self::northbound), with a server that uses this clock.
    pub fn northbound_by(clock: &Clock) -> Result<Self> {
        let schema = installed_schema("ovn-nb.ovsschema")?;
        Self::launched(DATABASE, clock.environment().to_vec(), |file| create(file, &schema))
    }

    /// Starts a server with an empty Northbound database with an edited schema.
    pub fn northbound_with(edit: impl FnOnce(&mut Value)) -> Result<Self> {
        let mut schema = serde_json::from_slice(&fs::read(installed_schema("ovn-nb.ovsschema")?)?)?;
        edit(&mut schema);
        let dir = Dir::new("schema")?;
        let path = dir.path().join("ovn-nb.ovsschema");
        fs::write(&path, schema.to_string())?;
        Self::with_schema(&path)
    }

    /// Starts a server with an empty Southbound database.
    pub fn southbound() -> Result<Self> {
        Self::with_schema(&installed_schema("ovn-sb.ovsschema")?)
    }

    /// Starts a server with an empty Open vSwitch database.
    pub fn open_vswitch() -> Result<Self> {
        // Images of OVN's central services lack this schema, so it is always that of this machine.
        Self::with_schema(&schema_here("vswitch.ovsschema")?)
    }

    /// Starts a server with an empty database of the schema in a file.
    pub fn with_schema(schema: &Path) -> Result<Self> {
        let text = fs::read(schema).with_context(|| format!("cannot read {}", schema.display()))?;
        let parsed: Value = serde_json::from_slice(&text).context("the schema is not JSON")?;
        let database = parsed["name"].as_str().context("the schema has no name")?.to_owned();

        Self::with_file(&database, |file| create(file, schema))
    }

    /// Starts a server with a database file, which `make` writes at the path that it is given.
    pub fn with_file(database: &str, make: impl FnOnce(&Path) -> Result<()>) -> Result<Self> {
        Self::launched(database, Vec::new(), make)
    }

    fn launched(
        database: &str,
        environment: Vec<(String, String)>,
        make: impl FnOnce(&Path) -> Result<()>,
    ) -> Result<Self> {
        let dir = Dir::new("db")?;
        make(&dir.path().join("db"))?;
        let daemon = launch(dir.path(), NAME, 0, &file(dir.path()), &environment)?;
        let tcp_port = listening_port(daemon.log_path()).context("no TCP port in the server's log")?;
        Ok(Self { daemon, database: database.to_owned(), tcp_port, environment, dir })
    }

    /// The database's name: `OVN_Northbound` or `OVN_Southbound`.
    pub fn database(&self) -> &str {
        &self.database
    }

    /// The server's own directory.
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// The path of the Unix socket.
    pub fn socket(&self) -> PathBuf {
        self.dir().join("db.sock")
    }

    /// The Unix socket, as the OVN tools' `--db` takes it.
    pub fn remote(&self) -> String {
        format!("unix:{}", self.socket().display())
    }

    /// The TCP port, as the OVN tools' `--db` takes it.
    pub fn tcp_remote(&self) -> String {
        format!("tcp:127.0.0.1:{}", self.tcp_port)
    }

    /// The process, to stop it with `SIGSTOP` or to read its log.
    pub fn daemon(&mut self) -> &mut Daemon {
        &mut self.daemon
    }

    /// Sends a command to the server's control socket, as `ovs-appctl` does.
    pub fn appctl(&self, arguments: &[&str]) -> Result<String> {
        let mut command = isolated("ovs-appctl", self.dir());
        command.arg("-t").arg(self.dir().join("db.ctl")).args(arguments);
        run(command)
    }

    /// Kills the server and starts it again with the same file, socket and port.
    pub fn restart(&mut self) -> Result<()> {
        self.kill9()?;
        self.start()
    }

    /// Kills the server with SIGKILL; its file stays.
    pub fn kill9(&mut self) -> Result<()> {
        self.daemon.kill9()
    }

    /// Stops the server in an orderly way; its file stays.
    pub fn stop(&mut self) -> Result<()> {
        self.daemon.terminate(READY).map(drop)
    }

    /// Starts the server after [`stop`](Self::stop) or [`kill9`](Self::kill9).
    pub fn start(&mut self) -> Result<()> {
        if self.daemon.is_running() {
            bail!("the server runs already");
        }
        self.daemon =
            launch(self.dir.path(), NAME, self.tcp_port, &file(self.dir.path()), &self.environment)?;
        Ok(())
    }

    /// Runs one transaction of RFC 7047 operations and returns the result of each.
    pub fn transact(&self, operations: Vec<Value>) -> Result<Vec<Value>> {
        rpc::transact(&self.socket(), &self.database, operations)
    }

    /// Everything in the database.
    pub fn snapshot(&self) -> Result<Snapshot> {
        let mut command = isolated("ovsdb-client", self.dir());
        command.args(["--timeout=60", "--format=json", "dump", &self.remote(), &self.database]);
        Snapshot::parse(&run(command)?)
    }

    /// Every transaction since the database was created, oldest first: one line each, with its comment and the tables
    /// that it changed.
    pub fn transactions(&self) -> Result<Vec<String>> {
        let mut command = isolated("ovsdb-tool", self.dir());
        command.arg("show-log").arg(self.dir().join("db"));
        let mut transactions: Vec<String> = Vec::new();
        for line in run(command)?.lines() {
            match transactions.last_mut() {
                Some(last) if !line.starts_with("record ") => *last = format!("{last} {}", line.trim()),
                _ => transactions.push(line.to_owned()),
            }
        }
        Ok(transactions)
    }

    /// The content of the database as text, which is equal for equal contents.
    pub fn dump(&self) -> Result<String> {
        self.dump_without(&[])
    }

    /// As [`dump`](Self::dump), without some tables and columns (see [`Snapshot::without`]).
    pub fn dump_without(&self, what: &[&str]) -> Result<String> {
        Ok(self.snapshot()?.without(what).to_string())
    }
}

/// The server's argument: its database.
fn file(dir: &Path) -> [String; 1] {
    [dir.join(NAME).display().to_string()]
}

fn create(file: &Path, schema: &Path) -> Result<()> {
    let mut create = isolated("ovsdb-tool", file.parent().unwrap_or(file));
    create.arg("create").arg(file).arg(schema);
    run(create).map(drop)
}

/// Starts a server in a directory, whose files have this name, and waits until it answers.
pub(crate) fn launch(
    dir: &Path,
    name: &str,
    tcp_port: u16,
    arguments: &[String],
    environment: &[(String, String)],
) -> Result<Daemon> {
    let [socket, control, log] = ["sock", "ctl", "log"].map(|end| dir.join(format!("{name}.{end}")));
    let mut command = isolated("ovsdb-server", dir);
    command
        .arg("-vsyslog:off")
        .arg(format!("--remote=punix:{}", socket.display()))
        .arg(format!("--remote=ptcp:{tcp_port}:127.0.0.1"))
        .arg(format!("--unixctl={}", control.display()))
        .args(arguments)
        .envs(environment.iter().map(|(name, value)| (name, value)));
    let mut daemon = Daemon::spawn(command, &log)?;
    // A stale socket file of a killed server refuses connections, so only the new server can answer. The sockets are
    // opened one after the other, in no fixed order.
    daemon.wait_ready(READY, || {
        [&socket, &control].iter().all(|path| UnixStream::connect(path).is_ok())
            && listening_port(&log)
                .is_some_and(|port| TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_ok())
    })?;
    Ok(daemon)
}

/// The port the kernel chose, which ovsdb-server only writes to its log; the last one if it was started more than once.
pub(crate) fn listening_port(log: &Path) -> Option<u16> {
    let log = fs::read_to_string(log).ok()?;
    let (_, rest) = log.rsplit_once("listening on port ")?;
    // Without the end of the line the number may be incomplete.
    rest.split_once('\n')?.0.trim().parse().ok()
}

pub(crate) fn installed_schema(name: &str) -> Result<PathBuf> {
    // Those of a container are in a place that both sides can read.
    let elsewhere = std::env::var_os("OVN_EXTADDR_TESTS_SCHEMAS").map(|dir| Path::new(&dir).join(name));
    elsewhere.map_or_else(|| schema_here(name), Ok)
}

fn schema_here(name: &str) -> Result<PathBuf> {
    let found = SCHEMA_DIRS.iter().map(|dir| Path::new(dir).join(name)).find(|path| path.exists());
    found.with_context(|| {
        format!("no {name} in {}: run scripts/setup (tests are never skipped)", SCHEMA_DIRS.join(", "))
    })
}
