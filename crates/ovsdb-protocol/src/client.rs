//! A handle to a session, for callers who await.

mod command;
mod driver;
mod locking;
mod monitor;
mod read_only;
mod status;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::sync::{Notify, mpsc, oneshot, watch};
use tokio::time::{Instant, timeout_at};

pub use self::driver::Driver;
use self::command::{Command, RawReply, Reply};
pub use self::locking::Lock;
pub use self::monitor::Monitor;
use self::monitor::SharedTables;
pub use self::status::Status;
use crate::request::request_json;
use crate::error::{Error, Kind};
use crate::outcome::Outcome;
use crate::schema::DatabaseSchema;
use crate::session::SessionConfig;
use crate::transact::Transaction;

/// The number of commands that may wait for the driver, which takes them between two messages of the server. Callers wait
/// beyond that.
const MAX_COMMANDS: usize = 32;

/// The default limit on the time that a call waits for a server: an election and a slow snapshot.
const DEFAULT_WAIT: Duration = Duration::from_secs(30);

/// A handle to a database that stays valid across connections and servers.
///
/// [`connect`](Self::connect) creates it together with its [`Driver`], which owns a [`Session`](crate::Session) and does
/// all the work. Clones are cheap, and share session, lock and monitors.
///
/// # Behaviour
/// - A call without a usable server waits for one: for 30 seconds at most, or as
///   [`wait_at_most`](Self::wait_at_most) and [`fail_fast`](Self::fail_fast) say. Its error lists why each server could
///   not be used.
/// - A call that was sent is never sent again. If the connection breaks before its reply, a transaction is
///   [`Outcome::Unknown`], and any other call an error for which [`Error::is_disconnected`] holds.
/// - If the server of the connection is no longer what [`SessionConfig::leader_only`] demands, calls wait for one that is.
/// - How long the server may take to reply is not bounded; wrap the call in [`tokio::time::timeout`] for that.
///
/// # Cancel safety
/// A call whose future is dropped is cancelled at the server (RFC 7047 section 4.1.4) if it was sent. A transaction may
/// have happened nevertheless.
#[derive(Clone, Debug)]
pub struct Client {
    commands: mpsc::Sender<Command>,
    status: watch::Receiver<Status>,
    /// Notifies the driver that a call, lock or monitor was dropped.
    dropped: Arc<Notify>,
    tables: SharedTables,
    database: Arc<str>,
    wait: Option<Duration>,
    fail_fast: bool,
}

/// A call without a reply yet, cancelled when dropped.
struct Pending<T> {
    reply: oneshot::Receiver<T>,
    dropped: Arc<Notify>,
}

// ===== impl Client =====

impl Client {
    /// Creates a client of a database. Nothing happens until the driver is polled: spawn it.
    ///
    /// ```no_run
    /// # async fn program() -> Result<(), Box<dyn std::error::Error>> {
    /// use ovsdb_protocol::{Client, SessionConfig};
    ///
    /// let config = SessionConfig::new("unix:/run/ovn/ovnnb_db.sock".parse()?, "OVN_Northbound");
    /// let (client, driver) = Client::connect(config);
    /// tokio::spawn(driver);
    /// println!("{:?}", client.list_dbs().await?);
    /// # Ok(())
    /// # }
    /// ```
    pub fn connect(config: SessionConfig) -> (Self, Driver) {
        let (commands, receiver) = mpsc::channel(MAX_COMMANDS);
        let (sender, status) = watch::channel(Status::default());
        let dropped = Arc::new(Notify::new());
        let database = config.database.as_str().into();
        let wait = Some(DEFAULT_WAIT);
        let tables = SharedTables::new();
        let driver = Driver::new(config, receiver, sender, Arc::clone(&dropped), tables.clone());
        (Self { commands, status, dropped, tables, database, wait, fail_fast: false }, driver)
    }

    /// Sets how long calls of this handle wait for a server; `None` for no limit. Without a limit, a call that no server can
    /// serve, such as a monitor of a table that none has, never returns: [`Status::failures`] says why.
    #[must_use]
    pub fn wait_at_most(mut self, limit: impl Into<Option<Duration>>) -> Self {
        self.wait = limit.into();
        self
    }

    /// Makes calls of this handle fail as soon as every server has failed since one could last be used.
    #[must_use]
    pub fn fail_fast(mut self) -> Self {
        self.fail_fast = true;
        self
    }

    /// Returns the status of the connection.
    pub fn status(&self) -> Status {
        self.status.borrow().clone()
    }

    /// Waits until the status changes, and returns it: a connection was lost, a server could not be used, or one can be used
    /// again. Changes that follow each other quickly are seen as one.
    ///
    /// # Errors
    /// The driver has ended.
    ///
    /// # Cancel safety
    /// No change is missed when the future is dropped.
    pub async fn status_changed(&mut self) -> Result<Status, Error> {
        self.status.changed().await.map_err(|_| Kind::Stopped)?;
        Ok(self.status.borrow_and_update().clone())
    }

    /// Waits until a server can be used and all monitors have their rows.
    ///
    /// # Errors
    /// No server can be used in time ([`Error::failures`] says why), or the driver has ended.
    pub async fn ready(&self) -> Result<Status, Error> {
        self.ready_until(self.deadline()).await
    }

    /// Forgets the highest index seen of each cluster, as [`Session::reset_min_index`](crate::Session::reset_min_index)
    /// does: after all members of a cluster were restored from older files, no server would be used otherwise.
    ///
    /// # Errors
    /// The driver has ended.
    pub async fn reset_min_index(&self) -> Result<(), Error> {
        self.command(|reply| Command::ResetMinIndex { reply }).await
    }

    /// Executes a transaction (RFC 7047 section 4.1.3).
    ///
    /// | result | it was executed | may be repeated |
    /// |---|---|---|
    /// | [`Outcome::Committed`] | yes | |
    /// | [`Outcome::Refused`] | no | [`ErrorClass`](crate::ErrorClass) says whether it makes sense |
    /// | [`Outcome::Unknown`], or the future was dropped | perhaps | after a look at the database |
    /// | an error | no, it was not sent | yes |
    ///
    /// Its effects are in all monitors of the client when it returns [`Outcome::Committed`], unless the connection broke
    /// while a monitor was added or removed: then they are after [`ready`](Self::ready).
    ///
    /// # Errors
    /// The transaction was not sent: no server can be used in time, too many requests are pending, or it has no JSON.
    pub async fn transact(&self, transaction: &Transaction) -> Result<Outcome, Error> {
        self.transact_under(None, transaction).await
    }

    /// Executes a transaction, if the lock was not granted again since this epoch.
    async fn transact_under(&self, epoch: Option<u64>, transaction: &Transaction) -> Result<Outcome, Error> {
        let params: Arc<str> = request_json("transaction", transaction)?.into();
        let operations = transaction.len();
        let is_ours = transaction.database == *self.database;
        let send =
            |reply| Command::Transact { params: Arc::clone(&params), operations, is_ours, epoch, reply };
        self.call(send).await
    }

    /// Makes any other request; `params` must serialize to a JSON array.
    ///
    /// # Errors
    /// No server can be used in time, the connection breaks, the server answers with an error
    /// ([`Error::as_database_error`]) or something other than `T`, or the method is one that the client itself uses (monitors
    /// and locks).
    pub async fn request<T: DeserializeOwned>(
        &self,
        method: &str,
        params: &(impl Serialize + ?Sized),
    ) -> Result<T, Error> {
        let (method, params) =
            (Arc::<str>::from(method), Arc::<str>::from(request_json("parameters", params)?));
        let text = self.raw(method, params).await?;
        serde_json::from_str(text.get()).map_err(|e| Error::malformed("reply", e))
    }

    /// Lists the databases of the server (RFC 7047 section 4.1.1).
    ///
    /// # Errors
    /// As [`request`](Self::request).
    pub async fn list_dbs(&self) -> Result<Vec<String>, Error> {
        self.request("list_dbs", &[(); 0]).await
    }

    /// Gets the schema of a database of the server (RFC 7047 section 4.1.2).
    ///
    /// # Errors
    /// As [`request`](Self::request).
    pub async fn get_schema(&self, database: &str) -> Result<DatabaseSchema, Error> {
        let text = self.raw("get_schema".into(), request_json("name", &[database])?.into()).await?;
        DatabaseSchema::parse(text.get()).map_err(|e| Error::malformed("schema", e))
    }

    /// Sends an echo request and waits for the reply (RFC 7047 section 4.1.11).
    ///
    /// # Errors
    /// As [`request`](Self::request).
    pub async fn echo(&self) -> Result<(), Error> {
        self.raw("echo".into(), "[]".into()).await.map(drop)
    }

    /// Converts the database to another schema, given as JSON (ovsdb-server(7), section 4.1.19). The monitors get the rows
    /// of the new schema.
    ///
    /// # Errors
    /// As [`request`](Self::request).
    pub async fn convert(&self, schema: &(impl Serialize + ?Sized)) -> Result<(), Error> {
        let params = request_json("schema", &(&*self.database, schema))?;
        self.raw("convert".into(), params.into()).await.map(drop)
    }

    async fn raw(&self, method: Arc<str>, params: Arc<str>) -> Result<RawReply, Error> {
        let send =
            |reply| Command::Request { method: Arc::clone(&method), params: Arc::clone(&params), reply };
        self.call(send).await
    }

    /// Makes a call as soon as a server can be used, once.
    async fn call<T>(&self, command: impl Fn(Reply<T>) -> Command) -> Result<T, Error> {
        let deadline = self.deadline();
        loop {
            self.ready_until(deadline).await?;
            match self.command(&command).await {
                // The connection was lost in the meantime.
                Err(error) if error.is_not_sent() => {}
                result => return result,
            }
        }
    }

    /// Hands a command to the driver, and waits for its reply.
    async fn command<T>(&self, command: impl FnOnce(Reply<T>) -> Command) -> Result<T, Error> {
        let (sender, reply) = oneshot::channel();
        self.commands.send(command(sender)).await.map_err(|_| Kind::Stopped)?;
        let mut pending = Pending { reply, dropped: Arc::clone(&self.dropped) };
        (&mut pending.reply).await.map_err(|_| Kind::Stopped)?
    }

    async fn ready_until(&self, deadline: Option<Instant>) -> Result<Status, Error> {
        let mut status = self.status.clone();
        let is_over = |status: &Status| status.is_ready || (self.fail_fast && status.all_failed);
        let waiting = status.wait_for(is_over);
        let found = match deadline {
            None => waiting.await.map(|status| status.clone()),
            Some(deadline) => match timeout_at(deadline, waiting).await {
                Ok(found) => found.map(|status| status.clone()),
                Err(_) => Ok(self.status()),
            },
        };
        let status = found.map_err(|_| Kind::Stopped)?;
        if status.is_ready { Ok(status) } else { Err(Kind::Unavailable(status.failures).into()) }
    }

    fn deadline(&self) -> Option<Instant> {
        self.wait.and_then(|limit| Instant::now().checked_add(limit))
    }
}

// ===== impl Pending =====

impl<T> Drop for Pending<T> {
    fn drop(&mut self) {
        self.reply.close();
        // A lock that arrived and was not taken has to be dropped before the driver checks.
        drop(self.reply.try_recv());
        self.dropped.notify_one();
    }
}
