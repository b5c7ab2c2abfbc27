//! What the installed OVN release does with hand-made rows, on one chassis and with the gateway on another.
//!
//! `scripts/lab facts` prints the same as a table.

use std::net::SocketAddr;

use anyhow::Result;
use ovn_extaddr_tests::Protocol;
use ovn_extaddr_tests::lab::{Family, Lab, facts};
use serde_json::json;

fn check_assumptions(lab: &mut Lab, chassis: usize) -> Result<()> {
    let (c1, c2) = (lab.instance("c1", chassis)?, lab.instance("c2", chassis)?);
    let facts = facts::measure(lab, &c1, &c2)?;
    assert!(facts.iter().all(|fact| fact.wrong.is_empty()), "\n{}", facts::table(&facts));
    Ok(())
}

#[test]
fn assumptions_about_ovn_hold_on_one_chassis() -> Result<()> {
    check_assumptions(&mut Lab::builder().start()?, 0)
}

#[test]
fn assumptions_about_ovn_hold_with_the_gateway_on_another_chassis() -> Result<()> {
    check_assumptions(&mut Lab::builder().chassis(2).start()?, 1)
}

#[test]
fn row_without_port_range_beside_a_forward_is_a_hazard() -> Result<()> {
    let mut lab = Lab::builder().start()?;
    let c1 = lab.instance("c1", 0)?;
    for (family, external) in [(Family::V4, "203.0.113.10"), (Family::V6, "2001:db8::10")] {
        let (external, internal) = (external.parse()?, c1.address(family)?);
        let pair = (SocketAddr::new(external, 40_000), SocketAddr::new(internal, 80));
        lab.net().add_forwards(Protocol::Tcp, &[pair])?;
        lab.net().add_nat("snat", external, &internal.to_string())?;
    }
    lab.sync()?;
    let found = lab.hazards()?;
    let ports: Vec<u16> = found.iter().map(|hazard| hazard.port).collect();
    assert_eq!(ports, [40_000, 40_000], "one for each family: {found:#?}");

    lab.ovn().nb.transact(vec![json!({
        "op": "update", "table": "NAT", "where": [], "row": {"external_port_range": "1024-39999"},
    })])?;
    lab.sync()?;
    assert_eq!(lab.hazards()?, []);
    Ok(())
}
