//! Which changes to send when, and what their outcome means. Pure: time is an argument.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

use ovn_model::Store;
use ovsdb_protocol::{ErrorClass, LockName, Outcome, TransactError, Transaction, TransactionId};

use crate::batch::{self, Batch};
use crate::engine::Engine;
use crate::plan::RowChange;

/// Ports whose changes go into one transaction. The server does nothing else while it executes one:
/// this many take it some ten milliseconds.
const MOST_PORTS: usize = 500;

/// The wait before changes are sent again that had no effect, doubled each time.
const FIRST_WAIT: Duration = Duration::from_millis(200);
const LONGEST_WAIT: Duration = Duration::from_secs(60);

/// Sends what the engine wants changed: one transaction at a time, as large as need be, at once.
#[derive(Debug)]
pub struct Applier {
    lock: LockName,
    in_flight: Option<(TransactionId, Batch)>,
    /// Ports in the next transaction at most.
    limit: usize,
    held: HashMap<Arc<str>, Held>,
}

/// Changes that had no effect, and are not sent again for a while unless they become others.
#[derive(Debug)]
struct Held {
    changes: Vec<RowChange>,
    until: Instant,
    attempts: u32,
    error: Arc<str>,
}

/// How a transaction ended, for the log.
#[derive(Debug, PartialEq, Eq)]
pub enum Conclusion {
    /// It was committed.
    Committed {
        /// Ports whose rows it changed.
        ports: usize,
        /// Rows that it changed.
        rows: usize,
    },
    /// It was refused; what can be sent again is.
    Refused(String),
    /// The connection broke before the answer. The database will show what became of it.
    Unknown,
}

// ===== impl Applier =====

impl Applier {
    /// Sends only while `lock` is ours.
    pub fn new(lock: LockName) -> Self {
        Self { lock, in_flight: None, limit: MOST_PORTS, held: HashMap::new() }
    }

    /// Returns the next transaction, if there is something to send and none is under way.
    pub fn next(&mut self, store: &Store, engine: &Engine, now: Instant) -> Option<Pending<'_>> {
        if self.in_flight.is_some() {
            return None;
        }
        self.held.retain(|port, _| engine.unsettled().contains(port));
        let mut ports = BTreeMap::new();
        for port in engine.unsettled() {
            if ports.len() == self.limit {
                break;
            }
            let changes = engine.changes(store, port);
            let held = self.held.get(port).is_some_and(|held| now < held.until && held.changes == changes);
            if !held && !changes.is_empty() {
                ports.insert(Arc::clone(port), changes);
            }
        }
        if ports.is_empty() {
            return None;
        }
        let batch = batch::merge(store, engine, &self.lock, ports);
        Some(Pending { applier: self, batch })
    }

    /// Returns whether a transaction is under way.
    pub fn is_busy(&self) -> bool {
        self.in_flight.is_some()
    }

    /// Returns when held changes are to be tried again.
    pub fn next_deadline(&self) -> Option<Instant> {
        self.held.values().map(|held| held.until).min().filter(|_| self.in_flight.is_none())
    }

    /// Returns why the changes of a port are held back, if they are.
    pub fn refusal(&self, port: &str) -> Option<&Arc<str>> {
        self.held.get(port).map(|held| &held.error)
    }

    /// Takes in how a transaction ended. The engine has seen its effects before.
    pub fn completed(
        &mut self,
        id: TransactionId,
        outcome: Outcome,
        store: &Store,
        engine: &Engine,
        now: Instant,
    ) -> Option<Conclusion> {
        let (_, batch) = self.in_flight.take_if(|(in_flight, _)| *in_flight == id)?;
        Some(match outcome {
            Outcome::Committed(_) => {
                self.limit = MOST_PORTS;
                let (ports, rows) = (batch.ports.len(), batch.ports.values().map(Vec::len).sum());
                for (port, changes) in batch.ports {
                    self.held.remove(&port);
                    self.hold_if_same(
                        port,
                        changes,
                        "it was committed and had no effect",
                        store,
                        engine,
                        now,
                    );
                }
                Conclusion::Committed { ports, rows }
            }
            Outcome::Refused(refusal) => {
                let message = format!("{refusal}: {}", refusal.error);
                self.refused(batch, &refusal, &message, store, engine, now);
                Conclusion::Refused(message)
            }
            Outcome::Unknown => Conclusion::Unknown,
        })
    }

    fn refused(
        &mut self,
        batch: Batch,
        refusal: &TransactError,
        message: &str,
        store: &Store,
        engine: &Engine,
        now: Instant,
    ) {
        if let ErrorClass::LockLost | ErrorClass::Canceled | ErrorClass::Unavailable = refusal.class() {
            // Nothing is wrong with the changes; the session will tell when to go on.
            for (port, changes) in batch.ports {
                self.hold_if_same(port, changes, message, store, engine, now);
            }
            return;
        }
        let culprit = refusal.operation.and_then(|operation| batch.origin(operation)).cloned();
        match culprit {
            // The others go again at once, without it.
            Some(port) => {
                if let Some((port, changes)) = batch.ports.into_iter().find(|(name, _)| *name == port) {
                    self.hold_if_same(port, changes, message, store, engine, now);
                }
            }
            // It cannot be told which one is at fault: ever fewer at a time, until it can.
            None if batch.ports.len() > 1 => self.limit = batch.ports.len().div_ceil(2),
            None => {
                for (port, changes) in batch.ports {
                    self.hold_if_same(port, changes, message, store, engine, now);
                }
            }
        }
    }

    /// Holds changes back that are wanted still: what was decided did not change by the outcome, so
    /// that sending them at once would have the same one.
    fn hold_if_same(
        &mut self,
        port: Arc<str>,
        changes: Vec<RowChange>,
        error: &str,
        store: &Store,
        engine: &Engine,
        now: Instant,
    ) {
        if !engine.unsettled().contains(&port) || engine.changes(store, &port) != changes {
            return;
        }
        let attempts = self.held.get(&port).map_or(0, |held| held.attempts + 1);
        let wait = FIRST_WAIT.saturating_mul(1 << attempts.min(16)).min(LONGEST_WAIT);
        self.held.insert(port, Held { changes, until: now + wait, attempts, error: error.into() });
    }
}

/// A transaction that is not sent yet.
#[derive(Debug)]
pub struct Pending<'a> {
    applier: &'a mut Applier,
    batch: Batch,
}

// ===== impl Pending =====

impl Pending<'_> {
    /// Returns what to send.
    pub fn transaction(&self) -> &Transaction {
        &self.batch.transaction
    }

    /// Takes note that it was sent.
    pub fn sent(self, id: TransactionId) {
        self.applier.in_flight = Some((id, self.batch));
    }
}
