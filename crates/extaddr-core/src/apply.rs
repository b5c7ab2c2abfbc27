//! The schedule of transactions, and the handling of their outcomes. Pure: time is an argument.

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

use ovn_model::Store;
use ovsdb_protocol::{ErrorClass, LockName, Outcome, TransactError, Transaction, TransactionId};

use crate::batch::{self, Batch};
use crate::change::RowChange;
use crate::clock::Now;
use crate::contention::ContentionTracker;
use crate::engine::{Engine, ReconcileKey};
use crate::row::OwnRow;
use crate::urgent_deletes;

/// The number of keys from which on no more are added to a transaction. The server does nothing else while it executes
/// one: this many take it a few milliseconds. The number also bounds the agent's memory for a transaction.
const MAX_KEYS: usize = 100;

/// The wait before changes that had no effect are sent again, doubled each time.
const FIRST_WAIT: Duration = Duration::from_millis(200);
const MAX_WAIT: Duration = Duration::from_secs(60);

/// The wait before anything is sent again to a database that does not accept it for reasons of its own, at most.
const MAX_PAUSE: Duration = Duration::from_secs(5);

/// A schedule by which the changes that the engine requires are sent at once, in one transaction at a time, as large
/// as necessary.
#[derive(Debug)]
pub struct Applier {
    lock: LockName,
    in_flight: Option<(TransactionId, Batch)>,
    /// The number of keys from which on no more are added to the next transaction.
    limit: usize,
    /// By subject, and whether only its [`withdrawal`] is held, which does not wait for the rest.
    held: HashMap<(ReconcileKey, bool), Held>,
    pause: Option<Pause>,
    contention: ContentionTracker,
    /// Ports whose [`obstacle`](Self::obstacle) may have changed.
    touched: BTreeSet<Arc<str>>,
    /// The time of the last call of [`next`](Self::next).
    last_call: Option<Instant>,
}

/// Changes that had no effect, and are not sent again for a while unless they differ.
#[derive(Debug)]
struct Held {
    changes: Vec<RowChange>,
    until: Instant,
    attempts: u32,
    error: Arc<str>,
}

/// The time after a refusal that has nothing to do with the changes, in which nothing is sent.
#[derive(Debug)]
struct Pause {
    until: Instant,
    attempts: u32,
    /// The error, unless another agent has the lock, which does what is to be done.
    error: Option<Arc<str>>,
}

/// The subjects and the outcome of a transaction that has ended.
#[derive(Debug, PartialEq, Eq)]
pub struct TransactionReport {
    /// The ports and conversions that it changed.
    pub subjects: Vec<ReconcileKey>,
    /// The number of changes in it.
    pub changes: usize,
    /// Its outcome.
    pub outcome: TransactionOutcome,
}

/// The outcome of a transaction.
#[derive(Debug, PartialEq, Eq)]
pub enum TransactionOutcome {
    /// It was committed.
    Committed,
    /// It was refused. Changes that can be sent again are.
    Refused(String),
    /// The connection broke before the answer. The database will show whether it was committed.
    Unknown,
}

/// The reason why the changes of a port are not sent at the moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Obstacle {
    /// The database refused them, or does not accept any, with this error.
    Refused(Arc<str>),
    /// Somebody keeps removing the rows.
    Contested,
}

// ===== impl Applier =====

impl Applier {
    /// Creates an applier that sends only while this agent has `lock`.
    pub fn new(lock: LockName) -> Self {
        Self {
            lock,
            in_flight: None,
            limit: MAX_KEYS,
            held: HashMap::new(),
            pause: None,
            contention: ContentionTracker::default(),
            touched: BTreeSet::new(),
            last_call: None,
        }
    }

    /// Returns the next transaction, if there is something to send and none is under way.
    pub fn next(&mut self, store: &Store, engine: &Engine, now: Now) -> Option<Pending<'_>> {
        if self.in_flight.is_some() {
            return None;
        }
        self.last_call = Some(now.instant);
        self.expire(engine, now.instant);
        if self.pause.as_ref().is_some_and(|pause| now.instant < pause.until) {
            return None;
        }
        let mut subjects = BTreeMap::new();
        for subject in engine.unsettled() {
            if subjects.len() >= self.limit {
                break;
            }
            for (subject, changes) in self.ready(store, engine, subject, now.instant) {
                // A port may have to give up rows for more than one reason.
                let all: &mut Vec<RowChange> = subjects.entry(subject).or_default();
                for change in changes {
                    if !all.contains(&change) {
                        all.push(change);
                    }
                }
            }
        }
        if subjects.is_empty() {
            return None;
        }
        let batch = batch::merge(store, engine, &self.lock, subjects);
        Some(Pending { applier: self, batch })
    }

    /// Ends the contested state of rows that have not been restored for long enough, and forgets a pause after which
    /// nothing was sent, and refused changes that are no longer needed, even if this agent does not write.
    pub fn expire(&mut self, engine: &Engine, now: Instant) {
        self.held.retain(|(subject, part), held| {
            engine.unsettled().contains(subject) || (*part && now < held.until + MAX_WAIT)
        });
        let forgotten = self.contention.forget_old(now);
        self.touch(engine, forgotten.iter());
        if self.pause.take_if(|pause| pause.expiry() <= now).is_some() {
            self.touch(engine, engine.unsettled().iter());
        }
    }

    /// Returns when something ceases to be contested, or a pause is forgotten; [`expire`](Self::expire) is to be called
    /// then.
    pub fn next_expiry(&self) -> Option<Instant> {
        self.contention.next_expiry().into_iter().chain(self.pause.as_ref().map(Pause::expiry)).min()
    }

    /// Returns a subject with its changes, and those that must happen together with them. An override beside a VIP that
    /// has to be converted breaks connections, and a conversion without an override has no use. If any of them
    /// waits, only the changes that cannot wait are sent.
    fn ready(
        &self,
        store: &Store,
        engine: &Engine,
        subject: &ReconcileKey,
        now: Instant,
    ) -> Vec<(ReconcileKey, Vec<RowChange>)> {
        let whole = self.whole(store, engine, subject, now);
        if !whole.is_empty() {
            return whole;
        }
        let withdrawals: Vec<_> = match subject {
            ReconcileKey::Port(port) => {
                let changes = engine.changes(store, subject);
                vec![(subject.clone(), urgent_deletes::among(store, engine.rules(), port, &changes))]
            }
            ReconcileKey::Conversion(place) => {
                let users = engine.users_of(place);
                users
                    .map(|port| {
                        (
                            ReconcileKey::Port(Arc::clone(port)),
                            urgent_deletes::off_address(engine.network(store), port, *place),
                        )
                    })
                    .collect()
            }
        };
        let due = |(subject, changes): &(ReconcileKey, Vec<RowChange>)| {
            // Where the withdrawal is the only change, it is the whole.
            let held = [false, true].into_iter().any(|part| self.is_held(subject, part, changes, now));
            !changes.is_empty() && !held
        };
        withdrawals.into_iter().filter(due).collect()
    }

    /// Returns a subject with its changes and those that must happen together with them; nothing if any of them waits.
    fn whole(
        &self,
        store: &Store,
        engine: &Engine,
        subject: &ReconcileKey,
        now: Instant,
    ) -> Vec<(ReconcileKey, Vec<RowChange>)> {
        let waits = |subject: &ReconcileKey| self.waits(subject, &engine.changes(store, subject), now);
        let mut ready = vec![(subject.clone(), engine.changes(store, subject))];
        match subject {
            ReconcileKey::Port(port) => {
                let needed = engine.conversions_of(port).map(ReconcileKey::Conversion);
                ready.extend(needed.map(|needed| (needed.clone(), engine.changes(store, &needed))));
            }
            ReconcileKey::Conversion(place) => {
                let mut users = engine.users_of(place).peekable();
                // If another user has its row already, the conversion is for that one.
                let absent = |user: &Arc<str>| {
                    urgent_deletes::off_address(engine.network(store), user, *place).is_empty()
                };
                let late = |user: &Arc<str>| waits(&ReconcileKey::Port(Arc::clone(user))) && absent(user);
                if users.peek().is_some() && users.all(late) {
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

    /// Returns whether changes of a port are under way.
    pub fn is_under_way(&self, port: &Arc<str>) -> bool {
        let subject = ReconcileKey::Port(Arc::clone(port));
        self.in_flight.as_ref().is_some_and(|(_, batch)| batch.subjects.contains_key(&subject))
    }

    /// Returns when waiting changes are to be tried again: the first such time after the last call of
    /// [`next`](Self::next).
    pub fn next_deadline(&self) -> Option<Instant> {
        let held = self.held.values().map(|held| held.until);
        let pause = self.pause.as_ref().map(|pause| pause.until);
        let waits =
            held.chain(self.contention.deadlines()).chain(pause).filter(|at| self.last_call < Some(*at));
        // Nothing is sent before the end of a pause.
        waits.map(|at| pause.map_or(at, |until| until.max(at))).min().filter(|_| self.in_flight.is_none())
    }

    /// Returns why the changes of a port, or of a conversion that it needs, are not sent, if
    /// something is wrong with them.
    pub fn obstacle(&self, engine: &Engine, port: &Arc<str>) -> Option<Obstacle> {
        if self.held.is_empty() && self.pause.is_none() && self.contention.is_empty() {
            return None;
        }
        let needed = || engine.conversions_of(port).map(ReconcileKey::Conversion);
        let subjects = || std::iter::once(ReconcileKey::Port(Arc::clone(port))).chain(needed());
        let held = |subject: ReconcileKey| {
            if !engine.unsettled().contains(&subject) {
                return None;
            }
            let held = [false, true].into_iter().find_map(|part| self.held.get(&(subject.clone(), part)));
            let paused = || self.pause.as_ref()?.error.as_ref();
            held.map(|held| &held.error).or_else(paused).map(|error| Obstacle::Refused(Arc::clone(error)))
        };
        let contested = || subjects().any(|subject| self.contention.is_contested(&subject));
        subjects().find_map(held).or_else(|| contested().then_some(Obstacle::Contested))
    }

    /// Takes in the outcome of a transaction. The engine has already seen its effects.
    pub fn completed(
        &mut self,
        id: TransactionId,
        outcome: Outcome,
        store: &Store,
        engine: &Engine,
        now: Now,
    ) -> Option<TransactionReport> {
        let (_, batch) = self.in_flight.take_if(|(in_flight, _)| *in_flight == id)?;
        let now = now.instant;
        let subjects: Vec<_> = batch.subjects.keys().cloned().collect();
        let changes = batch.subjects.values().map(Vec::len).sum();
        self.touch(engine, subjects.iter());
        let pause = self.pause.take();
        let was_paused = pause.is_some();
        let outcome = match outcome {
            Outcome::Committed(_) => {
                self.limit = MAX_KEYS;
                for (subject, changes) in batch.subjects {
                    let whole = !engine.unsettled().contains(&subject) || !is_withdrawal(&changes);
                    if whole {
                        self.contention.committed(&subject, &changes, now);
                    }
                    let why = "it was committed and had no effect";
                    let held = self.hold_if_same(subject.clone(), changes, why, store, engine, now);
                    if held != Some(!whole) {
                        self.held.remove(&(subject, !whole));
                    }
                }
                TransactionOutcome::Committed
            }
            Outcome::Refused(refusal) => {
                let message = format!("{refusal}: {}", refusal.error);
                let class = refusal.class();
                if let ErrorClass::LockLost | ErrorClass::Canceled | ErrorClass::Unavailable = class {
                    let attempts = pause.map_or(0, |pause| pause.attempts + 1);
                    let until = now + backoff(attempts).min(MAX_PAUSE);
                    let error = (class != ErrorClass::LockLost).then(|| message.as_str().into());
                    self.pause = Some(Pause { until, attempts, error });
                } else {
                    for (subject, changes) in self.suspects(batch, &refusal) {
                        self.hold_if_same(subject, changes, &message, store, engine, now);
                    }
                }
                TransactionOutcome::Refused(message)
            }
            Outcome::Unknown => TransactionOutcome::Unknown,
        };
        if was_paused || self.pause.is_some() {
            self.touch(engine, engine.unsettled().iter());
        }
        Some(TransactionReport { subjects, changes, outcome })
    }

    /// Returns the ports whose [`obstacle`](Self::obstacle) may have changed since the last call.
    pub fn take_touched(&mut self) -> BTreeSet<Arc<str>> {
        std::mem::take(&mut self.touched)
    }

    fn touch<'a>(&mut self, engine: &Engine, subjects: impl Iterator<Item = &'a ReconcileKey>) {
        for subject in subjects {
            match subject {
                ReconcileKey::Port(port) => drop(self.touched.insert(Arc::clone(port))),
                ReconcileKey::Conversion(place) => self.touched.extend(engine.users_of(place).cloned()),
            }
        }
    }

    /// Returns the changes that may have caused a refusal; all others are sent again at once.
    fn suspects(&mut self, batch: Batch, refusal: &TransactError) -> BTreeMap<ReconcileKey, Vec<RowChange>> {
        let culprit = refusal.operation.and_then(|operation| batch.origin(operation)).cloned();
        let mut subjects = batch.subjects;
        match culprit {
            Some(culprit) => subjects.retain(|subject, _| *subject == culprit),
            // The answer does not say which one was refused: fewer at a time are sent until it is known.
            None if self.limit > 1 && subjects.len() > 1 => {
                self.limit = self.limit.min(subjects.len()) / 2;
                subjects.clear();
            }
            None => {}
        }
        subjects
    }

    fn waits(&self, subject: &ReconcileKey, changes: &[RowChange], now: Instant) -> bool {
        self.is_held(subject, false, changes, now) || self.contention.waits(subject, changes, now)
    }

    fn is_held(&self, subject: &ReconcileKey, part: bool, changes: &[RowChange], now: Instant) -> bool {
        let held = self.held.get(&(subject.clone(), part));
        // A withdrawal may have been sent together with another change of the port.
        let same = |held: &Held| match part {
            false => held.changes == changes,
            true => changes.iter().all(|change| held.changes.contains(change)),
        };
        held.is_some_and(|held| now < held.until && same(held))
    }

    /// Holds back changes that are still necessary: the outcome did not change the decision, so that sending them at
    /// once would have the same outcome. Returns whether they are held as a part, if they are held.
    fn hold_if_same(
        &mut self,
        subject: ReconcileKey,
        changes: Vec<RowChange>,
        error: &str,
        store: &Store,
        engine: &Engine,
        now: Instant,
    ) -> Option<bool> {
        let is_there = |change: &RowChange| {
            matches!(change, RowChange::Delete(id, router)
                if store.nat(*id).is_some_and(|nat| nat.router == Some(*router)))
        };
        let part = !engine.unsettled().contains(&subject) || engine.changes(store, &subject) != changes;
        if part && !(is_withdrawal(&changes) && changes.iter().any(is_there)) {
            return None;
        }
        let key = (subject, part);
        let attempts = self.held.get(&key).map_or(0, |held| held.attempts + 1);
        let until = now + backoff(attempts);
        self.held.insert(key, Held { changes, until, attempts, error: error.into() });
        Some(part)
    }
}

impl Pause {
    fn expiry(&self) -> Instant {
        self.until + MAX_WAIT
    }
}

/// Returns the wait after this many attempts before.
fn backoff(attempts: u32) -> Duration {
    FIRST_WAIT.saturating_mul(1 << attempts.min(16)).min(MAX_WAIT)
}

/// Returns whether rows are deleted, and only drain rows are written.
fn is_withdrawal(changes: &[RowChange]) -> bool {
    let gives_up = |change: &RowChange| match change {
        RowChange::Delete(..) => true,
        other => other.row().is_some_and(OwnRow::is_drain),
    };
    changes.iter().all(gives_up)
}

/// A transaction that is not sent yet.
#[derive(Debug)]
pub struct Pending<'a> {
    applier: &'a mut Applier,
    batch: Batch,
}

// ===== impl Pending =====

impl Pending<'_> {
    /// Returns the transaction to send.
    pub fn transaction(&self) -> &Transaction {
        &self.batch.transaction
    }

    /// Returns the subjects and their changes.
    pub fn subjects(&self) -> &BTreeMap<ReconcileKey, Vec<RowChange>> {
        &self.batch.subjects
    }

    /// Records that it was sent.
    pub fn sent(self, id: TransactionId) {
        self.applier.in_flight = Some((id, self.batch));
    }
}
