//! What a server says of itself on one connection, before it is asked for rows and after. Pure.

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

/// The database in which a server describes those that it has.
pub(crate) const SERVER: &str = "_Server";

/// Its only table.
const TABLE: &str = "Database";

/// The answers to questions about `_Server`.
#[derive(Debug, Default)]
pub(crate) struct Greeting {
    rows: BTreeMap<Uuid, Row>,
    told: Told,
    /// Whether the index is known, or known not to be.
    index_told: bool,
    index: Option<u64>,
}

/// What was said.
#[derive(Debug, Default, PartialEq)]
enum Told {
    /// Nothing yet.
    #[default]
    Nothing,
    /// That there is no such thing as `_Server`: Open vSwitch before 2.9.
    Absent,
    Rows,
}

/// What is known once everything was answered.
#[derive(Debug, PartialEq)]
pub(crate) enum Description {
    /// The server is too old to describe itself.
    None,
    /// What it says of the database, `None` if it does not have it.
    Of(Option<ServerDatabase>),
}

impl Greeting {
    /// Returns what to monitor in `_Server`, or `None` where there is nothing to learn.
    pub(crate) fn requests(schema: &DatabaseSchema, database: &str) -> Option<MonitorRequests> {
        let table = schema.table(TABLE)?;
        table.column("name")?;
        let columns = ServerDatabase::COLUMNS.into_iter().filter(|column| table.column(column).is_some());
        let ours = RowFilter::Any(vec![Condition::eq("name", database)]);
        Some([(TABLE.to_owned(), MonitorRequest::columns(columns).rows(ours))].into())
    }

    /// Returns the question for the index. It is asked for once in a while, because to monitor it costs an update
    /// for every transaction.
    pub(crate) fn index_request(schema: &DatabaseSchema, database: &str) -> Option<Transaction> {
        schema.column(TABLE, "index")?;
        let mut transaction = Transaction::new(SERVER);
        transaction.select_columns(TABLE, [Condition::eq("name", database)], ["index"]);
        Some(transaction)
    }

    /// The server does not describe itself.
    pub(crate) fn absent(&mut self) {
        self.told = Told::Absent;
    }

    /// Takes a row of the monitor.
    pub(crate) fn apply(&mut self, update: RowUpdate<'_>) -> Result<(), DecodeError> {
        match update.change {
            RowChange::Insert(columns) | RowChange::Replace(columns) => {
                self.rows.insert(update.uuid, read_row(columns)?);
            }
            // No column holds more than one value, so that all differences are new values.
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

    /// The first rows of the monitor are complete.
    pub(crate) fn rows_complete(&mut self) {
        self.told = Told::Rows;
    }

    /// Takes the answer to the question for the index; `None` where there is none.
    pub(crate) fn index_told(&mut self, index: Option<u64>) {
        self.index_told = true;
        self.index = index;
    }

    /// Returns what the server said of the database, or `None` while an answer is missing.
    pub(crate) fn description(&self, database: &str) -> Option<Description> {
        match self.told {
            Told::Nothing => None,
            Told::Absent => Some(Description::None),
            Told::Rows if !self.index_told => None,
            Told::Rows => {
                // A server without conditional monitors sends its other databases, too.
                let named = |row: &&Row| row.get("name").and_then(Datum::as_str) == Some(database);
                let row = self.rows.values().find(named);
                Some(Description::Of(row.map(|row| ServerDatabase::read(row, self.index))))
            }
        }
    }
}
