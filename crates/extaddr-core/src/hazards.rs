//! Hazards of a network, with or without an intent: for `doctor`. Pure; it examines the whole database.

mod rows;
mod shared_address;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::IpAddr;

use ovn_model::{Family, LoadBalancer, Nat, NatKind, RouterId, Store};

use crate::explain::Check;
use crate::forwards::Forward;
use crate::network::Network;
use crate::northd::NatFlaw;
use crate::ownership::Role;
use crate::topology::{is_gateway, is_neutron_router, reach};
use crate::{forwards, northd};
use rows::{is_foreign, name, rows};
use shared_address::shared_addresses;

/// The maximum number of names that a sentence lists; it counts the others.
const MAX_NAMED: usize = 3;

/// One kind of hazard, wherever it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hazard {
    /// Its kind, as a code.
    pub code: &'static str,
    /// The places where it is.
    pub places: Vec<String>,
    /// Its meaning, in a sentence that the places follow.
    pub meaning: &'static str,
    /// The remedy.
    pub cure: &'static str,
    /// Whether something is wrong already; otherwise it is for information.
    pub is_wrong: bool,
}

/// Returns all hazards.
pub fn all(network: Network<'_, '_>) -> Vec<Hazard> {
    kinds(network).into_iter().filter(|hazard| !hazard.places.is_empty()).collect()
}

/// Returns all kinds of hazards, also those without a place.
fn kinds(network: Network<'_, '_>) -> [Hazard; 18] {
    let store = network.store;
    [
        Hazard {
            code: "nat-without-gateway",
            places: nat_without_gateway(store),
            meaning: "NAT rows on routers without a gateway, which OVN ignores",
            cure: "give the router a gateway port or options:chassis, or remove the rows",
            is_wrong: true,
        },
        Hazard {
            code: "nat-without-gateway-port",
            places: nat_without_gateway_port(store),
            meaning: "NAT rows that name no gateway port, on a router with several, for an address that is in no network of theirs: OVN ignores them",
            cure: "set gateway_port of the row",
            is_wrong: true,
        },
        Hazard {
            code: "nat-ignored",
            places: ignored_rows(store),
            meaning: "NAT rows that OVN ignores, so that they forward and translate nothing",
            cure: "correct the row: addresses of one family, a single logical_ip but for snat, a gateway_port of the same router",
            is_wrong: true,
        },
        Hazard {
            code: "nat-network",
            places: networks_forwarded(store),
            meaning: "NAT rows with a network as external_ip: OVN 25.03 and later send all of its addresses to logical_ip, and earlier releases none",
            cure: "one row for each address that is to be forwarded; such a row makes none of the network's addresses a forward",
            is_wrong: true,
        },
        Hazard {
            code: "vip-ignored",
            places: ignored_vips(store),
            meaning: "VIPs that OVN ignores with all of their backends, so that they forward nothing",
            cure: "correct the backends: addresses of the VIP's family, with a port if it has one and without if not",
            is_wrong: true,
        },
        Hazard {
            code: "template",
            places: templates(store),
            meaning: "load balancers with variables, which are something else on each chassis: their addresses are never taken for forwards",
            cure: "nothing; an address that an instance shall have needs a forward of its own",
            is_wrong: false,
        },
        Hazard {
            code: "match-first",
            places: with_match(network),
            meaning: "NAT rows with a match, which OVN takes before all rows without one: what matches does not leave with the address of an override",
            cure: "nothing, where that is meant; or remove the match",
            is_wrong: false,
        },
        Hazard {
            code: "exemptions",
            places: unlimited(network),
            meaning: "overrides for all peers, where the network's own SNAT is for some only (allowed_ext_ips, exempted_ext_ips)",
            cure: "exemptions = \"inherit\", if these peers shall be left as they are: the address set cannot be deleted then as long as an override refers to it",
            is_wrong: false,
        },
        Hazard {
            code: "address-of-router",
            places: shared_addresses(network),
            meaning: "forward addresses that another router in the same network outside has on a port or in an SNAT row: both answer ARP and neighbour requests for them",
            cure: "remove the address from the other router, or forward another one",
            is_wrong: true,
        },
        Hazard {
            code: "rival-snat",
            places: rivals(store),
            meaning: "SNAT rows for the same addresses on one router, of which OVN takes any",
            cure: "remove all but one",
            is_wrong: true,
        },
        Hazard {
            code: "address-spelling",
            places: spellings(store),
            meaning: "addresses that are not in canonical form, which ovn-northd compares as text",
            cure: "write them as `ovn-nbctl` would print them: lower case, shortest form",
            is_wrong: false,
        },
        Hazard {
            code: "address-twice",
            places: addresses_twice(store),
            meaning: "instances behind one router with the same address",
            cure: "give each its own: only one of them can have an external address",
            is_wrong: true,
        },
        Hazard {
            code: "forward-twice",
            places: forwards_twice(network),
            meaning: "addresses that several routers forward",
            cure: "remove the forward from all but one: an instance that reaches several of them is refused",
            is_wrong: false,
        },
        Hazard {
            code: "default-target",
            places: default_targets(network),
            meaning: "forwards of all ports of an address by a VIP without a port, beside which OVN breaks replies to the instance's own TCP connections",
            cure: "nothing, where default-target = \"convert\": an override replaces it; or forward single ports",
            is_wrong: false,
        },
        Hazard {
            code: "default-target-snat",
            places: leaving(network, |forward, _| forward.is_default_target()),
            meaning: "SNAT rows with an address of which a VIP without a port forwards everything, so that OVN breaks replies to TCP connections made with it",
            cure: "remove the row, and request the address for the port, which converts the VIP; or forward single ports",
            is_wrong: true,
        },
        Hazard {
            code: "listening-source-port",
            places: leaving(network, is_source),
            meaning: "SNAT rows that may choose a source port which their address forwards: such connections break",
            cure: "port-range = \"auto\" for those of the agent; for others an external_port_range without these ports",
            is_wrong: false,
        },
        Hazard {
            code: "foreign-override",
            places: foreign_overrides(store),
            meaning: "SNAT rows of somebody else for single instances, which Incus and LXD remove with every change of the network, and do not restore before the instance starts again",
            cure: "request the address for the port (`ovn-extaddr set`) and remove the CMS's own setting: the agent restores its row at once",
            is_wrong: false,
        },
        Hazard {
            code: "neutron",
            places: neutron_routers(network),
            meaning: "routers of Neutron with overrides: each edit in Neutron makes their gateway port again, which may move them to another chassis, and Neutron's maintenance of such a router may leave it without one",
            cure: "nothing; where a router has lost its gateway port, any edit makes it again: `openstack router set --description repaired ROUTER`",
            is_wrong: false,
        },
    ]
}

impl Hazard {
    /// Lists some of the places.
    pub fn places(&self) -> String {
        let list = Check::list(self.places.iter().take(MAX_NAMED));
        match self.places.len().saturating_sub(MAX_NAMED) {
            0 => list,
            more => format!("{list} and {more} more"),
        }
    }
}

/// Returns the number of tagged rows by owner.
pub fn owners(store: &Store) -> BTreeMap<String, usize> {
    let mut owners = BTreeMap::new();
    for (_, nat) in store.tagged_nats() {
        if let Some(owner) = nat.tags.get(ovn_model::keys::OWNER) {
            *owners.entry(owner.to_owned()).or_default() += 1;
        }
    }
    owners
}

fn described(store: &Store, router: RouterId, nat: &Nat) -> String {
    format!("{} as {} on {}", nat.logical_ip_text(), nat.external_ip_text(), name(store, router))
}

fn nat_without_gateway(store: &Store) -> Vec<String> {
    let routers = store.routers().filter(|(id, row)| !row.nats.is_empty() && !is_gateway(store, *id));
    routers.map(|(_, row)| row.name.to_string()).collect()
}

fn nat_without_gateway_port(store: &Store) -> Vec<String> {
    let ignored = rows(store).filter(|(_, nat)| northd::nat_flaw(store, nat) == Some(NatFlaw::NoGatewayPort));
    ignored.map(|(router, nat)| described(store, router, nat)).collect()
}

fn ignored_rows(store: &Store) -> Vec<String> {
    let flaw = |nat: &Nat| match nat.kind {
        Some(NatKind::Dnat) => northd::forward_flaw(store, nat),
        _ => northd::nat_flaw(store, nat),
    };
    let flawed = rows(store).filter_map(|(router, nat)| Some((router, nat, flaw(nat)?)));
    let others =
        flawed.filter(|(.., flaw)| !matches!(flaw, NatFlaw::NoGatewayPort | NatFlaw::ExternalNetwork));
    others
        .map(|(router, nat, flaw)| format!("{} ({})", described(store, router, nat), flaw.sentence()))
        .collect()
}

fn networks_forwarded(store: &Store) -> Vec<String> {
    let found = rows(store).filter(|(_, nat)| northd::nat_flaw(store, nat) == Some(NatFlaw::ExternalNetwork));
    found.map(|(router, nat)| described(store, router, nat)).collect()
}

fn ignored_vips(store: &Store) -> Vec<String> {
    // The backends of a template are different on each chassis.
    let balancers = || store.load_balancers().map(|(_, row)| row).filter(|row| !row.is_template());
    let vips = balancers().flat_map(|row| row.vips.iter().map(move |vip| (row, vip)));
    let flawed = vips.filter_map(|(row, vip)| Some((row, vip, northd::vip_flaw(vip)?)));
    let flawed =
        flawed.map(|(row, vip, flaw)| format!("{} of {} ({})", vip.key(), row.name, flaw.sentence()));
    let unread = balancers().flat_map(|row| row.vips.with_variables().map(move |key| (row, key)));
    let parsed = |row: &LoadBalancer, key: &str| row.vips.with_key(key).is_some();
    let unread = unread.filter(|(row, key)| !parsed(row, key));
    let unread = unread.map(|(row, key)| {
        format!("{key} of {} (it names a variable, and options:template is not true)", row.name)
    });
    let mut places: Vec<_> = flawed.chain(unread).collect();
    places.sort_unstable();
    places
}

fn templates(store: &Store) -> Vec<String> {
    let templates = store
        .load_balancers()
        .filter(|(id, row)| row.is_template() && store.routers_of(*id).next().is_some());
    let mut names: Vec<_> = templates.map(|(_, row)| row.name.to_string()).collect();
    names.sort_unstable();
    names
}

/// Returns the foreign rows with a match, on routers that have our own rows.
fn with_match(network: Network<'_, '_>) -> Vec<String> {
    let Network { store, owner } = network;
    let has_overrides = |router| {
        let mut rows = store.nats_of(router).iter().filter_map(|id| store.nat(*id));
        rows.any(|nat| owner.role(nat) == Some(Role::Egress))
    };
    let found = rows(store).filter(|(router, nat)| {
        forwards::is_egress(nat)
            && !nat.matches().is_empty()
            && northd::nat_flaw(store, nat).is_none()
            && has_overrides(*router)
    });
    found.map(|(router, nat)| format!("{} if {}", described(store, router, nat), nat.matches())).collect()
}

/// Returns the overrides that translate packets which the network's own SNAT does not.
fn unlimited(network: Network<'_, '_>) -> Vec<String> {
    let Network { store, owner } = network;
    let base = |router, address: IpAddr| {
        let rows = store.network_snats(router);
        let rows = rows.filter(|(_, nat)| nat.matches().is_empty() && northd::nat_flaw(store, nat).is_none());
        let covering = rows.filter_map(|(_, nat)| {
            let network = nat.logical_ip().filter(|network| network.contains(&address))?;
            Some((network.prefix_len(), nat.external_ips().ok()?))
        });
        covering.max_by_key(|(length, _)| *length)?.1
    };
    let found = rows(store).filter(|(router, nat)| {
        let limits = nat.logical_host().filter(|_| owner.role(nat) == Some(Role::Egress));
        limits
            .and_then(|address| base(*router, address))
            .is_some_and(|limits| nat.external_ips() != Ok(Some(limits)))
    });
    found.map(|(router, nat)| described(store, router, nat)).collect()
}

/// Returns the networks of routers that several rows translate. Rows that differ in the gateway port or match, by which
/// OVN chooses between them, do not count.
fn rivals(store: &Store) -> Vec<String> {
    let mut groups: BTreeMap<_, Vec<&Nat>> = BTreeMap::new();
    for (router, nat) in rows(store) {
        let sources = matches!(nat.kind, Some(NatKind::Snat | NatKind::DnatAndSnat));
        // A drain row is for an internal address that no port has.
        let heeded = northd::nat_flaw(store, nat).is_none();
        if let (true, Some(network), Ok(port)) =
            (sources && heeded && nat.matches().is_empty(), nat.logical_ip(), northd::nat_port(store, nat))
        {
            groups.entry((router, network.trunc().to_string(), port)).or_default().push(nat);
        }
    }
    let rivals = groups.into_iter().filter(|(_, rows)| rows.len() > 1);
    rivals
        .map(|((router, network, _), rows)| {
            let externals: BTreeSet<_> = rows.iter().map(|nat| nat.external_ip_text().into_owned()).collect();
            format!("{network} as {} on {}", Check::list(externals), name(store, router))
        })
        .collect()
}

fn spellings(store: &Store) -> Vec<String> {
    let odd = rows(store).filter(|(_, nat)| {
        nat.external_ip().is_some_and(|address| address.to_string() != nat.external_ip_text())
    });
    odd.map(|(router, nat)| described(store, router, nat)).collect()
}

fn addresses_twice(store: &Store) -> Vec<String> {
    let mut reaches = HashMap::new();
    let mut users: BTreeMap<(RouterId, IpAddr), BTreeSet<&str>> = BTreeMap::new();
    for (_, port) in store.ports().filter(|(_, port)| port.kind.is_instance()) {
        let Some(switch) = port.switch else { continue };
        let reach = reaches.entry(switch).or_insert_with(|| reach(store, switch));
        for (router, _) in &reach.routers {
            for address in Family::ALL.map(|family| northd::port_addresses(port, family).to_vec()).concat() {
                users.entry((*router, address)).or_default().insert(&port.name);
            }
        }
    }
    let twice = users.into_iter().filter(|(_, ports)| ports.len() > 1);
    twice
        .map(|((router, address), ports)| {
            format!("{address} of {} behind {}", Check::list(ports), name(store, router))
        })
        .collect()
}

fn forwards_twice(network: Network<'_, '_>) -> Vec<String> {
    let store = network.store;
    let mut routers: BTreeMap<IpAddr, BTreeSet<RouterId>> = BTreeMap::new();
    for (router, _) in store.routers() {
        for forward in forwards::on_router(network, router) {
            if let Some(address) = forward.address() {
                routers.entry(address).or_default().insert(router);
            }
        }
    }
    let twice = routers.into_iter().filter(|(_, routers)| routers.len() > 1);
    twice
        .map(|(address, routers)| {
            format!("{address} by {}", Check::list(routers.into_iter().map(|id| name(store, id))))
        })
        .collect()
}

fn default_targets(network: Network<'_, '_>) -> Vec<String> {
    let store = network.store;
    let mut places = BTreeSet::new();
    for (router, row) in store.routers() {
        for forward in forwards::on_router(network, router) {
            if let (true, Some(address)) = (forward.is_default_target(), forward.address()) {
                places.insert(format!("{address} on {}", row.name));
            }
        }
    }
    places.into_iter().collect()
}

/// Returns the rows that translate connections to an address with a forward that has a property.
fn leaving(network: Network<'_, '_>, is_so: impl Fn(&Forward<'_>, &Nat) -> bool) -> Vec<String> {
    let Network { store, owner } = network;
    let makes = |nat: &Nat| forwards::is_egress(nat) && owner.role(nat) != Some(Role::Drain);
    let found = rows(store).filter(|(router, nat)| {
        makes(nat)
            && nat.external_ip().is_some_and(|address| {
                forwards::on_address(network, *router, address).any(|forward| is_so(&forward, nat))
            })
    });
    found.map(|(router, nat)| described(store, router, nat)).collect()
}

/// Returns whether a row may choose the port that is forwarded as a source port.
fn is_source(forward: &Forward<'_>, nat: &Nat) -> bool {
    // A row for both directions keeps the ports that connections have.
    let chooses = nat.kind == Some(NatKind::Snat);
    let within = |port| nat.port_range().is_none_or(|range| range.holds(port));
    chooses && forward.port().is_some_and(|port| within(port.get()))
}

fn foreign_overrides(store: &Store) -> Vec<String> {
    let foreign = rows(store).filter(|(_, nat)| {
        nat.kind == Some(NatKind::Snat)
            && is_foreign(nat)
            && nat.logical_host().is_some()
            && nat.external_ip() != nat.logical_host()
    });
    foreign.map(|(router, nat)| described(store, router, nat)).collect()
}

fn neutron_routers(network: Network<'_, '_>) -> Vec<String> {
    let Network { store, owner } = network;
    // A row for connections that finish has another address than the gateway's, too.
    let has_rows = |router| {
        let mut rows = store.nats_of(router).iter().filter_map(|id| store.nat(*id));
        rows.any(|nat| matches!(owner.role(nat), Some(Role::Egress | Role::Drain)))
    };
    let routers = store.routers().filter(|(id, _)| is_neutron_router(store, *id) && has_rows(*id));
    routers.map(|(_, row)| row.name.to_string()).collect()
}
