//! A database of plain columns, and the updates that a server would send.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

use ovn_model::Store;
use ovsdb_protocol::{
    AtomicType, Batch, ColumnKind, Columns, DatabaseSchema, Replica, RowChange, RowUpdate, Uuid,
    declared_schema,
};
use serde_json::{Value as Json, json};

use crate::choices::Arrival;

/// The bounds of a column's value, which determine the form of its difference.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
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
pub(crate) fn tables() -> impl ExactSizeIterator<Item = (&'static str, &'static ColumnKinds)> {
    static TABLES: LazyLock<Vec<(&str, Box<ColumnKinds>)>> = LazyLock::new(|| {
        let tables = Store::tables().iter().map(|table| {
            let columns = table.columns.iter().map(|column| {
                let kind = match column.kind {
                    ColumnKind::Scalar(_) => Kind::Text,
                    ColumnKind::Optional(AtomicType::Boolean) => Kind::MaybeFlag,
                    ColumnKind::Optional(_) => Kind::Maybe,
                    ColumnKind::Set(_) => Kind::Set,
                    ColumnKind::Map(..) => Kind::Map,
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
pub(crate) fn kind(table: &str, column: &str) -> Kind {
    let (_, columns) = tables().find(|(name, _)| *name == table).unwrap();
    columns.iter().find(|(name, _)| *name == column).unwrap().1
}

/// Columns that an old server does not have.
const NEW: [(&str, &str); 2] = [("NAT", "external_port_range"), ("NAT", "gateway_port")];

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Atom {
    Text(String),
    Ref(Uuid),
    Flag(bool),
}

/// A column's value; a single one is a set of one element, as in OVSDB.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Value {
    Set(BTreeSet<Atom>),
    Map(BTreeMap<String, String>),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Row(pub(crate) BTreeMap<&'static str, Value>);

/// The rows of all tables.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Database {
    /// Whether the server is too old for some columns.
    pub(crate) old: bool,
    pub(crate) rows: BTreeMap<(&'static str, Uuid), Row>,
}

/// An update as a server would send it.
#[derive(Clone, Debug)]
pub(crate) struct Update {
    table: &'static str,
    uuid: Uuid,
    what: &'static str,
    columns: String,
}

// ===== impl Value =====

impl Value {
    pub(crate) fn text(text: impl Into<String>) -> Self {
        Self::Set([Atom::Text(text.into())].into())
    }

    pub(crate) fn maybe_flag(flag: Option<bool>) -> Self {
        Self::Set(flag.into_iter().map(Atom::Flag).collect())
    }

    pub(crate) fn refs(uuids: impl IntoIterator<Item = Uuid>) -> Self {
        Self::Set(uuids.into_iter().map(Atom::Ref).collect())
    }

    pub(crate) fn texts<T: Into<String>>(texts: impl IntoIterator<Item = T>) -> Self {
        Self::Set(texts.into_iter().map(|text| Atom::Text(text.into())).collect())
    }

    pub(crate) fn map<K: Into<String>, V: Into<String>>(pairs: impl IntoIterator<Item = (K, V)>) -> Self {
        Self::Map(pairs.into_iter().map(|(key, value)| (key.into(), value.into())).collect())
    }

    fn default(kind: Kind) -> Self {
        match kind {
            Kind::Text => Self::text(""),
            Kind::Maybe | Kind::MaybeFlag | Kind::Set => Self::Set(BTreeSet::new()),
            Kind::Map => Self::Map(BTreeMap::new()),
        }
    }

    /// The difference in `update2` for a change to `new`.
    fn difference(&self, new: &Self, kind: Kind) -> Self {
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

    fn json(&self) -> Json {
        match self {
            Self::Set(atoms) => {
                let mut atoms: Vec<_> = atoms.iter().map(Atom::json).collect();
                if atoms.len() == 1 { atoms.remove(0) } else { json!(["set", atoms]) }
            }
            Self::Map(map) => json!(["map", map.iter().collect::<Vec<_>>()]),
        }
    }

    pub(crate) fn parse(json: &Json) -> Self {
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
    pub(crate) fn includes(&self, part: &Self) -> bool {
        match (self, part) {
            (Self::Set(all), Self::Set(part)) => part.is_subset(all),
            (Self::Map(all), Self::Map(part)) => part.iter().all(|(k, v)| all.get(k) == Some(v)),
            _ => panic!("{self:?} cannot include {part:?}"),
        }
    }

    /// Its elements or pairs, each as a value.
    pub(crate) fn parts(&self) -> Vec<Self> {
        match self {
            Self::Set(atoms) => atoms.iter().map(|atom| Self::Set([atom.clone()].into())).collect(),
            Self::Map(pairs) => {
                pairs.iter().map(|(key, value)| Self::Map([(key.clone(), value.clone())].into())).collect()
            }
        }
    }

    /// Inserts elements or removes them; in a map, by their keys.
    pub(crate) fn toggle(&mut self, part: &Self, there: bool) {
        match (self, part) {
            (Self::Set(set), Self::Set(part)) if there => set.extend(part.iter().cloned()),
            (Self::Set(set), Self::Set(part)) => set.retain(|atom| !part.contains(atom)),
            (Self::Map(map), Self::Map(part)) if there => map.extend(part.clone()),
            (Self::Map(map), Self::Map(part)) => map.retain(|key, _| !part.contains_key(key)),
            (value, part) => panic!("{part:?} cannot be in {value:?}"),
        }
    }

    /// Whether the elements are in it, or the keys with any value.
    pub(crate) fn has_like(&self, part: &Self) -> bool {
        match (self, part) {
            (Self::Map(all), Self::Map(part)) => part.keys().all(|key| all.contains_key(key)),
            _ => self.includes(part),
        }
    }

    /// Removes a reference.
    pub(crate) fn forget(&mut self, uuid: Uuid) {
        if let Self::Set(set) = self {
            set.remove(&Atom::Ref(uuid));
        }
    }

    pub(crate) fn set_mut(&mut self) -> &mut BTreeSet<Atom> {
        if let Self::Set(set) = self { set } else { panic!("{self:?} is no set") }
    }

    pub(crate) fn map_mut(&mut self) -> &mut BTreeMap<String, String> {
        if let Self::Map(map) = self { map } else { panic!("{self:?} is no map") }
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
            _ => panic!("{json} is no atom"),
        }
    }
}

// ===== impl Row =====

impl Row {
    /// A text; empty if there is none.
    pub(crate) fn text(&self, column: &str) -> &str {
        self.texts(column).next().unwrap_or_default()
    }

    pub(crate) fn texts(&self, column: &str) -> impl Iterator<Item = &str> {
        self.atoms(column).filter_map(|atom| if let Atom::Text(text) = atom { Some(&**text) } else { None })
    }

    pub(crate) fn flag(&self, column: &str) -> Option<bool> {
        self.atoms(column).find_map(|atom| if let Atom::Flag(flag) = atom { Some(*flag) } else { None })
    }

    pub(crate) fn refs(&self, column: &str) -> impl Iterator<Item = Uuid> {
        self.atoms(column).filter_map(|atom| if let Atom::Ref(uuid) = atom { Some(*uuid) } else { None })
    }

    pub(crate) fn has(&self, column: &str, uuid: Uuid) -> bool {
        self.refs(column).any(|element| element == uuid)
    }

    pub(crate) fn pairs(&self, column: &str) -> impl Iterator<Item = (&str, &str)> {
        let map = if let Some(Value::Map(map)) = self.0.get(column) { Some(map) } else { None };
        map.into_iter().flatten().map(|(key, value)| (&**key, &**value))
    }

    pub(crate) fn get(&self, column: &str, key: &str) -> Option<&str> {
        self.pairs(column).find(|(k, _)| *k == key).map(|(_, value)| value)
    }

    /// Whether the column is neither missing nor empty.
    pub(crate) fn is_set(&self, column: &str) -> bool {
        self.atoms(column).next().is_some()
    }

    pub(crate) fn put(&mut self, column: &str, value: Value) {
        if let Some(place) = self.0.get_mut(column) {
            *place = value;
        }
    }

    /// Inserts an element into a set of references, or removes it.
    pub(crate) fn link(&mut self, column: &str, uuid: Uuid, linked: bool) {
        let set = self.0.get_mut(column).unwrap().set_mut();
        if linked {
            set.insert(Atom::Ref(uuid));
        } else {
            set.remove(&Atom::Ref(uuid));
        }
    }

    /// Sets a pair of a map, or removes it.
    pub(crate) fn set(&mut self, column: &str, key: &str, value: Option<&str>) {
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

// ===== impl Database =====

impl Database {
    pub(crate) fn has_column(&self, table: &str, column: &str) -> bool {
        !self.old || !NEW.contains(&(table, column))
    }

    /// The columns that the server has.
    pub(crate) fn columns(&self, table: &str) -> impl Iterator<Item = (&'static str, Kind)> {
        let (name, columns) = tables().find(|(name, _)| *name == table).unwrap();
        columns.iter().copied().filter(move |(column, _)| self.has_column(name, column))
    }

    pub(crate) fn table(&self, table: &'static str) -> impl Iterator<Item = (Uuid, &Row)> {
        let rows = self.rows.range((table, Uuid::nil())..=(table, Uuid::max()));
        rows.map(|((_, uuid), row)| (*uuid, row))
    }

    pub(crate) fn row(&self, table: &'static str, uuid: Uuid) -> Option<&Row> {
        self.rows.get(&(table, uuid))
    }

    pub(crate) fn row_mut(&mut self, table: &'static str, uuid: Uuid) -> Option<&mut Row> {
        self.rows.get_mut(&(table, uuid))
    }

    /// A row with these columns, and defaults in others.
    pub(crate) fn new_row<'c>(
        &self,
        table: &'static str,
        columns: impl IntoIterator<Item = (&'c str, Value)>,
    ) -> Row {
        let defaults = self.columns(table).map(|(column, kind)| (column, Value::default(kind)));
        let mut row = Row(defaults.collect());
        for (column, value) in columns {
            row.put(column, value);
        }
        row
    }

    pub(crate) fn insert<'c>(
        &mut self,
        table: &'static str,
        uuid: Uuid,
        columns: impl IntoIterator<Item = (&'c str, Value)>,
    ) {
        let row = self.new_row(table, columns);
        self.rows.insert((table, uuid), row);
    }

    /// Whether no two rows have the same name where the schema forbids it.
    pub(crate) fn is_valid(&self) -> bool {
        ["Logical_Switch_Port", "Logical_Router_Port"].into_iter().all(|table| {
            let names: BTreeSet<_> = self.table(table).map(|(_, row)| row.text("name")).collect();
            names.len() == self.table(table).count()
        })
    }

    /// Drops tagged NAT rows that no router refers to, as a server does at the end of a transaction. Other rows may
    /// stay without references, to test that the order of arrival does not matter.
    pub(crate) fn drop_unreferenced_tagged(&mut self) {
        let referenced: BTreeSet<_> =
            self.table("Logical_Router").flat_map(|(_, router)| router.refs("nat")).collect();
        self.rows.retain(|(table, uuid), row| {
            *table != "NAT"
                || referenced.contains(uuid)
                || !row.pairs("external_ids").any(|(key, _)| key.starts_with("ovn-extaddr:"))
        });
    }

    /// The server's schema.
    pub(crate) fn schema(&self) -> DatabaseSchema {
        declared_schema("OVN_Northbound", Store::tables(), |table, column| {
            self.has_column(table.name, column.name)
        })
    }
}

// ===== updates =====

/// Returns the updates from `before` to `after`, in the notation of `update2` or, if `v1`, of `update`.
pub(crate) fn delta(before: &Database, after: &Database, v1: bool) -> Vec<Update> {
    let mut updates = Vec::new();
    for ((table, uuid), row) in &after.rows {
        let columns: Vec<_> = after.columns(table).collect();
        let (what, columns) = match before.rows.get(&(*table, *uuid)) {
            None => {
                let there = columns.iter().filter(|(name, kind)| row.0[name] != Value::default(*kind));
                ("insert", object(there.map(|(name, _)| (*name, row.0[name].json()))))
            }
            Some(old) if old == row => continue,
            Some(_) if v1 => ("replace", object(columns.iter().map(|(name, _)| (*name, row.0[name].json())))),
            Some(old) => {
                let changed = columns.iter().filter(|(name, _)| old.0[name] != row.0[name]);
                let difference = |(name, kind): &(&'static str, Kind)| {
                    (*name, old.0[name].difference(&row.0[name], *kind).json())
                };
                ("modify", object(changed.map(difference)))
            }
        };
        updates.push(Update { table, uuid: *uuid, what, columns });
    }
    for (table, uuid) in before.rows.keys().filter(|key| !after.rows.contains_key(*key)) {
        updates.push(Update { table, uuid: *uuid, what: "delete", columns: String::new() });
    }
    updates
}

/// Returns all rows.
pub(crate) fn snapshot(database: &Database) -> Vec<Update> {
    delta(&Database { old: database.old, ..Database::default() }, database, false)
}

/// Applies a batch.
pub(crate) fn feed(store: &mut Store, batch: Batch, updates: &[Update]) {
    store.begin(batch);
    for update in updates {
        let columns = Columns::new(&update.columns);
        let change = match update.what {
            "insert" => RowChange::Insert(columns),
            "modify" => RowChange::Modify(columns),
            "replace" => RowChange::Replace(columns),
            _ => RowChange::Delete,
        };
        store.apply(RowUpdate { table: update.table, uuid: update.uuid, change }).unwrap();
    }
    store.commit();
}

/// Returns a store that has just got a snapshot, in any order.
pub(crate) fn fresh_store(database: &Database, arrival: &mut Arrival) -> Store {
    let mut store = Store::new();
    store.declare(&database.schema()).unwrap();
    let mut updates = snapshot(database);
    arrival.shuffle(&mut updates);
    feed(&mut store, Batch::Snapshot, &updates);
    store
}

fn object<'c>(columns: impl Iterator<Item = (&'c str, Json)>) -> String {
    let columns: serde_json::Map<_, _> = columns.map(|(name, value)| (name.to_owned(), value)).collect();
    Json::Object(columns).to_string()
}
