//! Transactions: sending, the audit file, and outcomes.

use std::sync::Arc;
use std::time::{Instant, SystemTime};

use extaddr_core::apply::{Applier, TransactionOutcome, TransactionReport};
use extaddr_core::change::RowChange;
use extaddr_core::difference::{Action, planned_change};
use extaddr_core::engine::{Engine, ReconcileKey};
use extaddr_core::explain::Check;
use extaddr_core::report;
use ovn_model::Family;
use ovsdb_protocol::LockStatus;
use tracing::{error, info, warn};

use super::losses::{self, Loss};
use super::{Agent, now};
use crate::audit::{Audit, Because, Sent};
use crate::log_throttle::Admitted;

/// The data of a transaction under way.
#[derive(Debug)]
struct UnderWay {
    /// Since when each port's rows differ from the desired state.
    since: Vec<Instant>,
    actions: Vec<Action>,
    losses: Vec<Loss>,
}

/// What is written to the database, and to the audit file about it.
#[derive(Debug)]
pub(super) struct Writing {
    pub(super) applier: Applier,
    under_way: Option<UnderWay>,
    pub(super) audit: Option<Audit>,
    /// When the last transaction was committed, and how many changes it had.
    pub(super) committed: Option<(SystemTime, usize)>,
    /// When a transaction was refused last, and why.
    pub(super) refused: Option<(SystemTime, String)>,
}

impl Writing {
    pub(super) fn new(applier: Applier, audit: Option<Audit>) -> Self {
        Self { applier, under_way: None, audit, committed: None, refused: None }
    }
}

impl Agent {
    /// Sends the next transaction, if there are changes and this agent may write. Returns whether it did.
    pub(super) fn send(&mut self) -> bool {
        if !self.may_write() {
            return false;
        }
        let Some(pending) = self.writing.applier.next(&self.northbound.store, &self.engine, now()) else {
            return false;
        };
        let ports = pending.subjects().keys().filter_map(|subject| match subject {
            ReconcileKey::Port(port) => self.tracker.unsettled_since(port),
            ReconcileKey::Conversion(_) => None,
        });
        let changes = pending.subjects().values().flatten();
        let under_way = UnderWay {
            since: ports.collect(),
            actions: changes.map(Action::from).collect(),
            losses: losses::find(
                &self.northbound.store,
                &self.engine,
                &self.tracker.stats,
                pending.subjects(),
            ),
        };
        let written = self.writing.audit.as_mut().map(|audit| {
            let changes = pending.subjects().iter().flat_map(|(subject, changes)| {
                changes.iter().map(|change| because(&self.northbound.store, &self.engine, subject, change))
            });
            let epoch =
                if let LockStatus::Held(epoch) = self.northbound.session.lock_status() { epoch } else { 0 };
            audit.sending(&Sent {
                owner: self.engine.owner().as_str(),
                server: self.northbound.session.remote().map_or_else(String::new, ToString::to_string),
                lock_epoch: epoch,
                changes: changes.collect(),
            })
        });
        match self.northbound.session.transact(pending.transaction()) {
            Ok(id) => {
                pending.sent(id);
                self.writing.under_way = Some(under_way);
                self.check_audit(written);
                true
            }
            // It was not sent and is tried again at the next event.
            Err(error) => {
                let error = format!("{error:#}");
                error!(error = %error, "cannot send a transaction");
                self.check_audit(written);
                let written = self.writing.audit.as_mut().map(|audit| audit.not_sent(&error));
                self.check_audit(written);
                false
            }
        }
    }

    /// Handles the end of a transaction.
    pub(super) fn concluded(&mut self, report: &TransactionReport) {
        let TransactionReport { subjects, changes, outcome } = report;
        let under_way = self.writing.under_way.take();
        self.metrics.concluded(outcome);
        let written = self.writing.audit.as_mut().map(|audit| audit.concluded(outcome));
        self.check_audit(written);
        match outcome {
            TransactionOutcome::Committed => {
                info!(keys = subjects.len(), changes, "transaction committed");
                losses::log(under_way.as_ref().map_or(&[], |under_way| &under_way.losses));
                self.writing.committed = Some((SystemTime::now(), *changes));
                self.repeats.forget("refused");
                for since in under_way.iter().flat_map(|under_way| &under_way.since) {
                    self.metrics.update_to_commit.observe(since.elapsed().as_secs_f64());
                }
                for action in under_way.iter().flat_map(|under_way| &under_way.actions) {
                    self.metrics.changes.get_or_create(&[("action", action.name())]).inc();
                }
            }
            TransactionOutcome::Refused(error) => {
                self.writing.refused = Some((SystemTime::now(), error.clone()));
                if let Some(Admitted { repeated }) = self.repeats.admit("refused", error, now().instant) {
                    warn!(%error, repeated, "transaction refused");
                }
            }
            TransactionOutcome::Unknown => {
                warn!("transaction outcome unknown: the connection broke before the reply")
            }
        }
    }

    /// The agent continues if the file cannot be written to: a full disk must not cost instances their addresses.
    fn check_audit(&mut self, written: Option<std::io::Result<()>>) {
        if let Some(Err(error)) = written {
            self.metrics.audit_failures.inc();
            if self.repeats.admit("audit", &error.to_string(), now().instant).is_some() {
                error!(%error, "cannot write to the audit file");
            }
        }
    }
}

/// Describes a change and the checks behind it.
fn because(store: &ovn_model::Store, engine: &Engine, subject: &ReconcileKey, change: &RowChange) -> Because {
    let why = match subject {
        ReconcileKey::Port(port) => why_of_port(store, engine, port, change),
        ReconcileKey::Conversion(place) => {
            let users = Check::list(engine.users_of(place));
            if users.is_empty() {
                format!("no override has {} any more", place.1)
            } else {
                format!("overrides have {}: {users}", place.1)
            }
        }
    };
    Because { change: planned_change(store, engine, subject, change), why }
}

fn why_of_port(store: &ovn_model::Store, engine: &Engine, port: &Arc<str>, change: &RowChange) -> String {
    let external = match change {
        RowChange::Delete(nat, _) => store.nat(*nat).and_then(|nat| nat.external_ip()),
        other => other.external(),
    };
    let family = external.map(|address| Family::from(address).to_string());
    let entries = report::entries(store, engine, port, None);
    match entries.iter().find(|entry| family.as_ref() == Some(&entry.family)) {
        // The message of a pending row announces the change; here it gives the reason.
        Some(entry) if matches!(change, RowChange::Insert(_) | RowChange::Update(..)) => {
            format!("{} asks for {}", entry.source, entry.wanted)
        }
        Some(entry) => format!("{} asks for {}: {}", entry.source, entry.wanted, entry.message),
        None => "there is no intent any more".to_owned(),
    }
}
