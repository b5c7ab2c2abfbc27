//! The routers by which an instance's traffic can reach the outside.

use std::collections::{BTreeSet, VecDeque};
use std::net::IpAddr;

use ovn_model::{Node, Port, PortId, RouterId, RouterPort, RouterPortId, Store, SwitchId};
use uuid::Uuid;

/// The maximum number of routers between an instance and the outside. OVN-Kubernetes needs two and a distributed router
/// behind another one three; the bound stops loops of peerings.
const MAX_HOPS: u8 = 4;

/// The routers that can be reached from a switch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reach {
    /// The routers and how many routers away they are, the nearest first.
    pub routers: Vec<(RouterId, u8)>,
    /// Those of them to which only disabled ports lead, and the first such port on the way.
    pub cut_off: Vec<(RouterId, DisabledPort)>,
    /// All switches and routers that were visited: a change of any other has no effect here.
    pub visited: BTreeSet<Node>,
}

/// A port that OVN does not let packets through: `enabled` is false (northd/northd.c, `build_lswitch_port_sec_op` for
/// switch ports, `build_adm_ctrl_flows_for_lrouter_port` and `build_egress_delivery_flows_for_lrouter_port` for router
/// ports).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DisabledPort {
    /// A switch port.
    Switch(PortId),
    /// A router port.
    Router(RouterPortId),
}

/// Walks from a switch over routers, peerings and further switches.
///
/// The walk ends at a gateway router: behind it is the outside, where the routers of all tenants meet. It does not
/// enter a router by a gateway port, from an instance that is outside already. It ends at a disabled router, too.
pub fn reach(store: &Store, from: SwitchId) -> Reach {
    let mut walk = Walk { store, visited: BTreeSet::new(), is_cut: false };
    let mut routers = walk.routers(from, false);
    let mut cut_off = Vec::new();
    if walk.is_cut {
        for (router, hops, cut) in walk.routers(from, true) {
            if let (Some(cut), false) = (cut, routers.iter().any(|(other, ..)| *other == router)) {
                cut_off.push((router, cut));
                routers.push((router, hops, None));
            }
        }
    }
    let mut routers: Vec<_> = routers.into_iter().map(|(router, hops, _)| (router, hops)).collect();
    routers.sort_by_key(|(router, hops)| (*hops, *router));
    Reach { routers, cut_off, visited: walk.visited }
}

/// A walk through the network.
struct Walk<'a> {
    store: &'a Store,
    visited: BTreeSet<Node>,
    /// Whether a disabled port was found.
    is_cut: bool,
}

/// A step from a node to the next one.
struct Step {
    to: Node,
    /// The disabled port that it leads through.
    through: Option<DisabledPort>,
}

impl Walk<'_> {
    /// Returns the routers, how many routers away they are, and the first disabled port on the way. Ways through
    /// disabled ports are only taken with `anyway`.
    fn routers(&mut self, from: SwitchId, anyway: bool) -> Vec<(RouterId, u8, Option<DisabledPort>)> {
        let (mut routers, mut entered) = (Vec::new(), BTreeSet::new());
        let mut queue = VecDeque::from([(Node::Switch(from), 0, None)]);
        while let Some((node, hops, cut)) = queue.pop_front() {
            if !entered.insert(node) {
                continue;
            }
            self.visited.insert(node);
            if let Node::Router(router) = node {
                routers.push((router, hops, cut));
                if hops >= MAX_HOPS || is_gateway(self.store, router) || is_disabled(self.store, router) {
                    continue;
                }
            }
            for Step { to, through } in self.steps(node) {
                self.is_cut |= through.is_some();
                if through.is_some() && !anyway {
                    continue;
                }
                let cut = cut.or(through);
                match to {
                    // It has the same distance as this node, so it comes before all that are further away.
                    Node::Switch(_) => queue.push_front((to, hops, cut)),
                    Node::Router(_) => queue.push_back((to, hops + 1, cut)),
                }
            }
        }
        routers
    }

    fn steps(&mut self, from: Node) -> Vec<Step> {
        let store = self.store;
        let switch_port = |id: PortId| {
            let row = store.port(id)?;
            Some((row, row.is_disabled().then_some(DisabledPort::Switch(id))))
        };
        match from {
            Node::Switch(switch) => {
                let uplinks = store.router_ports_of(switch).iter().filter_map(|id| {
                    let (row, cut) = switch_port(*id)?;
                    Some((store.router_port_by_name(row.router_port()?)?, cut))
                });
                let uplinks: Vec<_> = uplinks.collect();
                let routers = uplinks.into_iter().filter_map(|(port, cut)| self.enter(port, cut));
                let mut steps: Vec<_> = routers.collect();
                steps.extend(store.switch_joints(switch).filter_map(|(port, peer)| {
                    let ((_, cut), (row, beyond)) = (switch_port(port)?, switch_port(peer)?);
                    Some(Step { to: Node::Switch(row.switch?), through: cut.or(beyond) })
                }));
                steps
            }
            Node::Router(router) => {
                let mut steps = Vec::new();
                for (id, port) in router_ports(store, router) {
                    let cut = disabled(id, port);
                    steps.extend(store.switch_ports_to(&port.name).iter().filter_map(|id| {
                        let (row, beyond) = switch_port(*id)?;
                        Some(Step { to: Node::Switch(row.switch?), through: cut.or(beyond) })
                    }));
                    steps.extend(peer_of(store, port).and_then(|peer| self.enter(peer, cut)));
                }
                steps
            }
        }
    }

    /// Returns the step to the router by one of its ports, unless that is a gateway port.
    fn enter(&mut self, id: RouterPortId, cut: Option<DisabledPort>) -> Option<Step> {
        let port = self.store.router_port(id)?;
        let to = Node::Router(port.router?);
        self.visited.insert(to);
        (!port.is_gateway()).then(|| Step { to, through: cut.or_else(|| disabled(id, port)) })
    }
}

impl Reach {
    /// Returns the disabled port on the only way to a router, if there is one.
    pub fn cut_off_by(&self, router: RouterId) -> Option<DisabledPort> {
        self.cut_off.iter().find(|(other, _)| *other == router).map(|(_, port)| *port)
    }
}

fn disabled(id: RouterPortId, port: &RouterPort) -> Option<DisabledPort> {
    (port.enabled == Some(false)).then_some(DisabledPort::Router(id))
}

/// Returns the disabled port that blocks a gateway port, if there is one: the gateway port itself, or the only port of
/// a switch that it leads to.
pub fn disabled_gateway(store: &Store, id: RouterPortId) -> Option<DisabledPort> {
    let port = store.router_port(id)?;
    let ends = store.switch_ports_to(&port.name);
    let is_off = |id: &PortId| store.port(*id).is_some_and(Port::is_disabled);
    let switch_port = ends.first().filter(|_| ends.iter().all(is_off)).map(|id| DisabledPort::Switch(*id));
    disabled(id, port).or(switch_port)
}

/// Returns a disabled port that blocks a router that is bound to a chassis, if all its ports are disabled except those
/// in the networks of these addresses.
pub fn disabled_outside(store: &Store, router: RouterId, internal: &[IpAddr]) -> Option<DisabledPort> {
    store.router(router)?.chassis.as_ref()?;
    let is_inner = |id| internal.iter().any(|address| holds(store, id, *address));
    let outer = router_ports(store, router).map(|(id, _)| id).filter(|id| !is_inner(*id));
    let closed: Option<Vec<_>> = outer.map(|id| disabled_gateway(store, id)).collect();
    closed?.first().copied()
}

/// Returns whether OVN uses NAT on the router.
pub fn is_gateway(store: &Store, router: RouterId) -> bool {
    store.router(router).is_some_and(|row| row.chassis.is_some())
        || gateway_ports(store, router).next().is_some()
}

/// Returns whether a router is Neutron's, by the name that it gives them (neutron/common/ovn/utils.py, `ovn_name`).
///
/// Neutron's edits and maintenance of a router take every SNAT row with an address other than the gateway's for a
/// changed gateway.
pub fn is_neutron_router(store: &Store, router: RouterId) -> bool {
    let id = store.router(router).and_then(|row| row.name.strip_prefix("neutron-"));
    id.is_some_and(|id| Uuid::parse_str(id).is_ok())
}

/// Returns whether OVN ignores the router and everything on it (northd/northd.c, `lrouter_is_enabled`).
pub fn is_disabled(store: &Store, router: RouterId) -> bool {
    store.router(router).is_some_and(|row| row.enabled == Some(false))
}

/// Returns the router's gateway ports. A router with `options:chassis` has none: northd ignores them there
/// (northd/northd.c, `join_logical_ports`).
pub fn gateway_ports(store: &Store, router: RouterId) -> impl Iterator<Item = RouterPortId> {
    let is_bound = store.router(router).is_some_and(|row| row.chassis.is_some());
    router_ports(store, router).filter(move |(_, row)| row.is_gateway() && !is_bound).map(|(id, _)| id)
}

/// Returns whether a network of the router port holds the address.
pub fn holds(store: &Store, port: RouterPortId, address: IpAddr) -> bool {
    store.router_port(port).is_some_and(|row| row.networks.iter().any(|net| net.contains(&address)))
}

/// Returns the router's ports. A port that several routers refer to belongs to only one.
pub fn router_ports(store: &Store, router: RouterId) -> impl Iterator<Item = (RouterPortId, &RouterPort)> {
    let ports = store.router(router).map_or(&[][..], |row| &row.ports[..]);
    let there = ports.iter().filter_map(|id| Some((*id, store.router_port(*id)?)));
    there.filter(move |(_, row)| row.router == Some(router))
}

/// Returns the port of another router that a router port is joined with directly. Each names the other: if only one
/// does, packets pass in one direction, and since OVN 25.03 in none (northd/northd.c, `join_logical_ports`).
fn peer_of(store: &Store, port: &RouterPort) -> Option<RouterPortId> {
    let named = store.router_port_by_name(port.peer.as_deref()?)?;
    store.peers_of(&port.name).contains(&named).then_some(named)
}
