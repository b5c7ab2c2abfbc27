//! What a session says on a connection, and what it keeps from one connection to the next. Pure.

use std::collections::VecDeque;
use std::sync::Arc;

use serde_json::value::RawValue;
use uuid::Uuid;

use crate::decoder::{Decoder, RowsHead, RowsSource};
use crate::error::{Error, Kind};
use crate::exchange::{Event, Exchange};
use crate::link::RowHandler;
use crate::lock::{Lock, LockName, LockStatus};
use crate::monitor::{MonitorMethod, MonitorRequests};
use crate::outcome::{DatabaseError, Outcome, TransactError};
use crate::replica::{Batch, Replica};
use crate::row::RowUpdate;
use crate::schema::DatabaseSchema;
use crate::session::{SessionEvent, TransactionId};
use crate::transact::Transaction;

/// The id of the session's only monitor, and its JSON text.
const MONITOR: &str = "session";
const MONITOR_TEXT: &str = "\"session\"";

/// A request of the session.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Call {
    Schema,
    Monitor(MonitorMethod),
    Lock,
    Transact(TransactionId, usize),
}

/// The session's side of the conversation.
#[derive(Debug)]
pub(crate) struct Dialogue {
    database: String,
    lock: Option<Lock>,
    /// What the replica holds, where it can be resumed.
    position: Option<Position>,
    /// What is asked for on this connection.
    asked: Option<Position>,
    synced: bool,
    next_transaction: u64,
    pub(crate) events: VecDeque<SessionEvent>,
}

/// All that decides whether the server's differences fit the rows that are here. One value, so
/// that no part of it can be newer than another.
#[derive(Clone, Debug)]
struct Position {
    view: Arc<View>,
    last: Uuid,
}

/// What of which database is monitored.
#[derive(Debug, PartialEq)]
struct View {
    schema: DatabaseSchema,
    requests: MonitorRequests,
}

/// Hands rows to the replica.
pub(crate) struct Feed<'a, R> {
    pub(crate) dialogue: &'a mut Dialogue,
    pub(crate) replica: &'a mut R,
}

// ===== impl Dialogue =====

impl Dialogue {
    pub(crate) fn new(database: String, lock: Option<LockName>) -> Self {
        Self {
            database,
            lock: lock.map(Lock::new),
            position: None,
            asked: None,
            synced: false,
            next_transaction: 1,
            events: VecDeque::new(),
        }
    }

    pub(crate) fn is_synced(&self) -> bool {
        self.synced
    }

    /// Whether no batch of rows is under way.
    pub(crate) fn is_whole(&self) -> bool {
        self.position.is_some()
    }

    pub(crate) fn lock_status(&self) -> LockStatus {
        self.lock.as_ref().map_or(LockStatus::None, Lock::status)
    }

    /// A connection is there: asks for the schema, and for the lock at once, since it may take its
    /// time to become ours.
    pub(crate) fn connected(&self, exchange: &mut Exchange<Call>) -> Result<(), Error> {
        let database =
            serde_json::to_string(&[&self.database]).map_err(|e| Error::malformed("database name", e))?;
        send(exchange, "get_schema", &database, Call::Schema)?;
        if let Some(lock) = &self.lock {
            send(exchange, "lock", &lock.name().params(), Call::Lock)?;
        }
        Ok(())
    }

    /// Queues a transaction. The caller checked that the replica is in step.
    pub(crate) fn transact(
        &mut self,
        transaction: &Transaction,
        exchange: &mut Exchange<Call>,
    ) -> Result<TransactionId, Error> {
        let id = TransactionId(self.next_transaction);
        self.next_transaction += 1;
        let params = serde_json::to_string(transaction).map_err(|e| Error::malformed("transaction", e))?;
        send(exchange, "transact", &params, Call::Transact(id, transaction.len()))?;
        Ok(id)
    }

    /// Takes a message that holds no rows.
    pub(crate) fn handle(
        &mut self,
        event: Event<Call>,
        exchange: &mut Exchange<Call>,
        decoder: &mut Decoder,
        replica: &mut impl Replica,
    ) -> Result<(), Error> {
        match event {
            Event::Notification { method, params } => self.notified(&method, &params),
            Event::Reply { token: Call::Schema, result } => {
                let schema =
                    DatabaseSchema::parse(result?.get()).map_err(|e| Error::malformed("schema", e))?;
                let requests = replica.declare(&schema).map_err(Kind::Unsuitable)?;
                let view = View { schema, requests };
                // Differences make sense only on top of the very same view of the database.
                let resumable = self.position.take().filter(|old| *old.view == view);
                self.position.clone_from(&resumable);
                self.asked =
                    Some(resumable.unwrap_or_else(|| Position { view: Arc::new(view), last: Uuid::nil() }));
                self.monitor(MonitorMethod::CondSince, exchange, decoder)
            }
            Event::Reply { token: Call::Monitor(method), result } => {
                let Err(error) = result else {
                    return Err(Error::malformed("monitor reply", "it holds no tables"));
                };
                match method.fallback() {
                    Some(older) if error.error == "unknown method" => self.monitor(older, exchange, decoder),
                    _ => Err(error.into()),
                }
            }
            Event::Reply { token: Call::Lock, result } => self.lock_answered(result),
            Event::Reply { token: Call::Transact(id, operations), result } => {
                // A reply that cannot be read tells no more than none.
                let (outcome, malformed) = match result {
                    Ok(result) => match Outcome::from_result(result.get(), operations) {
                        Ok(outcome) => (outcome, None),
                        Err(e) => (Outcome::Unknown, Some(Error::malformed("transaction result", e))),
                    },
                    Err(error) => (Outcome::Refused(TransactError { operation: None, error }), None),
                };
                self.events.push_back(SessionEvent::Completed { id, outcome });
                malformed.map_or(Ok(()), Err)
            }
        }
    }

    /// The rows of a message are complete.
    pub(crate) fn rows_complete(
        &mut self,
        head: RowsHead,
        exchange: &mut Exchange<Call>,
        replica: &mut impl Replica,
    ) -> Result<(), Error> {
        replica.commit();
        self.position =
            self.asked.clone().map(|asked| Position { last: head.last.unwrap_or_default(), ..asked });
        match head.source {
            RowsSource::Update(_) => self.events.push_back(SessionEvent::Updated),
            RowsSource::Reply(id) => {
                exchange.complete(id);
                self.synced = true;
                self.events.push_back(SessionEvent::Synced { resumed: head.found });
            }
        }
        Ok(())
    }

    /// The connection is gone.
    pub(crate) fn disconnected(&mut self, pending: impl Iterator<Item = Call>) {
        self.synced = false;
        self.asked = None;
        if self.lock.as_mut().is_some_and(Lock::lost) {
            self.events.push_back(SessionEvent::Lock(LockStatus::None));
        }
        for call in pending {
            if let Call::Transact(id, _) = call {
                self.events.push_back(SessionEvent::Completed { id, outcome: Outcome::Unknown });
            }
        }
    }

    fn monitor(
        &self,
        method: MonitorMethod,
        exchange: &mut Exchange<Call>,
        decoder: &mut Decoder,
    ) -> Result<(), Error> {
        let asked = self.asked.as_ref().ok_or(Kind::Closed)?;
        let params = method
            .params(&self.database, MONITOR, &asked.view.requests, asked.last)
            .map_err(|e| Error::malformed("monitor request", e))?;
        let id = send(exchange, method.name(), &params, Call::Monitor(method))?;
        decoder.expect_rows(id, method);
        Ok(())
    }

    fn notified(&mut self, method: &str, params: &RawValue) -> Result<(), Error> {
        if let ("locked" | "stolen", Some(lock)) = (method, &mut self.lock) {
            let [name]: [String; 1] =
                serde_json::from_str(params.get()).map_err(|e| Error::malformed("lock notification", e))?;
            if lock.notified(method, &name) {
                self.events.push_back(SessionEvent::Lock(lock.status()));
            }
        }
        Ok(())
    }

    fn lock_answered(&mut self, result: Result<Box<RawValue>, DatabaseError>) -> Result<(), Error> {
        #[derive(serde::Deserialize)]
        struct Answer {
            locked: bool,
        }
        let answer: Answer =
            serde_json::from_str(result?.get()).map_err(|e| Error::malformed("answer to lock", e))?;
        if let Some(lock) = &mut self.lock
            && lock.answered(answer.locked)
        {
            self.events.push_back(SessionEvent::Lock(lock.status()));
        }
        Ok(())
    }
}

fn send(exchange: &mut Exchange<Call>, method: &str, params: &str, call: Call) -> Result<u64, Error> {
    exchange.request(method, params, call).map_err(|_| Kind::Busy.into())
}

// ===== impl Feed =====

impl<R: Replica> RowHandler for Feed<'_, R> {
    fn begin(&mut self, head: &RowsHead) -> Result<(), Error> {
        if let RowsSource::Update(monitor) = &head.source
            && (monitor != MONITOR_TEXT || !self.dialogue.synced)
        {
            return Err(Error::malformed("update", format_args!("there is no monitor {monitor}")));
        }
        // From the first row to the last, what is here is nowhere in the server's history: were
        // the connection to break now, its differences would be applied to the wrong rows.
        self.dialogue.position = None;
        self.replica.begin(if head.found { Batch::Delta } else { Batch::Snapshot });
        Ok(())
    }

    fn row(&mut self, update: RowUpdate<'_>) -> Result<(), Error> {
        self.replica.apply(update).map_err(|inconsistent| Kind::Inconsistent(inconsistent).into())
    }
}
