//! The changes of the database: the desired rows compared with the present ones. Pure.

#[cfg(test)]
mod tests;

use std::sync::Arc;

use ovn_model::{NatId, Store};

use crate::change::RowChange;
use crate::drain::{self, Departure, Drains, ReplyPath};
use crate::owned::Owned;
use crate::ownership::Role;
use crate::resolve::Decision;
use crate::row::OwnRow;
use crate::rules::Rules;

/// The desired rows of a port.
#[derive(Clone, Copy, Debug)]
pub struct Wanted<'a> {
    /// The port.
    pub port: &'a Arc<str>,
    /// The decisions on it.
    pub decisions: &'a [Decision],
    /// The rows that stay although their forward is gone, since it may come back at once.
    pub held: &'a [NatId],
}

/// Returns the changes for a port that has these rows; `wall` is the second, counted from 1970.
pub fn changes(
    store: &Store,
    rules: &Rules,
    wanted: Wanted<'_>,
    owned: &[Owned<'_>],
    wall: u64,
) -> Vec<RowChange> {
    let desired: Vec<_> = wanted.decisions.iter().flat_map(|decision| decision.rows(wanted.port)).collect();
    let is_there = |row: &&OwnRow| owned.iter().any(|owned| owned.nat.uuid == row.uuid);
    // A row is identified by its UUID, even if somebody changed its role.
    let successor =
        |of: &Owned<'_>| desired.iter().find(|row| row.uuid == of.nat.uuid && row.router == of.router);
    let is_right =
        |owned: &Owned<'_>| successor(owned).is_some_and(|row| row.is_written_in(owned.nat, &rules.owner));
    // This holds for nearly all ports.
    if owned.iter().all(is_right) && desired.iter().all(|row| is_there(&row)) {
        return Vec::new();
    }
    let mut staying: Vec<_> = desired.iter().map(|row| ReplyPath::wanted(store, row)).collect();
    let (mut changes, mut departures) = (Vec::new(), Vec::new());
    for row @ Owned { id, router, nat, role } in owned {
        let departure = Departure { router: *router, nat };
        match successor(row) {
            None if *role == Some(Role::Drain) => {}
            None if wanted.held.contains(id) => staying
                .extend(nat.external_ip().map(|external| ReplyPath::current(store, *router, nat, external))),
            None => {
                changes.push(RowChange::Delete(*id, *router));
                departures.push(departure);
            }
            Some(row) if !row.is_written_in(nat, &rules.owner) => {
                changes.push(RowChange::Update(*id, row.clone()));
                departures.push(departure);
            }
            Some(_) => {}
        }
    }
    changes.extend(desired.iter().filter(|row| !is_there(row)).cloned().map(RowChange::Insert));
    let drains = owned.iter().filter(|row| row.role == Some(Role::Drain) && successor(row).is_none());
    let rows: Vec<_> = drains.copied().collect();
    let drains = Drains { port: wanted.port, rows: &rows, held: wanted.held };
    changes.extend(drain::changes(store, rules, drains, &departures, &staying, wall));
    changes
}
