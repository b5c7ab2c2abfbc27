//! Writing values as JSON, RFC 7047 section 5.1.

use std::collections::BTreeMap;

use serde::ser::{Error as _, Serialize, SerializeTuple, Serializer};
use uuid::Uuid;

use super::{Atom, Datum};

impl Serialize for Atom {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Integer(value) => serializer.serialize_i64(*value),
            // Otherwise JSON would have a null, and the server would report an error about a type that the caller never
            // wrote.
            Self::Real(value) if !value.is_finite() => {
                Err(S::Error::custom(format_args!("the real {value} has no JSON")))
            }
            Self::Real(value) => serializer.serialize_f64(*value),
            Self::Boolean(value) => serializer.serialize_bool(*value),
            Self::String(value) => serializer.serialize_str(value),
            Self::Uuid(value) => {
                let mut buffer = Uuid::encode_buffer();
                ("uuid", &*value.hyphenated().encode_lower(&mut buffer)).serialize(serializer)
            }
            Self::NamedUuid(value) => ("named-uuid", value).serialize(serializer),
        }
    }
}

/// A map that is written as an array of pairs.
struct PairsOf<'a>(&'a BTreeMap<Atom, Atom>);

impl Serialize for PairsOf<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.0)
    }
}

impl Serialize for Datum {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if let Some(atom) = self.as_atom() {
            return atom.serialize(serializer);
        }
        let mut tuple = serializer.serialize_tuple(2)?;
        match self {
            Self::Set(set) => {
                tuple.serialize_element("set")?;
                tuple.serialize_element(set)?;
            }
            Self::Map(map) => {
                tuple.serialize_element("map")?;
                tuple.serialize_element(&PairsOf(map))?;
            }
        }
        tuple.end()
    }
}
