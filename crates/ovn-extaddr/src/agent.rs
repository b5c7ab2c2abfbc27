//! `ovn-extaddr run`: the loop that owns the state. Events of the session come in, transactions go out.

mod answers;
mod commands;
mod configuration;
mod locking;
mod losses;
mod reporting;
mod sources;
mod standing;
mod tracker;
mod verification;
mod writing;

use std::future::ready;
use std::process::ExitCode;
use std::time::{Duration, SystemTime};

use anyhow::Context;
use clap::Args;
use extaddr_core::apply::Applier;
use extaddr_core::clock::Now;
use extaddr_core::engine::Engine;
use extaddr_core::sources::requests::Requests;
use ovn_model::Store;
use ovsdb_protocol::{Endpoint, Error, Session, SessionEvent};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::{Instant, sleep_until, timeout};
use tracing::{debug, info, warn};

use crate::access;
use crate::audit::Audit;
use crate::clock;
use crate::control::Control;
use crate::exposition::Exposition;
use crate::log::LogControl;
use crate::log_throttle::{Admitted, LogThrottle};
use crate::metrics::Metrics;
use crate::reload::Reload;
use crate::role::Role;
use crate::service::Service;
use crate::settings::{Options, Settings};
use crate::sources::watcher::Watchers;
use crate::southbound::Sessions;
use crate::takeover::Takeover;
use configuration::Configured;
use locking::{Election, spread};
use sources::Sources;
use tracker::IntentTracker;
use verification::Verification;
use writing::Writing;

/// How long a transaction under way may delay the end of the agent.
const GRACE: Duration = Duration::from_secs(5);

/// Runs the agent.
#[derive(Debug, Args)]
pub struct Run {
    /// Decide and report, but change nothing.
    #[arg(long)]
    dry_run: bool,
}

/// Everything that the loop owns.
struct Agent {
    northbound: Northbound,
    engine: Engine,
    election: Election,
    tracker: IntentTracker,
    writing: Writing,
    repeats: LogThrottle,
    metrics: Metrics,
    service: Service,
    sources: Sources,
    verification: Verification,
    configured: Configured,
}

/// The copy of the Northbound database, and the session that keeps it in sync.
struct Northbound {
    session: Session,
    store: Store,
    /// Why the connection was lost last.
    lost: Option<(SystemTime, String)>,
    /// The bytes and rows that the connection had received when the copy was no longer synchronised.
    received_before: (u64, u64),
}

/// The inputs of the loop besides the database.
struct Inputs {
    signals: Signals,
    reload: Reload,
    control: Control,
    exposition: Exposition,
    watchers: Watchers,
}

/// The signals that end the loop.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

// ===== impl Run =====

impl Run {
    /// Runs until it is stopped.
    pub(crate) async fn run(
        self,
        options: Options,
        settings: Settings,
        log: LogControl,
    ) -> anyhow::Result<ExitCode> {
        let mut inputs = Inputs {
            signals: Signals {
                terminate: signal(SignalKind::terminate())?,
                interrupt: signal(SignalKind::interrupt())?,
            },
            reload: Reload::new(options, &settings)?,
            control: Control::open(),
            exposition: Exposition::new(),
            watchers: Watchers::start(&settings.cms),
        };
        info!(
            version = %env!("CARGO_PKG_VERSION"),
            remotes = %settings.remotes,
            owner = %settings.rules.owner,
            dry_run = self.dry_run,
            "starting"
        );
        if let Some(place) = &settings.metrics {
            inputs
                .exposition
                .listen(Some(place), settings.status_page)
                .await
                .with_context(|| format!("cannot serve metrics on {place}"))?;
            info!(address = %place, status_page = %settings.status_page.name(), "serving metrics");
        }
        let mut agent = Agent::new(settings, self.dry_run, log)?;
        let name = agent.run_until(&mut inputs).await;
        info!(signal = %name, "stopping");
        agent.service.stopping("stopping");
        if timeout(GRACE, agent.finish()).await.is_err() {
            warn!("transaction outcome unknown: stopped before the reply");
        }
        Ok(ExitCode::SUCCESS)
    }
}

// ===== impl Agent =====

impl Agent {
    fn new(settings: Settings, dry_run: bool, log: LogControl) -> anyhow::Result<Self> {
        let lock = settings.rules.owner.lock();
        let store = Store::new();
        let mut engine = Engine::new(settings.rules.clone());
        engine.set_requests(&store, Requests::new(settings.cms.iter().map(|cms| cms.kind)));
        let mut config = settings.session();
        config.lock = Some(lock.clone()).filter(|_| !dry_run);
        let verification =
            Verification::new(settings.verify_interval, Sessions::new(&settings), now().instant);
        let audit = settings.audit.as_ref().map(|path| {
            Audit::open(path).with_context(|| format!("cannot open the audit file {}", path.display()))
        });
        let audit = audit.transpose()?;
        Ok(Self {
            northbound: Northbound {
                session: Session::new(config),
                store,
                lost: None,
                received_before: (0, 0),
            },
            engine,
            election: Election::new(dry_run, Takeover::new(settings.takeover.map(spread))),
            tracker: IntentTracker::new(settings.metrics_by_router),
            writing: Writing::new(Applier::new(lock), audit),
            repeats: LogThrottle::default(),
            metrics: Metrics::new(),
            service: Service::new(),
            sources: Sources::new(settings.cms, now().instant),
            verification,
            configured: Configured {
                log,
                remotes: settings.remotes,
                tls: settings.tls,
                cluster_id: settings.cluster_id,
                files: settings.files,
                wrong: None,
            },
        })
    }

    /// Keeps the database in the desired state. Returns the name of the signal that ended it.
    async fn run_until(&mut self, inputs: &mut Inputs) -> &'static str {
        let Inputs { signals, reload, control, exposition, watchers } = inputs;
        loop {
            self.summarize();
            self.service.send_due(now().instant);
            let deadline = self.next_deadline();
            tokio::select! {
                name = signals.next() => return name,
                () = reload.requested() => {
                    self.service.reloading();
                    self.reload(reload.read(), exposition, watchers).await;
                    self.decide();
                    self.report();
                    self.service.reloaded();
                }
                asked = control.next() => {
                    let answer = self.command(&asked.command, exposition);
                    if asked.command.name == "exit" && answer.is_ok() {
                        asked.answer_and_wait(answer).await;
                        return "exit";
                    }
                    asked.answer(answer);
                }
                query = exposition.next() => self.answer(query, exposition),
                report = watchers.next() => self.take_source_report(report),
                verdicts = self.verification.next() => self.verified(verdicts),
                event = self.northbound.next() => self.event(event),
                () = sleep_until(deadline.unwrap_or_else(Instant::now)), if deadline.is_some() => {}
            }
            // All available events are taken in before decisions are made: a burst of updates leads to one decision,
            // and a single one does not wait. Polling for events also sends what is queued, before anything is logged
            // about it.
            loop {
                while let Some(event) = self.ready_event().await {
                    self.event(event);
                }
                self.decide();
                if !self.send() {
                    break;
                }
            }
            self.report();
            self.check_active();
            self.verify_when_due();
        }
    }

    /// When something is to be done although no event occurs.
    fn next_deadline(&self) -> Option<Instant> {
        let retry = self.writing.applier.next_deadline().filter(|_| self.may_write());
        let decide = self.engine.next_deadline().into_iter().chain(self.writing.applier.next_expiry()).min();
        let decide = decide.filter(|_| self.may_decide());
        let source = self.sources.deadline();
        let service = self.service.next_deadline();
        let takeover = self.election.takeover.next_deadline().filter(|_| self.northbound.session.is_synced());
        let verify = self.verification.next_deadline();
        let deadlines =
            retry.into_iter().chain(decide).chain(service).chain(takeover).chain(source).chain(verify);
        deadlines.min().map(Instant::from_std)
    }

    fn role(&self) -> Role {
        self.election.role(self.northbound.session.lock_status())
    }

    fn may_write(&self) -> bool {
        self.role() == Role::Active && self.may_decide()
    }

    /// Waits for the transaction under way.
    async fn finish(&mut self) {
        while self.writing.applier.is_busy() {
            let event = self.northbound.next().await;
            self.event(event);
        }
        self.report();
    }

    async fn ready_event(&mut self) -> Option<SessionEvent> {
        tokio::select! {
            biased;
            event = self.northbound.next() => Some(event),
            () = ready(()) => None,
        }
    }

    fn event(&mut self, event: SessionEvent) {
        match event {
            SessionEvent::Connected(remote) => {
                self.metrics.connected();
                self.northbound.received_before = (0, 0);
                debug!(%remote, "connected");
            }
            SessionEvent::Synced { resumed } => {
                let (before, received) =
                    (self.northbound.received_before, self.northbound.session.received());
                let (bytes, rows) =
                    (received.0.saturating_sub(before.0), received.1.saturating_sub(before.1));
                info!(resumed, bytes, rows, "synchronised with the database");
                self.repeats.forget("disconnected");
                self.count_resync(resumed, bytes);
            }
            SessionEvent::Unsynced => self.northbound.received_before = self.northbound.session.received(),
            SessionEvent::RoleChanged(_) | SessionEvent::Updated => {}
            SessionEvent::Lock(status) => self.lock_changed(status),
            SessionEvent::Completed { id, outcome } => {
                // The outcome is judged by the database after it.
                self.decide();
                if let Some(report) =
                    self.writing.applier.completed(id, outcome, &self.northbound.store, &self.engine, now())
                {
                    self.concluded(&report);
                }
            }
            SessionEvent::Disconnected { remote, error, retry } => self.disconnected(&remote, &error, retry),
            other => debug!(?other, "unknown event"),
        }
    }

    fn disconnected(&mut self, remote: &Endpoint, error: &Error, retry: Duration) {
        self.metrics.disconnects.inc();
        let address = self.northbound.session.address();
        let place = access::place(remote, address);
        let causes = format!("{error:#}");
        let text = format!("{place}: {causes}");
        self.northbound.lost = Some((SystemTime::now(), text.clone()));
        if let Some(Admitted { repeated }) = self.repeats.admit("disconnected", &text, now().instant) {
            let cure = access::hint(remote, error).map(tracing::field::display);
            let address = address.map(|address| tracing::field::display(address.ip()));
            warn!(%remote, error = %causes, address, cure, ?retry, repeated, "disconnected");
        }
    }

    /// Decides on what changed, once the store is in sync.
    fn decide(&mut self) {
        self.sources.end_wait(now().instant);
        if !self.may_decide() {
            return;
        }
        if self.election.others.may_have_written(now().instant) {
            self.engine.forget_lost_sources(&self.northbound.store);
        }
        let start = now();
        let decided = self.engine.catch_up(&mut self.northbound.store, start);
        if !decided.is_empty() {
            self.metrics.decisions.observe(start.instant.elapsed().as_secs_f64());
            self.metrics.decided.inc_by(decided.len() as u64);
        }
        self.writing.applier.expire(&self.engine, start.instant);
        self.tracker.note(&self.engine, decided, start.instant);
    }
}

// ===== impl Northbound =====

impl Northbound {
    /// Waits for an event of the session. No event is lost when the future is dropped.
    async fn next(&mut self) -> SessionEvent {
        self.session.next(&mut self.store).await
    }
}

// ===== impl Signals =====

impl Signals {
    async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
        }
    }
}

/// Returns the time on both clocks.
pub(crate) fn now() -> Now {
    clock::read(Instant::now().into_std())
}
