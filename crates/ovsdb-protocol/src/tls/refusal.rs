//! TLS errors with a text.

use std::io;

/// Creates an error with this text.
pub(super) fn refusal(text: impl Into<String>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, text.into())
}
