//! Drain rows: when an override is changed or withdrawn, connections that were made with its address continue only as
//! long as the router translates replies to that address back. A `snat` row for a logical address that no packet has
//! keeps only this translation.

#[cfg(test)]
mod tests;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use ovn_model::{Family, Nat, NatId, RouterId, RouterPortId, Store};
use uuid::Uuid;

use crate::change::RowChange;
use crate::forwards::{self, is_allowed};
use crate::northd::NatFlaw;
use crate::owned::Owned;
use crate::ownership::Role;
use crate::row::{DrainTags, OwnRow, Purpose};
use crate::rules::Rules;
use crate::{gateway, northd};

/// An override that ends or changes its address.
#[derive(Clone, Copy, Debug)]
pub struct Departure<'a> {
    /// The router.
    pub router: RouterId,
    /// The row in the database.
    pub nat: &'a Nat,
}

/// An external address on a router, and the gateway port by which connections with it leave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReplyPath {
    router: RouterId,
    external: IpAddr,
    /// An error where OVN ignores every row for it.
    gateway_port: Result<Option<RouterPortId>, NatFlaw>,
}

/// The drain rows of a port.
#[derive(Clone, Copy, Debug)]
pub struct Drains<'a> {
    /// The port.
    pub port: &'a Arc<str>,
    /// The rows.
    pub rows: &'a [Owned<'a>],
    /// The rows that stay although the network does not have their address at the moment.
    pub held: &'a [NatId],
}

/// The connections that a port has made with an address.
#[derive(Clone, Copy, Debug)]
pub struct Connections<'a> {
    /// The port.
    pub port: &'a Arc<str>,
    /// The router that translates them.
    pub router: RouterId,
    /// The internal address.
    pub internal: IpAddr,
    /// The external address.
    pub external: IpAddr,
}

/// Returns the changes of the drain rows of a port.
///
/// `staying` are the reply paths of its desired overrides: where one of them keeps the address at the same gateway port,
/// nothing has to be drained.
pub fn changes(
    store: &Store,
    rules: &Rules,
    Drains { port, rows, held }: Drains<'_>,
    departures: &[Departure<'_>],
    staying: &[ReplyPath],
    wall: u64,
) -> Vec<RowChange> {
    let mut changes = Vec::new();
    let mut wanted: Vec<OwnRow> = Vec::new();
    for Departure { router, nat } in departures {
        let (Some(external), Some(internal)) = (nat.external_ip(), nat.logical_host()) else { continue };
        let useful = !stays(staying, ReplyPath::current(store, *router, nat, external))
            && !wanted.iter().any(|row| row.external == external);
        let connections = Connections { port, router: *router, internal, external };
        if useful && !rules.drain.is_zero() && connections.may_continue(store, rules) {
            wanted.push(connections.row(store, rules, nat, None));
        }
    }
    for Owned { id, router, nat, .. } in rows {
        let begun = wanted.iter().position(|row| row.uuid == nat.uuid && row.router == *router);
        let kept = DrainTags::read(nat).zip(nat.external_ip()).filter(|(tags, external)| {
            wall < tags.until
                && !rules.drain.is_zero()
                && !stays(staying, ReplyPath::current(store, *router, nat, *external))
                && has_internal(store, port, tags.internal)
                && (held.contains(id) || has_external(store, rules, *router, *external))
        });
        match (begun, kept) {
            (Some(at), _) => changes.push(RowChange::Update(*id, wanted.swap_remove(at))),
            (None, Some((tags, external))) => {
                // No drain row lasts longer than one written now would, whatever the setting was when it was written.
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

fn stays(staying: &[ReplyPath], path: ReplyPath) -> bool {
    staying.iter().any(|other| other.carries_replies_of(path))
}

fn has_internal(store: &Store, port: &str, internal: IpAddr) -> bool {
    let row = store.port_by_name(port).and_then(|id| store.port(id));
    row.is_some_and(|row| northd::port_addresses(row, Family::from(internal)).contains(&internal))
}

/// Returns whether the network has an external address.
pub fn has_external(store: &Store, rules: &Rules, router: RouterId, external: IpAddr) -> bool {
    forwards::on_address(rules.network(store), router, external).next().is_some()
        || is_allowed(store, rules, router, external)
}

/// Returns an address that no packet has (RFC 1112 §4, RFC 6666), a different one for each row.
pub(crate) fn unused(uuid: Uuid, family: Family) -> IpAddr {
    let [a, b, c, d, rest @ ..] = *uuid.as_bytes();
    match family {
        Family::V4 => IpAddr::V4(Ipv4Addr::new(0xf0 | a & 0x0e, b, c, d)),
        Family::V6 => {
            let tail = [a, b, c, d, rest[0], rest[1], rest[2], rest[3]];
            IpAddr::V6(Ipv6Addr::from_bits((0x0100 << 112) | u128::from(u64::from_be_bytes(tail))))
        }
    }
}

/// Returns the next second after `wall` at which something is decided on a port's drain rows: one expires, or is no longer
/// too long for a setting that was reduced.
pub fn next_time(rules: &Rules, owned: &[Owned<'_>], wall: u64) -> Option<u64> {
    let drains = owned.iter().filter(|row| row.role == Some(Role::Drain));
    let ends = drains.filter_map(|row| Some(DrainTags::read(row.nat)?.until));
    let times = ends.flat_map(|until| [until, until.saturating_sub(rules.drain.as_secs())]);
    times.filter(|time| *time > wall).min()
}

// ===== impl ReplyPath =====

impl ReplyPath {
    /// Returns the reply path of a desired row.
    pub fn wanted(store: &Store, row: &OwnRow) -> Self {
        let OwnRow { router, external, gateway_port, .. } = *row;
        let gateway_port = northd::gateway_of(store, router, gateway_port, Some(external));
        Self { router, external, gateway_port }
    }

    /// Returns the reply path of a row in the database.
    pub fn current(store: &Store, router: RouterId, nat: &Nat, external: IpAddr) -> Self {
        let gateway_port = northd::gateway_of(store, router, nat.gateway_port, Some(external));
        Self { router, external, gateway_port }
    }

    /// Returns whether a row with this path translates the replies of the other one, too. Connections that no row
    /// translates are lost already.
    fn carries_replies_of(self, other: Self) -> bool {
        (self.router, self.external) == (other.router, other.external)
            && (self.gateway_port == other.gateway_port || other.gateway_port.is_err())
    }
}

// ===== impl Connections =====

impl Connections<'_> {
    /// Returns whether they may continue: the port still has the internal address, and the network the external one.
    pub fn may_continue(self, store: &Store, rules: &Rules) -> bool {
        has_internal(store, self.port, self.internal)
            && has_external(store, rules, self.router, self.external)
    }

    /// Returns the row that replaces the former one and lets them continue until a time.
    fn row(self, store: &Store, rules: &Rules, before: &Nat, until: Option<u64>) -> OwnRow {
        let Self { port, router, internal, external } = self;
        let router_uuid = store.router(router).map_or_else(Uuid::nil, |row| row.uuid);
        let uuid = rules.owner.row_uuid(Role::Drain, router_uuid, external, port);
        OwnRow {
            router,
            uuid,
            purpose: Purpose::Drain { port: Arc::clone(port), internal, until },
            external,
            logical: unused(uuid, Family::from(external)),
            port_range: None,
            // They continue where they were made; where that is not a gateway port any more, and no other is known, it
            // does not matter.
            gateway_port: gateway::named(store, router, before.gateway_port).or_else(|| {
                gateway::port(rules.network(store), router, external, &[internal], || None)
                    .unwrap_or(before.gateway_port)
            }),
            external_ips: None,
        }
    }
}
