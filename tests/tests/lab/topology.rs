//! Unusual networks: instances in instances, routes to single instances, routers behind routers.

use std::net::{IpAddr, SocketAddr};

use anyhow::{Context, Result};
use ovn_extaddr_tests::lab::{Family, Host, Lab};
use ovn_extaddr_tests::{DefaultTarget, Instance, Net};

use crate::stage::{Seen, Stage, converted, drain, egress};

/// How many connections are held across a change.
const HELD: usize = 20;

/// The agent does all that it does for `c1`, in both families.
fn play(lab: &Lab, c1: &Host, c2: &Host) -> Result<()> {
    let agent = lab.agent_with(|builder| builder.config("hold-down = 0\n"))?;
    for family in Family::BOTH {
        let stage = Stage { lab, agent: &agent, c1, c2, family };
        play_family(&stage).and_then(|()| stage.clear()).with_context(|| family.to_string())?;
    }
    Ok(())
}

fn play_family(stage: &Stage<'_>) -> Result<()> {
    let &Stage { c1, c2, .. } = stage;
    stage.leaves_as(c1, stage.base()?)?;
    stage.forward(stage.a(), 80, c1, 8080)?;
    stage.forward(stage.b(), 40_000, c1, 8081)?;
    stage.ask(c1, Some(stage.a()))?;
    stage.settles([egress("A", c1)])?;
    stage.leaves_as(c1, stage.a())?;
    stage.leaves_as(c2, stage.base()?)?;
    stage.reaches(stage.a(), 80, c1, 8080)?;
    let held = stage.hold(c1, HELD)?;
    let inbound = stage.lab.inward(SocketAddr::new(stage.a(), 80), c1, 8080)?.hold(HELD)?;

    stage.ask(c1, Some(stage.b()))?;
    stage.settles([egress("B", c1), drain("A", c1)])?;
    stage.leaves_as(c1, stage.b())?;
    stage.reaches(stage.b(), 40_000, c1, 8081)?;
    held.check().is(stage.a())?;
    inbound.check().is(stage.wan()?)?;

    // The old address becomes a default target, and is used again. Until it is converted, the VIP takes the replies to
    // `held`: on a gateway router those that arrive in that moment break their connections.
    stage.default_target(DefaultTarget::Vip)?;
    stage.ask(c1, Some(stage.a()))?;
    stage.settles([egress("A", c1), converted("A", c1), drain("B", c1)])?;
    stage.leaves_as(c1, stage.a())?;
    stage.reaches(stage.a(), 9090, c1, 9090)?;
    inbound.check().is(stage.wan()?)?;
    let held = stage.hold(c1, HELD)?;

    stage.ask(c1, Some(stage.b()))?;
    stage.settles([egress("B", c1), converted("A", c1), drain("A", c1)])?;
    stage.leaves_as(c1, stage.b())?;
    held.check().is(stage.a())?;
    inbound.check().is(stage.wan()?)
}

#[test]
fn nested_instance_leaves_as_its_forward_address() -> Result<()> {
    let mut lab = Lab::builder().start()?;
    let [outer, inner] = lab.nested("outer", "inner", 0)?;
    play(&lab, &inner, &outer)
}

#[test]
fn instance_behind_host_routes_leaves_as_its_forward_address() -> Result<()> {
    let mut lab = Lab::builder().start()?;
    // As Incus does with ipv4.l3only and ipv6.l3only: the router's own network contains only the router.
    let (router, port) = (lab.net().router(), lab.net().internal_port());
    let networks = "networks=[\"10.57.1.1/32\",\"fd42:57:1::1/128\"]";
    lab.ovn().nbctl(&["set", "logical_router_port", &port, networks])?;
    for address in ["10.57.1.11", "10.57.1.12", "fd42:57:1::b", "fd42:57:1::c"] {
        lab.ovn().nbctl(&["lr-route-add", &router, address, address, &port])?;
    }
    let (c1, c2) = (lab.instance("c1", 0)?, lab.instance("c2", 0)?);
    play(&lab, &c1, &c2)
}

/// The router that instances are on, which has no gateway.
const INNER: &str = "cluster";
const PODS: [(&str, &str, &str); 2] = [
    ("pod1", "0a:00:00:00:01:11", "10.244.0.11 fd00:244::11"),
    ("pod2", "0a:00:00:00:01:12", "10.244.0.12 fd00:244::12"),
];

/// Puts a router with two instances behind the lab's router. `join` joins the two, and returns their addresses on the
/// link as [inner, outer].
fn behind(
    lab: &mut Lab,
    chassis: usize,
    join: impl Fn(&mut Lab) -> Result<[[&'static str; 2]; 2]>,
) -> Result<[Host; 2]> {
    let outer = lab.net().router();
    let (v4, v6) = (lab.net().external_ipv4().context("v4")?, lab.net().external_ipv6().context("v6")?);
    lab.ovn().nbctl_line(&format!(
        "lr-add {INNER} -- lrp-add {INNER} to-pods 0a:00:00:00:01:01 10.244.0.1/24 fd00:244::1/64 -- ls-add pods"
    ))?;
    joined(lab, "pods", "to-pods")?;
    for ([inner, out], (network, all)) in
        join(lab)?.into_iter().zip([("10.244.0.0/24", "0.0.0.0/0"), ("fd00:244::/64", "::/0")])
    {
        lab.ovn().nbctl_line(&format!("lr-route-add {INNER} {all} {out}"))?;
        lab.ovn().nbctl_line(&format!("lr-route-add {outer} {network} {inner}"))?;
    }
    lab.ovn().nbctl_line(&format!(
        "lr-nat-add {outer} snat {v4} 10.244.0.0/24 -- lr-nat-add {outer} snat {v6} fd00:244::/64"
    ))?;

    let gateways: [(IpAddr, u8); 2] = [("10.244.0.1".parse()?, 24), ("fd00:244::1".parse()?, 64)];
    let mut hosts = Vec::new();
    for (name, mac, addresses) in PODS {
        lab.ovn().nbctl(&["lsp-add", "pods", name])?;
        lab.ovn().nbctl(&["lsp-set-addresses", name, &format!("{mac} {addresses}")])?;
        let (v4, v6) = addresses.split_once(' ').context("two addresses")?;
        let instance = Instance {
            port: name.to_owned(),
            mac: mac.to_owned(),
            ipv4: Some(v4.parse()?),
            ipv6: Some(v6.parse()?),
        };
        hosts.push(lab.guest(&instance, name, chassis, &gateways)?);
    }
    hosts.try_into().ok().context("two were made")
}

/// Joins a switch to an existing router port.
fn joined(lab: &mut Lab, switch: &str, router_port: &str) -> Result<()> {
    let port = format!("{switch}-{router_port}");
    let command = format!(
        "lsp-add {switch} {port} -- lsp-set-type {port} router -- lsp-set-addresses {port} router \
         -- lsp-set-options {port} router-port={router_port}"
    );
    lab.ovn().nbctl_line(&command).map(drop)
}

/// As in OVN-Kubernetes: instances on a distributed router, a switch, and a router that is entirely on one chassis.
fn play_behind_a_gateway_router(chassis: usize) -> Result<()> {
    let mut lab = Lab::builder().chassis(chassis).net(Net::builder(1).without_gateway()).start()?;
    let router = lab.net().router();
    lab.ovn().nbctl(&["set", "logical_router", &router, "options:chassis=gateway-1"])?;
    let [pod1, pod2] = behind(&mut lab, chassis - 1, |lab| {
        let switch = lab.net().internal_switch();
        lab.ovn()
            .nbctl_line(&format!("lrp-add {INNER} to-join 0a:00:00:00:01:02 10.57.1.2/24 fd42:57:1::2/64"))?;
        joined(lab, &switch, "to-join")?;
        Ok([["10.57.1.2", "10.57.1.1"], ["fd42:57:1::2", "fd42:57:1::1"]])
    })?;
    play(&lab, &pod1, &pod2)
}

#[test]
fn instance_behind_a_gateway_router_on_its_chassis_leaves_as_its_forward_address() -> Result<()> {
    play_behind_a_gateway_router(1)
}

#[test]
fn instance_behind_a_gateway_router_on_another_chassis_leaves_as_its_forward_address() -> Result<()> {
    play_behind_a_gateway_router(2)
}

#[test]
fn instance_behind_a_peered_router_leaves_as_its_forward_address() -> Result<()> {
    let mut lab = Lab::builder().start()?;
    let [pod1, pod2] = behind(&mut lab, 0, |lab| {
        let outer = lab.net().router();
        let ends = [
            (INNER, "to-outer", "to-inner", "0a:00:00:00:01:03", "100.64.0.2/24", "fd64::2/64"),
            (&outer, "to-inner", "to-outer", "0a:00:00:00:01:04", "100.64.0.1/24", "fd64::1/64"),
        ];
        for (router, port, peer, mac, v4, v6) in ends {
            lab.ovn().nbctl_line(&format!("lrp-add {router} {port} {mac} {v4} {v6} peer={peer}"))?;
        }
        Ok([["100.64.0.2", "100.64.0.1"], ["fd64::2", "fd64::1"]])
    })?;
    play(&lab, &pod1, &pod2)
}
