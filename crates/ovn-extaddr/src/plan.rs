//! What has to change: the rows that should be there against those that are. Pure.

use std::net::IpAddr;
use std::sync::Arc;

use ovn_model::{LoadBalancerId, Nat, NatId, RouterId, Store};
use uuid::Uuid;

use crate::drain::{self, Departure, Way};
use crate::ownership::{Owner, Role};
use crate::resolve::Decision;
use crate::row::OwnRow;
use crate::rules::Rules;

/// One change of the database.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum RowChange {
    /// Insert the row and have the router refer to it.
    Insert(OwnRow),
    /// Change the row of ours in its place.
    Update(NatId, OwnRow),
    /// Take the row of ours off its router, with which it goes.
    Delete(NatId, RouterId),
    /// Take a load balancer with nothing but a port-less VIP off a router.
    Detach(RouterId, LoadBalancerId),
    /// Put it on again.
    Attach(RouterId, Uuid),
    /// Remove a port-less VIP, key and value, from a load balancer.
    RemoveVip(LoadBalancerId, Box<str>, Box<str>),
    /// Put it in again.
    RestoreVip(Uuid, Box<str>, Box<str>),
}

/// What a port's rows should be.
#[derive(Clone, Copy, Debug)]
pub struct Wanted<'a> {
    /// The port.
    pub port: &'a Arc<str>,
    /// What was decided.
    pub decisions: &'a [Decision],
    /// The rows that stay although their forward is gone, for it may come back at once.
    pub held: &'a [NatId],
}

/// A row of ours, on its router.
#[derive(Clone, Copy, Debug)]
pub struct Owned<'a> {
    /// Its handle.
    pub id: NatId,
    /// The router.
    pub router: RouterId,
    /// The row.
    pub nat: &'a Nat,
    /// What it is good for, as far as that is known here.
    pub role: Option<Role>,
}

/// Returns the rows of ours for a port, with their routers. A row that no router refers to is gone
/// by the next commit, without help.
pub fn owned<'a>(store: &'a Store, owner: &Owner, port: &str) -> Vec<Owned<'a>> {
    owned_among(store, owner, port, store.nats_tagged(port))
}

/// Returns the same where the rows tagged with the port are known.
pub fn owned_among<'a>(store: &'a Store, owner: &Owner, port: &str, tagged: &[NatId]) -> Vec<Owned<'a>> {
    let rows = tagged.iter().filter_map(|id| {
        let nat = store.nat(*id)?;
        // Nearly all are, and it is seen at once.
        let is_override = owner.is_override_of(nat, port);
        let role = if is_override { Some(Role::Egress) } else { owner.role_if_owned(nat)? };
        Some(Owned { id: *id, role, router: nat.router?, nat })
    });
    // The row of a conversion is for an address and has no port.
    rows.filter(|row| row.role != Some(Role::DefaultTarget) || !port.is_empty()).collect()
}

/// Returns what has to change for a port that has these rows; `wall` is the second, counted from 1970.
pub fn changes(
    store: &Store,
    rules: &Rules,
    wanted: Wanted<'_>,
    owned: &[Owned<'_>],
    wall: u64,
) -> Vec<RowChange> {
    let desired: Vec<_> = wanted.decisions.iter().flat_map(|decision| decision.rows(wanted.port)).collect();
    let is_there = |row: &&OwnRow| owned.iter().any(|owned| owned.nat.uuid == row.uuid);
    // A row is known by its UUID, whatever somebody made of its role.
    let successor =
        |of: &Owned<'_>| desired.iter().find(|row| row.uuid == of.nat.uuid && row.router == of.router);
    let is_right =
        |owned: &Owned<'_>| successor(owned).is_some_and(|row| row.is_written_in(owned.nat, &rules.owner));
    // So it is of nearly all ports.
    if owned.iter().all(is_right) && desired.iter().all(|row| is_there(&row)) {
        return Vec::new();
    }
    let mut staying: Vec<_> = desired.iter().map(|row| Way::wanted(store, row)).collect();
    let (mut changes, mut departures) = (Vec::new(), Vec::new());
    for row @ Owned { id, router, nat, role } in owned {
        let departure = Departure { router: *router, nat };
        match successor(row) {
            None if *role == Some(Role::Drain) => {}
            None if wanted.held.contains(id) => {
                staying.extend(nat.external_ip().map(|external| Way::of(store, *router, nat, external)))
            }
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
    let drains: Vec<_> = drains.copied().collect();
    changes.extend(drain::changes(store, rules, wanted, &drains, &departures, &staying, wall));
    changes
}

impl RowChange {
    /// Returns the row to be written.
    pub fn row(&self) -> Option<&OwnRow> {
        if let Self::Insert(row) | Self::Update(_, row) = self { Some(row) } else { None }
    }

    /// Returns the external address of a row to be written.
    pub fn external(&self) -> Option<IpAddr> {
        self.row().map(|row| row.external)
    }
}
