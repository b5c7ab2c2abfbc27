//! The tags that mark a NAT row as ours.

use std::borrow::Cow;
use std::fmt;

use ovsdb_protocol::{ColumnError, PairsColumn};

/// The `external_ids` of a row whose keys start with [`keys::PREFIX`](crate::keys::PREFIX), in the order of the keys.
///
/// All of them share one allocation: each key and each value is followed by a NUL, which OVSDB's
/// strings cannot hold.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Tags(Box<str>);

impl Tags {
    /// Tells whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns the value of a key, which is given in full.
    pub fn get(&self, key: &str) -> Option<&str> {
        self.iter().find(|(k, _)| *k == key).map(|(_, value)| value)
    }

    /// Returns the keys, in full, and their values.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        let mut rest = &*self.0;
        let mut text = move || {
            // As `split_terminator`, which takes several times as long for texts as short as these.
            let (text, more) = rest.split_at(memchr::memchr(0, rest.as_bytes())?);
            rest = &more[1..];
            Some(text)
        };
        std::iter::from_fn(move || Some((text()?, text()?)))
    }

    /// Tells whether these are all, in the order of their keys.
    pub fn are<'a>(&self, pairs: impl IntoIterator<Item = (&'a str, &'a str)>) -> bool {
        let mut rest = &*self.0;
        for text in pairs.into_iter().flat_map(|(key, value)| [key, value]) {
            match rest.strip_prefix(text).and_then(|rest| rest.strip_prefix('\0')) {
                Some(more) => rest = more,
                None => return false,
            }
        }
        rest.is_empty()
    }
}

impl PairsColumn for Tags {
    fn toggle(&mut self, difference: Vec<(Cow<'_, str>, Cow<'_, str>)>) -> Result<(), ColumnError> {
        let mut pairs: Vec<_> = self.iter().map(|(k, v)| (Cow::Borrowed(k), Cow::Borrowed(v))).collect();
        for (key, value) in difference {
            if key.contains('\0') || value.contains('\0') {
                continue;
            }
            match pairs.iter().position(|(k, _)| *k == key) {
                None => pairs.push((key, value)),
                Some(place) if pairs[place].1 == value => drop(pairs.swap_remove(place)),
                Some(place) => pairs[place].1 = value,
            }
        }
        pairs.sort_unstable();
        let mut text = String::with_capacity(pairs.iter().map(|(k, v)| k.len() + v.len() + 2).sum());
        for part in pairs.iter().flat_map(|(k, v)| [k, v]) {
            text.push_str(part);
            text.push('\0');
        }
        *self = Self(text.into());
        Ok(())
    }
}

impl fmt::Debug for Tags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keys;

    fn toggled(tags: &Tags, pairs: &[(&'static str, &'static str)]) -> Tags {
        let mut tags = tags.clone();
        tags.toggle(pairs.iter().map(|&(k, v)| (k.into(), v.into())).collect()).unwrap();
        tags
    }

    #[test]
    fn a_difference_adds_replaces_and_removes() {
        let tags = toggled(&Tags::default(), &[(keys::PORT, "p"), (keys::OWNER, "")]);
        assert_eq!(tags.iter().collect::<Vec<_>>(), [(keys::OWNER, ""), (keys::PORT, "p")]);
        let tags = toggled(&tags, &[(keys::PORT, "q"), (keys::OWNER, ""), (keys::ROLE, "egress")]);
        assert_eq!(tags.iter().collect::<Vec<_>>(), [(keys::PORT, "q"), (keys::ROLE, "egress")]);
        assert_eq!((tags.get(keys::PORT), tags.get(keys::OWNER)), (Some("q"), None));
        let (port, role) = ((keys::PORT, "q"), (keys::ROLE, "egress"));
        assert!(tags.are([port, role]) && Tags::default().are([]));
        for others in [&[port][..], &[role, port], &[port, (keys::ROLE, "egres")], &[port, role, role], &[]] {
            assert!(!tags.are(others.iter().copied()), "{others:?}");
        }
        assert!(toggled(&tags, &[(keys::PORT, "q"), (keys::ROLE, "egress")]).is_empty());
        assert!(toggled(&Tags::default(), &[("ovn-extaddr:x", "a\0b")]).is_empty());
    }
}
