//! The error of requests and connections.

use std::error::Error as StdError;
use std::fmt;
use std::sync::Arc;

use crate::chain::Chain;
use crate::decoder::ProtocolError;
use crate::endpoint::Endpoint;
use crate::jsonrpc::{InactivityTimeout, PeerNotReading};
use crate::outcome::DatabaseError;
use crate::replica::{ApplyError, SchemaMismatch};
use crate::server::ServerUnusable;

type Source = Box<dyn StdError + Send + Sync>;

/// The error of a request or a connection.
///
/// `{error}` prints the error itself, and [`source`](StdError::source) leads to its causes. `{error:#}` prints all of
/// them in one line, separated by colons: the form for a log or a user, and that of `{error:?}`, which a `main` that
/// returns the error prints.
pub struct Error {
    kind: Kind,
}

#[derive(Debug, thiserror::Error)]
pub(crate) enum Kind {
    #[error(transparent)]
    Io(std::io::Error),
    #[error("the server closed the connection")]
    Eof,
    #[error("the server does not speak OVSDB")]
    Protocol(#[source] ProtocolError),
    #[error("the server was silent for {:.0?}", .0.0)]
    InactivityTimeout(InactivityTimeout),
    #[error("the server does not read the replies to its requests")]
    PeerNotReading,
    #[error("the server sent more than {0} bytes before the requested rows")]
    HandshakeTooLarge(u64),
    /// With the error that ended the connection, where it is known.
    #[error("the connection is closed")]
    Closed(#[source] Option<Arc<Error>>),
    #[error("too many requests await their reply")]
    Busy,
    #[error("the server answered with an error")]
    Refused(#[source] DatabaseError),
    /// The server sent something that is not valid at that place.
    #[error("the server's {0} is malformed")]
    Malformed(&'static str, #[source] Source),
    /// The caller's request cannot be written.
    #[error("invalid {0}")]
    InvalidRequest(&'static str, #[source] Source),
    #[error(transparent)]
    SchemaMismatch(SchemaMismatch),
    #[error("the server's updates contradict what it sent before")]
    ApplyError(#[source] ApplyError),
    #[error(transparent)]
    ServerUnusable(ServerUnusable),
    #[error("the server is no longer among the remotes")]
    Unlisted,
    #[error("no server can be used{}", Listed(.0))]
    Unavailable(Vec<(Endpoint, Arc<Error>)>),
    #[error("the driver of the client has ended")]
    Stopped,
    #[error("the client monitors the table {0} already")]
    AlreadyMonitored(&'static str),
    #[error("the client has a lock already; release it first")]
    LockTaken,
    #[error("the lock was lost since")]
    LockLost,
    #[error("no server that grants locks answered in time")]
    LockUnanswered,
    #[error("the session itself uses the method {0}")]
    Reserved(String),
    #[error("the table {0} is not monitored")]
    NotMonitored(String),
    #[error("the column {0} is not monitored")]
    ColumnNotMonitored(String),
}

/// The reason why each server could not be used, in one line.
struct Listed<'a>(&'a [(Endpoint, Arc<Error>)]);

// ===== impl Error =====

impl Error {
    /// Returns true if the connection has ended. Whether a pending transaction was executed is unknown then.
    pub fn is_disconnected(&self) -> bool {
        matches!(
            self.kind,
            Kind::Io(_)
                | Kind::Eof
                | Kind::Protocol(_)
                | Kind::InactivityTimeout(_)
                | Kind::PeerNotReading
                | Kind::HandshakeTooLarge(_)
                | Kind::Closed(_)
        )
    }

    /// Returns true if the request is invalid: it has no JSON, or JSON at which ovsdb-server closes the connection, such as a
    /// string with a NUL character. Nothing was sent.
    pub fn is_invalid_request(&self) -> bool {
        matches!(self.kind, Kind::InvalidRequest(..))
    }

    /// Returns true if too many requests are pending, or the server has left more than 16 MiB of requests unread, including
    /// those that were cancelled. Nothing was sent; try again after a request has completed.
    pub fn is_busy(&self) -> bool {
        matches!(self.kind, Kind::Busy)
    }

    /// Returns true if no server could be used in time for a call of a [`Client`](crate::Client). Nothing was sent.
    pub fn is_unavailable(&self) -> bool {
        matches!(self.kind, Kind::Unavailable(_))
    }

    /// Returns true if the lock that a transaction depended on was lost before it was sent.
    pub fn is_lock_lost(&self) -> bool {
        matches!(self.kind, Kind::LockLost)
    }

    /// Returns why each server could not be used, if the error is [that](Self::is_unavailable). Servers that were not tried or
    /// did not reply yet are missing.
    pub fn failures(&self) -> &[(Endpoint, Arc<Self>)] {
        if let Kind::Unavailable(failures) = &self.kind { failures } else { &[] }
    }

    /// Returns true if there was no connection, so that the request was not sent.
    pub(crate) fn is_not_sent(&self) -> bool {
        matches!(self.kind, Kind::Closed(None))
    }

    /// Returns true if the server sent something that is not valid OVSDB at that place.
    pub fn is_malformed(&self) -> bool {
        matches!(self.kind, Kind::Malformed(..) | Kind::Protocol(_))
    }

    /// Returns true if an update of the server contradicts what it sent before.
    pub fn is_inconsistent(&self) -> bool {
        matches!(self.kind, Kind::ApplyError(_))
    }

    /// Returns the server's error, if it replied with one.
    pub fn as_database_error(&self) -> Option<&DatabaseError> {
        if let Kind::Refused(error) = &self.kind { Some(error) } else { None }
    }

    /// Returns why the server cannot be used, if that is the reason.
    pub fn as_server_unusable(&self) -> Option<&ServerUnusable> {
        if let Kind::ServerUnusable(why) = &self.kind { Some(why) } else { None }
    }

    /// Returns what the server's schema lacks, if that is the reason.
    pub fn as_schema_mismatch(&self) -> Option<&SchemaMismatch> {
        if let Kind::SchemaMismatch(why) = &self.kind { Some(why) } else { None }
    }

    /// Returns the operating system's error, if one ended or prevented the connection. It may be the cause of a
    /// [closed](Self::is_disconnected) connection.
    pub fn as_io(&self) -> Option<&std::io::Error> {
        match &self.kind {
            Kind::Io(error) => Some(error),
            Kind::Closed(Some(cause)) => cause.as_io(),
            _ => None,
        }
    }

    /// Returns true if the server was silent for too long.
    pub(crate) fn is_inactivity_timeout(&self) -> bool {
        matches!(self.kind, Kind::InactivityTimeout(_))
    }

    /// Creates the error of something received that is not valid at that place.
    pub(crate) fn malformed(what: &'static str, source: impl Into<Source>) -> Self {
        Kind::Malformed(what, source.into()).into()
    }

    /// Creates the error of a request that cannot be written.
    pub(crate) fn invalid_request(what: &'static str, source: impl Into<Source>) -> Self {
        Kind::InvalidRequest(what, source.into()).into()
    }
}

impl From<Kind> for Error {
    fn from(kind: Kind) -> Self {
        Self { kind }
    }
}

impl From<std::io::Error> for Error {
    fn from(error: std::io::Error) -> Self {
        Kind::Io(error).into()
    }
}

impl From<ProtocolError> for Error {
    fn from(error: ProtocolError) -> Self {
        Kind::Protocol(error).into()
    }
}

impl From<InactivityTimeout> for Error {
    fn from(silent: InactivityTimeout) -> Self {
        Kind::InactivityTimeout(silent).into()
    }
}

impl From<PeerNotReading> for Error {
    fn from(PeerNotReading: PeerNotReading) -> Self {
        Kind::PeerNotReading.into()
    }
}

impl From<DatabaseError> for Error {
    fn from(error: DatabaseError) -> Self {
        Kind::Refused(error).into()
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if f.alternate() { write!(f, "{}", Chain(&self.kind)) } else { write!(f, "{}", self.kind) }
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self:#}")
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.kind.source()
    }
}

impl fmt::Display for Listed<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut separator = ": ";
        for (endpoint, error) in self.0 {
            write!(f, "{separator}{endpoint}: {error:#}")?;
            separator = "; ";
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn alternate_form_of_an_error_prints_all_causes() {
        let json = serde_json::from_str::<u8>("x").unwrap_err();
        let malformed = Error::malformed("schema", crate::SchemaError::Json(json));
        let io = || Error::from(std::io::Error::new(std::io::ErrorKind::ConnectionReset, "reset"));
        let refused = DatabaseError { error: "unknown database".to_owned(), details: None, syntax: None };
        for (error, short, long) in [
            (
                malformed,
                "the server's schema is malformed",
                "the server's schema is malformed: not the JSON of a schema: expected value at line 1 column 1",
            ),
            (
                Error::from(refused),
                "the server answered with an error",
                "the server answered with an error: unknown database",
            ),
            (io(), "reset", "reset"),
            (Kind::Closed(None).into(), "the connection is closed", "the connection is closed"),
            (
                Kind::Closed(Some(Arc::new(io()))).into(),
                "the connection is closed",
                "the connection is closed: reset",
            ),
        ] {
            assert_eq!((error.to_string().as_str(), format!("{error:#}").as_str()), (short, long));
            assert_eq!(format!("{error:?}"), long);
        }
    }

    #[test]
    fn closed_connection_error_names_the_system_error() {
        let io = std::io::Error::from(std::io::ErrorKind::BrokenPipe);
        let closed = Error::from(Kind::Closed(Some(Arc::new(io.into()))));
        assert!(closed.is_disconnected() && !closed.is_invalid_request());
        assert_eq!(closed.as_io().map(std::io::Error::kind), Some(std::io::ErrorKind::BrokenPipe));
    }
}
