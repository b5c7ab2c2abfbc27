//! Intents that outlive their ports.

use anyhow::{Result, ensure};
use ovn_extaddr_tests::{Addressing, Instance, Net, json_map, json_set};
use serde_json::json;

use crate::scene::{Scene, V4, V6, ip, row};

const ONE: &str = "203.0.113.101";

fn scene() -> Result<(Scene, Net, Instance)> {
    let scene = Scene::start()?;
    // As ovn-nbctl and ovn-northd do.
    scene.server.transact(vec![json!({"op": "insert", "table": "NB_Global", "row": {}})])?;
    let mut net = Net::builder(1).ipv4_only().create(&scene.server)?;
    let instance = net.add_instance(Addressing::Static)?;
    net.add_forward(ip(ONE), 443, instance.v4()?, 443)?;
    Ok((scene, net, instance))
}

/// Creates the port of an instance again, as at a start.
fn start(scene: &Scene, net: &Net, instance: &Instance) -> Result<()> {
    let addresses = format!("{} {}", instance.mac, instance.v4()?);
    scene.server.transact(vec![
        json!({"op": "insert", "table": "Logical_Switch_Port", "uuid-name": "lsp", "row": {
            "name": instance.port, "addresses": json_set([json!(addresses)]), "external_ids": json_map::<&str, &str>([])}}),
        json!({"op": "mutate", "table": "Logical_Switch", "where": [["name", "==", net.internal_switch()]],
            "mutations": [["ports", "insert", ["named-uuid", "lsp"]]]}),
    ])?;
    Ok(())
}

#[test]
fn a_kept_intent_outlives_its_port() -> Result<()> {
    let (scene, net, instance) = scene()?;
    let rows = || -> Result<_> { Ok([row(&net, &instance, ONE, instance.v4()?)]) };
    let port = instance.port.as_str();
    let set = scene.cli.run(&["set", port, "--ipv4", ONE])?;
    ensure!(set.stderr.contains("Incus deletes a port") && set.stderr.contains("--keep"), "{set:?}");
    scene.wait_for_rows(rows()?)?;
    let doctor = scene.cli.run(&["doctor"])?.stdout;
    ensure!(doctor.contains("1 ports of Incus or LXD ask by keys of their own"), "{doctor}");
    let kept = scene.cli.run(&["set", port, "--ipv4", ONE, "--keep"])?;
    ensure!(kept.status.success() && kept.stderr.is_empty(), "{kept:?}");
    ensure!(!net.external_ids(port)?.contains_key(V4), "the key of the port would come first");
    scene.wait_for_state(port, V4, "active")?;
    ensure!(scene.cli.list_json()?[0]["source"] == "kept");
    let doctor = scene.cli.run(&["doctor"])?.stdout;
    ensure!(!doctor.contains("ask by keys of their own"), "{doctor}");
    for _ in 0..2 {
        net.remove_instance(port)?;
        scene.wait_for_rows([])?;
        scene.wait_for_state(port, V4, "waiting no-port")?;
        let doctor = scene.cli.run(&["doctor"])?.stdout;
        ensure!(doctor.contains("kept for ports that are not there") && doctor.contains(port), "{doctor}");
        start(&scene, &net, &instance)?;
        scene.wait_for_rows(rows()?)?;
    }
    scene.cli.run(&["unset", port, "--ipv6"])?.success()?;
    scene.wait_for_state(port, V4, "active")?;
    scene.cli.run(&["unset", port])?.success()?;
    scene.wait_for_rows([])?;
    scene.wait_for_state(port, V4, "-")
}

#[test]
fn an_intent_may_come_before_its_port_and_go_without_it() -> Result<()> {
    let (scene, net, instance) = scene()?;
    let port = instance.port.as_str();
    net.remove_instance(port)?;
    let set = scene.cli.run(&["set", port, "--ipv4", ONE, "--ipv6", "none", "--keep"])?;
    ensure!(set.status.success() && set.stderr.contains(&format!("no port {port} now")), "{set:?}");
    scene.wait_for_state(port, V4, "waiting no-port")?;
    scene.wait_for_state(port, V6, "-")?;
    start(&scene, &net, &instance)?;
    scene.wait_for_rows([row(&net, &instance, ONE, instance.v4()?)])?;
    net.remove_instance(port)?;
    scene.cli.run(&["unset", port])?.success()?;
    scene.wait_for_state(port, V4, "-")?;
    let again = scene.cli.run(&["unset", port])?;
    ensure!(again.code() == Some(1) && again.stderr.contains("there is no port"), "{again:?}");
    Ok(())
}

#[test]
fn a_database_without_a_place_to_keep_intents_is_told() -> Result<()> {
    let scene = Scene::start()?;
    let set = scene.cli.run(&["set", "p1", "--ipv4", ONE, "--keep"])?;
    ensure!(set.code() == Some(1) && set.stderr.contains("ovn-nbctl init"), "{set:?}");
    // Nothing was changed: the port's own intent is still there.
    let mut net = Net::builder(1).ipv4_only().create(&scene.server)?;
    let port = net.add_instance(Addressing::Static)?.port;
    scene.cli.run(&["set", &port, "--ipv4", ONE])?.success()?;
    let set = scene.cli.run(&["set", &port, "--ipv4", "auto", "--keep"])?;
    ensure!(set.code() == Some(1), "{set:?}");
    ensure!(net.external_ids(&port)?.contains_key(V4));
    Ok(())
}

#[test]
fn an_intent_of_a_port_that_is_away_is_changed_with_keep() -> Result<()> {
    let (scene, net, instance) = scene()?;
    let port = instance.port.as_str();
    scene.cli.run(&["set", port, "--ipv4", ONE, "--keep"])?.success()?;
    net.remove_instance(port)?;
    let set = scene.cli.run(&["set", port, "--ipv4", "auto"])?;
    ensure!(set.code() == Some(1) && set.stderr.contains("--keep"), "{set:?}");
    scene.cli.run(&["set", port, "--ipv4", "auto", "--keep"])?.success().map(drop)
}
