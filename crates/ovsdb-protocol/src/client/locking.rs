//! The lock of a client.

use tokio::sync::watch;
use tokio::time::timeout_at;

use super::Client;
use super::driver::Command;
use crate::error::{Error, Kind};
use crate::lock::{LockName, LockStatus};

/// A lock that a [`Client`] asks for on every connection, until this is dropped or [released](Self::release).
///
/// The server grants it to one client at a time (RFC 7047 section 4.1.8). It ends with the connection and with the
/// server's leadership, and each time that it is granted it has another epoch. In a cluster it elects a writer and fences
/// nobody off: guard transactions by [`Transaction::assert_lock`](crate::Transaction::assert_lock).
#[derive(Debug)]
pub struct Lock {
    client: Client,
    status: watch::Receiver<LockStatus>,
}

// ===== impl Client =====

impl Client {
    /// Asks for a lock, and waits until the server has said whether it is ours. A client has one lock at a time.
    ///
    /// # Errors
    /// No server can be used in time, or none that grants locks: a follower or a relay does not. Or the client has a lock
    /// already.
    pub async fn lock(&self, name: &LockName) -> Result<Lock, Error> {
        let deadline = self.deadline();
        self.ready_until(deadline).await?;
        let status = self.command(|reply| Command::Lock { name: name.clone(), reply }).await?;
        let mut lock = Lock { client: self.clone(), status };
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
    /// Returns where we stand with it.
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

    /// Waits until the lock is ours, however long that takes, and returns its epoch.
    ///
    /// # Errors
    /// The driver of the client has ended.
    ///
    /// # Cancel safety
    /// Safe: we keep our place in the server's queue.
    pub async fn held(&mut self) -> Result<u64, Error> {
        loop {
            if let LockStatus::Held(epoch) = *self.status.borrow_and_update() {
                return Ok(epoch);
            }
            self.status.changed().await.map_err(|_| Kind::Stopped)?;
        }
    }

    /// Takes the lock from whoever has it, and waits until it is ours. The other one is told, and may take it back.
    ///
    /// # Errors
    /// As [`held`](Self::held), or too many requests are under way.
    pub async fn steal(&mut self) -> Result<u64, Error> {
        let epoch = self.client.command(|reply| Command::Steal { reply }).await?;
        // The caller knows now, so that `changed` tells only of what comes after.
        if *self.status.borrow_and_update() != LockStatus::Held(epoch) {
            self.status.mark_changed();
        }
        Ok(epoch)
    }

    /// Gives the lock back, and waits until the server has it.
    ///
    /// # Errors
    /// The lock is given back at the latest when the connection ends, which it may just have.
    pub async fn release(self) -> Result<(), Error> {
        self.client.command(|reply| Command::Release { reply }).await?;
        // The server takes one request after the other.
        self.client.echo().await
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        // The driver gives back a lock of which nobody wants to know; it looks when it is notified.
        let (_, nothing) = watch::channel(LockStatus::None);
        self.status = nothing;
        self.client.dropped.notify_one();
    }
}
