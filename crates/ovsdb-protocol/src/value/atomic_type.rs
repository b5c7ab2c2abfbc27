//! The types of atoms.

use std::fmt;

/// The type of an atom.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum AtomicType {
    /// A signed 64-bit integer.
    Integer,
    /// A double.
    Real,
    /// A boolean.
    Boolean,
    /// A string.
    String,
    /// The name of a row.
    Uuid,
}

impl AtomicType {
    /// Returns the type with this name in a schema.
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Integer, Self::Real, Self::Boolean, Self::String, Self::Uuid]
            .into_iter()
            .find(|atomic| atomic.name() == name)
    }

    /// Returns the name of the type in a schema.
    pub fn name(self) -> &'static str {
        match self {
            Self::Integer => "integer",
            Self::Real => "real",
            Self::Boolean => "boolean",
            Self::String => "string",
            Self::Uuid => "uuid",
        }
    }
}

impl fmt::Display for AtomicType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
