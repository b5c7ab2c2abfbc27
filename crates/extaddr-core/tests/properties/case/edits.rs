//! Edits: changes of one row or one element of a column each.

use std::collections::BTreeSet;
use std::fmt;

use extaddr_core::ownership::Owner;
use ovsdb_protocol::Uuid;

use crate::model::{Atom, Database, Kind, Row, Value, is_valid};
use crate::scenario::label;

/// A row.
pub(crate) type Key = (&'static str, Uuid);

/// A change by others. A change of a missing row, or one that the schema forbids, has no effect.
#[derive(Clone, Debug)]
pub(crate) enum Edit {
    Insert(Key, Row),
    Delete(Key),
    Set(Key, &'static str, Value),
    /// Inserts an element or a pair into a column.
    Add(Key, &'static str, Value),
    /// Removes one.
    Remove(Key, &'static str, Value),
    /// Changes one of the rows that are tagged as ours.
    Spoil(usize, Spoil),
}

/// A foreign change of one of our rows.
#[derive(Clone, Debug)]
pub(crate) enum Spoil {
    Delete,
    /// Gives a tag another value, or removes it.
    Tag(&'static str, Option<String>),
    Set(&'static str, Value),
    /// Makes another router refer to it, instead or additionally.
    Move {
        stays: bool,
        to: Option<Uuid>,
    },
}

/// Returns the edits from `before` to `after`.
pub(crate) fn between(before: &Database, after: &Database) -> Vec<Edit> {
    let keys: BTreeSet<_> = before.rows.keys().chain(after.rows.keys()).copied().collect();
    let mut edits = Vec::new();
    for key in keys {
        match (before.rows.get(&key), after.rows.get(&key)) {
            (None, Some(row)) => edits.push(Edit::Insert(key, row.clone())),
            (Some(_), None) => edits.push(Edit::Delete(key)),
            (Some(old), Some(new)) if old != new => {
                for (column, kind) in after.columns(key.0) {
                    let (old, new) = (&old.0[column], &new.0[column]);
                    if old == new {
                        continue;
                    }
                    if !matches!(kind, Kind::Set | Kind::Map) {
                        edits.push(Edit::Set(key, column, new.clone()));
                        continue;
                    }
                    let gone = old.parts().into_iter().filter(|part| !new.has_like(part));
                    edits.extend(gone.map(|part| Edit::Remove(key, column, part)));
                    let come = new.parts().into_iter().filter(|part| !old.includes(part));
                    edits.extend(come.map(|part| Edit::Add(key, column, part)));
                }
            }
            _ => {}
        }
    }
    edits
}

impl Edit {
    pub(crate) fn apply(&self, database: &mut Database, owner: &Owner) {
        let is_named = matches!(self, Self::Insert(..) | Self::Set(_, "name", _));
        let before = is_named.then(|| database.clone());
        match self {
            Self::Insert(key, row) => drop(database.rows.insert(*key, row.clone())),
            Self::Delete(key) => drop(database.rows.remove(key)),
            Self::Set(key, column, value) => {
                if let Some(row) = database.rows.get_mut(key) {
                    row.put(column, value.clone());
                }
            }
            Self::Add(key, column, part) | Self::Remove(key, column, part) => {
                if let Some(value) = database.rows.get_mut(key).and_then(|row| row.0.get_mut(column)) {
                    value.toggle(part, matches!(self, Self::Add(..)));
                }
            }
            Self::Spoil(n, spoil) => {
                let ours = |row: &Row| row.get("external_ids", "ovn-extaddr:owner") == Some(owner.as_str());
                let ours: Vec<_> =
                    database.table("NAT").filter(|(_, row)| ours(row)).map(|(uuid, _)| uuid).collect();
                if let Some(uuid) = ours.get(n % ours.len().max(1)) {
                    spoil.apply(database, *uuid);
                }
            }
        }
        if let Some(before) = before.filter(|_| !is_valid(database)) {
            *database = before;
        }
    }
}

impl Spoil {
    fn apply(&self, database: &mut Database, uuid: Uuid) {
        if let Self::Move { stays, to } = self {
            for ((table, router), row) in &mut database.rows {
                if *table == "Logical_Router" && (!stays || Some(*router) == *to) {
                    row.link("nat", uuid, Some(*router) == *to);
                }
            }
        }
        let Some(row) = database.row_mut("NAT", uuid) else { return };
        match self {
            Self::Delete => drop(database.rows.remove(&("NAT", uuid))),
            Self::Tag(key, value) => row.set("external_ids", key, value.as_deref()),
            Self::Set(column, value) => row.put(column, value.clone()),
            Self::Move { .. } => {}
        }
    }
}

// ===== in words =====

impl fmt::Display for Edit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Insert((table, uuid), row) => {
                write!(f, "insert {table} {}: {}", label(*uuid), described(row, &label(*uuid)))
            }
            Self::Delete((table, uuid)) => write!(f, "delete {table} {}", label(*uuid)),
            Self::Set((table, uuid), column, value) => {
                write!(f, "{table} {} {column} = {}", label(*uuid), notation(value))
            }
            Self::Add((table, uuid), column, part) => {
                write!(f, "{table} {} {column} += {}", label(*uuid), notation(part))
            }
            Self::Remove((table, uuid), column, part) => {
                write!(f, "{table} {} {column} -= {}", label(*uuid), notation(part))
            }
            Self::Spoil(n, spoil) => {
                write!(f, "row {n} of ours ")?;
                match spoil {
                    Spoil::Delete => f.write_str("is deleted"),
                    Spoil::Tag(key, Some(value)) => write!(f, "external_ids += {key}={value}"),
                    Spoil::Tag(key, None) => write!(f, "external_ids -= {key}"),
                    Spoil::Set(column, value) => write!(f, "{column} = {}", notation(value)),
                    Spoil::Move { stays, to } => {
                        let router = to.map_or_else(|| "no router".to_owned(), label);
                        write!(f, "is on {router}{}", if *stays { " too" } else { "" })
                    }
                }
            }
        }
    }
}

/// Returns the columns of a row of that name that are not empty, in ovn-nbctl's notation.
pub(crate) fn described(row: &Row, name: &str) -> String {
    let is_told = |column: &str, value: &Value| {
        !value.parts().is_empty()
            && *value != Value::text("")
            && (column != "name" || *value != Value::text(name))
    };
    let columns = row.0.iter().filter(|(column, value)| is_told(column, value));
    columns.map(|(column, value)| format!("{column}={}", notation(value))).collect::<Vec<_>>().join(" ")
}

/// Returns a value in ovn-nbctl's notation, with the names of rows.
fn notation(value: &Value) -> String {
    let atom = |atom: &Atom| match atom {
        Atom::Text(text) => format!("{text:?}"),
        Atom::Ref(uuid) => label(*uuid),
        Atom::Flag(flag) => flag.to_string(),
    };
    let mut parts: Vec<_> = match value {
        Value::Set(atoms) => atoms.iter().map(atom).collect(),
        Value::Map(pairs) => pairs.iter().map(|(key, value)| format!("{key}={value:?}")).collect(),
    };
    if parts.len() == 1 { parts.remove(0) } else { format!("{{{}}}", parts.join(", ")) }
}
