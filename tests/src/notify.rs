use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::dir::Dir;

/// The service manager's end of sd_notify(3), for an agent that is started with its path as `NOTIFY_SOCKET`.
#[derive(Debug)]
pub struct NotifySocket {
    socket: UnixDatagram,
    path: PathBuf,
    /// All messages.
    told: Vec<String>,
    _dir: Dir,
}

impl NotifySocket {
    /// Listens in its own directory.
    pub fn new() -> Result<Self> {
        let dir = Dir::new("notify")?;
        let path = dir.path().join("notify.sock");
        let socket = UnixDatagram::bind(&path).context("cannot make a socket")?;
        Ok(Self { socket, path, told: Vec::new(), _dir: dir })
    }

    /// The path for the environment.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// All messages so far.
    pub fn told(&mut self) -> Result<&[String]> {
        while self.receive(Duration::from_millis(1))? {}
        Ok(&self.told)
    }

    /// Waits for a new message that contains `text`, and returns it.
    pub fn wait_for(&mut self, text: &str, timeout: Duration) -> Result<String> {
        let (start, known) = (Instant::now(), self.told.len());
        loop {
            if let Some(found) = self.told[known..].iter().find(|told| told.contains(text)) {
                return Ok(found.clone());
            }
            if start.elapsed() > timeout {
                bail!("{text} was not told within {timeout:?}, but {:#?}", self.told);
            }
            self.receive(Duration::from_millis(20))?;
        }
    }

    /// Waits at most this long for a message. Returns whether there was one.
    fn receive(&mut self, timeout: Duration) -> Result<bool> {
        self.socket.set_read_timeout(Some(timeout))?;
        let mut buffer = [0; 4096];
        match self.socket.recv(&mut buffer) {
            Ok(length) => {
                self.told.push(String::from_utf8_lossy(&buffer[..length]).into_owned());
                Ok(true)
            }
            Err(error)
                if matches!(error.kind(), std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut) =>
            {
                Ok(false)
            }
            Err(error) => Err(error).context("cannot receive"),
        }
    }
}
