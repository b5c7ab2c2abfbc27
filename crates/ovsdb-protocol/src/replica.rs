//! What a session needs of the place where rows are kept.

use std::fmt;

use crate::monitor::MonitorRequests;
use crate::row::RowUpdate;
use crate::schema::DatabaseSchema;

/// A consumer's copy of a database, fed by a [`Session`](crate::Session) row by row while the
/// bytes still arrive.
///
/// A batch is `begin`, any number of `apply`, then `commit`, or no `commit` where the connection
/// broke in between. What was applied then stays, and a snapshot follows before the next `commit`.
pub trait Replica {
    /// Chooses what to monitor, of what the server has.
    ///
    /// # Errors
    /// The schema lacks what the consumer cannot do without; the sentence says what.
    fn declare(&mut self, schema: &DatabaseSchema) -> Result<MonitorRequests, SchemaMismatch>;

    /// Starts a batch of rows.
    fn begin(&mut self, batch: Batch);

    /// Takes a row of the batch.
    ///
    /// # Errors
    /// The row contradicts what is here, for example a change of a row that is not: the session
    /// then fetches everything anew. A value that cannot be understood is no contradiction; take
    /// note of it and go on.
    fn apply(&mut self, update: RowUpdate<'_>) -> Result<(), ApplyError>;

    /// Ends the batch: it is complete now and consistent.
    fn commit(&mut self);
}

/// How a batch relates to what the replica holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Batch {
    /// All rows there are. Rows that are not among them are gone at `commit`; a row that is
    /// inserted may be here already. Where it comes in [stages](crate::MonitorRequest::load_stage), rows that it brought may
    /// be changed and deleted again before its end.
    Snapshot,
    /// Differences to what is here.
    Delta,
}

/// A schema that the consumer cannot work with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SchemaMismatch(pub String);

/// A row update that contradicts the replica.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ApplyError(pub &'static str);

/// A replica of nothing, for sessions that only make requests.
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

impl fmt::Display for SchemaMismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for SchemaMismatch {}

impl fmt::Display for ApplyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl std::error::Error for ApplyError {}
