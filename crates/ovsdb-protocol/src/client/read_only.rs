//! Whether a server takes writes.

use uuid::Uuid;

use super::Client;
use crate::error::{Error, Kind};
use crate::outcome::Outcome;
use crate::transact::{Condition, Transaction};

impl Client {
    /// Asks whether the server refuses all writes to a database: it is a backup, or this remote of it is read-only.
    /// `table` is any table of the database. Nothing is changed by the question.
    ///
    /// # Errors
    /// The connection is lost.
    pub async fn is_read_only(&self, database: &str, table: &str) -> Result<bool, Error> {
        // A deletion of nothing, that is taken back: what decides is whether it is refused as such.
        let mut question = Transaction::new(database);
        question.delete(table, [Condition::eq("_uuid", Uuid::nil())]);
        question.abort();
        match self.transact(&question).await? {
            Outcome::Refused(refusal) => Ok(refusal.error.is_read_only()),
            Outcome::Committed(_) => Ok(false),
            Outcome::Unknown => Err(Kind::Closed(None).into()),
        }
    }
}
