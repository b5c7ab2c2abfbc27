//! NAT rows of routers, and the names of these.

use ovn_model::{Nat, RouterId, Store};

/// Returns the name of a router.
pub(super) fn name(store: &Store, router: RouterId) -> String {
    store.router(router).map_or_else(String::new, |row| row.name.to_string())
}

/// Returns the NAT rows of routers.
pub(super) fn rows(store: &Store) -> impl Iterator<Item = (RouterId, &Nat)> {
    store.nats().filter_map(|(_, nat)| Some((nat.router?, nat)))
}

/// Returns whether a row belongs to no agent.
pub(super) fn is_foreign(nat: &Nat) -> bool {
    nat.tags.get(ovn_model::keys::OWNER).is_none()
}
