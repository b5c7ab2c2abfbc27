//! The rows of the database: asked for, taken in, and complete at last.

use std::sync::Arc;

use serde_json::value::RawValue;
use uuid::Uuid;

use super::{Call, Dialogue, MONITOR, Position, SERVER_MONITOR_TEXT, View, send};
use crate::decoder::{Decoder, RowsHead, RowsSource};
use crate::error::{Error, Kind};
use crate::exchange::Exchange;
use crate::link::RowHandler;
use crate::monitor::{MonitorMethod, later_stages};
use crate::outcome::DatabaseError;
use crate::replica::{Batch, Replica};
use crate::row::RowUpdate;
use crate::session::SessionEvent;

/// How much of a snapshot is here.
#[derive(Debug)]
pub(super) struct Parts {
    /// How many of them are to come after the first.
    awaited: usize,
    /// The last transaction that those reflect which are here; none is at first.
    last: Option<Uuid>,
}

/// Whose rows arrive.
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

/// Hands rows to the replica, or to the greeting.
pub(crate) struct Feed<'a, R> {
    pub(crate) dialogue: &'a mut Dialogue,
    pub(crate) replica: &'a mut R,
}

// ===== impl Dialogue =====

impl Dialogue {
    pub(super) fn monitor(
        &mut self,
        method: MonitorMethod,
        exchange: &mut Exchange<Call>,
        decoder: &mut Decoder,
    ) -> Result<(), Error> {
        self.heard.parts = None;
        // A conversion of the schema may have overtaken the refusal of a newer method.
        let Some(asked) = &self.heard.asked else { return Ok(()) };
        let invalid = |e| Error::invalid_request("monitor request", e);
        let Position { view, last } = asked;
        // Whoever can start from a transaction can change conditions. Differences are not worth parts.
        let whole = method != MonitorMethod::CondSince || !last.is_nil() || !self.parts_will_do;
        let number = self.heard.monitor_number;
        let monitor = if number == 0 { MONITOR.to_owned() } else { format!("{MONITOR}{number}") };
        let parts =
            if whole { Vec::new() } else { later_stages(&monitor, &view.requests).map_err(invalid)? };
        let params = method
            .params(&self.database, &monitor, &view.requests, *last, !parts.is_empty())
            .map_err(invalid)?;
        let id = send(exchange, method.name(), &params, Call::Monitor(method, number))?;
        decoder.expect_rows(id, method);
        self.heard.monitor = format!("\"{monitor}\"");
        self.heard.monitor_request = Some(id);
        // ovsdb-server takes the next request when all of its reply to the one before is on the way, so that there is
        // nothing to wait for.
        for part in &parts {
            send(exchange, "monitor_cond_change", part, Call::Part(number))?;
        }
        self.heard.parts = Some(Parts { awaited: parts.len(), last: None }).filter(|parts| parts.awaited > 0);
        Ok(())
    }

    /// The rows of a message are complete.
    pub(crate) fn rows_complete(
        &mut self,
        head: RowsHead,
        exchange: &mut Exchange<Call>,
        decoder: &mut Decoder,
        replica: &mut impl Replica,
    ) -> Result<(), Error> {
        if let RowsSource::Reply(id) = head.source {
            exchange.complete(id);
        }
        match self.heard.source {
            Source::Database => {}
            Source::Cancelled => return Ok(()),
            Source::Server => {
                self.heard.greeting.rows_complete();
                return self.proceed(exchange, decoder, replica);
            }
        }
        let last = head.last.unwrap_or_default();
        if let Some(parts) = &mut self.heard.parts {
            parts.last = Some(last);
            return Ok(());
        }
        self.commit(last, replica);
        match head.source {
            RowsSource::Update(_) => self.events.push_back(SessionEvent::Updated),
            RowsSource::Reply(_) => self.synced(head.found),
        }
        Ok(())
    }

    /// A part of the snapshot is complete: the server sends its rows before it answers.
    pub(super) fn part_complete(
        &mut self,
        result: Result<Box<RawValue>, DatabaseError>,
        replica: &mut impl Replica,
    ) -> Result<(), Error> {
        // The answer may be to a request that a conversion of the schema, or the refusal of a newer method, has
        // overtaken.
        let Some(parts) = &mut self.heard.parts else { return Ok(()) };
        if let Err(error) = result {
            self.parts_will_do = false;
            return Err(error.into());
        }
        let Some(last) = parts.last else {
            return Err(Error::malformed("reply", "it comes before that to the monitor's request"));
        };
        // A part without rows tells no transaction, so that the last one known may be older than what is here. Were it
        // resumed from and something told twice, that would be a contradiction, and everything fetched anew.
        parts.awaited -= 1;
        if parts.awaited == 0 {
            self.heard.parts = None;
            self.commit(last, replica);
            self.synced(false);
        }
        Ok(())
    }

    /// The replica wants no rows.
    pub(super) fn synced_without_rows(
        &mut self,
        view: View,
        replica: &mut impl Replica,
    ) -> Result<(), Error> {
        self.heard.asked = Some(Position { view: Arc::new(view), last: Uuid::nil() });
        // It may have had some before.
        replica.begin(Batch::Snapshot);
        self.commit(Uuid::nil(), replica);
        self.synced(false);
        Ok(())
    }

    /// The replica is as the database was after a transaction.
    fn commit(&mut self, last: Uuid, replica: &mut impl Replica) {
        replica.commit();
        self.heard.last = Some(last);
        self.settle();
    }

    /// Notes what the replica holds, where it can be resumed from that.
    pub(super) fn settle(&mut self) {
        if let (Some(asked), Some(last), true) =
            (&self.heard.asked, self.heard.last, self.changing.is_empty())
        {
            self.position = Some(Position { view: Arc::clone(&asked.view), last });
        }
    }

    fn synced(&mut self, resumed: bool) {
        self.heard.synced = true;
        self.heard.was_synced = true;
        self.events.push_back(SessionEvent::Synced { resumed });
        self.conditions_hold();
        self.events.append(&mut std::mem::take(&mut self.heard.deferred).into());
    }
}

// ===== impl Feed =====

impl<R: Replica> RowHandler for Feed<'_, R> {
    fn begin(&mut self, head: &RowsHead) -> Result<(), Error> {
        let heard = &mut self.dialogue.heard;
        // Also what changes until all of a snapshot is here belongs to it.
        let goes_on = heard.parts.as_ref().is_some_and(|parts| parts.last.is_some());
        heard.source = match &head.source {
            RowsSource::Update(monitor) if *monitor == heard.monitor && (heard.synced || goes_on) => {
                Source::Database
            }
            RowsSource::Update(monitor) if monitor == SERVER_MONITOR_TEXT => Source::Server,
            RowsSource::Update(monitor) if heard.cancelled.contains(monitor) => Source::Cancelled,
            RowsSource::Update(monitor) => {
                return Err(Error::malformed("update", format!("there is no monitor {monitor}")));
            }
            RowsSource::Reply(id) if heard.monitor_request == Some(*id) => Source::Database,
            RowsSource::Reply(id) if heard.server_monitor == Some(*id) => Source::Server,
            RowsSource::Reply(_) => Source::Cancelled,
        };
        if heard.source != Source::Database || goes_on {
            return Ok(());
        }
        // From the first row to the last, what is here is nowhere in the server's history: were
        // the connection to break now, its differences would be applied to the wrong rows.
        heard.last = None;
        self.dialogue.position = None;
        self.replica.begin(if head.found { Batch::Delta } else { Batch::Snapshot });
        Ok(())
    }

    fn row(&mut self, update: RowUpdate<'_>) -> Result<(), Error> {
        match self.dialogue.heard.source {
            Source::Database => {
                self.dialogue.heard.rows_seen += 1;
                self.replica.apply(update).map_err(|inconsistent| Kind::ApplyError(inconsistent).into())
            }
            Source::Server => {
                let applied = self.dialogue.heard.greeting.apply(update);
                applied.map_err(|e| Error::malformed("description of itself", e))
            }
            Source::Cancelled => Ok(()),
        }
    }
}
