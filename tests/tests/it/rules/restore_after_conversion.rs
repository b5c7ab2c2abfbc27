//! What was moved away by a conversion is not lost, whatever happens to the row that records it.

use anyhow::{Context, Result, ensure};
use ovn_extaddr_tests::{Net, Protocol, eventually, json_set, uuid_ref};
use serde_json::{Value, json};

use super::conversion::{put_vip, vips};
use super::{A, Case, converted, egress, foreign, ours, set};
use crate::fixture::{SOON, ip, wait_until_settled};

/// An address that is forwarded to the first instance as a whole, with an override; its tcp balancer has a port, too.
fn converted_case() -> Result<Case> {
    let case = Case::start("")?;
    case.default_target(A)?;
    case.net.add_forward(ip(A), 443, case.two.v4()?, 8443)?;
    case.annotate(&case.one, Some(A))?;
    case.becomes([egress(&case.one, A), converted(A, &case.one)])?;
    Ok(case)
}

fn delete_router(name: &str) -> Value {
    json!({"op": "delete", "table": "Logical_Router", "where": [["name", "==", name]]})
}

/// `ovn-nbctl lr-del`: our row is deleted with the router, and the balancer stays, because its switch has it.
#[test]
fn deleted_router_leaves_the_converted_vip() -> Result<()> {
    let case = converted_case()?;
    let whole = vips(&[(A, "10.57.1.11"), (&format!("{A}:443"), "10.57.1.12:8443")]);
    assert_ne!(case.net.vips(Protocol::Tcp, ip(A))?, whole);
    case.fixture.server.transact(vec![delete_router(&case.net.router())])?;
    eventually(SOON, "the VIP is back", || {
        let found = case.net.vips(Protocol::Tcp, ip(A))?;
        ensure!(found == whole, "there are {found:?}");
        Ok(true)
    })?;
    assert_eq!(ours(&case.fixture.server)?, set([]));
    Ok(())
}

#[test]
fn row_changed_to_another_type_is_repaired() -> Result<()> {
    let mut case = Case::start("")?;
    case.default_target(A)?;
    let before = case.foreign()?;
    let spoil = || -> Result<()> {
        let nat = case.net.nats()?.into_iter().find(|nat| nat.kind == "dnat").context("our row")?;
        case.fixture.server.transact(vec![json!({"op": "update", "table": "NAT",
            "where": [["_uuid", "==", uuid_ref(&nat.uuid)]], "row": {"type": "snat"}})])?;
        Ok(())
    };
    case.annotate(&case.one, Some(A))?;
    case.becomes([egress(&case.one, A), converted(A, &case.one)])?;
    // It is repaired as long as there is an intent, and removed with the intent, by the agent and by cleanup.
    spoil()?;
    case.becomes([egress(&case.one, A), converted(A, &case.one)])?;
    case.fixture.agent.daemon().signal("STOP")?;
    spoil()?;
    case.annotate(&case.one, None)?;
    case.fixture.agent.daemon().signal("CONT")?;
    case.becomes([])?;
    assert_eq!(case.foreign()?, before);

    case.annotate(&case.one, Some(A))?;
    case.becomes([egress(&case.one, A), converted(A, &case.one)])?;
    let Case { mut fixture, net, .. } = case;
    fixture.agent.kill9()?;
    let nat = net.nats()?.into_iter().find(|nat| nat.kind == "dnat").context("our row")?;
    fixture.server.transact(vec![json!({"op": "update", "table": "NAT",
        "where": [["_uuid", "==", uuid_ref(&nat.uuid)]], "row": {"type": "snat"}})])?;
    let said = fixture.cli.run(&["cleanup"])?.success()?;
    assert_eq!(said.trim(), "Removed 2 rows of owner ovn-extaddr.");
    assert_eq!(ours(&fixture.server)?, set([]));
    assert_eq!(foreign(&fixture.server)?, before);
    Ok(())
}

/// Balancers are put back only on the router that they were taken off.
#[test]
fn new_router_of_the_same_name_gets_no_balancer_of_the_old_one() -> Result<()> {
    let case = converted_case()?;
    let other = Net::builder(2).create(&case.fixture.server)?;
    let name = case.net.router();
    case.fixture.server.transact(vec![
        delete_router(&name),
        json!({"op": "insert", "table": "Logical_Router", "row": {"name": name}}),
    ])?;
    eventually(SOON, "the VIP is back", || Ok(case.net.vips(Protocol::Tcp, ip(A))?.contains_key(A)))?;
    assert_eq!(case.attached(A)?, set(["switch tcp", "switch udp"]));
    let empty = json_set([]);
    for router in [case.net.router(), other.router()] {
        let found = case.fixture.server.transact(vec![json!({"op": "select", "table": "Logical_Router",
            "where": [["name", "==", router]], "columns": ["load_balancer"]})])?;
        assert_eq!(found[0]["rows"][0]["load_balancer"], empty);
    }
    Ok(())
}

/// Our row records what was moved away. Deleting that row does not delete a VIP.
#[test]
fn deleted_row_loses_no_converted_vip() -> Result<()> {
    let case = Case::start("")?;
    case.default_target(A)?;
    case.net.add_forward(ip(A), 443, case.two.v4()?, 8443)?;
    let before = case.foreign()?;
    let wanted = [egress(&case.one, A), converted(A, &case.one)];
    case.annotate(&case.one, Some(A))?;
    case.becomes(wanted.clone())?;
    for round in 0..3 {
        for nat in case.net.nats()?.iter().filter(|nat| !nat.external_ids.is_empty()) {
            if nat.kind == "dnat" || round > 0 {
                case.net.remove_nat(&nat.uuid)?;
            }
        }
        case.becomes(wanted.clone()).with_context(|| format!("round {round}"))?;
        assert_eq!(case.attached(A)?, set(["router tcp", "switch tcp", "switch udp"]));
        wait_until_settled(&case.fixture.cli)?;
    }
    case.annotate(&case.one, None)?;
    case.becomes([])?;
    assert_eq!(case.foreign()?, before);
    Ok(())
}

/// A CMS writes the VIP again that was taken out of its balancer: only its new value counts.
#[test]
fn rewritten_vip_is_converted_with_its_new_target() -> Result<()> {
    let case = converted_case()?;
    let port = format!("{A}:443");
    for target in [&case.two, &case.one, &case.one] {
        let address = target.v4()?.to_string();
        put_vip(&case, Protocol::Tcp, A, &address)?;
        case.net.set_vips(Protocol::Udp, ip(A), &vips(&[(A, &address)]))?;
        case.becomes([egress(&case.one, A), converted(A, target)])?;
        assert_eq!(case.net.vips(Protocol::Tcp, ip(A))?, vips(&[(&port, "10.57.1.12:8443")]));
    }
    case.annotate(&case.one, None)?;
    case.becomes([])?;
    assert_eq!(case.net.vips(Protocol::Tcp, ip(A))?, vips(&[(A, "10.57.1.11"), (&port, "10.57.1.12:8443")]));
    Ok(())
}
