//! The pieces of a received stream.

use uuid::Uuid;

use crate::jsonrpc::message::Message;
use crate::row::RowUpdate;

/// A piece of the received stream.
#[derive(Debug)]
pub(crate) enum Frame<'a> {
    /// A whole message that holds no rows.
    Message(Message),
    /// A message with rows begins.
    RowsBegin(&'a RowsHead),
    /// One of its rows.
    Row(RowUpdate<'a>),
    /// The message is complete.
    RowsEnd(RowsHead),
}

/// The part of a message before its rows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct RowsHead {
    pub(crate) source: RowsSource,
    /// Whether the rows are differences from the transaction that was named, `monitor_cond_since`.
    pub(crate) found: bool,
    /// The last transaction that the rows reflect, if the method reports it.
    pub(crate) last: Option<Uuid>,
}

impl Default for RowsSource {
    fn default() -> Self {
        Self::Reply(0)
    }
}

/// The reason why the peer sent rows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum RowsSource {
    /// A reply to the monitor request with this id.
    Reply(u64),
    /// An update for the monitor with this id, as JSON text.
    Update(String),
}

/// Input that violates the protocol. The connection cannot continue.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected {expected} at byte {at} of the connection")]
pub struct ProtocolError {
    /// Offset in the stream of bytes received on this connection.
    pub at: u64,
    /// A description of the input that was expected there.
    pub expected: String,
}
