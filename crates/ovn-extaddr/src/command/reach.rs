//! To a server that has the database, for commands with a request or two.

use std::time::Duration;

use anyhow::{Context, bail};
use ovsdb_protocol::{Client, Destination, Endpoint, ServerRole, ServerUnusable, connect_to};
use tokio::time::error::Elapsed;
use tokio::time::{Instant, timeout, timeout_at};

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

/// A server that has the database, and what it is.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) client: Client,
    pub(super) role: ServerRole,
    /// Whether it refuses all writes.
    pub(super) is_read_only: bool,
}

/// Connects to the first remote that has the database, takes writes, and is not cut off from its cluster, where a
/// transaction would wait for ever. Each address of a name is tried.
///
/// # Errors
/// None is, or not in time; the error says of each remote why.
pub(super) async fn database(settings: &Settings, deadline: Deadline) -> anyhow::Result<Client> {
    let remotes = settings.remotes.endpoints();
    // Of a short time each gets its share, so that one that is silent does not use up what the next could have had.
    let share = settings.timeout.map(|limit| limit / u32::try_from(remotes.len()).unwrap_or(u32::MAX).max(1));
    let patience = share.map_or(PATIENCE, |share| share.min(PATIENCE));
    let mut failures = Vec::new();
    let attempt = async {
        for remote in remotes {
            let destinations = match resolve(remote, patience).await {
                Ok(destinations) => destinations,
                Err(error) => {
                    failures.push(format!("{remote}: {error:#}"));
                    continue;
                }
            };
            // So has each address of what is its remote's, where the whole is to be done in time.
            let addresses = u32::try_from(destinations.len()).unwrap_or(u32::MAX).max(1);
            let patience = share.map_or(patience, |share| patience.min(share / addresses));
            for destination in destinations {
                match timeout(patience, ask(&destination, settings)).await {
                    Ok(Ok(Found { is_read_only: true, .. })) => {
                        failures.push(format!("{destination}: {}", ServerUnusable::ReadOnly));
                    }
                    Ok(Ok(Found { client, .. })) => return Some(client),
                    Ok(Err(error)) => {
                        let hint = hint(remote, &error).map_or_else(String::new, |hint| format!(": {hint}"));
                        failures.push(format!("{destination}: {error:#}{hint}"));
                    }
                    Err(_) => failures.push(format!("{destination} is silent for {patience:?}")),
                }
            }
        }
        None
    };
    match deadline.await_or(None, attempt).await {
        Ok(Some(client)) => Ok(client),
        Ok(None) => bail!("cannot use {DATABASE}: {}", failures.join("; ")),
        Err(_) => bail!("{} is silent", settings.remotes),
    }
}

/// Returns what to do about an error of [`ask`], where it is that the socket may not be opened.
pub(super) fn hint(remote: &Endpoint, error: &anyhow::Error) -> Option<String> {
    access::hint(remote, error.downcast_ref()?)
}

/// Looks up the addresses of a remote.
///
/// # Errors
/// It has none, or no name server says so in time.
pub(super) async fn resolve(remote: &Endpoint, patience: Duration) -> anyhow::Result<Vec<Destination>> {
    match timeout(patience, remote.resolve()).await {
        Ok(destinations) => Ok(destinations?),
        Err(_) => bail!("no name server answers within {patience:?}"),
    }
}

/// Connects to a server, and asks it what it is.
///
/// # Errors
/// It cannot be reached, or will not do: it does not have the database, or is cut off from its cluster.
pub(super) async fn ask(destination: &Destination, settings: &Settings) -> anyhow::Result<Found> {
    let (client, _, mut connection) = connect_to(destination, &settings.tls).await?;
    tokio::spawn(async move { connection.run().await });
    let databases = client.list_dbs().await?;
    if !databases.iter().any(|name| name == DATABASE) {
        bail!("it has no {DATABASE}, only {}", databases.join(", "));
    }
    let role = client.judge(DATABASE, settings.cluster_id).await.context("cannot ask it what it is")??;
    let is_read_only =
        client.is_read_only(DATABASE, "NB_Global").await.context("cannot ask it for a write")?;
    Ok(Found { client, role, is_read_only })
}
