//! The agent's control socket: `ovn-appctl -t ovn-extaddr COMMAND`.
//!
//! Each connection is a task that hands commands to the loop and waits for its answer, so that one
//! place owns the state.

use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::{env, fs, io, process};

use ovsdb_protocol::{ControlCommand, ControlStream};
use rustix::fs::{FlockOperation, fcntl_lock};
use tokio::net::UnixListener;
use tokio::sync::{mpsc, oneshot};
use tracing::{debug, warn};

/// Commands that may wait for the loop. People and scripts ask one at a time.
const COMMANDS: usize = 16;

/// A command and where its answer goes.
pub(crate) type Asked = (ControlCommand, oneshot::Sender<Result<String, String>>);

/// The socket and the pidfile, which go with it.
#[derive(Debug)]
pub(crate) struct Control {
    commands: mpsc::Receiver<Asked>,
    socket: Option<PathBuf>,
    pidfile: Option<(PathBuf, fs::File)>,
}

// ===== impl Control =====

impl Control {
    /// Opens the socket in the run directory and writes the pidfile, by which `ovn-appctl` finds it.
    ///
    /// An agent without a control socket does its work all the same, so that whatever goes wrong is
    /// a warning.
    pub(crate) fn open() -> Self {
        let (sender, commands) = mpsc::channel(COMMANDS);
        let directory = run_directory();
        let socket = directory.join(format!("ovn-extaddr.{}.ctl", process::id()));
        let listener = listen(&socket).inspect_err(|error| {
            warn!(
                socket = %socket.display(), %error,
                "no control socket: set OVN_RUNDIR or RUNTIME_DIRECTORY to a directory that we may write to"
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
            // Nobody is harmed by what stays behind: both are told from those of a live process.
            let _ = fs::remove_file(file);
        }
    }
}

/// Writes our process id and locks the file as long as it is open, by which OVN's tools tell that
/// the process lives.
fn write_pidfile(path: &Path) -> io::Result<fs::File> {
    let mut file = fs::OpenOptions::new().write(true).create(true).truncate(false).open(path)?;
    fcntl_lock(&file, FlockOperation::NonBlockingLockExclusive)
        .map_err(|_| io::Error::other("another agent has it"))?;
    file.set_len(0)?;
    writeln!(file, "{}", process::id())?;
    Ok(file)
}

/// Where OVN's daemons have their sockets, or what systemd gave us.
fn run_directory() -> PathBuf {
    let given = |name| env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    // systemd may name several, with colons between them; the first is ours.
    let ours = given("RUNTIME_DIRECTORY").and_then(|list| env::split_paths(&list).next());
    ours.or_else(|| given("OVN_RUNDIR")).unwrap_or_else(|| PathBuf::from("/var/run/ovn"))
}

fn listen(socket: &Path) -> io::Result<UnixListener> {
    // A socket with our process id is of a process that is gone.
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
                // Out of descriptors, for example: it passes, and asking at once would only heat.
                warn!(%error, "cannot accept a control connection");
                tokio::time::sleep(std::time::Duration::from_secs(1)).await;
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
        let (sender, receiver) = oneshot::channel();
        if commands.send((command, sender)).await.is_err() {
            return;
        }
        let answer = receiver.await.unwrap_or_else(|_| Err("the agent is stopping".to_owned()));
        if stream.answer(answer.as_deref().map_err(String::as_str)).await.is_err() {
            return;
        }
    }
}
