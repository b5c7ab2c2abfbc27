//! A TLS stream that ends as Open vSwitch's do.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::Error;

use super::TlsConfig;
use super::explain::explain_io;

/// Takes an end without TLS's farewell for an end: Open vSwitch often says none. Nothing is lost by that, because a
/// message that was cut short shows so itself.
///
/// With TLS 1.3 a server looks at our certificate only after the handshake is over for us, so that its refusal comes
/// in place of the first bytes, and has to be explained here.
pub(super) struct TolerantStream {
    inner: TlsStream<TcpStream>,
    config: TlsConfig,
}

impl TolerantStream {
    pub(super) fn new(inner: TlsStream<TcpStream>, config: TlsConfig) -> Self {
        Self { inner, config }
    }

    /// A server that hangs up says why before: the reason waits to be read, while writing merely fails.
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
