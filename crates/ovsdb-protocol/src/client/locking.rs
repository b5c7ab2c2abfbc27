//! The lock of a client.

use tokio::sync::watch;
use tokio::time::timeout_at;

use super::Client;
use super::command::Command;
use crate::error::{Error, Kind};
use crate::lock::{LockName, LockStatus};
use crate::outcome::Outcome;
use crate::transact::Transaction;

/// A lock that a [`Client`] requests on every connection, until this is dropped or [released](Self::release).
///
/// The server grants it to one client at a time (RFC 7047 section 4.1.8). It ends with the connection and with the
/// server's leadership. Its epoch increases each time that it is granted. In a cluster it elects a writer but does not
/// fence off a former one: guard transactions by [`Transaction::assert_lock`]. On a new connection the lock is requested
/// before anything else is sent, so that such a transaction may be executed under a later epoch than when it was made;
/// [`transact`](Self::transact) prevents that.
#[derive(Debug)]
pub struct Lock {
    client: Client,
    name: LockName,
    status: watch::Receiver<LockStatus>,
}

// ===== impl Client =====

impl Client {
    /// Requests a lock, and waits until the server has replied whether this client holds it. A client has one lock at a
    /// time.
    ///
    /// # Errors
    /// No server that grants locks can be used in time (followers and relays do not), or the client has a lock already.
    ///
    /// # Cancel safety
    /// The lock is released if the future is dropped.
    pub async fn lock(&self, name: &LockName) -> Result<Lock, Error> {
        let deadline = self.deadline();
        self.ready_until(deadline).await?;
        let status = self.command(|reply| Command::Lock { name: name.clone(), reply }).await?;
        let mut lock = Lock { client: self.clone(), name: name.clone(), status };
        let answered = lock.status.wait_for(|status| *status != LockStatus::None);
        let answered = match deadline {
            None => answered.await,
            Some(deadline) => timeout_at(deadline, answered).await.map_err(|_| Kind::LockUnanswered)?,
        };
        answered.map_err(|_| Kind::Stopped)?;
        Ok(lock)
    }
}

// ===== impl Lock =====

impl Lock {
    /// Returns the status of the lock.
    pub fn status(&self) -> LockStatus {
        *self.status.borrow()
    }

    /// Waits until the status changes, and returns it. Changes that follow each other quickly are seen as one.
    ///
    /// # Errors
    /// The driver of the client has ended.
    ///
    /// # Cancel safety
    /// No change is missed when the future is dropped.
    pub async fn changed(&mut self) -> Result<LockStatus, Error> {
        self.status.changed().await.map_err(|_| Kind::Stopped)?;
        Ok(*self.status.borrow_and_update())
    }

    /// Waits without a limit until this client holds the lock, and returns its epoch.
    ///
    /// # Errors
    /// The driver of the client has ended.
    ///
    /// # Cancel safety
    /// The client keeps its place in the server's queue when the future is dropped.
    pub async fn held(&mut self) -> Result<u64, Error> {
        loop {
            if let LockStatus::Held(epoch) = *self.status.borrow_and_update() {
                return Ok(epoch);
            }
            self.status.changed().await.map_err(|_| Kind::Stopped)?;
        }
    }

    /// Steals the lock from its holder, and waits without a limit until this client holds it. Without a connection, or if it
    /// breaks meanwhile, the lock is stolen on the next one. The server notifies the former holder, which may steal it back.
    ///
    /// # Errors
    /// As [`held`](Self::held), or too many requests are pending.
    ///
    /// # Cancel safety
    /// The lock may be stolen even if the future is dropped; this client keeps its place in the server's queue.
    pub async fn steal(&mut self) -> Result<u64, Error> {
        let epoch = self.client.command(|reply| Command::Steal { reply }).await?;
        // The caller knows this change, so that `changed` reports only later ones.
        if *self.status.borrow_and_update() != LockStatus::Held(epoch) {
            self.status.mark_changed();
        }
        Ok(epoch)
    }

    /// Executes a transaction as [`Client::transact`] does, but not if the lock was lost since it was granted with this
    /// epoch, even if it was granted again: another client may have had it in between. The transaction has to
    /// [assert](Transaction::assert_lock) the lock, for the server to check that it is still held.
    ///
    /// # Errors
    /// As [`Client::transact`], [`Error::is_lock_lost`], or the transaction does not assert the lock. It was not sent.
    pub async fn transact(&self, epoch: u64, transaction: &Transaction) -> Result<Outcome, Error> {
        if !transaction.asserts_lock(self.name.as_str()) {
            return Err(Error::invalid_request("transaction", "it does not assert the lock"));
        }
        self.client.transact_under(Some(epoch), transaction).await
    }

    /// Releases the lock, and waits until the server has done so.
    ///
    /// # Errors
    /// There is no synchronised connection, the driver has ended, or too many requests are pending. The lock is released
    /// in all cases, but possibly later.
    pub async fn release(self) -> Result<(), Error> {
        self.client.command(|reply| Command::Release { reply }).await?;
        // The server handles requests in their order. Another one, on a later connection, does not know the lock.
        let echo = |reply| Command::Request { method: "echo".into(), params: "[]".into(), reply };
        self.client.command(echo).await.map(drop)
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        // The driver releases a lock whose status nobody watches; it checks that when it is notified.
        let (_, nothing) = watch::channel(LockStatus::None);
        self.status = nothing;
        self.client.dropped.notify_one();
    }
}
