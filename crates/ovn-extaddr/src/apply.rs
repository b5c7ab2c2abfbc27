//! Which changes to send when, and what their outcome means. Pure: time is an argument.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

use ovn_model::Store;
use ovsdb_protocol::{ErrorClass, LockName, Outcome, TransactError, Transaction, TransactionId};

use crate::batch::{self, Batch};
use crate::clock::Now;
use crate::engine::{Engine, Subject};
use crate::fight::Fights;
use crate::plan::RowChange;

/// Subjects whose changes go into one transaction. The server does nothing else while it executes
/// one: this many take it some ten milliseconds.
const MOST_SUBJECTS: usize = 500;

/// The wait before changes are sent again that had no effect, doubled each time.
const FIRST_WAIT: Duration = Duration::from_millis(200);
const LONGEST_WAIT: Duration = Duration::from_secs(60);

/// Sends what the engine wants changed: one transaction at a time, as large as need be, at once.
#[derive(Debug)]
pub struct Applier {
    lock: LockName,
    in_flight: Option<(TransactionId, Batch)>,
    /// Subjects in the next transaction at most.
    limit: usize,
    held: HashMap<Subject, Held>,
    fights: Fights,
    /// Ports whose [`obstacle`](Self::obstacle) may be another one than before.
    touched: BTreeSet<Arc<str>>,
    /// When it was last looked for something to send.
    looked: Option<Instant>,
}

/// Changes that had no effect, and are not sent again for a while unless they become others.
#[derive(Debug)]
struct Held {
    changes: Vec<RowChange>,
    until: Instant,
    attempts: u32,
    error: Arc<str>,
}

/// How a transaction ended.
#[derive(Debug, PartialEq, Eq)]
pub struct Conclusion {
    /// The ports and conversions that it was for.
    pub subjects: Vec<Subject>,
    /// How many changes it was to make.
    pub changes: usize,
    /// What became of it.
    pub fate: Fate,
}

/// What became of a transaction.
#[derive(Debug, PartialEq, Eq)]
pub enum Fate {
    /// It was committed.
    Committed,
    /// It was refused; what can be sent again is.
    Refused(String),
    /// The connection broke before the answer. The database will show what became of it.
    Unknown,
}

/// Why changes of a port are not sent at the moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Obstacle {
    /// The database refused them, with this error.
    Refused(Arc<str>),
    /// Somebody keeps removing the rows.
    Contested,
}

// ===== impl Applier =====

impl Applier {
    /// Sends only while `lock` is ours.
    pub fn new(lock: LockName) -> Self {
        Self {
            lock,
            in_flight: None,
            limit: MOST_SUBJECTS,
            held: HashMap::new(),
            fights: Fights::default(),
            touched: BTreeSet::new(),
            looked: None,
        }
    }

    /// Returns the next transaction, if there is something to send and none is under way.
    pub fn next(&mut self, store: &Store, engine: &Engine, now: Now) -> Option<Pending<'_>> {
        if self.in_flight.is_some() {
            return None;
        }
        self.looked = Some(now.instant);
        self.held.retain(|subject, _| engine.unsettled().contains(subject));
        let forgotten = self.fights.forget_old(now.instant);
        self.touch(forgotten.iter());
        let mut subjects = BTreeMap::new();
        for subject in engine.unsettled() {
            if subjects.len() >= self.limit {
                break;
            }
            subjects.extend(self.ready(store, engine, subject, now.instant));
        }
        if subjects.is_empty() {
            return None;
        }
        let batch = batch::merge(store, engine, &self.lock, subjects, now);
        Some(Pending { applier: self, batch })
    }

    /// Returns a subject with its changes, and those that must happen together with them; nothing
    /// if any of that waits. A row beside a VIP that should be out of the way breaks connections,
    /// and a conversion without a row is good for nothing.
    fn ready(
        &self,
        store: &Store,
        engine: &Engine,
        subject: &Subject,
        now: Instant,
    ) -> Vec<(Subject, Vec<RowChange>)> {
        let waits = |subject: &Subject| self.waits(subject, &engine.changes(store, subject), now);
        let mut ready = vec![(subject.clone(), engine.changes(store, subject))];
        match subject {
            Subject::Port(port) => {
                let needed = engine.conversions_of(port).iter().copied().map(Subject::Conversion);
                ready.extend(needed.map(|needed| (needed.clone(), engine.changes(store, &needed))));
            }
            Subject::Conversion(place) => {
                let mut users = engine.users_of(place).map(|port| Subject::Port(Arc::clone(port))).peekable();
                if users.peek().is_some() && users.all(|user| waits(&user)) {
                    return Vec::new();
                }
            }
        }
        if ready.iter().any(|(subject, changes)| self.waits(subject, changes, now)) {
            return Vec::new();
        }
        ready.retain(|(_, changes)| !changes.is_empty());
        ready
    }

    /// Returns whether a transaction is under way.
    pub fn is_busy(&self) -> bool {
        self.in_flight.is_some()
    }

    /// Returns when changes that wait are to be tried again: the first time that had not come when
    /// [`next`](Self::next) was called last.
    pub fn next_deadline(&self) -> Option<Instant> {
        let held = self.held.values().map(|held| held.until);
        let waits = held.chain(self.fights.deadlines()).filter(|at| self.looked < Some(*at));
        waits.min().filter(|_| self.in_flight.is_none())
    }

    /// Returns why the changes of a port are not sent, if something is wrong with them.
    pub fn obstacle(&self, port: &Arc<str>) -> Option<Obstacle> {
        let subject = Subject::Port(Arc::clone(port));
        let refused = self.held.get(&subject).map(|held| Obstacle::Refused(Arc::clone(&held.error)));
        refused.or_else(|| self.fights.is_contested(&subject).then_some(Obstacle::Contested))
    }

    /// Takes in how a transaction ended. The engine has seen its effects before.
    pub fn completed(
        &mut self,
        id: TransactionId,
        outcome: Outcome,
        store: &Store,
        engine: &Engine,
        now: Now,
    ) -> Option<Conclusion> {
        let (_, batch) = self.in_flight.take_if(|(in_flight, _)| *in_flight == id)?;
        let now = now.instant;
        let subjects: Vec<_> = batch.subjects.keys().cloned().collect();
        let changes = batch.subjects.values().map(Vec::len).sum();
        self.touch(subjects.iter());
        let fate = match outcome {
            Outcome::Committed(_) => {
                self.limit = MOST_SUBJECTS;
                for (subject, changes) in batch.subjects {
                    self.fights.committed(&subject, &changes, now);
                    let why = "it was committed and had no effect";
                    if !self.hold_if_same(subject.clone(), changes, why, store, engine, now) {
                        self.held.remove(&subject);
                    }
                }
                Fate::Committed
            }
            Outcome::Refused(refusal) => {
                let message = format!("{refusal}: {}", refusal.error);
                for (subject, changes) in self.suspects(batch, &refusal) {
                    self.hold_if_same(subject, changes, &message, store, engine, now);
                }
                Fate::Refused(message)
            }
            Outcome::Unknown => Fate::Unknown,
        };
        Some(Conclusion { subjects, changes, fate })
    }

    /// Returns the ports whose [`obstacle`](Self::obstacle) may have changed since the last call.
    pub fn take_touched(&mut self) -> BTreeSet<Arc<str>> {
        std::mem::take(&mut self.touched)
    }

    fn touch<'a>(&mut self, subjects: impl Iterator<Item = &'a Subject>) {
        let ports = subjects.filter_map(|subject| match subject {
            Subject::Port(port) => Some(Arc::clone(port)),
            Subject::Conversion(_) => None,
        });
        self.touched.extend(ports);
    }

    /// Returns what may be at fault for a refusal; everything else goes again at once.
    fn suspects(&mut self, batch: Batch, refusal: &TransactError) -> BTreeMap<Subject, Vec<RowChange>> {
        let culprit = refusal.operation.and_then(|operation| batch.origin(operation)).cloned();
        let mut subjects = batch.subjects;
        match (refusal.class(), culprit) {
            // Nothing is wrong with the changes; the session will tell when to go on.
            (ErrorClass::LockLost | ErrorClass::Canceled | ErrorClass::Unavailable, _) => {}
            (_, Some(culprit)) => subjects.retain(|subject, _| *subject == culprit),
            // It cannot be told which one is at fault: ever fewer at a time, until it can.
            (_, None) if self.limit > 1 && subjects.len() > 1 => {
                self.limit = self.limit.min(subjects.len()) / 2;
                subjects.clear();
            }
            (_, None) => {}
        }
        subjects
    }

    fn waits(&self, subject: &Subject, changes: &[RowChange], now: Instant) -> bool {
        let held = self.held.get(subject).is_some_and(|held| now < held.until && held.changes == changes);
        held || self.fights.waits(subject, changes, now)
    }

    /// Holds changes back that are wanted still: what was decided did not change by the outcome, so
    /// that sending them at once would have the same one. Returns whether that is so.
    fn hold_if_same(
        &mut self,
        subject: Subject,
        changes: Vec<RowChange>,
        error: &str,
        store: &Store,
        engine: &Engine,
        now: Instant,
    ) -> bool {
        if !engine.unsettled().contains(&subject) || engine.changes(store, &subject) != changes {
            return false;
        }
        let attempts = self.held.get(&subject).map_or(0, |held| held.attempts + 1);
        let wait = FIRST_WAIT.saturating_mul(1 << attempts.min(16)).min(LONGEST_WAIT);
        self.held.insert(subject, Held { changes, until: now + wait, attempts, error: error.into() });
        true
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

    /// Returns what it is for, and what it changes.
    pub fn subjects(&self) -> &BTreeMap<Subject, Vec<RowChange>> {
        &self.batch.subjects
    }

    /// Takes note that it was sent.
    pub fn sent(self, id: TransactionId) {
        self.applier.in_flight = Some((id, self.batch));
    }
}
