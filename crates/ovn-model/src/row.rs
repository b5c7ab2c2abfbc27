//! Rows, and how they are read from updates.

mod balancer;
mod group;
mod nat;
mod port;
mod router;
mod router_port;
mod switch;

use std::borrow::Cow;
use std::sync::Arc;

use ovsdb_protocol::{ApplyError, AtomRef, ColumnSink, Columns, DatumReader, DecodeError, Uuid};

pub(crate) use balancer::BalancerDraft;
pub use balancer::{LoadBalancer, Protocol};
pub use group::Group;
pub(crate) use group::GroupDraft;
pub(crate) use nat::NatDraft;
pub use nat::{Nat, NatKind};
pub use port::{Port, PortKind};
pub use router::Router;
pub(crate) use router::RouterDraft;
pub use router_port::RouterPort;
pub use switch::Switch;
pub(crate) use switch::SwitchDraft;

use crate::id::Handle;
use crate::problem::{Notes, Problems};
use crate::tables::Table;

/// A slot of a store: a row, or the place of one that is referenced before it arrived.
pub(crate) trait Row {
    type Id: Handle;

    /// Returns the place of a row that has not arrived.
    fn vacant(uuid: Uuid) -> Self;
    fn uuid(&self) -> Uuid;
    fn meta(&self) -> &Meta;
    fn meta_mut(&mut self) -> &mut Meta;
    /// Tells whether another row refers to this one.
    fn is_referenced(&self) -> bool;
}

/// What the store knows of a slot.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Meta(u8);

/// What an update does to a row.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Write<'a> {
    /// These are all its columns; others hold their default.
    Whole(Columns<'a>),
    /// These changed: small columns are new values, sets and maps are differences.
    Difference(Columns<'a>),
    /// The row is gone.
    Delete,
}

/// What a row becomes by an update, while its columns are read.
///
/// It starts empty for [`Write::Whole`] and as the row is for [`Write::Difference`]; as the
/// difference from an empty set or map is the set or map itself, columns are read alike in both.
pub(crate) trait Draft {
    const TABLE: &'static Table;

    /// Reads a column.
    fn column(
        &mut self,
        name: &str,
        value: &mut DatumReader<'_, '_>,
        notes: &mut Notes,
    ) -> Result<(), DecodeError>;

    /// Empties a column that could not be read. Returns whether a difference of it is then lost.
    fn clear(&mut self, name: &str) -> bool;
}

// ===== impl Meta =====

impl Meta {
    const PRESENT: u8 = 1;
    const SEEN: u8 = 2;
    const SHARED: u8 = 4;
    const TROUBLED: u8 = 8;

    fn set(&mut self, flag: u8, on: bool) {
        self.0 = if on { self.0 | flag } else { self.0 & !flag };
    }

    /// Tells whether the row is there, and not only references to it.
    pub(crate) fn is_present(self) -> bool {
        self.0 & Self::PRESENT != 0
    }

    pub(crate) fn set_present(&mut self, on: bool) {
        self.set(Self::PRESENT, on);
    }

    /// Tells whether the running snapshot has the row.
    pub(crate) fn is_seen(self) -> bool {
        self.0 & Self::SEEN != 0
    }

    pub(crate) fn set_seen(&mut self, on: bool) {
        self.set(Self::SEEN, on);
    }

    /// Tells whether several rows claim this one, which should belong to one.
    pub(crate) fn is_shared(self) -> bool {
        self.0 & Self::SHARED != 0
    }

    pub(crate) fn set_shared(&mut self, on: bool) {
        self.set(Self::SHARED, on);
    }

    /// Tells whether the row has a [`Problem`](crate::Problem).
    pub(crate) fn is_troubled(self) -> bool {
        self.0 & Self::TROUBLED != 0
    }

    pub(crate) fn set_troubled(&mut self, on: bool) {
        self.set(Self::TROUBLED, on);
    }
}

// ===== impl Write =====

impl Write<'_> {
    pub(crate) fn is_difference(&self) -> bool {
        matches!(self, Self::Difference(_))
    }

    /// Reads the columns into `draft`. Returns the slot's new state, of which `meta` is the old.
    pub(crate) fn read<D: Draft>(
        &self,
        uuid: Uuid,
        mut meta: Meta,
        draft: &mut D,
        problems: &mut Problems,
    ) -> Result<Meta, ApplyError> {
        let troubled = match self {
            Self::Delete => {
                if meta.is_troubled() {
                    problems.forget(D::TABLE, uuid);
                }
                false
            }
            Self::Whole(columns) | Self::Difference(columns) => {
                let notes = Notes::new(D::TABLE, !self.is_difference(), meta.is_troubled());
                let mut reading = Reading { draft, notes, lost: false };
                columns.read(&mut reading).map_err(|_| ApplyError("a row's columns are malformed"))?;
                if reading.lost && self.is_difference() {
                    return Err(ApplyError("the difference of a set or map could not be read"));
                }
                problems.settle(uuid, meta.is_troubled(), reading.notes)
            }
        };
        meta.set_present(!matches!(self, Self::Delete));
        meta.set_seen(true);
        meta.set_troubled(troubled);
        Ok(meta)
    }
}

struct Reading<'d, D> {
    draft: &'d mut D,
    notes: Notes,
    lost: bool,
}

impl<D: Draft> ColumnSink for Reading<'_, D> {
    fn column(&mut self, name: &str, value: &mut DatumReader<'_, '_>) -> Result<(), DecodeError> {
        self.notes.reading(name);
        self.draft.column(name, value, &mut self.notes)
    }

    fn rejected(&mut self, name: &str, error: DecodeError) {
        self.lost |= self.draft.clear(name);
        self.notes.complain(name, error.to_string());
    }
}

// ===== reading values =====

/// Takes a difference of a map into account, of which one key is kept.
pub(crate) fn toggle(kept: &mut Option<Box<str>>, value: &str) {
    *kept = if kept.as_deref() == Some(value) { None } else { Some(value.into()) };
}

/// Reads a string; an absent one is empty.
pub(crate) fn text<'a>(value: &mut DatumReader<'_, 'a>) -> Result<Cow<'a, str>, DecodeError> {
    Ok(value.string()?.unwrap_or_default())
}

/// Reads a string into a shared one, which is left alone if it is the same.
pub(crate) fn shared(name: &mut Arc<str>, value: &mut DatumReader<'_, '_>) -> Result<(), DecodeError> {
    let text = text(value)?;
    if **name != *text {
        *name = text.into();
    }
    Ok(())
}

/// Reads a set of UUIDs, or the difference of one.
pub(crate) fn uuids(value: &mut DatumReader<'_, '_>) -> Result<Vec<Uuid>, DecodeError> {
    let mut uuids = Vec::new();
    value.uuids(|uuid| uuids.push(uuid))?;
    Ok(uuids)
}

/// Reads a set of strings, or the difference of one.
pub(crate) fn strings<'a>(value: &mut DatumReader<'_, 'a>) -> Result<Vec<Cow<'a, str>>, DecodeError> {
    let mut strings = Vec::new();
    value.atoms(|atom| match atom {
        AtomRef::String(s) => {
            strings.push(s);
            Ok(())
        }
        _ => Err(DecodeError { at: 0, expected: "a set of strings" }),
    })?;
    Ok(strings)
}
