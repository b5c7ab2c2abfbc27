//! Questions of connections to the agent's loop, which owns the state, and the way to ask them.

use extaddr_core::pages::Walk;
use tokio::sync::{mpsc, oneshot};

use crate::explanation::Explanation;
use crate::status::Status;

/// A question, and where its answer goes. Whoever asked may be gone.
#[derive(Debug)]
pub(crate) enum Question {
    /// All metrics as text.
    Metrics(oneshot::Sender<String>),
    /// What the agent is doing.
    Status(oneshot::Sender<Box<Status>>),
    /// A step of a walk over the intents, which is asked again and again until it is done: no step takes long.
    Walk(Box<Walk>, oneshot::Sender<Box<Walk>>),
    /// What became of a port, by its name or that of a NIC.
    Port(String, oneshot::Sender<Result<Explanation, String>>),
}

/// Asks the loop.
#[derive(Clone, Debug)]
pub(crate) struct Asking(mpsc::Sender<Question>);

/// The loop has ended.
#[derive(Debug)]
pub(crate) struct Gone;

impl Asking {
    pub(crate) fn new(sender: mpsc::Sender<Question>) -> Self {
        Self(sender)
    }

    /// Asks, and waits for the answer as long as it takes.
    pub(crate) async fn ask<T>(
        &self,
        question: impl FnOnce(oneshot::Sender<T>) -> Question,
    ) -> Result<T, Gone> {
        let (sender, receiver) = oneshot::channel();
        self.0.send(question(sender)).await.map_err(|_| Gone)?;
        receiver.await.map_err(|_| Gone)
    }
}
