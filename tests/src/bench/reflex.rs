use std::thread::{self, JoinHandle};

use anyhow::{Context, Result};
use serde_json::json;

use super::observer::Counter;
use super::raw::Raw;

/// A client that waits for changes like an agent, and answers each with a prepared answer: the lower bound for any agent.
#[derive(Debug)]
pub(super) struct Reflex {
    thread: JoinHandle<Result<()>>,
}

impl Reflex {
    /// Answers the next changes of switch ports by these requests, one each.
    pub(super) fn start(mut raw: Raw, answers: Vec<Vec<u8>>) -> Result<Self> {
        let request = json!({"id": 1, "method": "monitor_cond", "params": ["OVN_Northbound", "reflex", {
            "Logical_Switch_Port": [{"columns": ["external_ids"], "select": {"initial": false}}],
        }]});
        raw.call(request.to_string().as_bytes())?;
        let thread = thread::spawn(move || {
            let mut updates = Counter::new(b"\"update2\"");
            for answer in answers {
                while updates.count == 0 {
                    updates.feed(raw.read()?);
                }
                updates.count -= 1;
                raw.send(&answer)?;
            }
            Ok(())
        });
        Ok(Self { thread })
    }

    /// Waits until all answers were given.
    pub(super) fn end(self) -> Result<()> {
        self.thread.join().ok().context("the thread that answers panicked")?
    }
}
