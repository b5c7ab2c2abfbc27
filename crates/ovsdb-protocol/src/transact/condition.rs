//! Conditions on the rows of an operation.

use serde::Serialize;
use uuid::Uuid;

use crate::value::Datum;

/// A test of a row, RFC 7047 section 5.1 `<condition>`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize)]
#[serde(untagged)]
#[non_exhaustive]
pub enum Condition {
    /// A test of one column: its name, also `_uuid` or `_version`, the test and its operand.
    Column(String, Function, Datum),
    /// A test that every row or no row meets (ovsdb-server(7)).
    Boolean(bool),
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
        Self::Column(column.into(), function, value.into())
    }

    /// Creates the condition that a column is `value`.
    pub fn eq(column: impl Into<String>, value: impl Into<Datum>) -> Self {
        Self::new(column, Function::Equal, value)
    }

    /// Creates the condition that a column contains all of `value`.
    pub fn includes(column: impl Into<String>, value: impl Into<Datum>) -> Self {
        Self::new(column, Function::Includes, value)
    }

    /// Creates the condition that a column contains none of `value`.
    pub fn excludes(column: impl Into<String>, value: impl Into<Datum>) -> Self {
        Self::new(column, Function::Excludes, value)
    }

    /// Creates the condition that the row is this one, which the server finds without a search.
    pub fn uuid(uuid: Uuid) -> Self {
        Self::eq("_uuid", uuid)
    }

    /// Returns the column that is tested, if one is.
    pub fn column(&self) -> Option<&str> {
        match self {
            Self::Column(column, ..) => Some(column),
            Self::Boolean(_) => None,
        }
    }
}
