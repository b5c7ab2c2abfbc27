//! `verify` compared with packets: it succeeds where they leave with the address and replies return, and fails where not.

use std::net::{IpAddr, SocketAddr};

use anyhow::{Context, Result, ensure};
use ovn_extaddr_tests::lab::{Family, Host, Lab, Proto};
use ovn_extaddr_tests::{Cli, DefaultTarget, Protocol, eventually};
use serde_json::{Value, json};

use crate::stage::{SOON, Seen, Stage, egress};

/// The checks of an instance's IPv4 override that are not ok, each as `check outcome`.
fn found(lab: &mut Lab, host: &Host) -> Result<Vec<String>> {
    let (northbound, southbound) = (lab.ovn().nb.remote(), lab.ovn().sb.remote());
    let output =
        Cli::new(northbound)?.run(&["verify", host.port()?, "--sb-db", &southbound, "--format=json"])?;
    let elements: Vec<Value> = serde_json::from_str(&output.stdout).with_context(|| format!("{output:?}"))?;
    let element = elements.iter().find(|element| element["family"] == "ipv4");
    let checks = element.and_then(|element| element["checks"].as_array());
    let checks = checks.with_context(|| format!("no checks: {output:?}"))?;
    let bad = checks.iter().filter(|check| check["outcome"] != "ok");
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let bad: Vec<_> =
        bad.map(|check| format!("{} {}", text(&check["check"]), text(&check["outcome"]))).collect();
    let has_failed = bad.iter().any(|check| check.ends_with("failed"));
    ensure!(output.code() == Some(i32::from(has_failed)), "{output:?}");
    Ok(bad)
}

/// Removes our row's range of source ports, as only a test would.
fn without_range(lab: &mut Lab) -> Result<()> {
    let ours = json!(["external_ids", "includes", ["map", [["ovn-extaddr:role", "egress"]]]]);
    lab.ovn().nb.transact(vec![
        json!({"op": "update", "table": "NAT", "where": [ours], "row": {"external_port_range": ""}}),
    ])?;
    lab.sync()
}

#[test]
fn verify_reports_what_packets_show() -> Result<()> {
    let mut lab = Lab::builder().chassis(2).start()?;
    let (c1, c2) = (lab.instance("c1", 1)?, lab.instance("c2", 1)?);
    let mut agent = lab.agent()?;
    let stage = |lab: &Lab, play: &dyn Fn(&Stage<'_>) -> Result<()>| {
        play(&Stage { lab, agent: &agent, c1: &c1, c2: &c2, family: Family::V4 })
    };
    let address: IpAddr = [203, 0, 113, 16].into();
    stage(&lab, &|stage| {
        ensure!(stage.a() == address);
        stage.forward(address, 40_000, &c1, 8080)?;
        stage.ask(&c1, Some(address))?;
        stage.settles([egress("A", &c1)])?;
        stage.leaves_as(&c1, address)
    })?;
    assert_eq!(found(&mut lab, &c1)?, [""; 0]);
    agent.kill9()?;

    // A source port that is forwarded, and not excluded: whether the connection fails depends on the release.
    without_range(&mut lab)?;
    let answered = lab.outbound(&c1, Proto::Tcp, Family::V4, Some(40_000))?.answered;
    let bad = found(&mut lab, &c1)?;
    assert_eq!(bad.contains(&"replies failed".to_owned()), !answered, "answered: {answered}, {bad:?}");

    // The same for a VIP without a port.
    lab.net().remove_forward(address)?;
    lab.net().add_default_target(address, c1.address(Family::V4)?, DefaultTarget::Vip)?;
    lab.sync()?;
    lab.flush()?;
    let answered = lab.outbound(&c1, Proto::Tcp, Family::V4, None)?.answered;
    let bad = found(&mut lab, &c1)?;
    assert_eq!(bad.contains(&"replies failed".to_owned()), !answered, "answered: {answered}, {bad:?}");
    lab.net().remove_forward(address)?;
    let pair = (SocketAddr::new(address, 80), SocketAddr::new(c1.address(Family::V4)?, 8080));
    lab.net().add_forwards(Protocol::Tcp, &[pair])?;
    lab.sync()?;

    // Somebody else's row for the instance.
    let rival = lab.net().add_nat("snat", [203, 0, 113, 99].into(), &c1.address(Family::V4)?.to_string())?;
    lab.sync()?;
    assert!(found(&mut lab, &c1)?.contains(&"rival failed".to_owned()));
    lab.net().remove_nat(&rival)?;
    lab.sync()?;

    // Flows that are gone, while northd cannot make them again.
    lab.ovn().northd().signal("STOP")?;
    lab.ovn().sb.transact(vec![json!({"op": "delete", "table": "Logical_Flow", "where": [
        ["external_ids", "includes", ["map", [["stage-name", "lr_out_snat"]]]], ["priority", ">=", 161],
    ]})])?;
    lab.flush()?;
    eventually(SOON, "packets leave with the network's own address", || {
        let seen = lab.outbound(&c1, Proto::Udp, Family::V4, None)?;
        seen.is(lab.net().external_ipv4().map(IpAddr::V4).context("no address")?)?;
        Ok(true)
    })?;
    assert!(found(&mut lab, &c1)?.contains(&"snat failed".to_owned()));
    lab.ovn().northd().signal("CONT")?;
    Ok(())
}

#[test]
fn verify_reports_a_missing_gateway() -> Result<()> {
    let mut lab = Lab::builder().chassis(2).start()?;
    let (c1, c2) = (lab.instance("c1", 1)?, lab.instance("c2", 1)?);
    let agent = lab.agent()?;
    let address: IpAddr = [203, 0, 113, 16].into();
    let stage = Stage { lab: &lab, agent: &agent, c1: &c1, c2: &c2, family: Family::V4 };
    stage.forward(address, 80, &c1, 8080)?;
    stage.ask(&c1, Some(address))?;
    stage.settles([egress("A", &c1)])?;
    assert_eq!(found(&mut lab, &c1)?, [""; 0]);
    let gateway = lab.gateway();
    // One that is killed leaves its chassis there, and only the next `nb_cfg` shows it.
    lab.chassis()[gateway].controller().kill9()?;
    lab.ovn().sync()?;
    assert_eq!(found(&mut lab, &c1)?, ["chassis unknown"]);
    // One that exits by command (`ovn-appctl exit`) removes it.
    lab.ovn().sbctl(&["chassis-del", "gateway-1"])?;
    eventually(SOON, "the gateway is found to be nowhere", || {
        let bad = found(&mut lab, &c1)?;
        ensure!(bad == ["gateway failed"], "{bad:?}");
        Ok(true)
    })?;
    ensure!(!lab.outbound(&c1, Proto::Udp, Family::V4, None)?.answered, "who answers?");
    Ok(())
}
