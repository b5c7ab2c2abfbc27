//! The trait of a consumer's copy of a database.

use crate::monitor::MonitorRequests;
use crate::row::RowUpdate;
use crate::schema::DatabaseSchema;

/// A consumer's copy of a database, fed by a [`Session`](crate::Session) row by row while the
/// bytes still arrive.
///
/// A batch is `begin`, any number of `apply`, then `commit`; without `commit` if the connection breaks in between. Rows
/// that were applied then stay, and a snapshot follows before the next `commit`.
pub trait Replica {
    /// Returns the monitor requests, given the server's schema.
    ///
    /// # Errors
    /// The schema lacks something that the consumer requires; the message says what.
    fn declare(&mut self, schema: &DatabaseSchema) -> Result<MonitorRequests, SchemaMismatch>;

    /// Starts a batch of rows.
    fn begin(&mut self, batch: Batch);

    /// Applies a row update of the batch.
    ///
    /// # Errors
    /// The update contradicts the content, for example the change of a row that does not exist. The session then fetches
    /// everything again. A value that is not understood is not a contradiction: record it and return `Ok`.
    fn apply(&mut self, update: RowUpdate<'_>) -> Result<(), ApplyError>;

    /// Ends the batch: it is complete, and the content is consistent.
    fn commit(&mut self);
}

/// The relation of a batch to the content of the replica.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Batch {
    /// All rows. Rows that are not among them are deleted at `commit`; an inserted row may exist already. If it is
    /// loaded in [stages](crate::MonitorRequest::load_stage), its rows may be changed and deleted before its end.
    Snapshot,
    /// Differences to the content.
    Delta,
}

/// The error of a schema that lacks something that the consumer requires.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct SchemaMismatch(pub String);

/// The error of a row update that contradicts the content of the replica.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct ApplyError(pub &'static str);

/// A replica without rows, for sessions that only make requests.
impl Replica for () {
    fn declare(&mut self, _: &DatabaseSchema) -> Result<MonitorRequests, SchemaMismatch> {
        Ok(MonitorRequests::new())
    }

    fn begin(&mut self, _: Batch) {}

    fn apply(&mut self, _: RowUpdate<'_>) -> Result<(), ApplyError> {
        Ok(())
    }

    fn commit(&mut self) {}
}
