//! A pull parser over complete JSON text, for OVSDB's notation (RFC 7047 section 5.1).
//!
//! Updates are decoded by this rather than into a tree of values: the consumer reads the atoms of a column directly
//! from the receive buffer, without an allocation unless a string contains an escape.

mod datum;
mod grammar;
#[cfg(test)]
mod tests;

use std::borrow::Cow;

use uuid::Uuid;

pub use self::datum::DatumReader;
use self::grammar::Number;
use crate::unescaped::unescaped_prefix_len;
use crate::value::Atom;

/// An atom borrowed from the text it was read from.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum AtomRef<'a> {
    /// A 64-bit signed integer, exact.
    Integer(i64),
    /// A finite real.
    Real(f64),
    /// A boolean.
    Boolean(bool),
    /// A string; owned only if the text contains an escape.
    String(Cow<'a, str>),
    /// A row reference or other UUID.
    Uuid(Uuid),
    /// The name that an insert gives to its row within a transaction. No server sends one.
    NamedUuid(Cow<'a, str>),
}

impl From<AtomRef<'_>> for Atom {
    fn from(atom: AtomRef<'_>) -> Self {
        match atom {
            AtomRef::Integer(value) => Self::Integer(value),
            AtomRef::Real(value) => Self::Real(value),
            AtomRef::Boolean(value) => Self::Boolean(value),
            AtomRef::String(value) => Self::String(value.into_owned()),
            AtomRef::Uuid(value) => Self::Uuid(value),
            AtomRef::NamedUuid(value) => Self::NamedUuid(value.into_owned()),
        }
    }
}

/// Text that is not what the notation allows at that place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected {expected} at byte {at}")]
pub struct DecodeError {
    /// Byte offset into the text being decoded.
    pub at: usize,
    /// A description of the text that was expected there.
    pub expected: &'static str,
}

/// A position in a JSON text.
#[derive(Clone, Debug)]
pub(crate) struct Cursor<'a> {
    text: &'a str,
    at: usize,
}

// ===== impl AtomRef =====

impl<'a> AtomRef<'a> {
    /// Returns the string, if this is one.
    pub fn as_str(&self) -> Option<&str> {
        if let Self::String(s) = self { Some(s) } else { None }
    }

    /// Returns the integer, if this is one.
    pub fn as_integer(&self) -> Option<i64> {
        if let Self::Integer(i) = self { Some(*i) } else { None }
    }

    /// Returns the UUID, if this is one.
    pub fn as_uuid(&self) -> Option<Uuid> {
        if let Self::Uuid(u) = self { Some(*u) } else { None }
    }
}

// ===== impl Cursor =====

enum Tag {
    Set,
    Map,
    Uuid,
    NamedUuid,
}

impl<'a> Cursor<'a> {
    pub(crate) fn new(text: &'a str) -> Self {
        Self { text, at: 0 }
    }

    pub(crate) fn position(&self) -> usize {
        self.at
    }

    pub(crate) fn rewind(&mut self, at: usize) {
        self.at = at;
    }

    pub(crate) fn error(&self, expected: &'static str) -> DecodeError {
        DecodeError { at: self.at, expected }
    }

    /// Skips white space and returns the next byte without taking it.
    #[inline]
    pub(crate) fn peek(&mut self) -> Option<u8> {
        match self.text.as_bytes().get(self.at) {
            Some(byte) if *byte > b' ' => Some(*byte),
            _ => self.peek_behind_space(),
        }
    }

    /// Servers write no white space, so this hardly happens except at the end.
    #[cold]
    fn peek_behind_space(&mut self) -> Option<u8> {
        let bytes = self.text.as_bytes();
        while let Some(b' ' | b'\n' | b'\t' | b'\r') = bytes.get(self.at) {
            self.at += 1;
        }
        bytes.get(self.at).copied()
    }

    pub(crate) fn expect(&mut self, byte: u8, expected: &'static str) -> Result<(), DecodeError> {
        if self.peek() != Some(byte) {
            return Err(self.error(expected));
        }
        self.at += 1;
        Ok(())
    }

    /// Takes `byte` if it is next.
    pub(crate) fn take(&mut self, byte: u8) -> bool {
        let next = self.peek() == Some(byte);
        self.at += usize::from(next);
        next
    }

    /// Fails unless only white space is left.
    pub(crate) fn end(&mut self) -> Result<(), DecodeError> {
        if self.peek().is_some() { Err(self.error("nothing more")) } else { Ok(()) }
    }

    /// Reads a string token.
    pub(crate) fn string(&mut self) -> Result<Cow<'a, str>, DecodeError> {
        self.string_or("a string")
    }

    /// Reads a string token, or fails with what was expected.
    #[inline]
    fn string_or(&mut self, expected: &'static str) -> Result<Cow<'a, str>, DecodeError> {
        self.expect(b'"', expected)?;
        let bytes = self.text.as_bytes();
        let end = self.at + unescaped_prefix_len(&bytes[self.at..]);
        if bytes.get(end) != Some(&b'"') {
            return self.escaped();
        }
        let string = &self.text[self.at..end];
        self.at = end + 1;
        Ok(Cow::Borrowed(string))
    }

    /// Reads a string token with escapes, from after the quote.
    #[cold]
    #[inline(never)]
    fn escaped(&mut self) -> Result<Cow<'a, str>, DecodeError> {
        let start = self.at;
        let mut at = start;
        loop {
            let rest = self.text.as_bytes().get(at..).unwrap_or_default();
            let length = unescaped_prefix_len(rest);
            at += length;
            match rest.get(length) {
                Some(b'"') => break,
                Some(b'\\') => at += 2,
                None => {
                    let at = at.min(self.text.len());
                    return Err(DecodeError { at, expected: "the end of a string" });
                }
                Some(_) => return Err(DecodeError { at, expected: "no control character in a string" }),
            }
        }
        self.at = at + 1;
        // Escapes are rare; surrogate pairs and their errors are better left to serde_json.
        serde_json::from_str(&self.text[start - 1..self.at])
            .map(Cow::Owned)
            .map_err(|_| DecodeError { at: start, expected: "valid escapes in a string" })
    }

    /// Reads an object, calling `each` with every key; `each` reads the value.
    pub(crate) fn object(
        &mut self,
        mut each: impl FnMut(&mut Self, &str) -> Result<(), DecodeError>,
    ) -> Result<(), DecodeError> {
        self.expect(b'{', "an object")?;
        if self.take(b'}') {
            return Ok(());
        }
        loop {
            let key = self.string()?;
            self.expect(b':', "a colon")?;
            each(self, &key)?;
            if !self.take(b',') {
                return self.expect(b'}', "a comma or the end of the object");
            }
        }
    }

    fn array(
        &mut self,
        mut each: impl FnMut(&mut Self) -> Result<(), DecodeError>,
    ) -> Result<(), DecodeError> {
        self.expect(b'[', "an array")?;
        if self.take(b']') {
            return Ok(());
        }
        loop {
            each(self)?;
            if !self.take(b',') {
                return self.expect(b']', "a comma or the end of the array");
            }
        }
    }

    /// Takes any JSON value and returns its text.
    pub(crate) fn value(&mut self) -> Result<&'a str, DecodeError> {
        self.peek();
        let start = self.at;
        let mut values =
            serde_json::Deserializer::from_str(&self.text[start..]).into_iter::<serde::de::IgnoredAny>();
        match values.next() {
            Some(Ok(_)) => self.at = start + values.byte_offset(),
            _ => return Err(self.error("a JSON value")),
        }
        Ok(&self.text[start..self.at])
    }

    fn tag(&mut self) -> Result<Tag, DecodeError> {
        for (text, tag) in [("[\"map\",", Tag::Map), ("[\"set\",", Tag::Set)] {
            if self.skip(text) {
                return Ok(tag);
            }
        }
        self.expect(b'[', "a set, a map or a UUID")?;
        let at = self.at;
        let tag = match &*self.string()? {
            "set" => Tag::Set,
            "map" => Tag::Map,
            "uuid" => Tag::Uuid,
            "named-uuid" => Tag::NamedUuid,
            _ => return Err(DecodeError { at, expected: "\"set\", \"map\" or \"uuid\"" }),
        };
        self.expect(b',', "a comma")?;
        Ok(tag)
    }

    /// Returns whether a map is next, without taking it.
    fn is_map(&self) -> bool {
        self.text.as_bytes()[self.at..].starts_with(b"[\"map\"") || matches!(self.clone().tag(), Ok(Tag::Map))
    }

    /// Takes a text if it is next, as ovsdb-server writes it: without white space.
    fn skip(&mut self, text: &str) -> bool {
        let next = self.text.as_bytes()[self.at..].starts_with(text.as_bytes());
        self.at += if next { text.len() } else { 0 };
        next
    }

    /// Takes a row reference if it is next, as ovsdb-server writes it.
    fn reference(&mut self) -> Option<Uuid> {
        let text: &[u8; 47] = self.text.as_bytes()[self.at..].first_chunk()?;
        let uuid = text.strip_prefix(b"[\"uuid\",\"")?.strip_suffix(b"\"]")?;
        let uuid = Uuid::try_parse_ascii(uuid).ok()?;
        self.at += text.len();
        Some(uuid)
    }

    fn uuid(&mut self) -> Result<Uuid, DecodeError> {
        let at = self.at;
        grammar::uuid(&self.string()?).ok_or(DecodeError { at, expected: "a UUID" })
    }

    fn atom(&mut self) -> Result<AtomRef<'a>, DecodeError> {
        if self.peek() != Some(b'[') {
            return self.bare_atom();
        }
        if let Some(uuid) = self.reference() {
            return Ok(AtomRef::Uuid(uuid));
        }
        let atom = match self.tag()? {
            Tag::Uuid => AtomRef::Uuid(self.uuid()?),
            Tag::NamedUuid => AtomRef::NamedUuid(self.string()?),
            Tag::Set | Tag::Map => return Err(self.error("an atom")),
        };
        self.expect(b']', "the end of the UUID")?;
        Ok(atom)
    }

    fn bare_atom(&mut self) -> Result<AtomRef<'a>, DecodeError> {
        match self.peek() {
            Some(b'"') => Ok(AtomRef::String(self.string()?)),
            Some(b't') => self.literal("true").map(|()| AtomRef::Boolean(true)),
            Some(b'f') => self.literal("false").map(|()| AtomRef::Boolean(false)),
            Some(b'-' | b'0'..=b'9') => self.number(),
            _ => Err(self.error("an atom")),
        }
    }

    fn literal(&mut self, literal: &'static str) -> Result<(), DecodeError> {
        if !self.text[self.at..].starts_with(literal) {
            return Err(self.error(literal));
        }
        self.at += literal.len();
        Ok(())
    }

    fn number(&mut self) -> Result<AtomRef<'a>, DecodeError> {
        let rest = &self.text[self.at..];
        let length = rest.bytes().take_while(|b| matches!(b, b'0'..=b'9' | b'-' | b'+' | b'.' | b'e' | b'E'));
        let token = &rest[..length.count()];
        let atom = match grammar::number(token) {
            Some(Number::Integer(integer)) => AtomRef::Integer(integer),
            Some(Number::Real(real)) => AtomRef::Real(real),
            None => return Err(self.error("a number in range")),
        };
        self.at += token.len();
        Ok(atom)
    }
}
