//! The driver of a client, which owns the session and executes the commands of the handles.

use std::collections::HashMap;
use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use tokio::sync::{Notify, mpsc, watch};

use super::command::{Command, MonitoredTable, RawReply, Reply};
use super::monitor::SharedTables;
use super::status::Status;
use crate::error::{Error, Kind};
use crate::lock::LockStatus;
use crate::monitor::{RowFilter, condition_change};
use crate::outcome::Outcome;
use crate::session::{ConditionId, RequestId, Session, SessionConfig, SessionEvent};
use crate::transact::TransactionId;

/// The future that does the work of a [`Client`](super::Client): it connects, reconnects, sends and receives, and ends
/// when all handles are dropped. Spawn it.
///
/// Dropping it closes the connection, and makes all calls fail.
#[must_use = "a client does nothing unless its driver is polled: spawn it"]
pub struct Driver {
    running: Pin<Box<dyn Future<Output = ()> + Send>>,
}

struct State {
    session: Session,
    commands: mpsc::Receiver<Command>,
    status: watch::Sender<Status>,
    /// Notified when a call, lock or monitor was dropped.
    dropped: Arc<Notify>,
    transactions: HashMap<TransactionId, Reply<Outcome>>,
    requests: HashMap<RequestId, Reply<RawReply>>,
    conditions: HashMap<ConditionId, Reply<()>>,
    /// Requests whose connection broke, until the reason is known.
    lost: Vec<Reply<RawReply>>,
    lock: Option<watch::Sender<LockStatus>>,
    /// The call that steals the lock. The status alone is not enough: the lock may be lost again before the caller sees it.
    stealing: Option<Reply<u64>>,
    tables: SharedTables,
    monitored: Vec<MonitoredTable>,
    /// Whether a table was added that the session does not monitor yet.
    is_undeclared: bool,
}

// ===== impl Driver =====

impl Driver {
    pub(super) fn new(
        config: SessionConfig,
        commands: mpsc::Receiver<Command>,
        status: watch::Sender<Status>,
        dropped: Arc<Notify>,
        tables: SharedTables,
    ) -> Self {
        let state = State {
            session: Session::new(config),
            commands,
            status,
            dropped,
            transactions: HashMap::new(),
            requests: HashMap::new(),
            conditions: HashMap::new(),
            lost: Vec::new(),
            lock: None,
            stealing: None,
            tables,
            monitored: Vec::new(),
            is_undeclared: false,
        };
        Self { running: Box::pin(state.run()) }
    }
}

impl Future for Driver {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        self.running.as_mut().poll(cx)
    }
}

impl fmt::Debug for Driver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Driver").finish_non_exhaustive()
    }
}

// ===== impl State =====

impl State {
    async fn run(mut self) {
        let mut replica = self.tables.clone();
        loop {
            self.declare();
            self.release_dropped();
            tokio::select! {
                biased;
                // A dropped call is cancelled before the next one is sent, which may come from the same task.
                () = self.dropped.notified() => self.clear(),
                // Each call waits for its reply, so that commands cannot starve the session.
                command = self.commands.recv() => match command {
                    Some(command) => self.command(command),
                    None => return,
                },
                event = self.session.next(&mut replica) => self.event(event),
            }
        }
    }

    /// Handles an event. Failures to send to a receiver are ignored, because it was dropped.
    fn event(&mut self, event: SessionEvent) {
        match event {
            // It may not be synchronised any more if a table was added.
            SessionEvent::Synced { .. } if self.session.is_synced() => {
                let (remote, role) = (self.session.remote().cloned(), self.session.role());
                tracing::debug!(remote = remote.as_ref().map(tracing::field::display), ?role, "synchronised");
                self.status.send_modify(|status| status.ready(remote, role));
            }
            SessionEvent::Connected(_) | SessionEvent::Synced { .. } | SessionEvent::Updated => {}
            SessionEvent::Unsynced => self.unsynced(),
            SessionEvent::RoleChanged(role) => self.status.send_modify(|status| status.role_changed(role)),
            SessionEvent::Lock(status) => {
                if let Some(lock) = &self.lock {
                    lock.send_replace(status);
                }
                match status {
                    LockStatus::Held(epoch) => {
                        if let Some(reply) = self.stealing.take() {
                            let _ = reply.send(Ok(epoch));
                        }
                    }
                    // It was requested without a connection, or the connection broke meanwhile.
                    LockStatus::Waiting => self.steal(),
                    LockStatus::None => {}
                }
            }
            SessionEvent::Completed { id, outcome } => {
                if let Some(reply) = self.transactions.remove(&id) {
                    let _ = reply.send(Ok(outcome));
                }
            }
            SessionEvent::Replied { id, result } => match (self.requests.remove(&id), result) {
                (Some(reply), Err(error)) if error.is_not_sent() => self.lost.push(reply),
                (Some(reply), result) => drop(reply.send(result)),
                (None, _) => {}
            },
            SessionEvent::ConditionChanged { id, result } => {
                if let Some(reply) = self.conditions.remove(&id) {
                    let _ = reply.send(result);
                }
            }
            SessionEvent::Disconnected { remote, error, retry } => {
                tracing::debug!(%remote, error = format_args!("{error:#}"), ?retry, "disconnected");
                let error = Arc::new(error);
                for reply in self.lost.drain(..) {
                    let _ = reply.send(Err(Kind::Closed(Some(Arc::clone(&error))).into()));
                }
                // There is a pause only after every address of every server was tried.
                self.status.send_modify(|status| status.failed(remote, error, !retry.is_zero()));
            }
        }
    }

    fn command(&mut self, command: Command) {
        if command.is_abandoned() {
            return;
        }
        let session = &mut self.session;
        match command {
            Command::Transact { params, operations, is_ours, epoch, reply } => {
                let is_lost = epoch.is_some_and(|epoch| session.lock_status() != LockStatus::Held(epoch));
                let sent = match is_lost {
                    true => Err(Kind::LockLost.into()),
                    false => session.transact_json(&params, operations, is_ours),
                };
                enter(&mut self.transactions, sent, reply, &self.status);
            }
            Command::Request { method, params, reply } => {
                let sent = session.request_json(&method, &params);
                enter(&mut self.requests, sent, reply, &self.status);
            }
            Command::Monitor { table, rows, reply } => {
                let _ = reply.send(self.monitor(table, rows));
            }
            Command::Condition { table, rows, reply } => {
                let sent = session.set_condition(&table, rows);
                enter(&mut self.conditions, sent, reply, &self.status);
            }
            Command::Lock { name, reply } => {
                let result = if self.lock.as_ref().is_some_and(|lock| !lock.is_closed()) {
                    Err(Kind::LockTaken.into())
                } else {
                    let set = session.set_lock(name).map(|()| {
                        let (sender, receiver) = watch::channel(session.lock_status());
                        self.lock = Some(sender);
                        receiver
                    });
                    // Nobody would own it on the next connection. Nothing was requested that had to be released.
                    set.inspect_err(|_| drop(session.want_lock(false)))
                };
                let _ = reply.send(result);
            }
            Command::Steal { reply } => match session.lock_status() {
                LockStatus::Held(epoch) => drop(reply.send(Ok(epoch))),
                LockStatus::Waiting | LockStatus::None => {
                    self.stealing = Some(reply);
                    self.steal();
                }
            },
            Command::Release { reply } => {
                let released = session.want_lock(false);
                // Otherwise it is released when there is room, since its handle is dropped.
                if released.is_ok() {
                    self.lock = None;
                }
                let _ = reply.send(released);
            }
            Command::ResetMinIndex { reply } => {
                session.reset_min_index();
                let _ = reply.send(Ok(()));
            }
        }
    }

    /// Steals the lock for the caller that waits for it. This has an effect only while the session waits for the lock,
    /// and is repeated whenever it begins to wait.
    fn steal(&mut self) {
        if self.stealing.as_ref().is_some_and(Reply::is_closed) {
            self.stealing = None;
        }
        if self.stealing.is_some()
            && let Err(error) = self.session.steal_lock()
            && let Some(reply) = self.stealing.take()
        {
            let _ = reply.send(Err(error));
        }
    }

    fn monitor(&mut self, table: MonitoredTable, rows: RowFilter) -> Result<(), Error> {
        self.remove_dropped();
        if self.monitored.iter().any(|monitored| monitored.name == table.name) {
            return Err(Kind::AlreadyMonitored(table.name).into());
        }
        // Every server would refuse it, and the session would not try again.
        condition_change("0", table.name, &rows).map_err(|e| Error::invalid_request("condition", e))?;
        self.tables.change(table.add);
        self.session.preset_condition(table.name, rows);
        self.monitored.push(table);
        self.is_undeclared = true;
        self.declare();
        Ok(())
    }

    /// Makes the session monitor tables that were added. If too many requests are pending, it is tried again later.
    fn declare(&mut self) {
        if self.is_undeclared {
            self.unsynced();
            self.is_undeclared = self.session.redeclare().is_err();
        }
    }

    fn unsynced(&self) {
        self.status.send_if_modified(|status| std::mem::replace(&mut status.is_ready, false));
    }

    /// Removes the tables of dropped monitors. The server continues to send their rows until the next monitor request.
    fn remove_dropped(&mut self) {
        let Self { monitored, tables, session, .. } = self;
        monitored.retain(|table| {
            let is_alive = table.alive.strong_count() > 0;
            if !is_alive {
                tables.change(table.remove);
                session.preset_condition(table.name, RowFilter::All);
            }
            is_alive
        });
    }

    /// Cancels calls that were dropped, and releases a lock that was.
    fn clear(&mut self) {
        self.remove_dropped();
        let session = &mut self.session;
        self.transactions.retain(|id, reply| {
            !reply.is_closed() || {
                session.cancel(*id);
                false
            }
        });
        self.requests.retain(|id, reply| {
            !reply.is_closed() || {
                session.cancel_request(*id);
                false
            }
        });
        self.conditions.retain(|_, reply| !reply.is_closed());
        self.release_dropped();
    }

    /// Releases the lock if its handle was dropped. If too many requests are pending, it is tried again later.
    fn release_dropped(&mut self) {
        if self.lock.as_ref().is_some_and(watch::Sender::is_closed) && self.session.want_lock(false).is_ok() {
            self.lock = None;
        }
    }
}

/// Keeps the reply until the session reports the result, or replies at once why nothing was sent.
fn enter<K: std::hash::Hash + Eq, T>(
    pending: &mut HashMap<K, Reply<T>>,
    sent: Result<K, Error>,
    reply: Reply<T>,
    status: &watch::Sender<Status>,
) {
    match sent {
        Ok(id) => drop(pending.insert(id, reply)),
        Err(error) => {
            if error.is_not_sent() {
                // The event that says so is still to come.
                status.send_if_modified(|status| std::mem::replace(&mut status.is_ready, false));
            }
            let _ = reply.send(Err(error));
        }
    }
}
