//! The monitor of the `_Server` database on one connection (ovsdb-server(5)). No IO, no clock.

use std::collections::BTreeMap;

use uuid::Uuid;

use crate::cursor::DecodeError;
use crate::monitor::{MonitorRequest, MonitorRequests, RowFilter};
use crate::row::{RowChange, RowUpdate};
use crate::schema::DatabaseSchema;
use crate::server::ServerDatabase;
use crate::transact::{Condition, Transaction};
use crate::update::read_row;
use crate::value::{Datum, Row};

/// The database that describes the databases of a server.
pub(crate) const SERVER: &str = "_Server";

/// Its only table.
const TABLE: &str = "Database";

/// The state of the `_Server` monitor on one connection.
#[derive(Debug, Default)]
pub(crate) struct ServerMonitor {
    rows: BTreeMap<Uuid, Row>,
    answer: Answer,
    /// Whether the reply to the request for the index has arrived, or none was sent.
    index_received: bool,
    index: Option<u64>,
}

/// The progress of the monitor.
#[derive(Debug, Default, PartialEq)]
enum Answer {
    /// No reply yet.
    #[default]
    Pending,
    /// The server has no `_Server`: Open vSwitch before 2.9.
    Unsupported,
    /// The rows are complete.
    Received,
}

/// The result, once all replies have arrived.
#[derive(Debug, PartialEq)]
pub(crate) enum ServerInfo {
    /// The server has no `_Server`.
    Unsupported,
    /// Its row of the database; `None` if it does not have the database.
    Database(Option<ServerDatabase>),
}

impl ServerMonitor {
    /// Returns the monitor requests for `_Server`; `None` if its schema lacks what is needed.
    pub(crate) fn requests(schema: &DatabaseSchema, database: &str) -> Option<MonitorRequests> {
        let table = schema.table(TABLE)?;
        table.column("name")?;
        let columns = ServerDatabase::COLUMNS.into_iter().filter(|column| table.column(column).is_some());
        let ours = RowFilter::Any(vec![Condition::eq("name", database)]);
        Some([(TABLE.to_owned(), MonitorRequest::columns(columns).rows(ours))].into())
    }

    /// Returns the request for the index, if `_Server` has that column. The index is not monitored, because that would
    /// cost an update for every transaction.
    pub(crate) fn index_request(schema: &DatabaseSchema, database: &str) -> Option<Transaction> {
        schema.column(TABLE, "index")?;
        let mut transaction = Transaction::new(SERVER);
        transaction.select_columns(TABLE, [Condition::eq("name", database)], ["index"]);
        Some(transaction)
    }

    /// Records that the server has no `_Server`.
    pub(crate) fn set_unsupported(&mut self) {
        self.answer = Answer::Unsupported;
    }

    /// Applies a row update of the monitor.
    pub(crate) fn apply(&mut self, update: RowUpdate<'_>) -> Result<(), DecodeError> {
        match update.change {
            RowChange::Insert(columns) | RowChange::Replace(columns) => {
                self.rows.insert(update.uuid, read_row(columns)?);
            }
            // No column holds more than one value, so all differences are new values.
            RowChange::Modify(columns) => {
                let row = self.rows.entry(update.uuid).or_default();
                for (column, value) in read_row(columns)?.iter() {
                    row.insert(column, value.clone());
                }
            }
            RowChange::Delete => drop(self.rows.remove(&update.uuid)),
        }
        Ok(())
    }

    /// Records that the initial rows are complete.
    pub(crate) fn rows_complete(&mut self) {
        self.answer = Answer::Received;
    }

    /// Sets the index; `None` if the server does not report it.
    pub(crate) fn set_index(&mut self, index: Option<u64>) {
        self.index_received = true;
        self.index = index;
    }

    /// Returns the information on the database, or `None` while a reply is missing.
    pub(crate) fn info(&self, database: &str) -> Option<ServerInfo> {
        match self.answer {
            Answer::Pending => None,
            Answer::Unsupported => Some(ServerInfo::Unsupported),
            Answer::Received if !self.index_received => None,
            Answer::Received => {
                // A server without conditional monitors also sends the rows of other databases.
                let named = |row: &&Row| row.get("name").and_then(Datum::as_str) == Some(database);
                let row = self.rows.values().find(named);
                Some(ServerInfo::Database(row.map(|row| ServerDatabase::read(row, self.index))))
            }
        }
    }
}
