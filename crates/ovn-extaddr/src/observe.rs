//! A look at the database, for the commands that only read.

use std::time::Instant;

use anyhow::{Context, bail};
use ovn_model::Store;
use ovsdb_protocol::{Session, SessionEvent};
use tokio::time::timeout;

use crate::DATABASE;
use crate::clock::Now;
use crate::engine::Engine;
use crate::settings::Settings;

/// The database and what an agent would decide on it.
#[derive(Debug)]
pub struct Observer {
    session: Session,
    /// The database.
    pub store: Store,
    /// The decisions.
    pub engine: Engine,
}

impl Observer {
    /// Reads the database.
    ///
    /// # Errors
    /// No remote has the database, or not in time.
    pub async fn open(settings: &Settings) -> anyhow::Result<Self> {
        let session = Session::new(settings.reading_session());
        let mut observer = Self { session, store: Store::new(), engine: Engine::new(settings.rules.clone()) };
        synced(settings, &mut observer.session, &mut observer.store).await?;
        observer.decide();
        Ok(observer)
    }

    /// Waits until something changed.
    ///
    /// # Errors
    /// The connection is lost.
    pub async fn changed(&mut self) -> anyhow::Result<()> {
        loop {
            match self.session.next(&mut self.store).await {
                SessionEvent::Updated => break,
                SessionEvent::Disconnected { remote, error, .. } => bail!("lost {remote}: {error}"),
                _ => {}
            }
        }
        self.decide();
        Ok(())
    }

    fn decide(&mut self) {
        self.engine.catch_up(&mut self.store, Now::at(Instant::now()));
    }
}

/// Waits until the store is in step with the database.
///
/// # Errors
/// As [`Observer::open`].
pub async fn synced(settings: &Settings, session: &mut Session, store: &mut Store) -> anyhow::Result<()> {
    let remotes = settings.remotes.endpoints().len();
    let mut failures = 0;
    let attempt = async {
        loop {
            match session.next(store).await {
                SessionEvent::Synced { .. } => return Ok(()),
                SessionEvent::Disconnected { remote, error, .. } => {
                    tracing::debug!(%remote, %error, "cannot use the server");
                    failures += 1;
                    if failures >= remotes && settings.timeout.is_none() {
                        bail!("cannot read {DATABASE} from {remote}: {error}");
                    }
                }
                _ => {}
            }
        }
    };
    match settings.timeout {
        None => attempt.await,
        Some(limit) => timeout(limit, attempt)
            .await
            .with_context(|| format!("cannot read {DATABASE} from {} within {limit:?}", settings.remotes))?,
    }
}
