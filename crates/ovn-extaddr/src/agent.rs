//! `ovn-extaddr run`: the loop that owns the state. Events of the session in, transactions out.

use std::future::ready;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use ovn_model::Store;
use ovsdb_protocol::{LockStatus, Session, SessionEvent};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::{Instant, sleep_until, timeout};
use tracing::{debug, error, info, warn};

use crate::apply::{Applier, Conclusion};
use crate::engine::Engine;
use crate::report;
use crate::settings::Settings;
use crate::state::State;

/// How long a transaction under way may keep us from stopping.
const GRACE: Duration = Duration::from_secs(5);

/// Decisions that are logged one by one; of more at a time only their number is.
const FEW: usize = 50;

/// Runs the agent.
#[derive(Debug, Args)]
pub struct Run {
    /// Decide and report, but change nothing.
    #[arg(long)]
    dry_run: bool,
}

/// Everything that the loop owns.
struct Agent {
    session: Session,
    store: Store,
    engine: Engine,
    applier: Applier,
    dry_run: bool,
}

/// What ends the loop.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

// ===== impl Run =====

impl Run {
    /// Runs until told to stop.
    pub(crate) async fn run(self, settings: Settings) -> anyhow::Result<ExitCode> {
        let lock = settings.owner.lock();
        let mut config = settings.session();
        config.lock = Some(lock.clone()).filter(|_| !self.dry_run);
        let mut signals = Signals {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        };
        info!(
            version = env!("CARGO_PKG_VERSION"),
            remotes = %settings.remotes,
            owner = %settings.owner,
            dry_run = self.dry_run,
            "starting"
        );
        let mut agent = Agent {
            session: Session::new(config),
            store: Store::new(),
            engine: Engine::new(settings.owner),
            applier: Applier::new(lock),
            dry_run: self.dry_run,
        };
        let name = agent.run_until(&mut signals).await;
        info!(signal = name, "stopping");
        if timeout(GRACE, agent.finish()).await.is_err() {
            warn!("a transaction is still under way; the database will finish it or not");
        }
        Ok(ExitCode::SUCCESS)
    }
}

// ===== impl Agent =====

impl Agent {
    /// Keeps the database as it should be. Returns the name of the signal that ended it.
    async fn run_until(&mut self, signals: &mut Signals) -> &'static str {
        loop {
            let retry = self.applier.next_deadline().map(Instant::from_std).filter(|_| self.may_write());
            tokio::select! {
                name = signals.next() => return name,
                event = self.session.next(&mut self.store) => self.event(event),
                () = sleep_until(retry.unwrap_or_else(Instant::now)), if retry.is_some() => {}
            }
            // What is there already is taken in before anything is decided: a burst of updates ends
            // in one decision, and a single one does not wait.
            while let Some(event) = self.ready_event().await {
                self.event(event);
            }
            self.decide();
            self.send();
        }
    }

    /// Waits for the transaction under way.
    async fn finish(&mut self) {
        while self.applier.is_busy() {
            let event = self.session.next(&mut self.store).await;
            self.event(event);
        }
    }

    async fn ready_event(&mut self) -> Option<SessionEvent> {
        tokio::select! {
            biased;
            event = self.session.next(&mut self.store) => Some(event),
            () = ready(()) => None,
        }
    }

    fn may_write(&self) -> bool {
        !self.dry_run && self.session.is_synced() && matches!(self.session.lock_status(), LockStatus::Held(_))
    }

    fn event(&mut self, event: SessionEvent) {
        match event {
            SessionEvent::Connected(remote) => debug!(%remote, "connected"),
            SessionEvent::Synced { resumed } => {
                let (bytes, rows) = self.session.received();
                info!(resumed, bytes, rows, "in step with the database");
            }
            SessionEvent::Updated => {}
            SessionEvent::Lock(LockStatus::Held(epoch)) => info!(epoch, "active: the lock is ours"),
            SessionEvent::Lock(LockStatus::Waiting) => info!("standby: another agent has the lock"),
            SessionEvent::Lock(LockStatus::None) => info!("the lock is lost with the connection"),
            SessionEvent::Completed { id, outcome } => {
                // The outcome is judged by what the database looks like after it.
                self.decide();
                let now = Instant::now().into_std();
                match self.applier.completed(id, outcome, &self.store, &self.engine, now) {
                    Some(Conclusion::Committed { ports, rows }) => info!(ports, rows, "committed"),
                    Some(Conclusion::Refused(error)) => warn!(%error, "the database refused a transaction"),
                    Some(Conclusion::Unknown) => {
                        warn!("the connection broke before a transaction was answered")
                    }
                    None => {}
                }
            }
            SessionEvent::Disconnected { remote, error, retry } => {
                warn!(%remote, %error, retry = ?retry, "disconnected");
            }
            other => debug!(?other, "unknown event"),
        }
    }

    /// Decides on what changed, once the store is in step.
    fn decide(&mut self) {
        if !self.session.is_synced() {
            return;
        }
        let decided = self.engine.catch_up(&mut self.store);
        if decided.len() > FEW {
            info!(ports = decided.len(), to_change = self.engine.unsettled().len(), "decided");
            return;
        }
        for port in &decided {
            self.log(port);
        }
    }

    fn log(&self, port: &Arc<str>) {
        for entry in report::entries(&self.store, &self.engine, port, None) {
            let report::Entry { family, state, reason, message, .. } = entry;
            match state {
                State::Active | State::Foreign | State::Pending => {
                    info!(%port, family, state = state.name(), "{message}");
                }
                _ => warn!(%port, family, state = state.name(), reason, "{message}"),
            }
        }
    }

    /// Sends the next transaction, if there is something to change and it is for us to do so.
    fn send(&mut self) {
        if !self.may_write() {
            return;
        }
        let Some(pending) = self.applier.next(&self.store, &self.engine, Instant::now().into_std()) else {
            return;
        };
        match self.session.transact(pending.transaction()) {
            Ok(id) => pending.sent(id),
            // Not sent, so still to be done: the next event brings us here again.
            Err(error) => error!(%error, "cannot send a transaction"),
        }
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
