//! Transactions and other requests of the caller's.

use serde_json::value::RawValue;

use super::{Call, Dialogue, send};
use crate::error::{Error, Kind};
use crate::exchange::Exchange;
use crate::outcome::{DatabaseError, Outcome, TransactError};
use crate::server::ServerUnusable;
use crate::session::{RequestId, SessionEvent, TransactionId};

/// Methods by which a caller would change what the session itself keeps track of.
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

impl Dialogue {
    pub(super) fn next_id(&mut self) -> u64 {
        let id = self.next_id;
        self.next_id += 1;
        id
    }

    /// Queues a transaction, given as JSON; `is_ours` if it is for the database of the session. The caller checked that the replica is in step.
    pub(crate) fn transact(
        &mut self,
        params: &str,
        operations: usize,
        is_ours: bool,
        exchange: &mut Exchange<Call>,
    ) -> Result<TransactionId, Error> {
        let id = TransactionId(self.next_id());
        send(exchange, "transact", params, Call::Transact(id, operations, is_ours))?;
        Ok(id)
    }

    /// Queues any other request, whose parameters are given as JSON. The caller checked that the replica is in step.
    pub(crate) fn request(
        &mut self,
        method: &str,
        params: &str,
        exchange: &mut Exchange<Call>,
    ) -> Result<RequestId, Error> {
        if RESERVED.contains(&method) {
            return Err(Kind::Reserved(method.to_owned()).into());
        }
        let id = RequestId(self.next_id());
        send(exchange, method, params, Call::Request(id))?;
        Ok(id)
    }

    pub(super) fn transacted(
        &mut self,
        id: TransactionId,
        operations: usize,
        is_ours: bool,
        result: Result<Box<RawValue>, DatabaseError>,
        exchange: &mut Exchange<Call>,
    ) -> Result<(), Error> {
        // A reply that cannot be read tells no more than none.
        let (outcome, malformed) = match result {
            Ok(result) => match Outcome::from_result(result.get(), operations) {
                Ok(outcome) => (outcome, None),
                Err(e) => (Outcome::Unknown, Some(Error::malformed("transaction result", e))),
            },
            Err(error) => (Outcome::Refused(TransactError::new(None, error)), None),
        };
        let committed = matches!(outcome, Outcome::Committed(_));
        // A server that does not have what we committed is too old to come back to.
        let clustered = self.server().is_some_and(|database| database.cluster_id.is_some());
        if clustered && committed {
            self.ask_index(exchange)?;
        }
        self.heard.took_writes |= is_ours && committed;
        // Another server may take writes, but the server's own databases are written nowhere.
        let is_read_only = is_ours
            && !self.database.starts_with('_')
            && matches!(&outcome, Outcome::Refused(refusal) if refusal.error.is_read_only());
        let event = SessionEvent::Completed { id, outcome };
        // What it changed comes with the rows of the next monitor.
        if committed && !self.heard.synced {
            self.heard.deferred.push(event)
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
