//! Queries of connections to the agent's loop, which owns the state, and the channel for them.

use extaddr_core::pages::Walk;
use tokio::sync::{mpsc, oneshot};

use crate::explanation::Explanation;
use crate::status::Status;

/// A query with the channel for its answer. The receiver may be gone.
#[derive(Debug)]
pub(crate) enum StateQuery {
    /// All metrics as text.
    Metrics(oneshot::Sender<String>),
    /// The agent's status.
    Status(oneshot::Sender<Box<Status>>),
    /// A step of a walk over the intents, repeated until the walk is done: no step takes long.
    Walk(Box<Walk>, oneshot::Sender<Box<Walk>>),
    /// The explanation of a port, by its name or that of a NIC.
    Port(String, oneshot::Sender<Result<Explanation, String>>),
}

/// The sender of queries to the loop.
#[derive(Clone, Debug)]
pub(crate) struct StateQuerySender(mpsc::Sender<StateQuery>);

/// The error of a query after the loop has ended.
#[derive(Debug)]
pub(crate) struct LoopEnded;

impl StateQuerySender {
    pub(crate) fn new(sender: mpsc::Sender<StateQuery>) -> Self {
        Self(sender)
    }

    /// Sends a query, and waits for the answer without a limit.
    pub(crate) async fn ask<T>(
        &self,
        query: impl FnOnce(oneshot::Sender<T>) -> StateQuery,
    ) -> Result<T, LoopEnded> {
        let (sender, receiver) = oneshot::channel();
        self.0.send(query(sender)).await.map_err(|_| LoopEnded)?;
        receiver.await.map_err(|_| LoopEnded)
    }
}
