use std::io::{Read, Write};
use std::net::Shutdown;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::thread;

use anyhow::Result;

/// Changes the forwarded data, a piece at a time as it arrives.
type Change = fn(&str) -> String;

/// A proxy between clients and a server that changes their messages. It lives as long as the test.
#[derive(Debug)]
pub struct Proxy {
    socket: PathBuf,
}

impl Proxy {
    /// Listens at `socket` for clients of the server at `behind`, and changes what they send and what they get.
    pub fn start(socket: PathBuf, behind: &Path, up: Change, down: Change) -> Result<Self> {
        let (listener, behind) = (UnixListener::bind(&socket)?, behind.to_owned());
        thread::spawn(move || {
            for near in listener.incoming() {
                let Ok((near, far)) = near.and_then(|near| Ok((near, UnixStream::connect(&behind)?))) else {
                    return;
                };
                let (Ok(near_too), Ok(far_too)) = (near.try_clone(), far.try_clone()) else { return };
                thread::spawn(move || copy(near, far, up));
                thread::spawn(move || copy(far_too, near_too, down));
            }
        });
        Ok(Self { socket })
    }

    /// Where it listens, as the OVN tools' `--db` takes it.
    pub fn remote(&self) -> String {
        format!("unix:{}", self.socket.display())
    }
}

fn copy(mut from: UnixStream, mut to: UnixStream, change: Change) {
    let mut buffer = vec![0; 1 << 16];
    while let Ok(length @ 1..) = from.read(&mut buffer) {
        let piece = &buffer[..length];
        // A piece may end within a multi-byte character; texts with such characters are not changed here.
        let changed =
            std::str::from_utf8(piece).map_or_else(|_| piece.to_vec(), |text| change(text).into_bytes());
        if to.write_all(&changed).is_err() {
            break;
        }
    }
    // The other side may have closed it first.
    let _ = to.shutdown(Shutdown::Both);
    let _ = from.shutdown(Shutdown::Both);
}
