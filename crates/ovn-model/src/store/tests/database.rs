//! A database of plain columns, and the updates that a server would send.

use std::collections::{BTreeMap, BTreeSet};

use ovsdb_protocol::{ApplyError, Batch, Columns, Replica, RowChange, RowUpdate, Uuid};

use super::super::Store;

/// A column's value.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Value {
    Text(String),
    Maybe(Option<String>),
    MaybeRef(Option<Uuid>),
    MaybeFlag(Option<bool>),
    Texts(BTreeSet<String>),
    Refs(BTreeSet<Uuid>),
    Map(BTreeMap<String, String>),
}

pub(super) type Row = BTreeMap<&'static str, Value>;
pub(super) type Database = BTreeMap<(&'static str, Uuid), Row>;

/// An update as a server would send it.
#[derive(Clone, Debug)]
pub(super) struct Update {
    table: &'static str,
    uuid: Uuid,
    what: &'static str,
    columns: String,
}

impl Update {
    pub(super) fn new(table: &'static str, uuid: u128, what: &'static str, columns: &str) -> Self {
        Self { table, uuid: Uuid::from_u128(uuid), what, columns: columns.to_owned() }
    }

    pub(super) fn table(&self) -> &'static str {
        self.table
    }

    pub(super) fn has_column(&self, column: &str) -> bool {
        self.columns.contains(&format!("{column:?}:"))
    }

    /// Returns true if it may be reported although a view does not show it: a second way of a load balancer to a
    /// router, another gateway port whose row is missing, another notation of a network or an option, or a column
    /// without an effect on a row of that type.
    pub(super) fn is_hidden(&self) -> bool {
        // NB_Global should have only one row: the content of a second one may not count.
        let columns = ["load_balancer_group", "gateway_port", "networks", "external_mac", "logical_port"];
        let is_of = |table: &str, text| self.table == table && self.columns.contains(text);
        ["Load_Balancer_Group", "NB_Global"].contains(&self.table)
            || columns.iter().any(|column| self.columns.contains(column))
            || is_of("Load_Balancer", "options")
            || is_of("Logical_Switch_Port", "peer")
            || is_of("Logical_Switch_Port", "virtual-")
    }

    pub(super) fn apply(&self, store: &mut Store) -> Result<(), ApplyError> {
        let columns = Columns::new(&self.columns);
        let change = match self.what {
            "insert" => RowChange::Insert(columns),
            "modify" => RowChange::Modify(columns),
            "replace" => RowChange::Replace(columns),
            _ => RowChange::Delete,
        };
        store.apply(RowUpdate { table: self.table, uuid: self.uuid, change })
    }
}

/// Applies a batch, which must be consistent.
pub(super) fn feed(store: &mut Store, batch: Batch, updates: &[Update]) {
    store.begin(batch);
    for update in updates {
        update.apply(store).unwrap();
    }
    store.commit();
}

/// Returns the updates from `before` to `after`, in version 1 of the notation if `v1`.
pub(super) fn delta(before: &Database, after: &Database, v1: bool) -> Vec<Update> {
    let mut updates = Vec::new();
    for (key, row) in after {
        let (what, columns) = match before.get(key) {
            None => ("insert", inserted(row)),
            Some(old) if old == row => continue,
            Some(_) if v1 => ("replace", object(row.iter().map(|(name, value)| (*name, value.json())))),
            Some(old) => {
                let changed = row.iter().filter(|(name, value)| old[*name] != **value);
                ("modify", object(changed.map(|(name, value)| (*name, old[name].difference(value).json()))))
            }
        };
        updates.push(Update { table: key.0, uuid: key.1, what, columns });
    }
    for (table, uuid) in before.keys().filter(|key| !after.contains_key(*key)) {
        updates.push(Update { table, uuid: *uuid, what: "delete", columns: String::new() });
    }
    updates
}

/// Returns all rows.
pub(super) fn snapshot(database: &Database) -> Vec<Update> {
    delta(&Database::new(), database, false)
}

fn inserted(row: &Row) -> String {
    object(row.iter().filter(|(_, value)| !value.is_default()).map(|(name, value)| (*name, value.json())))
}

fn object(columns: impl Iterator<Item = (&'static str, String)>) -> String {
    format!("{{{}}}", columns.map(|(name, value)| format!("{name:?}:{value}")).collect::<Vec<_>>().join(","))
}

impl Value {
    pub(super) fn text(&self) -> &str {
        match self {
            Self::Text(text) => text,
            Self::Maybe(text) => text.as_deref().unwrap_or_default(),
            _ => unreachable!("{self:?}"),
        }
    }

    pub(super) fn flag(&self) -> Option<bool> {
        if let Self::MaybeFlag(flag) = self { *flag } else { unreachable!("{self:?}") }
    }

    pub(super) fn maybe(&self) -> &Option<String> {
        if let Self::Maybe(maybe) = self { maybe } else { unreachable!("{self:?}") }
    }

    pub(super) fn texts(&self) -> &BTreeSet<String> {
        if let Self::Texts(texts) = self { texts } else { unreachable!("{self:?}") }
    }

    pub(super) fn refs(&self) -> &BTreeSet<Uuid> {
        if let Self::Refs(refs) = self { refs } else { unreachable!("{self:?}") }
    }

    pub(super) fn map(&self) -> &BTreeMap<String, String> {
        if let Self::Map(map) = self { map } else { unreachable!("{self:?}") }
    }

    fn is_default(&self) -> bool {
        match self {
            Self::Text(text) => text.is_empty(),
            Self::Maybe(maybe) => maybe.is_none(),
            Self::MaybeRef(maybe) => maybe.is_none(),
            Self::MaybeFlag(maybe) => maybe.is_none(),
            Self::Texts(texts) => texts.is_empty(),
            Self::Refs(refs) => refs.is_empty(),
            Self::Map(map) => map.is_empty(),
        }
    }

    /// The difference in `update2` for a change to `new`.
    fn difference(&self, new: &Self) -> Self {
        match (self, new) {
            (Self::Texts(a), Self::Texts(b)) => Self::Texts(a.symmetric_difference(b).cloned().collect()),
            (Self::Refs(a), Self::Refs(b)) => Self::Refs(a.symmetric_difference(b).copied().collect()),
            (Self::Map(a), Self::Map(b)) => {
                let gone = a.iter().filter(|(key, _)| !b.contains_key(*key));
                let came = b.iter().filter(|(key, value)| a.get(*key) != Some(*value));
                Self::Map(gone.chain(came).map(|(k, v)| (k.clone(), v.clone())).collect())
            }
            _ => new.clone(),
        }
    }

    fn json(&self) -> String {
        let atom = |uuid: &Uuid| format!("[\"uuid\",\"{uuid}\"]");
        let set = |atoms: Vec<String>| match &atoms[..] {
            [one] => one.clone(),
            _ => format!("[\"set\",[{}]]", atoms.join(",")),
        };
        match self {
            Self::Text(text) => format!("{text:?}"),
            Self::Maybe(maybe) => set(maybe.iter().map(|text| format!("{text:?}")).collect()),
            Self::MaybeRef(maybe) => set(maybe.iter().map(atom).collect()),
            Self::MaybeFlag(maybe) => set(maybe.iter().map(ToString::to_string).collect()),
            Self::Texts(texts) => set(texts.iter().map(|text| format!("{text:?}")).collect()),
            Self::Refs(refs) => set(refs.iter().map(atom).collect()),
            Self::Map(map) => {
                let pairs: Vec<_> = map.iter().map(|(k, v)| format!("[{k:?},{v:?}]")).collect();
                format!("[\"map\",[{}]]", pairs.join(","))
            }
        }
    }
}
