//! `ovn-extaddr run`: the loop that owns the state. Events of the session in, transactions out.

use std::collections::BTreeMap;
use std::future::ready;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use ovn_model::Store;
use ovsdb_protocol::{ControlCommand, LockStatus, Remotes, Session, SessionEvent, TlsConfig};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::{Instant, sleep_until, timeout};
use tracing::{debug, error, info, warn};

use crate::apply::{Applier, Conclusion};
use crate::clock::Now;
use crate::control::Control;
use crate::engine::Engine;
use crate::reload::Reload;
use crate::report::{self, Entry};
use crate::settings::{Options, Settings};
use crate::state::State;

/// How long a transaction under way may keep us from stopping.
const GRACE: Duration = Duration::from_secs(5);

/// Decisions that are logged one by one; of more at a time only their number is.
const FEW: usize = 50;

/// The commands of the control socket.
const COMMANDS: [&str; 8] = [
    "exit\n",
    "list\n",
    "list-commands\n",
    "nb-cluster-state-reset\n",
    "nb-connection-status\n",
    "recompute\n",
    "status\n",
    "version\n",
];

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
    remotes: Remotes,
    tls: TlsConfig,
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
    pub(crate) async fn run(self, options: Options, settings: Settings) -> anyhow::Result<ExitCode> {
        let lock = settings.rules.owner.lock();
        let mut config = settings.session();
        config.lock = Some(lock.clone()).filter(|_| !self.dry_run);
        let mut reload = Reload::new(options, &settings)?;
        let mut signals = Signals {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        };
        info!(
            version = env!("CARGO_PKG_VERSION"),
            remotes = %settings.remotes,
            owner = %settings.rules.owner,
            dry_run = self.dry_run,
            "starting"
        );
        let mut control = Control::open();
        let mut agent = Agent {
            session: Session::new(config),
            store: Store::new(),
            engine: Engine::new(settings.rules),
            applier: Applier::new(lock),
            remotes: settings.remotes,
            tls: settings.tls,
            dry_run: self.dry_run,
        };
        let name = agent.run_until(&mut signals, &mut reload, &mut control).await;
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
    async fn run_until(
        &mut self,
        signals: &mut Signals,
        reload: &mut Reload,
        control: &mut Control,
    ) -> &'static str {
        loop {
            let deadline = self.next_deadline();
            tokio::select! {
                name = signals.next() => return name,
                () = reload.requested() => self.reload(reload.read()),
                (command, answer) = control.next() => {
                    let exit = command.name == "exit";
                    // Whoever asked may be gone.
                    let _ = answer.send(self.command(&command));
                    if exit {
                        // Let the answer go out before the socket does.
                        tokio::time::sleep(Duration::from_millis(10)).await;
                        return "exit";
                    }
                }
                event = self.session.next(&mut self.store) => self.event(event),
                () = sleep_until(deadline.unwrap_or_else(Instant::now)), if deadline.is_some() => {}
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

    /// When something is to be done though nothing happens.
    fn next_deadline(&self) -> Option<Instant> {
        let retry = self.applier.next_deadline().filter(|_| self.may_write());
        let decide = self.engine.next_deadline().filter(|_| self.session.is_synced());
        retry.into_iter().chain(decide).min().map(Instant::from_std)
    }

    /// Answers a command of the control socket.
    fn command(&mut self, command: &ControlCommand) -> Result<String, String> {
        match &*command.name {
            "list-commands" => Ok(COMMANDS.concat()),
            "version" => Ok(concat!("ovn-extaddr ", env!("CARGO_PKG_VERSION"), "\n").to_owned()),
            "status" => Ok(self.status()),
            "nb-connection-status" => {
                Ok(if self.session.is_synced() { "connected\n" } else { "not connected\n" }.to_owned())
            }
            "list" => serde_json::to_string_pretty(&self.entries())
                .map(|text| text + "\n")
                .map_err(|error| error.to_string()),
            "nb-cluster-state-reset" => {
                self.session.reset_min_index();
                Ok(String::new())
            }
            "recompute" => {
                let rules = self.engine.rules().clone();
                self.engine.set_rules(&self.store, rules);
                Ok(String::new())
            }
            "exit" => Ok(String::new()),
            name => Err(format!("\"{name}\" is not a valid command (use \"list-commands\" to see a list)")),
        }
    }

    fn entries(&self) -> Vec<Entry> {
        report::all(&self.store, &self.engine, |port| self.applier.obstacle(port))
    }

    fn status(&self) -> String {
        let role = match self.session.lock_status() {
            _ if self.dry_run => "dry-run",
            LockStatus::Held(_) => "active",
            LockStatus::Waiting => "standby",
            LockStatus::None => "starting",
        };
        let remote = self.session.remote().map_or_else(|| "none".to_owned(), ToString::to_string);
        let mut states = BTreeMap::new();
        for entry in self.entries() {
            *states.entry(entry.state).or_insert(0usize) += 1;
        }
        let mut text = format!("role: {role}\nowner: {}\ndatabase: {remote}", self.engine.owner());
        text += if self.session.is_synced() { "\n" } else { " (not in step)\n" };
        text += &format!("to change: {}\n", self.engine.unsettled().len());
        for (state, count) in states {
            text += &format!("{}: {count}\n", state.name());
        }
        text
    }

    /// Goes on with another configuration, or with the old one where the new one is wrong.
    fn reload(&mut self, settings: anyhow::Result<Settings>) {
        match settings {
            Err(error) => error!("the configuration is wrong and the old one stays: {error:#}"),
            Ok(Settings { rules, .. }) if rules.owner != *self.engine.owner() => {
                error!(owner = %rules.owner, "a change of the owner needs a restart; the old configuration stays");
            }
            Ok(Settings { rules, remotes, tls, .. }) => {
                info!("read the configuration anew");
                self.engine.set_rules(&self.store, rules);
                if remotes != self.remotes {
                    info!(%remotes, "the database is elsewhere now");
                    self.session.set_remotes(remotes.clone());
                    self.remotes = remotes;
                }
                // The files themselves are read at each connection.
                if tls != self.tls {
                    error!(
                        "a change of the names of keys and certificates needs a restart; the old ones stay"
                    );
                }
            }
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
                match self.applier.completed(id, outcome, &self.store, &self.engine, now()) {
                    Some(Conclusion::Committed { subjects, changes }) => {
                        info!(subjects, changes, "committed")
                    }
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
        let decided = self.engine.catch_up(&mut self.store, now());
        if decided.len() > FEW {
            info!(ports = decided.len(), to_change = self.engine.unsettled().len(), "decided");
            return;
        }
        for port in &decided {
            self.log(port);
        }
    }

    fn log(&self, port: &Arc<str>) {
        let obstacle = self.applier.obstacle(port);
        for entry in report::entries(&self.store, &self.engine, port, obstacle.as_ref()) {
            let Entry { family, state, reason, message, .. } = entry;
            match state {
                State::Active | State::Foreign | State::Pending | State::Draining => {
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
        let Some(pending) = self.applier.next(&self.store, &self.engine, now()) else {
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

fn now() -> Now {
    Now::at(Instant::now().into_std())
}
