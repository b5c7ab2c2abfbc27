//! Intents that outlive their ports.

use anyhow::{Result, ensure};
use ovn_extaddr_tests::{Addressing, Instance, Net, json_map, json_set};
use serde_json::json;

use crate::fixture::{Fixture, V4, ip, row};

const ONE: &str = "203.0.113.101";

fn fixture() -> Result<(Fixture, Net, Instance)> {
    let fixture = Fixture::start()?;
    // As ovn-nbctl and ovn-northd do.
    fixture.server.transact(vec![json!({"op": "insert", "table": "NB_Global", "row": {}})])?;
    let mut net = Net::builder(1).ipv4_only().create(&fixture.server)?;
    let instance = net.add_instance(Addressing::Static)?;
    net.add_forward(ip(ONE), 443, instance.v4()?, 443)?;
    Ok((fixture, net, instance))
}

/// Creates the port of an instance again, as at a start.
fn start(fixture: &Fixture, net: &Net, instance: &Instance) -> Result<()> {
    let addresses = format!("{} {}", instance.mac, instance.v4()?);
    fixture.server.transact(vec![
        json!({"op": "insert", "table": "Logical_Switch_Port", "uuid-name": "lsp", "row": {
            "name": instance.port, "addresses": json_set([json!(addresses)]), "external_ids": json_map::<&str, &str>([])}}),
        json!({"op": "mutate", "table": "Logical_Switch", "where": [["name", "==", net.internal_switch()]],
            "mutations": [["ports", "insert", ["named-uuid", "lsp"]]]}),
    ])?;
    Ok(())
}

#[test]
fn kept_intent_outlives_its_port() -> Result<()> {
    let (fixture, net, instance) = fixture()?;
    let rows = || -> Result<_> { Ok([row(&net, &instance, ONE, instance.v4()?)]) };
    let port = instance.port.as_str();
    let set = fixture.cli.run(&["set", port, "--ipv4", ONE])?;
    ensure!(set.stderr.contains("Incus deletes a port") && set.stderr.contains("--keep"), "{set:?}");
    fixture.wait_for_rows(rows()?)?;
    let doctor = fixture.cli.run(&["doctor"])?.stdout;
    ensure!(doctor.contains("1 ports of Incus or LXD ask by keys of their own"), "{doctor}");
    let kept = fixture.cli.run(&["set", port, "--ipv4", ONE, "--keep"])?;
    ensure!(kept.status.success() && kept.stderr.is_empty(), "{kept:?}");
    ensure!(!net.external_ids(port)?.contains_key(V4), "the key of the port would come first");
    fixture.wait_for_state(port, V4, "active")?;
    ensure!(fixture.cli.list_json()?[0]["source"] == "kept");
    let doctor = fixture.cli.run(&["doctor"])?.stdout;
    ensure!(!doctor.contains("ask by keys of their own"), "{doctor}");
    for _ in 0..2 {
        net.remove_instance(port)?;
        fixture.wait_for_rows([])?;
        fixture.wait_for_state(port, V4, "waiting no-port")?;
        let doctor = fixture.cli.run(&["doctor"])?.stdout;
        ensure!(doctor.contains("kept for ports that are not there") && doctor.contains(port), "{doctor}");
        start(&fixture, &net, &instance)?;
        fixture.wait_for_rows(rows()?)?;
    }
    fixture.cli.run(&["unset", port, "--ipv6"])?.success()?;
    fixture.wait_for_state(port, V4, "active")?;
    fixture.cli.run(&["unset", port])?.success()?;
    fixture.wait_for_rows([])?;
    fixture.wait_for_state(port, V4, "-")
}

#[test]
fn set_keep_without_an_nb_global_row_is_an_error() -> Result<()> {
    let fixture = Fixture::start()?;
    let set = fixture.cli.run(&["set", "p1", "--ipv4", ONE, "--keep"])?;
    ensure!(set.code() == Some(1) && set.stderr.contains("ovn-nbctl init"), "{set:?}");
    // Nothing was changed: the port's own intent is still there.
    let mut net = Net::builder(1).ipv4_only().create(&fixture.server)?;
    let port = net.add_instance(Addressing::Static)?.port;
    fixture.cli.run(&["set", &port, "--ipv4", ONE])?.success()?;
    let set = fixture.cli.run(&["set", &port, "--ipv4", "auto", "--keep"])?;
    ensure!(set.code() == Some(1), "{set:?}");
    ensure!(net.external_ids(&port)?.contains_key(V4));
    Ok(())
}

#[test]
fn kept_intent_of_an_absent_port_is_changed_only_with_keep() -> Result<()> {
    let (fixture, net, instance) = fixture()?;
    let port = instance.port.as_str();
    fixture.cli.run(&["set", port, "--ipv4", ONE, "--keep"])?.success()?;
    net.remove_instance(port)?;
    let set = fixture.cli.run(&["set", port, "--ipv4", "auto"])?;
    ensure!(set.code() == Some(1) && set.stderr.contains("--keep"), "{set:?}");
    fixture.cli.run(&["set", port, "--ipv4", "auto", "--keep"])?.success().map(drop)
}
