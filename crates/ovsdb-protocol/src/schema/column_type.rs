//! The type of a column.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use crate::value::{Atom, AtomicType, Datum};

/// The type of a column: a set of `key`, or a map from `key` to `value`, of `min` to `max` elements.
#[derive(Debug, Clone, PartialEq)]
pub struct ColumnType {
    /// The type of the elements of a set, or of the keys of a map.
    pub key: BaseType,
    /// The type of the values of a map; `None` for a set.
    pub value: Option<BaseType>,
    /// The least number of elements: 0 or 1.
    pub min: u64,
    /// The greatest number of elements.
    pub max: Max,
}

/// The greatest number of elements in a column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Max {
    /// At most this many, never 0.
    Limited(u64),
    /// Any number.
    Unlimited,
}

/// The type of an atom with its constraint.
#[derive(Debug, Clone, PartialEq)]
pub struct BaseType {
    /// The type.
    pub atomic: AtomicType,
    /// The allowed values of the type.
    pub constraint: Constraint,
}

/// The allowed values of an atom's type. Bounds are inclusive.
#[derive(Debug, Clone, PartialEq)]
pub enum Constraint {
    /// Any.
    None,
    /// One of these, all of the type.
    Enum(BTreeSet<Atom>),
    /// An integer in a range.
    Integer {
        /// The least integer.
        min: i64,
        /// The greatest integer.
        max: i64,
    },
    /// A real in a range.
    Real {
        /// The least real.
        min: f64,
        /// The greatest real.
        max: f64,
    },
    /// A string with a length in a range, in characters.
    Length {
        /// The least length.
        min: u64,
        /// The greatest length.
        max: u64,
    },
    /// The name of a row of a table, which cannot be checked locally.
    Reference {
        /// The name of the table.
        table: String,
        /// The effect of the deletion of that row.
        ref_type: RefType,
    },
}

/// The effect of a reference on the row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RefType {
    /// The row must exist and cannot be deleted.
    Strong,
    /// The reference disappears with the row.
    Weak,
}

// ===== impl ColumnType =====

impl ColumnType {
    /// Creates the type of exactly one unconstrained atom.
    pub fn scalar(atomic: AtomicType) -> Self {
        Self { key: BaseType::any(atomic), value: None, min: 1, max: Max::Limited(1) }
    }

    /// Returns true if values are maps.
    pub fn is_map(&self) -> bool {
        self.value.is_some()
    }

    /// Returns true if values have at most one element or pair.
    ///
    /// Monitors replace the values of such columns, maps included, and send differences for all others.
    pub fn max_is_one(&self) -> bool {
        self.max == Max::Limited(1)
    }

    /// Returns the value of the column in a row that was inserted without it, RFC 7047 section 5.2.1.
    ///
    /// That is the empty value if it is allowed, otherwise one element with the defaults of the atomic types.
    /// Constraints are ignored: a mandatory enumeration of strings has the default `""`, which the server refuses at
    /// the insert.
    pub fn default_datum(&self) -> Datum {
        let keys = (self.min > 0).then(|| self.key.atomic.default_atom());
        match &self.value {
            None => Datum::Set(keys.into_iter().collect()),
            Some(value) => Datum::Map(
                keys.map(|key| (key, value.atomic.default_atom())).into_iter().collect::<BTreeMap<_, _>>(),
            ),
        }
    }
}

// ===== impl Max =====

impl Max {
    /// Returns true if this number of elements is allowed.
    pub fn allows(self, count: u64) -> bool {
        match self {
            Self::Limited(max) => count <= max,
            Self::Unlimited => true,
        }
    }
}

impl fmt::Display for Max {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Limited(max) => write!(f, "{max}"),
            Self::Unlimited => f.write_str("any number of"),
        }
    }
}

// ===== impl BaseType =====

impl BaseType {
    /// Creates an unconstrained type.
    pub fn any(atomic: AtomicType) -> Self {
        Self { atomic, constraint: Constraint::None }
    }

    /// Returns the allowed values of an enumeration.
    pub fn enumeration(&self) -> Option<&BTreeSet<Atom>> {
        match &self.constraint {
            Constraint::Enum(atoms) => Some(atoms),
            _ => None,
        }
    }

    /// Returns the table that values refer to.
    pub fn ref_table(&self) -> Option<&str> {
        match &self.constraint {
            Constraint::Reference { table, .. } => Some(table),
            _ => None,
        }
    }

    /// Returns the strength of references; `None` for other types.
    pub fn ref_type(&self) -> Option<RefType> {
        match &self.constraint {
            Constraint::Reference { ref_type, .. } => Some(*ref_type),
            _ => None,
        }
    }
}

// ===== impl Constraint =====

impl fmt::Display for Constraint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => f.write_str("any value"),
            Self::Enum(atoms) => {
                f.write_str("one of")?;
                atoms
                    .iter()
                    .enumerate()
                    .try_for_each(|(index, atom)| write!(f, "{}{atom}", if index == 0 { " " } else { ", " }))
            }
            Self::Integer { min, max } => write!(f, "between {min} and {max}"),
            Self::Real { min, max } => write!(f, "between {min:?} and {max:?}"),
            Self::Length { min, max } => write!(f, "of a length between {min} and {max}"),
            Self::Reference { table, .. } => write!(f, "a row of table {table:?}"),
        }
    }
}
