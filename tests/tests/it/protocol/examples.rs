//! The protocol crate's examples, as programs.

use std::fs;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use ovn_extaddr_tests::{Cluster, Daemon, Northbound, Output, OvsdbServer, built, eventually};
use serde_json::json;

use crate::scene::SOON;

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
fn the_readme_shows_what_is_run_here() -> Result<()> {
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
fn a_controller_survives_the_leader_of_its_cluster() -> Result<()> {
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
fn a_switch_is_renamed_and_the_outcome_told() -> Result<()> {
    let server = with_a_switch()?;
    let rename = |old: &str, new: &str| -> Result<String> {
        Output::of(example("rename", &[&server.remote(), old, new])?)?.success()
    };
    assert_eq!(rename("old", "new")?, "renamed 1\n");
    assert_eq!(rename("old", "newer")?, "renamed 0\n");
    let found =
        server.snapshot()?.rows("Logical_Switch").map(|(_, row)| row["name"].clone()).collect::<Vec<_>>();
    assert_eq!(found, [json!("new")]);
    let failed = Output::of(example("rename", &["unix:/no/such", "a", "b"])?)?;
    ensure!(!failed.status.success() && failed.stderr.contains("No such file"), "{failed:?}");
    Ok(())
}

#[test]
fn databases_are_listed_with_their_tables() -> Result<()> {
    let server = OvsdbServer::northbound()?;
    let listed = Output::of(example("list_dbs", &[&server.remote()])?)?.success()?;
    for part in ["OVN_Northbound ", "  Logical_Switch_Port: ", "_Server "] {
        ensure!(listed.contains(part), "{part} is not in {listed}");
    }
    Ok(())
}

#[test]
fn changes_are_printed_and_a_restart_of_the_server_is_got_over() -> Result<()> {
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
