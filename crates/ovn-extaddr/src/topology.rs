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
/// So is a gateway port for who is outside already: nobody gets in there.
pub fn reach(store: &Store, from: SwitchId) -> Reach {
    let mut reach = Reach::default();
    let mut entered = BTreeSet::new();
    let mut queue = VecDeque::from([(Node::Switch(from), 0)]);
    while let Some((node, hops)) = queue.pop_front() {
        if !entered.insert(node) {
            continue;
        }
        reach.visited.insert(node);
        let mut enter = |port: RouterPortId| {
            let port = store.router_port(port)?;
            let router = Node::Router(port.router?);
            reach.visited.insert(router);
            (!port.is_gateway()).then_some(router)
        };
        match node {
            Node::Switch(switch) => {
                queue.extend(
                    routers_on(store, switch).filter_map(&mut enter).map(|router| (router, hops + 1)),
                );
            }
            Node::Router(router) => {
                reach.routers.push((router, hops));
                if hops < MOST_HOPS && !is_gateway(store, router) {
                    // As near as this router, so before all that is further away.
                    switches_of(store, router).for_each(|switch| {
                        queue.push_front((Node::Switch(switch), hops));
                    });
                    queue.extend(
                        peers_of(store, router).filter_map(&mut enter).map(|router| (router, hops + 1)),
                    );
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
    router_ports(store, router).filter(|(_, row)| row.is_gateway()).map(|(id, _)| id)
}

/// Returns the router's ports. One that several routers claim is only one's.
pub fn router_ports(store: &Store, router: RouterId) -> impl Iterator<Item = (RouterPortId, &RouterPort)> {
    let ports = store.router(router).map_or(&[][..], |row| &row.ports[..]);
    let there = ports.iter().filter_map(|id| Some((*id, store.router_port(*id)?)));
    there.filter(move |(_, row)| row.router == Some(router))
}

/// The router ports that lead into a switch.
fn routers_on(store: &Store, switch: SwitchId) -> impl Iterator<Item = RouterPortId> {
    let ports = store.router_ports_of(switch);
    ports.iter().filter_map(|port| store.router_port_by_name(store.port(*port)?.router_port()?))
}

/// The switches that a router's ports lead into.
fn switches_of(store: &Store, router: RouterId) -> impl Iterator<Item = SwitchId> {
    let ports = router_ports(store, router).flat_map(|(_, port)| store.switch_ports_to(&port.name));
    ports.filter_map(|port| store.port(*port)?.switch)
}

/// The ports of other routers that a router is joined with directly.
fn peers_of(store: &Store, router: RouterId) -> impl Iterator<Item = RouterPortId> {
    router_ports(store, router).flat_map(|(_, port)| {
        let named = port.peer.as_deref().and_then(|peer| store.router_port_by_name(peer));
        named.into_iter().chain(store.peers_of(&port.name).iter().copied())
    })
}
