//! Dependents of rows: the changes to report, from the former and the present content of a row.

use std::sync::Arc;

use ovsdb_protocol::{AtomicType, ColumnGroup, ColumnKind, Table};

use super::Network;
use super::row::{Edit, Row};
use crate::change::{Change, Node, Recorder};
use crate::kept::Kept;
use crate::prefix::is_host;
use crate::tables::{Group, LoadBalancer, Nat, NbGlobal, Port, PortKind, Router, RouterPort, Switch};
use crate::vip::Vips;

/// The dependents of the rows of a type: one function for each table.
pub(crate) trait Recorded: Row {
    /// Records the dependents of a changed row.
    fn record(network: Network<'_>, edit: &Edit<'_, Self>, recorder: &mut Recorder);
}

/// Returns true if two rows differ in more than the rows that they refer to, which are reported separately.
fn differs_itself<R: Row>(edit: &Edit<'_, R>) -> bool {
    let is_reference = |column: usize| R::TABLE.columns[column].kind == ColumnKind::Set(AtomicType::Uuid);
    match (edit.old, edit.new) {
        (Some(old), Some(new)) => old.changed(new).iter().any(|column| !is_reference(column)),
        (old, new) => old.is_some() != new.is_some(),
    }
}

impl Recorded for Switch {
    fn record(_: Network<'_>, edit: &Edit<'_, Self>, recorder: &mut Recorder) {
        if differs_itself(edit) {
            recorder.note(Change::Topology(Node::Switch(edit.id)));
        }
    }
}

impl Recorded for Port {
    fn record(network: Network<'_>, edit: &Edit<'_, Self>, recorder: &mut Recorder) {
        let is_joined_otherwise = edit.old.zip(edit.new).is_none_or(|(old, new)| !joins_alike(old, new));
        for port in edit.rows() {
            recorder.note(Change::Port(port.name.clone()));
            match port.kind {
                PortKind::Router if is_joined_otherwise => {
                    recorder.topology(port.switch.map(Node::Switch));
                    if let Some(name) = port.leads_to() {
                        network.note_routers(network.router_ports_named(name), recorder);
                    }
                }
                PortKind::Switch if is_joined_otherwise => {
                    recorder.topology(port.switch.map(Node::Switch));
                    for peer in network.indexes.switch_peers.get(&*port.name) {
                        recorder.topology(network.slabs.ports.slot(*peer).switch.map(Node::Switch));
                    }
                }
                PortKind::Virtual => {
                    port.virtual_parents().for_each(|parent| recorder.note(Change::Port(parent.into())));
                }
                kind if kind.is_instance() => network.note_rivals(edit.id, port, recorder),
                _ => {}
            }
        }
    }
}

/// Returns true if two versions of a port join their switch with the same routers and switches.
fn joins_alike(old: &Port, new: &Port) -> bool {
    let ends = |port: &'_ Port| (port.kind, port.switch, port.is_disabled());
    // Only ports of type `switch` are identified by their names there.
    let is_renamed = || new.kind == PortKind::Switch && old.name != new.name;
    ends(old) == ends(new)
        && old.leads_to() == new.leads_to()
        && old.switch_peer() == new.switch_peer()
        && !is_renamed()
}

impl Recorded for Router {
    fn record(_: Network<'_>, edit: &Edit<'_, Self>, recorder: &mut Recorder) {
        if differs_itself(edit) {
            recorder.note(Change::Topology(Node::Router(edit.id)));
        }
    }
}

impl Recorded for RouterPort {
    /// Records the router, the switches and routers whose ports name this one, and those it names.
    fn record(network: Network<'_>, edit: &Edit<'_, Self>, recorder: &mut Recorder) {
        // The chassis that a gateway port is bound to does not matter.
        let chassis = [Self::COLUMNS.gateway_chassis.name(), Self::COLUMNS.ha_chassis_group.name()];
        let is_seen = |old: &Self, new: &Self| {
            let mut columns = old.changed(new).iter().map(|column| Self::TABLE.columns[column].name);
            columns.any(|column| !chassis.contains(&column))
                || old.is_gateway() != new.is_gateway()
                || old.router != new.router
        };
        if edit.old.zip(edit.new).is_some_and(|(old, new)| !is_seen(old, new)) {
            return;
        }
        for port in edit.rows() {
            recorder.topology(port.router.map(Node::Router));
            for switch_port in network.indexes.leading.get(&*port.name) {
                recorder.topology(network.slabs.ports.slot(*switch_port).switch.map(Node::Switch));
            }
            let naming = network.indexes.peers.get(&*port.name).iter().copied();
            let named = port.peer.iter().flat_map(|peer| network.router_ports_named(peer));
            network.note_routers(naming.chain(named).chain([edit.id]), recorder);
        }
    }
}

impl Recorded for LoadBalancer {
    fn record(network: Network<'_>, edit: &Edit<'_, Self>, recorder: &mut Recorder) {
        for balancer in edit.rows() {
            recorder.note(Change::Balancer(balancer.uuid));
        }
        let routers = network.routers_of(edit.id);
        let is_other = edit.old.zip(edit.new).is_none_or(|(old, new)| {
            let mut columns = old.changed(new).iter().map(|column| Self::TABLE.columns[column].name);
            columns.any(|column| column != Self::COLUMNS.vips.name())
        });
        let [before, after] =
            edit.map(|balancer| Some(&balancer.vips)).map(|vips| vips.unwrap_or(Vips::EMPTY));
        let (from, to) = if is_other { (Vips::EMPTY, Vips::EMPTY) } else { (before, after) };
        // A changed VIP is reported with its former and its present value.
        let changed = before.without(to).chain(after.without(from));
        network.note_vips(&routers, changed, recorder);
    }
}

impl Recorded for Group {
    fn record(_: Network<'_>, _: &Edit<'_, Self>, _: &mut Recorder) {}
}

impl Recorded for NbGlobal {
    fn record(_: Network<'_>, edit: &Edit<'_, Self>, recorder: &mut Recorder) {
        let nothing = Kept::default();
        let [old, new] = edit.map(|row| Some(&row.kept)).map(|kept| kept.unwrap_or(&nothing));
        old.differing(new).for_each(|port| recorder.note(Change::Port(Arc::from(port))));
    }
}

impl Recorded for Nat {
    fn record(network: Network<'_>, edit: &Edit<'_, Self>, recorder: &mut Recorder) {
        for nat in edit.rows() {
            if let Some(router) = nat.router {
                if let Some(address) = nat.external_ip() {
                    // Whether the router consumes packets for its own address affects everyone.
                    let is_of_host = nat.is_host_snat() && !network.is_own(router, address);
                    recorder.note(match is_of_host {
                        true => Change::HostSnat { router, address },
                        false => Change::Address { router, address },
                    });
                }
                if let Some(address) = nat.logical_host() {
                    recorder.note(Change::Address { router, address });
                }
                // A row for a whole network, on either side, affects everyone in it.
                let is_network = nat.logical_ip().is_some_and(|network| !is_host(&network));
                if is_network || nat.external_network().is_some() {
                    recorder.note(Change::Topology(Node::Router(router)));
                }
            }
            if let Some(name) = nat.tagged() {
                recorder.note(Change::Tagged(network.port_name(name)));
            }
        }
    }
}
