//! Questions of connections to the agent's loop, which owns the state, and the way to ask them.

use extaddr_core::pages::Walk;
use tokio::sync::{mpsc, oneshot};

use crate::explanation::Explanation;
use crate::status::Status;

/// A question with the channel for its answer. The receiver may be gone.
#[derive(Debug)]
pub(crate) enum Question {
    /// All metrics as text.
    Metrics(oneshot::Sender<String>),
    /// The agent's status.
    Status(oneshot::Sender<Box<Status>>),
    /// A step of a walk over the intents, repeated until the walk is done: no step takes long.
    Walk(Box<Walk>, oneshot::Sender<Box<Walk>>),
    /// The explanation of a port, by its name or that of a NIC.
    Port(String, oneshot::Sender<Result<Explanation, String>>),
}

/// The sender of questions to the loop.
#[derive(Clone, Debug)]
pub(crate) struct QuestionSender(mpsc::Sender<Question>);

/// The error of a question after the loop has ended.
#[derive(Debug)]
pub(crate) struct LoopEnded;

impl QuestionSender {
    pub(crate) fn new(sender: mpsc::Sender<Question>) -> Self {
        Self(sender)
    }

    /// Sends a question, and waits for the answer without a limit.
    pub(crate) async fn ask<T>(
        &self,
        question: impl FnOnce(oneshot::Sender<T>) -> Question,
    ) -> Result<T, LoopEnded> {
        let (sender, receiver) = oneshot::channel();
        self.0.send(question(sender)).await.map_err(|_| LoopEnded)?;
        receiver.await.map_err(|_| LoopEnded)
    }
}
