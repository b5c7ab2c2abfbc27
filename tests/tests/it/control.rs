//! The control socket, with OVN's own tool.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;

use anyhow::{Result, ensure};
use ovn_extaddr_tests::{Addressing, Agent, Net, OvsdbServer, eventually};
use serde_json::Value;

use crate::scene::{OWNER, SOON, Scene, V4, ip, owned, row};

const COMMANDS: [&str; 15] = [
    "coverage/show",
    "exit",
    "is-paused",
    "list",
    "list-commands",
    "memory/show",
    "nb-cluster-state-reset",
    "nb-connection-status",
    "pause",
    "recompute",
    "resume",
    "status",
    "version",
    "vlog/list",
    "vlog/set",
];

#[test]
fn all_commands_are_listed_and_unknown_ones_refused() -> Result<()> {
    let scene = Scene::start()?;
    let list = scene.agent.appctl(&["list-commands"])?;
    let listed: Vec<_> = list.lines().skip(1).filter_map(|line| line.split_whitespace().next()).collect();
    assert_eq!(listed, COMMANDS);
    let error = scene.agent.appctl(&["no-such"]).expect_err("it is not there").to_string();
    let error = format!("{error} {:?}", scene.agent.appctl(&["pause", "now"]));
    assert!(error.contains("takes no arguments"), "{error}");
    assert!(scene.agent.appctl(&["version"])?.starts_with("ovn-extaddr "));
    Ok(())
}

#[test]
fn status_tells_what_an_operator_asks() -> Result<()> {
    let scene = Scene::start()?;
    let mut net = Net::builder(1).create(&scene.server)?;
    let instance = net.add_instance(Addressing::Static)?;
    net.add_forward(ip("203.0.113.101"), 443, instance.v4()?, 443)?;
    net.annotate(&instance.port, V4, Some("203.0.113.101"))?;
    scene.wait_for_rows([row(&net, &instance, "203.0.113.101", "10.57.1.11")])?;
    // The row may exist a moment before the answer to the agent.
    let status = eventually(SOON, "it is committed", || {
        let status = scene.agent.appctl(&["status"])?;
        Ok(status.contains("last commit: 1 ").then_some(status))
    })?;
    for line in [
        "role: active",
        "owner: ovn-extaddr",
        "to change: 0",
        "under way: nothing",
        "last refusal: none",
        "metrics: off",
        "audit: off",
        "active: 1",
    ] {
        assert!(status.lines().any(|found| found == line), "{line} is not in\n{status}");
    }
    for part in [
        "database: unix:",
        " (synchronised)",
        "lock: ovn_extaddr (held since ",
        "last commit: 1 changes at ",
        "config.toml",
    ] {
        assert!(status.contains(part), "{part} is not in\n{status}");
    }
    assert_eq!(scene.agent.appctl(&["nb-connection-status"])?, "connected\n");
    let list: Value = serde_json::from_str(&scene.agent.appctl(&["list"])?)?;
    assert_eq!(list[0]["state"], "active");

    let memory = scene.agent.appctl(&["memory/show"])?;
    assert!(memory.contains("routers:1 ") && memory.contains("decided:1 "), "{memory}");
    let coverage = scene.agent.appctl(&["coverage/show"])?;
    let total =
        |name: &str| coverage.lines().find_map(|line| line.strip_prefix(name)?.split(' ').next_back());
    assert_eq!((total("transaction_committed"), total("row_insert")), (Some("1"), Some("1")), "{coverage}");
    Ok(())
}

#[test]
fn a_paused_agent_writes_nothing_and_leaves_the_lock_to_others() -> Result<()> {
    let mut scene = Scene::start()?;
    scene.agent.wait_for_log("active: this agent has the lock")?;
    let mut net = Net::builder(1).create(&scene.server)?;
    let instance = net.add_instance(Addressing::Static)?;
    net.add_forward(ip("203.0.113.101"), 443, instance.v4()?, 443)?;
    assert_eq!(scene.agent.appctl(&["is-paused"])?, "false\n");
    for _ in 0..2 {
        assert_eq!(scene.agent.appctl(&["pause"])?, "");
    }
    assert_eq!(scene.agent.appctl(&["is-paused"])?, "true\n");
    net.annotate(&instance.port, V4, Some("203.0.113.101"))?;
    // It still observes the database.
    eventually(SOON, "it has seen the intent", || {
        Ok(scene.agent.appctl(&["status"])?.contains("role: paused\n")
            && scene.agent.appctl(&["status"])?.contains("pending: 1"))
    })?;
    assert!(owned(&scene.server, OWNER)?.is_empty());

    let mut second = Agent::start(scene.server.remote())?;
    second.wait_for_log("active: this agent has the lock")?;
    scene.wait_for_rows([row(&net, &instance, "203.0.113.101", "10.57.1.11")])?;
    assert_eq!(scene.agent.appctl(&["resume"])?, "");
    eventually(SOON, "it stands by", || Ok(scene.agent.appctl(&["status"])?.contains("role: standby\n")))?;
    second.stop()?;
    eventually(SOON, "it is active again", || Ok(scene.agent.appctl(&["status"])?.contains("role: active\n")))
}

#[test]
fn the_level_of_the_log_changes_while_it_runs() -> Result<()> {
    let mut scene = Scene::start()?;
    scene.agent.wait_for_log("synchronised")?;
    let usual = scene.agent.appctl(&["vlog/list"])?;
    assert!(usual.lines().all(|line| line.ends_with("info")), "{usual}");
    assert_eq!(scene.agent.appctl(&["vlog/set", "dbg"])?, "");
    assert_eq!(scene.agent.appctl(&["vlog/set", "control:file:warn", "metrics:off"])?, "");
    let list = scene.agent.appctl(&["vlog/list"])?;
    let level =
        |module: &str| list.lines().find_map(|line| Some(line.strip_prefix(module)?.trim().to_owned()));
    assert_eq!(level("agent").as_deref(), Some("debug"), "{list}");
    assert_eq!(level("control").as_deref(), Some("warn"), "{list}");
    assert_eq!(level("metrics").as_deref(), Some("off"), "{list}");
    assert!(!scene.agent.log().contains("DEBUG"));
    scene.server.restart()?;
    scene.agent.wait_for_log("DEBUG connected")?;
    assert_eq!(scene.agent.appctl(&["vlog/set", "ANY:ANY:err"])?, "");
    assert!(scene.agent.appctl(&["vlog/list"])?.lines().all(|line| line.ends_with("error")));
    for bad in ["loud", "a:b:c:d", "nothing:dbg", ""] {
        scene.agent.appctl(&["vlog/set", bad]).expect_err("it makes no sense");
    }
    Ok(())
}

/// The answer is sent before the process ends, however often this is tried.
#[test]
fn exit_is_answered() -> Result<()> {
    let server = OvsdbServer::northbound()?;
    let mut agent = Agent::start(server.remote())?;
    for _ in 0..10 {
        assert_eq!(agent.appctl(&["exit"])?, "");
        let status = agent.daemon().wait(SOON)?;
        ensure!(status.success(), "{status}");
        agent.restart()?;
    }
    Ok(())
}

#[test]
fn what_a_killed_agent_left_behind_is_cleared_away() -> Result<()> {
    let server = OvsdbServer::northbound()?;
    let mut agent = Agent::start(server.remote())?;
    eventually(SOON, "it answers", || Ok(agent.appctl(&["version"]).is_ok()))?;
    // Neither the socket of a live process nor a foreign file is removed.
    let alive = agent.dir().join("ovn-extaddr.999999999.ctl");
    let _alive = UnixListener::bind(&alive)?;
    let other = agent.dir().join("ovn-northd.1.ctl");
    fs::write(&other, "")?;
    let sockets = |agent: &Agent| -> Result<Vec<String>> {
        let names = fs::read_dir(agent.dir())?.map(|entry| Ok(entry?.file_name().display().to_string()));
        let names: Result<Vec<_>> = names.collect();
        Ok(names?.into_iter().filter(|name| name.ends_with(".ctl")).collect())
    };
    assert_eq!(sockets(&agent)?.len(), 3);
    agent.restart()?;
    eventually(SOON, "it answers", || Ok(agent.appctl(&["version"]).is_ok()))?;
    assert_eq!(sockets(&agent)?.len(), 3);
    assert!(alive.exists() && other.exists());
    // Root and the agent's own user and group may send it commands, as with OVN's daemons.
    let own = agent.daemon().pid();
    let control = agent.dir().join(format!("ovn-extaddr.{own}.ctl"));
    assert_eq!(fs::metadata(control)?.permissions().mode() & 0o777, 0o660);
    let pid = fs::read_to_string(agent.dir().join("ovn-extaddr.pid"))?;
    assert_eq!(pid.trim(), agent.daemon().pid().to_string());
    Ok(())
}
