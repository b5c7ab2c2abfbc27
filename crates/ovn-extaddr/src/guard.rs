//! What must still be so when a transaction executes: the facts that a decision rests on, as `wait`
//! operations (RFC 7047 §5.2.6) that fail at once where a fact has changed.
//!
//! Only facts are quoted, never whole columns: a neighbour in the same set may change freely.

use std::net::IpAddr;

use ovn_model::{
    AddressSet, Attachment, ElementKind, GroupId, LoadBalancerId, NatId, Port, PortId, RouterId, Store,
    SwitchId, keys,
};
use ovsdb_protocol::{Condition, Datum, Row, Transaction, Until, Uuid};

use crate::forwards::{self, Forward};
use crate::northd;
use crate::ownership::Owner;
use crate::plan::RowChange;
use crate::resolve::Decision;
use crate::row::OwnRow;

/// One fact. Many ports of a batch rest on the same ones, which are checked once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Guard {
    /// The port asks for what it asked for.
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
    /// The row forwards what it forwarded.
    Forward(NatId),
    /// The balancer has no VIP but this one.
    Alone(LoadBalancerId),
}

/// Returns the facts that a row to be written rests on.
pub fn of(store: &Store, owner: &Owner, id: PortId, decision: &Decision, row: &OwnRow) -> Vec<Guard> {
    let mut guards = vec![Guard::Intent(id, decision.family), Guard::Internal(id, row.logical)];
    guards.extend(store.port(id).and_then(|port| port.switch).map(|switch| Guard::Switch(switch, id)));
    // One forward of the address is enough; that which leads here is the least likely to go.
    let leads_here = |forward: &Forward<'_>| forward.targets().any(|target| target == row.logical);
    let forwards: Vec<_> = forwards::at(store, owner, row.router, row.external).collect();
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

/// Returns the facts that a change of somebody else's rows rests on.
pub fn of_conversion(change: &RowChange, address: IpAddr) -> Vec<Guard> {
    match change {
        RowChange::Detach(router, balancer) => {
            vec![Guard::Balancer(*router, *balancer), Guard::Alone(*balancer)]
        }
        RowChange::RemoveVip(balancer, ..) => vec![Guard::Vip(*balancer, address, None)],
        _ => Vec::new(),
    }
}

/// Requires all of these facts of a transaction, by one operation for each row that they are about: every operation
/// costs the server as much as a dozen conditions. A fact about a row that is gone from the store is left out; the
/// decision is about to change anyway.
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

/// What is so of a row.
struct Fact<'a> {
    table: &'static str,
    uuid: Uuid,
    conditions: Vec<Condition>,
    /// A column and its value, which is there just if all conditions hold.
    anchor: (&'static str, &'a str),
}

impl Guard {
    fn fact(self, store: &Store) -> Option<Fact<'_>> {
        let has = |column: &str, uuid: Uuid| vec![Condition::includes(column, Datum::scalar(uuid))];
        let is = |column: &str, text: &str| Condition::eq(column, Datum::scalar(text));
        let (table, uuid, conditions, name) = match self {
            Self::Intent(port, family) => {
                let row = store.port(port)?;
                let wish = Datum::map([(keys::port_key(family), row.external(family)?)]);
                let includes = Condition::includes("external_ids", wish);
                ("Logical_Switch_Port", row.uuid, vec![includes], &*row.name)
            }
            Self::Internal(port, address) => {
                let row = store.port(port)?;
                ("Logical_Switch_Port", row.uuid, vec![assigns(row, address)?], &*row.name)
            }
            Self::Switch(switch, port) => {
                let row = store.switch(switch)?;
                ("Logical_Switch", row.uuid, has("ports", store.port(port)?.uuid), &*row.name)
            }
            Self::Balancer(router, balancer) => {
                let (row, balancer) = (store.router(router)?, store.load_balancer(balancer)?);
                ("Logical_Router", row.uuid, has("load_balancer", balancer.uuid), &*row.name)
            }
            Self::Group(router, group) => {
                let (row, group) = (store.router(router)?, store.group(group)?);
                ("Logical_Router", row.uuid, has("load_balancer_group", group.uuid), &*row.name)
            }
            Self::Member(group, balancer) => {
                let (row, balancer) = (store.group(group)?, store.load_balancer(balancer)?);
                ("Load_Balancer_Group", row.uuid, has("load_balancer", balancer.uuid), &*row.name)
            }
            Self::Vip(balancer, address, port) => {
                let row = store.load_balancer(balancer)?;
                let mut vips = row.vips_on(address).iter().filter(|vip| northd::vip_flaw(vip).is_none());
                let vip = vips.find(|vip| vip.endpoint.port.map(u16::from) == port)?;
                let pair = Datum::map([(&*vip.key(), &*vip.value())]);
                ("Load_Balancer", row.uuid, vec![Condition::includes("vips", pair)], &*row.name)
            }
            Self::Row(router, nat) => {
                let (row, nat) = (store.router(router)?, store.nat(nat)?);
                ("Logical_Router", row.uuid, has("nat", nat.uuid), &*row.name)
            }
            Self::Alone(balancer) => {
                let row = store.load_balancer(balancer)?;
                let pairs = row.vips.iter().map(|vip| (vip.key().into_owned(), vip.value().into_owned()));
                let exactly = Condition::eq("vips", Datum::map(pairs));
                ("Load_Balancer", row.uuid, vec![exactly], &*row.name)
            }
            Self::Forward(nat) => {
                let row = store.nat(nat)?;
                let [external, logical] = [row.external_ip_text(), row.logical_ip_text()];
                let conditions = vec![is("external_ip", &external), is("logical_ip", &logical)];
                let anchor = ("type", row.kind?.as_str());
                return Some(Fact { table: "NAT", uuid: row.uuid, conditions, anchor });
            }
        };
        Some(Fact { table, uuid, conditions, anchor: ("name", name) })
    }
}

/// Quotes the element that gives the port its address. One that only asks for it does not.
fn assigns(port: &Port, address: IpAddr) -> Option<Condition> {
    let element = |set: &AddressSet| {
        let mut assigning = set.iter().filter(|element| element.kind() == ElementKind::Static);
        assigning.find(|element| element.addresses().any(|a| a == address)).map(|e| e.text().into_owned())
    };
    let (column, text) = match element(&port.addresses) {
        Some(text) => ("addresses", text),
        None => ("dynamic_addresses", element(&port.dynamic_addresses)?),
    };
    Some(Condition::includes(column, Datum::scalar(text)))
}
