//! The tags that mark a NAT row as an agent's.

use std::borrow::Cow;
use std::fmt;

use ovsdb_protocol::{ColumnError, PairsColumn};

use crate::own_keys;

/// The `external_ids` of a row whose keys start with [`keys::PREFIX`](crate::keys::PREFIX), in the order of the keys.
///
/// All of them share one allocation, since there may be as many of these as ports: each key, without the prefix, and
/// each value is followed by a NUL, which OVSDB's strings cannot contain.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Tags(Box<str>);

impl Tags {
    /// Returns true if there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns the value of a key, which is given in full.
    pub fn get(&self, key: &str) -> Option<&str> {
        let suffix = key.strip_prefix(own_keys::PREFIX)?;
        let mut rest = &*self.0;
        loop {
            if let Some(values) = behind(rest, suffix) {
                return split(values).map(|(value, _)| value);
            }
            let (_, values) = split(rest)?;
            rest = split(values)?.1;
        }
    }

    /// Returns the keys, in full, and their values.
    pub fn iter(&self) -> impl Iterator<Item = (String, &str)> {
        self.suffixes().map(|(suffix, value)| ([own_keys::PREFIX, suffix].concat(), value))
    }

    /// Returns the keys, without the prefix, and their values.
    fn suffixes(&self) -> impl Iterator<Item = (&str, &str)> {
        let mut rest = &*self.0;
        std::iter::from_fn(move || {
            let (suffix, values) = split(rest)?;
            let (value, more) = split(values)?;
            rest = more;
            Some((suffix, value))
        })
    }

    /// Returns true if these are all tags, in the order of their keys, which are given in full.
    pub fn are<'a>(&self, pairs: impl IntoIterator<Item = (&'a str, &'a str)>) -> bool {
        let mut rest = Some(&*self.0);
        for (key, value) in pairs {
            let suffix = key.strip_prefix(own_keys::PREFIX);
            rest = rest.zip(suffix).and_then(|(rest, suffix)| behind(behind(rest, suffix)?, value));
        }
        rest == Some("")
    }
}

impl PairsColumn for Tags {
    fn toggle(&mut self, difference: Vec<(Cow<'_, str>, Cow<'_, str>)>) -> Result<(), ColumnError> {
        let mut pairs = difference;
        let has_nul = |text: &str| memchr::memchr(0, text.as_bytes()).is_some();
        pairs.retain(|(key, value)| key.starts_with(own_keys::PREFIX) && !has_nul(key) && !has_nul(value));
        for (key, value) in self.iter() {
            match pairs.iter().position(|(other, _)| *other == key) {
                None => pairs.push((key.into(), value.into())),
                Some(place) if pairs[place].1 == value => drop(pairs.swap_remove(place)),
                Some(_) => {}
            }
        }
        pairs.sort_unstable();
        let texts = pairs.iter().flat_map(|(key, value)| [&key[own_keys::PREFIX.len()..], &**value]);
        let mut joined = String::with_capacity(texts.clone().map(|text| text.len() + 1).sum());
        for text in texts {
            joined.push_str(text);
            joined.push('\0');
        }
        *self = Self(joined.into());
        Ok(())
    }
}

/// Returns the first text and the rest after its NUL.
fn split(all: &str) -> Option<(&str, &str)> {
    // As `split_once`, which takes several times as long for texts as short as these.
    let (text, more) = all.split_at(memchr::memchr(0, all.as_bytes())?);
    Some((text, &more[1..]))
}

/// Returns the rest after `text` and its NUL.
fn behind<'a>(all: &'a str, text: &str) -> Option<&'a str> {
    all.strip_prefix(text)?.strip_prefix('\0')
}

impl fmt::Debug for Tags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn toggled(tags: &Tags, pairs: &[(&'static str, &'static str)]) -> Tags {
        let mut tags = tags.clone();
        tags.toggle(pairs.iter().map(|&(k, v)| (k.into(), v.into())).collect()).unwrap();
        tags
    }

    #[test]
    fn tags_are_added_replaced_and_removed_by_a_difference() {
        let tags = toggled(&Tags::default(), &[(own_keys::PORT, "p"), (own_keys::OWNER, "")]);
        let all = |tags: &Tags| tags.iter().map(|(k, v)| (k, v.to_owned())).collect::<Vec<_>>();
        let pair = |key: &str, value: &str| (key.to_owned(), value.to_owned());
        assert_eq!(all(&tags), [pair(own_keys::OWNER, ""), pair(own_keys::PORT, "p")]);
        let tags =
            toggled(&tags, &[(own_keys::PORT, "q"), (own_keys::OWNER, ""), (own_keys::ROLE, "egress")]);
        assert_eq!(all(&tags), [pair(own_keys::PORT, "q"), pair(own_keys::ROLE, "egress")]);
        assert_eq!((tags.get("port"), tags.get("")), (None, None));
        assert_eq!((tags.get(own_keys::PORT), tags.get(own_keys::OWNER)), (Some("q"), None));
        let (port, role) = ((own_keys::PORT, "q"), (own_keys::ROLE, "egress"));
        assert!(tags.are([port, role]) && Tags::default().are([]));
        for others in [
            &[port][..],
            &[role, port],
            &[port, (own_keys::ROLE, "egres")],
            &[port, role, role],
            &[("port", "q"), role],
            &[],
        ] {
            assert!(!tags.are(others.iter().copied()), "{others:?}");
        }
        assert!(toggled(&tags, &[(own_keys::PORT, "q"), (own_keys::ROLE, "egress")]).is_empty());
        assert!(toggled(&Tags::default(), &[("ovn-extaddr:x", "a\0b"), ("port", "p")]).is_empty());
    }
}
