//! Everything visible in a store, as texts.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;
use std::net::IpAddr;

use ovsdb_protocol::Uuid;

use super::super::{Attachment, Store};
use crate::{AddressSet, Family, LoadBalancerId, NatId, Router};

/// From the name of something to its visible properties.
pub(super) type View = BTreeMap<String, BTreeSet<String>>;

/// The values that are drawn from, and so those that may be queried.
pub(super) const PORTS: [&str; 4] = ["p0", "p1", "p2", ""];
pub(super) const ROUTER_PORTS: [&str; 4] = ["l0", "l1", "l2", ""];
pub(super) const ROUTER_OPTIONS: [&str; 4] =
    ["lb_force_snat_ip", "dnat_force_snat_ip", "dynamic-routing", "dynamic-routing-redistribute"];
pub(super) const ADDRESSES: [&str; 6] =
    ["10.0.0.1", "10.0.0.2", "192.0.2.1", "192.0.2.2", "fd42::1", "2001:db8::1"];

pub(super) fn see(view: &mut View, what: impl Debug, seen: impl Debug) {
    view.entry(format!("{what:?}")).or_default().insert(format!("{seen:?}"));
}

pub(super) fn addresses() -> impl Iterator<Item = IpAddr> {
    ADDRESSES.iter().map(|address| address.parse().unwrap())
}

pub(super) fn of_store(store: &Store) -> View {
    let mut view = View::new();
    let v = &mut view;
    let ports =
        |ids: &[_]| -> BTreeSet<Uuid> { ids.iter().map(|id| store.port(*id).unwrap().uuid).collect() };
    let router_ports =
        |ids: &[_]| -> BTreeSet<Uuid> { ids.iter().map(|id| store.router_port(*id).unwrap().uuid).collect() };
    let router = |id| store.router(id).unwrap().uuid;
    for (id, port) in store.ports() {
        assert!(std::ptr::eq(store.port(id).unwrap(), port));
        let texts = |set: AddressSet<'_>| set.iter().map(|e| e.text().into_owned()).collect::<BTreeSet<_>>();
        let internal = Family::ALL.map(|family| port.internal_addresses(family));
        let external = Family::ALL.map(|family| port.external(family));
        see(
            v,
            ("port", port.uuid),
            (&port.name, port.kind, texts(port.addresses()), texts(port.dynamic_addresses())),
        );
        see(v, ("port", port.uuid), (internal, external, port.router_port()));
        let parents: Vec<_> = port.virtual_parents().collect();
        see(v, ("port", port.uuid), (port.enabled, port.switch_peer(), port.virtual_ip(), parents));
        see(v, ("port", port.uuid), ("on", port.switch.map(|switch| store.switch(switch).unwrap().uuid)));
    }
    for (id, switch) in store.switches() {
        see(v, ("switch", switch.uuid), (&switch.name, ports(store.router_ports_of(id))));
        let there: BTreeSet<_> = switch.ports.iter().filter_map(|id| Some(store.port(*id)?.uuid)).collect();
        see(v, ("switch", switch.uuid), there);
        let uuid = |id| store.port(id).unwrap().uuid;
        let joints: BTreeSet<_> =
            store.switch_joints(id).map(|(port, peer)| (uuid(port), uuid(peer))).collect();
        see(v, ("switch", switch.uuid), ("joints", joints));
        see(v, ("switch", switch.uuid), ("physical", ports(store.physical_ports(id))));
        for address in addresses() {
            let ports: Vec<_> = store.ports_with_address(id, address).map(uuid).collect();
            let set: BTreeSet<_> = ports.iter().copied().collect();
            assert_eq!(set.len(), ports.len());
            see(v, ("switch", switch.uuid), (address, set));
        }
    }
    for name in PORTS {
        see(v, ("port named", name), store.port_by_name(name).map(|id| store.port(id).unwrap().uuid));
        let tagged: BTreeSet<_> =
            store.nats_tagged(name).iter().map(|id| store.nat(*id).unwrap().uuid).collect();
        see(v, ("tagged", name), tagged);
        see(v, ("kept", name), Family::ALL.map(|family| store.kept(name, family)));
        see(v, ("virtuals of", name), ports(store.virtuals_of(name)));
    }
    assert_eq!(store.nats_tagged_portless(), &*store.nats_tagged(""));
    assert_eq!(store.tagged_count(), store.tagged_nats().count());
    assert_eq!(
        store.has_balancer_options(),
        store.load_balancers().any(|(_, balancer)| balancer.has_options())
    );
    see(v, "tagged", store.tagged_nats().map(|(_, nat)| nat.uuid).collect::<BTreeSet<_>>());
    for name in ROUTER_PORTS {
        let port = store.router_port_by_name(name).map(|id| store.router_port(id).unwrap().uuid);
        see(v, ("router port named", name), port);
        see(v, ("leading to", name), ports(store.switch_ports_to(name)));
        see(v, ("peers of", name), router_ports(store.peers_of(name)));
    }
    for (_, port) in store.router_ports() {
        let mut networks: Vec<_> = port.networks.iter().collect();
        networks.sort_unstable();
        let networks: Vec<_> = networks.iter().map(ToString::to_string).collect();
        see(
            v,
            ("router port", port.uuid),
            (
                &port.name,
                networks,
                port.is_gateway(),
                &port.peer,
                port.redistribute.get().cloned().flatten(),
                port.router.map(router),
            ),
        );
    }
    for (id, balancer) in store.load_balancers() {
        see(v, ("balancer", balancer.uuid), (&balancer.name, balancer.protocol.map(|p| format!("{p:?}"))));
        see(v, ("balancer", balancer.uuid), (balancer.vips.to_vec(), balancer.is_grouped()));
        see(
            v,
            ("balancer", balancer.uuid),
            [
                balancer.is_template(),
                balancer.skips_snat(),
                balancer.is_distributed(),
                balancer.is_stateless(),
                balancer.checks_health(),
            ],
        );
        for vip in balancer.vips.iter() {
            assert_eq!(balancer.vips.with_key(&vip.key()), Some(vip));
        }
        let routers: Vec<_> = store.routers_of(id).collect();
        for (router, row) in store.routers() {
            let attachment = store.attachment(router, id);
            assert_eq!(routers.contains(&router), attachment.is_some());
            assert_eq!(store.load_balancers_of(router).any(|other| other == id), attachment.is_some());
            if let Some(Attachment::Group(group)) = attachment {
                assert!(store.group(group).unwrap().load_balancers.contains(&id));
            }
            if let Some(attachment) = attachment {
                let direct = attachment == Attachment::Direct;
                see(v, ("attached", row.uuid, balancer.uuid), direct);
            }
        }
    }
    let uuid = |id| store.load_balancer(id).unwrap().uuid;
    let balancers = |ids: &mut dyn Iterator<Item = LoadBalancerId>| ids.map(uuid).collect::<BTreeSet<_>>();
    for address in addresses() {
        see(v, ("vip", address), balancers(&mut store.balancers_with_vip(address)));
        see(v, ("backend", address), balancers(&mut store.balancers_with_backend(address)));
    }
    let nats = |ids: &[NatId]| ids.iter().map(|id| store.nat(*id).unwrap().uuid).collect::<BTreeSet<_>>();
    for (id, router) in store.routers() {
        see(v, ("router", router.uuid), (&router.name, &router.chassis, &router.external));
        let Router { lb_force_snat, dnat_force_snat, dynamic_routing, redistribute, .. } = router;
        let options = [lb_force_snat, dnat_force_snat, dynamic_routing, redistribute];
        see(v, ("router", router.uuid), options.map(|option| option.get().cloned().flatten()));
        for address in addresses() {
            see(v, ("external", router.uuid, address), nats(store.nats_by_external(id, address)));
            see(v, ("host snats", router.uuid, address), nats(store.host_snats(id, address)));
            see(
                v,
                ("logical", router.uuid, address),
                nats(&store.nats_by_logical(id, address).collect::<Vec<_>>()),
            );
        }
        let networks: BTreeSet<_> = store.network_snats(id).map(|(_, nat)| nat.uuid).collect();
        see(v, ("network snats", router.uuid), networks);
        see(v, ("external networks", router.uuid), nats(store.nats_by_external_network(id)));
        let there: BTreeSet<_> =
            store.nats_of(id).iter().filter_map(|id| Some(store.nat(*id)?.uuid)).collect();
        see(v, ("nats", router.uuid), there);
    }
    for (_, nat) in store.nats() {
        let texts = (nat.external_ip_text(), nat.logical_ip_text(), nat.external_port_range_text());
        see(v, ("nat", nat.uuid), (nat.kind.map(|kind| kind.as_str()), texts));
        let tags: BTreeMap<_, _> = nat.tags.iter().collect();
        see(v, ("nat", nat.uuid), (nat.stateless.get(), nat.stateless.text(), tags, nat.matches()));
        see(v, ("nat", nat.uuid), (nat.external_ips(), nat.has_bad_external_mac(), nat.distributed_at()));
        see(v, ("nat", nat.uuid), ("on", nat.router.map(router)));
        assert_eq!(nat.is_named(), nat.router.is_some_and(|id| nat.is_named_on(router(id))));
        let there = nat.gateway_port.and_then(|id| Some(store.router_port(id)?.uuid));
        see(v, ("nat", nat.uuid), ("by", nat.gateway_port.is_some(), there));
    }
    let problems: BTreeSet<_> =
        store.problems().map(|p| (p.table.to_string(), p.uuid, p.column.to_string())).collect();
    see(v, "problems", problems);
    view
}
