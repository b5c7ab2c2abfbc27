//! The rows that an owner has in the database.

use ovn_model::{Nat, NatId, RouterId};

use crate::network::Network;
use crate::ownership::Role;

/// One of our rows, on its router.
#[derive(Clone, Copy, Debug)]
pub struct Owned<'a> {
    /// Its handle.
    pub id: NatId,
    /// The router.
    pub router: RouterId,
    /// The row.
    pub nat: &'a Nat,
    /// Its role, if it is known here.
    pub role: Option<Role>,
}

/// Returns our rows for a port, with their routers. The server deletes a row that no router refers to with the next
/// commit.
pub fn owned<'a>(network: Network<'a, '_>, port: &str) -> Vec<Owned<'a>> {
    owned_among(network, port, &network.store.nats_tagged(port))
}

/// Returns the same where the rows tagged with the port are known.
pub fn owned_among<'a>(network: Network<'a, '_>, port: &str, tagged: &[NatId]) -> Vec<Owned<'a>> {
    let Network { store, owner } = network;
    let rows = tagged.iter().filter_map(|id| {
        let nat = store.nat(*id)?;
        // Nearly all rows are overrides, and this check is cheap.
        let is_override = owner.is_override_of(nat, port);
        let role = if is_override { Some(Role::Egress) } else { owner.role_if_owned(nat)? };
        Some(Owned { id: *id, role, router: nat.router?, nat })
    });
    // The row of a conversion is for an address and has no port.
    rows.filter(|row| row.role != Some(Role::DefaultTarget) || !port.is_empty()).collect()
}
