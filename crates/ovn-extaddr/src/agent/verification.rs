//! The verification of overrides in the Southbound database, every `verify-interval`.

use std::convert::Infallible;
use std::future::pending;
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context, bail};
use extaddr_core::verify::{Check, Code, Outcome, Override, Round, overrides};
use foldhash::{HashMap, HashMapExt};
use ovsdb_protocol::Uuid;
use tokio::runtime::Builder;
use tokio::sync::oneshot;
use tokio::task::{JoinSet, spawn_blocking};
use tokio::time::sleep;
use tracing::field::display;
use tracing::{info, warn};

use super::{Agent, Northbound, now};
use crate::clock::rfc3339;
use crate::log_throttle::Admitted;
use crate::metrics::number;
use crate::reach::Deadline;
use crate::southbound::{Databases, Sessions, Verdict};

/// The most ports whose overrides are verified together, besides as many that failed before. The others follow the next
/// time, to limit the load of the servers and the agent's memory.
const MAX_PORTS: usize = 1000;

/// How long a verification may take.
const LOOK_TIMEOUT: Duration = Duration::from_secs(300);

/// Failed overrides are checked again after this time before they are reported: ovn-northd may not have processed the
/// change yet.
const RECHECK_DELAY: Duration = Duration::from_secs(15);

/// The most overrides that are logged one by one.
const MAX_NAMED: usize = 50;

/// The verifications of overrides, and their findings.
#[derive(Debug)]
pub(super) struct Verification {
    interval: Option<Duration>,
    sessions: Sessions,
    round: Round,
    next: Option<Instant>,
    /// The verification under way, if there is one. It ends when it is dropped.
    look: JoinSet<anyhow::Result<Vec<Verdict>>>,
    /// The last outcome for each row.
    found: HashMap<Uuid, Outcome>,
    ended: Option<(SystemTime, Result<(), String>)>,
}

impl Verification {
    pub(super) fn new(interval: Option<Duration>, sessions: Sessions, now: Instant) -> Self {
        Self {
            interval,
            sessions,
            round: Round::default(),
            next: interval.map(|interval| now + interval),
            look: JoinSet::new(),
            found: HashMap::new(),
            ended: None,
        }
    }

    /// When to verify next, unless a verification is under way.
    pub(super) fn next_deadline(&self) -> Option<Instant> {
        self.next.filter(|_| self.look.is_empty())
    }

    /// Waits for the verification under way; forever if there is none.
    ///
    /// # Cancel safety
    /// Nothing is lost when the future is dropped.
    pub(super) async fn next(&mut self) -> anyhow::Result<Vec<Verdict>> {
        match self.look.join_next().await {
            Some(Ok(verdicts)) => verdicts,
            Some(Err(error)) => Err(error.into()),
            None => pending().await,
        }
    }

    /// Forgets the outcomes, and ends the verification under way.
    fn forget(&mut self) {
        self.look.abort_all();
        self.look.detach_all();
        self.found.clear();
        self.ended = None;
    }

    fn count(&self, outcome: Outcome) -> usize {
        self.found.values().filter(|found| **found == outcome).count()
    }
}

impl Agent {
    /// Verifies the next overrides when it is time to, if this agent is the one that writes.
    pub(super) fn verify_when_due(&mut self) {
        let now = now().instant;
        let Some(interval) = self.verification.interval else { return };
        if self.verification.next_deadline().is_none_or(|next| now < next) {
            return;
        }
        self.verification.next = Some(now + interval);
        if !self.may_write() {
            self.forget_verified();
            return;
        }
        let Verification { round, found, .. } = &mut self.verification;
        // Many parts later, a failure would still be reported although its cause is gone.
        let failed = found.iter().filter(|(_, outcome)| **outcome == Outcome::Failed).map(|(uuid, _)| *uuid);
        let rows = round.next(&self.northbound.store, &self.engine, MAX_PORTS, failed);
        let sessions = self.verification.sessions.clone();
        let delay = RECHECK_DELAY.min(interval);
        self.verification.look.spawn(verify_in_thread(sessions, rows, delay));
    }

    /// Forgets the outcomes, which only the agent that writes reports.
    pub(super) fn forget_verified(&mut self) {
        self.verification.forget();
        self.count_verified();
    }

    /// Takes in the findings.
    pub(super) fn verified(&mut self, outcome: anyhow::Result<Vec<Verdict>>) {
        let now = now().instant;
        self.verification.next = self.verification.interval.map(|interval| now + interval);
        let ended = outcome.as_ref().map(drop).map_err(|error| format!("{error:#}"));
        self.verification.ended = Some((SystemTime::now(), ended));
        let word = if outcome.is_ok() { "done" } else { "failed" };
        self.metrics.verifications.get_or_create(&[("outcome", word)]).inc();
        match outcome {
            Err(error) => {
                self.verification.round.repeat();
                let error = format!("{error:#}");
                if let Some(Admitted { repeated }) = self.repeats.admit("verification", &error, now) {
                    warn!(%error, repeated, "cannot verify overrides");
                }
            }
            Ok(verdicts) => {
                self.repeats.forget("verification");
                self.metrics.seen_verified();
                self.take_verdicts(verdicts);
            }
        }
        self.count_verified();
    }

    fn take_verdicts(&mut self, verdicts: Vec<Verdict>) {
        let Self { northbound: Northbound { store, .. }, engine, verification, .. } = self;
        let is_there = |uuid: &Uuid| {
            let row = store.nat_by_uuid(*uuid).and_then(|id| store.nat(id));
            row.filter(|row| row.router.is_some() && engine.owner().owns(row))
        };
        verification.found.retain(|uuid, _| is_there(uuid).is_some());
        let mut logged = 0;
        for Verdict { row, findings } in verdicts {
            // Overrides that changed meanwhile are verified in the next round.
            if !overrides(engine.network(store), &row.port).contains(&row) {
                verification.found.remove(&row.nat);
                continue;
            }
            let outcome = judged(&findings.checks);
            let before = verification.found.insert(row.nat, outcome);
            let has_failed = outcome == Outcome::Failed;
            if has_failed == (before == Some(Outcome::Failed)) {
                continue;
            }
            logged += 1;
            if logged <= MAX_NAMED {
                log_outcome(&row, outcome, &findings.checks);
            }
        }
        if logged > MAX_NAMED {
            let overrides = logged - MAX_NAMED;
            warn!(overrides, "more overrides began or ceased to fail");
        }
    }

    fn count_verified(&self) {
        for outcome in Outcome::ALL {
            let count = number(self.verification.count(outcome));
            self.metrics.verified.get_or_create(&[("outcome", outcome.name())]).set(count);
        }
    }

    /// Returns the last findings, for `status`.
    pub(super) fn verification_status(&self) -> Option<String> {
        self.verification.interval?;
        Some(match &self.verification.ended {
            None => "not yet".to_owned(),
            Some((at, Err(error))) => format!("{error} at {}", rfc3339(*at)),
            Some((at, Ok(()))) => {
                let counts = Outcome::ALL
                    .map(|outcome| format!("{} {}", self.verification.count(outcome), outcome.name()));
                format!("{} at {}", counts.join(", "), rfc3339(*at))
            }
        })
    }

    /// Switches to another interval or other databases.
    pub(super) fn verify_otherwise(&mut self, interval: Option<Duration>, sessions: Sessions) {
        if self.verification.interval != interval {
            self.verification.forget();
            self.verification.interval = interval;
            self.verification.next = interval.map(|interval| now().instant + interval);
            self.count_verified();
        }
        self.verification.sessions = sessions;
    }
}

/// Verifies overrides in a separate thread: reading a million flows would block the agent's loop.
///
/// # Cancel safety
/// The verification ends when the future is dropped.
async fn verify_in_thread(
    sessions: Sessions,
    rows: Vec<Override>,
    delay: Duration,
) -> anyhow::Result<Vec<Verdict>> {
    let (wanted, dropped) = oneshot::channel::<Infallible>();
    let found = spawn_blocking(move || {
        let runtime = Builder::new_current_thread().enable_all().build().context("no runtime for a look")?;
        runtime.block_on(async {
            tokio::select! {
                found = look(sessions, rows, delay) => found,
                _ = dropped => bail!("nobody waits for it"),
            }
        })
    });
    let found = found.await?;
    drop(wanted);
    found
}

/// Verifies overrides, and those that failed a second time.
async fn look(sessions: Sessions, rows: Vec<Override>, delay: Duration) -> anyhow::Result<Vec<Verdict>> {
    let databases = Databases::open(sessions, Deadline::after(LOOK_TIMEOUT)).await?;
    let has_failed = |verdict: &Verdict| judged(&verdict.findings.checks) == Outcome::Failed;
    let (failed, mut verdicts): (Vec<_>, Vec<_>) =
        databases.verify(rows).await?.into_iter().partition(has_failed);
    if !failed.is_empty() {
        sleep(delay).await;
        verdicts.extend(databases.verify(failed.into_iter().map(|verdict| verdict.row).collect()).await?);
    }
    Ok(verdicts)
}

/// Returns the outcome for an override with these checks. A stopped instance is not a failure of its override and must
/// not cause an alert.
fn judged(checks: &[Check]) -> Outcome {
    let (of_port, others): (Vec<_>, Vec<_>) = checks.iter().partition(|check| check.check == Code::Port);
    let worst = |checks: &[&Check]| checks.iter().map(|check| check.outcome).max();
    let port = worst(&of_port).map(|outcome| outcome.min(Outcome::Unknown));
    worst(&others).max(port).unwrap_or(Outcome::Unknown)
}

/// Logs that an override fails these checks, or no longer does.
fn log_outcome(row: &Override, outcome: Outcome, checks: &[Check]) {
    let Override { port, router, internal, external, .. } = row;
    if outcome != Outcome::Failed {
        let outcome = outcome.name();
        info!(%port, %router, %internal, %external, %outcome, "override no longer fails");
        return;
    }
    for check in checks.iter().filter(|check| check.outcome == Outcome::Failed) {
        let Check { check, message, cure, .. } = check;
        let (check, cure) = (check.name(), cure.as_deref().map(display));
        warn!(%port, %router, %internal, %external, %check, found = %message, cure, "override fails in the data plane");
    }
}
