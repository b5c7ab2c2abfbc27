//! What has to change: the rows that should be there against those that are. Pure.

use ovn_model::{Nat, NatId, NatKind, RouterId, Store};

use crate::ownership::{Owner, Role};
use crate::resolve::{Decision, DesiredRow};

/// A change of one row of ours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RowChange {
    /// Insert the row and have the router refer to it.
    Insert(DesiredRow),
    /// Change the row in its place.
    Update(NatId, DesiredRow),
    /// Take the row off its router, with which it goes.
    Delete(NatId, RouterId),
}

/// Returns what has to change for a port with these decisions.
pub fn changes(store: &Store, owner: &Owner, port: &str, decisions: &[Decision]) -> Vec<RowChange> {
    let desired: Vec<_> = decisions.iter().flat_map(Decision::rows).collect();
    // A row that no router refers to is gone by the next commit, without help.
    let owned = store.nats_tagged(port).iter().filter_map(|id| {
        let nat = store.nat(*id).filter(|nat| owner.owns(nat))?;
        Some((*id, nat.router?, nat))
    });
    let owned: Vec<_> = owned.collect();
    let mut changes = Vec::new();
    for (id, router, nat) in &owned {
        match desired.iter().find(|row| row.uuid == nat.uuid && row.router == *router) {
            None => changes.push(RowChange::Delete(*id, *router)),
            Some(row) if !is_as_desired(nat, row) => changes.push(RowChange::Update(*id, (*row).clone())),
            Some(_) => {}
        }
    }
    let missing = desired.into_iter().filter(|row| !owned.iter().any(|(_, _, nat)| nat.uuid == row.uuid));
    changes.extend(missing.cloned().map(RowChange::Insert));
    changes
}

/// Whether a row of ours reads as it should. What northd compares as text must be canonical.
fn is_as_desired(nat: &Nat, row: &DesiredRow) -> bool {
    nat.kind == Some(NatKind::Snat)
        && nat.stateless == Some(false)
        && nat.external_ip_text() == row.external.to_string()
        && nat.logical_ip_text() == row.logical.to_string()
        && nat.external_port_range() == row.port_range.map(|r| r.to_string()).unwrap_or_default()
        && nat.gateway_port == row.gateway_port
        && nat.tags.get(ovn_model::keys::ROLE) == Some(Role::Egress.name())
}
