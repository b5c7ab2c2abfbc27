//! The request of rows, their transfer to the replica, and the commits.

use std::sync::Arc;

use serde_json::value::RawValue;
use uuid::Uuid;

use super::database_monitor::StageReply;
use super::{Call, ResumePoint, SERVER_MONITOR_TEXT, SessionState, View, send};
use crate::decoder::{Decoder, RowsHead, RowsSource};
use crate::error::{Error, Kind};
use crate::jsonrpc::JsonRpc;
use crate::link::RowHandler;
use crate::monitor::{MonitorMethod, later_stages};
use crate::outcome::DatabaseError;
use crate::replica::{Batch, Replica};
use crate::row::RowUpdate;
use crate::session::SessionEvent;

/// The monitor whose rows arrive.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Source {
    /// The monitor of the database.
    #[default]
    Database,
    /// The monitor of `_Server`.
    Server,
    /// A monitor of the database that was cancelled.
    Cancelled,
}

/// A receiver that passes rows to the replica, or to the monitor of `_Server`.
pub(crate) struct Feed<'a, R> {
    pub(crate) state: &'a mut SessionState,
    pub(crate) replica: &'a mut R,
}

// ===== impl SessionState =====

impl SessionState {
    /// Requests the rows by a generation of the monitor method.
    pub(super) fn monitor(
        &mut self,
        method: MonitorMethod,
        rpc: &mut JsonRpc<Call>,
        decoder: &mut Decoder,
    ) -> Result<(), Error> {
        self.connection.monitor.give_up_stages();
        // A conversion of the schema may have overtaken the refusal of a newer method.
        let Some(requested) = &self.connection.requested else { return Ok(()) };
        let invalid = |e| Error::invalid_request("monitor request", e);
        let ResumePoint { view, last } = requested;
        // A server that can resume from a transaction can change conditions. Differences are not worth several stages.
        let at_once = method != MonitorMethod::CondSince || !last.is_nil() || !self.can_stage;
        let (number, monitor) = (self.connection.monitor.number(), self.connection.monitor.name());
        let stages =
            if at_once { Vec::new() } else { later_stages(&monitor, &view.requests).map_err(invalid)? };
        let params = method
            .params(&self.database, &monitor, &view.requests, *last, !stages.is_empty())
            .map_err(invalid)?;
        let id = send(rpc, method.name(), &params, Call::Monitor(method, number))?;
        decoder.expect_rows(id, method);
        // ovsdb-server handles the next request when all of the previous reply is sent, so that there is no need to wait.
        for stage in &stages {
            send(rpc, "monitor_cond_change", stage, Call::LoadStage(number))?;
        }
        self.connection.monitor.requested(id, stages.len());
        Ok(())
    }

    /// Handles the end of a message with rows.
    pub(crate) fn rows_complete(
        &mut self,
        head: RowsHead,
        rpc: &mut JsonRpc<Call>,
        decoder: &mut Decoder,
        replica: &mut impl Replica,
    ) -> Result<(), Error> {
        if let RowsSource::Reply(id) = head.source {
            rpc.complete(id);
        }
        match self.connection.source {
            Source::Database => {}
            Source::Cancelled => return Ok(()),
            Source::Server => {
                self.connection.server.monitor.rows_complete();
                return self.advance(rpc, decoder, replica);
            }
        }
        let last = head.last.unwrap_or_default();
        if self.connection.monitor.first_stage(last) {
            return Ok(());
        }
        self.commit(last, replica);
        match head.source {
            RowsSource::Update(_) => self.events.push_back(SessionEvent::Updated),
            RowsSource::Reply(_) => self.synced(head.found),
        }
        Ok(())
    }

    /// Handles the end of a load stage of the snapshot, whose rows the server sends before the reply.
    pub(super) fn stage_complete(
        &mut self,
        result: Result<Box<RawValue>, DatabaseError>,
        replica: &mut impl Replica,
    ) -> Result<(), Error> {
        let reply = self.connection.monitor.stage_answered();
        // A conversion of the schema, or the refusal of a newer method, has overtaken the request.
        if reply == StageReply::Obsolete {
            return Ok(());
        }
        if let Err(error) = result {
            self.can_stage = false;
            return Err(error.into());
        }
        match reply {
            StageReply::Obsolete | StageReply::More => {}
            StageReply::TooEarly => {
                return Err(Error::malformed("reply", "it comes before that to the monitor request"));
            }
            // A stage without rows carries no transaction id, so that the last known one may be older than the rows. If
            // the session resumed from it and received a change twice, that would be a contradiction, after which all
            // rows are fetched again.
            StageReply::Complete(last) => {
                self.commit(last, replica);
                self.synced(false);
            }
        }
        Ok(())
    }

    /// Synchronises a replica that monitors nothing.
    pub(super) fn synced_without_rows(
        &mut self,
        view: View,
        replica: &mut impl Replica,
    ) -> Result<(), Error> {
        self.connection.requested = Some(ResumePoint { view: Arc::new(view), last: Uuid::nil() });
        // It may have had rows before.
        replica.begin(Batch::Snapshot);
        self.commit(Uuid::nil(), replica);
        self.synced(false);
        Ok(())
    }

    /// Commits a batch: the replica has the state of the database after the transaction `last`.
    fn commit(&mut self, last: Uuid, replica: &mut impl Replica) {
        replica.commit();
        self.connection.last = Some(last);
        self.update_resume_point();
    }

    /// Records the resume point, if the replica can be resumed from its state.
    pub(super) fn update_resume_point(&mut self) {
        if let (Some(asked), Some(last), true) =
            (&self.connection.requested, self.connection.last, self.changing.is_empty())
        {
            self.resume_point = Some(ResumePoint { view: Arc::clone(&asked.view), last });
        }
    }

    fn synced(&mut self, resumed: bool) {
        self.connection.synced = true;
        self.connection.was_synced = true;
        self.events.push_back(SessionEvent::Synced { resumed });
        self.complete_conditions();
        self.events.append(&mut std::mem::take(&mut self.connection.deferred).into());
    }
}

// ===== impl Feed =====

impl<R: Replica> RowHandler for Feed<'_, R> {
    fn begin(&mut self, head: &RowsHead) -> Result<(), Error> {
        let connection = &mut self.state.connection;
        // Updates until the end of a staged snapshot belong to it.
        let continues = connection.monitor.is_between_stages();
        connection.source = match &head.source {
            RowsSource::Update(monitor)
                if *monitor == connection.monitor.id() && (connection.synced || continues) =>
            {
                Source::Database
            }
            RowsSource::Update(monitor) if monitor == SERVER_MONITOR_TEXT => Source::Server,
            RowsSource::Update(monitor) if connection.monitor.is_cancelled(monitor) => Source::Cancelled,
            RowsSource::Update(monitor) => {
                return Err(Error::malformed("update", format!("there is no monitor {monitor}")));
            }
            RowsSource::Reply(id) if connection.monitor.has_request(*id) => Source::Database,
            RowsSource::Reply(id) if connection.server.request == Some(*id) => Source::Server,
            RowsSource::Reply(_) => Source::Cancelled,
        };
        if connection.source != Source::Database || continues {
            return Ok(());
        }
        // During a batch, the replica has no state of the database: if the connection broke now and the session
        // resumed, differences would be applied to the wrong rows.
        connection.last = None;
        self.state.resume_point = None;
        self.replica.begin(if head.found { Batch::Delta } else { Batch::Snapshot });
        Ok(())
    }

    fn row(&mut self, update: RowUpdate<'_>) -> Result<(), Error> {
        match self.state.connection.source {
            Source::Database => {
                self.state.connection.rows_seen += 1;
                self.replica.apply(update).map_err(|inconsistent| Kind::ApplyError(inconsistent).into())
            }
            Source::Server => {
                let applied = self.state.connection.server.monitor.apply(update);
                applied.map_err(|e| Error::malformed("_Server row", e))
            }
            Source::Cancelled => Ok(()),
        }
    }
}
