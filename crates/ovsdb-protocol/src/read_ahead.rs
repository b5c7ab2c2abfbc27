//! A queue of received bytes that are not decoded yet.

use std::collections::VecDeque;

use bytes::{Buf, BytesMut};

/// The size of a chunk in bytes. A Unix socket's buffer holds a bit less.
const CHUNK: usize = 256 << 10;

/// A chunk with less room than this counts as full, in bytes: a small read costs as much as a big one.
const ROOM: usize = 64 << 10;

/// A queue of bytes in chunks, which are freed when they are decoded.
///
/// A server renders the next load stage of a snapshot when it has sent the previous one. Receiving bytes is ten times as
/// fast as decoding them, so that reading ahead lets it start sooner.
#[derive(Debug, Default)]
pub(crate) struct ReadAhead {
    chunks: VecDeque<BytesMut>,
    length: usize,
    limit: usize,
}

// ===== impl ReadAhead =====

impl ReadAhead {
    /// Sets the number of bytes that it may hold. Bytes that it holds stay.
    pub(crate) fn set_limit(&mut self, limit: usize) {
        self.limit = limit;
    }

    /// Returns true if more bytes may be received.
    pub(crate) fn has_room(&self) -> bool {
        self.length < self.limit
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.length == 0
    }

    /// Receives bytes by `read`, which appends them to its argument.
    pub(crate) fn fill<R>(&mut self, read: impl FnOnce(&mut BytesMut) -> R) -> R {
        if self.chunks.back().is_none_or(|chunk| chunk.capacity() - chunk.len() < ROOM) {
            self.chunks.push_back(BytesMut::with_capacity(CHUNK));
        }
        let last = self.chunks.len() - 1;
        let chunk = &mut self.chunks[last];
        let before = chunk.len();
        let result = read(chunk);
        self.length += chunk.len() - before;
        result
    }

    /// Moves at most `limit` bytes to `buffer`.
    pub(crate) fn drain(&mut self, buffer: &mut BytesMut, limit: usize) {
        let Some(chunk) = self.chunks.front_mut() else { return };
        let length = chunk.len().min(limit);
        buffer.extend_from_slice(&chunk[..length]);
        chunk.advance(length);
        self.length -= length;
        if chunk.is_empty() {
            self.chunks.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn read_ahead_returns_the_bytes_in_order() {
        let mut ahead = ReadAhead::default();
        assert!(!ahead.has_room());
        ahead.set_limit(2 * CHUNK);
        let text: Vec<u8> = (0..3 * CHUNK).map(|n| (n % 251) as u8).collect();
        let (mut came, mut out) = (0, BytesMut::new());
        while came < text.len() {
            while ahead.has_room() && came < text.len() {
                let more = (text.len() - came).min(50_001);
                ahead.fill(|chunk| chunk.extend_from_slice(&text[came..came + more]));
                came += more;
            }
            assert!(ahead.length < 2 * CHUNK + 50_001);
            ahead.drain(&mut out, 10_007);
        }
        while !ahead.is_empty() {
            ahead.drain(&mut out, 99_999);
        }
        assert!(*out == *text);
        assert!(ahead.chunks.is_empty(), "memory is given back");
        ahead.drain(&mut out, 1);
        assert_eq!(out.len(), text.len());
    }
}
