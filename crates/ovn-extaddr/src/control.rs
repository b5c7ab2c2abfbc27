//! The agent's control socket: `ovn-appctl -t ovn-extaddr COMMAND`.
//!
//! Each connection is a task that passes commands to the loop and waits for its answer, so that one place owns the state.

mod stream;

use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;
use std::{env, fs, io, process};

use rustix::fs::{FlockOperation, fcntl_lock};
use tokio::net::UnixListener;
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;
use tracing::{debug, warn};

pub(crate) use self::stream::ControlCommand;
use self::stream::ControlStream;

/// The maximum number of commands that may wait for the loop. People and scripts send one at a time.
const COMMANDS: usize = 16;

/// The time that a peer may take to read an answer whose delivery is awaited.
const TIMEOUT: Duration = Duration::from_secs(5);

/// A command to be answered.
#[derive(Debug)]
pub(crate) struct Asked {
    pub(crate) command: ControlCommand,
    reply: oneshot::Sender<Result<String, String>>,
    /// Completes when the answer was written or cannot be written.
    written: oneshot::Receiver<()>,
}

/// The socket and its pidfile.
#[derive(Debug)]
pub(crate) struct Control {
    commands: mpsc::Receiver<Asked>,
    socket: Option<PathBuf>,
    pidfile: Option<(PathBuf, fs::File)>,
}

// ===== impl Asked =====

impl Asked {
    /// Answers the command. The peer may be gone.
    pub(crate) fn answer(self, answer: Result<String, String>) {
        let _ = self.reply.send(answer);
    }

    /// Answers the command, and waits until the peer could read it: for the last answer of a process.
    pub(crate) async fn answer_and_wait(self, answer: Result<String, String>) {
        let _ = self.reply.send(answer);
        // The outcome does not matter.
        let _ = timeout(TIMEOUT, self.written).await;
    }
}

// ===== impl Control =====

impl Control {
    /// Opens the socket in the run directory and writes the pidfile, by which `ovn-appctl` finds it.
    ///
    /// An agent works without a control socket, so that any failure is only a warning.
    pub(crate) fn open() -> Self {
        let (sender, commands) = mpsc::channel(COMMANDS);
        let directory = run_directory();
        let socket = directory.join(format!("ovn-extaddr.{}.ctl", process::id()));
        remove_stale(&directory);
        let listener = listen(&socket).inspect_err(|error| {
            warn!(
                socket = %socket.display(), %error,
                "no control socket: set OVN_RUNDIR or RUNTIME_DIRECTORY to a writable directory"
            );
        });
        let Ok(listener) = listener else { return Self { commands, socket: None, pidfile: None } };
        tokio::spawn(accept(listener, sender));
        let path = directory.join("ovn-extaddr.pid");
        let pidfile = write_pidfile(&path).inspect_err(|error| {
            warn!(file = %path.display(), %error, "no pidfile: name the socket itself to ovn-appctl -t");
        });
        Self { commands, socket: Some(socket), pidfile: pidfile.ok().map(|file| (path, file)) }
    }

    /// Waits for the next command.
    ///
    /// # Cancel safety
    /// No command is lost when the future is dropped.
    pub(crate) async fn next(&mut self) -> Asked {
        match self.commands.recv().await {
            Some(asked) => asked,
            // There is no socket.
            None => std::future::pending().await,
        }
    }
}

impl Drop for Control {
    fn drop(&mut self) {
        let files = self.socket.iter().chain(self.pidfile.as_ref().map(|(path, _)| path));
        for file in files {
            // Files that remain do no harm: they can be distinguished from those of a live process.
            let _ = fs::remove_file(file);
        }
    }
}

/// Writes the process id and locks the file as long as it is open, which shows OVN's tools that the process is alive.
fn write_pidfile(path: &Path) -> io::Result<fs::File> {
    let mut file = fs::OpenOptions::new().write(true).create(true).truncate(false).open(path)?;
    fcntl_lock(&file, FlockOperation::NonBlockingLockExclusive)
        .map_err(|_| io::Error::other("another agent has it"))?;
    file.set_len(0)?;
    writeln!(file, "{}", process::id())?;
    Ok(file)
}

/// Returns the directory of the sockets of OVN's daemons, or the one from systemd.
fn run_directory() -> PathBuf {
    let given = |name| env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    // systemd may name several, separated by colons; the first is used.
    let ours = given("RUNTIME_DIRECTORY").and_then(|list| env::split_paths(&list).next());
    ours.or_else(|| given("OVN_RUNDIR")).unwrap_or_else(|| PathBuf::from("/var/run/ovn"))
}

/// Removes the sockets of agents that were killed. A process id may belong to another process by now, so the socket
/// itself is tested.
fn remove_stale(directory: &Path) {
    for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let is_ours = name.to_str().and_then(|name| name.strip_prefix("ovn-extaddr.")?.strip_suffix(".ctl"));
        let is_dead = is_ours.is_some_and(|pid| pid.bytes().all(|byte| byte.is_ascii_digit()))
            && std::os::unix::net::UnixStream::connect(entry.path())
                .is_err_and(|error| error.kind() == io::ErrorKind::ConnectionRefused);
        if is_dead {
            // A socket that cannot be removed does no harm.
            let _ = fs::remove_file(entry.path());
        }
    }
}

fn listen(socket: &Path) -> io::Result<UnixListener> {
    // A socket with our process id belongs to a process that has ended.
    match fs::remove_file(socket) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let listener = UnixListener::bind(socket)?;
    fs::set_permissions(socket, fs::Permissions::from_mode(0o660))?;
    Ok(listener)
}

async fn accept(listener: UnixListener, commands: mpsc::Sender<Asked>) {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                tokio::spawn(serve(ControlStream::new(stream), commands.clone()));
            }
            Err(error) => {
                // Out of descriptors, for example: this is temporary, and retrying at once would only use CPU.
                warn!(%error, "cannot accept a control connection");
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
        }
    }
}

async fn serve(mut stream: ControlStream, commands: mpsc::Sender<Asked>) {
    loop {
        let command = match stream.next().await {
            Ok(Some(command)) => command,
            Ok(None) => return,
            Err(error) => {
                debug!(%error, "a control connection broke");
                return;
            }
        };
        let (reply, receiver) = oneshot::channel();
        let (done, written) = oneshot::channel();
        if commands.send(Asked { command, reply, written }).await.is_err() {
            return;
        }
        let answer = receiver.await.unwrap_or_else(|_| Err("the agent is stopping".to_owned()));
        if stream.answer(answer.as_deref().map_err(String::as_str)).await.is_err() {
            return;
        }
        // Mostly nobody waits for it.
        let _ = done.send(());
    }
}
