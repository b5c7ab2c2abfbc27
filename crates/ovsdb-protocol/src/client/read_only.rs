//! A test whether a server is read-only.

use uuid::Uuid;

use super::Client;
use crate::error::{Error, Kind};
use crate::outcome::Outcome;
use crate::transact::{Condition, Transaction};

impl Client {
    /// Returns true if the server refuses all writes to a database, because it is a backup or this remote of it is
    /// read-only. `table` is any table of the database. The test changes nothing, but for the client's own database it is
    /// a write like any other: a server that refuses it is left, and another is used from then on.
    ///
    /// # Errors
    /// No server can be used in time, or the connection breaks.
    pub async fn is_read_only(&self, database: &str, table: &str) -> Result<bool, Error> {
        // A deletion of no row that is aborted: only the kind of the refusal matters.
        let mut test = Transaction::new(database);
        test.delete(table, [Condition::eq("_uuid", Uuid::nil())]);
        test.abort();
        match self.transact(&test).await? {
            Outcome::Refused(refusal) => Ok(refusal.error.is_read_only()),
            Outcome::Committed(_) => Ok(false),
            Outcome::Unknown => Err(Kind::Closed(None).into()),
        }
    }
}
