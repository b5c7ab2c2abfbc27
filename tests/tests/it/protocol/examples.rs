//! The protocol crate's examples, as programs.

use std::fs;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use ovn_extaddr_tests::{
    Cluster, Daemon, Northbound, Output, OvsdbServer, built, eventually, json_map, json_set,
};
use serde_json::{Value, json};

use crate::fixture::SOON;

const CRATE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../crates/ovsdb-protocol");

fn example(name: &str, arguments: &[&str]) -> Result<Command> {
    let mut command = Command::new(built(&format!("examples/{name}"))?);
    command.args(arguments);
    Ok(command)
}

/// A Northbound server with a switch.
fn with_a_switch() -> Result<OvsdbServer> {
    let server = OvsdbServer::northbound()?;
    server.transact(vec![json!({"op": "insert", "table": "Logical_Switch", "row": {"name": "old"}})])?;
    Ok(server)
}

#[test]
fn readme_shows_the_tested_examples() -> Result<()> {
    let readme = fs::read_to_string(format!("{CRATE}/README.md"))?;
    let shown =
        readme.split("```rust").skip(1).filter_map(|block| block.split_once('\n')?.1.split("```").next());
    let shown: Vec<_> = shown.collect();
    let code = |name: &str| -> Result<String> {
        let text = fs::read_to_string(format!("{CRATE}/examples/{name}.rs"))?;
        Ok(text.split_once("\n\n").context("a line of its own for what it is")?.1.to_owned())
    };
    ensure!(
        shown == [code("controller")?, code("rename")?, code("smallest")?],
        "the README shows {shown:#?}"
    );
    let lines = code("controller")?.lines().count();
    ensure!(lines <= 40, "the controller has {lines} lines");
    Ok(())
}

/// The example of the README: typed tables of a cluster whose leader is killed, and a typed row for each new one.
#[test]
fn controller_example_survives_the_loss_of_the_leader() -> Result<()> {
    let mut cluster = Cluster::northbound(3)?;
    let log = cluster.dir().join("controller.log");
    let _controller = Daemon::spawn(example("controller", &[&cluster.remotes()])?, &log)?;
    let add = |cluster: &mut Cluster, name: &str| -> Result<()> {
        let switch = json!({"op": "insert", "table": "Logical_Switch", "row": {"name": name}});
        eventually(SOON, "somebody leads", || Ok(cluster.transact(vec![switch.clone()]).is_ok()))?;
        eventually(SOON, "the controller has made the set", || {
            let snapshot = cluster.snapshot()?;
            Ok(snapshot.rows("Address_Set").any(|(_, row)| row["name"] == name))
        })
    };
    add(&mut cluster, "before")?;
    let leader = cluster.leader()?;
    cluster.member(leader).kill9()?;
    add(&mut cluster, "after")?;
    let sets = cluster.snapshot()?.rows("Address_Set").count();
    ensure!(sets == 2, "there are {sets} sets");
    Ok(())
}

#[test]
fn rename_example_renames_a_switch_and_prints_the_outcome() -> Result<()> {
    let server = with_a_switch()?;
    let rename = |old: &str, new: &str| -> Result<String> {
        Output::capture(example("rename", &[&server.remote(), old, new])?)?.success()
    };
    assert_eq!(rename("old", "new")?, "renamed 1\n");
    assert_eq!(rename("old", "newer")?, "renamed 0\n");
    let found =
        server.snapshot()?.rows("Logical_Switch").map(|(_, row)| row["name"].clone()).collect::<Vec<_>>();
    assert_eq!(found, [json!("new")]);
    let failed = Output::capture(example("rename", &["unix:/no/such", "a", "b"])?)?;
    ensure!(!failed.status.success() && failed.stderr.contains("No such file"), "{failed:?}");
    Ok(())
}

#[test]
fn list_dbs_example_prints_databases_and_tables() -> Result<()> {
    let server = OvsdbServer::northbound()?;
    let listed = Output::capture(example("list_dbs", &[&server.remote()])?)?.success()?;
    for part in ["OVN_Northbound ", "  Logical_Switch_Port: ", "_Server "] {
        ensure!(listed.contains(part), "{part} is not in {listed}");
    }
    Ok(())
}

#[test]
fn monitor_examples_survive_a_restart_of_the_server() -> Result<()> {
    let mut server = with_a_switch()?;
    let remote = server.remote();
    let logs = server.dir().to_owned();
    let mut programs = Vec::new();
    for (name, arguments) in
        [("smallest", vec![&*remote]), ("monitor", vec![&*remote, server.database(), "Logical_Switch"])]
    {
        programs.push(Daemon::spawn(example(name, &arguments)?, &logs.join(format!("{name}.log")))?);
    }
    for program in &mut programs {
        program.wait_for_log("old", SOON)?;
    }
    server.restart()?;
    server.transact(vec![json!({"op": "insert", "table": "Logical_Switch", "row": {"name": "another"}})])?;
    for program in &mut programs {
        program.wait_for_log("another", SOON)?;
    }
    Ok(())
}

/// The tables of Open vSwitch, with the installed schema.
#[test]
fn bridges_example_prints_bridges_and_adds_a_port() -> Result<()> {
    let server = OvsdbServer::open_vswitch()?;
    let bridges = |arguments: &[&str]| {
        let remote = server.remote();
        let arguments: Vec<_> = [&*remote].into_iter().chain(arguments.iter().copied()).collect();
        Output::capture(example("bridges", &arguments)?)
    };
    server.transact(vec![
        json!({"op": "insert", "table": "Interface", "uuid-name": "i",
            "row": {"name": "eth0", "ofport": 1, "link_state": "up", "external_ids": json_map([("iface-id", "lsp0")])}}),
        json!({"op": "insert", "table": "Port", "uuid-name": "p",
            "row": {"name": "bond0", "interfaces": ["named-uuid", "i"], "tag": 7, "trunks": json_set([json!(1), json!(2)])}}),
        json!({"op": "insert", "table": "Bridge", "uuid-name": "b",
            "row": {"name": "br-int", "ports": ["named-uuid", "p"], "fail_mode": "secure", "flood_vlans": 5,
                "other_config": json_map([("hwaddr", "02:00:00:00:00:01")])}}),
        // Rows of these tables last as long as something refers to them.
        json!({"op": "insert", "table": "Open_vSwitch", "row": {"bridges": ["named-uuid", "b"]}}),
    ])?;
    let before = "bridge br-int secure hwaddr 02:00:00:00:00:01 flood VLANs [5]
  port bond0 tag 7 trunks [1, 2]
    interface eth0 \"\" Some(1) Some(Up) Some(\"lsp0\") None
";
    assert_eq!(bridges(&[])?.success()?, before);
    let after = bridges(&["br-int", "tap0"])?.success()?;
    let added = "  port tap0\n    interface tap0 \"internal\" None None None None\n";
    ensure!(after.contains(added) && after.len() == before.len() + added.len(), "{after}");
    let failed = bridges(&["br-ex", "tap1"])?;
    ensure!(!failed.status.success() && failed.stderr.contains("no such bridge"), "{failed:?}");
    let failed = bridges(&["br-int", "tap0"])?;
    ensure!(!failed.status.success() && failed.stderr.contains("constraint violation"), "{failed:?}");
    assert_eq!(server.snapshot()?.rows("Port").count(), 2);
    Ok(())
}

/// The tables of OVN's Southbound database, with the installed schema.
#[test]
fn port_bindings_example_prints_and_follows_bindings() -> Result<()> {
    let server = OvsdbServer::southbound()?;
    let chassis = |name: &str| {
        let encap = json!({"op": "insert", "table": "Encap", "uuid-name": format!("e_{name}"),
            "row": {"type": "geneve", "ip": name, "chassis_name": name}});
        let row = json!({"name": name, "hostname": format!("{name}.example"), "encaps": ["named-uuid", format!("e_{name}")]});
        [encap, json!({"op": "insert", "table": "Chassis", "uuid-name": format!("c_{name}"), "row": row})]
    };
    let port = |name: &str, key: u32, chassis: Value| {
        json!({"op": "insert", "table": "Port_Binding", "row": {"logical_port": name, "datapath": ["named-uuid", "d"],
            "tunnel_key": key, "chassis": chassis, "up": true}})
    };
    let [a, b] = ["a", "b"].map(|name| json!(["named-uuid", format!("c_{name}")]));
    let mut operations: Vec<_> = ["a", "b"].into_iter().flat_map(chassis).collect();
    operations.push(json!({"op": "insert", "table": "Datapath_Binding", "uuid-name": "d",
        "row": {"tunnel_key": 3, "external_ids": json_map([("name", "ls0")])}}));
    operations.extend([port("p1", 1, a), port("p2", 2, b)]);
    server.transact(operations)?;

    let shown = Output::capture(example("port_bindings", &[&server.remote()])?)?.success()?;
    let mut lines: Vec<_> = shown.lines().collect();
    lines[1..].sort_unstable();
    assert_eq!(lines, ["datapath ls0 (3)", "  p1 \"\" (1): a, up", "  p2 \"\" (2): b, up"]);

    let log = server.dir().join("port_bindings.log");
    let mut following = Daemon::spawn(example("port_bindings", &[&server.remote(), "b"])?, &log)?;
    following.wait_for_log("ports on b.example:\n  p2", SOON)?;
    let chassis_b = server
        .snapshot()?
        .rows("Chassis")
        .find(|(_, row)| row["name"] == "b")
        .context("a chassis")?
        .0
        .to_owned();
    let bind = |port: &str, chassis: Value| {
        server.transact(vec![
            json!({"op": "update", "table": "Port_Binding", "where": [["logical_port", "==", port]],
            "row": {"chassis": chassis}}),
        ])
    };
    bind("p1", json!(["uuid", chassis_b]))?;
    following.wait_for_log("+ p1 \"\" (1): b, up", SOON)?;
    bind("p2", json_set([]))?;
    following.wait_for_log("- p2", SOON)?;
    Ok(())
}
