//! A reader of one value of a column.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use serde::de::{Deserialize, Deserializer, Error as _};
use serde_json::value::RawValue;
use uuid::Uuid;

use super::{AtomRef, Cursor, DecodeError, Tag};
use crate::value::{Atom, Datum};

/// A reader of one datum: an atom, a set or a map.
#[derive(Debug)]
pub struct DatumReader<'c, 'a> {
    pub(super) cursor: &'c mut Cursor<'a>,
}

// ===== impl DatumReader =====

impl<'c, 'a> DatumReader<'c, 'a> {
    pub(crate) fn new(cursor: &'c mut Cursor<'a>) -> Self {
        Self { cursor }
    }

    /// Calls `each` for the elements of a set, or once for a bare atom, which is how a one-element
    /// set is written.
    ///
    /// # Errors
    /// The text is not a set or atom, or `each` refused an element.
    pub fn atoms(
        &mut self,
        mut each: impl FnMut(AtomRef<'a>) -> Result<(), DecodeError>,
    ) -> Result<(), DecodeError> {
        let c = &mut *self.cursor;
        if c.peek() != Some(b'[') {
            return each(c.bare_atom()?);
        }
        match c.tag()? {
            Tag::Set => c.array(|c| each(c.atom()?))?,
            Tag::Uuid => each(AtomRef::Uuid(c.uuid()?))?,
            Tag::NamedUuid => each(AtomRef::NamedUuid(c.string()?))?,
            Tag::Map => return Err(c.error("a set or an atom, not a map")),
        }
        c.expect(b']', "the end of the set")
    }

    /// Calls `each` for the pairs of a map.
    ///
    /// # Errors
    /// The text is not a map, or `each` refused a pair.
    pub fn pairs(
        &mut self,
        mut each: impl FnMut(AtomRef<'a>, AtomRef<'a>) -> Result<(), DecodeError>,
    ) -> Result<(), DecodeError> {
        let c = &mut *self.cursor;
        match c.tag()? {
            Tag::Map => c.array(|c| {
                c.expect(b'[', "a pair")?;
                let key = c.atom()?;
                c.expect(b',', "the pair's value")?;
                let value = c.atom()?;
                c.expect(b']', "the end of the pair")?;
                each(key, value)
            })?,
            _ => return Err(c.error("a map")),
        }
        c.expect(b']', "the end of the map")
    }

    /// Calls `each` for the pairs of a map of strings to strings, by far the most common kind of map.
    ///
    /// # Errors
    /// The text is not such a map.
    pub fn string_pairs(
        &mut self,
        mut each: impl FnMut(Cow<'a, str>, Cow<'a, str>),
    ) -> Result<(), DecodeError> {
        let c = &mut *self.cursor;
        let expected = "a map of strings to strings";
        let Tag::Map = c.tag()? else { return Err(c.error(expected)) };
        c.array(|c| {
            c.expect(b'[', "a pair")?;
            let key = c.string_or(expected)?;
            c.expect(b',', "the pair's value")?;
            let value = c.string_or(expected)?;
            each(key, value);
            c.expect(b']', "the end of the pair")
        })?;
        c.expect(b']', "the end of the map")
    }

    /// Calls `each` for the elements of a set of UUIDs.
    ///
    /// # Errors
    /// The text is not such a set.
    pub fn uuids(&mut self, mut each: impl FnMut(Uuid)) -> Result<(), DecodeError> {
        let at = self.cursor.at;
        self.atoms(|atom| {
            each(atom.as_uuid().ok_or(DecodeError { at, expected: "a set of UUIDs" })?);
            Ok(())
        })
    }

    /// Reads a string, or nothing if an optional string is absent.
    ///
    /// # Errors
    /// The text is neither.
    pub fn string(&mut self) -> Result<Option<Cow<'a, str>>, DecodeError> {
        if self.cursor.peek() == Some(b'"') {
            return self.cursor.string().map(Some);
        }
        let at = self.cursor.at;
        let mut found = None;
        self.atoms(|atom| match atom {
            AtomRef::String(s) if found.is_none() => {
                found = Some(s);
                Ok(())
            }
            _ => Err(DecodeError { at, expected: "at most one string" }),
        })?;
        Ok(found)
    }

    /// Reads a datum of any type, as far as its JSON determines the type. [`Datum::conform`] does the rest.
    ///
    /// # Errors
    /// The text is not a datum, or an element of a set or a key of a map occurs twice.
    pub fn datum(&mut self) -> Result<Datum, DecodeError> {
        let c = &mut *self.cursor;
        if c.peek() != Some(b'[') {
            return c.bare_atom().map(Datum::scalar);
        }
        let at = c.at;
        let once = |is_new: bool, expected| if is_new { Ok(()) } else { Err(DecodeError { at, expected }) };
        if c.is_map() {
            let mut map = BTreeMap::<Atom, Atom>::new();
            self.pairs(|key, value| {
                once(map.insert(key.into(), value.into()).is_none(), "every key of the map once")
            })?;
            return Ok(Datum::Map(map));
        }
        let mut set = BTreeSet::<Atom>::new();
        self.atoms(|atom| once(set.insert(atom.into()), "every element of the set once"))?;
        Ok(Datum::Set(set))
    }
}

impl<'de> Deserialize<'de> for Datum {
    /// Reads a datum of any type as [`DatumReader::datum`] does, from JSON text or a [`serde_json::Value`].
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let json = Box::<RawValue>::deserialize(deserializer)?;
        let mut cursor = Cursor::new(json.get());
        let datum = DatumReader::new(&mut cursor).datum().map_err(D::Error::custom)?;
        cursor.end().map_err(D::Error::custom)?;
        Ok(datum)
    }
}
