//! Overrides that change or end: what drains, what is held, and what somebody else keeps removing.

use std::process::Stdio;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, ensure};
use ovn_extaddr_tests::{DefaultTarget, OvsdbServer, eventually, map_column};
use serde_json::{Value, json};

use super::{A, B, Case, agent_state, converted, drain, egress, foreign, ours, set};
use crate::fixture::{OWNER, SOON, ip, versions};

/// Long enough to end no test.
const LONG: &str = "drain = 3000";

fn with_forwards(config: &str) -> Result<Case> {
    let case = Case::start(config)?;
    case.forward(A, 80)?;
    case.forward(B, 80)?;
    case.annotate(&case.one, Some(A))?;
    case.becomes([egress(&case.one, A)])?;
    Ok(case)
}

// ===== drain =====

#[test]
fn drain_row_ends_on_time_after_a_restart_of_the_agent() -> Result<()> {
    let mut case = with_forwards("drain = 8")?;
    case.annotate(&case.one, None)?;
    case.rows_become([drain(&case.one, A)])?;
    let due = drain_deadline(&case.fixture.server)?.context("no drain row")?;
    case.fixture.agent.restart()?;
    case.fixture.agent.wait_for_log("synchronised")?;
    assert_eq!(drain_deadline(&case.fixture.server)?, Some(due), "its time does not start again");
    case.rows_become([])?;
    assert!(seconds()? >= due);

    // An agent that starts after that time removes it at once.
    case.annotate(&case.one, Some(A))?;
    case.rows_become([egress(&case.one, A)])?;
    case.annotate(&case.one, None)?;
    case.rows_become([drain(&case.one, A)])?;
    case.fixture.agent.kill9()?;
    let due = drain_deadline(&case.fixture.server)?.context("no drain row")?;
    eventually(SOON, "its time is up", || Ok(seconds()? > due))?;
    case.fixture.agent.restart()?;
    case.becomes([])
}

#[test]
fn cleanup_with_drain_leaves_drain_rows_until_their_end() -> Result<()> {
    let case = Case::start(LONG)?;
    case.forward(A, 80)?;
    case.forward(B, 80)?;
    let before = case.foreign()?;
    case.annotate(&case.one, Some(A))?;
    case.annotate(&case.two, Some(B))?;
    case.becomes([egress(&case.one, A), egress(&case.two, B)])?;
    // A row that drains already does not drain longer than the others.
    case.annotate(&case.one, Some(B))?;
    case.becomes([egress(&case.one, B), drain(&case.one, A), egress(&case.two, B)])?;
    let Case { mut fixture, one, two, .. } = case;
    fixture.agent.kill9()?;
    let mut command = fixture.cli.command(&["cleanup", "--drain", "6"]);
    let mut cleanup = command.stdout(Stdio::null()).spawn()?;
    let due = eventually(SOON, "all addresses drain", || {
        let rows = ours(&fixture.server)?;
        ensure!(rows == [drain(&one, A), drain(&one, B), drain(&two, B)].into(), "{rows:#?}");
        drain_deadline(&fixture.server)
    })?;
    assert!(cleanup.wait()?.success());
    assert!(seconds()? >= due);
    assert_eq!(ours(&fixture.server)?, set([]));
    assert_eq!(foreign(&fixture.server)?, before);
    Ok(())
}

#[test]
fn cleanup_without_drain_deletes_everything_at_once() -> Result<()> {
    let case = with_forwards(LONG)?;
    case.annotate(&case.one, Some(B))?;
    case.becomes([egress(&case.one, B), drain(&case.one, A)])?;
    let Case { mut fixture, net, one, .. } = case;
    fixture.agent.kill9()?;
    // Rows of ports that are gone are deleted, too.
    net.remove_instance(&one.port)?;
    fixture.cli.run(&["cleanup"])?.success()?;
    assert_eq!(ours(&fixture.server)?, set([]));
    Ok(())
}

// ===== hold-down =====

#[test]
fn forward_that_returns_within_the_hold_down_changes_no_row() -> Result<()> {
    let case = with_forwards("hold-down = 3000")?;
    let before = versions(&case.fixture.server, OWNER)?;
    for _ in 0..3 {
        case.net.remove_forward(ip(A))?;
        eventually(SOON, "the agent knows", || {
            let state = agent_state(&case.fixture.agent, &case.one.port)?;
            ensure!(state == "active not-a-forward", "it says {state}");
            Ok(true)
        })?;
        // A command does not know since when it is gone, and shows what is about to happen.
        let plan = case.fixture.cli.run(&["plan", "--exit-code"])?;
        ensure!(plan.code() == Some(3) && plan.stdout.contains("1 to delete"), "{plan:?}");
        case.forward(A, 80)?;
        eventually(SOON, "the agent knows", || {
            let state = agent_state(&case.fixture.agent, &case.one.port)?;
            ensure!(state == "active", "it says {state}");
            Ok(true)
        })?;
    }
    assert_eq!(versions(&case.fixture.server, OWNER)?, before);
    Ok(())
}

// ===== a fight =====

#[test]
fn repeatedly_deleted_row_is_contested() -> Result<()> {
    let case = with_forwards("")?;
    let row = || -> Result<Option<String>> {
        let rows = case.net.nats()?;
        Ok(rows.into_iter().find(|nat| !nat.external_ids.is_empty()).map(|nat| nat.uuid))
    };
    let mut removed = 0;
    eventually(SOON, "it is contested", || {
        if let Some(uuid) = row()? {
            case.net.remove_nat(&uuid)?;
            removed += 1;
        }
        let state = agent_state(&case.fixture.agent, &case.one.port)?;
        ensure!(state == "contested", "it is {state} after {removed} removals");
        Ok(true)
    })?;
    assert!(removed >= 10, "contested after {removed} removals");
    // It is restored nevertheless, and another intent does not have to wait for it.
    case.becomes([egress(&case.one, A)])?;
    case.annotate(&case.one, Some(B))?;
    case.becomes([egress(&case.one, B)])
}

// ===== inside =====

/// When the first of the drain rows ends, if there is one.
fn drain_deadline(server: &OvsdbServer) -> Result<Option<u64>> {
    let found = server.transact(vec![json!({"op": "select", "table": "NAT", "where": [
        ["external_ids", "includes", ["map", [["ovn-extaddr:role", "drain"]]]],
    ]})])?;
    let rows = found[0]["rows"].as_array().cloned().unwrap_or_default();
    let times: Vec<u64> = rows
        .iter()
        .map(|row| {
            map_column(&row["external_ids"])
                .get("ovn-extaddr:until")
                .context("no time")?
                .parse()
                .context("a time")
        })
        .collect::<Result<_>>()?;
    Ok(times.into_iter().min())
}

/// Seconds since 1970.
fn seconds() -> Result<u64> {
    Ok(SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs())
}

// ===== explain =====

#[test]
fn explain_shows_conversion_port_range_and_drain_rows() -> Result<()> {
    let case = with_forwards(&format!("{LONG}\nport-range = \"30000-50000\""))?;
    case.forward(B, 40_000)?;
    case.annotate(&case.one, Some(B))?;
    case.becomes([egress(&case.one, B), drain(&case.one, A)])?;
    case.net.add_default_target(ip(B), case.one.v4()?, DefaultTarget::Vip)?;
    case.becomes([egress(&case.one, B), drain(&case.one, A), converted(B, &case.one)])?;
    let output = case.fixture.cli.run(&["explain", &case.one.port, "--json"])?;
    let explained: Value = serde_json::from_str(&output.stdout)?;
    let checks = &explained["intents"][0]["checks"];
    for (step, part) in [
        ("forward", "leads to 10.57.1.11 (row"),
        ("conversion", "all protocols"),
        ("port-range", "30000-50000: connections from a port that 203.0.113.102 listens on (40000) break"),
        ("drain", "connections of 10.57.1.11 with 203.0.113.101 may finish"),
    ] {
        let found = checks.as_array().into_iter().flatten().any(|check| {
            check["step"] == step && check["detail"].as_str().is_some_and(|detail| detail.contains(part))
        });
        ensure!(found, "no {step} with \"{part}\" in {checks:#}");
    }
    // A configured range that contains a port that is listened on is a hazard.
    let hazards = checks.as_array().into_iter().flatten().filter(|check| check["hazard"] == true);
    ensure!(hazards.map(|check| &check["step"]).eq(["port-range"]), "{checks:#}");
    let text = case.fixture.cli.run(&["explain", &case.one.port])?.success()?;
    ensure!(text.contains("! port-range"), "{text}");
    Ok(())
}
