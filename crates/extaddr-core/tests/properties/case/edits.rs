//! Edits: changes of one row or one element of a column each.

use std::collections::BTreeSet;
use std::fmt;

use extaddr_core::ownership::Owner;
use ovsdb_protocol::Uuid;

use crate::model::{Atom, Database, Kind, Row, Value};
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
        if let Some(before) = before.filter(|_| !database.is_valid()) {
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
                write!(f, "insert {table} {}: {}", label(*uuid), row.described(&label(*uuid)))
            }
            Self::Delete((table, uuid)) => write!(f, "delete {table} {}", label(*uuid)),
            Self::Set((table, uuid), column, value) => {
                write!(f, "{table} {} {column} = {value}", label(*uuid))
            }
            Self::Add((table, uuid), column, part) => {
                write!(f, "{table} {} {column} += {part}", label(*uuid))
            }
            Self::Remove((table, uuid), column, part) => {
                write!(f, "{table} {} {column} -= {part}", label(*uuid))
            }
            Self::Spoil(n, spoil) => {
                write!(f, "row {n} of ours ")?;
                match spoil {
                    Spoil::Delete => f.write_str("is deleted"),
                    Spoil::Tag(key, Some(value)) => write!(f, "external_ids += {key}={value}"),
                    Spoil::Tag(key, None) => write!(f, "external_ids -= {key}"),
                    Spoil::Set(column, value) => write!(f, "{column} = {value}"),
                    Spoil::Move { stays, to } => {
                        let router = to.map_or_else(|| "no router".to_owned(), label);
                        write!(f, "is on {router}{}", if *stays { " too" } else { "" })
                    }
                }
            }
        }
    }
}

impl Row {
    /// The columns of a row of that name that are not empty, in ovn-nbctl's notation.
    pub(crate) fn described(&self, name: &str) -> String {
        let is_told = |column: &str, value: &Value| {
            !value.parts().is_empty()
                && *value != Value::text("")
                && (column != "name" || *value != Value::text(name))
        };
        let columns = self.0.iter().filter(|(column, value)| is_told(column, value));
        columns.map(|(column, value)| format!("{column}={value}")).collect::<Vec<_>>().join(" ")
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parts: Vec<_> = match self {
            Self::Set(atoms) => atoms.iter().map(ToString::to_string).collect(),
            Self::Map(pairs) => pairs.iter().map(|(key, value)| format!("{key}={value:?}")).collect(),
        };
        match &parts[..] {
            [part] => f.write_str(part),
            parts => write!(f, "{{{}}}", parts.join(", ")),
        }
    }
}

impl fmt::Display for Atom {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => write!(f, "{text:?}"),
            Self::Ref(uuid) => f.write_str(&label(*uuid)),
            Self::Flag(flag) => flag.fmt(f),
        }
    }
}
