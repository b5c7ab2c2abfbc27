//! The control socket, with OVN's own tool.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;

use anyhow::{Result, ensure};
use ovn_extaddr_tests::{Addressing, Agent, Net, OvsdbServer, eventually};
use serde_json::Value;

use crate::fixture::{Fixture, OWNER, SOON, V4, ip, owned, row};

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
    let fixture = Fixture::start()?;
    let list = fixture.agent.appctl(&["list-commands"])?;
    let listed: Vec<_> = list.lines().skip(1).filter_map(|line| line.split_whitespace().next()).collect();
    assert_eq!(listed, COMMANDS);
    let error = fixture.agent.appctl(&["no-such"]).expect_err("it is not there").to_string();
    let error = format!("{error} {:?}", fixture.agent.appctl(&["pause", "now"]));
    assert!(error.contains("takes no arguments"), "{error}");
    assert!(fixture.agent.appctl(&["version"])?.starts_with("ovn-extaddr "));
    Ok(())
}

#[test]
fn status_shows_connection_lock_and_intents() -> Result<()> {
    let fixture = Fixture::start()?;
    let mut net = Net::builder(1).create(&fixture.server)?;
    let instance = net.add_instance(Addressing::Static)?;
    net.add_forward(ip("203.0.113.101"), 443, instance.v4()?, 443)?;
    net.annotate(&instance.port, V4, Some("203.0.113.101"))?;
    fixture.wait_for_rows([row(&net, &instance, "203.0.113.101", "10.57.1.11")])?;
    // The row may exist a moment before the answer to the agent.
    let status = eventually(SOON, "it is committed", || {
        let status = fixture.agent.appctl(&["status"])?;
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
    assert_eq!(fixture.agent.appctl(&["nb-connection-status"])?, "connected\n");
    let list: Value = serde_json::from_str(&fixture.agent.appctl(&["list"])?)?;
    assert_eq!(list[0]["state"], "active");

    let memory = fixture.agent.appctl(&["memory/show"])?;
    assert!(memory.contains("routers:1 ") && memory.contains("decided:1 "), "{memory}");
    let coverage = fixture.agent.appctl(&["coverage/show"])?;
    let total =
        |name: &str| coverage.lines().find_map(|line| line.strip_prefix(name)?.split(' ').next_back());
    assert_eq!((total("transaction_committed"), total("row_insert")), (Some("1"), Some("1")), "{coverage}");
    Ok(())
}

#[test]
fn paused_agent_writes_nothing_and_leaves_the_lock_to_others() -> Result<()> {
    let mut fixture = Fixture::start()?;
    fixture.agent.wait_for_log("active: this agent has the lock")?;
    let mut net = Net::builder(1).create(&fixture.server)?;
    let instance = net.add_instance(Addressing::Static)?;
    net.add_forward(ip("203.0.113.101"), 443, instance.v4()?, 443)?;
    assert_eq!(fixture.agent.appctl(&["is-paused"])?, "false\n");
    for _ in 0..2 {
        assert_eq!(fixture.agent.appctl(&["pause"])?, "");
    }
    assert_eq!(fixture.agent.appctl(&["is-paused"])?, "true\n");
    net.annotate(&instance.port, V4, Some("203.0.113.101"))?;
    // It still observes the database.
    eventually(SOON, "it has seen the intent", || {
        Ok(fixture.agent.appctl(&["status"])?.contains("role: paused\n")
            && fixture.agent.appctl(&["status"])?.contains("pending: 1"))
    })?;
    assert!(owned(&fixture.server, OWNER)?.is_empty());

    let mut second = Agent::start(fixture.server.remote())?;
    second.wait_for_log("active: this agent has the lock")?;
    fixture.wait_for_rows([row(&net, &instance, "203.0.113.101", "10.57.1.11")])?;
    assert_eq!(fixture.agent.appctl(&["resume"])?, "");
    eventually(SOON, "it stands by", || Ok(fixture.agent.appctl(&["status"])?.contains("role: standby\n")))?;
    second.stop()?;
    eventually(SOON, "it is active again", || {
        Ok(fixture.agent.appctl(&["status"])?.contains("role: active\n"))
    })
}

#[test]
fn log_level_is_changed_at_run_time() -> Result<()> {
    let mut fixture = Fixture::start()?;
    fixture.agent.wait_for_log("synchronised")?;
    let usual = fixture.agent.appctl(&["vlog/list"])?;
    assert!(usual.lines().all(|line| line.ends_with("info")), "{usual}");
    assert_eq!(fixture.agent.appctl(&["vlog/set", "dbg"])?, "");
    assert_eq!(fixture.agent.appctl(&["vlog/set", "control:file:warn", "metrics:off"])?, "");
    let list = fixture.agent.appctl(&["vlog/list"])?;
    let level =
        |module: &str| list.lines().find_map(|line| Some(line.strip_prefix(module)?.trim().to_owned()));
    assert_eq!(level("agent").as_deref(), Some("debug"), "{list}");
    assert_eq!(level("control").as_deref(), Some("warn"), "{list}");
    assert_eq!(level("metrics").as_deref(), Some("off"), "{list}");
    assert!(!fixture.agent.log().contains("DEBUG"));
    fixture.server.restart()?;
    fixture.agent.wait_for_log("DEBUG connected")?;
    assert_eq!(fixture.agent.appctl(&["vlog/set", "ANY:ANY:err"])?, "");
    assert!(fixture.agent.appctl(&["vlog/list"])?.lines().all(|line| line.ends_with("error")));
    for bad in ["loud", "a:b:c:d", "nothing:dbg", ""] {
        fixture.agent.appctl(&["vlog/set", bad]).expect_err("it makes no sense");
    }
    Ok(())
}

/// The answer is sent before the process ends, however often this is tried.
#[test]
fn exit_command_is_answered_before_the_agent_ends() -> Result<()> {
    let server = OvsdbServer::northbound()?;
    let mut agent = Agent::start(server.remote())?;
    agent.appctl(&["exit", "--restart"]).expect_err("it takes no arguments");
    for _ in 0..10 {
        assert_eq!(agent.appctl(&["exit"])?, "");
        let status = agent.daemon().wait(SOON)?;
        ensure!(status.success(), "{status}");
        agent.restart()?;
    }
    Ok(())
}

#[test]
fn control_socket_of_a_killed_agent_is_removed() -> Result<()> {
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
