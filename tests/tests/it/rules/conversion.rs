//! Default targets: converted while an override has the address, and restored afterwards.

use std::collections::BTreeMap;
use std::thread::sleep;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use fastrand::Rng;
use ovn_extaddr_tests::{
    Addressing, Agent, Cli, DefaultTarget, Net, OvsdbServer, Protocol, eventually, json_set,
};
use serde_json::{Value, json};

use super::{A, B, Case, attached, become_rows, converted, egress, foreign, ours, set};
use crate::fixture::{SOON, V4, ip, wait_until_settled};

/// How often the agent is killed at a random moment.
const KILLS: u64 = 25;

/// As in kube-ovn: the balancer is on no switch, so that without the router it is attached to nothing.
#[test]
fn balancer_without_a_switch_is_restored() -> Result<()> {
    for mixed in [false, true] {
        let case = Case::start("")?;
        case.default_target(A)?;
        if mixed {
            case.forward(A, 443)?;
        }
        mutate(
            &case.fixture.server,
            "Logical_Switch",
            &case.net.internal_switch(),
            json!(["load_balancer", "delete", all_balancers(&case)?]),
        )?;
        let before = case.foreign()?;
        case.annotate(&case.one, Some(A))?;
        case.becomes([egress(&case.one, A), converted(A, &case.one)])?;
        let left = if mixed { set(["router tcp"]) } else { set([]) };
        assert_eq!(case.attached(A)?, left);
        case.annotate(&case.one, None)?;
        case.becomes([])?;
        assert_eq!(case.foreign()?, before, "mixed {mixed}");
    }
    Ok(())
}

/// All load balancers.
fn all_balancers(case: &Case) -> Result<Value> {
    let found = case.fixture.server.transact(vec![
        json!({"op": "select", "table": "Load_Balancer", "where": [], "columns": ["_uuid"]}),
    ])?;
    let rows = found[0]["rows"].as_array().context("rows")?;
    Ok(json_set(rows.iter().map(|row| row["_uuid"].clone())))
}

#[test]
fn cleanup_restores_converted_vips() -> Result<()> {
    let case = Case::start("")?;
    case.default_target(A)?;
    case.forward(A, 443)?;
    let before = case.foreign()?;
    case.annotate(&case.one, Some(A))?;
    case.becomes([egress(&case.one, A), converted(A, &case.one)])?;
    let Case { mut fixture, net, one, .. } = case;
    fixture.agent.kill9()?;
    fixture.cli.run(&["cleanup"])?.success()?;
    assert_eq!(ours(&fixture.server)?, set([]));
    assert_eq!(foreign(&fixture.server)?, before);
    assert_eq!(net.external_ids(&one.port)?.get(V4).map(String::as_str), Some(A), "the intent is the user's");
    Ok(())
}

/// `ovn-nbctl lr-del`: our row is deleted with the router, and the balancer stays, because its switch has it.
#[test]
fn deleted_router_leaves_the_converted_vip() -> Result<()> {
    let case = Case::start("")?;
    case.default_target(A)?;
    case.net.add_forward(ip(A), 443, case.two.v4()?, 8443)?;
    case.annotate(&case.one, Some(A))?;
    case.becomes([egress(&case.one, A), converted(A, &case.one)])?;
    let whole = vips(&[(A, "10.57.1.11"), (&format!("{A}:443"), "10.57.1.12:8443")]);
    assert_ne!(case.net.vips(Protocol::Tcp, ip(A))?, whole);
    case.fixture.server.transact(vec![
        json!({"op": "delete", "table": "Logical_Router", "where": [["name", "==", case.net.router()]]}),
    ])?;
    eventually(SOON, "the VIP is back", || {
        let found = case.net.vips(Protocol::Tcp, ip(A))?;
        ensure!(found == whole, "there are {found:?}");
        Ok(true)
    })?;
    assert_eq!(ours(&case.fixture.server)?, set([]));
    Ok(())
}

#[test]
fn kill_at_any_moment_loses_no_converted_vip() -> Result<()> {
    let server = OvsdbServer::northbound()?;
    let mut net = Net::builder(1).create(&server)?;
    let instances = net.add_instances(4, Addressing::Static)?;
    for (address, instance) in [A, B].into_iter().zip(&instances) {
        net.add_default_target(ip(address), instance.v4()?, DefaultTarget::Vip)?;
    }
    net.add_forward(ip(B), 443, instances[3].v4()?, 443)?;
    let before = foreign(&server)?;
    let mut agent = Agent::start(server.remote())?;
    let mut random = Rng::with_seed(0x5eed_c0de_1234_5678);
    for kill in 0..KILLS {
        sleep(Duration::from_micros(random.u64(..40_000)));
        for instance in &instances {
            let value = [None, Some(A), Some(B)][random.usize(..3)];
            net.annotate(&instance.port, V4, value)?;
            sleep(Duration::from_micros(random.u64(..8_000)));
        }
        agent.kill9()?;
        consistent(&server, &net).with_context(|| format!("after kill {kill}"))?;
        agent = Agent::builder(server.remote()).spawn()?;
    }
    net.annotate(&instances[0].port, V4, Some(A))?;
    for instance in &instances[1..] {
        net.annotate(&instance.port, V4, None)?;
    }
    become_rows(&server, [egress(&instances[0], A), converted(A, &instances[0])])?;
    net.annotate(&instances[0].port, V4, None)?;
    become_rows(&server, [])?;
    wait_until_settled(&Cli::new(server.remote())?)?;
    assert_eq!(foreign(&server)?, before);
    Ok(())
}

/// An address is converted as a whole or not at all, and converted wherever an override has it.
fn consistent(server: &OvsdbServer, net: &Net) -> Result<()> {
    let rows = ours(server)?;
    for address in [A, B] {
        let converted = rows.iter().any(|row| row.starts_with(&format!("{address} goes to")));
        let used = rows.iter().any(|row| row.contains(&format!("leaves as {address} ")));
        ensure!(converted || !used, "{address} has overrides beside its VIP: {rows:#?}");
        let udp = attached(server, net, address)?.contains("router udp");
        ensure!(
            udp != converted,
            "{address}: the udp balancer is on the router: {udp}, converted: {converted}"
        );
    }
    let there = net.vips(Protocol::Tcp, ip(B))?.contains_key(B);
    let converted = rows.iter().any(|row| row.starts_with(&format!("{B} goes to")));
    ensure!(there != converted, "the VIP is there: {there}, converted: {converted}");
    Ok(())
}

fn vips(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

fn mutate(server: &OvsdbServer, table: &str, name: &str, mutation: Value) -> Result<()> {
    let done = server.transact(vec![
        json!({"op": "mutate", "table": table, "where": [["name", "==", name]], "mutations": [mutation]}),
    ])?;
    ensure!(done[0]["count"] == 1, "no {table} {name}");
    Ok(())
}
