//! A TLS stream that tolerates the way in which Open vSwitch ends connections.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::Error;

use super::TlsConfig;
use super::explain::explain_io;

/// A TLS stream that accepts an end without TLS's `close_notify`, which Open vSwitch often omits. This is safe, because
/// a truncated message is detected as such.
///
/// With TLS 1.3 a server checks the client's certificate only after the client has completed the handshake, so that its
/// refusal arrives instead of the first bytes, and has to be explained here.
pub(super) struct TolerantStream {
    inner: TlsStream<TcpStream>,
    config: TlsConfig,
}

impl TolerantStream {
    pub(super) fn new(inner: TlsStream<TcpStream>, config: TlsConfig) -> Self {
        Self { inner, config }
    }

    /// Returns the reason that a server sent before it hung up, which can be read although writing fails.
    fn reason(&mut self, error: io::Error, cx: &mut Context<'_>) -> io::Error {
        let mut byte = [0];
        match Pin::new(&mut self.inner).poll_read(cx, &mut ReadBuf::new(&mut byte)) {
            Poll::Ready(Err(reason)) if reason.get_ref().is_some_and(|inner| inner.is::<Error>()) => {
                explain_io(reason, &self.config, None)
            }
            _ => error,
        }
    }
}

impl AsyncRead for TolerantStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match Pin::new(&mut self.inner).poll_read(cx, buffer) {
            Poll::Ready(Err(error)) if error.kind() == io::ErrorKind::UnexpectedEof => Poll::Ready(Ok(())),
            Poll::Ready(Err(error)) => Poll::Ready(Err(explain_io(error, &self.config, None))),
            other => other,
        }
    }
}

impl AsyncWrite for TolerantStream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match Pin::new(&mut self.inner).poll_write(cx, bytes) {
            Poll::Ready(Err(error)) => Poll::Ready(Err(self.reason(error, cx))),
            other => other,
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match Pin::new(&mut self.inner).poll_flush(cx) {
            Poll::Ready(Err(error)) => Poll::Ready(Err(self.reason(error, cx))),
            other => other,
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}
