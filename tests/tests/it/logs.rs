//! The log has only changes, the audit file has everything.

use std::fs;
use std::thread::sleep;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use ovn_extaddr_tests::{Addressing, Agent, Instance, Net, OvsdbServer, PROMPT, eventually};
use serde_json::Value;

use crate::fixture::{Fixture, SOON, V4, ip, row};

/// A network with an instance and a forward to it.
fn network(server: &OvsdbServer) -> Result<(Net, Instance)> {
    let mut net = Net::builder(1).create(server)?;
    let instance = net.add_instance(Addressing::Static)?;
    net.add_forward(ip("203.0.113.101"), 443, instance.v4()?, 443)?;
    Ok((net, instance))
}

#[test]
fn unchanged_decision_is_not_logged_again() -> Result<()> {
    let fixture = Fixture::start()?;
    let (net, instance) = network(&fixture.server)?;
    net.annotate(&instance.port, V4, Some("203.0.113.101"))?;
    fixture.wait_for_rows([row(&net, &instance, "203.0.113.101", "10.57.1.11")])?;
    let lines = |agent: &Agent| agent.log().lines().filter(|line| line.contains(&instance.port)).count();
    eventually(SOON, "it is said", || Ok(fixture.agent.log().contains("leaves as 203.0.113.101")))?;
    let before = lines(&fixture.agent);
    assert_eq!(before, 1, "{}", fixture.agent.log());
    // Everything is decided again, and a foreign key changes.
    fixture.agent.appctl(&["recompute"])?;
    net.annotate(&instance.port, "some.key", Some("value"))?;
    fixture.agent.appctl(&["recompute"])?;
    eventually(SOON, "it was decided", || {
        let coverage = fixture.agent.appctl(&["coverage/show"])?;
        let total = coverage.lines().find(|line| line.starts_with("decided_ports")).context("a line")?;
        Ok(total.rsplit(' ').next().and_then(|count| count.parse::<u32>().ok()) >= Some(4))
    })?;
    assert_eq!(lines(&fixture.agent), before, "{}", fixture.agent.log());

    net.annotate(&instance.port, V4, None)?;
    eventually(SOON, "it is said", || Ok(fixture.agent.log().contains("intent removed")))?;
    Ok(())
}

#[test]
fn field_case_25_restored_row_is_logged_with_the_cause() -> Result<()> {
    let fixture = Fixture::start()?;
    let (net, instance) = network(&fixture.server)?;
    net.annotate(&instance.port, V4, Some("203.0.113.101"))?;
    let expected = || row(&net, &instance, "203.0.113.101", "10.57.1.11");
    fixture.wait_for_rows([expected()])?;
    eventually(SOON, "it is said", || Ok(fixture.agent.log().contains("leaves as 203.0.113.101")))?;
    assert!(!fixture.agent.log().contains("row restored"), "{}", fixture.agent.log());
    let ours = || -> Result<String> {
        let nat = net.nats()?.into_iter().find(|nat| !nat.external_ids.is_empty());
        Ok(nat.context("there is a row")?.uuid)
    };
    let told = |what: &str| {
        let fields = format!(
            "port={} family=ipv4 router={} external=203.0.113.101 row=snat 203.0.113.101 for 10.57.1.11",
            instance.port,
            net.router()
        );
        let is = |line: &str| line.contains(&fields) && line.contains(what);
        eventually(SOON, what, || Ok(fixture.agent.log().lines().any(is)))
    };
    net.remove_nat(&ours()?)?;
    told("row restored: it had been deleted")?;
    fixture.wait_for_rows([expected()])?;
    let named = serde_json::json!([["_uuid", "==", ["uuid", ours()?]]]);
    let spoilt = serde_json::json!({"external_ip": "203.0.113.77"});
    fixture
        .server
        .transact(vec![serde_json::json!({"op": "update", "table": "NAT", "where": named, "row": spoilt})])?;
    told("found=snat 203.0.113.77 for 10.57.1.11")?;
    fixture.wait_for_rows([expected()])
}

#[test]
fn flapping_intent_does_not_fill_the_log() -> Result<()> {
    let mut fixture = Fixture::start()?;
    let (net, instance) = network(&fixture.server)?;
    fixture.agent.wait_for_log("active: this agent has the lock")?;
    for round in 0..20 {
        let (value, reason) =
            [("203.0.113.98", "not-a-forward"), ("no-address", "invalid-address")][round % 2];
        net.annotate(&instance.port, V4, Some(value))?;
        eventually(SOON, "the agent has seen it", || {
            Ok(fixture.agent.appctl(&["list"])?.contains(&format!("\"{reason}\"")))
        })?;
    }
    let log = fixture.agent.log();
    let said =
        log.lines().filter(|line| line.contains("not-a-forward") || line.contains("invalid-address")).count();
    assert!((2..=5).contains(&said), "{said} lines:\n{log}");
    assert_eq!(log.matches("changes too often").count(), 1, "{log}");
    // It is included in the counts.
    eventually(SOON, "it is counted", || Ok(fixture.agent.appctl(&["status"])?.contains("rejected: 1")))
}

#[test]
fn unreachable_database_is_logged_once() -> Result<()> {
    let mut agent = Agent::start("unix:/no/such/socket")?;
    agent.wait_for_log("disconnected remote=unix:/no/such/socket error=")?;
    sleep(Duration::from_secs(2));
    let log = agent.log();
    assert_eq!(log.matches("disconnected").count(), 1, "{log}");
    let status = agent.appctl(&["status"])?;
    let error = "\nconnection error: unix:/no/such/socket: No such file or directory (os error 2) at 20";
    assert!(status.contains(error), "{status}");
    let coverage = agent.appctl(&["coverage/show"])?;
    let tries = coverage.lines().find(|line| line.starts_with("disconnects")).context("a line")?;
    assert!(!tries.ends_with(" 1"), "it was tried more often: {coverage}");
    Ok(())
}

#[test]
fn every_transaction_is_audited_with_reason_and_outcome() -> Result<()> {
    let mut fixture = Fixture::start()?;
    let path = fixture.agent.dir().join("audit.jsonl");
    fixture.agent.write_config(&format!("{PROMPT}audit = \"{}\"\n", path.display()))?;
    eventually(SOON, "it is open", || Ok(path.exists()))?;
    let (net, instance) = network(&fixture.server)?;
    net.annotate(&instance.port, V4, Some("203.0.113.101"))?;
    fixture.wait_for_rows([row(&net, &instance, "203.0.113.101", "10.57.1.11")])?;
    net.annotate(&instance.port, V4, None)?;
    fixture.wait_for_rows([])?;
    fixture.agent.stop()?;
    let text = fs::read_to_string(&path)?;
    let lines: Vec<Value> =
        text.lines().map(|line| serde_json::from_str(line).context("JSON")).collect::<Result<_>>()?;
    let events: Vec<_> = lines.iter().filter_map(|line| line["event"].as_str()).collect();
    assert_eq!(events, ["sending", "committed", "sending", "committed"], "{text}");
    for pair in lines.chunks(2) {
        assert_eq!(pair[0]["transaction"], pair[1]["transaction"]);
        assert_eq!(pair[0]["lock_epoch"], 1);
        let time = pair[0]["time"].as_str().context("a time")?;
        assert!(time.starts_with("20") && time.ends_with('Z'), "{time}");
    }
    let change = |line: usize| &lines[line]["changes"][0];
    assert_eq!(change(0)["action"], "insert");
    assert_eq!(change(0)["port"], instance.port.as_str());
    assert_eq!(change(0)["to"]["external_ip"], "203.0.113.101");
    assert_eq!(change(0)["why"], "annotation asks for 203.0.113.101");
    assert_eq!(change(2)["action"], "delete");
    assert_eq!(change(2)["why"], "there is no intent any more");
    Ok(())
}

#[test]
fn audit_file_that_cannot_be_opened_is_an_error_at_start() -> Result<()> {
    let server = OvsdbServer::northbound()?;
    let mut agent =
        Agent::builder(server.remote()).config("audit = \"/no/such/directory/audit.jsonl\"").spawn()?;
    let status = agent.daemon().wait(SOON)?;
    ensure!(status.code() == Some(1), "{status}");
    ensure!(
        agent.log().contains("cannot open the audit file /no/such/directory/audit.jsonl"),
        "{}",
        agent.log()
    );
    Ok(())
}
