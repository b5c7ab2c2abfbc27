//! Deletions that cannot wait for the rows that replace them. Pure.

use std::net::IpAddr;
use std::sync::Arc;

use ovn_model::{Nat, NatId, RouterId, Store};

use crate::change::RowChange;
use crate::drain::Connections;
use crate::network::Network;
use crate::owned::owned;
use crate::ownership::Role;
use crate::resolve::Place;
use crate::row::OwnRow;
use crate::rules::Rules;

/// Returns the part of a port's changes that cannot wait for the rest: an internal or external address that may belong
/// to somebody else by now is given up at once. If the port may still have both, its row stays until it can be changed.
pub(crate) fn among(store: &Store, rules: &Rules, port: &Arc<str>, changes: &[RowChange]) -> Vec<RowChange> {
    let overrides = || changes.iter().filter_map(RowChange::row).filter(|row| !row.is_drain());
    let is_tenable = |nat: &Nat, router: RouterId| {
        let place = nat.external_ip().zip(nat.logical_host());
        place.is_some_and(|(external, internal)| {
            Connections { port, router, internal, external }.may_continue(store, rules)
        })
    };
    let given_up = |change: &RowChange| -> Option<(NatId, RouterId)> {
        let (id, router) = match change {
            RowChange::Delete(id, router) => (*id, *router),
            RowChange::Update(id, row) if !row.is_drain() => (*id, row.router),
            _ => return None,
        };
        let nat = store.nat(id)?;
        // A drain row translates replies as a new override of the same address will.
        let stays = |row: &OwnRow| row.router == router && nat.external_ip() == Some(row.external);
        if rules.owner.role(nat) == Some(Role::Drain) && overrides().any(stays) {
            return None;
        }
        let replaced = overrides().any(|row| nat.logical_host() == Some(row.logical));
        (!replaced || !is_tenable(nat, router)).then_some((id, router))
    };
    let gone: Vec<_> = changes.iter().filter_map(given_up).collect();
    let given: Vec<IpAddr> = gone.iter().filter_map(|(id, _)| store.nat(*id)?.external_ip()).collect();
    // The drain rows for their connections.
    let drains = changes
        .iter()
        .filter(|change| change.row().is_some_and(|row| row.is_drain() && given.contains(&row.external)));
    gone.iter().map(|(id, router)| RowChange::Delete(*id, *router)).chain(drains.cloned()).collect()
}

/// Returns the changes that delete a port's overrides with an address: if the address cannot be converted, they break
/// the connections that the port makes.
pub(crate) fn off_address(network: Network<'_, '_>, port: &str, (router, address): Place) -> Vec<RowChange> {
    let rows = owned(network, port).into_iter().filter(|row| {
        row.router == router && row.nat.external_ip() == Some(address) && row.role == Some(Role::Egress)
    });
    rows.map(|row| RowChange::Delete(row.id, row.router)).collect()
}
