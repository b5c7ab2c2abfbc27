use std::io::{Read, Write};
use std::net::Shutdown;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use anyhow::{Context, Result};
use serde_json::{Deserializer, Value};

use crate::dir::Dir;

/// A socket in front of a server's, which records the messages of clients.
///
/// It records the agent's requests without using its code. It is not used for measurements of time.
#[derive(Debug)]
pub(super) struct Tap {
    dir: Dir,
    said: Arc<Mutex<Vec<u8>>>,
}

impl Tap {
    /// Opens a socket; what arrives there goes to `server`. Clients must come one after the other.
    pub(super) fn open(server: &Path) -> Result<Self> {
        let dir = Dir::new("tap")?;
        let said = Arc::new(Mutex::new(Vec::new()));
        let tap = Self { dir, said };
        let listener = UnixListener::bind(tap.socket()).context("cannot listen")?;
        let (server, said) = (server.to_path_buf(), Arc::clone(&tap.said));
        // It ends with the process: a measurement creates only few of them.
        thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                let Ok(upstream) = UnixStream::connect(&server) else { continue };
                let said = Arc::clone(&said);
                let (Ok(from), Ok(to)) = (client.try_clone(), upstream.try_clone()) else { continue };
                thread::spawn(move || pass(from, to, |bytes| lock(&said).extend_from_slice(bytes)));
                thread::spawn(move || pass(upstream, client, |_| ()));
            }
        });
        Ok(tap)
    }

    /// The socket, as the OVN tools' `--db` takes it.
    pub(super) fn remote(&self) -> String {
        format!("unix:{}", self.socket().display())
    }

    /// The messages of clients since the last call.
    pub(super) fn heard(&self) -> Result<Vec<Value>> {
        let said = std::mem::take(&mut *lock(&self.said));
        let messages = Deserializer::from_slice(&said).into_iter::<Value>();
        messages.collect::<Result<_, _>>().context("a client said what is not JSON")
    }

    fn socket(&self) -> PathBuf {
        self.dir.path().join("tap.sock")
    }
}

/// Copies until one side ends, and ends the other.
fn pass(mut from: UnixStream, mut to: UnixStream, mut note: impl FnMut(&[u8])) {
    let mut buffer = vec![0; 64 << 10];
    while let Ok(length) = from.read(&mut buffer) {
        // Before the receiver can act on it.
        note(&buffer[..length]);
        if length == 0 || to.write_all(&buffer[..length]).is_err() {
            break;
        }
    }
    // It may be closed already.
    let _ = to.shutdown(Shutdown::Both);
    let _ = from.shutdown(Shutdown::Both);
}

/// Its content is consistent at any time.
fn lock(said: &Mutex<Vec<u8>>) -> std::sync::MutexGuard<'_, Vec<u8>> {
    said.lock().unwrap_or_else(PoisonError::into_inner)
}
