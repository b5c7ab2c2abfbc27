//! The kinds of requests of a session.

use crate::monitor::MonitorMethod;
use crate::session::{ConditionId, RequestId};
use crate::transact::TransactionId;

/// A request that was sent, to which its reply is matched.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Call {
    /// `set_db_change_aware`. Servers before Open vSwitch 2.9 reject it; the error is ignored.
    Aware,
    /// `get_schema` of `_Server`.
    ServerSchema,
    /// The monitor of `_Server`.
    ServerMonitor(MonitorMethod),
    /// The select of the index in `_Server`.
    ServerIndex,
    /// `get_schema` of the database.
    Schema,
    /// The monitor of the database, with its number on this connection.
    Monitor(MonitorMethod, u32),
    /// `monitor_cond_change` for the next load stage of the snapshot of this monitor.
    LoadStage(u32),
    /// `monitor_cancel`.
    EndMonitor,
    /// `monitor_cond_change` for other rows of a table.
    Condition(ConditionId),
    /// `lock` or `steal`, with the number of the request.
    Lock(u64),
    /// `unlock`.
    Unlock,
    /// A transaction, the number of its operations, and whether it is for the session's database.
    Transact(TransactionId, usize, bool),
    /// Any other request of the caller.
    Request(RequestId),
}
