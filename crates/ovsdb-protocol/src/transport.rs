//! Byte streams to servers, and TCP connections.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// The timeouts of connecting to a server.
#[derive(Clone, Copy, Debug)]
pub(crate) struct DialTimeouts {
    /// The time until the connection is accepted, which the kernel does on behalf of a busy server.
    pub(crate) connect: Duration,
    /// The time until a TLS handshake is done, which a busy server may delay. When the CA's certificate is
    /// bootstrapped, this applies to each of the two handshakes.
    #[cfg_attr(not(feature = "tls"), expect(dead_code, reason = "there is no handshake"))]
    pub(crate) handshake: Duration,
}

/// A byte stream to a server.
pub(crate) type Stream = Pin<Box<dyn ReadWrite>>;

/// The operations of a byte stream.
pub(crate) trait ReadWrite: AsyncRead + AsyncWrite + Send {}

impl<T: AsyncRead + AsyncWrite + Send> ReadWrite for T {}

pub(crate) async fn dial_tcp(address: SocketAddr, timeouts: DialTimeouts) -> io::Result<TcpStream> {
    let stream = within(timeouts.connect, TcpStream::connect(address)).await?;
    // Requests are small and each waits for its answer.
    stream.set_nodelay(true)?;
    Ok(stream)
}

pub(crate) async fn within<T>(limit: Duration, connecting: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    timeout(limit, connecting)
        .await
        .unwrap_or_else(|_| Err(io::Error::new(io::ErrorKind::TimedOut, "the attempt to connect timed out")))
}
