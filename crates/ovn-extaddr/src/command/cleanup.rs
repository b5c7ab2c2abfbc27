//! `ovn-extaddr cleanup`

use std::process::ExitCode;
use std::time::Duration;

use anyhow::bail;
use clap::Args;
use extaddr_core::apply::{Applier, TransactionOutcome};
use extaddr_core::engine::Engine;
use extaddr_core::rules::Rules;
use ovn_model::Store;
use ovsdb_protocol::{LockStatus, Session, SessionEvent};
use tokio::time::{Instant, sleep_until};

use crate::agent::now;
use crate::command::output::print;
use crate::observe::{Progress, synced};
use crate::settings::Settings;

/// The maximum number of refusals in a row that are tolerated.
const MAX_ATTEMPTS: u32 = 5;

/// Removes all rows of the owner.
#[derive(Debug, Args)]
pub(super) struct Cleanup {
    /// Let established connections finish for so many seconds, and stay until then.
    #[arg(long, value_name = "SECONDS", default_value_t = 0)]
    drain: u32,
}

impl Cleanup {
    pub(super) async fn run(self, settings: Settings) -> anyhow::Result<ExitCode> {
        let lock = settings.rules.owner.lock();
        let mut config = settings.session();
        config.lock = Some(lock.clone());
        let mut session = Session::new(config);
        let mut store = Store::new();
        synced(&settings, &mut session, &mut store, Progress::on_terminal()).await?;
        while session.lock_status() == LockStatus::None {
            if let SessionEvent::Disconnected { remote, error, .. } = session.next(&mut store).await {
                bail!("lost {remote}: {error:#}");
            }
        }
        if session.lock_status() == LockStatus::Waiting {
            bail!(
                "an agent of owner {} is active and would put everything back: stop it first",
                settings.rules.owner
            );
        }
        let rules = Rules { drain: Duration::from_secs(self.drain.into()), ..settings.rules };
        let owner = rules.owner.clone();
        let mut engine = Engine::withdrawing(rules);
        let mut applier = Applier::new(lock);
        let mut refusals = 0;
        let rows = store.tagged_nats().filter(|(_, nat)| owner.owns(nat)).count();
        loop {
            engine.catch_up(&mut store, now());
            // The effect of a transaction is seen before its answer, which may still be a refusal.
            if engine.unsettled().is_empty() && engine.next_deadline().is_none() && !applier.is_busy() {
                break;
            }
            if let Some(pending) = applier.next(&store, &engine, now()) {
                let id = session.transact(pending.transaction())?;
                pending.sent(id);
            }
            let deadline = engine.next_deadline().into_iter().chain(applier.next_deadline()).min();
            let deadline = deadline.map(Instant::from_std);
            let event = tokio::select! {
                event = session.next(&mut store) => event,
                () = sleep_until(deadline.unwrap_or_else(Instant::now)), if deadline.is_some() => continue,
            };
            match event {
                SessionEvent::Completed { id, outcome } => {
                    engine.catch_up(&mut store, now());
                    let report = applier.completed(id, outcome, &store, &engine, now());
                    // Somebody else may have changed the same router at the same time.
                    match report.map(|report| report.outcome) {
                        Some(TransactionOutcome::Refused(error)) if refusals == MAX_ATTEMPTS => {
                            bail!("the database refused to remove rows: {error}");
                        }
                        Some(TransactionOutcome::Refused(_)) => refusals += 1,
                        _ => refusals = 0,
                    }
                }
                SessionEvent::Disconnected { remote, error, .. } => bail!("lost {remote}: {error:#}"),
                SessionEvent::Lock(_) => bail!("lost the lock to another agent of owner {owner}"),
                _ => {}
            }
        }
        print(&format!("Removed {rows} rows of owner {owner}.\n"))?;
        Ok(ExitCode::SUCCESS)
    }
}
