//! The agent's rows, and what happens to packets.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use anyhow::{Result, bail};
use ovn_extaddr_tests::lab::{Family, Host, Lab, Proto};
use ovn_extaddr_tests::{Protocol, eventually};

const SOON: Duration = Duration::from_secs(20);

fn forward_address(family: Family) -> IpAddr {
    match family {
        Family::V4 => [203, 0, 113, 10].into(),
        Family::V6 => [0x2001, 0xdb8, 0, 0, 0, 0, 0, 0x10].into(),
    }
}

fn network_address(lab: &Lab, family: Family) -> IpAddr {
    let (v4, v6) = (lab.net().external_ipv4().map(IpAddr::V4), lab.net().external_ipv6().map(IpAddr::V6));
    if family == Family::V4 { v4 } else { v6 }.expect("the network has both families")
}

/// Forwards TCP and UDP to the instance, port 8080.
fn forward(lab: &Lab, listen: u16, to: &Host) -> Result<()> {
    for family in Family::BOTH {
        let pair =
            (SocketAddr::new(forward_address(family), listen), SocketAddr::new(to.address(family)?, 8080));
        lab.net().add_forwards(Protocol::Tcp, &[pair])?;
        lab.net().add_forwards(Protocol::Udp, &[pair])?;
    }
    Ok(())
}

/// Annotates the instance for both families, and waits until the rows are there and in effect.
fn ask(lab: &Lab, host: &Host) -> Result<()> {
    for (family, key) in [(Family::V4, "ipv4.address.external"), (Family::V6, "ipv6.address.external")] {
        lab.net().annotate(host.port()?, key, Some(&forward_address(family).to_string()))?;
    }
    eventually(SOON, "the agent writes both rows", || {
        for family in Family::BOTH {
            let (external, internal) =
                (forward_address(family).to_string(), host.address(family)?.to_string());
            let rows = lab.net().nats()?;
            if !rows.iter().any(|nat| {
                nat.external_ip == external && nat.logical_ip.split('/').next() == Some(internal.as_str())
            }) {
                bail!("no {family} row among {rows:?}");
            }
        }
        Ok(true)
    })?;
    lab.sync()
}

/// No flow can take a reply away, and everything that the instance sends is seen with its forward address.
fn assert_forward_address_is_used(lab: &Lab, host: &Host, listen: u16) -> Result<()> {
    assert_eq!(lab.hazards()?, []);
    for family in Family::BOTH {
        let address = forward_address(family);
        for proto in Proto::ALL {
            assert_eq!(lab.outbound(host, proto, family, None)?.seen()?.ip(), address, "{proto} {family}");
        }
        for proto in [Proto::Tcp, Proto::Udp] {
            let seen = lab.inbound(SocketAddr::new(address, listen), proto, host, 8080)?.seen()?;
            assert_eq!(seen.ip(), lab.wan().address(family)?, "{proto} {family}");
        }
    }
    Ok(())
}

fn check_instance_on(chassis: usize) -> Result<()> {
    let mut lab = Lab::builder().chassis(chassis).start()?;
    let c1 = lab.instance("c1", chassis - 1)?;
    forward(&lab, 80, &c1)?;
    let _agent = lab.agent()?;
    ask(&lab, &c1)?;
    assert_forward_address_is_used(&lab, &c1, 80)
}

#[test]
fn instance_on_the_gateway_chassis_leaves_as_its_forward_address() -> Result<()> {
    check_instance_on(1)
}

#[test]
fn instance_on_another_chassis_leaves_as_its_forward_address() -> Result<()> {
    check_instance_on(2)
}

#[test]
fn established_connections_survive_a_new_override() -> Result<()> {
    let mut lab = Lab::builder().chassis(2).start()?;
    let c1 = lab.instance("c1", 1)?;
    forward(&lab, 80, &c1)?;
    let _agent = lab.agent()?;
    let held = Family::BOTH.map(|family| lab.outward(&c1, family).and_then(|way| way.hold(100)));
    let inbound = lab.inward(SocketAddr::new(forward_address(Family::V4), 80), &c1, 8080)?.hold(20)?;
    ask(&lab, &c1)?;
    for (family, held) in Family::BOTH.into_iter().zip(held) {
        let counts = held?.check();
        assert!(counts.all_from(network_address(&lab, family)), "{family} {counts:?}");
    }
    let counts = inbound.check();
    assert!(counts.all_from(lab.wan().address(Family::V4)?), "{counts:?}");
    assert_forward_address_is_used(&lab, &c1, 80)
}

#[test]
fn forwarded_port_is_not_used_as_a_source_port() -> Result<()> {
    let mut lab = Lab::builder().start()?;
    let c1 = lab.instance("c1", 0)?;
    forward(&lab, 40_000, &c1)?;
    let _agent = lab.agent()?;
    ask(&lab, &c1)?;
    for family in Family::BOTH {
        for proto in [Proto::Tcp, Proto::Udp] {
            let seen = lab.outbound(&c1, proto, family, Some(40_000))?.seen()?;
            assert_eq!(seen.ip(), forward_address(family), "{proto} {family}");
            assert_ne!(seen.port(), 40_000, "{proto} {family}");
        }
    }
    assert_forward_address_is_used(&lab, &c1, 40_000)
}
