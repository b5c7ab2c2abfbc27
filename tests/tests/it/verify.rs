//! `verify`: its results for a Southbound database that a real ovn-northd made, with chassis made by hand.

use std::collections::BTreeMap;

use anyhow::{Context, Result, ensure};
use ovn_extaddr_tests::{Addressing, Agent, Cli, Instance, Net, Output, Ovn, PROMPT, eventually};
use serde_json::{Value, json};

use crate::fixture::{SOON, V4, V6, ip};

/// The chassis of [`Net`]'s gateway ports.
const CHASSIS: &str = "gateway-1";

/// An OVN whose only chassis has everything, an agent, and an instance whose forward's address is overridden.
struct World {
    // In this order: the agent is dropped before its servers.
    agent: Agent,
    cli: Cli,
    net: Net,
    instance: Instance,
    ovn: Ovn,
}

impl World {
    fn start() -> Result<Self> {
        let ovn = Ovn::start()?;
        let mut net = Net::builder(1).create(&ovn.nb)?;
        let instance = net.add_instance(Addressing::Static)?;
        net.add_forward(ip("203.0.113.101"), 40000, instance.v4()?, 80)?;
        net.add_forward(ip("2001:db8::65"), 40000, instance.v6()?, 80)?;
        net.annotate(&instance.port, V4, Some("203.0.113.101"))?;
        net.annotate(&instance.port, V6, Some("2001:db8::65"))?;
        ovn.sbctl(&["chassis-add", CHASSIS, "geneve", "127.0.0.1"])?;
        ovn.sync()?;
        for port in [format!("cr-{}", net.gateway_port()), instance.port.clone()] {
            ovn.sbctl(&["lsp-bind", &port, CHASSIS])?;
            ovn.sbctl(&["set", "port_binding", &port, "up=true"])?;
        }
        let cli = Cli::new(ovn.nb.remote())?;
        let agent = Agent::start(ovn.nb.remote())?;
        let world = Self { agent, cli, net, instance, ovn };
        world.answer()?;
        Ok(world)
    }

    /// Does what ovn-controller does when all chassis have to report their progress.
    fn answer(&self) -> Result<()> {
        let asked = self.ovn.sbctl(&["--bare", "--columns=nb_cfg", "list", "sb_global"])?;
        let set = format!("nb_cfg={}", asked.trim());
        let name = format!("name={CHASSIS}");
        if self.ovn.sbctl(&["--bare", "find", "chassis_private", &name])?.trim().is_empty() {
            let chassis = self.ovn.sbctl(&["--bare", "--columns=_uuid", "find", "chassis", &name])?;
            let chassis = format!("chassis={}", chassis.trim());
            self.ovn.sbctl(&["create", "chassis_private", &name, &chassis])?;
        }
        self.ovn.sbctl(&["set", "chassis_private", CHASSIS, &set]).map(drop)
    }

    fn verify(&self, arguments: &[&str]) -> Result<Output> {
        let remote = self.ovn.sb.remote();
        let mut all = vec!["verify", "--sb-db", &remote];
        all.extend(arguments);
        self.cli.run(&all)
    }

    /// The checks of a family's override that are not ok: `check outcome`, and each message.
    fn found(&self, family: &str) -> Result<(Option<i32>, BTreeMap<String, String>)> {
        let output = self.verify(&[&self.instance.port, "--json"])?;
        let code = output.code();
        let found: Vec<Value> =
            serde_json::from_str(&output.stdout).with_context(|| format!("{output:?}"))?;
        let element = found.iter().find(|element| element["family"] == family);
        let element = element.with_context(|| format!("no {family} in {found:#?}"))?;
        let checks = element["checks"].as_array().context("no checks")?;
        let bad = checks.iter().filter(|check| check["outcome"] != "ok");
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let line = |check: &Value| format!("{} {}", text(&check["check"]), text(&check["outcome"]));
        Ok((code, bad.map(|check| (line(check), text(&check["message"]))).collect()))
    }

    /// Waits until these are the checks of the IPv4 override that are not ok; returns their messages.
    fn wait_for(&self, status: i32, expected: &[&str]) -> Result<Vec<String>> {
        eventually(SOON, &format!("verify finds {expected:?}"), || {
            let (code, found) = self.found("ipv4")?;
            let keys: Vec<_> = found.keys().map(String::as_str).collect();
            ensure!(keys == expected && code == Some(status), "{code:?} {found:#?}");
            Ok(Some(found.into_values().collect()))
        })
    }

    /// Deletes flows behind ovn-northd's back.
    fn delete_flows(&self, stage: &str, priority: i64) -> Result<()> {
        let deleted =
            self.ovn.sb.transact(vec![json!({"op": "delete", "table": "Logical_Flow", "where": [
                ["external_ids", "includes", ["map", [["stage-name", stage]]]],
                ["priority", "==", priority],
            ]})])?;
        ensure!(deleted[0]["count"] != 0, "no flow of {stage} has priority {priority}");
        Ok(())
    }
}

#[test]
fn working_override_is_verified_in_every_output_format() -> Result<()> {
    let world = World::start()?;
    world.wait_for(0, &[])?;
    assert_eq!(world.found("ipv6")?, (Some(0), BTreeMap::new()));

    let table = world.verify(&[])?.success()?;
    let lines: Vec<_> = table.lines().collect();
    assert_eq!(lines.len(), 3, "{table}");
    let words: Vec<_> = lines[1].split_whitespace().skip(1).collect();
    assert_eq!(words, ["10.57.1.11", "203.0.113.101", "gateway-1", "ok"], "{table}");
    assert!(lines.iter().all(|line| line.chars().count() <= 100), "{table}");

    let tree = world.verify(&[&world.instance.port])?.success()?;
    for part in [
        "✓ override  10.57.1.11 leaves as 203.0.113.101 by NAT row",
        "✓ snat      10.57.1.11 leaves by incus-net1-lr-lrp-ext as 203.0.113.101 (flow of priority 161)",
        "✓ unsnat    replies to 2001:db8::65",
        "✓ gateway   cr-incus-net1-lr-lrp-ext is on gateway-1",
        "└─ ✓ port ",
    ] {
        assert!(tree.contains(part), "{part} is not in\n{tree}");
    }

    // Only the owner's rows are verified, and nothing is written.
    let before = world.ovn.sb.dump()?;
    world.verify(&["--format=jsonl"])?.success()?;
    assert_eq!(world.ovn.sb.dump()?, before);
    assert_eq!(world.verify(&["--owner", "other"])?.success()?.lines().count(), 1);
    Ok(())
}

#[test]
fn missing_flows_of_a_stopped_northd_are_found() -> Result<()> {
    let mut world = World::start()?;
    world.wait_for(0, &[])?;
    world.ovn.northd().signal("STOP")?;
    world.net.add_forward(ip("203.0.113.102"), 80, world.instance.v4()?, 80)?;
    world.net.annotate(&world.instance.port, V4, Some("203.0.113.102"))?;
    let messages = world.wait_for(1, &["in-step unknown", "snat failed"])?;
    assert!(messages[1].ends_with("the address 203.0.113.102; it leaves as 203.0.113.101"), "{messages:?}");

    // An `nb_cfg` that is not copied shows that northd is the cause.
    world.ovn.nb.transact(vec![
        json!({"op": "mutate", "table": "NB_Global", "where": [], "mutations": [["nb_cfg", "+=", 1]]}),
    ])?;
    world.wait_for(1, &["in-step failed", "snat failed"])?;

    let table = world.verify(&[])?;
    assert_eq!(table.code(), Some(1));
    assert!(
        table.stdout.contains("✗ snat") && table.stdout.contains("→ see whether ovn-northd runs"),
        "{table:?}"
    );

    world.ovn.northd().signal("CONT")?;
    eventually(SOON, "the chassis has answered", || {
        world.answer()?;
        Ok(world.found("ipv4")? == (Some(0), BTreeMap::new()))
    })
}

#[test]
fn unbound_gateway_or_instance_is_found() -> Result<()> {
    let world = World::start()?;
    world.wait_for(0, &[])?;
    let gateway = format!("cr-{}", world.net.gateway_port());
    world.ovn.sbctl(&["lsp-unbind", &gateway])?;
    world.wait_for(1, &["gateway failed"])?;
    world.ovn.sbctl(&["lsp-bind", &gateway, CHASSIS])?;
    world.ovn.sbctl(&["set", "port_binding", &world.instance.port, "up=false"])?;
    world.wait_for(1, &["port failed"])?;
    world.ovn.sbctl(&["lsp-unbind", &world.instance.port])?;
    world.wait_for(1, &["port failed"])?;
    // A chassis that ended in an orderly way removes its rows.
    world.ovn.sbctl(&["chassis-del", CHASSIS])?;
    world.wait_for(1, &["gateway failed", "port failed"])?;
    Ok(())
}

#[test]
fn unknown_port_and_unusable_southbound_are_errors() -> Result<()> {
    let world = World::start()?;
    world.wait_for(0, &[])?;
    let wrong = world.verify(&["no-such-port"])?;
    assert!(wrong.code() == Some(1) && wrong.stderr.contains("no-such-port"), "{wrong:?}");

    let idle = world.net.prefix() + "-ls-int-lsp-router";
    let nothing = world.verify(&[&idle])?;
    assert!(nothing.code() == Some(1) && nothing.stderr.contains("has no intent"), "{nothing:?}");

    let lost = world.cli.run(&["verify", "--sb-db", "unix:/no/such.sock"])?;
    assert_eq!(lost.code(), Some(1));
    for part in ["/no/such.sock", "--sb-db, OVN_SB_DB or sb-db"] {
        assert!(lost.stderr.contains(part), "{lost:?}");
    }
    // Without a name, where OVN's own tools look for it.
    let default = world.cli.run(&["verify"])?;
    assert!(default.stderr.contains("ovnsb_db.sock"), "{default:?}");

    let other = Ovn::start()?;
    let output = world.cli.run(&["verify", "--sb-db", &other.sb.remote()])?;
    assert_eq!(output.code(), Some(1));
    assert!(output.stdout.contains("router incus-net1-lr is not in the Southbound database"), "{output:?}");

    assert_eq!(world.verify(&["--no-such-option"])?.code(), Some(2));
    Ok(())
}

#[test]
fn many_routers_are_verified_together() -> Result<()> {
    let world = World::start()?;
    let mut gateways = Vec::new();
    for id in 2..=12 {
        let mut net = Net::builder(id).create(&world.ovn.nb)?;
        let instance = net.add_instance(Addressing::Static)?;
        let listen = ip(&format!("203.0.113.{}", 110 + id));
        net.add_forward(listen, 40000, instance.v4()?, 80)?;
        net.annotate(&instance.port, V4, Some("auto"))?;
        gateways.extend([format!("cr-{}", net.gateway_port()), instance.port.clone()]);
    }
    eventually(SOON, "all are verified", || {
        world.ovn.sync()?;
        for port in &gateways {
            world.ovn.sbctl(&["--may-exist", "lsp-bind", port, CHASSIS])?;
            world.ovn.sbctl(&["set", "port_binding", port, "up=true"])?;
        }
        world.answer()?;
        let output = world.verify(&[])?;
        ensure!(output.stdout.matches("  ok").count() == 13, "{output:?}");
        Ok(output.code() == Some(0))
    })
}

#[test]
fn set_verify_waits_for_flows_and_reports_missing_ones() -> Result<()> {
    let mut world = World::start()?;
    world.wait_for(0, &[])?;
    world.net.add_forward(ip("203.0.113.102"), 80, world.instance.v4()?, 80)?;
    let (remote, port) = (world.ovn.sb.remote(), world.instance.port.clone());
    let set = |world: &World, address: &str, timeout: &str| {
        let arguments =
            ["set", &port, "--ipv4", address, "--verify", "--sb-db", &remote, "--timeout", timeout];
        world.cli.run(&arguments)
    };
    let done = set(&world, "203.0.113.102", "20")?.success()?;
    assert!(done.contains("as 203.0.113.102 (flow of priority 161)") && !done.contains('✗'), "{done}");

    // A refused intent is not waited for.
    let refused = set(&world, "203.0.113.103", "3600")?;
    assert!(refused.code() == Some(1) && refused.stdout.contains("not-a-forward"), "{refused:?}");

    world.ovn.northd().signal("STOP")?;
    let late = set(&world, "203.0.113.101", "3")?;
    assert!(late.code() == Some(1) && late.stdout.contains("✗ snat"), "{late:?}");
    Ok(())
}

#[test]
fn agent_verifies_periodically_and_reports_failures() -> Result<()> {
    let mut world = World::start()?;
    world.wait_for(0, &[])?;
    let config = |remote: &str| format!("{PROMPT}sb-db = \"{remote}\"\nverify-interval = 1\n");
    let status = |world: &World| -> Result<Option<String>> {
        let status = world.agent.appctl(&["status"])?;
        let line = status.lines().find_map(|line| line.strip_prefix("verification: "));
        Ok(line.map(str::to_owned))
    };
    assert_eq!(status(&world)?.as_deref(), Some("off"));
    world.agent.write_config(&config(&world.ovn.sb.remote()))?;
    let until = |world: &World, start: &str| {
        eventually(SOON, &format!("the agent finds {start}"), || {
            Ok(status(world)?.is_some_and(|line| line.starts_with(start)))
        })
    };
    until(&world, "2 ok, 0 unknown, 0 failed at ")?;

    world.ovn.northd().signal("STOP")?;
    world.delete_flows("lr_in_unsnat", 100)?;
    until(&world, "0 ok, 0 unknown, 2 failed at ")?;
    world.agent.wait_for_log("override fails in the data plane")?;
    let log = world.agent.log();
    let line =
        log.lines().find(|line| line.contains("override fails in the data plane")).context("it is there")?;
    for part in ["incus-net1-lr", "unsnat", "see whether ovn-northd runs"] {
        assert!(line.contains(part), "{part} is not in {line}");
    }

    world.ovn.northd().signal("CONT")?;
    // It makes the flows again when something else changes.
    world.net.add_nat("snat", ip("203.0.113.99"), "10.57.1.200")?;
    world.ovn.nbctl(&[
        "set",
        "logical_router",
        "incus-net1-lr",
        "options:always_learn_from_arp_request=false",
    ])?;
    until(&world, "2 ok, 0 unknown, 0 failed at ")?;
    world.agent.wait_for_log("override no longer fails")?;

    world.agent.write_config(&config("unix:/no/such.sock"))?;
    world.agent.wait_for_log("cannot verify overrides")?;
    until(&world, "the Southbound database cannot be read")?;

    // A standby reports nothing.
    world.agent.write_config(&config(&world.ovn.sb.remote()))?;
    until(&world, "2 ok")?;
    world.agent.appctl(&["pause"])?;
    until(&world, "not yet")
}
