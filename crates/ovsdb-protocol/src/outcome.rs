//! Outcomes of transactions, [RFC 7047 section 4.1.3] and section 5.2.
//!
//! [RFC 7047 section 4.1.3]: https://www.rfc-editor.org/rfc/rfc7047#section-4.1.3

mod error;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use serde::Deserialize;
use serde::de::Error as _;
use serde_json::value::RawValue;
use uuid::Uuid;

pub use error::{DatabaseError, ErrorClass};

use crate::value::{Datum, Row};

/// The outcome of a transaction, as far as this client can know it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// The transaction was executed.
    Committed(Results),
    /// The transaction was not executed. (See [`ErrorClass::Canceled`] for the exception.)
    Refused(TransactError),
    /// The request was sent, and the connection was lost before the reply: the transaction may have been executed, and
    /// may even be executed later. Check the database before a repetition, or make that harmless by rows with [chosen
    /// uuids](crate::Transaction::insert_as) or by a [precondition](crate::Transaction::require).
    Unknown,
}

/// The results of a transaction's operations, in their order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Results(Vec<OperationResult>);

/// The result of one operation.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum OperationResult {
    /// No result: of a wait, commit, comment or assert.
    Empty,
    /// The new row: of an insert.
    Uuid(Uuid),
    /// The number of matching rows: of an update, mutate or delete. A row counts even if its values did not change.
    Count(u64),
    /// The rows: of a select. A value that cannot be read, such as a real that the server rounds beyond the largest
    /// double, is missing in its row.
    Rows(Vec<Row>),
}

/// The error of a transaction that was not executed. It is displayed as `operation 1 refused`; the reason is
/// [`error`](Self::error), its source.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}", match operation {
    Some(index) => format!("operation {index} refused"),
    None => "transaction refused".to_owned(),
})]
#[non_exhaustive]
pub struct TransactError {
    /// The index of the failed operation; `None` for a refusal of all of them at the commit, or of the request itself.
    pub operation: Option<usize>,
    /// The server's error.
    #[source]
    pub error: DatabaseError,
    /// The results of the operations before the failed one; of all operations, for a refusal at the commit. They
    /// contain what was read, and what would have been written: nothing was.
    pub results: Results,
}

/// A reply to `transact` that violates the protocol. Whether the transaction was executed is unknown.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MalformedReply {
    /// The text is not an array of operation results, or not an error.
    #[error("not an array of operation results")]
    Json(#[source] serde_json::Error),
    /// There are not as many results as operations.
    #[error("expected {expected} operation results, found {found}")]
    Length {
        /// The number of operations.
        expected: usize,
        /// The number of results.
        found: usize,
    },
    /// An operation has no result, and none before it failed.
    #[error("operation {0} has no result")]
    Missing(usize),
}

// ===== impl Outcome =====

impl Outcome {
    /// Reads the `result` member of the reply to a transaction of `operations` operations.
    ///
    /// On a failure the results are those of the operations before it, the error, and a null for each operation
    /// after it. At the commit all operations have results that look like success, and the error follows as one
    /// more element.
    ///
    /// # Errors
    ///
    /// Fails for a text that follows neither form.
    pub fn from_result(result: &str, operations: usize) -> Result<Self, MalformedReply> {
        let elements: Vec<Option<Element>> = serde_json::from_str(result).map_err(MalformedReply::Json)?;
        let found = elements.len();
        let mut results = Vec::with_capacity(found);
        let mut missing = None;
        for (index, element) in elements.into_iter().enumerate() {
            match element {
                None => missing = missing.or(Some(index)),
                Some(Element::Failure(error)) => {
                    let operation = (index < operations).then_some(index);
                    let results = Results(results);
                    return Ok(Self::Refused(TransactError { operation, error, results }));
                }
                Some(Element::Success(result)) => results.push(result),
            }
        }
        match missing {
            Some(index) => Err(MalformedReply::Missing(index)),
            None if found == operations => Ok(Self::Committed(Results(results))),
            None => Err(MalformedReply::Length { expected: operations, found }),
        }
    }
}

// ===== impl Results =====

impl Results {
    /// Returns the result of the operation at `index`.
    pub fn get(&self, index: usize) -> Option<&OperationResult> {
        self.0.get(index)
    }

    /// Returns the UUID of the row that the insert at `index` created.
    ///
    /// A row of a non-root table without references is already deleted again.
    pub fn uuid(&self, index: usize) -> Option<Uuid> {
        match self.get(index)? {
            OperationResult::Uuid(uuid) => Some(*uuid),
            _ => None,
        }
    }

    /// Returns the number of rows that the update, mutate or delete at `index` matched.
    pub fn count(&self, index: usize) -> Option<u64> {
        match self.get(index)? {
            OperationResult::Count(count) => Some(*count),
            _ => None,
        }
    }

    /// Returns the rows that the select at `index` found.
    pub fn rows(&self, index: usize) -> Option<&[Row]> {
        match self.get(index)? {
            OperationResult::Rows(rows) => Some(rows),
            _ => None,
        }
    }

    /// Iterates over the results in the order of their operations.
    pub fn iter(&self) -> std::slice::Iter<'_, OperationResult> {
        self.0.iter()
    }

    /// Returns the number of results.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Returns true for a transaction without operations.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl IntoIterator for Results {
    type Item = OperationResult;
    type IntoIter = std::vec::IntoIter<OperationResult>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

// ===== impl TransactError =====

impl TransactError {
    /// Creates the error of the operation at this index, or of the request as a whole.
    pub fn new(operation: Option<usize>, error: DatabaseError) -> Self {
        Self { operation, error, results: Results::default() }
    }

    /// Returns what the caller may do about the error.
    pub fn class(&self) -> ErrorClass {
        ErrorClass::classify(&self.error, self.operation)
    }
}

/// One element of the `result` array which is not null.
enum Element {
    Success(OperationResult),
    Failure(DatabaseError),
}

impl<'de> Deserialize<'de> for Element {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        struct Members {
            error: Option<String>,
            details: Option<String>,
            syntax: Option<String>,
            uuid: Option<Datum>,
            count: Option<u64>,
            rows: Option<Vec<Readable>>,
        }

        let Members { error, details, syntax, uuid, count, rows } = Members::deserialize(deserializer)?;
        if let Some(error) = error {
            return Ok(Self::Failure(DatabaseError { error, details, syntax }));
        }
        Ok(Self::Success(match (uuid.map(|uuid| uuid.as_uuid()), count, rows) {
            (None, None, None) => OperationResult::Empty,
            (Some(Some(uuid)), None, None) => OperationResult::Uuid(uuid),
            (None, Some(count), None) => OperationResult::Count(count),
            (None, None, Some(rows)) => {
                OperationResult::Rows(rows.into_iter().map(|Readable(row)| row).collect())
            }
            _ => return Err(D::Error::custom("ambiguous operation result")),
        }))
    }
}

/// The columns of a row whose values can be read. One that cannot is not the fault of the transaction, whose outcome the
/// caller has to know.
struct Readable(Row);

impl<'de> Deserialize<'de> for Readable {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let columns = BTreeMap::<String, Box<RawValue>>::deserialize(deserializer)?;
        let readable = columns.into_iter().filter_map(|(column, text)| {
            let datum = serde_json::from_str::<Datum>(text.get());
            let datum = datum.inspect_err(|error| {
                tracing::warn!(%column, detail = %error, "value of a selected row not understood");
            });
            Some((column, datum.ok()?))
        });
        Ok(Self(readable.collect()))
    }
}
