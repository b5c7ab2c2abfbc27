//! Conditions on the rows of an operation.

use serde::{Serialize, Serializer};
use uuid::Uuid;

use crate::value::Datum;

/// A test of one column, RFC 7047 section 5.1 `<condition>`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Condition {
    /// The column: one of the table, or `_uuid` or `_version`.
    pub column: String,
    /// The test.
    pub function: Function,
    /// The operand of the test.
    pub value: Datum,
}

/// The test in a condition, RFC 7047 section 5.1 `<function>`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
pub enum Function {
    /// The column is the value.
    #[serde(rename = "==")]
    Equal,
    /// The column is not the value.
    #[serde(rename = "!=")]
    NotEqual,
    /// The number in the column is less.
    #[serde(rename = "<")]
    Less,
    /// The number in the column is less or equal.
    #[serde(rename = "<=")]
    LessOrEqual,
    /// The number in the column is greater.
    #[serde(rename = ">")]
    Greater,
    /// The number in the column is greater or equal.
    #[serde(rename = ">=")]
    GreaterOrEqual,
    /// The column contains every element or pair of the value.
    #[serde(rename = "includes")]
    Includes,
    /// The column contains no element or pair of the value.
    #[serde(rename = "excludes")]
    Excludes,
}

impl Condition {
    /// Creates a condition.
    pub fn new(column: impl Into<String>, function: Function, value: impl Into<Datum>) -> Self {
        Self { column: column.into(), function, value: value.into() }
    }

    /// Creates the condition that a column is `value`.
    pub fn eq(column: impl Into<String>, value: impl Into<Datum>) -> Self {
        Self::new(column, Function::Equal, value)
    }

    /// Creates the condition that a column contains all of `value`.
    pub fn includes(column: impl Into<String>, value: impl Into<Datum>) -> Self {
        Self::new(column, Function::Includes, value)
    }

    /// Creates the condition that the row is this one, which the server finds without a search.
    pub fn uuid(uuid: Uuid) -> Self {
        Self::eq("_uuid", uuid)
    }
}

impl Serialize for Condition {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        (&self.column, self.function, &self.value).serialize(serializer)
    }
}
