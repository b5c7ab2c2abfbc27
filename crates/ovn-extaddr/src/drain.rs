//! Drain rows: when an override is changed or withdrawn, connections that were made with its
//! address live on only as long as the router translates replies to that address back. A `snat` row
//! for a logical address that no packet has keeps just that.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use ovn_model::{Family, Nat, RouterId, Store};
use uuid::Uuid;

use crate::forwards::{self, is_allowed};
use crate::gateway;
use crate::ownership::Role;
use crate::plan::{Owned, RowChange, Wanted};
use crate::row::{DrainTags, OwnRow, Purpose};
use crate::rules::Rules;

/// An override that ends or changes its address.
#[derive(Clone, Copy, Debug)]
pub struct Departure<'a> {
    /// The router.
    pub router: RouterId,
    /// The row as it is.
    pub nat: &'a Nat,
}

/// The connections that a port has made with an address.
#[derive(Clone, Copy, Debug)]
pub struct Connections<'a> {
    /// The port.
    pub port: &'a Arc<str>,
    /// The router that translates them.
    pub router: RouterId,
    /// The address inside.
    pub internal: IpAddr,
    /// The address outside.
    pub external: IpAddr,
}

/// Returns what has to change about `drains`, the drain rows of a port, of which those that are held stay though the
/// network does not have their address at the moment.
///
/// `staying` are the router and address of its overrides as they should be: where one of them keeps
/// the address, nothing has to be drained.
pub fn changes(
    store: &Store,
    rules: &Rules,
    Wanted { port, held, .. }: Wanted<'_>,
    drains: &[Owned<'_>],
    departures: &[Departure<'_>],
    staying: &[(RouterId, IpAddr)],
    wall: u64,
) -> Vec<RowChange> {
    let mut changes = Vec::new();
    let mut wanted: Vec<OwnRow> = Vec::new();
    for Departure { router, nat } in departures {
        let (Some(external), Some(internal)) = (nat.external_ip(), nat.logical_host()) else { continue };
        let useful =
            !staying.contains(&(*router, external)) && !wanted.iter().any(|row| row.external == external);
        let connections = Connections { port, router: *router, internal, external };
        if useful && !rules.drain.is_zero() && connections.may_go_on(store, rules) {
            wanted.push(connections.row(store, rules, nat, None));
        }
    }
    for Owned { id, router, nat, .. } in drains {
        let anew = wanted.iter().position(|row| row.uuid == nat.uuid && row.router == *router);
        let kept = DrainTags::read(nat).zip(nat.external_ip()).filter(|(tags, external)| {
            wall < tags.until
                && !rules.drain.is_zero()
                && !staying.contains(&(*router, *external))
                && has_internal(store, port, tags.internal)
                && (held.contains(id) || has_external(store, rules, *router, *external))
        });
        match (anew, kept) {
            (Some(at), _) => changes.push(RowChange::Update(*id, wanted.swap_remove(at))),
            (None, Some((tags, external))) => {
                // Nothing takes longer than it would from now on, whatever was said when it began.
                let latest = wall.saturating_add(rules.drain.as_secs());
                let until = Some(tags.until).filter(|until| *until <= latest);
                let connections = Connections { port, router: *router, internal: tags.internal, external };
                let row = connections.row(store, rules, nat, until);
                if !row.is_written_in(nat, &rules.owner) {
                    changes.push(RowChange::Update(*id, row));
                }
            }
            (None, None) => changes.push(RowChange::Delete(*id, *router)),
        }
    }
    changes.extend(wanted.into_iter().map(RowChange::Insert));
    changes
}

fn has_internal(store: &Store, port: &str, internal: IpAddr) -> bool {
    let row = store.port_by_name(port).and_then(|id| store.port(id));
    row.is_some_and(|row| row.internal_addresses(Family::of(internal)).contains(&internal))
}

/// Whether the network has an external address.
pub fn has_external(store: &Store, rules: &Rules, router: RouterId, external: IpAddr) -> bool {
    forwards::at(store, &rules.owner, router, external).next().is_some()
        || is_allowed(store, rules, router, external)
}

/// Returns an address that no packet has (RFC 1112 §4, RFC 6666), another for each row.
fn unused(uuid: Uuid, family: Family) -> IpAddr {
    let [a, b, c, d, rest @ ..] = *uuid.as_bytes();
    match family {
        Family::V4 => IpAddr::V4(Ipv4Addr::new(0xf0 | a & 0x0e, b, c, d)),
        Family::V6 => {
            let tail = [a, b, c, d, rest[0], rest[1], rest[2], rest[3]];
            IpAddr::V6(Ipv6Addr::from_bits((0x0100 << 112) | u128::from(u64::from_be_bytes(tail))))
        }
    }
}

/// Returns the second after `wall` at which the first of a port's drain rows goes.
pub fn ends(owned: &[Owned<'_>], wall: u64) -> Option<u64> {
    let drains = owned.iter().filter(|row| row.role == Some(Role::Drain));
    drains.filter_map(|row| Some(DrainTags::read(row.nat)?.until)).filter(|until| *until > wall).min()
}

// ===== impl Connections =====

impl Connections<'_> {
    /// Whether they may go on: the internal address is the port's still, and the external one the network's.
    pub fn may_go_on(self, store: &Store, rules: &Rules) -> bool {
        has_internal(store, self.port, self.internal)
            && has_external(store, rules, self.router, self.external)
    }

    /// Returns the row that lets them go on until a time, in the place of the row that was there before.
    fn row(self, store: &Store, rules: &Rules, before: &Nat, until: Option<u64>) -> OwnRow {
        let Self { port, router, internal, external } = self;
        let router_uuid = store.router(router).map_or_else(Uuid::nil, |row| row.uuid);
        let uuid = rules.owner.row_uuid(Role::Drain, router_uuid, external, port);
        OwnRow {
            router,
            uuid,
            purpose: Purpose::Drain { port: Arc::clone(port), internal, until },
            external,
            logical: unused(uuid, Family::of(external)),
            port_range: None,
            // Where nothing tells any more, what it was.
            gateway_port: gateway::port(store, &rules.owner, router, external).unwrap_or(before.gateway_port),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_packet_has_the_address_of_a_drain_row() {
        for n in 0..1000 {
            let uuid = Uuid::new_v5(&Uuid::NAMESPACE_OID, &[n as u8, (n >> 8) as u8]);
            let IpAddr::V4(v4) = unused(uuid, Family::V4) else { panic!() };
            assert!(v4.octets()[0] >= 240 && !v4.is_broadcast());
            let IpAddr::V6(v6) = unused(uuid, Family::V6) else { panic!() };
            assert_eq!(v6.segments()[..4], [0x100, 0, 0, 0]);
        }
    }
}
