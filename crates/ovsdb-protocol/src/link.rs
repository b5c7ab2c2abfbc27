//! The IO of a connection, between a stream and the decoder and protocol state.

use std::future::poll_fn;
use std::task::{Context, Poll};

use tokio::task::yield_now;
use tokio::time::{Instant, sleep_until};
use tokio_util::io::{poll_read_buf, poll_write_buf};

use crate::decoder::{Decoder, Frame, RowsHead};
use crate::transport::Stream;
use crate::error::{Error, Kind};
use crate::jsonrpc::{Event, JsonRpc};
use crate::read_ahead::ReadAhead;
use crate::row::RowUpdate;

/// The number of bytes to read at a time. Rows are decoded and replies sent between two reads, so this also bounds how long
/// a big message delays the reply to an echo; during a snapshot, the bound is what is read ahead.
const READ_CHUNK: usize = 64 << 10;

/// The number of bytes to decode of those read ahead before reading on: few, so that the server has sent its bytes while
/// most of them wait here.
const SLICE: usize = 32 << 10;

/// A stream with the state of its protocol.
pub(crate) struct Link<T> {
    stream: Stream,
    /// Whether the stream may hold bytes that it took: TLS does while the socket has no room.
    unflushed: bool,
    pub(crate) decoder: Decoder,
    pub(crate) rpc: JsonRpc<T>,
    /// Bytes that are received but not decoded yet, while the server prepares the rest of a snapshot.
    pub(crate) ahead: ReadAhead,
    /// The error that ended the connection, while bytes are left to decode.
    end: Option<Error>,
    /// The number of bytes that may arrive in all: a bound on the handshake, which a peer could otherwise keep open by
    /// sending.
    pub(crate) limit: u64,
}

/// A receiver of the rows of monitor replies and updates.
pub(crate) trait RowHandler {
    fn begin(&mut self, head: &RowsHead) -> Result<(), Error>;
    fn row(&mut self, update: RowUpdate<'_>) -> Result<(), Error>;
}

/// A message that [`Link::drive`] received.
#[derive(Debug)]
pub(crate) enum Incoming<T> {
    Event(Event<T>),
    /// A message with rows is complete.
    Rows(RowsHead),
}

impl<T> Link<T> {
    pub(crate) fn new(stream: Stream, decoder: Decoder, rpc: JsonRpc<T>) -> Self {
        let ahead = ReadAhead::default();
        Self { stream, unflushed: false, decoder, rpc, ahead, end: None, limit: u64::MAX }
    }

    /// Sends and receives until a message has arrived.
    ///
    /// Reading and writing advance together: a server that has replies to send reads no requests, so that waiting for
    /// one direction alone could last for ever.
    ///
    /// # Cancel safety
    /// Nothing is lost: all progress is in `self` and `rows`.
    pub(crate) async fn drive(&mut self, rows: &mut impl RowHandler) -> Result<Incoming<T>, Error> {
        loop {
            while let Some(frame) = self.decoder.next()? {
                match frame {
                    Frame::RowsBegin(head) => rows.begin(head)?,
                    Frame::Row(update) => rows.row(update)?,
                    Frame::RowsEnd(head) => return Ok(Incoming::Rows(head)),
                    Frame::Message(message) => {
                        if let Some(event) = self.rpc.handle_message(message)? {
                            return Ok(Incoming::Event(event));
                        }
                    }
                }
            }
            if self.decoder.received() > self.limit {
                return Err(Kind::HandshakeTooLarge(self.limit).into());
            }
            if !self.ahead.is_empty() {
                self.read_on().await;
                self.ahead.drain(self.decoder.buffer(), SLICE);
                continue;
            }
            if let Some(end) = self.end.take() {
                return Err(end);
            }
            match self.rpc.next_deadline() {
                None => poll_fn(|cx| self.poll_io(cx)).await?,
                Some(deadline) => tokio::select! {
                    biased;
                    moved = poll_fn(|cx| self.poll_io(cx)) => moved?,
                    () = sleep_until(Instant::from_std(deadline)) => {}
                },
            }
            // Expiry counts only after an attempt to read: what waits in the socket is activity.
            self.rpc.handle_deadline(Instant::now().into_std())?;
        }
    }

    /// Writes what can be written, and reads what has arrived, as far as there is room.
    async fn read_on(&mut self) {
        // The runtime polls the system for readiness only while no task runs.
        yield_now().await;
        if self.end.is_none() {
            let moved = poll_fn(|cx| {
                Poll::Ready(match self.ahead.has_room() {
                    true => self.poll_io(cx),
                    false => Poll::Ready(self.poll_write(cx)),
                })
            });
            if let Poll::Ready(Err(end)) = moved.await {
                self.end = Some(end);
            }
        }
    }

    /// Writes what can be written now, and flushes until all of it has left the stream.
    fn poll_write(&mut self, cx: &mut Context<'_>) -> Result<(), Error> {
        while !self.rpc.outbox().is_empty() {
            match poll_write_buf(self.stream.as_mut(), cx, self.rpc.outbox()) {
                Poll::Ready(Ok(0)) => return Err(Kind::Eof.into()),
                Poll::Ready(Ok(_)) => self.unflushed = true,
                Poll::Ready(Err(error)) => return Err(error.into()),
                Poll::Pending => break,
            }
        }
        if self.unflushed
            && let Poll::Ready(flushed) = self.stream.as_mut().poll_flush(cx)
        {
            flushed?;
            self.unflushed = false;
        }
        Ok(())
    }

    /// Writes what can be written, then completes when something was read.
    fn poll_io(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.poll_write(cx)?;
        let stream = self.stream.as_mut();
        let read = if self.ahead.has_room() {
            self.ahead.fill(|chunk| poll_read_buf(stream, cx, chunk))
        } else {
            let buffer = self.decoder.buffer();
            buffer.reserve(READ_CHUNK);
            poll_read_buf(stream, cx, buffer)
        };
        match read {
            Poll::Ready(Ok(0)) => Poll::Ready(Err(Kind::Eof.into())),
            Poll::Ready(Ok(_)) => {
                self.rpc.handle_activity(Instant::now().into_std());
                Poll::Ready(Ok(()))
            }
            Poll::Ready(Err(error)) => Poll::Ready(Err(error.into())),
            Poll::Pending => Poll::Pending,
        }
    }
}

impl<T: std::fmt::Debug> std::fmt::Debug for Link<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Link").field("rpc", &self.rpc).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::pin::Pin;
    use std::time::Duration;

    use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
    use tokio::time::timeout;

    use super::*;
    use crate::scan::Limits;

    /// A stream that keeps what is written until the second attempt to flush it, after which the peer hangs up.
    #[derive(Default)]
    struct Holding {
        flushes: usize,
    }

    impl AsyncRead for Holding {
        fn poll_read(
            self: Pin<&mut Self>,
            _: &mut Context<'_>,
            _: &mut ReadBuf<'_>,
        ) -> Poll<io::Result<()>> {
            if self.flushes < 2 { Poll::Pending } else { Poll::Ready(Ok(())) }
        }
    }

    impl AsyncWrite for Holding {
        fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
            Poll::Ready(Ok(bytes.len()))
        }

        fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
            self.flushes += 1;
            if self.flushes < 2 {
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            Poll::Ready(Ok(()))
        }

        fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    struct NoRows;

    impl RowHandler for NoRows {
        fn begin(&mut self, _: &RowsHead) -> Result<(), Error> {
            unreachable!("nothing is received")
        }

        fn row(&mut self, _: RowUpdate<'_>) -> Result<(), Error> {
            unreachable!("nothing is received")
        }
    }

    #[tokio::test(start_paused = true)]
    async fn bytes_that_the_stream_holds_are_flushed_when_it_has_room() {
        let mut rpc = JsonRpc::new(None, Instant::now().into_std());
        rpc.request("echo", "[]", ()).unwrap();
        let mut link = Link::new(Box::pin(Holding::default()), Decoder::new(Limits::default()), rpc);
        let driven = timeout(Duration::from_secs(1), link.drive(&mut NoRows)).await;
        assert_eq!(driven.expect("it is not flushed").unwrap_err().to_string(), "the server closed the connection");
    }
}
