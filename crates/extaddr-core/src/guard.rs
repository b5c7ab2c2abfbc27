//! Guards of transactions: the facts that a decision depends on, as `wait` operations (RFC 7047 §5.2.6) that fail at
//! once where a fact has changed.
//!
//! Only facts are quoted, never whole columns: a neighbour in the same set may change freely.

#[cfg(test)]
mod tests;

use std::net::IpAddr;

use ovn_model::{
    AddressSet, Attachment, ElementKind, Group, GroupId, LoadBalancer, LoadBalancerId, Nat, NatId, Port,
    PortAddresses, PortId, Router, RouterId, Store, Switch, SwitchId, keys,
};
use ovsdb_protocol::{Condition, Datum, Field, Row, Table, Transaction, TypedCondition, Until, Uuid};

use crate::change::RowChange;
use crate::forwards::{self, Forward};
use crate::network::Network;
use crate::northd;
use crate::resolve::Decision;
use crate::row::OwnRow;

/// One fact. Many ports of a batch depend on the same facts, which are checked once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Guard {
    /// The intent of the port is unchanged.
    Intent(PortId, ovn_model::Family),
    /// The port has the internal address.
    Internal(PortId, IpAddr),
    /// The switch has the port.
    Switch(SwitchId, PortId),
    /// The router has the load balancer.
    Balancer(RouterId, LoadBalancerId),
    /// The router has the group.
    Group(RouterId, GroupId),
    /// The group has the load balancer.
    Member(GroupId, LoadBalancerId),
    /// The balancer has the VIP on this address, with a port or without.
    Vip(LoadBalancerId, IpAddr, Option<u16>),
    /// The router has the row.
    Row(RouterId, NatId),
    /// The forward of the row is unchanged.
    Forward(NatId),
    /// The balancer has no VIP but this one.
    Alone(LoadBalancerId),
}

/// Returns the facts that a row to be written depends on.
pub fn for_row(network: Network<'_, '_>, id: PortId, decision: &Decision, row: &OwnRow) -> Vec<Guard> {
    let store = network.store;
    let mut guards = vec![Guard::Intent(id, decision.family), Guard::Internal(id, row.logical)];
    guards.extend(store.port(id).and_then(|port| port.switch).map(|switch| Guard::Switch(switch, id)));
    // One forward of the address is enough; the one that leads to this port is the least likely to be removed.
    let leads_here = |forward: &Forward<'_>| forward.targets().any(|target| target == row.logical);
    let forwards: Vec<_> = forwards::on_address(network, row.router, row.external).collect();
    match forwards.iter().find(|f| leads_here(f)).or_else(|| forwards.first()) {
        Some(Forward::Vip(balancer, vip)) => {
            guards.push(Guard::Vip(*balancer, vip.endpoint.address, vip.endpoint.port.map(Into::into)));
            match store.attachment(row.router, *balancer) {
                Some(Attachment::Group(group)) => {
                    guards.extend([Guard::Group(row.router, group), Guard::Member(group, *balancer)]);
                }
                _ => guards.push(Guard::Balancer(row.router, *balancer)),
            }
        }
        Some(Forward::Converted(nat, _)) => guards.push(Guard::Row(row.router, *nat)),
        Some(Forward::Nat(nat, _)) => guards.extend([Guard::Row(row.router, *nat), Guard::Forward(*nat)]),
        None => {}
    }
    guards
}

/// Returns the facts that a change of foreign rows depends on.
pub fn of_conversion(change: &RowChange, address: IpAddr) -> Vec<Guard> {
    match change {
        RowChange::Detach(router, balancer) => {
            vec![Guard::Balancer(*router, *balancer), Guard::Alone(*balancer)]
        }
        RowChange::RemoveVip(balancer, ..) => vec![Guard::Vip(*balancer, address, None)],
        _ => Vec::new(),
    }
}

/// Adds these facts to a transaction, as one operation for each row concerned: an operation costs the server as much as
/// a dozen conditions. A fact about a row that the store does not have any more is omitted, since the decision is about
/// to change.
pub fn require(store: &Store, guards: impl IntoIterator<Item = Guard>, transaction: &mut Transaction) {
    let mut facts: Vec<Fact<'_>> = Vec::new();
    for fact in guards.into_iter().filter_map(|guard| guard.fact(store)) {
        match facts.iter_mut().find(|known| (known.table, known.uuid) == (fact.table, fact.uuid)) {
            Some(known) => known.conditions.extend(fact.conditions),
            None => facts.push(fact),
        }
    }
    for Fact { table, uuid, conditions, anchor: (column, value) } in facts {
        let conditions = [Condition::uuid(uuid)].into_iter().chain(conditions);
        let expected = Row::new().with(column, Datum::scalar(value));
        transaction.require(table, conditions, [column], Until::Equal, [expected]);
    }
}

/// The facts about a row.
struct Fact<'a> {
    table: &'static str,
    uuid: Uuid,
    conditions: Vec<Condition>,
    /// A column and its value, which the row has exactly if all conditions hold.
    anchor: (&'static str, &'a str),
}

impl<'a> Fact<'a> {
    /// Returns a fact with one condition on a row that has a name.
    fn named<T: Table, V>(
        uuid: Uuid,
        name: &'a str,
        column: Field<T, V>,
        condition: TypedCondition<T>,
    ) -> Self {
        let anchor = (column.name(), name);
        Fact { table: T::TABLE.name, uuid, conditions: vec![condition.into()], anchor }
    }
}

impl Guard {
    fn fact(self, store: &Store) -> Option<Fact<'_>> {
        let includes = |row: &Uuid| Datum::scalar(*row);
        Some(match self {
            Self::Intent(port, family) => {
                let row = store.port(port)?;
                let condition = keys::port_field(family).eq(row.external(family)?);
                Fact::named(row.uuid, &row.name, Port::COLUMNS.name, condition)
            }
            Self::Internal(port, address) => {
                let row = store.port(port)?;
                Fact::named(row.uuid, &row.name, Port::COLUMNS.name, assigns(row, address)?)
            }
            Self::Switch(switch, port) => {
                let (row, port) = (store.switch(switch)?, store.port(port)?);
                let has = Switch::COLUMNS.ports.includes(includes(&port.uuid));
                Fact::named(row.uuid, &row.name, Switch::COLUMNS.name, has)
            }
            Self::Balancer(router, balancer) => {
                let (row, balancer) = (store.router(router)?, store.load_balancer(balancer)?);
                let has = Router::COLUMNS.load_balancers.includes(includes(&balancer.uuid));
                Fact::named(row.uuid, &row.name, Router::COLUMNS.name, has)
            }
            Self::Group(router, group) => {
                let (row, group) = (store.router(router)?, store.group(group)?);
                let has = Router::COLUMNS.groups.includes(includes(&group.uuid));
                Fact::named(row.uuid, &row.name, Router::COLUMNS.name, has)
            }
            Self::Member(group, balancer) => {
                let (row, balancer) = (store.group(group)?, store.load_balancer(balancer)?);
                let has = Group::COLUMNS.load_balancers.includes(includes(&balancer.uuid));
                Fact::named(row.uuid, &row.name, Group::COLUMNS.name, has)
            }
            Self::Vip(balancer, address, port) => {
                let row = store.load_balancer(balancer)?;
                let mut vips = row.vips.on(address).iter().filter(|vip| northd::uses_vip(row, vip));
                let vip = vips.find(|vip| vip.endpoint.port.map(u16::from) == port)?;
                let has = LoadBalancer::COLUMNS.vips.includes(Datum::map([(&*vip.key(), &*vip.value())]));
                Fact::named(row.uuid, &row.name, LoadBalancer::COLUMNS.name, has)
            }
            Self::Row(router, nat) => {
                let (row, nat) = (store.router(router)?, store.nat(nat)?);
                let has = Router::COLUMNS.nats.includes(includes(&nat.uuid));
                Fact::named(row.uuid, &row.name, Router::COLUMNS.name, has)
            }
            Self::Alone(balancer) => {
                let row = store.load_balancer(balancer)?;
                let pairs = row.vips.iter().map(|vip| (vip.key().into_owned(), vip.value().into_owned()));
                let exactly = LoadBalancer::COLUMNS.vips.eq(Datum::map(pairs));
                Fact::named(row.uuid, &row.name, LoadBalancer::COLUMNS.name, exactly)
            }
            Self::Forward(nat) => {
                let row = store.nat(nat)?;
                let conditions = vec![
                    Nat::COLUMNS.external_ip.eq(row.external_ip_text()).into(),
                    Nat::COLUMNS.logical_ip.eq(row.logical_ip_text()).into(),
                ];
                let anchor = (Nat::COLUMNS.kind.name(), row.kind?.as_str());
                Fact { table: Nat::TABLE.name, uuid: row.uuid, conditions, anchor }
            }
        })
    }
}

/// Quotes the element that gives the port its address. An element that only requests an allocation does not.
fn assigns(port: &Port, address: IpAddr) -> Option<TypedCondition<Port>> {
    let element = |set: AddressSet<'_>| {
        let mut assigning = set.iter().filter(|element| element.kind() == ElementKind::Static);
        assigning
            .find(|element| element.addresses().any(|other| other == address))
            .map(|e| e.text().into_owned())
    };
    Some(match element(port.addresses()) {
        Some(text) => PortAddresses::ADDRESSES.includes(Datum::scalar(text)),
        None => PortAddresses::DYNAMIC_ADDRESSES.includes(Datum::scalar(element(port.dynamic_addresses())?)),
    })
}
