use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Deserializer, Value, json};

/// Longer than a server needs for anything, even with a million ports.
const TIMEOUT: Duration = Duration::from_secs(300);

/// The size of a read. A Unix socket's buffer holds a bit less.
const CHUNK: usize = 256 << 10;

/// The end of a snapshot: the reply to an echo that was sent after the monitor request.
const END: &str = "bench-end-of-snapshot";

/// A connection that only sends and receives bytes: the lower bound for any client.
#[derive(Debug)]
pub(super) struct Raw {
    stream: UnixStream,
    /// Received bytes that were not examined yet.
    rest: Vec<u8>,
    chunk: Vec<u8>,
}

impl Raw {
    /// Connects to a server.
    pub(super) fn connect(socket: &Path) -> Result<Self> {
        let stream =
            UnixStream::connect(socket).with_context(|| format!("cannot connect to {}", socket.display()))?;
        stream.set_read_timeout(Some(TIMEOUT))?;
        stream.set_write_timeout(Some(TIMEOUT))?;
        Ok(Self { stream, rest: Vec::new(), chunk: vec![0; CHUNK] })
    }

    /// Sends a request.
    pub(super) fn send(&mut self, request: &[u8]) -> Result<()> {
        Ok(self.stream.write_all(request)?)
    }

    /// Waits for bytes, and takes those that are there.
    pub(super) fn read(&mut self) -> Result<&[u8]> {
        let length = self.stream.read(&mut self.chunk)?;
        ensure!(length > 0, "the server hung up");
        Ok(&self.chunk[..length])
    }

    /// Sends a request and waits for the reply, which is the only message that may come.
    pub(super) fn call(&mut self, request: &[u8]) -> Result<Value> {
        self.send(request)?;
        self.reply()
    }

    /// Waits for a reply.
    pub(super) fn reply(&mut self) -> Result<Value> {
        loop {
            let length = self.stream.read(&mut self.chunk)?;
            ensure!(length > 0, "the server hung up");
            self.rest.extend_from_slice(&self.chunk[..length]);
            // Only a complete message ends this way, so parsing is not tried before.
            if self.rest.ends_with(b"}")
                && let Some(Ok(message)) = Deserializer::from_slice(&self.rest).into_iter::<Value>().next()
            {
                self.rest.clear();
                return Ok(message);
            }
        }
    }

    /// Executes a transaction and returns how long the round trip took.
    pub(super) fn transact(&mut self, request: &[u8]) -> Result<Duration> {
        let start = Instant::now();
        let reply = self.call(request)?;
        let elapsed = start.elapsed();
        check(&reply)?;
        Ok(elapsed)
    }

    /// Sends a monitor request on a separate connection, and reads the reply to its end without examining it. Returns
    /// the time, including connecting, and the number of bytes.
    pub(super) fn snapshot(socket: &Path, request: &[u8]) -> Result<(Duration, u64)> {
        let echo = json!({"id": END, "method": "echo", "params": []}).to_string();
        let start = Instant::now();
        let mut raw = Self::connect(socket)?;
        raw.send(&[request, echo.as_bytes()].concat())?;
        let mut bytes = 0;
        // The end may come in pieces.
        let mut tail = Vec::new();
        loop {
            let read = raw.read()?;
            bytes += read.len() as u64;
            tail.extend_from_slice(&read[read.len().saturating_sub(2 * END.len() + 64)..]);
            if tail.windows(END.len()).any(|window| window == END.as_bytes()) {
                return Ok((start.elapsed(), bytes));
            }
            let old = tail.len().saturating_sub(END.len());
            tail.drain(..old);
        }
    }
}

/// A transaction's request.
pub(super) fn transaction(operations: Vec<Value>) -> Vec<u8> {
    let params: Vec<Value> = std::iter::once(json!("OVN_Northbound")).chain(operations).collect();
    json!({"id": 1, "method": "transact", "params": params}).to_string().into_bytes()
}

/// Checks that a transaction was committed.
fn check(reply: &Value) -> Result<()> {
    let failed = |result: &&Value| result.get("error").is_some();
    match reply["result"].as_array().map(|results| results.iter().find(failed)) {
        Some(None) => Ok(()),
        Some(Some(failed)) => bail!("a transaction failed: {failed}"),
        None => bail!("a transaction was refused: {reply}"),
    }
}
