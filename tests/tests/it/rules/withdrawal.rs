//! Overrides that change or end: what drains, what is held, and what somebody else keeps removing.

use std::collections::BTreeSet;
use std::process::Stdio;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, ensure};
use ovn_extaddr_tests::{Addressing, DefaultTarget, Net, OvsdbServer, eventually, map_column};
use serde_json::{Value, json};

use super::{A, B, Case, agent_state, become_rows, converted, drain, egress, foreign, ours, set};
use crate::fixture::{OWNER, SOON, V4, V6, ip, versions, wait_until_settled};

/// What ends an override.
type End = fn(&Case) -> Result<()>;

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
fn withdrawn_address_drains_until_its_time_is_over() -> Result<()> {
    for value in [Some(B), None, Some("none")] {
        let case = with_forwards("drain = 6")?;
        case.annotate(&case.one, value)?;
        let stays = value.filter(|value| *value == B).map(|value| egress(&case.one, value));
        let drained = eventually(SOON, "the old address drains", || {
            let rows = ours(&case.fixture.server)?;
            ensure!(rows == stays.iter().cloned().chain([drain(&case.one, A)]).collect(), "{rows:#?}");
            drain_deadline(&case.fixture.server)
        })?;
        if stays.is_none() {
            eventually(SOON, "the agent says so", || {
                Ok(agent_state(&case.fixture.agent, &case.one.port)? == "draining")
            })?;
        }
        // It is removed automatically, and not before it is due.
        eventually(SOON, "the drain row goes", || Ok(drain_deadline(&case.fixture.server)?.is_none()))?;
        assert!(seconds()? >= drained, "it was due at {drained}");
        assert_eq!(ours(&case.fixture.server)?, stays.into_iter().collect(), "{value:?}");
    }
    Ok(())
}

#[test]
fn readopted_address_stops_draining() -> Result<()> {
    let case = with_forwards(LONG)?;
    case.annotate(&case.one, Some(B))?;
    case.becomes([egress(&case.one, B), drain(&case.one, A)])?;
    case.annotate(&case.one, Some(A))?;
    case.becomes([egress(&case.one, A), drain(&case.one, B)])?;
    case.annotate(&case.one, None)?;
    case.becomes([drain(&case.one, A), drain(&case.one, B)])?;
    case.annotate(&case.one, Some(B))?;
    case.becomes([egress(&case.one, B), drain(&case.one, A)])
}

#[test]
fn override_that_keeps_its_address_leaves_no_drain_row() -> Result<()> {
    let case = with_forwards(LONG)?;
    // The row is rewritten, for another range of ports.
    case.forward(A, 50_000)?;
    eventually(SOON, "the range is another", || {
        let list = case.fixture.cli.list_json()?;
        ensure!(list[0]["port_range"] == "1024-49999", "{list:?}");
        Ok(true)
    })?;
    case.becomes([egress(&case.one, A)])?;
    // One of the port's two addresses changes its override, the other keeps it.
    let mut net = case.net;
    let both = net.add_instance(Addressing::Fixed(vec![ip("10.57.1.50"), ip("10.57.1.51")]))?;
    net.annotate(&both.port, V4, Some(A))?;
    let row = |address: &str| format!("{address} leaves as {A} for {}", both.port);
    become_rows(&case.fixture.server, [egress(&case.one, A), row("10.57.1.50"), row("10.57.1.51")])?;
    net.add_nat("snat", ip(A), "10.57.1.51")?;
    become_rows(&case.fixture.server, [egress(&case.one, A), row("10.57.1.50")])
}

#[test]
fn drain_row_is_deleted_with_its_port_address_or_forward() -> Result<()> {
    let ends: [(&str, End); 3] = [
        ("port", |case| case.net.remove_instance(&case.one.port)),
        ("address", |case| case.net.set_addresses(&case.one.port, &["00:00:00:00:00:99 10.57.1.99"])),
        ("forward", |case| case.net.remove_forward(ip(A))),
    ];
    for (what, end) in ends {
        for drained in [false, true] {
            let case = with_forwards(LONG)?;
            if drained {
                case.annotate(&case.one, None)?;
                case.becomes([drain(&case.one, A)])?;
            }
            end(&case)?;
            if what == "address" && !drained {
                let row = format!("10.57.1.99 leaves as {A} for {}", case.one.port);
                case.becomes([row]).context(what)?;
            } else {
                case.becomes([]).with_context(|| format!("{what}, drained {drained}"))?;
            }
        }
    }
    Ok(())
}

#[test]
fn drain_time_of_zero_ends_draining() -> Result<()> {
    let mut case = with_forwards("drain = 0")?;
    let seen = case.fixture.server.transactions()?.len();
    case.annotate(&case.one, Some(B))?;
    case.becomes([egress(&case.one, B)])?;
    // The agent's only transaction since has drained nothing.
    assert_eq!(case.fixture.server.transactions()?.len(), seen + 2);

    case.configure(&format!("{LONG}\nhold-down = 0\n"))?;
    case.fixture.agent.wait_for_log("configuration reloaded")?;
    case.annotate(&case.one, Some(A))?;
    case.becomes([egress(&case.one, A), drain(&case.one, B)])?;
    case.configure("drain = 0\nhold-down = 0\n")?;
    case.becomes([egress(&case.one, A)])
}

#[test]
fn families_and_ports_drain_independently() -> Result<()> {
    let case = with_forwards(LONG)?;
    let v6 = "2001:db8::65";
    case.net.add_forward(ip(v6), 80, case.one.v6()?, 80)?;
    case.net.annotate(&case.one.port, V6, Some(v6))?;
    case.annotate(&case.two, Some(A))?;
    let six = |verb: &str| format!("fd42:57:1::b {verb} {v6} for {}", case.one.port);
    case.becomes([egress(&case.one, A), egress(&case.two, A), six("leaves as")])?;
    for instance in [&case.one, &case.two] {
        case.annotate(instance, None)?;
    }
    case.net.annotate(&case.one.port, V6, None)?;
    case.becomes([drain(&case.one, A), drain(&case.two, A), six("drains")])
}

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
    let Case { mut fixture, .. } = case;
    fixture.agent.kill9()?;
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

#[test]
fn override_is_deleted_when_the_hold_down_is_over() -> Result<()> {
    // With a drain or without: nothing returns to an address that the network does not have any more.
    for drain in ["", LONG] {
        let case = with_forwards(&format!("hold-down = 0.5\n{drain}"))?;
        case.net.remove_forward(ip(A))?;
        case.becomes([])?;
        eventually(SOON, "the agent says why", || {
            let state = agent_state(&case.fixture.agent, &case.one.port)?;
            ensure!(state == "rejected not-a-forward", "it says {state}");
            Ok(true)
        })?;
    }
    Ok(())
}

#[test]
fn drain_row_survives_a_forward_that_returns_within_the_hold_down() -> Result<()> {
    for value in [None, Some(B)] {
        let case = with_forwards(&format!("hold-down = 3000\n{LONG}"))?;
        case.annotate(&case.one, value)?;
        let rows = || -> BTreeSet<_> {
            [drain(&case.one, A)].into_iter().chain(value.map(|value| egress(&case.one, value))).collect()
        };
        eventually(SOON, "it drains", || Ok(ours(&case.fixture.server)? == rows()))?;
        let before = versions(&case.fixture.server, OWNER)?;
        // As Incus edits a forward; another change shows that the agent has seen the removal.
        for _ in 0..3 {
            case.net.remove_forward(ip(A))?;
            let decided = decided(&case)?;
            case.fixture.agent.appctl(&["recompute"])?;
            eventually(SOON, "the agent knows", || Ok(self::decided(&case)? > decided))?;
            assert_eq!(ours(&case.fixture.server)?, rows(), "{value:?}");
            case.forward(A, 80)?;
        }
        wait_until_settled(&case.fixture.cli)?;
        assert_eq!(versions(&case.fixture.server, OWNER)?, before, "{value:?}");
    }
    Ok(())
}

/// How many ports the agent has decided on so far.
fn decided(case: &Case) -> Result<u64> {
    let coverage = case.fixture.agent.appctl(&["coverage/show"])?;
    let line = coverage.lines().find(|line| line.starts_with("decided_ports")).context("a line")?;
    Ok(line.rsplit(' ').next().context("a number")?.parse()?)
}

#[test]
fn unset_intent_or_deleted_port_ends_the_hold_down() -> Result<()> {
    let ends: [(&str, End); 3] = [
        ("unset", |case| case.annotate(&case.one, None)),
        ("none", |case| case.annotate(&case.one, Some("none"))),
        ("port deleted", |case| case.net.remove_instance(&case.one.port)),
    ];
    for held in [false, true] {
        for (how, end) in ends {
            let case = with_forwards("hold-down = 3000")?;
            if held {
                case.net.remove_forward(ip(A))?;
            }
            end(&case)?;
            case.becomes([]).with_context(|| format!("{how}, held {held}"))?;
        }
    }
    Ok(())
}

#[test]
fn address_that_another_router_takes_is_withdrawn_at_once() -> Result<()> {
    let case = with_forwards("hold-down = 3000")?;
    let mut other = Net::builder(2).create(&case.fixture.server)?;
    let there = other.add_instance(Addressing::Static)?;
    case.net.remove_forward(ip(A))?;
    other.add_forward(ip(A), 80, there.v4()?, 80)?;
    case.becomes([])?;
    // Also the other way round: first in both networks, then only in the other.
    case.annotate(&case.one, Some(B))?;
    case.becomes([egress(&case.one, B)])?;
    other.add_forward(ip(B), 80, there.v4()?, 80)?;
    case.becomes([egress(&case.one, B)])?;
    case.net.remove_forward(ip(B))?;
    case.becomes([])
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
    let case = with_forwards(LONG)?;
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
        ("port-range", "without a port that 203.0.113.102 listens on"),
        ("drain", "connections of 10.57.1.11 with 203.0.113.101 may finish"),
    ] {
        let found = checks.as_array().into_iter().flatten().any(|check| {
            check["step"] == step && check["detail"].as_str().is_some_and(|detail| detail.contains(part))
        });
        ensure!(found, "no {step} with \"{part}\" in {checks:#}");
    }
    Ok(())
}

/// What an override, the agent's or not, cannot do is explained at the step that causes it.
#[test]
fn explain_shows_hazards() -> Result<()> {
    let case = with_forwards("port-range = \"30000-50000\"")?;
    let hazards = || -> Result<Vec<String>> {
        let output = case.fixture.cli.run(&["explain", &case.one.port, "--json"])?;
        let explained: Value = serde_json::from_str(&output.stdout)?;
        let checks = explained["intents"][0]["checks"].as_array().cloned().unwrap_or_default();
        let hazards = checks.iter().filter(|check| check["hazard"] == true);
        Ok(hazards.map(|check| format!("{}: {}", check["step"], check["detail"])).collect())
    };
    assert_eq!(hazards()?, [""; 0]);
    case.forward(A, 40_000)?;
    case.forward(A, 443)?;
    case.becomes([egress(&case.one, A)])?;
    let found = hazards()?;
    assert!(found.len() == 1 && found[0].contains(&format!("{A} listens on (40000)")), "{found:?}");
    let text = case.fixture.cli.run(&["explain", &case.one.port])?.success()?;
    assert!(text.contains("! port-range"), "{text}");

    case.net.add_default_target(ip(B), case.one.v4()?, DefaultTarget::Vip)?;
    case.net.add_nat("snat", ip(B), &case.one.v4()?.to_string())?;
    case.annotate(&case.one, Some(B))?;
    case.state(&case.one, "foreign")?;
    let found = hazards()?;
    assert!(found.len() == 1 && found[0].contains("breaks TCP replies"), "{found:?}");
    Ok(())
}
