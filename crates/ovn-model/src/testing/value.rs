//! Values of columns, and the kinds of columns.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

use ovsdb_protocol::{AtomicType, ColumnKind, Uuid};
use serde_json::{Value as Json, json};

use crate::Store;

/// The bounds of a column's value, which determine the form of its difference.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// One text.
    Text,
    /// A text or a reference, or none.
    Maybe,
    /// A truth value, or none.
    MaybeFlag,
    /// Any number of texts or references.
    Set,
    /// Texts by text.
    Map,
}

/// The columns of a table.
type ColumnKinds = [(&'static str, Kind)];

/// Returns the declared tables and their columns.
pub fn tables() -> impl ExactSizeIterator<Item = (&'static str, &'static ColumnKinds)> {
    static TABLES: LazyLock<Vec<(&str, Box<ColumnKinds>)>> = LazyLock::new(|| {
        let tables = Store::tables().iter().map(|table| {
            let columns = table.columns.iter().map(|column| {
                let kind = match column.kind {
                    ColumnKind::Scalar(AtomicType::String) => Kind::Text,
                    ColumnKind::Optional(AtomicType::Boolean) => Kind::MaybeFlag,
                    ColumnKind::Optional(AtomicType::String | AtomicType::Uuid) => Kind::Maybe,
                    ColumnKind::Set(_) => Kind::Set,
                    ColumnKind::Map(..) => Kind::Map,
                    other => unreachable!("{}: add a kind of values for {other}", column.name),
                };
                (column.name, kind)
            });
            (table.name, columns.collect())
        });
        tables.collect()
    });
    TABLES.iter().map(|(name, columns)| (*name, &**columns))
}

/// Returns the kind of a column.
pub fn kind(table: &str, column: &str) -> Kind {
    let (_, columns) = tables().find(|(name, _)| *name == table).unwrap();
    columns.iter().find(|(name, _)| *name == column).unwrap().1
}

/// An element of a value.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Atom {
    /// A text.
    Text(String),
    /// A reference.
    Ref(Uuid),
    /// A truth value.
    Flag(bool),
}

/// A column's value; a single one is a set of one element, as in OVSDB.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Value {
    /// Elements.
    Set(BTreeSet<Atom>),
    /// Texts by text.
    Map(BTreeMap<String, String>),
}

// ===== impl Value =====

impl Value {
    /// Returns one text.
    pub fn text(text: impl Into<String>) -> Self {
        Self::Set([Atom::Text(text.into())].into())
    }

    /// Returns a truth value, or none.
    pub fn maybe_flag(flag: Option<bool>) -> Self {
        Self::Set(flag.into_iter().map(Atom::Flag).collect())
    }

    /// Returns references.
    pub fn refs(uuids: impl IntoIterator<Item = Uuid>) -> Self {
        Self::Set(uuids.into_iter().map(Atom::Ref).collect())
    }

    /// Returns texts.
    pub fn texts<T: Into<String>>(texts: impl IntoIterator<Item = T>) -> Self {
        Self::Set(texts.into_iter().map(|text| Atom::Text(text.into())).collect())
    }

    /// Returns a map.
    pub fn map<K: Into<String>, V: Into<String>>(pairs: impl IntoIterator<Item = (K, V)>) -> Self {
        Self::Map(pairs.into_iter().map(|(key, value)| (key.into(), value.into())).collect())
    }

    pub(super) fn default(kind: Kind) -> Self {
        match kind {
            Kind::Text => Self::text(""),
            Kind::Maybe | Kind::MaybeFlag | Kind::Set => Self::Set(BTreeSet::new()),
            Kind::Map => Self::Map(BTreeMap::new()),
        }
    }

    /// The difference in `update2` for a change to `new`.
    pub(super) fn difference(&self, new: &Self, kind: Kind) -> Self {
        match (self, new) {
            (Self::Set(a), Self::Set(b)) if kind == Kind::Set => {
                Self::Set(a.symmetric_difference(b).cloned().collect())
            }
            (Self::Map(a), Self::Map(b)) => {
                let gone = a.iter().filter(|(key, _)| !b.contains_key(*key));
                let came = b.iter().filter(|(key, value)| a.get(*key) != Some(*value));
                Self::Map(gone.chain(came).map(|(k, v)| (k.clone(), v.clone())).collect())
            }
            _ => new.clone(),
        }
    }

    pub(super) fn json(&self) -> Json {
        match self {
            Self::Set(atoms) => {
                let mut atoms: Vec<_> = atoms.iter().map(Atom::json).collect();
                if atoms.len() == 1 { atoms.remove(0) } else { json!(["set", atoms]) }
            }
            Self::Map(map) => json!(["map", map.iter().collect::<Vec<_>>()]),
        }
    }

    /// Reads a value in the notation of RFC 7047 §5.1.
    pub fn parse(json: &Json) -> Self {
        match (json.get(0).and_then(Json::as_str), json.get(1)) {
            (Some("set"), Some(atoms)) => {
                Self::Set(atoms.as_array().unwrap().iter().map(Atom::parse).collect())
            }
            (Some("map"), Some(pairs)) => {
                let text = |json: &Json| json.as_str().unwrap().to_owned();
                Self::Map(pairs.as_array().unwrap().iter().map(|p| (text(&p[0]), text(&p[1]))).collect())
            }
            _ => Self::Set([Atom::parse(json)].into()),
        }
    }

    /// Whether each element or pair of `part` is in it.
    pub fn includes(&self, part: &Self) -> bool {
        match (self, part) {
            (Self::Set(all), Self::Set(part)) => part.is_subset(all),
            (Self::Map(all), Self::Map(part)) => part.iter().all(|(k, v)| all.get(k) == Some(v)),
            _ => panic!("{self:?} cannot include {part:?}"),
        }
    }

    /// Its elements or pairs, each as a value.
    pub fn parts(&self) -> Vec<Self> {
        match self {
            Self::Set(atoms) => atoms.iter().map(|atom| Self::Set([atom.clone()].into())).collect(),
            Self::Map(pairs) => {
                pairs.iter().map(|(key, value)| Self::Map([(key.clone(), value.clone())].into())).collect()
            }
        }
    }

    /// Inserts elements or removes them; in a map, by their keys.
    pub fn toggle(&mut self, part: &Self, there: bool) {
        match (self, part) {
            (Self::Set(set), Self::Set(part)) if there => set.extend(part.iter().cloned()),
            (Self::Set(set), Self::Set(part)) => set.retain(|atom| !part.contains(atom)),
            (Self::Map(map), Self::Map(part)) if there => map.extend(part.clone()),
            (Self::Map(map), Self::Map(part)) => map.retain(|key, _| !part.contains_key(key)),
            (value, part) => panic!("{part:?} cannot be in {value:?}"),
        }
    }

    /// Whether the elements are in it, or the keys with any value.
    pub fn has_like(&self, part: &Self) -> bool {
        match (self, part) {
            (Self::Map(all), Self::Map(part)) => part.keys().all(|key| all.contains_key(key)),
            _ => self.includes(part),
        }
    }

    /// Removes a reference.
    pub fn forget(&mut self, uuid: Uuid) {
        if let Self::Set(set) = self {
            set.remove(&Atom::Ref(uuid));
        }
    }

    /// Returns the elements.
    pub fn set_mut(&mut self) -> &mut BTreeSet<Atom> {
        if let Self::Set(set) = self { set } else { panic!("{self:?} is not a set") }
    }

    /// Returns the pairs.
    pub fn map_mut(&mut self) -> &mut BTreeMap<String, String> {
        if let Self::Map(map) = self { map } else { panic!("{self:?} is not a map") }
    }
}

impl Atom {
    fn json(&self) -> Json {
        match self {
            Self::Text(text) => json!(text),
            Self::Ref(uuid) => json!(["uuid", uuid.to_string()]),
            Self::Flag(flag) => json!(flag),
        }
    }

    fn parse(json: &Json) -> Self {
        match json {
            Json::String(text) => Self::Text(text.clone()),
            Json::Array(pair) if pair[0] == "uuid" => Self::Ref(pair[1].as_str().unwrap().parse().unwrap()),
            _ => panic!("{json} is not an atom"),
        }
    }
}
