//! The commands of handles to the driver of a client.

use std::sync::{Arc, Weak};

use serde_json::value::RawValue;
use tokio::sync::{oneshot, watch};

use crate::error::Error;
use crate::lock::{LockName, LockStatus};
use crate::monitor::RowFilter;
use crate::outcome::Outcome;
use crate::tables::Tables;

/// The sender of the result of a call.
pub(super) type Reply<T> = oneshot::Sender<Result<T, Error>>;

/// The result of a request.
pub(super) type RawReply = Box<RawValue>;

/// A command of a handle. One that cannot be sent at the moment fails at once, with an error for which
/// [`Error::is_not_sent`] returns true.
#[derive(Debug)]
pub(super) enum Command {
    Transact {
        params: Arc<str>,
        operations: usize,
        is_ours: bool,
        /// The grant of the lock that it depends on, if it does.
        epoch: Option<u64>,
        reply: Reply<Outcome>,
    },
    Request {
        method: Arc<str>,
        params: Arc<str>,
        reply: Reply<RawReply>,
    },
    Monitor {
        table: MonitoredTable,
        rows: RowFilter,
        reply: Reply<()>,
    },
    Condition {
        table: Arc<str>,
        rows: RowFilter,
        reply: Reply<()>,
    },
    Lock {
        name: LockName,
        reply: Reply<watch::Receiver<LockStatus>>,
    },
    /// The reply is the epoch, once the lock is held.
    Steal {
        reply: Reply<u64>,
    },
    Release {
        reply: Reply<()>,
    },
    ResetMinIndex {
        reply: Reply<()>,
    },
}

/// A table that is monitored as long as a [`Monitor`](super::Monitor) lives.
#[derive(Debug)]
pub(super) struct MonitoredTable {
    pub(super) name: &'static str,
    pub(super) add: fn(&mut Tables) -> bool,
    pub(super) remove: fn(&mut Tables),
    pub(super) alive: Weak<()>,
}

// ===== impl Command =====

impl Command {
    /// Returns true if nobody waits for the result any more.
    pub(super) fn is_abandoned(&self) -> bool {
        match self {
            Self::Transact { reply, .. } => reply.is_closed(),
            Self::Request { reply, .. } => reply.is_closed(),
            Self::Monitor { reply, .. } | Self::Condition { reply, .. } => reply.is_closed(),
            Self::Lock { reply, .. } => reply.is_closed(),
            Self::Steal { reply } => reply.is_closed(),
            // Its handle is dropped with the call, and the lock with the handle.
            Self::Release { reply } => reply.is_closed(),
            Self::ResetMinIndex { .. } => false,
        }
    }
}
