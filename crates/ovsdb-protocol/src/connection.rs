//! The driver of a connection: takes requests from the handles, and the server's answers back.

use std::collections::HashMap;
use std::fmt;

use serde_json::value::RawValue;
use tokio::sync::{mpsc, oneshot};

use crate::client::LockEvent;
use crate::decoder::{RowsHead, RowsSource};
use crate::error::{Error, Kind};
use crate::exchange::Event;
use crate::link::{Incoming, Link, RowHandler};
use crate::monitor::MonitorMethod;
use crate::row::RowUpdate;
use crate::update::TableUpdates;

/// A connection to a server. Nothing moves on it but in [`run`](Self::run).
#[must_use = "nothing is sent or received until it runs"]
pub struct Connection {
    link: Link<Pending>,
    commands: mpsc::Receiver<Command>,
    locks: mpsc::Sender<LockEvent>,
    monitors: Monitors,
}

/// What a handle wants of its connection.
#[derive(Debug)]
pub(crate) enum Command {
    Request(Request),
    /// The caller of the request with this key is gone.
    Cancel(u64),
}

/// A request from a handle.
#[derive(Debug)]
pub(crate) struct Request {
    pub(crate) key: u64,
    pub(crate) method: &'static str,
    pub(crate) params: String,
    pub(crate) want: Want,
    pub(crate) reply: oneshot::Sender<Result<Box<RawValue>, Error>>,
}

/// What the reply to a request holds.
#[derive(Debug)]
pub(crate) enum Want {
    Value,
    /// Rows, for the monitor with this id, as JSON text.
    Rows {
        method: MonitorMethod,
        monitor: String,
        updates: mpsc::Sender<TableUpdates>,
    },
    /// Nothing: it ends this monitor.
    End(String),
}

#[derive(Debug)]
pub(crate) struct Pending {
    key: u64,
    want: Want,
    reply: oneshot::Sender<Result<Box<RawValue>, Error>>,
}

/// Where updates go, and the one that is arriving.
#[derive(Debug, Default)]
struct Monitors {
    senders: HashMap<String, mpsc::Sender<TableUpdates>>,
    arriving: TableUpdates,
}

// ===== impl Connection =====

impl Connection {
    pub(crate) fn new(
        link: Link<Pending>,
        commands: mpsc::Receiver<Command>,
        locks: mpsc::Sender<LockEvent>,
    ) -> Self {
        Self { link, commands, locks, monitors: Monitors::default() }
    }

    /// Moves requests and replies until all handles are dropped.
    ///
    /// # Errors
    /// The connection is lost. Callers that wait for a reply learn so when `self` is dropped.
    ///
    /// # Cancel safety
    /// Dropping the future and calling again loses nothing.
    pub async fn run(&mut self) -> Result<(), Error> {
        loop {
            tokio::select! {
                command = self.commands.recv() => match command {
                    Some(Command::Request(request)) => self.request(request),
                    Some(Command::Cancel(key)) => {
                        if let Some(id) = self.link.exchange.find(|pending| pending.key == key) {
                            self.link.exchange.cancel(id);
                        }
                    }
                    None => return Ok(()),
                },
                incoming = self.link.drive(&mut self.monitors) => match incoming? {
                    Incoming::Event(event) => self.event(event)?,
                    Incoming::Rows(head) => self.rows(head),
                },
            }
        }
    }

    fn request(&mut self, request: Request) {
        let Request { key, method, params, want, reply } = request;
        let rows = if let Want::Rows { method, .. } = &want { Some(*method) } else { None };
        match self.link.exchange.request(method, &params, Pending { key, want, reply }) {
            Ok(id) => {
                if let Some(method) = rows {
                    self.link.decoder.expect_rows(id, method);
                }
            }
            Err(busy) => {
                // The caller may be gone, which is as well.
                let _ = busy.0.reply.send(Err(Kind::Busy.into()));
            }
        }
    }

    fn event(&self, event: Event<Pending>) -> Result<(), Error> {
        match event {
            Event::Reply { token, result } => {
                let _ = token.reply.send(result.map_err(Into::into));
            }
            Event::Notification { method, params } => {
                let event: fn(String) -> LockEvent = match &*method {
                    "locked" => LockEvent::Locked,
                    "stolen" => LockEvent::Stolen,
                    _ => return Ok(()),
                };
                let [lock]: [String; 1] = serde_json::from_str(params.get())
                    .map_err(|e| Error::malformed("lock notification", e))?;
                // Nobody who cares for locks lets this many of them wait.
                let _ = self.locks.try_send(event(lock));
            }
        }
        Ok(())
    }

    /// A message with rows is complete.
    fn rows(&mut self, head: RowsHead) {
        let updates = std::mem::take(&mut self.monitors.arriving);
        match head.source {
            RowsSource::Reply(id) => {
                let Some(Pending { want: Want::Rows { monitor, updates: sender, .. }, reply, .. }) =
                    self.link.exchange.complete(id)
                else {
                    return;
                };
                let _ = sender.try_send(updates);
                self.monitors.senders.insert(monitor, sender);
                let _ = reply.send(Ok(RawValue::TRUE.to_owned()));
            }
            RowsSource::Update(monitor) => {
                let taken =
                    self.monitors.senders.get(&monitor).is_some_and(|to| to.try_send(updates).is_ok());
                if !taken {
                    self.monitors.senders.remove(&monitor);
                    self.cancel_monitor(monitor);
                }
            }
        }
    }

    /// Asks the server to send no more updates for a monitor that nobody listens to: its handle is
    /// dropped or has fallen behind, or its caller was gone before the reply.
    fn cancel_monitor(&mut self, monitor: String) {
        let leaving = |pending: &Pending| matches!(&pending.want, Want::End(ending) if *ending == monitor);
        if self.link.exchange.find(leaving).is_none() {
            let params = format!("[{monitor}]");
            let (reply, _) = oneshot::channel();
            let pending = Pending { key: 0, want: Want::End(monitor), reply };
            let _ = self.link.exchange.request("monitor_cancel", &params, pending);
        }
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection").field("link", &self.link).finish_non_exhaustive()
    }
}

// ===== impl Monitors =====

impl RowHandler for Monitors {
    fn begin(&mut self, head: &RowsHead) -> Result<(), Error> {
        self.arriving = TableUpdates { snapshot: !head.found, ..TableUpdates::default() };
        Ok(())
    }

    fn row(&mut self, update: RowUpdate<'_>) -> Result<(), Error> {
        self.arriving.push(update).map_err(|e| Error::malformed("row", e))
    }
}
