//! Rows.

use std::collections::BTreeMap;

use ovsdb_protocol::Uuid;

use super::value::{Atom, Value};

/// A row: its columns by name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row(pub BTreeMap<&'static str, Value>);

// ===== impl Row =====

impl Row {
    /// A text; empty if there is none.
    pub fn text(&self, column: &str) -> &str {
        self.texts(column).next().unwrap_or_default()
    }

    /// Returns the texts.
    pub fn texts(&self, column: &str) -> impl Iterator<Item = &str> {
        self.atoms(column).filter_map(|atom| if let Atom::Text(text) = atom { Some(&**text) } else { None })
    }

    /// Returns the truth value.
    pub fn flag(&self, column: &str) -> Option<bool> {
        self.atoms(column).find_map(|atom| if let Atom::Flag(flag) = atom { Some(*flag) } else { None })
    }

    /// Returns the references.
    pub fn refs(&self, column: &str) -> impl Iterator<Item = Uuid> {
        self.atoms(column).filter_map(|atom| if let Atom::Ref(uuid) = atom { Some(*uuid) } else { None })
    }

    /// Whether a reference is in a column.
    pub fn has(&self, column: &str, uuid: Uuid) -> bool {
        self.refs(column).any(|element| element == uuid)
    }

    /// Returns the pairs of a map.
    pub fn pairs(&self, column: &str) -> impl Iterator<Item = (&str, &str)> {
        let map = if let Some(Value::Map(map)) = self.0.get(column) { Some(map) } else { None };
        map.into_iter().flatten().map(|(key, value)| (&**key, &**value))
    }

    /// Returns the value of a key of a map.
    pub fn get(&self, column: &str, key: &str) -> Option<&str> {
        self.pairs(column).find(|(k, _)| *k == key).map(|(_, value)| value)
    }

    /// Whether the column is neither missing nor empty.
    pub fn is_set(&self, column: &str) -> bool {
        self.atoms(column).next().is_some()
    }

    /// Sets a column that the row has.
    pub fn put(&mut self, column: &str, value: Value) {
        if let Some(place) = self.0.get_mut(column) {
            *place = value;
        }
    }

    /// Inserts an element into a set of references, or removes it.
    pub fn link(&mut self, column: &str, uuid: Uuid, linked: bool) {
        let set = self.0.get_mut(column).unwrap().set_mut();
        if linked {
            set.insert(Atom::Ref(uuid));
        } else {
            set.remove(&Atom::Ref(uuid));
        }
    }

    /// Sets a pair of a map, or removes it.
    pub fn set(&mut self, column: &str, key: &str, value: Option<&str>) {
        let map = self.0.get_mut(column).unwrap().map_mut();
        match value {
            Some(value) => map.insert(key.to_owned(), value.to_owned()),
            None => map.remove(key),
        };
    }

    fn atoms(&self, column: &str) -> impl Iterator<Item = &Atom> {
        let set = if let Some(Value::Set(set)) = self.0.get(column) { Some(set) } else { None };
        set.into_iter().flatten()
    }
}
