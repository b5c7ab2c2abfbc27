use std::net::IpAddr;

use uuid::Uuid;

use super::*;

/// The present time, and when ovn-northd and the chassis were done.
const NOW: u64 = 1_795_000_000_000;
const DONE: u64 = NOW - 600_000;

const NAT: Uuid = Uuid::from_u128(0x05316a14_0000_0000_0000_000000000001);
const ROUTER: Uuid = Uuid::from_u128(1);
const DATAPATH: Uuid = Uuid::from_u128(2);
const HERE: Uuid = Uuid::from_u128(3);
const THERE: Uuid = Uuid::from_u128(4);

/// The flows that ovn-northd of a release makes for `snat 203.0.113.10 10.57.0.11`, for the network's own SNAT, and by
/// default.
const OVN_23_03: &str = r#"
lr_out_snat 162 05316a14 | ip && ip4.src == 10.57.0.11 && outport == "R-ext" && is_chassis_resident("cr-R-ext") && reg9[4] == 1 | reg9[4] = 0; ct_snat(203.0.113.10,1024-39999);
lr_out_snat 161 05316a14 | ip && ip4.src == 10.57.0.11 && outport == "R-ext" && is_chassis_resident("cr-R-ext") | ct_snat_in_czone(203.0.113.10,1024-39999);
lr_out_snat 154 0badbad0 | ip && ip4.src == 10.57.0.0/24 && outport == "R-ext" && is_chassis_resident("cr-R-ext") && reg9[4] == 1 | reg9[4] = 0; ct_snat(203.0.113.2);
lr_out_snat 153 0badbad0 | ip && ip4.src == 10.57.0.0/24 && outport == "R-ext" && is_chassis_resident("cr-R-ext") | ct_snat_in_czone(203.0.113.2);
lr_out_snat 120 - | nd_ns | next;
lr_out_snat 0 - | 1 | next;
lr_in_unsnat 120 1badbad1 | ip4 && ip4.dst == 203.0.113.10 && tcp && tcp.dst == 40000 | next;
lr_in_unsnat 100 05316a14 | ip && ip4.dst == 203.0.113.10 && inport == "R-ext" && flags.loopback == 0 && is_chassis_resident("cr-R-ext") | ct_snat_in_czone;
lr_in_unsnat 100 05316a14 | ip && ip4.dst == 203.0.113.10 && inport == "R-ext" && flags.loopback == 1 && flags.use_snat_zone == 1 && is_chassis_resident("cr-R-ext") | ct_snat;
lr_in_unsnat 0 - | 1 | next;
"#;

const OVN_26_03: &str = r#"
lr_out_snat 166 - | ip && ip4.dst == 10.57.0.12 && inport == "R-ext" && is_chassis_resident("cr-R-ext") && (!ct.trk || !ct.rpl) | ct_dnat;
lr_out_snat 161 05316a14 | ip && ip4.src == 10.57.0.11 && outport == "R-ext" && is_chassis_resident("cr-R-ext") && (!ct.trk || !ct.rpl) | ct_snat(203.0.113.10,1024-39999);
lr_out_snat 161 05316a14 | ip && ip4.dst == 10.57.0.11 && inport == "R-ext" && is_chassis_resident("cr-R-ext") && (!ct.trk || !ct.rpl) | ct_snat;
lr_out_snat 153 0badbad0 | ip && ip4.src == 10.57.0.0/24 && outport == "R-ext" && is_chassis_resident("cr-R-ext") && (!ct.trk || !ct.rpl) | ct_snat(203.0.113.2);
lr_out_snat 120 - | nd_ns | next;
lr_out_snat 120 - | flags.skip_snat_for_lb == 1 && ip | next;
lr_out_snat 0 - | 1 | next;
lr_in_unsnat 120 1badbad1 | ip4 && ip4.dst == 203.0.113.10 && tcp && tcp.dst == 40000 | next;
lr_in_unsnat 100 05316a14 | ip && ip4.dst == 203.0.113.10 && inport == "R-ext" && is_chassis_resident("cr-R-ext") | ct_snat;
lr_in_unsnat 0 - | 1 | next;
"#;

/// The same on a router with `options:chassis`, of any release.
const GATEWAY_ROUTER: &str = r#"
lr_out_snat 120 - | nd_ns | next;
lr_out_snat 100 - | flags.force_snat_for_lb == 1 && ip4 | ct_snat(203.0.113.2);
lr_out_snat 33 05316a14 | ip && ip4.src == 10.57.0.11 && (!ct.trk || !ct.rpl) | ct_snat(203.0.113.10,1024-39999);
lr_out_snat 25 0badbad0 | ip && ip4.src == 10.57.0.0/24 && (!ct.trk || !ct.rpl) | ct_snat(203.0.113.2);
lr_out_snat 0 - | 1 | next;
lr_in_unsnat 120 1badbad1 | ip4 && ip4.dst == 203.0.113.10 && tcp && tcp.dst == 40000 | next;
lr_in_unsnat 110 - | ip4 && ip4.dst == 203.0.113.2 | ct_snat;
lr_in_unsnat 90 05316a14 | ip && ip4.dst == 203.0.113.10 | ct_snat;
lr_in_unsnat 0 - | 1 | next;
"#;

/// Databases in which an override works.
struct Site {
    flows: String,
    wanted: Override,
    northbound: Northbound,
    southbound: Southbound,
}

impl Site {
    fn new(flows: &str) -> Self {
        let is_distributed = flows != GATEWAY_ROUTER;
        let chassis = |name: &str| Chassis {
            name: name.to_owned(),
            hostname: format!("{name}.example"),
            nb_cfg: Some(5),
            nb_cfg_timestamp: DONE,
            has_private_row: true,
        };
        let gateway = Gateway {
            router_port: "R-ext".to_owned(),
            binding: if is_distributed { "cr-R-ext" } else { "R-ext" }.to_owned(),
            is_distributed,
            chassis: Some(HERE),
        };
        let southbound = Southbound {
            nb_cfg: 5,
            datapaths: [(ROUTER, DATAPATH)].into(),
            gateways: [(DATAPATH, vec![gateway])].into(),
            ports: [("p1".to_owned(), Binding { chassis: Some(THERE), up: Some(true) })].into(),
            chassis: [(HERE, chassis("gw1")), (THERE, chassis("host1"))].into(),
            ..Southbound::default()
        };
        let wanted = Override {
            port: "p1".to_owned(),
            router: "R".to_owned(),
            router_uuid: ROUTER,
            nat: NAT,
            internal: IpAddr::from([10, 57, 0, 11]),
            external: IpAddr::from([203, 0, 113, 10]),
            ports: "1024-39999".parse().ok(),
            gateway_port: None,
        };
        let northbound = Northbound { nb_cfg: 5, sb_cfg: 5, sb_cfg_timestamp: DONE };
        Self { flows: flows.to_owned(), wanted, northbound, southbound }
    }

    fn gateway(&mut self) -> &mut Gateway {
        &mut self.southbound.gateways.get_mut(&DATAPATH).unwrap()[0]
    }

    /// Removes the flows whose line contains this.
    fn without(&mut self, part: &str) {
        assert!(self.flows.contains(part), "{part}");
        self.flows =
            self.flows.lines().filter(|line| !line.contains(part)).map(|line| format!("{line}\n")).collect();
    }

    fn with(&mut self, flow: &str) {
        self.flows += &format!("{flow}\n");
    }

    fn verify(mut self) -> Findings {
        let addresses = [self.wanted.internal, self.wanted.external].into();
        for line in self.flows.lines().filter(|line| !line.is_empty()) {
            let parts: Vec<&str> = line.split(" | ").collect();
            let [head, matching, actions] = parts[..] else { panic!("{line}") };
            let head: Vec<&str> = head.split(' ').collect();
            let flow = Flow {
                priority: head[1].parse().unwrap(),
                matching: matching.into(),
                actions: actions.into(),
                hint: (head[2] != "-").then(|| head[2].into()),
            };
            self.southbound.insert_flow(DATAPATH, head[0], flow, &addresses);
        }
        verify(&self.wanted, &self.northbound, &self.southbound, NOW)
    }
}

/// The checks that did not pass, each as `code outcome`.
fn bad(findings: &Findings) -> Vec<String> {
    let bad = findings.checks.iter().filter(|check| check.outcome != Outcome::Ok);
    bad.map(|check| format!("{} {}", check.check.name(), check.outcome.name())).collect()
}

fn message(findings: &Findings, code: Code) -> &str {
    &findings.checks.iter().find(|check| check.check == code).unwrap().message
}

#[test]
fn working_override_is_verified_on_every_release() {
    for flows in [OVN_23_03, OVN_26_03, GATEWAY_ROUTER] {
        let findings = Site::new(flows).verify();
        assert_eq!(bad(&findings), [""; 0], "{findings:#?}");
        assert_eq!(findings.checks.len(), 9);
        assert_eq!(findings.chassis.as_deref(), Some("gw1"));
        assert!(findings.checks.iter().all(|check| check.cure.is_none()));
    }
}

#[test]
fn ipv6_override_is_verified_with_its_flow_priority() {
    let mut site = Site::new(OVN_26_03);
    site.wanted.internal = "fd42:57::b".parse().unwrap();
    site.wanted.external = "2001:db8::10".parse().unwrap();
    site.wanted.ports = None;
    site.flows = OVN_26_03
        .replace("ip4", "ip6")
        .replace("10.57.0.11", "fd42:57::b")
        .replace("10.57.0.0/24", "fd42:57::/64")
        .replace("203.0.113.2", "2001:db8::2")
        .replace("203.0.113.10", "2001:db8::10")
        .replace(",1024-39999", "")
        .replace(" 161 ", " 257 ")
        .replace(" 166 ", " 262 ")
        .replace("10.57.0.12", "fd42:57::c")
        .replace(" 153 ", " 193 ");
    site.without("tcp.dst");
    assert_eq!(bad(&site.verify()), [""; 0]);
}

/// A change of a working site, and the findings.
type Case = (&'static str, fn(&mut Site), &'static [&'static str]);

const CASES: &[Case] = &[
    ("no datapath", |site| site.southbound.datapaths.clear(), &["in-step unknown", "datapath failed"]),
    (
        "northd is behind and has no flow",
        |site| {
            site.northbound.nb_cfg = 6;
            site.without("05316a14");
        },
        &["in-step failed", "snat failed"],
    ),
    ("northd is behind and has the flow", |site| site.northbound.nb_cfg = 6, &["in-step unknown"]),
    (
        "another Northbound's",
        |site| {
            site.southbound.nb_cfg = 9;
            site.southbound.chassis.values_mut().for_each(|chassis| chassis.nb_cfg = Some(9));
        },
        &["in-step failed"],
    ),
    ("no flow of the row", |site| site.without("05316a14"), &["in-step unknown", "snat failed"]),
    ("no flow at all", |site| site.flows.clear(), &["in-step unknown", "snat unknown"]),
    (
        "no flow but for what the router forwards",
        |site| site.without("lr_out_snat 161 05316a14"),
        &["in-step unknown", "snat failed"],
    ),
    ("no flow back", |site| site.without("lr_in_unsnat 100 05316a14"), &["unsnat failed"]),
    ("other source ports", |site| site.wanted.ports = None, &["snat failed"]),
    ("another priority", |site| site.flows = site.flows.replace(" 161 ", " 170 "), &["snat unknown"]),
    (
        "on every chassis",
        |site| {
            site.flows = site.flows.replace(" && is_chassis_resident(\"cr-R-ext\")", "");
        },
        &["snat unknown"],
    ),
    (
        "a rival of the same priority",
        |site| {
            site.with(r#"lr_out_snat 161 deadbeef | ip && ip4.src == 10.57.0.11 && outport == "R-ext" && is_chassis_resident("cr-R-ext") | ct_snat(203.0.113.99);"#);
        },
        &["rival failed"],
    ),
    (
        "a rival for some peers",
        |site| {
            site.with(r#"lr_out_snat 161 deadbeef | ip && ip4.src == 10.57.0.11 && outport == "R-ext" && is_chassis_resident("cr-R-ext") && ip4.dst == $set | ct_snat(203.0.113.99);"#);
        },
        &["rival failed"],
    ),
    (
        "peers that are exempted by another row",
        |site| {
            site.with(r#"lr_out_snat 163 deadbeef | ip && ip4.src == 10.57.0.11 && outport == "R-ext" && ip4.dst == $set | next;"#);
        },
        &["rival unknown"],
    ),
    (
        "a flow that nobody understands",
        |site| {
            site.with("lr_out_snat 900 - | ip && magic(\"x\") | drop;");
        },
        &["rival unknown"],
    ),
    (
        "an instance is bound nowhere",
        |site| site.southbound.ports.get_mut("p1").unwrap().chassis = None,
        &["port failed"],
    ),
    ("an instance's chassis is gone", |site| drop(site.southbound.chassis.remove(&THERE)), &["port failed"]),
    (
        "an instance is not up",
        |site| site.southbound.ports.get_mut("p1").unwrap().up = Some(false),
        &["port failed"],
    ),
    ("an instance's port is not there", |site| site.southbound.ports.clear(), &["port failed"]),
    ("the gateway is bound nowhere", |site| site.gateway().chassis = None, &["gateway failed"]),
    (
        "the gateway's chassis is gone",
        |site| drop(site.southbound.chassis.remove(&HERE)),
        &["gateway failed"],
    ),
    ("there is no gateway", |site| site.southbound.gateways.clear(), &["gateway failed"]),
    (
        "the gateway's chassis lags since long",
        |site| {
            site.southbound.chassis.get_mut(&HERE).unwrap().nb_cfg = Some(4);
        },
        &["chassis failed"],
    ),
    (
        "the gateway's chassis has been asked just now",
        |site| {
            site.southbound.chassis.get_mut(&HERE).unwrap().nb_cfg = Some(4);
            site.northbound.sb_cfg_timestamp = NOW - 1000;
        },
        &["chassis unknown"],
    ),
    (
        "chassis are told not to report",
        |site| {
            site.southbound.chassis.get_mut(&HERE).unwrap().nb_cfg = Some(4);
            site.southbound.is_progress_hidden = true;
        },
        &["chassis unknown"],
    ),
    (
        "the gateway's chassis has no row of its own",
        |site| {
            site.southbound.chassis.get_mut(&HERE).unwrap().nb_cfg = None;
        },
        &["chassis failed"],
    ),
    (
        "nobody was ever asked",
        |site| {
            site.southbound.nb_cfg = 0;
            site.northbound = Northbound::default();
            site.southbound.chassis.values_mut().for_each(|chassis| chassis.nb_cfg = Some(0));
        },
        &["chassis unknown"],
    ),
];

#[test]
fn every_check_detects_its_fault() {
    for flows in [OVN_23_03, OVN_26_03] {
        for (name, change, expected) in CASES {
            let mut site = Site::new(flows);
            change(&mut site);
            let findings = site.verify();
            let mut found = bad(&findings);
            // Without a gateway, flows for one may or may not exist.
            if *name == "there is no gateway" {
                found.retain(|check| check.starts_with("gateway"));
            }
            assert_eq!(found, *expected, "{name}: {findings:#?}");
            let cured = |check: &Check| (check.outcome == Outcome::Ok) == check.cure.is_none();
            assert!(findings.checks.iter().all(cured), "{name}");
        }
    }
}

#[test]
fn missing_snat_flow_reports_the_address_in_effect() {
    let mut site = Site::new(OVN_26_03);
    site.without("05316a14");
    let findings = site.verify();
    let expected = "no flow of R gives 10.57.0.11 the address 203.0.113.10; it leaves as 203.0.113.2";
    assert_eq!(message(&findings, Code::Snat), expected);
}

#[test]
fn replies_taken_by_a_load_balancer_are_found_with_separate_zones() {
    let port_less = "lr_in_unsnat 120 1badbad1 | ip4 && ip4.dst == 203.0.113.10 && tcp | next;";
    let in_range =
        "lr_in_unsnat 120 1badbad1 | ip4 && ip4.dst == 203.0.113.10 && udp && udp.dst == 2000 | next;";
    for flow in [port_less, in_range] {
        for (release, expected) in
            [(OVN_23_03, &[][..]), (OVN_26_03, &["replies failed"]), (GATEWAY_ROUTER, &["replies failed"])]
        {
            let mut site = Site::new(release);
            site.with(flow);
            assert_eq!(bad(&site.verify()), expected, "{flow}");
        }
    }
    // A match on all source ports includes the forwarded one.
    let mut site = Site::new(OVN_26_03);
    site.wanted.ports = None;
    site.flows = site.flows.replace(",1024-39999", "");
    let findings = site.verify();
    assert_eq!(bad(&findings), ["replies failed"]);
    assert!(
        message(&findings, Code::Replies).contains("tcp by ip4 && ip4.dst == 203.0.113.10"),
        "{findings:#?}"
    );
}

#[test]
fn flow_is_looked_up_at_the_named_gateway_port() {
    let two = |named: &str| {
        let mut site = Site::new(OVN_26_03);
        let second = Gateway {
            router_port: "R-two".to_owned(),
            binding: "cr-R-two".to_owned(),
            is_distributed: true,
            chassis: Some(THERE),
        };
        site.southbound.gateways.get_mut(&DATAPATH).unwrap().push(second);
        site.with(r#"lr_out_snat 161 deadbeef | ip && ip4.src == 10.57.0.11 && outport == "R-two" && is_chassis_resident("cr-R-two") | ct_snat(192.0.2.50);"#);
        site.wanted.gateway_port = (!named.is_empty()).then(|| named.to_owned());
        site.verify()
    };
    for named in ["", "R-ext"] {
        let findings = two(named);
        assert_eq!((bad(&findings), findings.chassis.as_deref()), (vec![], Some("gw1")), "{named}");
    }
    assert_eq!(bad(&two("R-two")), ["in-step unknown", "snat failed"]);
    let gone = two("R-gone");
    assert!(message(&gone, Code::Snat).contains("gateway port R-gone, which is not in"), "{gone:#?}");
}

#[test]
fn restriction_to_peers_is_reported() {
    let mut site = Site::new(OVN_26_03);
    site.flows = site.flows.replace(
        " && (!ct.trk || !ct.rpl) | ct_snat(203.0.113.10",
        " && ip4.dst == $allowed && (!ct.trk || !ct.rpl) | ct_snat(203.0.113.10",
    );
    let findings = site.verify();
    assert_eq!(bad(&findings), [""; 0]);
    assert!(message(&findings, Code::Snat).contains("to some destinations: "), "{findings:#?}");
}

#[test]
fn nb_cfg_of_the_chassis_row_is_read_on_old_releases() {
    for (done, expected) in [(Some(5), &[][..]), (None, &["chassis unknown"])] {
        let mut site = Site::new(OVN_23_03);
        for chassis in site.southbound.chassis.values_mut() {
            *chassis =
                Chassis { nb_cfg: done, nb_cfg_timestamp: 0, has_private_row: false, ..chassis.clone() };
        }
        assert_eq!(bad(&site.verify()), expected);
    }
}
