use ovn_model::Family::{V4, V6};

use super::*;
use crate::testing::{Edit, NetworkBuilder};

#[test]
fn vip_with_an_unsuitable_backend_is_ignored() {
    use VipFlaw::{BackendPort, Family, Gap, NoBackendPort, Unreadable};
    for (key, value, flaw) in [
        ("203.0.113.10", "10.57.0.11", None),
        ("203.0.113.10:80", "10.57.0.11:8080,10.57.0.12:80", None),
        ("[2001:db8::10]:80", "[fd42:57::b]:80", None),
        ("2001:db8::10", "fd42:57::b", None),
        // One without backends is used: it rejects or drops packets.
        ("203.0.113.10:80", "", None),
        ("203.0.113.10:80", "10.57.0.11:80,", None),
        ("203.0.113.10:80", ",,", None),
        ("[203.0.113.10]:80", "10.57.0.11:80", None),
        // Port 0 is not a port.
        ("203.0.113.10:0", "10.57.0.11", None),
        ("203.0.113.10", "10.57.0.11:80", Some(BackendPort)),
        ("203.0.113.10:0", "10.57.0.11:80", Some(BackendPort)),
        ("203.0.113.10:80", "10.57.0.11", Some(NoBackendPort)),
        ("203.0.113.10:80", "10.57.0.11:0", Some(NoBackendPort)),
        ("203.0.113.10:80", "10.57.0.12:80,10.57.0.11", Some(NoBackendPort)),
        ("2001:db8::10", "10.57.0.11", Some(Family)),
        ("203.0.113.10:80", "[fd42:57::b]:80", Some(Family)),
        ("203.0.113.10:80", "10.57.0.11:80,c1:80", Some(Unreadable)),
        ("203.0.113.10:80", "10.57.0.11:80, 10.57.0.12:80", Some(Unreadable)),
        ("203.0.113.10:80", "10.57.0.11:99999", Some(Unreadable)),
        ("203.0.113.10:80", "[10.57.0.11]:80", Some(Unreadable)),
        ("203.0.113.10:80", ",10.57.0.11:80", Some(Gap)),
        ("203.0.113.10:80", "10.57.0.11:80,,10.57.0.12:80", Some(Gap)),
        ("203.0.113.10:80", "10.57.0.11:80,,", Some(Gap)),
    ] {
        let vip = Vip::parse(key, value).unwrap();
        assert_eq!(vip_flaw(&vip), flaw, "{key}={value}");
    }
}

#[test]
fn nat_row_with_unsuitable_addresses_is_ignored() {
    use NatFlaw::{External, ExternalNetwork, Logical, Mask, Network as Prefix};
    for (kind, external, logical, flaw) in [
        ("snat", "203.0.113.10", "10.57.0.0/24", None),
        ("snat", "203.0.113.10", "10.57.0.11", None),
        ("snat", "2001:db8::10", "fd42:57::/64", None),
        ("dnat", "203.0.113.10", "10.57.0.11", None),
        ("dnat", "203.0.113.10", "10.57.0.11/32", Some(Mask)),
        ("dnat_and_snat", "203.0.113.10", "10.57.0.11/255.255.255.255", Some(Mask)),
        ("snat", "203.0.113.10", "10.57.0.11/32", None),
        ("snat", "203.0.113.10/32", "10.57.0.11", Some(Mask)),
        ("dnat", "203.0.113.10/32", "10.57.0.11", None),
        ("dnat", " 203.0.113.10", " 10.57.0.11", None),
        ("dnat", "203.0.113.10", "10.57.0.11 ", Some(Logical)),
        ("dnat_and_snat", "203.0.113.10/32", "10.57.0.11", None),
        ("dnat", "203.0.113.10", "fd42:57::b", Some(Logical)),
        ("snat", "203.0.113.10", "10.57.0.1/24", None),
        ("snat", "203.0.113.10", "10.57.0.1/255.255.255.0", None),
        ("snat", "203.0.113.10", "10.57.0.0/255.255.255.0", None),
        ("snat", "2001:db8::10", "fd42:57::b/64", None),
        ("snat", "2001:db8::10", "FD42:57::/64", None),
        ("dnat_and_snat", "2001:db8::10", "10.57.0.11", Some(Logical)),
        ("snat", "203.0.113.10", "fd42:57::/64", Some(Logical)),
        ("snat", "203.0.113.10", "c1", Some(Logical)),
        ("dnat", "203.0.113.10", "10.57.0.0/24", Some(Prefix)),
        ("dnat_and_snat", "203.0.113.10", "10.57.0.0/31", Some(Prefix)),
        ("dnat", "203.0.113.0/24", "10.57.0.11", Some(ExternalNetwork)),
        ("dnat", "203.0.113.0/255.255.255.0", "10.57.0.11", Some(ExternalNetwork)),
        ("snat", "203.0.113.0/24", "10.57.0.11", Some(External)),
        ("dnat_and_snat", "2001:db8::/64", "fd42:57::b", Some(ExternalNetwork)),
        ("dnat", "203.0.113.0/33", "10.57.0.11", Some(External)),
        ("dnat", "c1", "10.57.0.11", Some(External)),
        ("dnat", "", "10.57.0.11", Some(External)),
    ] {
        let mut network = NetworkBuilder::new();
        network.delete("NAT", "base");
        network.nat("row", "R", kind, external, logical);
        let store = network.store();
        let (_, nat) = store.nats().next().unwrap();
        assert_eq!(nat_flaw(&store, nat), flaw, "{kind} {external} {logical}");
    }
}

#[test]
fn nat_row_with_unsuitable_port_range_or_peers_is_ignored() {
    use serde_json::json;

    use crate::testing::{map, reference};
    let set = || reference("Address_Set", "peers");
    for (columns, flaw) in [
        (json!({"external_port_range": "1024-65535"}), None),
        (json!({"external_port_range": "1024"}), None),
        (json!({"external_port_range": "30000-1024"}), Some(NatFlaw::PortRange)),
        (json!({"external_port_range": "1024-1024"}), Some(NatFlaw::PortRange)),
        (json!({"external_port_range": "0-1024"}), Some(NatFlaw::PortRange)),
        (json!({"external_port_range": "ssh"}), Some(NatFlaw::PortRange)),
        (json!({"external_port_range": "ssh", "options": map(&[("stateless", "true")])}), None),
        (json!({"external_mac": "02:00:00:00:00:99"}), None),
        (json!({"external_mac": "2:0:0:0:0:99"}), None),
        (json!({"external_mac": "02:00:00:00:00"}), Some(NatFlaw::Mac)),
        (json!({"allowed_ext_ips": set()}), None),
        (json!({"exempted_ext_ips": set()}), None),
        (json!({"allowed_ext_ips": set(), "exempted_ext_ips": set()}), Some(NatFlaw::ExternalIps)),
    ] {
        let mut network = NetworkBuilder::new();
        network.delete("NAT", "base");
        network.nat("row", "R", "dnat_and_snat", "203.0.113.10", "10.57.0.11");
        network.put("NAT", "row", columns.clone());
        let store = network.store();
        let (_, nat) = store.nats().next().unwrap();
        assert_eq!(nat_flaw(&store, nat), flaw, "{columns}");
    }
}

#[test]
fn dnat_row_for_a_router_address_is_used_only_beside_snat_or_a_vip() {
    use serde_json::json;

    use crate::testing::map;
    /// An edit beside a `dnat` row for 203.0.113.2, the address of `R-ext`, and whether the row is used then.
    type Case = (&'static str, Edit, bool);
    fn forces(network: &mut NetworkBuilder, options: &[(&str, &str)]) {
        network.put("Logical_Router", "R", json!({"options": map(options)}));
    }
    let cases: [Case; 10] = [
        ("nothing", |_| {}, false),
        (
            "SNAT of a network",
            |network| network.nat("snat", "R", "snat", "203.0.113.2", "10.57.0.0/24"),
            true,
        ),
        ("SNAT of a host", |network| network.nat("snat", "R", "snat", "203.0.113.2", "10.57.0.99"), true),
        (
            "SNAT with another address",
            |network| network.nat("snat", "R", "snat", "203.0.113.3", "10.57.0.99"),
            false,
        ),
        ("a row of ours", |network| network.own_row("p1", "203.0.113.2", "10.57.0.11", None), false),
        ("a VIP", |network| network.balancer("lb", &[("203.0.113.2:80", "10.57.0.12:80")], &["R"]), true),
        (
            "a VIP that is ignored",
            |network| network.balancer("lb", &[("203.0.113.2:80", "10.57.0.12")], &["R"]),
            false,
        ),
        ("forced SNAT", |network| forces(network, &[("lb_force_snat_ip", "203.0.113.2")]), true),
        (
            "SNAT to the port's address",
            |network| forces(network, &[("lb_force_snat_ip", "router_ip")]),
            false,
        ),
        (
            "the same on a router that is bound to a chassis",
            |network| forces(network, &[("lb_force_snat_ip", "router_ip"), ("chassis", "c1")]),
            true,
        ),
    ];
    for (what, add, heeded) in cases {
        for kind in ["dnat", "dnat_and_snat"] {
            let mut network = NetworkBuilder::new();
            network.delete("NAT", "base");
            network.nat("row", "R", kind, "203.0.113.2", "10.57.0.12");
            add(&mut network);
            let store = network.store();
            let (_, nat) =
                store.nats().find(|(_, nat)| nat.kind.map(|kind| kind.as_str()) == Some(kind)).unwrap();
            let flaw = (!heeded).then_some(NatFlaw::RouterAddress);
            assert_eq!(forward_flaw(&store, nat), flaw, "{kind} beside {what}");
            assert_eq!(nat_flaw(&store, nat), None, "{kind} beside {what} may translate what leaves");
        }
    }
}

#[test]
fn nat_row_is_assigned_to_one_gateway_port_or_ignored() {
    use NatFlaw::{GatewayPort, NoGatewayPort};
    // With R-ext and R-priv: the row's address and the port that it names.
    for (external, named, port) in [
        ("203.0.113.10", None, Ok(Some("R-ext"))),
        ("192.0.2.50", None, Ok(Some("R-priv"))),
        ("198.51.100.1", None, Err(NoGatewayPort)),
        ("203.0.113.10/32", None, Err(NoGatewayPort)),
        ("203.0.113.10/32", Some("R-ext"), Ok(Some("R-ext"))),
        (" 203.0.113.10", None, Err(NoGatewayPort)),
        (" 203.0.113.10", Some("R-ext"), Ok(Some("R-ext"))),
        ("198.51.100.1", Some("R-priv"), Ok(Some("R-priv"))),
        ("203.0.113.10", Some("R-priv"), Ok(Some("R-priv"))),
        ("203.0.113.10", Some("R-S"), Err(GatewayPort)),
        ("203.0.113.10", Some("R2-ext"), Err(GatewayPort)),
        ("203.0.113.10", Some("no-such-port"), Err(GatewayPort)),
    ] {
        let mut network = NetworkBuilder::new();
        network.delete("NAT", "base");
        network.gateway_port("R", "R-priv", &["192.0.2.2/24"]);
        network.router("R2");
        network.gateway_port("R2", "R2-ext", &["203.0.113.3/24"]);
        network.nat("row", "R", "dnat", external, "10.57.0.11");
        if let Some(named) = named {
            network.nat_at("row", named);
        }
        let store = network.store();
        let (_, nat) = store.nats().next().unwrap();
        let expected = port.map(|port| port.map(|name| store.router_port_by_name(name).unwrap()));
        assert_eq!(nat_port(&store, nat), expected, "{external} at {named:?}");
        assert_eq!(nat_flaw(&store, nat), expected.err(), "{external} at {named:?}");
    }
}

#[test]
fn release_without_the_gateway_port_column_needs_none() {
    let mut network = NetworkBuilder::new();
    network.gateway_port("R", "R-ext2", &["198.51.100.2/24"]);
    for (is_old, expected) in [(true, Ok(None)), (false, Err(NatFlaw::NoGatewayPort))] {
        network.is_old = is_old;
        let store = network.store();
        let (router, _) = store.routers().next().unwrap();
        assert_eq!(gateway_of(&store, router, None, Some("192.0.2.10".parse().unwrap())), expected);
    }
}

#[test]
fn router_bound_to_a_chassis_has_no_gateway_ports() {
    let mut network = NetworkBuilder::new();
    network.put(
        "Logical_Router",
        "R",
        serde_json::json!({"options": crate::testing::map(&[("chassis", "c")])}),
    );
    network.nat("named", "R", "dnat", "203.0.113.10", "10.57.0.11");
    network.nat_at("named", "R-ext");
    let store = network.store();
    let ports: Vec<_> = store.nats().map(|(_, nat)| (nat.kind, nat_port(&store, nat))).collect();
    assert!(ports.contains(&(Some(NatKind::Snat), Ok(None))), "{ports:?}");
    assert!(ports.contains(&(Some(NatKind::Dnat), Err(NatFlaw::GatewayPort))), "{ports:?}");
}

#[test]
fn addresses_of_a_port_are_those_northd_counts() {
    for (addresses, allocated, v4, v6) in [
        ("02:00:00:00:00:11 10.57.0.11 fd42:57::b", "", &["10.57.0.11"][..], &["fd42:57::b"][..]),
        ("02:00:00:00:00:11 10.57.0.12 10.57.0.11 10.57.0.12", "", &["10.57.0.11", "10.57.0.12"], &[]),
        ("dynamic", "02:00:00:00:00:11 10.57.0.20", &["10.57.0.20"], &[]),
        (
            "02:00:00:00:00:11 dynamic",
            "02:00:00:00:00:11 10.57.0.20 fd42:57::14",
            &["10.57.0.20"],
            &["fd42:57::14"],
        ),
        // The requested address may differ from the allocated one, which counts.
        ("dynamic 10.57.0.5", "02:00:00:00:00:11 10.57.0.20", &["10.57.0.20"], &[]),
        ("dynamic", "02:00:00:00:00:11", &[], &[]),
        ("dynamic 172.50.1.5", "02:00:00:00:00:11 172.50.1.9", &["172.50.1.9"], &[]),
        // With a mask, which northd ignores.
        ("02:00:00:00:00:11 10.199.200.20/24", "", &["10.199.200.20"], &[]),
        // Nothing is allocated any more.
        ("02:00:00:00:00:11 10.57.0.11", "02:00:00:00:00:11 10.57.0.20", &["10.57.0.11"], &[]),
        ("unknown", "02:00:00:00:00:11 10.57.0.20", &[], &[]),
        (
            "02:00:00:00:00:11 169.254.0.5 10.57.0.11 fe80::1 febf::1 fec0::1",
            "",
            &["10.57.0.11"],
            &["fec0::1"],
        ),
    ] {
        let mut network = NetworkBuilder::new();
        network.instance("p2", addresses);
        if !allocated.is_empty() {
            network.put("Logical_Switch_Port", "p2", serde_json::json!({"dynamic_addresses": allocated}));
        }
        let store = network.store();
        let port = store.port_by_name("p2").and_then(|id| store.port(id)).unwrap();
        for (family, expected) in [(V4, v4), (V6, v6)] {
            let found: Vec<_> = port_addresses(port, family).iter().map(ToString::to_string).collect();
            assert_eq!(found, expected, "{addresses} and {allocated}");
        }
    }
}
