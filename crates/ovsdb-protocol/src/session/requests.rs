//! Transactions, other requests, and changes of conditions.

use serde::Serialize;

use super::connection::Phase;
use super::state::Call;
use super::{ConditionId, RequestId, Session};
use crate::transact::TransactionId;
use crate::request::request_json;
use crate::error::{Error, Kind};
use crate::monitor::RowFilter;
use crate::transact::Transaction;

impl Session {
    /// Sends a transaction (RFC 7047 section 4.1.3). [`SessionEvent::Completed`](crate::SessionEvent::Completed) reports
    /// its outcome.
    ///
    /// # Errors
    /// The replica is not synchronised at the moment, too many requests are pending, or the transaction has no JSON. It was
    /// not sent.
    pub fn transact(&mut self, transaction: &Transaction) -> Result<TransactionId, Error> {
        let is_ours = transaction.database == self.config.database;
        self.transact_json(&request_json("transaction", transaction)?, transaction.len(), is_ours)
    }

    /// Sends any other request; `params` must serialize to a JSON array.
    /// [`SessionEvent::Replied`](crate::SessionEvent::Replied) reports its result. If the connection breaks before, the
    /// server may have executed the request.
    ///
    /// # Errors
    /// The replica is not synchronised at the moment, too many requests are pending, `method` is one that the session
    /// itself uses (monitors and locks), or `params` has no JSON. The request was not sent.
    pub fn request(&mut self, method: &str, params: &(impl Serialize + ?Sized)) -> Result<RequestId, Error> {
        self.request_json(method, &request_json("parameters", params)?)
    }

    /// Converts the database to another schema, given as JSON (ovsdb-server(7), section 4.1.19). The result is reported
    /// like that of a [`request`](Self::request), before or after the replica is synchronised by the new schema.
    ///
    /// # Errors
    /// As [`request`](Self::request).
    pub fn convert(&mut self, schema: &(impl Serialize + ?Sized)) -> Result<RequestId, Error> {
        let params = request_json("schema", &(&self.config.database, schema))?;
        self.request_json("convert", &params)
    }

    /// Sends a transaction given as JSON, with the number of its operations; `is_ours` if it is for the session's database.
    pub(crate) fn transact_json(
        &mut self,
        params: &str,
        operations: usize,
        is_ours: bool,
    ) -> Result<TransactionId, Error> {
        match &mut self.phase {
            Phase::Live(live) if self.state.is_synced() => {
                self.state.transact(params, operations, is_ours, &mut live.link.rpc)
            }
            _ => Err(Kind::Closed(None).into()),
        }
    }

    pub(crate) fn request_json(&mut self, method: &str, params: &str) -> Result<RequestId, Error> {
        match &mut self.phase {
            Phase::Live(live) if self.state.is_synced() => {
                self.state.request(method, params, &mut live.link.rpc)
            }
            _ => Err(Kind::Closed(None).into()),
        }
    }

    /// Cancels a transaction (RFC 7047 section 4.1.4). It may be committed nevertheless. No
    /// [`SessionEvent::Completed`](crate::SessionEvent::Completed) follows, unless it is already queued.
    pub fn cancel(&mut self, id: TransactionId) {
        self.cancel_call(|call| matches!(call, Call::Transact(transaction, ..) if *transaction == id));
    }

    /// Cancels a request, as [`cancel`](Self::cancel) does a transaction.
    pub fn cancel_request(&mut self, id: RequestId) {
        self.cancel_call(|call| matches!(call, Call::Request(request) if *request == id));
    }

    fn cancel_call(&mut self, is_it: impl Fn(&Call) -> bool) {
        if let Phase::Live(live) = &mut self.phase
            && let Some(id) = live.link.rpc.find(is_it)
        {
            live.link.rpc.cancel(id);
        }
    }

    /// Changes which rows of a table are monitored, on this and on later connections (ovsdb-server(7),
    /// `monitor_cond_change`). Rows that match now reach the replica as inserted, and rows that no longer do as deleted.
    /// [`SessionEvent::ConditionChanged`](crate::SessionEvent::ConditionChanged) follows when they have, also if the
    /// connection was lost meanwhile. A server that knows only RFC 7047's `monitor` sends all rows whatever the conditions.
    ///
    /// # Errors
    /// The replica is not synchronised at the moment, too many requests are pending, or the replica does not monitor the
    /// table or the column of a condition. Nothing has changed.
    pub fn set_condition(&mut self, table: &str, rows: RowFilter) -> Result<ConditionId, Error> {
        match &mut self.phase {
            Phase::Live(live) if self.state.is_synced() => {
                self.state.set_condition(table, rows, &mut live.link.rpc)
            }
            _ => Err(Kind::Closed(None).into()),
        }
    }

    /// Sets which rows of a table to monitor from the next call of [`Replica::declare`](crate::Replica::declare) on.
    pub(crate) fn preset_condition(&mut self, table: &str, rows: RowFilter) {
        self.state.preset_condition(table, rows);
    }
}
