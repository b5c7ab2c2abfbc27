//! What has to be removed is removed at once, even if something else of the same port has to wait.

use anyhow::{Context, Result, ensure};
use ovn_extaddr_tests::{Addressing, Instance, Net, Protocol, eventually, json_map, uuid_ref};
use serde_json::json;

use super::conversion::attach;
use super::{A, Case, agent_state, converted, egress, ours, set};
use crate::fixture::{SOON, ip};

/// An instance with two internal addresses, both with an override, and another instance.
fn two_addresses() -> Result<(Case, Instance)> {
    let mut case = Case::start("")?;
    case.forward(A, 80)?;
    let both = case.net.add_instance(Addressing::Fixed(vec![ip("10.57.1.50"), ip("10.57.1.51")]))?;
    case.annotate(&both, Some(A))?;
    case.becomes([leaves("10.57.1.50", &both), leaves("10.57.1.51", &both)])?;
    Ok((case, both))
}

fn leaves(internal: &str, instance: &Instance) -> String {
    format!("{internal} leaves as {A} for {}", instance.port)
}

/// The UUID of the row for an internal address, if there is one.
fn row_of(case: &Case, internal: &str) -> Result<Option<String>> {
    Ok(case.net.nats()?.into_iter().find(|nat| nat.logical_ip == internal).map(|nat| nat.uuid))
}

/// The second address moves to the other instance, and with it the right to an override.
fn move_second(case: &Case, both: &Instance) -> Result<()> {
    let write = |port: &str, addresses: &str| {
        json!({"op": "update", "table": "Logical_Switch_Port", "where": [["name", "==", port]],
            "row": {"addresses": format!("00:00:00:00:00:01 {addresses}")}})
    };
    let moved = vec![write(&both.port, "10.57.1.50"), write(&case.two.port, "10.57.1.12 10.57.1.51")];
    case.fixture.server.transact(moved).map(drop)
}

#[test]
fn contested_row_does_not_delay_a_deletion() -> Result<()> {
    let (case, both) = two_addresses()?;
    eventually(SOON, "it is contested", || {
        if let Some(uuid) = row_of(&case, "10.57.1.50")? {
            case.net.remove_nat(&uuid)?;
        }
        let state = agent_state(&case.fixture.agent, &both.port)?;
        ensure!(state == "contested", "it is {state}");
        Ok(true)
    })?;
    if let Some(uuid) = row_of(&case, "10.57.1.50")? {
        case.net.remove_nat(&uuid)?;
    }
    move_second(&case, &both)?;
    eventually(SOON, "the address is given up", || {
        let rows = ours(&case.fixture.server)?;
        // At once, not later together with what is contested.
        ensure!(rows.is_empty(), "there are {rows:?}");
        Ok(true)
    })?;
    case.becomes([leaves("10.57.1.50", &both)])
}

#[test]
fn refused_row_does_not_delay_a_deletion() -> Result<()> {
    let (case, both) = two_addresses()?;
    let other = Net::builder(2).ipv4_only().create(&case.fixture.server)?;
    // Somebody else takes over the row: its UUID prevents a new one.
    let uuid = uuid_ref(&row_of(&case, "10.57.1.50")?.context("our row")?);
    let on = |router: String, verb: &str| {
        json!({"op": "mutate", "table": "Logical_Router", "where": [["name", "==", router]],
            "mutations": [["nat", verb, uuid]]})
    };
    case.fixture.server.transact(vec![
        json!({"op": "update", "table": "NAT", "where": [["_uuid", "==", uuid]],
            "row": {"external_ids": json_map::<&str, &str>([])}}),
        on(case.net.router(), "delete"),
        on(other.router(), "insert"),
    ])?;
    eventually(SOON, "it is refused", || {
        let state = agent_state(&case.fixture.agent, &both.port)?;
        ensure!(state == "pending refused", "it is {state}");
        Ok(true)
    })?;
    move_second(&case, &both)?;
    case.rows_become([])
}

#[test]
fn contested_conversion_deletes_its_override() -> Result<()> {
    let case = Case::start("")?;
    case.default_target(A)?;
    case.annotate(&case.one, Some(A))?;
    case.becomes([egress(&case.one, A), converted(A, &case.one)])?;
    let is_back = || Ok::<_, anyhow::Error>(case.attached(A)?.contains("router tcp"));
    let balancer = case.net.balancer(Protocol::Tcp, ip(A));
    eventually(SOON, "it is contested", || {
        if !is_back()? {
            attach(&case.fixture.server, &case.net.router(), &balancer)?;
        }
        let state = agent_state(&case.fixture.agent, &case.one.port)?;
        ensure!(state == "contested", "it is {state}");
        Ok(true)
    })?;
    // Beside the VIP, the instance's own connections would break.
    eventually(SOON, "the override goes while the VIP is there", || {
        if !is_back()? {
            attach(&case.fixture.server, &case.net.router(), &balancer)?;
        }
        let rows = ours(&case.fixture.server)?;
        ensure!(!rows.contains(&egress(&case.one, A)), "there are {rows:?}");
        Ok(true)
    })?;
    // Once nobody interferes, the desired state is restored.
    case.becomes([egress(&case.one, A), converted(A, &case.one)])?;
    assert_eq!(case.attached(A)?, set(["switch tcp", "switch udp"]));
    Ok(())
}
