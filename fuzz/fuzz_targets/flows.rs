//! Logical flows as any release of ovn-northd may write them: a verification ends, and reports on each.
//!
//! A line is `STAGE PRIORITY | MATCH | ACTIONS`.
#![no_main]

use std::collections::HashSet;
use std::net::IpAddr;

use extaddr_core::verify::{Flow, Gateway, Northbound, Outcome, Override, Southbound, verify};
use libfuzzer_sys::fuzz_target;
use uuid::Uuid;

const ROUTER: Uuid = Uuid::from_u128(1);
const DATAPATH: Uuid = Uuid::from_u128(2);

fuzz_target!(|text: &str| {
    for (internal, external, is_distributed) in [
        ([10, 57, 0, 11].into(), [203, 0, 113, 10].into(), true),
        (v6("fd42:57::b"), v6("2001:db8::10"), false),
    ] {
        let wanted = Override {
            port: "p1".to_owned(),
            router: "R".to_owned(),
            router_uuid: ROUTER,
            nat: Uuid::from_u128(3),
            internal,
            external,
            ports: "1024-39999".parse().ok(),
            gateway_port: None,
        };
        let binding = if is_distributed { "cr-R-ext" } else { "R-ext" }.to_owned();
        let gateway = Gateway { router_port: "R-ext".to_owned(), binding, is_distributed, chassis: None };
        let mut southbound = Southbound::default();
        southbound.datapaths.insert(ROUTER, DATAPATH);
        southbound.gateways.insert(DATAPATH, vec![gateway]);
        let addresses: HashSet<IpAddr> = [internal, external].into();
        for line in text.lines() {
            let mut parts = line.splitn(3, " | ");
            let (Some(head), Some(matching), Some(actions)) = (parts.next(), parts.next(), parts.next())
            else {
                continue;
            };
            let (stage, priority) = head.split_once(' ').unwrap_or((head, "0"));
            let flow = Flow {
                priority: priority.parse().unwrap_or_default(),
                matching: matching.into(),
                actions: actions.into(),
                hint: Some("00000000".into()),
            };
            southbound.insert_flow(DATAPATH, stage, flow, &addresses);
        }
        let findings = verify(&wanted, &Northbound::default(), &southbound, 0);
        // The gateway is on no chassis.
        assert_eq!(Outcome::worst(&findings.checks), Outcome::Failed);
        assert!(findings.checks.iter().all(|check| !check.message.is_empty()));
    }
});

fn v6(text: &str) -> IpAddr {
    text.parse().unwrap()
}
