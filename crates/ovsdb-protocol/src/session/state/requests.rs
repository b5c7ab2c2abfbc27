//! Transactions and other requests of the caller.

use serde_json::value::RawValue;

use super::{Call, SessionState, send_for_caller};
use crate::error::{Error, Kind};
use crate::jsonrpc::JsonRpc;
use crate::outcome::{DatabaseError, Outcome, TransactError};
use crate::server::ServerUnusable;
use crate::session::{RequestId, SessionEvent};
use crate::transact::TransactionId;

/// Methods that the session itself uses.
const RESERVED: [&str; 10] = [
    "cancel",
    "lock",
    "monitor",
    "monitor_cancel",
    "monitor_cond",
    "monitor_cond_change",
    "monitor_cond_since",
    "set_db_change_aware",
    "steal",
    "unlock",
];

impl SessionState {
    pub(super) fn next_id(&mut self) -> u64 {
        let id = self.next_id;
        self.next_id += 1;
        id
    }

    /// Queues a transaction, given as JSON; `is_ours` if it is for the session's database. The caller has checked that the
    /// replica is synchronised.
    pub(crate) fn transact(
        &mut self,
        params: &str,
        operations: usize,
        is_ours: bool,
        rpc: &mut JsonRpc<Call>,
    ) -> Result<TransactionId, Error> {
        let id = TransactionId(self.next_id());
        send_for_caller(rpc, "transact", params, Call::Transact(id, operations, is_ours))?;
        Ok(id)
    }

    /// Queues any other request, with parameters given as JSON. The caller has checked that the replica is synchronised.
    pub(crate) fn request(
        &mut self,
        method: &str,
        params: &str,
        rpc: &mut JsonRpc<Call>,
    ) -> Result<RequestId, Error> {
        if RESERVED.contains(&method) {
            return Err(Kind::Reserved(method.to_owned()).into());
        }
        // At either the server would close the connection.
        if method.contains(|c: char| matches!(c, '"' | '\\') || c.is_control()) {
            return Err(Error::invalid_request("method", "not the name of a method"));
        }
        if !params.starts_with('[') {
            return Err(Error::invalid_request("parameters", "not a JSON array"));
        }
        let id = RequestId(self.next_id());
        send_for_caller(rpc, method, params, Call::Request(id))?;
        Ok(id)
    }

    pub(super) fn transacted(
        &mut self,
        id: TransactionId,
        operations: usize,
        is_ours: bool,
        result: Result<Box<RawValue>, DatabaseError>,
        rpc: &mut JsonRpc<Call>,
    ) -> Result<(), Error> {
        // A malformed reply has no more information than a missing one.
        let (outcome, malformed) = match result {
            Ok(result) => match Outcome::from_result(result.get(), operations) {
                Ok(outcome) => (outcome, None),
                Err(e) => (Outcome::Unknown, Some(Error::malformed("transaction result", e))),
            },
            Err(error) => (Outcome::Refused(TransactError::new(None, error)), None),
        };
        let committed = matches!(outcome, Outcome::Committed(_));
        // A member with a lower index than this server's does not have the committed transaction: it is stale.
        let clustered = self.server().is_some_and(|database| database.cluster_id.is_some());
        if clustered && committed {
            self.request_index(rpc)?;
        }
        self.connection.took_writes |= is_ours && committed;
        // Another server may accept writes, except to the server's own databases.
        let is_read_only = is_ours
            && !self.database.starts_with('_')
            && matches!(&outcome, Outcome::Refused(refusal) if refusal.error.is_read_only());
        let event = SessionEvent::Completed { id, outcome };
        // Its changes arrive with the rows of the next monitor.
        if committed && !self.connection.synced {
            self.connection.deferred.push(event)
        } else {
            self.events.push_back(event)
        }
        match malformed {
            Some(malformed) => Err(malformed),
            None if is_read_only => Err(Kind::ServerUnusable(ServerUnusable::ReadOnly).into()),
            None => Ok(()),
        }
    }
}
