//! Which routers an instance's traffic can take to the outside.

use std::collections::{BTreeSet, VecDeque};

use ovn_model::{Node, RouterId, RouterPort, RouterPortId, Store, SwitchId};

/// Routers that may lie between an instance and the outside. OVN-Kubernetes needs two and a
/// distributed router behind another one three; the bound is against loops of peerings.
const MOST_HOPS: u8 = 4;

/// What can be reached from a switch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reach {
    /// The routers and how many routers away they are, the nearest first.
    pub routers: Vec<(RouterId, u8)>,
    /// All switches and routers that were looked at: a change of any other changes nothing here.
    pub visited: BTreeSet<Node>,
}

/// Walks from a switch over routers, peerings and further switches.
///
/// A gateway router is an end: what lies behind it is the outside, where everybody's routers meet.
pub fn reach(store: &Store, from: SwitchId) -> Reach {
    let mut reach = Reach::default();
    let mut queue = VecDeque::from([(Node::Switch(from), 0)]);
    while let Some((node, hops)) = queue.pop_front() {
        if !reach.visited.insert(node) {
            continue;
        }
        match node {
            Node::Switch(switch) => {
                queue.extend(routers_on(store, switch).map(|router| (Node::Router(router), hops + 1)));
            }
            Node::Router(router) => {
                reach.routers.push((router, hops));
                if hops < MOST_HOPS && !is_gateway(store, router) {
                    for node in beyond(store, router) {
                        match node {
                            // As near as this router, so before all that is further away.
                            Node::Switch(_) => queue.push_front((node, hops)),
                            Node::Router(_) => queue.push_back((node, hops + 1)),
                        }
                    }
                }
            }
        }
    }
    reach.routers.sort_by_key(|(router, hops)| (*hops, *router));
    reach
}

/// Returns whether OVN heeds NAT on the router.
pub fn is_gateway(store: &Store, router: RouterId) -> bool {
    store.router(router).is_some_and(|row| row.chassis.is_some())
        || gateway_ports(store, router).next().is_some()
}

/// Returns the router's gateway ports.
pub fn gateway_ports(store: &Store, router: RouterId) -> impl Iterator<Item = RouterPortId> {
    router_ports(store, router).filter(|(_, row)| row.gateway).map(|(id, _)| id)
}

/// Returns the router's ports. One that several routers claim is only one's.
pub fn router_ports(store: &Store, router: RouterId) -> impl Iterator<Item = (RouterPortId, &RouterPort)> {
    let ports = store.router(router).map_or(&[][..], |row| &row.ports[..]);
    let there = ports.iter().filter_map(|id| Some((*id, store.router_port(*id)?)));
    there.filter(move |(_, row)| row.router == Some(router))
}

fn routers_on(store: &Store, switch: SwitchId) -> impl Iterator<Item = RouterId> {
    let ports = store.switch(switch).map_or(&[][..], |row| &row.router_ports[..]);
    ports.iter().filter_map(|port| {
        let name = store.port(*port)?.router_port()?;
        store.router_port(store.router_port_by_name(name)?)?.router
    })
}

/// The switches and peers that a router joins.
fn beyond(store: &Store, router: RouterId) -> impl Iterator<Item = Node> {
    router_ports(store, router).flat_map(|(_, port)| {
        let switches = store.switch_ports_to(&port.name).iter().filter_map(|port| store.port(*port)?.switch);
        let named = port.peer.as_deref().and_then(|peer| store.router_port_by_name(peer));
        let peers = named.into_iter().chain(store.peers_of(&port.name).iter().copied());
        let peers = peers.filter_map(|peer| store.router_port(peer)?.router);
        switches.map(Node::Switch).chain(peers.map(Node::Router))
    })
}
