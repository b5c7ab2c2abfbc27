//! JSON of values, RFC 7047 section 5.1.
//!
//! Reading needs no schema and follows the rules of [`grammar`].

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::de::{self, Deserialize, Deserializer, SeqAccess, Visitor};
use serde::ser::{Error as _, Serialize, SerializeTuple, Serializer};
use uuid::Uuid;

use super::{Atom, Datum, grammar};

// ===== writing =====

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

// ===== reading =====

/// The first element of every array that is a value.
#[derive(serde::Deserialize)]
enum Tag {
    #[serde(rename = "set")]
    Set,
    #[serde(rename = "map")]
    Map,
    #[serde(rename = "uuid")]
    Uuid,
    #[serde(rename = "named-uuid")]
    NamedUuid,
}

/// Reads the second and last element of a tagged array.
fn content<'de, A: SeqAccess<'de>, T: Deserialize<'de>>(seq: &mut A) -> Result<T, A::Error> {
    let content = seq.next_element()?.ok_or_else(|| de::Error::invalid_length(1, &"a 2-element array"))?;
    match seq.next_element::<de::IgnoredAny>()? {
        None => Ok(content),
        Some(_) => Err(de::Error::invalid_length(3, &"a 2-element array")),
    }
}

/// Reads the rest of an array that starts with one of the two tags of row names.
fn row_name<'de, A: SeqAccess<'de>>(tag: &Tag, seq: &mut A) -> Result<Atom, A::Error> {
    let text: String = content(seq)?;
    match tag {
        Tag::NamedUuid => Ok(Atom::NamedUuid(text)),
        Tag::Uuid => grammar::uuid(&text)
            .map(Atom::Uuid)
            .ok_or_else(|| de::Error::custom(format_args!("{text:?} is not a uuid"))),
        Tag::Set | Tag::Map => Err(de::Error::custom("a set or a map inside of another")),
    }
}

struct AtomVisitor;

impl<'de> Visitor<'de> for AtomVisitor {
    type Value = Atom;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a number, a boolean, a string, or an array tagged \"uuid\" or \"named-uuid\"")
    }

    fn visit_i64<E: de::Error>(self, value: i64) -> Result<Atom, E> {
        Ok(Atom::Integer(value))
    }

    fn visit_u64<E: de::Error>(self, value: u64) -> Result<Atom, E> {
        Ok(i64::try_from(value).map_or(Atom::Real(value as f64), Atom::Integer))
    }

    fn visit_f64<E: de::Error>(self, value: f64) -> Result<Atom, E> {
        Ok(Atom::Real(value))
    }

    fn visit_bool<E: de::Error>(self, value: bool) -> Result<Atom, E> {
        Ok(Atom::Boolean(value))
    }

    fn visit_str<E: de::Error>(self, value: &str) -> Result<Atom, E> {
        Ok(Atom::String(value.to_owned()))
    }

    fn visit_string<E: de::Error>(self, value: String) -> Result<Atom, E> {
        Ok(Atom::String(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Atom, A::Error> {
        let tag = seq.next_element::<Tag>()?.ok_or_else(|| de::Error::invalid_length(0, &self))?;
        row_name(&tag, &mut seq)
    }
}

impl<'de> Deserialize<'de> for Atom {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(AtomVisitor)
    }
}

/// The elements of a set, read from an array of atoms.
struct Elements(BTreeSet<Atom>);

impl<'de> Deserialize<'de> for Elements {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ElementsVisitor;

        impl<'de> Visitor<'de> for ElementsVisitor {
            type Value = Elements;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an array of set elements")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Elements, A::Error> {
                let mut set = BTreeSet::new();
                while let Some(atom) = seq.next_element()? {
                    if let Some(duplicate) = set.replace(atom) {
                        return Err(de::Error::custom(format_args!("duplicate set element {duplicate}")));
                    }
                }
                Ok(Elements(set))
            }
        }

        deserializer.deserialize_seq(ElementsVisitor)
    }
}

/// The pairs of a map, read from an array of pairs.
struct Pairs(BTreeMap<Atom, Atom>);

impl<'de> Deserialize<'de> for Pairs {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct PairsVisitor;

        impl<'de> Visitor<'de> for PairsVisitor {
            type Value = Pairs;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an array of pairs of map key and value")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Pairs, A::Error> {
                let mut map = BTreeMap::new();
                while let Some((key, value)) = seq.next_element::<(Atom, Atom)>()? {
                    if map.contains_key(&key) {
                        return Err(de::Error::custom(format_args!("duplicate map key {key}")));
                    }
                    map.insert(key, value);
                }
                Ok(Pairs(map))
            }
        }

        deserializer.deserialize_seq(PairsVisitor)
    }
}

struct DatumVisitor;

impl<'de> Visitor<'de> for DatumVisitor {
    type Value = Datum;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an atom, or an array tagged \"set\" or \"map\"")
    }

    fn visit_i64<E: de::Error>(self, value: i64) -> Result<Datum, E> {
        AtomVisitor.visit_i64(value).map(Datum::scalar)
    }

    fn visit_u64<E: de::Error>(self, value: u64) -> Result<Datum, E> {
        AtomVisitor.visit_u64(value).map(Datum::scalar)
    }

    fn visit_f64<E: de::Error>(self, value: f64) -> Result<Datum, E> {
        AtomVisitor.visit_f64(value).map(Datum::scalar)
    }

    fn visit_bool<E: de::Error>(self, value: bool) -> Result<Datum, E> {
        AtomVisitor.visit_bool(value).map(Datum::scalar)
    }

    fn visit_str<E: de::Error>(self, value: &str) -> Result<Datum, E> {
        AtomVisitor.visit_str(value).map(Datum::scalar)
    }

    fn visit_string<E: de::Error>(self, value: String) -> Result<Datum, E> {
        AtomVisitor.visit_string(value).map(Datum::scalar)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Datum, A::Error> {
        match seq.next_element::<Tag>()?.ok_or_else(|| de::Error::invalid_length(0, &self))? {
            Tag::Set => content::<_, Elements>(&mut seq).map(|elements| Datum::Set(elements.0)),
            Tag::Map => content::<_, Pairs>(&mut seq).map(|pairs| Datum::Map(pairs.0)),
            tag => row_name(&tag, &mut seq).map(Datum::scalar),
        }
    }
}

impl<'de> Deserialize<'de> for Datum {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(DatumVisitor)
    }
}
