//! What has to change: the rows that should be there against those that are. Pure.

use std::net::IpAddr;
use std::sync::Arc;

use ovn_model::{LoadBalancerId, Nat, NatId, RouterId, Store};
use uuid::Uuid;

use crate::drain::{self, Departure};
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
pub type Owned<'a> = (NatId, RouterId, &'a Nat);

/// Returns the rows of ours for a port, with their routers. A row that no router refers to is gone
/// by the next commit, without help.
pub fn owned<'a>(store: &'a Store, owner: &Owner, port: &str) -> Vec<Owned<'a>> {
    let rows = store.nats_tagged(port).iter().filter_map(|id| {
        let nat = store.nat(*id).filter(|nat| owner.owns(nat))?;
        Some((*id, nat.router?, nat))
    });
    // The row of a conversion is for an address and has no port.
    rows.filter(|(_, _, nat)| owner.role(nat) != Some(Role::DefaultTarget) || !port.is_empty()).collect()
}

/// Returns what has to change for a port; `wall` is the second, counted from 1970.
pub fn changes(store: &Store, rules: &Rules, wanted: Wanted<'_>, wall: u64) -> Vec<RowChange> {
    let desired: Vec<_> = wanted.decisions.iter().flat_map(Decision::rows).collect();
    let mut staying: Vec<_> = desired.iter().map(|row| (row.router, row.external)).collect();
    let owned = owned(store, &rules.owner, wanted.port);
    let (mut changes, mut departures) = (Vec::new(), Vec::new());
    // A row is known by its UUID, whatever somebody made of its role.
    let successor =
        |nat: &Nat, router| desired.iter().find(|row| row.uuid == nat.uuid && row.router == router);
    for (id, router, nat) in &owned {
        let departure = Departure { router: *router, nat };
        match successor(nat, *router) {
            None if rules.owner.role(nat) == Some(Role::Drain) => {}
            None if wanted.held.contains(id) => {
                staying.extend(nat.external_ip.map(|external| (*router, external)))
            }
            None => {
                changes.push(RowChange::Delete(*id, *router));
                departures.push(departure);
            }
            Some(row) if !row.is_written_in(nat, &rules.owner) => {
                changes.push(RowChange::Update(*id, (*row).clone()));
                departures.push(departure);
            }
            Some(_) => {}
        }
    }
    let missing = desired.iter().filter(|row| !owned.iter().any(|(_, _, nat)| nat.uuid == row.uuid));
    changes.extend(missing.map(|row| RowChange::Insert((*row).clone())));
    let drains: Vec<_> = owned
        .iter()
        .filter(|(_, router, nat)| {
            rules.owner.role(nat) == Some(Role::Drain) && successor(nat, *router).is_none()
        })
        .copied()
        .collect();
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
