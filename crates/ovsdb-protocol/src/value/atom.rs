//! One indivisible database value.

use std::borrow::Cow;
use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};

use uuid::Uuid;

use super::AtomicType;

/// One indivisible value: the element of a set, or the key or the value of a map.
///
/// Atoms are totally ordered and hashable. Reals compare by their numeric value with `-0.0` equal to
/// `0.0`, as the server compares them. Atoms of different types are never equal, `Integer(1)` and
/// `Real(1.0)` included.
#[derive(Debug, Clone)]
pub enum Atom {
    /// A signed 64-bit integer, exact over its whole range.
    Integer(i64),
    /// A double. JSON has no infinities and no NaN: serializing one is an error.
    Real(f64),
    /// A boolean.
    Boolean(bool),
    /// A string without NUL, which the server refuses.
    String(String),
    /// The permanent name of a row.
    Uuid(Uuid),
    /// The name that an insert of the same transaction gives to its new row. Only ever sent, never received.
    NamedUuid(String),
}

impl Atom {
    /// Returns the type of the columns that may hold this atom.
    pub fn atomic_type(&self) -> AtomicType {
        match self {
            Self::Integer(_) => AtomicType::Integer,
            Self::Real(_) => AtomicType::Real,
            Self::Boolean(_) => AtomicType::Boolean,
            Self::String(_) => AtomicType::String,
            Self::Uuid(_) | Self::NamedUuid(_) => AtomicType::Uuid,
        }
    }

    /// Returns the integer, if this is one.
    pub fn as_integer(&self) -> Option<i64> {
        match self {
            Self::Integer(value) => Some(*value),
            _ => None,
        }
    }

    /// Returns the real, if this is one; the nearest one, if this is an integer: ovsdb-server writes the real `3.0`
    /// as `3`, which without a schema is read as an integer.
    pub fn as_real(&self) -> Option<f64> {
        match self {
            Self::Real(value) => Some(*value),
            Self::Integer(value) => Some(*value as f64),
            _ => None,
        }
    }

    /// Returns the boolean, if this is one.
    pub fn as_bool(&self) -> Option<bool> {
        match self {
            Self::Boolean(value) => Some(*value),
            _ => None,
        }
    }

    /// Returns the string, if this is one.
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Self::String(value) => Some(value),
            _ => None,
        }
    }

    /// Returns the row name, if this is a permanent one.
    pub fn as_uuid(&self) -> Option<Uuid> {
        match self {
            Self::Uuid(value) => Some(*value),
            _ => None,
        }
    }

    /// Ranks the variants, for the order of atoms of different types.
    fn rank(&self) -> u8 {
        match self {
            Self::Integer(_) => 0,
            Self::Real(_) => 1,
            Self::Boolean(_) => 2,
            Self::String(_) => 3,
            Self::Uuid(_) => 4,
            Self::NamedUuid(_) => 5,
        }
    }
}

/// Maps `-0.0` to `0.0` and every other number to itself.
fn unsigned_zero(real: f64) -> f64 {
    real + 0.0
}

impl Ord for Atom {
    fn cmp(&self, other: &Self) -> Ordering {
        match (self, other) {
            (Self::Integer(a), Self::Integer(b)) => a.cmp(b),
            (Self::Real(a), Self::Real(b)) => unsigned_zero(*a).total_cmp(&unsigned_zero(*b)),
            (Self::Boolean(a), Self::Boolean(b)) => a.cmp(b),
            (Self::String(a), Self::String(b)) | (Self::NamedUuid(a), Self::NamedUuid(b)) => a.cmp(b),
            (Self::Uuid(a), Self::Uuid(b)) => a.cmp(b),
            _ => self.rank().cmp(&other.rank()),
        }
    }
}

impl PartialOrd for Atom {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Atom {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Atom {}

impl Hash for Atom {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.rank().hash(state);
        match self {
            Self::Integer(value) => value.hash(state),
            Self::Real(value) => unsigned_zero(*value).to_bits().hash(state),
            Self::Boolean(value) => value.hash(state),
            Self::String(value) | Self::NamedUuid(value) => value.hash(state),
            Self::Uuid(value) => value.hash(state),
        }
    }
}

impl fmt::Display for Atom {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Integer(value) => write!(f, "{value}"),
            Self::Real(value) => write!(f, "{value:?}"),
            Self::Boolean(value) => write!(f, "{value}"),
            Self::String(value) => write!(f, "{value:?}"),
            Self::Uuid(value) => write!(f, "{value}"),
            Self::NamedUuid(value) => write!(f, "@{value}"),
        }
    }
}

/// Lossless conversions.
macro_rules! from {
    ($($from:ty => $variant:ident),* $(,)?) => {
        $(impl From<$from> for Atom {
            fn from(value: $from) -> Self {
                Self::$variant(value.into())
            }
        })*
    };
}

from! {
    i8 => Integer, i16 => Integer, i32 => Integer, i64 => Integer,
    u8 => Integer, u16 => Integer, u32 => Integer,
    f32 => Real, f64 => Real,
    bool => Boolean,
    &str => String, &String => String, String => String, Box<str> => String, Cow<'_, str> => String,
    Uuid => Uuid,
}

impl AtomicType {
    /// Returns the default value, RFC 7047 section 5.2.1.
    pub fn default_atom(self) -> Atom {
        match self {
            Self::Integer => Atom::Integer(0),
            Self::Real => Atom::Real(0.0),
            Self::Boolean => Atom::Boolean(false),
            Self::String => Atom::String(String::new()),
            Self::Uuid => Atom::Uuid(Uuid::nil()),
        }
    }
}
