//! A server whose messages are all scripted in the test.

use std::path::PathBuf;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, UnixListener};
use tokio::time::timeout;

use crate::endpoint::Endpoint;
use crate::transport::Stream;

/// Longer than any wait of a test, with a clock that jumps.
const TIMEOUT: Duration = Duration::from_secs(3600);

/// A Unix socket in its own directory, or a TCP port.
pub(crate) enum Server {
    Unix(UnixListener, PathBuf, #[expect(dead_code, reason = "removed when dropped")] tempfile::TempDir),
    Tcp(TcpListener),
}

/// The server's end of one connection.
pub(crate) struct Peer {
    stream: Stream,
    received: Vec<u8>,
}

// ===== impl Server =====

impl Server {
    pub(crate) fn unix() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("db.sock");
        Self::Unix(UnixListener::bind(&path).unwrap(), path, dir)
    }

    pub(crate) async fn tcp() -> Self {
        Self::Tcp(TcpListener::bind("127.0.0.1:0").await.unwrap())
    }

    pub(crate) fn endpoint(&self) -> Endpoint {
        match self {
            Self::Unix(_, path, _) => Endpoint::Unix(path.clone()),
            Self::Tcp(listener) => listener.local_addr().unwrap().into(),
        }
    }

    pub(crate) async fn accept(&self) -> Peer {
        let accepted = async {
            let stream: Stream = match self {
                Self::Unix(listener, ..) => Box::pin(listener.accept().await.unwrap().0),
                Self::Tcp(listener) => {
                    let (stream, _) = listener.accept().await.unwrap();
                    // A clock that jumps does not wait for a delayed packet.
                    stream.set_nodelay(true).unwrap();
                    Box::pin(stream)
                }
            };
            stream
        };
        let stream = timeout(TIMEOUT, accepted).await.expect("nobody connects");
        Peer { stream, received: Vec::new() }
    }
}

// ===== impl Peer =====

impl Peer {
    /// Returns the next message of the client, or `None` if it hung up.
    pub(crate) async fn receive(&mut self) -> Option<Value> {
        loop {
            let mut values = serde_json::Deserializer::from_slice(&self.received).into_iter::<Value>();
            if let Some(Ok(value)) = values.next() {
                let length = values.byte_offset();
                self.received.drain(..length);
                return Some(value);
            }
            let read = timeout(TIMEOUT, self.stream.read_buf(&mut self.received)).await;
            if let Ok(0) | Err(_) = read.expect("the client says nothing") {
                return None;
            }
        }
    }

    /// Receives a request for this method and returns it.
    pub(crate) async fn expect(&mut self, method: &str) -> Value {
        let request = self.receive().await.unwrap_or_else(|| panic!("the client hung up before {method}"));
        assert_eq!(request["method"], method, "{request}");
        request
    }

    pub(crate) async fn send(&mut self, text: &str) {
        self.stream.write_all(text.as_bytes()).await.unwrap();
    }

    pub(crate) async fn reply(&mut self, request: &Value, result: &Value) {
        self.send(&reply(request, result)).await;
    }

    /// Refuses as ovsdb-server does: without a `result` member.
    pub(crate) async fn refuse(&mut self, request: &Value, error: &Value) {
        self.send(&format!(r#"{{"id":{},"error":{error}}}"#, request["id"])).await;
    }

    pub(crate) async fn notify(&mut self, method: &str, params: &Value) {
        self.send(&notification(method, params)).await;
    }

    /// Waits until the client sends anything or hangs up.
    pub(crate) async fn unheard(&mut self) -> usize {
        self.stream.read_buf(&mut self.received).await.unwrap()
    }

    /// Waits for the client to hang up.
    pub(crate) async fn closed(mut self) {
        while self.receive().await.is_some() {}
    }
}

pub(crate) fn reply(request: &Value, result: &Value) -> String {
    format!(r#"{{"id":{},"result":{result},"error":null}}"#, request["id"])
}

pub(crate) fn notification(method: &str, params: &Value) -> String {
    json!({"id": null, "method": method, "params": params}).to_string()
}
