//! Errors of TLS that are told in words.

use std::io;

/// Makes an error of a text.
pub(super) fn refusal(text: impl Into<String>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, text.into())
}
