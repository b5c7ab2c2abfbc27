//! Changes of a column in relation to its value.

use serde::{Serialize, Serializer};

use crate::value::{Atom, Datum};

/// A change of one column, RFC 7047 section 5.1 `<mutation>`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Mutation {
    /// The column.
    pub column: String,
    /// The change.
    pub mutator: Mutator,
    /// The operand of the change.
    pub value: Datum,
}

/// The change in a mutation, RFC 7047 section 5.1 `<mutator>`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
pub enum Mutator {
    /// Adds to every number.
    #[serde(rename = "+=")]
    Add,
    /// Subtracts from every number.
    #[serde(rename = "-=")]
    Subtract,
    /// Multiplies every number.
    #[serde(rename = "*=")]
    Multiply,
    /// Divides every number.
    #[serde(rename = "/=")]
    Divide,
    /// Takes the remainder of every integer.
    #[serde(rename = "%=")]
    Remainder,
    /// Adds elements, or pairs whose keys the map lacks. Pairs of known keys keep their values.
    #[serde(rename = "insert")]
    Insert,
    /// Removes elements, or pairs of a map: by key if the operand is a set, by key and value if it is a map.
    #[serde(rename = "delete")]
    Delete,
}

impl Mutation {
    /// Creates a mutation.
    pub fn new(column: impl Into<String>, mutator: Mutator, value: impl Into<Datum>) -> Self {
        Self { column: column.into(), mutator, value: value.into() }
    }

    /// Creates the mutation that adds elements or pairs.
    pub fn insert(column: impl Into<String>, value: impl Into<Datum>) -> Self {
        Self::new(column, Mutator::Insert, value)
    }

    /// Creates the mutation that removes elements, pairs or keys.
    pub fn delete(column: impl Into<String>, value: impl Into<Datum>) -> Self {
        Self::new(column, Mutator::Delete, value)
    }

    /// Creates the two mutations that give a key of a map this value, whatever it had before: inserting a key that the
    /// map has already would leave its old value.
    pub fn set_key(column: impl Into<String>, key: impl Into<Atom>, value: impl Into<Atom>) -> [Self; 2] {
        let (column, key) = (column.into(), key.into());
        let pair = Datum::map([(key.clone(), value.into())]);
        [Self::delete(column.clone(), key), Self::insert(column, pair)]
    }
}

impl Serialize for Mutation {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        (&self.column, self.mutator, &self.value).serialize(serializer)
    }
}
