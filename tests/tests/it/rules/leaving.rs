//! Overrides that change or end: what drains, what is held, and what somebody else keeps removing.

use std::collections::BTreeSet;
use std::process::Stdio;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, ensure};
use ovn_extaddr_tests::{Addressing, DefaultTarget, Net, OvsdbServer, eventually, map_column};
use serde_json::{Value, json};

use super::{A, B, Case, agent_state, become_rows, converted, drain, egress, foreign, ours, set};
use crate::scene::{OWNER, SOON, V4, V6, ip, versions, wait_until_settled};

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
fn an_address_that_is_left_drains_and_goes_when_its_time_is_up() -> Result<()> {
    for value in [Some(B), None, Some("none")] {
        let case = with_forwards("drain = 6")?;
        case.annotate(&case.one, value)?;
        let stays = value.filter(|value| *value == B).map(|value| egress(&case.one, value));
        let drained = eventually(SOON, "the old address drains", || {
            let rows = ours(&case.scene.server)?;
            ensure!(rows == stays.iter().cloned().chain([drain(&case.one, A)]).collect(), "{rows:#?}");
            until(&case.scene.server)
        })?;
        if stays.is_none() {
            eventually(SOON, "the agent says so", || {
                Ok(agent_state(&case.scene.agent, &case.one.port)? == "draining")
            })?;
        }
        // It is removed automatically, and not before it is due.
        eventually(SOON, "the drain row goes", || Ok(until(&case.scene.server)?.is_none()))?;
        assert!(seconds()? >= drained, "it was due at {drained}");
        assert_eq!(ours(&case.scene.server)?, stays.into_iter().collect(), "{value:?}");
    }
    Ok(())
}

#[test]
fn an_address_that_is_taken_up_again_drains_no_more() -> Result<()> {
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
fn where_an_override_keeps_the_address_nothing_drains() -> Result<()> {
    let case = with_forwards(LONG)?;
    // The row is rewritten, for another range of ports.
    case.forward(A, 50_000)?;
    eventually(SOON, "the range is another", || {
        let list = case.scene.cli.list_json()?;
        ensure!(list[0]["port_range"] == "1024-49999", "{list:?}");
        Ok(true)
    })?;
    case.becomes([egress(&case.one, A)])?;
    // One of the port's two addresses changes its override, the other keeps it.
    let mut net = case.net;
    let both = net.add_instance(Addressing::Fixed(vec![ip("10.57.1.50"), ip("10.57.1.51")]))?;
    net.annotate(&both.port, V4, Some(A))?;
    let row = |address: &str| format!("{address} leaves as {A} for {}", both.port);
    become_rows(&case.scene.server, [egress(&case.one, A), row("10.57.1.50"), row("10.57.1.51")])?;
    net.add_nat("snat", ip(A), "10.57.1.51")?;
    become_rows(&case.scene.server, [egress(&case.one, A), row("10.57.1.50")])
}

#[test]
fn what_drains_goes_with_the_port_its_address_or_the_forward() -> Result<()> {
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
fn without_a_drain_time_nothing_drains_and_what_does_ends() -> Result<()> {
    let mut case = with_forwards("drain = 0")?;
    let seen = case.scene.server.transactions()?.len();
    case.annotate(&case.one, Some(B))?;
    case.becomes([egress(&case.one, B)])?;
    // The agent's only transaction since has drained nothing.
    assert_eq!(case.scene.server.transactions()?.len(), seen + 2);

    case.configure(&format!("{LONG}\nhold-down = 0\n"))?;
    case.scene.agent.wait_for_log("configuration reloaded")?;
    case.annotate(&case.one, Some(A))?;
    case.becomes([egress(&case.one, A), drain(&case.one, B)])?;
    case.configure("drain = 0\nhold-down = 0\n")?;
    case.becomes([egress(&case.one, A)])
}

#[test]
fn both_families_and_all_ports_drain_by_themselves() -> Result<()> {
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
fn what_drains_outlives_the_agent_and_ends_on_time_all_the_same() -> Result<()> {
    let mut case = with_forwards("drain = 8")?;
    case.annotate(&case.one, None)?;
    case.rows_become([drain(&case.one, A)])?;
    let due = until(&case.scene.server)?.context("no drain row")?;
    case.scene.agent.restart()?;
    case.scene.agent.wait_for_log("synchronised")?;
    assert_eq!(until(&case.scene.server)?, Some(due), "its time does not start again");
    case.rows_become([])?;
    assert!(seconds()? >= due);

    // An agent that starts after that time removes it at once.
    case.annotate(&case.one, Some(A))?;
    case.rows_become([egress(&case.one, A)])?;
    case.annotate(&case.one, None)?;
    case.rows_become([drain(&case.one, A)])?;
    case.scene.agent.kill9()?;
    let due = until(&case.scene.server)?.context("no drain row")?;
    eventually(SOON, "its time is up", || Ok(seconds()? > due))?;
    case.scene.agent.restart()?;
    case.becomes([])
}

#[test]
fn cleanup_lets_connections_finish_when_told_to() -> Result<()> {
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
    let Case { mut scene, one, two, .. } = case;
    scene.agent.kill9()?;
    let mut command = scene.cli.command(&["cleanup", "--drain", "6"]);
    let mut cleanup = command.stdout(Stdio::null()).spawn()?;
    let due = eventually(SOON, "all addresses drain", || {
        let rows = ours(&scene.server)?;
        ensure!(rows == [drain(&one, A), drain(&one, B), drain(&two, B)].into(), "{rows:#?}");
        until(&scene.server)
    })?;
    assert!(cleanup.wait()?.success());
    assert!(seconds()? >= due);
    assert_eq!(ours(&scene.server)?, set([]));
    assert_eq!(foreign(&scene.server)?, before);
    Ok(())
}

#[test]
fn cleanup_without_a_time_takes_everything_at_once() -> Result<()> {
    let case = with_forwards(LONG)?;
    case.annotate(&case.one, Some(B))?;
    case.becomes([egress(&case.one, B), drain(&case.one, A)])?;
    let Case { mut scene, .. } = case;
    scene.agent.kill9()?;
    scene.cli.run(&["cleanup"])?.success()?;
    assert_eq!(ours(&scene.server)?, set([]));
    Ok(())
}

// ===== hold-down =====

#[test]
fn a_forward_that_is_back_in_time_was_never_gone() -> Result<()> {
    let case = with_forwards("hold-down = 3000")?;
    let before = versions(&case.scene.server, OWNER)?;
    for _ in 0..3 {
        case.net.remove_forward(ip(A))?;
        eventually(SOON, "the agent knows", || {
            let state = agent_state(&case.scene.agent, &case.one.port)?;
            ensure!(state == "active not-a-forward", "it says {state}");
            Ok(true)
        })?;
        // A command does not know since when it is gone, and shows what is about to happen.
        let plan = case.scene.cli.run(&["plan", "--exit-code"])?;
        ensure!(plan.code() == Some(3) && plan.stdout.contains("1 to delete"), "{plan:?}");
        case.forward(A, 80)?;
        eventually(SOON, "the agent knows", || {
            let state = agent_state(&case.scene.agent, &case.one.port)?;
            ensure!(state == "active", "it says {state}");
            Ok(true)
        })?;
    }
    assert_eq!(versions(&case.scene.server, OWNER)?, before);
    Ok(())
}

#[test]
fn a_forward_that_stays_away_takes_the_override_along() -> Result<()> {
    // With a drain or without: nothing returns to an address that the network does not have any more.
    for drain in ["", LONG] {
        let case = with_forwards(&format!("hold-down = 0.5\n{drain}"))?;
        case.net.remove_forward(ip(A))?;
        case.becomes([])?;
        eventually(SOON, "the agent says why", || {
            let state = agent_state(&case.scene.agent, &case.one.port)?;
            ensure!(state == "rejected not-a-forward", "it says {state}");
            Ok(true)
        })?;
    }
    Ok(())
}

#[test]
fn what_drains_does_so_on_when_the_forward_is_back_in_time() -> Result<()> {
    for value in [None, Some(B)] {
        let case = with_forwards(&format!("hold-down = 3000\n{LONG}"))?;
        case.annotate(&case.one, value)?;
        let rows = || -> BTreeSet<_> {
            [drain(&case.one, A)].into_iter().chain(value.map(|value| egress(&case.one, value))).collect()
        };
        eventually(SOON, "it drains", || Ok(ours(&case.scene.server)? == rows()))?;
        let before = versions(&case.scene.server, OWNER)?;
        // As Incus edits a forward; another change shows that the agent has seen the removal.
        for _ in 0..3 {
            case.net.remove_forward(ip(A))?;
            let decided = decided(&case)?;
            case.scene.agent.appctl(&["recompute"])?;
            eventually(SOON, "the agent knows", || Ok(self::decided(&case)? > decided))?;
            assert_eq!(ours(&case.scene.server)?, rows(), "{value:?}");
            case.forward(A, 80)?;
        }
        wait_until_settled(&case.scene.cli)?;
        assert_eq!(versions(&case.scene.server, OWNER)?, before, "{value:?}");
    }
    Ok(())
}

/// How many ports the agent has decided on so far.
fn decided(case: &Case) -> Result<u64> {
    let coverage = case.scene.agent.appctl(&["coverage/show"])?;
    let line = coverage.lines().find(|line| line.starts_with("decided_ports")).context("a line")?;
    Ok(line.rsplit(' ').next().context("a number")?.parse()?)
}

#[test]
fn nothing_is_held_for_who_asks_for_something_else_or_is_gone() -> Result<()> {
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
fn an_address_that_another_router_takes_is_given_up_at_once() -> Result<()> {
    let case = with_forwards("hold-down = 3000")?;
    let mut other = Net::builder(2).create(&case.scene.server)?;
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
fn a_row_that_somebody_keeps_removing_is_contested() -> Result<()> {
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
        let state = agent_state(&case.scene.agent, &case.one.port)?;
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
fn until(server: &OvsdbServer) -> Result<Option<u64>> {
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
fn explain_tells_of_conversion_port_range_and_what_drains() -> Result<()> {
    let case = with_forwards(LONG)?;
    case.annotate(&case.one, Some(B))?;
    case.becomes([egress(&case.one, B), drain(&case.one, A)])?;
    case.net.add_default_target(ip(B), case.one.v4()?, DefaultTarget::Vip)?;
    case.becomes([egress(&case.one, B), drain(&case.one, A), converted(B, &case.one)])?;
    let output = case.scene.cli.run(&["explain", &case.one.port, "--json"])?;
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
fn explain_tells_of_hazards() -> Result<()> {
    let case = with_forwards("port-range = \"30000-50000\"")?;
    let hazards = || -> Result<Vec<String>> {
        let output = case.scene.cli.run(&["explain", &case.one.port, "--json"])?;
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
    let text = case.scene.cli.run(&["explain", &case.one.port])?.success()?;
    assert!(text.contains("! port-range"), "{text}");

    case.net.add_default_target(ip(B), case.one.v4()?, DefaultTarget::Vip)?;
    case.net.add_nat("snat", ip(B), &case.one.v4()?.to_string())?;
    case.annotate(&case.one, Some(B))?;
    case.state(&case.one, "foreign")?;
    let found = hazards()?;
    assert!(found.len() == 1 && found[0].contains("breaks TCP replies"), "{found:?}");
    Ok(())
}
