//! The one error that callers of the client see.

use std::fmt;

use crate::decoder::ProtocolError;
use crate::exchange::{Deaf, Silent};
use crate::outcome::DatabaseError;
use crate::replica::{Inconsistent, Unsuitable};
use crate::server::Unacceptable;

/// Why a request or a connection failed.
#[derive(Debug)]
pub struct Error {
    kind: Kind,
}

#[derive(Debug)]
pub(crate) enum Kind {
    Io(std::io::Error),
    Eof,
    Protocol(ProtocolError),
    Silent(Silent),
    Deaf,
    Flood(u64),
    Closed,
    Busy,
    Refused(DatabaseError),
    Malformed(&'static str, String),
    Unsuitable(Unsuitable),
    Inconsistent(Inconsistent),
    Unacceptable(Unacceptable),
    Unlisted,
    Lagged,
    Reserved(String),
    NotMonitored(String),
    UnknownColumn(String),
}

// ===== impl Error =====

impl Error {
    /// Returns whether the connection is gone, so that nothing but a new one helps. What became of
    /// a transaction that was under way is unknown then.
    pub fn is_disconnected(&self) -> bool {
        matches!(
            self.kind,
            Kind::Io(_)
                | Kind::Eof
                | Kind::Protocol(_)
                | Kind::Silent(_)
                | Kind::Deaf
                | Kind::Flood(_)
                | Kind::Closed
        )
    }

    /// Returns the server's error, if it answered with one.
    pub fn as_database_error(&self) -> Option<&DatabaseError> {
        if let Kind::Refused(error) = &self.kind { Some(error) } else { None }
    }

    /// Returns why the server will not do, if that is the reason.
    pub fn as_unacceptable(&self) -> Option<&Unacceptable> {
        if let Kind::Unacceptable(why) = &self.kind { Some(why) } else { None }
    }

    /// Returns the operating system's error, if that is what ended the connection or kept it from being made.
    pub fn as_io(&self) -> Option<&std::io::Error> {
        if let Kind::Io(error) = &self.kind { Some(error) } else { None }
    }

    /// Returns whether the server said nothing for too long.
    pub(crate) fn is_silence(&self) -> bool {
        matches!(self.kind, Kind::Silent(_))
    }

    /// The answer to a request is not what the method's answer looks like.
    pub(crate) fn malformed(what: &'static str, error: impl fmt::Display) -> Self {
        Kind::Malformed(what, error.to_string()).into()
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

impl From<Silent> for Error {
    fn from(silent: Silent) -> Self {
        Kind::Silent(silent).into()
    }
}

impl From<Deaf> for Error {
    fn from(Deaf: Deaf) -> Self {
        Kind::Deaf.into()
    }
}

impl From<DatabaseError> for Error {
    fn from(error: DatabaseError) -> Self {
        Kind::Refused(error).into()
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.kind {
            Kind::Io(error) => write!(f, "{error}"),
            Kind::Eof => f.write_str("the server closed the connection"),
            Kind::Protocol(error) => write!(f, "the server does not speak OVSDB: {error}"),
            Kind::Silent(Silent(silence)) => write!(f, "the server was silent for {silence:.0?}"),
            Kind::Deaf => f.write_str("the server asks and does not take the answers"),
            Kind::Flood(limit) => {
                write!(f, "the server sent more than {limit} bytes and not what it was asked for")
            }
            Kind::Closed => f.write_str("the connection is closed"),
            Kind::Busy => f.write_str("too many requests await their reply"),
            Kind::Refused(error) => write!(f, "the server answered: {error}"),
            Kind::Malformed(what, error) => write!(f, "the server's {what} is malformed: {error}"),
            Kind::Unsuitable(unsuitable) => write!(f, "{unsuitable}"),
            Kind::Inconsistent(inconsistent) => {
                write!(f, "the server's updates contradict what it sent before: {inconsistent}")
            }
            Kind::Unacceptable(why) => write!(f, "{why}"),
            Kind::Unlisted => f.write_str("the server is not among the remotes any more"),
            Kind::Reserved(method) => write!(f, "the method {method} is the session's own"),
            Kind::NotMonitored(table) => write!(f, "the table {table} is not monitored"),
            Kind::UnknownColumn(column) => write!(f, "the database has no column {column}"),
            Kind::Lagged => f.write_str("updates were not taken in time and the monitor was given up"),
        }
    }
}

impl std::error::Error for Error {}
