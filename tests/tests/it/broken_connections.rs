//! A connection that breaks after any byte of a complete exchange, in either direction, or that forwards it byte by
//! byte. (Silence after any byte takes hours; the tests of the session, which have a clock that jumps, cover it.)
//!
//! The exchange: `_Server`, the schema, the monitor, the lock, a transaction, its update and its result. The schema is
//! a small one, so that every single byte can be tried.

use std::fs;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use ovn_extaddr_tests::OvsdbServer;
use ovsdb_protocol::{
    Backoff, Cache, Condition, Function, LockStatus, Outcome, Row, Session, SessionConfig, SessionEvent,
    Transaction, Uuid,
};
use serde_json::json;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};
use tokio::time::{sleep, timeout};

use crate::protocol::SOON;

/// Where the next connection breaks.
#[derive(Clone, Copy, Debug)]
enum Cut {
    /// After this many bytes from the client.
    Up(usize),
    /// After this many bytes from the server.
    Down(usize),
    /// Not at all, but each byte is sent separately, this long after the previous one.
    Drips(Duration),
    Never,
}

/// A proxy that breaks the next connection and leaves later ones alone.
#[derive(Clone, Debug)]
struct Proxy {
    next: Arc<Mutex<Cut>>,
    /// Bytes of all connections that ended, from client and server.
    passed: Arc<Mutex<[usize; 2]>>,
}

#[tokio::test]
async fn connection_broken_after_any_byte_leads_to_one_row() -> Result<()> {
    let schema = tempfile::NamedTempFile::new()?;
    let thing = json!({"columns": {"name": {"type": "string"}}, "isRoot": true});
    let text = json!({"name": "Small", "version": "1.0.0", "tables": {"Thing": thing}});
    fs::write(schema.path(), text.to_string())?;
    let server = OvsdbServer::with_schema(schema.path())?;
    let socket = server.dir().join("proxy.sock");
    let proxy = Proxy { next: Arc::new(Mutex::new(Cut::Never)), passed: Arc::default() };
    tokio::spawn(proxy.clone().run(UnixListener::bind(&socket)?, server.socket()));

    let remote = format!("unix:{}", socket.display());
    exchange(&remote, "uncut").await.context("without a cut")?;
    let [up, down] = proxy.passed().await?;
    ensure!(up > 500 && down > 500, "that was no complete exchange: {up} and {down} bytes");
    let drips = [Duration::ZERO, Duration::from_millis(1)].map(Cut::Drips);
    let cuts = (0..=up).map(Cut::Up).chain((0..=down).map(Cut::Down)).chain(drips);
    for cut in cuts {
        *proxy.next.lock().expect("nobody panics with it") = cut;
        let name = format!("{cut:?}");
        timeout(SOON, exchange(&remote, &name)).await.context("it hangs").flatten().context(name.clone())?;
        let rows = server.transact(vec![json!({"op": "select", "table": "Thing", "where": []})])?;
        let rows = rows[0]["rows"].as_array().context("a select has rows")?.clone();
        ensure!(rows.len() == 1 && rows[0]["name"] == name.as_str(), "{name} ended with {rows:?}");
    }
    println!("{} bytes up and {} bytes down were cut", up + 1, down + 1);
    Ok(())
}

/// Replaces all rows by one of this name, however often the connection breaks.
async fn exchange(remote: &str, name: &str) -> Result<()> {
    let mut config = SessionConfig::new(remote.parse()?, "Small");
    config.lock = Some("cut".parse()?);
    config.backoff = Backoff::new(Duration::from_millis(1), Duration::from_millis(1));
    let (mut session, mut cache) = (Session::new(config), Cache::everything());
    // With the chosen UUID a second attempt is refused and does not duplicate the row.
    let row = Uuid::new_v5(&Uuid::NAMESPACE_OID, name.as_bytes());
    let mut transaction = Transaction::new("Small");
    transaction.assert_lock("cut");
    transaction.delete("Thing", [Condition::new("_uuid", Function::NotEqual, row)]);
    transaction.insert_as("Thing", row, Row::new().with("name", name));
    let mut sent = None;
    loop {
        let there = cache.rows("Thing").any(|(uuid, _)| uuid == row);
        let ready = session.is_synced() && matches!(session.lock_status(), LockStatus::Held(_));
        match sent {
            None if there && session.is_synced() => return Ok(()),
            None if ready => sent = Some(session.transact(&transaction)?),
            _ => {}
        }
        match session.next(&mut cache).await {
            SessionEvent::Completed { id, outcome } if Some(id) == sent => {
                ensure!(!matches!(outcome, Outcome::Refused(_)), "{outcome:?}");
                sent = None;
            }
            _ => {}
        }
    }
}

// ===== impl Proxy =====

impl Proxy {
    async fn run(self, listener: UnixListener, server: PathBuf) -> Result<()> {
        loop {
            let (client, _) = listener.accept().await?;
            let cut = std::mem::replace(&mut *self.next.lock().expect("nobody panics with it"), Cut::Never);
            let (server, passed) = (server.clone(), Arc::clone(&self.passed));
            tokio::spawn(async move {
                let Ok(server) = UnixStream::connect(server).await else { return };
                let ((from_client, to_client), (from_server, to_server)) =
                    (client.into_split(), server.into_split());
                let limit = |cut: Option<usize>| cut.unwrap_or(usize::MAX);
                let (mut up, mut down) = (0, 0);
                let (most_up, most_down, drip) = match cut {
                    Cut::Up(at) => (Some(at), None, None),
                    Cut::Down(at) => (None, Some(at), None),
                    Cut::Drips(pause) => (None, None, Some(pause)),
                    Cut::Never => (None, None, None),
                };
                // When either ends, both sides are closed.
                tokio::select! {
                    _ = copy(from_client, to_server, limit(most_up), drip, &mut up) => {}
                    _ = copy(from_server, to_client, limit(most_down), drip, &mut down) => {}
                }
                *passed.lock().expect("nobody panics with it") = [up, down];
            });
        }
    }

    /// Waits for the end of a connection and returns the number of bytes in each direction.
    async fn passed(&self) -> Result<[usize; 2]> {
        for _ in 0..1000 {
            let passed = *self.passed.lock().expect("nobody panics with it");
            if passed != [0, 0] {
                return Ok(passed);
            }
            sleep(Duration::from_millis(5)).await;
        }
        anyhow::bail!("no connection ended")
    }
}

/// Forwards at most this many bytes, with a pause after each, if there is one.
async fn copy(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    limit: usize,
    drip: Option<Duration>,
    passed: &mut usize,
) -> Result<()> {
    let mut buffer = [0; 4096];
    while *passed < limit {
        let most = if drip.is_some() { 1 } else { buffer.len().min(limit - *passed) };
        let read = from.read(&mut buffer[..most]).await?;
        if read == 0 {
            break;
        }
        to.write_all(&buffer[..read]).await?;
        *passed += read;
        if let Some(pause) = drip {
            sleep(pause).await;
        }
    }
    Ok(())
}
