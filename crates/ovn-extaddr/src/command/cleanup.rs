//! `ovn-extaddr cleanup`

use std::process::ExitCode;

use anyhow::bail;
use clap::Args;
use ovn_model::Store;
use ovsdb_protocol::{LockStatus, Session, SessionEvent};
use tokio::time::Instant;

use crate::apply::{Applier, Conclusion};
use crate::command::print;
use crate::engine::Engine;
use crate::observe::synced;
use crate::settings::Settings;

/// Removes all rows of the owner.
#[derive(Debug, Args)]
pub(super) struct Cleanup {}

impl Cleanup {
    pub(super) async fn run(self, settings: Settings) -> anyhow::Result<ExitCode> {
        let lock = settings.owner.lock();
        let mut config = settings.session();
        config.lock = Some(lock.clone());
        let mut session = Session::new(config);
        let mut store = Store::new();
        synced(&settings, &mut session, &mut store).await?;
        while session.lock_status() == LockStatus::None {
            if let SessionEvent::Disconnected { remote, error, .. } = session.next(&mut store).await {
                bail!("lost {remote}: {error}");
            }
        }
        if session.lock_status() == LockStatus::Waiting {
            bail!(
                "an agent of owner {} is active and would put everything back: stop it first",
                settings.owner
            );
        }
        let mut engine = Engine::withdrawing(settings.owner.clone());
        let mut applier = Applier::new(lock);
        let mut removed = 0;
        loop {
            engine.catch_up(&mut store);
            // The effect of a transaction is seen before its answer, which tells how much it removed.
            if engine.unsettled().is_empty() && !applier.is_busy() {
                break;
            }
            if let Some(pending) = applier.next(&store, &engine, Instant::now().into_std()) {
                let id = session.transact(pending.transaction())?;
                pending.sent(id);
            }
            match session.next(&mut store).await {
                SessionEvent::Completed { id, outcome } => {
                    engine.catch_up(&mut store);
                    match applier.completed(id, outcome, &store, &engine, Instant::now().into_std()) {
                        Some(Conclusion::Committed { rows, .. }) => removed += rows,
                        Some(Conclusion::Refused(error)) => {
                            bail!("the database refused to remove rows: {error}")
                        }
                        _ => {}
                    }
                }
                SessionEvent::Disconnected { remote, error, .. } => bail!("lost {remote}: {error}"),
                SessionEvent::Lock(_) => bail!("lost the lock to another agent of owner {}", settings.owner),
                _ => {}
            }
        }
        print(&format!("Removed {removed} rows of owner {}.\n", settings.owner))?;
        Ok(ExitCode::SUCCESS)
    }
}
