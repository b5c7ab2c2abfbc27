//! To a server that has the database, for commands with a request or two.

use std::sync::Arc;
use std::time::Duration;

use anyhow::bail;
use ovsdb_protocol::{Client, Endpoint, Error, ServerRole, SessionConfig};
use tokio::time::error::Elapsed;
use tokio::time::{Instant, timeout_at};

use crate::settings::Settings;
use crate::{DATABASE, access};

/// How long one server may be silent before the next one is tried.
pub(super) const PATIENCE: Duration = Duration::from_secs(5);

/// When a command has to be done, by `--timeout`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Deadline(Option<Instant>);

// ===== impl Deadline =====

impl Deadline {
    /// Counts from now.
    pub(super) fn of(settings: &Settings) -> Self {
        Self(settings.timeout.map(|limit| Instant::now() + limit))
    }

    /// Awaits a future until then; where nothing was said, for the usual time.
    ///
    /// # Errors
    /// It took longer.
    pub(super) async fn await_or<T>(
        self,
        usual: Option<Duration>,
        future: impl Future<Output = T>,
    ) -> Result<T, Elapsed> {
        match self.0.or_else(|| usual.map(|limit| Instant::now() + limit)) {
            Some(deadline) => timeout_at(deadline, future).await,
            None => Ok(future.await),
        }
    }
}

/// Connects to the first remote that has the database and is not cut off from its cluster, where a transaction would
/// wait for ever. A follower will do: it passes on to the leader what it is asked.
///
/// # Errors
/// None is, or not in time; the error says of each remote why.
pub(super) async fn database(settings: &Settings, deadline: Deadline) -> anyhow::Result<Client> {
    let remotes = settings.remotes.endpoints();
    // Of a short time each gets its share, so that one that is silent does not use up what the next could have had.
    let share = settings.timeout.map(|limit| limit / u32::try_from(remotes.len()).unwrap_or(u32::MAX).max(1));
    let client = connect(settings.session(), share.map_or(PATIENCE, |share| share.min(PATIENCE)));
    match deadline.await_or(None, client.ready()).await {
        Ok(Ok(_)) => return Ok(client),
        Ok(Err(error)) if !error.is_unavailable() => return Err(error.into()),
        _ => {}
    }
    let failures = client.status().failures;
    if failures.is_empty() {
        bail!("{} is silent", settings.remotes);
    }
    let failures = failures.iter().map(|(remote, error)| {
        let hint = access::hint(remote, error).map_or_else(String::new, |hint| format!(": {hint}"));
        format!("{remote}: {error:#}{hint}")
    });
    bail!("cannot use {DATABASE}: {}", failures.collect::<Vec<_>>().join("; "))
}

/// Connects to one server, whatever it is in its cluster, and asks it what that is.
///
/// # Errors
/// It cannot be reached, or will not do: it does not have the database, or cannot write to it.
pub(super) async fn ask(
    remote: &Endpoint,
    settings: &Settings,
    patience: Duration,
) -> Result<(Client, ServerRole), Arc<Error>> {
    let mut config = settings.session();
    config.remotes = remote.clone().into();
    let client = connect(config, patience);
    match client.ready().await {
        Ok(status) => Ok((client, status.role.unwrap_or(ServerRole::Standalone))),
        Err(error) => Err(match error.failures() {
            [(_, why), ..] => Arc::clone(why),
            [] => Arc::new(error),
        }),
    }
}

/// Makes a client whose calls fail as soon as no server will do.
fn connect(mut config: SessionConfig, patience: Duration) -> Client {
    config.leader_only = false;
    config.connect_timeout = patience;
    let (client, driver) = Client::connect(config);
    tokio::spawn(driver);
    client.fail_fast().wait_at_most(None)
}
