//! The monitor of the database on one connection, and those that it replaced.

use std::collections::VecDeque;

use uuid::Uuid;

/// The id of the first monitor of a connection. Those of later ones end in their number, so that updates of a cancelled
/// monitor are not taken for those of the next.
const FIRST: &str = "session";

/// The monitor of the database: the requested one, or the next to be requested.
#[derive(Debug, Default)]
pub(super) struct DatabaseMonitor {
    /// Its number on this connection.
    number: u32,
    /// Its id as JSON text, once it was requested.
    id: String,
    /// The id of the request whose reply has its rows.
    request: Option<u64>,
    /// The snapshot that is loaded in stages, while some are missing.
    staged: Option<StagedSnapshot>,
    /// The ids of monitors that are being cancelled, as JSON texts, whose updates may still arrive.
    cancelled: VecDeque<String>,
}

/// A snapshot that is loaded in stages.
#[derive(Debug)]
struct StagedSnapshot {
    /// The number of stages to come, without the first.
    remaining: usize,
    /// The last transaction that the loaded stages reflect; `None` before the first is complete.
    last: Option<Uuid>,
}

/// The meaning of the reply to the request for a load stage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum StageReply {
    /// The snapshot is complete, and reflects this transaction.
    Complete(Uuid),
    /// More stages follow.
    More,
    /// It belongs to a snapshot that was given up.
    Obsolete,
    /// It comes before the first stage.
    TooEarly,
}

impl DatabaseMonitor {
    pub(super) fn number(&self) -> u32 {
        self.number
    }

    /// Returns the id to request it by.
    pub(super) fn name(&self) -> String {
        if self.number == 0 { FIRST.to_owned() } else { format!("{FIRST}{}", self.number) }
    }

    /// Returns the id as JSON text.
    pub(super) fn id(&self) -> &str {
        &self.id
    }

    /// Records the request, and the number of load stages after the first.
    pub(super) fn requested(&mut self, request: u64, stages: usize) {
        self.id = format!("\"{}\"", self.name());
        self.request = Some(request);
        self.staged = (stages > 0).then_some(StagedSnapshot { remaining: stages, last: None });
    }

    pub(super) fn has_request(&self, request: u64) -> bool {
        self.request == Some(request)
    }

    /// Gives up a snapshot that is loaded in stages.
    pub(super) fn give_up_stages(&mut self) {
        self.staged = None;
    }

    /// Records the rows of the first stage, which reflect a transaction. Returns false if they are the whole snapshot.
    pub(super) fn first_stage(&mut self, last: Uuid) -> bool {
        let Some(staged) = &mut self.staged else { return false };
        staged.last = Some(last);
        true
    }

    /// Returns true if the first stage is complete and another one is not: updates belong to the snapshot.
    pub(super) fn is_between_stages(&self) -> bool {
        self.staged.as_ref().is_some_and(|staged| staged.last.is_some())
    }

    /// Records the reply to the request for a later stage.
    pub(super) fn stage_answered(&mut self) -> StageReply {
        let Some(staged) = &mut self.staged else { return StageReply::Obsolete };
        let Some(last) = staged.last else { return StageReply::TooEarly };
        staged.remaining -= 1;
        if staged.remaining > 0 {
            return StageReply::More;
        }
        self.staged = None;
        StageReply::Complete(last)
    }

    /// Replaces it by the next one, if it was requested. Returns its id as JSON text, to cancel it.
    pub(super) fn cancel(&mut self) -> Option<String> {
        self.request.take()?;
        self.number += 1;
        let id = std::mem::take(&mut self.id);
        self.cancelled.push_back(id.clone());
        Some(id)
    }

    /// Records the reply to the request that cancels a monitor: no update of the oldest one follows.
    pub(super) fn cancel_answered(&mut self) {
        self.cancelled.pop_front();
    }

    pub(super) fn is_cancelled(&self, id: &str) -> bool {
        self.cancelled.iter().any(|cancelled| cancelled == id)
    }

    /// Returns true if updates of a cancelled monitor may still arrive.
    pub(super) fn is_cancelling(&self) -> bool {
        !self.cancelled.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cancelled_monitors_have_other_ids_until_the_server_has_replied() {
        let mut monitor = DatabaseMonitor::default();
        assert_eq!(monitor.cancel(), None, "it was not requested");
        for (number, id) in ["\"session\"", "\"session1\"", "\"session2\""].into_iter().enumerate() {
            monitor.requested(number as u64, 0);
            assert!(monitor.has_request(number as u64));
            assert_eq!((monitor.id(), monitor.is_cancelled(id)), (id, false));
            assert_eq!(monitor.cancel().as_deref(), Some(id));
            assert!(monitor.is_cancelled(id) && !monitor.has_request(number as u64));
        }
        assert_eq!(monitor.number(), 3);
        for id in ["\"session\"", "\"session1\"", "\"session2\""] {
            assert!(monitor.is_cancelling() && monitor.is_cancelled(id));
            monitor.cancel_answered();
            assert!(!monitor.is_cancelled(id));
        }
        assert!(!monitor.is_cancelling());
    }

    #[test]
    fn staged_snapshot_is_complete_with_its_last_stage() {
        let last = Uuid::from_u128(7);
        let mut monitor = DatabaseMonitor::default();
        monitor.requested(1, 0);
        assert!(!monitor.first_stage(last));
        assert_eq!(monitor.stage_answered(), StageReply::Obsolete);
        monitor.requested(2, 2);
        assert_eq!(monitor.stage_answered(), StageReply::TooEarly);
        assert!(!monitor.is_between_stages());
        assert!(monitor.first_stage(last) && monitor.is_between_stages());
        assert_eq!(monitor.stage_answered(), StageReply::More);
        assert_eq!(monitor.stage_answered(), StageReply::Complete(last));
        assert!(!monitor.is_between_stages());
        monitor.requested(3, 1);
        assert!(monitor.first_stage(last));
        monitor.give_up_stages();
        assert_eq!(monitor.stage_answered(), StageReply::Obsolete);
    }
}
