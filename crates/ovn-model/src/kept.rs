//! Intents that outlive their ports: keys of `NB_Global.external_ids` that name a port.

use std::borrow::Cow;
use std::collections::BTreeMap;

use ovsdb_protocol::{ColumnError, PairsColumn};

use crate::family::Family;
use crate::own_keys;

/// Kept intents by the names of ports.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Kept([BTreeMap<Box<str>, Box<str>>; 2]);

impl Kept {
    /// Returns the kept intent for a port and family.
    pub fn get(&self, port: &str, family: Family) -> Option<&str> {
        self.0[family as usize].get(port).map(|text| &**text)
    }

    /// Returns all kept intents.
    pub fn iter(&self) -> impl Iterator<Item = (&str, Family, &str)> {
        let texts = |family: Family| {
            self.0[family as usize].iter().map(move |(port, text)| (&**port, family, &**text))
        };
        Family::ALL.into_iter().flat_map(texts)
    }

    /// Returns the names of ports whose intents differ in the other set.
    pub(crate) fn differing<'a>(&'a self, other: &'a Self) -> impl Iterator<Item = &'a str> {
        let differing = move |one: &'a Self, another: &'a Self| {
            let texts =
                one.iter().filter(move |(port, family, text)| another.get(port, *family) != Some(*text));
            texts.map(|(port, ..)| port)
        };
        differing(self, other).chain(differing(other, self))
    }
}

impl PairsColumn for Kept {
    fn toggle(&mut self, difference: Vec<(Cow<'_, str>, Cow<'_, str>)>) -> Result<(), ColumnError> {
        for (key, text) in difference {
            let named = |family| Some((family, key.strip_prefix(own_keys::kept_prefix(family))?));
            // Other keys belong to future releases.
            let Some((family, port)) = Family::ALL.into_iter().find_map(named) else { continue };
            let texts = &mut self.0[family as usize];
            if texts.get(port).is_some_and(|known| **known == *text) {
                texts.remove(port);
            } else {
                texts.insert(port.into(), text.into());
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn toggled(kept: &Kept, pairs: &[(String, &'static str)]) -> Kept {
        let mut kept = kept.clone();
        kept.toggle(pairs.iter().map(|(key, text)| (key.clone().into(), (*text).into())).collect()).unwrap();
        kept
    }

    #[test]
    fn kept_intents_are_added_replaced_and_removed_by_a_difference() {
        let (p, q) = (own_keys::kept_key(Family::V4, "p"), own_keys::kept_key(Family::V6, "a:b"));
        let one = toggled(
            &Kept::default(),
            &[(p.clone(), "auto"), (q.clone(), "none"), ("ovn-extaddr:ipv5".to_owned(), "x")],
        );
        assert_eq!(one.iter().collect::<Vec<_>>(), [("p", Family::V4, "auto"), ("a:b", Family::V6, "none")]);
        let two = toggled(&one, &[(p, "192.0.2.1"), (q, "none")]);
        assert_eq!((two.get("p", Family::V4), two.get("a:b", Family::V6)), (Some("192.0.2.1"), None));
        let differing: Vec<_> = one.differing(&two).collect();
        assert_eq!(differing, ["p", "a:b", "p"]);
        assert_eq!(one.differing(&one.clone()).count(), 0);
    }
}
