//! The handle to a connection: one method for each request of RFC 7047 §4.1.

#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use serde::de::DeserializeOwned;
use serde_json::value::RawValue;
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;
use uuid::Uuid;

use crate::connection::{Command, Connection, Request, Want};
use crate::decoder::Decoder;
use crate::endpoint::Endpoint;
use crate::error::{Error, Kind};
use crate::exchange::Exchange;
use crate::greeting::SERVER;
use crate::link::Link;
use crate::lock::LockName;
use crate::monitor::{MonitorMethod, MonitorRequests};
use crate::outcome::{Outcome, TransactError};
use crate::scan::Limits;
use crate::schema::DatabaseSchema;
use crate::server::{Policy, ServerDatabase, ServerRole, Unacceptable};
use crate::tls::TlsConfig;
use crate::transact::{Condition, Transaction};
use crate::update::TableUpdates;

/// Requests that may wait for the connection to take them. Beyond that, callers wait.
const REQUESTS: usize = 32;

/// Updates that a [`Monitor`] may fall behind. They must not be lost and must not hold up replies,
/// so that a monitor which falls behind further is given up.
const UPDATES: usize = 1024;

/// Notifications of locks that may wait to be read; the oldest state is of no interest.
const LOCK_EVENTS: usize = 64;

/// How long a server may be silent before it is asked for a sign of life.
const PROBE: Duration = Duration::from_secs(5);

/// A handle to a connection, made by [`connect`]. Clones share the connection.
///
/// # Cancel safety
/// A request whose future is dropped is cancelled at the server (RFC 7047 §4.1.4) if it was sent;
/// a transaction may have happened all the same. The connection stays usable.
#[derive(Clone, Debug)]
pub struct Client {
    commands: mpsc::Sender<Command>,
    next_key: Arc<AtomicU64>,
}

/// The updates of a monitor.
#[derive(Debug)]
pub struct Monitor {
    updates: mpsc::Receiver<TableUpdates>,
    connection: mpsc::Sender<Command>,
}

/// What a server said about a lock without being asked.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum LockEvent {
    /// A lock that we waited for is ours (RFC 7047 §4.1.9).
    Locked(String),
    /// Another client took a lock of ours by [`Client::steal`] (RFC 7047 §4.1.10).
    Stolen(String),
}

/// Connects to a server.
///
/// Returns the handle, the events of locks, and the connection itself, which does nothing until
/// it is polled: spawn it. It ends when all handles are dropped or the connection is lost.
///
/// # Errors
/// The server cannot be reached.
pub async fn connect(endpoint: &Endpoint) -> Result<(Client, mpsc::Receiver<LockEvent>, Connection), Error> {
    connect_with(endpoint, &TlsConfig::default()).await
}

/// As [`connect`], with what an `ssl:` endpoint needs.
///
/// # Errors
/// The server cannot be reached, or one side does not accept the other's certificate.
pub async fn connect_with(
    endpoint: &Endpoint,
    tls: &TlsConfig,
) -> Result<(Client, mpsc::Receiver<LockEvent>, Connection), Error> {
    let stream = endpoint.dial(tls).await?;
    let (sender, receiver) = mpsc::channel(REQUESTS);
    let (lock_sender, lock_receiver) = mpsc::channel(LOCK_EVENTS);
    let probe = Some(PROBE).filter(|_| endpoint.needs_probe());
    let exchange = Exchange::new(probe, Instant::now().into_std());
    let link = Link::new(stream, Decoder::new(Limits::default()), exchange);
    let client = Client { commands: sender, next_key: Arc::new(AtomicU64::new(1)) };
    Ok((client, lock_receiver, Connection::new(link, receiver, lock_sender)))
}

// ===== impl Client =====

impl Client {
    /// Lists the databases of the server (RFC 7047 §4.1.1).
    ///
    /// # Errors
    /// The connection is lost, or the server refuses.
    pub async fn list_dbs(&self) -> Result<Vec<String>, Error> {
        self.typed("list_dbs", "[]".to_owned()).await
    }

    /// Gets the schema of a database (RFC 7047 §4.1.2).
    ///
    /// # Errors
    /// The connection is lost, or there is no such database.
    pub async fn get_schema(&self, database: &str) -> Result<DatabaseSchema, Error> {
        let text = self.call("get_schema", json(&[database])?).await?;
        DatabaseSchema::parse(text.get()).map_err(|e| Error::malformed("schema", e))
    }

    /// Asks whether the server will do for who writes to a database: any member of its cluster that has not lost the
    /// majority, or of this one if a cluster is named. It passes on to the leader what it is asked.
    ///
    /// # Errors
    /// The connection is lost. That the server will not do is the inner error.
    pub async fn judge(
        &self,
        database: &str,
        cluster_id: Option<Uuid>,
    ) -> Result<Result<ServerRole, Unacceptable>, Error> {
        let mut question = Transaction::new(SERVER);
        question.select("Database", [Condition::eq("name", database)]);
        match self.transact(&question).await? {
            Outcome::Committed(results) => {
                let row = results.rows(0).and_then(|rows| rows.first());
                let database = row.map(|row| ServerDatabase::read(row, None));
                Ok(Policy::new(false, cluster_id).judge(database.as_ref()))
            }
            // A server of before Open vSwitch 2.9 knows nothing of itself, and is in no cluster.
            Outcome::Refused(_) => Ok(Ok(ServerRole::Standalone)),
            Outcome::Unknown => Err(Kind::Closed(None).into()),
        }
    }

    /// Executes a transaction (RFC 7047 §4.1.3).
    ///
    /// Losing the connection is no error but [`Outcome::Unknown`], once the transaction was sent.
    ///
    /// # Errors
    /// The transaction was not sent, or the answer to it is malformed.
    pub async fn transact(&self, transaction: &Transaction) -> Result<Outcome, Error> {
        let reply = self.send("transact", json(transaction)?, Want::Value).await?;
        match reply.wait().await {
            Ok(text) => Outcome::from_result(text.get(), transaction.len())
                .map_err(|e| Error::malformed("transaction result", e)),
            Err(error) if error.is_disconnected() => Ok(Outcome::Unknown),
            Err(error) => match error.as_database_error() {
                Some(error) => Ok(Outcome::Refused(TransactError { operation: None, error: error.clone() })),
                None => Err(error),
            },
        }
    }

    /// Monitors rows (RFC 7047 §4.1.5), by the newest method that the server knows, starting after
    /// transaction `since` where the server can.
    ///
    /// # Errors
    /// The connection is lost, or the server refuses, for example a table that it does not have.
    pub async fn monitor(
        &self,
        database: &str,
        requests: &MonitorRequests,
        since: Uuid,
    ) -> Result<Monitor, Error> {
        let mut method = MonitorMethod::CondSince;
        let monitor = format!("m{}", Uuid::new_v4().simple());
        loop {
            let (sender, updates) = mpsc::channel(UPDATES);
            let params =
                method.params(database, &monitor, requests, since, false).map_err(invalid_request)?;
            let want = Want::Rows { method, monitor: format!("\"{monitor}\""), updates: sender };
            let Err(error) = self.send(method.name(), params, want).await?.wait().await else {
                return Ok(Monitor { updates, connection: self.commands.clone() });
            };
            let unknown = error.as_database_error().is_some_and(|e| e.error == "unknown method");
            method = method.fallback().filter(|_| unknown).ok_or(error)?;
        }
    }

    /// Asks for a lock (RFC 7047 §4.1.8) and returns whether it is ours now. If not, we wait in the
    /// server's queue, and [`LockEvent::Locked`] comes when it is.
    ///
    /// # Errors
    /// The connection is lost, or the server refuses, for example a lock asked for before.
    pub async fn lock(&self, lock: &LockName) -> Result<bool, Error> {
        self.locked("lock", lock).await
    }

    /// Takes a lock from whoever has it (RFC 7047 §4.1.8).
    ///
    /// # Errors
    /// The connection is lost, or the server refuses.
    pub async fn steal(&self, lock: &LockName) -> Result<bool, Error> {
        self.locked("steal", lock).await
    }

    /// Gives a lock back, or leaves its queue (RFC 7047 §4.1.8).
    ///
    /// # Errors
    /// The connection is lost, or the lock was not asked for.
    pub async fn unlock(&self, lock: &LockName) -> Result<(), Error> {
        self.call("unlock", lock.params()).await.map(drop)
    }

    /// Asks the server for a sign of life (RFC 7047 §4.1.11).
    ///
    /// # Errors
    /// The connection is lost.
    pub async fn echo(&self) -> Result<(), Error> {
        self.call("echo", "[]".to_owned()).await.map(drop)
    }

    async fn locked(&self, method: &'static str, lock: &LockName) -> Result<bool, Error> {
        #[derive(serde::Deserialize)]
        struct Answer {
            locked: bool,
        }
        let answer: Answer = self.typed(method, lock.params()).await?;
        Ok(answer.locked)
    }

    async fn typed<T: DeserializeOwned>(&self, method: &'static str, params: String) -> Result<T, Error> {
        let text = self.call(method, params).await?;
        serde_json::from_str(text.get()).map_err(|e| Error::malformed(method, e))
    }

    async fn call(&self, method: &'static str, params: String) -> Result<Box<RawValue>, Error> {
        self.send(method, params, Want::Value).await?.wait().await
    }

    async fn send(&self, method: &'static str, params: String, want: Want) -> Result<Waiting<'_>, Error> {
        let key = self.next_key.fetch_add(1, Ordering::Relaxed);
        let (reply, receiver) = oneshot::channel();
        let request = Request { key, method, params, want, reply };
        self.commands.send(Command::Request(request)).await.map_err(|_| Kind::Closed(None))?;
        Ok(Waiting { client: self, key, receiver, done: false })
    }
}

/// A request without a reply, cancelled when dropped.
struct Waiting<'a> {
    client: &'a Client,
    key: u64,
    receiver: oneshot::Receiver<Result<Box<RawValue>, Error>>,
    done: bool,
}

// ===== impl Waiting =====

impl Waiting<'_> {
    async fn wait(mut self) -> Result<Box<RawValue>, Error> {
        let reply = (&mut self.receiver).await;
        self.done = true;
        reply.unwrap_or_else(|_| Err(Kind::Closed(None).into()))
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        if !self.done {
            // Where the queue is full the reply is dropped when it comes; that is all it costs.
            let _ = self.client.commands.try_send(Command::Cancel(self.key));
        }
    }
}

fn json(value: &(impl serde::Serialize + ?Sized)) -> Result<String, Error> {
    serde_json::to_string(value).map_err(invalid_request)
}

fn invalid_request(error: serde_json::Error) -> Error {
    Error::invalid_request("request", error)
}

// ===== impl Monitor =====

impl Monitor {
    /// Waits for the next update; the first is what the monitor starts with.
    ///
    /// # Errors
    /// The connection is lost, or the updates were not taken in time
    /// ([`Error::is_disconnected`] tells): none is ever left out, so monitor again then.
    ///
    /// # Cancel safety
    /// No update is lost when the future is dropped.
    pub async fn next(&mut self) -> Result<TableUpdates, Error> {
        let lost = || if self.connection.is_closed() { Kind::Closed(None) } else { Kind::Lagged };
        self.updates.recv().await.ok_or_else(|| lost().into())
    }
}
