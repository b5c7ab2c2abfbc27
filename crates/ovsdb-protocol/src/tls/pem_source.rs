//! Places of keys and certificates.

use std::fmt;
use std::path::{Path, PathBuf};

/// Keys or certificates in PEM (RFC 7468): a file, or the content of one.
#[derive(Clone, PartialEq, Eq)]
pub enum PemSource {
    /// A file, which is read for every connection.
    File(PathBuf),
    /// The text itself, supplied by the program.
    Bytes(Vec<u8>),
}

impl PemSource {
    /// Returns the file, if it is one.
    pub fn file(&self) -> Option<&Path> {
        if let Self::File(file) = self { Some(file) } else { None }
    }
}

impl From<PathBuf> for PemSource {
    fn from(file: PathBuf) -> Self {
        Self::File(file)
    }
}

impl From<&Path> for PemSource {
    fn from(file: &Path) -> Self {
        Self::File(file.to_owned())
    }
}

impl From<Vec<u8>> for PemSource {
    fn from(text: Vec<u8>) -> Self {
        Self::Bytes(text)
    }
}

impl fmt::Display for PemSource {
    /// Writes the name of the file; the content of bytes is not written, since it may be a private key.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(file) => write!(f, "{}", file.display()),
            Self::Bytes(_) => f.write_str("the PEM text that the program gave"),
        }
    }
}

impl fmt::Debug for PemSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(file) => f.debug_tuple("File").field(file).finish(),
            Self::Bytes(text) => write!(f, "Bytes({} bytes)", text.len()),
        }
    }
}
