//! One network for each kind of hazard, and cases that are not hazards.

use serde_json::json;

use super::*;
use crate::testing::{Edit, NetworkBuilder, map, reference};

const NEUTRON: &str = "neutron-6b0c7d1a-7a55-4c0e-9b51-3d1c6f0a0001";

/// An edit of a network without hazards, the kinds of hazards that it causes, and the place of the first.
const CASES: &[(Edit, &[&str], &str)] = &[
    (
        |n| n.put("Logical_Router_Port", "R-ext", json!({"ha_chassis_group": ["set", []]})),
        &["nat-without-gateway"],
        "R",
    ),
    (
        |n| {
            n.gateway_port("R", "R-ext2", &["198.51.100.2/24"]);
            n.nat("lost", "R", "snat", "192.0.2.9", "10.99.0.0/24");
        },
        &["nat-without-gateway-port"],
        "10.99.0.0/24 as 192.0.2.9 on R",
    ),
    (
        |n| n.nat("mixed", "R", "snat", "203.0.113.9", "fd42:57::/64"),
        &["nat-ignored"],
        "fd42:57::/64 as 203.0.113.9 on R (",
    ),
    (
        |n| {
            n.gateway_port("R", "R-ext", &["203.0.113.2/24", "203.0.113.7/24"]);
            n.nat("own", "R", "dnat", "203.0.113.7", "10.57.0.11");
        },
        &["nat-ignored"],
        "10.57.0.11 as 203.0.113.7 on R (",
    ),
    (
        |n| n.nat("all", "R", "dnat_and_snat", "198.51.100.0/24", "10.57.0.11"),
        &["nat-network"],
        "10.57.0.11 as 198.51.100.0/24 on R",
    ),
    (
        |n| n.balancer("fw", &[("203.0.113.10:80", "10.57.0.11")], &["R"]),
        &["vip-ignored"],
        "203.0.113.10:80 of fw (",
    ),
    (
        |n| {
            n.balancer("nodeport", &[("^vip:80", "^backends")], &["R"]);
            n.put("Load_Balancer", "nodeport", json!({"options": map(&[("template", "true")])}));
        },
        &["template"],
        "nodeport",
    ),
    (
        |n| {
            n.own_row("p1", "203.0.113.10", "10.57.0.11", None);
            n.nat("policy", "R", "snat", "203.0.113.9", "10.57.0.0/24");
            n.put("NAT", "policy", json!({"match": "tcp"}));
        },
        &["match-first"],
        "10.57.0.0/24 as 203.0.113.9 on R if tcp",
    ),
    (
        |n| {
            n.own_row("p1", "203.0.113.10", "10.57.0.11", None);
            n.nat("policy", "R", "snat", "203.0.113.9", "10.57.0.0/28");
            let peers = reference("Address_Set", "peers");
            n.put("NAT", "policy", json!({"match": "tcp", "exempted_ext_ips": peers}));
        },
        &["match-first"],
        "10.57.0.0/28 as 203.0.113.9 on R if tcp",
    ),
    (
        |n| {
            n.own_row("p1", "203.0.113.10", "10.57.0.11", None);
            n.put("NAT", "base", json!({"exempted_ext_ips": reference("Address_Set", "peers")}));
        },
        &["exemptions"],
        "10.57.0.11 as 203.0.113.10 on R",
    ),
    (
        |n| {
            n.balancer("fw", &[("203.0.113.10:80", "10.57.0.11:80")], &["R"]);
            n.router("R2");
            n.router_port("R2", "R2-ext", &["203.0.113.10/24"]);
        },
        &["address-of-router"],
        "203.0.113.10, which R forwards, of R2",
    ),
    (
        |n| n.nat("again", "R", "snat", "203.0.113.3", "10.57.0.0/255.255.255.0"),
        &["rival-snat"],
        "10.57.0.0/24 as 203.0.113.2, 203.0.113.3 on R",
    ),
    (
        |n| n.nat("base6", "R", "snat", "2001:DB8::2", "fd42:57::/64"),
        &["address-spelling"],
        "fd42:57::/64 as 2001:DB8::2 on R",
    ),
    (
        |n| n.instance("p2", "02:00:00:00:00:12 10.57.0.11"),
        &["address-twice"],
        "10.57.0.11 of p1, p2 behind R",
    ),
    (
        |n| {
            n.router("R2");
            n.balancer("fw", &[("203.0.113.10:80", "10.57.0.11:80")], &["R", "R2"]);
        },
        &["forward-twice"],
        "203.0.113.10 by R, R2",
    ),
    (
        |n| n.balancer("fw", &[("203.0.113.10", "10.57.0.11")], &["R"]),
        &["default-target"],
        "203.0.113.10 on R",
    ),
    (
        |n| {
            n.balancer("fw", &[("203.0.113.2", "10.57.0.11")], &["R"]);
        },
        &["default-target", "default-target-snat"],
        "203.0.113.2 on R",
    ),
    (
        |n| n.balancer("fw", &[("203.0.113.2:2000", "10.57.0.11:80")], &["R"]),
        &["listening-source-port"],
        "10.57.0.0/24 as 203.0.113.2 on R",
    ),
    (
        |n| n.nat("one", "R", "snat", "203.0.113.9", "10.57.0.12"),
        &["foreign-override"],
        "10.57.0.12 as 203.0.113.9 on R",
    ),
    (
        |n| {
            n.put("Logical_Router", "R", json!({"name": NEUTRON}));
            n.own_row("p1", "203.0.113.10", "10.57.0.11", None);
        },
        &["neutron"],
        NEUTRON,
    ),
    (
        |n| {
            n.put("Logical_Router", "R", json!({"name": NEUTRON}));
            let name = n.row_of_role(Role::Drain, "p1", "203.0.113.10", &[]);
            n.put(
                "NAT",
                &name,
                json!({"type": "snat", "external_ip": "203.0.113.10", "logical_ip": "240.0.0.1"}),
            );
        },
        &["neutron"],
        NEUTRON,
    ),
];

fn found(network: &NetworkBuilder) -> Vec<Hazard> {
    all(network.rules.network(&network.store()))
}

#[test]
fn every_hazard_is_found_with_its_place() {
    for &(change, codes, place) in CASES {
        let mut network = NetworkBuilder::new();
        assert_eq!(network.hazards(), Vec::<&str>::new());
        change(&mut network);
        assert_eq!(network.hazards(), codes);
        let places = found(&network)[0].places.clone();
        assert!(matches!(&places[..], [one] if one.starts_with(place)), "{codes:?}: {places:?}");
    }
}

#[test]
fn every_hazard_has_a_test_network() {
    let found: BTreeSet<_> = CASES.iter().flat_map(|(_, codes, _)| codes.iter().copied()).collect();
    let network = NetworkBuilder::new();
    let kinds = kinds(network.rules.network(&network.store()));
    assert_eq!(found, kinds.iter().map(|hazard| hazard.code).collect());
}

#[test]
fn harmless_networks_have_no_hazards() {
    let harmless: [(&str, Edit); 18] = [
        ("a port that is listened on, beside a drain row, which makes no connections", |n| {
            n.drain_row("p1", "203.0.113.10", "10.57.0.11", 1_800_000_100);
            n.balancer("fw", &[("203.0.113.10:2000", "10.57.0.11:80")], &["R"]);
        }),
        ("a router without a gateway that has no NAT", |n| n.router("R2")),
        ("a row at a gateway port that it names, of several", |n| {
            n.gateway_port("R", "R-ext2", &["198.51.100.2/24"]);
            n.nat("named", "R", "snat", "192.0.2.9", "10.99.0.0/24");
            n.nat_at("named", "R-ext2");
        }),
        ("a template on no router", |n| {
            n.balancer("nodeport", &[("^vip:80", "^backends")], &[]);
            n.put("Load_Balancer", "nodeport", json!({"options": map(&[("template", "true")])}));
        }),
        ("a match where no row is ours", |n| {
            n.nat("policy", "R", "snat", "203.0.113.9", "10.57.0.0/24");
            n.put("NAT", "policy", json!({"match": "tcp"}));
        }),
        ("a match that forwards only, beside a row of ours", |n| {
            n.own_row("p1", "203.0.113.9", "10.57.0.11", None);
            n.nat("policy", "R", "dnat", "203.0.113.10", "10.57.0.12");
            n.put("NAT", "policy", json!({"match": "tcp"}));
        }),
        ("exemptions of a network that has no row of the agent", |n| {
            n.own_row("p1", "203.0.113.9", "10.57.0.11", None);
            n.nat("other", "R", "snat", "203.0.113.2", "10.58.0.0/24");
            n.put("NAT", "other", json!({"exempted_ext_ips": reference("Address_Set", "peers")}));
        }),
        ("exemptions of a wider network than that of which it is", |n| {
            n.own_row("p1", "203.0.113.9", "10.57.0.11", None);
            n.nat("wide", "R", "snat", "203.0.113.2", "10.0.0.0/8");
            n.put("NAT", "wide", json!({"exempted_ext_ips": reference("Address_Set", "peers")}));
        }),
        ("a forward address that its own router has", |n| {
            n.balancer("fw", &[("203.0.113.2:80", "10.57.0.11:80")], &["R"]);
            n.put("NAT", "base", json!({"external_ip": "203.0.113.3"}));
        }),
        ("rows that a match tells apart", |n| {
            n.nat("policy", "R", "snat", "203.0.113.3", "10.57.0.0/24");
            n.put("NAT", "policy", json!({"match": "tcp"}));
        }),
        ("rows that a gateway port tells apart", |n| {
            n.gateway_port("R", "R-ext2", &["198.51.100.2/24"]);
            n.nat("other", "R", "snat", "198.51.100.2", "10.57.0.0/24");
        }),
        ("one address behind two routers", |n| {
            n.router("R2");
            n.put("Logical_Switch", "S2", json!({"name": "S2"}));
            n.router_port("R2", "R2-S2", &["10.57.0.1/24"]);
            n.join("S2", "R2-S2");
            n.switch_port("S2", "p2", json!({"addresses": "02:00:00:00:00:12 10.57.0.11"}));
        }),
        ("a port that chooses no source port", |n| {
            n.balancer("fw", &[("203.0.113.2:2000", "10.57.0.11:80")], &["R"]);
            n.put("NAT", "base", json!({"external_port_range": "2001-65535"}));
        }),
        ("a row for both directions with an address that is forwarded by ports", |n| {
            n.balancer("fw", &[("203.0.113.10:2000", "10.57.0.11:80")], &["R"]);
            n.nat("both", "R", "dnat_and_snat", "203.0.113.10", "10.57.0.12");
        }),
        ("a row that leaves an address as it is", |n| n.nat("one", "R", "snat", "10.57.0.12", "10.57.0.12")),
        ("a router of Neutron without overrides", |n| n.put("Logical_Router", "R", json!({"name": NEUTRON}))),
        ("an override on a router that is only called like Neutron's", |n| {
            n.put("Logical_Router", "R", json!({"name": "neutron-gateway"}));
            n.own_row("p1", "203.0.113.9", "10.57.0.11", None);
        }),
        ("a row of ours", |n| n.own_row("p1", "203.0.113.9", "10.57.0.11", None)),
    ];
    for (what, change) in harmless {
        let mut network = NetworkBuilder::new();
        change(&mut network);
        assert_eq!(network.hazards(), Vec::<&str>::new(), "{what}");
    }
}

#[test]
fn long_list_of_places_is_abbreviated() {
    let mut network = NetworkBuilder::new();
    for n in 1..=5 {
        network.nat(&format!("n{n}"), "R", "snat", "203.0.113.9", &format!("10.57.0.{n}"));
    }
    let hazards = found(&network);
    let named = |range: std::ops::RangeInclusive<u8>| -> Vec<_> {
        range.map(|n| format!("10.57.0.{n} as 203.0.113.9 on R")).collect()
    };
    assert_eq!(hazards[0].places.iter().collect::<BTreeSet<_>>(), named(1..=5).iter().collect());
    assert!(hazards[0].places().ends_with(" and 2 more"), "{}", hazards[0].places());
    assert_eq!(hazards[0].places().matches(" as 203.0.113.9 on R").count(), MAX_NAMED);
}

#[test]
fn rows_are_counted_by_owner() {
    let mut network = NetworkBuilder::new();
    network.own_row("p1", "203.0.113.9", "10.57.0.11", None);
    network.own_row("p2", "203.0.113.9", "10.57.0.12", None);
    network.nat("foreign", "R", "snat", "203.0.113.3", "10.58.0.0/24");
    assert_eq!(owners(&network.store()), [("ovn-extaddr".to_owned(), 2)].into());
}

#[test]
fn only_routers_that_answer_for_the_address_share_it() {
    let forwarded = |edit: Edit| {
        let mut network = NetworkBuilder::new();
        network.balancer("fw", &[("203.0.113.10:80", "10.57.0.11:80")], &["R"]);
        network.router("R2");
        edit(&mut network);
        network.hazards().contains(&"address-of-router")
    };
    fn snat(n: &mut NetworkBuilder) {
        n.gateway_port("R2", "R2-ext", &["203.0.113.3/24"]);
        n.nat("two", "R2", "snat", "203.0.113.10", "10.58.0.0/24");
    }
    assert!(forwarded(snat));
    let others: [(&str, Edit); 4] = [
        ("its row only forwards", |n| {
            snat(n);
            n.put("NAT", "two", json!({"type": "dnat", "logical_ip": "10.58.0.11"}));
        }),
        ("its row is an agent's", |n| {
            snat(n);
            n.put("NAT", "two", json!({"external_ids": map(&[(ovn_model::keys::OWNER, "other")])}));
        }),
        ("it has no gateway", |n| {
            n.router_port("R2", "R2-ext", &["203.0.113.3/24"]);
            n.nat("two", "R2", "snat", "203.0.113.10", "10.58.0.0/24");
        }),
        ("its port is joined to another router only", |n| {
            n.router_port("R2", "R2-ext", &["203.0.113.10/24"]);
            n.put("Logical_Router_Port", "R2-ext", json!({"peer": "R3-in"}));
        }),
    ];
    for (why, edit) in others {
        assert!(!forwarded(edit), "{why}");
    }
}

#[test]
fn every_kind_of_hazard_has_a_meaning_a_cure_and_a_level() {
    let network = NetworkBuilder::new();
    let store = network.store();
    let kinds = kinds(network.rules.network(&store));
    assert!(kinds.iter().all(|hazard| hazard.cure.len() > 3 && hazard.meaning.len() > 3));
    let wrong = kinds.iter().filter(|hazard| hazard.is_wrong).map(|hazard| hazard.code);
    let expected = [
        "nat-without-gateway",
        "nat-without-gateway-port",
        "nat-ignored",
        "nat-network",
        "vip-ignored",
        "address-of-router",
        "rival-snat",
        "address-twice",
        "default-target-snat",
    ];
    assert_eq!(wrong.collect::<Vec<_>>(), expected);
}
