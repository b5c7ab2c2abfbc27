//! Errors of the server and what to do about them.

use std::fmt;

use serde::Deserialize;

/// An error of the server, RFC 7047 section 3.1 `<error>`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(from = "ErrorJson")]
pub struct DatabaseError {
    /// The fixed name of the error, such as `constraint violation`.
    pub error: String,
    /// An explanation for humans.
    pub details: Option<String>,
    /// The JSON that caused the error, as text.
    pub syntax: Option<String>,
}

/// The forms of an error: most are objects, but some such as `canceled` and `unknown method` are bare strings.
#[derive(Deserialize)]
#[serde(untagged)]
enum ErrorJson {
    Name(String),
    Object { error: String, details: Option<String>, syntax: Option<String> },
}

impl From<ErrorJson> for DatabaseError {
    fn from(json: ErrorJson) -> Self {
        match json {
            ErrorJson::Name(error) => Self { error, details: None, syntax: None },
            ErrorJson::Object { error, details, syntax } => Self { error, details, syntax },
        }
    }
}

impl DatabaseError {
    /// Reads the `error` member of a JSON-RPC reply.
    ///
    /// # Errors
    ///
    /// Fails for anything but a string, or an object with a string `error`.
    pub fn parse(text: &str) -> Result<Self, serde_json::Error> {
        serde_json::from_str(text)
    }

    /// Returns whether it refuses a write because the server is read-only, or the database is one of the server's own.
    pub(crate) fn is_read_only(&self) -> bool {
        self.error == "not allowed"
    }
}

impl fmt::Display for DatabaseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.error)?;
        if let Some(details) = &self.details {
            write!(f, ": {details}")?;
        }
        // The server quotes whole operations here, which may have any length.
        if let Some(syntax) = &self.syntax {
            const QUOTED: usize = 200;
            match syntax.char_indices().nth(QUOTED) {
                None => write!(f, " (in {syntax})")?,
                Some((end, _)) => write!(f, " (in {}...)", &syntax[..end])?,
            }
        }
        Ok(())
    }
}

impl std::error::Error for DatabaseError {}

/// The class of a refused transaction's error, by what the caller may do about it.
///
/// | class          | errors                                                                                     |
/// |----------------|--------------------------------------------------------------------------------------------|
/// | `Precondition` | `timed out`                                                                                |
/// | `LockLost`     | `not owner`                                                                                |
/// | `Conflict`     | `duplicate uuid`, `referential integrity violation`, `constraint violation` at the commit  |
/// | `Canceled`     | `canceled`                                                                                 |
/// | `Unavailable`  | `database not available`, `unknown database`, `not allowed`, `cluster error`, `I/O error`, `resources exhausted` |
/// | `Aborted`      | `aborted`                                                                                  |
/// | `Permanent`    | everything else, `constraint violation` of an operation included                           |
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ErrorClass {
    /// A wait did not become true in time: the content of the database is not what the transaction expects. Build it again
    /// from the current content.
    Precondition,
    /// The lock that the transaction asserts is not held at this server. Stop until it is again.
    LockLost,
    /// The transaction conflicts with a row of the database or its own rows: an index or a row limit, a chosen uuid in
    /// use, a reference to or from a row. Build the transaction again from the current content, and treat a second
    /// refusal as `Permanent`: an undefined named uuid, for example, looks the same.
    Conflict,
    /// The request was withdrawn, by this client or by a schema conversion. In a cluster, a transaction that was
    /// already sent to the other servers may still be executed.
    Canceled,
    /// The database cannot be written at this server, or not now. Try another server, or later.
    ///
    /// The server replies `not allowed` if it is a backup or otherwise read-only, and for databases whose names start
    /// with an underscore. No server accepts writes to those.
    Unavailable,
    /// The transaction ran up to the abort operation that it contains.
    Aborted,
    /// The transaction is wrong, or not permitted. It would fail again.
    Permanent,
}

impl ErrorClass {
    /// Classifies an error of the operation at this index, or of the transaction as a whole.
    pub fn classify(error: &DatabaseError, operation: Option<usize>) -> Self {
        match error.error.as_str() {
            "timed out" => Self::Precondition,
            "not owner" => Self::LockLost,
            "duplicate uuid" | "referential integrity violation" => Self::Conflict,
            // An operation fails with this for a value that its column never allows; the commit, for an index, a row
            // limit, or a weak reference that had to be removed.
            "constraint violation" if operation.is_none() => Self::Conflict,
            "canceled" => Self::Canceled,
            "database not available"
            | "unknown database"
            | "not allowed"
            | "cluster error"
            | "I/O error"
            | "resources exhausted" => Self::Unavailable,
            "aborted" => Self::Aborted,
            _ => Self::Permanent,
        }
    }
}
