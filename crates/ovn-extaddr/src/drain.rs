//! Drain rows: when an override is changed or withdrawn, connections that were made with its
//! address live on only as long as the router translates replies to that address back. A `snat` row
//! for a logical address that no packet has keeps just that.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use ovn_model::{Family, Nat, RouterId, Store};
use uuid::Uuid;

use crate::forwards;
use crate::ownership::Role;
use crate::plan::{Owned, RowChange};
use crate::resolve::is_allowed;
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

/// Returns what has to change about `drains`, the drain rows of a port.
///
/// `staying` are the router and address of its overrides as they should be: where one of them keeps
/// the address, nothing has to be drained.
pub fn changes(
    store: &Store,
    rules: &Rules,
    port: &Arc<str>,
    drains: &[Owned<'_>],
    departures: &[Departure<'_>],
    staying: &[(RouterId, IpAddr)],
    wall: u64,
) -> Vec<RowChange> {
    let mut changes = Vec::new();
    let mut wanted: Vec<OwnRow> = Vec::new();
    for Departure { router, nat } in departures {
        let (Some(external), Some(internal)) = (nat.external_ip, nat.logical_host()) else { continue };
        let useful =
            !staying.contains(&(*router, external)) && !wanted.iter().any(|row| row.external == external);
        if useful && !rules.drain.is_zero() && is_valid(store, rules, port, *router, external, internal) {
            wanted.push(row(store, rules, port, *router, external, internal, nat));
        }
    }
    for (id, router, nat) in drains {
        let anew = wanted.iter().position(|row| row.uuid == nat.uuid && row.router == *router);
        let kept = DrainTags::read(nat).zip(nat.external_ip).filter(|(tags, external)| {
            wall < tags.until
                && !rules.drain.is_zero()
                && !staying.contains(&(*router, *external))
                && is_valid(store, rules, port, *router, *external, tags.internal)
        });
        match (anew, kept) {
            (Some(at), _) => changes.push(RowChange::Update(*id, wanted.swap_remove(at))),
            // Nothing takes longer than it would from now on, whatever was said when it began.
            (None, Some((tags, external))) if tags.until > wall.saturating_add(rules.drain.as_secs()) => {
                let row = row(store, rules, port, *router, external, tags.internal, nat);
                changes.push(RowChange::Update(*id, row));
            }
            (None, Some(_)) => {}
            (None, None) => changes.push(RowChange::Delete(*id, *router)),
        }
    }
    changes.extend(wanted.into_iter().map(RowChange::Insert));
    changes
}

/// Whether connections of the port with that address may go on: it is the port's internal address
/// still, and still the network's external one.
fn is_valid(
    store: &Store,
    rules: &Rules,
    port: &str,
    router: RouterId,
    external: IpAddr,
    internal: IpAddr,
) -> bool {
    let row = store.port_by_name(port).and_then(|id| store.port(id));
    let has = row.is_some_and(|row| row.internal_addresses(Family::of(internal)).contains(&internal));
    has && (forwards::at(store, &rules.owner, router, external).next().is_some()
        || is_allowed(store, rules, router, external))
}

fn row(
    store: &Store,
    rules: &Rules,
    port: &Arc<str>,
    router: RouterId,
    external: IpAddr,
    internal: IpAddr,
    nat: &Nat,
) -> OwnRow {
    let router_uuid = store.router(router).map_or_else(Uuid::nil, |row| row.uuid);
    let uuid = rules.owner.row_uuid(Role::Drain, router_uuid, external, port);
    OwnRow {
        router,
        uuid,
        purpose: Purpose::Drain { port: Arc::clone(port), internal, until: None },
        external,
        logical: unused(uuid, Family::of(external)),
        port_range: None,
        gateway_port: nat.gateway_port,
    }
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
pub fn ends(rules: &Rules, owned: &[Owned<'_>], wall: u64) -> Option<u64> {
    let drains = owned.iter().filter(|(_, _, nat)| rules.owner.role(nat) == Some(Role::Drain));
    drains.filter_map(|(_, _, nat)| Some(DrainTags::read(nat)?.until)).filter(|until| *until > wall).min()
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
