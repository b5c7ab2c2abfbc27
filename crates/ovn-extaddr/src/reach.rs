//! Connections to the database, for commands with one or two requests.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use extaddr_core::DATABASE;
use ovsdb_protocol::{
    Client, Destination, Endpoint, Error, Outcome, Remotes, Results, ServerRole, SessionConfig, Transaction,
};
use tokio::time::error::Elapsed;
use tokio::time::{Instant, timeout, timeout_at};

use crate::access;
use crate::settings::Settings;

/// The time for which one server may be silent before the next one is tried.
pub(crate) const TIMEOUT: Duration = Duration::from_secs(5);

/// The time that the server may take for a transaction without --timeout.
const ANSWER: Duration = Duration::from_secs(30);

/// The same as [`TIMEOUT`] for a server that also renders large snapshots, during which it serves no other client.
pub(crate) const BUSY_TIMEOUT: Duration = Duration::from_secs(30);

/// The time that the server may take for a transaction that reads much.
pub(crate) const LONG_ANSWER: Duration = Duration::from_secs(120);

/// The time by which a command has to be done, by `--timeout`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Deadline(Option<Instant>);

// ===== impl Deadline =====

impl Deadline {
    /// Starts the time of the settings now.
    pub(crate) fn from_settings(settings: &Settings) -> Self {
        // A time that no clock reaches is not a limit.
        Self(settings.timeout.and_then(|limit| Instant::now().checked_add(limit)))
    }

    /// Starts this time now.
    pub(crate) fn after(limit: Duration) -> Self {
        Self(Some(Instant::now() + limit))
    }

    /// Awaits a future until then; without a limit, for the default time.
    ///
    /// # Errors
    /// It took longer.
    pub(crate) async fn await_or<T>(
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

/// A server that has the database, and its role.
#[derive(Debug)]
pub(crate) struct Found {
    pub(crate) client: Client,
    pub(crate) role: ServerRole,
    /// Whether it refuses all writes.
    pub(crate) is_read_only: bool,
}

/// Connects to the first remote that has the database, accepts writes, and is not cut off from its cluster, where a
/// transaction would wait forever. A follower is sufficient: it forwards transactions to the leader. Calls of the client
/// wait for a server without a limit.
///
/// # Errors
/// There is none in time; the error gives the cause for each remote.
pub(crate) async fn database(settings: &Settings, deadline: Deadline) -> anyhow::Result<Client> {
    let remotes = settings.remotes.endpoints();
    // Each gets a share of the time limit, so that a silent one does not use up the others' time.
    let share = settings.timeout.map(|limit| limit / u32::try_from(remotes.len()).unwrap_or(u32::MAX).max(1));
    let patience = share.map_or(TIMEOUT, |share| share.min(TIMEOUT));
    let client = connect(settings.session(), patience);
    let hurried = client.clone().fail_fast();
    let writable = async {
        // The session leaves a read-only server for the next one.
        while hurried.is_read_only(DATABASE, "NB_Global").await? {}
        Ok::<_, Error>(())
    };
    match deadline.await_or(None, writable).await {
        Ok(Ok(())) => return Ok(client),
        Ok(Err(error)) if !error.is_unavailable() => return Err(error.into()),
        _ => {}
    }
    bail!("cannot use {DATABASE}: {}", failures(&client, &settings.remotes, patience))
}

/// Connects to the first remote that has a database, to read it. A follower is sufficient.
///
/// # Errors
/// None has it in time; the error gives the cause for each remote.
pub(crate) async fn reader(config: SessionConfig, deadline: Deadline) -> anyhow::Result<Client> {
    let (database, remotes) = (config.database.clone(), config.remotes.clone());
    let client = connect(config, BUSY_TIMEOUT).fail_fast();
    match deadline.await_or(None, client.ready()).await {
        Ok(Ok(_)) => Ok(client),
        Ok(Err(error)) if !error.is_unavailable() => Err(error.into()),
        _ => bail!("cannot read {database}: {}", failures(&client, &remotes, BUSY_TIMEOUT)),
    }
}

/// Returns why each remote could not be used.
fn failures(client: &Client, remotes: &Remotes, patience: Duration) -> String {
    let failures = client.status().failures;
    if failures.is_empty() {
        return format!("{remotes} is silent for {patience:?}");
    }
    let failures = failures.iter().map(|(remote, error)| {
        let hint = access::hint(remote, error).map_or_else(String::new, |hint| format!(": {hint}"));
        format!("{remote}: {error:#}{hint}")
    });
    failures.collect::<Vec<_>>().join("; ")
}

/// Looks up the addresses of a remote.
///
/// # Errors
/// It has none, or no name server answers in time.
pub(crate) async fn resolve(remote: &Endpoint, patience: Duration) -> Result<Vec<Destination>, Arc<Error>> {
    match timeout(patience, remote.resolve()).await {
        Ok(destinations) => destinations.map_err(|error| Arc::new(error.into())),
        Err(_) => {
            let silent = io::Error::new(
                io::ErrorKind::TimedOut,
                format!("no name server answers within {patience:?}"),
            );
            Err(Arc::new(silent.into()))
        }
    }
}

/// Connects to one server, whatever its role in its cluster, and reads the role.
///
/// # Errors
/// It cannot be reached, does not have the database, or is cut off from its cluster.
pub(crate) async fn ask(
    destination: &Destination,
    settings: &Settings,
    patience: Duration,
) -> Result<Found, Arc<Error>> {
    let mut config = settings.session();
    config.remotes = match (destination.endpoint(), destination.address()) {
        (Endpoint::Tcp(..), Some(address)) => Endpoint::from(address),
        // If certificates have to name their host, its name is needed.
        (Endpoint::Ssl(..), Some(address)) if !settings.tls.verify_host_name => {
            Endpoint::Ssl(address.ip().to_string(), address.port())
        }
        (endpoint, _) => endpoint.clone(),
    }
    .into();
    let client = connect(config, patience).fail_fast();
    let why = |error: Error| match error.failures() {
        [(_, why), ..] => Arc::clone(why),
        [] => Arc::new(error),
    };
    let role = client.ready().await.map_err(why)?.role.unwrap_or(ServerRole::Standalone);
    let is_read_only = client.is_read_only(DATABASE, "NB_Global").await.map_err(why)?;
    Ok(Found { client, role, is_read_only })
}

/// Commits a transaction.
///
/// # Errors
/// The database refuses, the connection is lost, or there is no answer in time; after the last two it is not known
/// whether it was committed.
pub(crate) async fn commit(
    client: &Client,
    deadline: Deadline,
    transaction: &Transaction,
) -> anyhow::Result<Results> {
    let answered = deadline.await_or(Some(ANSWER), client.clone().fail_fast().transact(transaction)).await;
    match answered
        .context("the server does not answer: look with `ovn-extaddr list` whether it was done")??
    {
        Outcome::Committed(results) => Ok(results),
        Outcome::Refused(refusal) => Err(anyhow::Error::new(refusal.error).context("the database refused")),
        Outcome::Unknown => {
            bail!("the connection was lost: look with `ovn-extaddr list` whether it was done")
        }
    }
}

/// Reads with a transaction.
///
/// # Errors
/// The database refuses, the connection is lost, or there is no answer in time.
pub(crate) async fn read(
    client: &Client,
    deadline: Deadline,
    transaction: &Transaction,
) -> anyhow::Result<Results> {
    let answered = deadline.await_or(Some(LONG_ANSWER), client.transact(transaction)).await;
    match answered.with_context(|| format!("{} does not answer in time", transaction.database))?? {
        Outcome::Committed(results) => Ok(results),
        Outcome::Refused(refusal) => {
            let context = format!("{} refused the request", transaction.database);
            Err(anyhow::Error::new(refusal.error).context(context))
        }
        Outcome::Unknown => bail!("the connection to {} was lost: try again", transaction.database),
    }
}

/// Creates a client whose calls wait for a server without a limit.
fn connect(mut config: SessionConfig, patience: Duration) -> Client {
    config.leader_only = false;
    config.connect_timeout = patience;
    let (client, driver) = Client::connect(config);
    tokio::spawn(driver);
    client.wait_at_most(None)
}
