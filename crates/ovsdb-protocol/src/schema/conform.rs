//! The conversion of values to the types of their columns.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use super::{BaseType, ColumnType, Constraint, Max, TableSchema};
use crate::value::{Atom, AtomicType, Datum, Row};

/// The place of an atom in a datum.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// An element of a set.
    Element,
    /// A key of a map.
    Key,
    /// The value of this key of a map.
    ValueOf(Atom),
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Element => f.write_str("element"),
            Self::Key => f.write_str("key"),
            Self::ValueOf(key) => write!(f, "value of key {key}"),
        }
    }
}

/// The error of a value that does not fit its column type.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ValueError {
    /// A set although the column holds a map, or the reverse.
    #[error("expected a {expected}, found a {found}")]
    Shape {
        /// The kind of the column.
        expected: &'static str,
        /// The kind of the value.
        found: &'static str,
    },
    /// An atom of another type.
    #[error("{place}: expected type {expected}, found {atom} of type {}", atom.atomic_type())]
    Type {
        /// The place of the atom.
        place: Place,
        /// The type of the column.
        expected: AtomicType,
        /// The atom.
        atom: Atom,
    },
    /// An atom that violates the constraint of its base type.
    #[error("{place}: {atom} is not {allowed}")]
    Constraint {
        /// The place of the atom.
        place: Place,
        /// The atom.
        atom: Atom,
        /// The constraint in words.
        allowed: String,
    },
    /// Two elements or keys that are equal once converted to the type of the column.
    #[error("{place}: {atom} occurs twice")]
    Duplicate {
        /// The place of the atom.
        place: Place,
        /// The atom.
        atom: Atom,
    },
    /// Too few or too many elements.
    #[error("expected {min} to {max} elements, found {found}")]
    Arity {
        /// The least number of elements.
        min: u64,
        /// The greatest number of elements.
        max: Max,
        /// The number of elements.
        found: usize,
    },
}

/// The error of a row that does not fit its table.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RowError {
    /// The table has no such column.
    #[error("unknown column {0:?}")]
    UnknownColumn(String),
    /// The value of a column does not fit.
    #[error("column {column:?}")]
    Value {
        /// The name of the column.
        column: String,
        /// The error of its value.
        #[source]
        source: ValueError,
    },
}

impl ColumnType {
    /// Checks the number of elements of a value.
    ///
    /// # Errors
    ///
    /// Fails with [`ValueError::Arity`] outside of `min` to `max`.
    pub fn check_arity(&self, found: usize) -> Result<(), ValueError> {
        let count = found as u64;
        let fits = count >= self.min && self.max.allows(count);
        if fits { Ok(()) } else { Err(ValueError::Arity { min: self.min, max: self.max, found }) }
    }
}

impl BaseType {
    /// Checks the constraint for an atom of this type.
    pub(crate) fn check(&self, atom: &Atom, place: impl FnOnce() -> Place) -> Result<(), ValueError> {
        let fits = match (&self.constraint, atom) {
            (Constraint::Enum(atoms), _) => atoms.contains(atom),
            (Constraint::Integer { min, max }, Atom::Integer(integer)) => (min..=max).contains(&integer),
            (Constraint::Real { min, max }, Atom::Real(real)) => (min..=max).contains(&real),
            (Constraint::Length { min, max }, Atom::String(string)) => {
                (*min..=*max).contains(&(string.chars().count() as u64))
            }
            _ => true,
        };
        if fits {
            return Ok(());
        }
        Err(ValueError::Constraint {
            place: place(),
            atom: atom.clone(),
            allowed: self.constraint.to_string(),
        })
    }
}

impl Datum {
    /// Converts to the exact types of a column, and checks all constraints of the schema.
    ///
    /// An integer becomes a real in a column of reals. A real without fraction becomes an integer in a column of
    /// integers, if below 2^53 and thus exact. The empty set becomes the empty map in a column of maps. A named uuid is
    /// accepted as a uuid.
    ///
    /// # Errors
    ///
    /// Fails if the value still does not fit the column: the error names the wrong atom.
    pub fn conform(self, column: &ColumnType) -> Result<Self, ValueError> {
        let datum = self.convert(column)?;
        datum.check_constraints(column)?;
        column.check_arity(datum.len())?;
        Ok(datum)
    }

    /// Converts like [`Datum::conform`], without checking constraints and the number of elements.
    ///
    /// This is for values from a server, which after a conversion of the schema may have values that it would not
    /// accept, and for the difference of two values, which may be longer than either.
    ///
    /// # Errors
    ///
    /// Fails if an atom is of another type.
    pub fn convert(self, column: &ColumnType) -> Result<Self, ValueError> {
        let key = &column.key;
        match (self, &column.value) {
            (Self::Set(set), None) => set_of(set, key).map(Self::Set),
            (Self::Map(map), Some(value)) => map_of(map, key, value).map(Self::Map),
            (Self::Set(set), Some(_)) if set.is_empty() => Ok(Self::Map(BTreeMap::new())),
            (Self::Set(_), Some(_)) => Err(ValueError::Shape { expected: "map", found: "set" }),
            (Self::Map(_), None) => Err(ValueError::Shape { expected: "set", found: "map" }),
        }
    }

    /// Checks the constraints of every atom; the atoms have the column's types.
    fn check_constraints(&self, column: &ColumnType) -> Result<(), ValueError> {
        match (self, &column.value) {
            (Self::Map(map), Some(value_base)) => map.iter().try_for_each(|(key, value)| {
                column.key.check(key, || Place::Key)?;
                value_base.check(value, || Place::ValueOf(key.clone()))
            }),
            _ => self.iter().try_for_each(|atom| column.key.check(atom, || Place::Element)),
        }
    }
}

impl Row {
    /// Converts every column with [`Datum::conform`].
    ///
    /// # Errors
    ///
    /// Fails for a column that the table lacks, and for the first value that does not fit its column.
    pub fn conform(self, table: &TableSchema) -> Result<Self, RowError> {
        let mut row = Self::new();
        for (name, datum) in self {
            let Some(column) = table.column(&name) else {
                return Err(RowError::UnknownColumn(name));
            };
            match datum.conform(&column.column_type) {
                Ok(datum) => row.insert(name, datum),
                Err(source) => return Err(RowError::Value { column: name, source }),
            };
        }
        Ok(row)
    }
}

fn set_of(set: BTreeSet<Atom>, base: &BaseType) -> Result<BTreeSet<Atom>, ValueError> {
    // Nearly every value arrives in its exact type.
    if set.iter().all(|atom| atom.atomic_type() == base.atomic) {
        return Ok(set);
    }
    let mut converted = BTreeSet::new();
    for atom in set {
        let atom = convert(atom, base, || Place::Element)?;
        if let Some(atom) = converted.replace(atom) {
            return Err(ValueError::Duplicate { place: Place::Element, atom });
        }
    }
    Ok(converted)
}

fn map_of(
    map: BTreeMap<Atom, Atom>,
    key_base: &BaseType,
    value_base: &BaseType,
) -> Result<BTreeMap<Atom, Atom>, ValueError> {
    let exact = |(key, value): (&Atom, &Atom)| {
        key.atomic_type() == key_base.atomic && value.atomic_type() == value_base.atomic
    };
    if map.iter().all(exact) {
        return Ok(map);
    }
    let mut converted = BTreeMap::new();
    for (key, value) in map {
        let key = convert(key, key_base, || Place::Key)?;
        let value = convert(value, value_base, || Place::ValueOf(key.clone()))?;
        if converted.contains_key(&key) {
            return Err(ValueError::Duplicate { place: Place::Key, atom: key });
        }
        converted.insert(key, value);
    }
    Ok(converted)
}

/// Converts an atom to the type of its column.
fn convert(atom: Atom, base: &BaseType, place: impl Fn() -> Place) -> Result<Atom, ValueError> {
    /// Every integer up to here has its own double, so that the conversion is lossless.
    const EXACT: f64 = (1_i64 << 53) as f64;

    match (atom, base.atomic) {
        (Atom::Integer(integer), AtomicType::Real) => Ok(Atom::Real(integer as f64)),
        (Atom::Real(real), AtomicType::Integer) if real.fract() == 0.0 && real.abs() < EXACT => {
            Ok(Atom::Integer(real as i64))
        }
        (atom, expected) if atom.atomic_type() == expected => Ok(atom),
        (atom, expected) => Err(ValueError::Type { place: place(), expected, atom }),
    }
}
