//! Default targets: converted while an override has the address, and restored afterwards.

use std::collections::BTreeMap;
use std::thread::sleep;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use ovn_extaddr_tests::{
    Addressing, Agent, Cli, DefaultTarget, Net, OvsdbServer, Protocol, eventually, json_map, json_set,
    uuid_ref,
};
use serde_json::{Value, json};

use super::{A, B, Case, attached, become_rows, converted, egress, foreign, ours, set};
use crate::fixture::{Random, SOON, V4, V6, ip, wait_until_settled};

/// How often the agent is killed at a random moment.
const KILLS: u64 = 25;

/// Ends the use of the address in one of several ways.
type End = fn(&Case) -> Result<()>;

const ENDS: [(&str, End); 4] = [
    ("unset", |case| case.annotate(&case.one, None)),
    ("none", |case| case.annotate(&case.one, Some("none"))),
    ("another address", |case| case.annotate(&case.one, Some(B))),
    ("port deleted", |case| case.net.remove_instance(&case.one.port)),
];

#[test]
fn balancer_with_one_vip_is_detached_and_attached_again() -> Result<()> {
    for (how, end) in ENDS {
        let case = Case::start("")?;
        case.default_target(A)?;
        let before = case.foreign()?;
        case.annotate(&case.one, Some(A))?;
        case.becomes([egress(&case.one, A), converted(A, &case.one)])?;
        case.state(&case.one, "active")?;
        assert_eq!(case.attached(A)?, set(["switch tcp", "switch udp"]));
        for protocol in [Protocol::Tcp, Protocol::Udp] {
            assert_eq!(case.net.vips(protocol, ip(A))?, vips(&[(A, "10.57.1.11")]));
        }
        end(&case)?;
        case.becomes([]).context(how)?;
        assert_eq!(case.foreign()?, before, "{how}");
    }
    Ok(())
}

#[test]
fn balancer_with_several_vips_loses_only_the_converted_one() -> Result<()> {
    for (how, end) in ENDS {
        let case = Case::start("")?;
        case.default_target(A)?;
        case.net.add_forward(ip(A), 443, case.two.v4()?, 8443)?;
        let before = case.foreign()?;
        case.annotate(&case.one, Some(A))?;
        case.becomes([egress(&case.one, A), converted(A, &case.one)])?;
        assert_eq!(case.attached(A)?, set(["router tcp", "switch tcp", "switch udp"]));
        let (key, target) = (format!("{A}:443"), "10.57.1.12:8443");
        assert_eq!(case.net.vips(Protocol::Tcp, ip(A))?, vips(&[(&key, target)]));
        assert_eq!(case.net.vips(Protocol::Udp, ip(A))?, vips(&[(A, "10.57.1.11")]));
        // Source ports that are still forwarded stay excluded.
        let list = case.fixture.cli.list_json()?;
        assert_eq!(list[0]["port_range"], "1024-65535");
        end(&case)?;
        case.becomes([]).context(how)?;
        assert_eq!(case.foreign()?, before, "{how}");
    }
    Ok(())
}

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
        for (how, end) in &ENDS[..3] {
            case.annotate(&case.one, Some(A))?;
            case.becomes([egress(&case.one, A), converted(A, &case.one)])?;
            let left = if mixed { set(["router tcp"]) } else { set([]) };
            assert_eq!(case.attached(A)?, left, "{how}");
            end(&case)?;
            if *how == "another address" {
                case.state(&case.one, "rejected not-a-forward")?;
            }
            case.becomes([]).context(*how)?;
            assert_eq!(case.foreign()?, before, "{how}, mixed {mixed}");
        }
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
fn balancer_of_several_addresses_keeps_the_others() -> Result<()> {
    let case = Case::start("")?;
    // Incus does not do this, but others may.
    case.net.set_vips(Protocol::Tcp, ip(A), &vips(&[(A, "10.57.1.11"), (B, "10.57.1.12")]))?;
    let before = case.foreign()?;
    case.annotate(&case.one, Some(A))?;
    case.becomes([egress(&case.one, A), converted(A, &case.one)])?;
    assert_eq!(case.net.vips(Protocol::Tcp, ip(A))?, vips(&[(B, "10.57.1.12")]));
    // Only the other VIP is left in it now.
    case.annotate(&case.two, Some(B))?;
    let all = [egress(&case.one, A), converted(A, &case.one), egress(&case.two, B), converted(B, &case.two)];
    case.becomes(all)?;
    case.annotate(&case.one, None)?;
    case.becomes([egress(&case.two, B), converted(B, &case.two)])?;
    case.state(&case.two, "active")?;
    case.annotate(&case.two, None)?;
    case.becomes([])?;
    assert_eq!(case.foreign()?, before);
    Ok(())
}

#[test]
fn ipv6_vip_is_converted_in_any_spelling() -> Result<()> {
    let case = Case::start("")?;
    let address = ip("2001:db8::65");
    case.net.set_vips(Protocol::Tcp, address, &vips(&[("2001:DB8:0::65", "FD42:57:1::B")]))?;
    case.net.set_vips(
        Protocol::Udp,
        address,
        &vips(&[("2001:DB8:0::65", "FD42:57:1::B"), ("[2001:db8::65]:53", "[fd42:57:1::c]:53")]),
    )?;
    let before = case.foreign()?;
    case.net.annotate(&case.one.port, V6, Some("2001:db8::65"))?;
    let row = format!("fd42:57:1::b leaves as 2001:db8::65 for {}", case.one.port);
    case.becomes([row, "2001:db8::65 goes to fd42:57:1::b".to_owned()])?;
    assert_eq!(case.net.vips(Protocol::Udp, address)?.len(), 1);
    case.net.annotate(&case.one.port, V6, None)?;
    case.becomes([])?;
    assert_eq!(case.foreign()?, before);
    Ok(())
}

/// Changes the default target of `A` into one that cannot be converted.
type Spoil = fn(&Case) -> Result<()>;

const SPOILED: [(&str, Spoil); 8] = [
    ("several backends", |case| {
        case.net.set_vips(Protocol::Tcp, ip(A), &vips(&[(A, "10.57.1.11,10.57.1.12")]))
    }),
    ("balancers that disagree", |case| case.net.set_vips(Protocol::Tcp, ip(A), &vips(&[(A, "10.57.1.12")]))),
    ("a group", |case| group(&case.fixture.server, &case.net)),
    ("a group, beside VIPs with ports", |case| {
        case.forward(A, 443)?;
        group(&case.fixture.server, &case.net)
    }),
    ("another router, beside VIPs with ports", |case| {
        let other = Net::builder(2).create(&case.fixture.server)?;
        case.forward(A, 443)?;
        let name = case.net.balancer(Protocol::Tcp, ip(A));
        attach(&case.fixture.server, &other.router(), &name)
    }),
    ("a dnat row", |case| case.net.add_nat("dnat", ip(A), "10.57.1.12").map(drop)),
    ("a dnat row to the same", |case| case.net.add_nat("dnat", ip(A), "10.57.1.11").map(drop)),
    ("a dnat_and_snat row", |case| case.net.add_nat("dnat_and_snat", ip(A), "10.57.1.12").map(drop)),
];

#[test]
fn inconvertible_default_target_is_rejected_and_left_unchanged() -> Result<()> {
    for (why, spoil) in SPOILED {
        let case = Case::start("")?;
        case.default_target(A)?;
        spoil(&case)?;
        let before = case.foreign()?;
        case.annotate(&case.one, Some(A))?;
        case.state(&case.one, "rejected default-target").context(why)?;
        case.becomes([])?;
        assert_eq!(case.foreign()?, before, "{why}");
    }
    Ok(())
}

#[test]
fn default_target_that_becomes_inconvertible_is_restored() -> Result<()> {
    for (why, spoil) in SPOILED {
        let case = Case::start("")?;
        case.default_target(A)?;
        case.annotate(&case.one, Some(A))?;
        case.becomes([egress(&case.one, A), converted(A, &case.one)])?;
        spoil(&case).context(why)?;
        case.state(&case.one, "rejected default-target").context(why)?;
        case.becomes([]).context(why)?;
        let places = case.attached(A)?;
        assert_eq!(places, set(["router tcp", "router udp", "switch tcp", "switch udp"]), "{why}");
    }
    Ok(())
}

#[test]
fn detached_balancer_stays_on_other_routers() -> Result<()> {
    let case = Case::start("")?;
    let other = Net::builder(2).create(&case.fixture.server)?;
    case.default_target(A)?;
    for protocol in [Protocol::Tcp, Protocol::Udp] {
        attach(&case.fixture.server, &other.router(), &case.net.balancer(protocol, ip(A)))?;
    }
    let before = case.foreign()?;
    case.annotate(&case.one, Some(A))?;
    case.becomes([egress(&case.one, A), converted(A, &case.one)])?;
    let there = case.fixture.server.transact(vec![
        json!({"op": "select", "table": "Logical_Router", "where": [["name", "==", other.router()]]}),
    ])?;
    assert_eq!(ovn_extaddr_tests::set_column(&there[0]["rows"][0]["load_balancer"]).len(), 2);
    case.annotate(&case.one, None)?;
    case.becomes([])?;
    assert_eq!(case.foreign()?, before);
    Ok(())
}

#[test]
fn reject_setting_prevents_and_reverts_conversions() -> Result<()> {
    let case = Case::start("default-target = \"convert\"")?;
    case.default_target(A)?;
    let before = case.foreign()?;
    case.annotate(&case.one, Some(A))?;
    case.becomes([egress(&case.one, A), converted(A, &case.one)])?;
    let reject = "drain = 0\nhold-down = 0\ndefault-target = \"reject\"\n";
    case.fixture.cli.write_config(reject)?;
    case.fixture.agent.write_config(reject)?;
    case.becomes([])?;
    case.state(&case.one, "rejected default-target")?;
    assert_eq!(case.foreign()?, before);
    Ok(())
}

#[test]
fn two_ports_share_a_converted_address() -> Result<()> {
    let case = Case::start("")?;
    case.default_target(A)?;
    case.forward(A, 443)?;
    let before = case.foreign()?;
    case.annotate(&case.one, Some(A))?;
    case.annotate(&case.two, Some(A))?;
    case.becomes([egress(&case.one, A), egress(&case.two, A), converted(A, &case.one)])?;
    case.annotate(&case.one, None)?;
    case.becomes([egress(&case.two, A), converted(A, &case.one)])?;
    case.net.remove_instance(&case.two.port)?;
    case.becomes([])?;
    assert_eq!(case.foreign()?, before);
    Ok(())
}

#[test]
fn auto_finds_a_default_target_before_and_after_its_conversion() -> Result<()> {
    let case = Case::start("")?;
    case.default_target(A)?;
    case.annotate(&case.one, Some("auto"))?;
    case.becomes([egress(&case.one, A), converted(A, &case.one)])?;
    case.default_target(B)?;
    case.becomes([])?;
    case.state(&case.one, "rejected ambiguous-auto")?;
    case.net.remove_forward(ip(A))?;
    case.becomes([egress(&case.one, B), converted(B, &case.one)])
}

#[test]
fn default_target_stays_converted_while_its_address_drains() -> Result<()> {
    let case = Case::start("drain = 6")?;
    case.default_target(A)?;
    let before = case.foreign()?;
    case.annotate(&case.one, Some(A))?;
    case.rows_become([egress(&case.one, A), converted(A, &case.one)])?;
    case.annotate(&case.one, None)?;
    case.rows_become([super::drain(&case.one, A), converted(A, &case.one)])?;
    case.becomes([])?;
    assert_eq!(case.foreign()?, before);
    Ok(())
}

// ===== the agent goes =====

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
    assert_eq!(net.external_ids(&one.port)?.get(V4).map(String::as_str), Some(A), "the wish is not ours");
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
    let mut random = Random(0x5eed_c0de_1234_5678);
    for kill in 0..KILLS {
        sleep(Duration::from_micros(random.below(40_000)));
        for instance in &instances {
            let value = [None, Some(A), Some(B)][usize::try_from(random.below(3))?];
            net.annotate(&instance.port, V4, value)?;
            sleep(Duration::from_micros(random.below(8_000)));
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

#[test]
fn conversion_of_another_owner_is_left_unchanged() -> Result<()> {
    let case = Case::start("")?;
    case.default_target(A)?;
    case.annotate(&case.one, Some(A))?;
    case.becomes([egress(&case.one, A), converted(A, &case.one)])?;
    let before = case.fixture.server.dump()?;
    // To this agent, the rows are foreign and fulfil the intent already.
    let mut other = Agent::builder(case.fixture.server.remote()).args(&["--owner", "other"]).start()?;
    other.wait_for_log("synchronised")?;
    eventually(SOON, "it says so", || {
        let state = super::agent_state(&other, &case.one.port)?;
        ensure!(state == "foreign", "it says {state}");
        Ok(true)
    })?;
    other.stop()?;
    assert_eq!(case.fixture.server.dump()?, before);
    Ok(())
}

// ===== inside =====

pub(super) fn vips(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

/// Attaches a balancer to another router too.
pub(super) fn attach(server: &OvsdbServer, router: &str, balancer: &str) -> Result<()> {
    let uuid = balancer_named(server, balancer)?;
    mutate(server, "Logical_Router", router, json!(["load_balancer", "insert", uuid_ref(&uuid)]))
}

pub(super) fn detach(server: &OvsdbServer, router: &str, balancer: &str) -> Result<()> {
    let uuid = balancer_named(server, balancer)?;
    mutate(server, "Logical_Router", router, json!(["load_balancer", "delete", uuid_ref(&uuid)]))
}

fn balancer_named(server: &OvsdbServer, name: &str) -> Result<String> {
    let found = server
        .transact(vec![json!({"op": "select", "table": "Load_Balancer", "where": [["name", "==", name]]})])?;
    found[0]["rows"][0]["_uuid"][1].as_str().map(str::to_owned).context("no such balancer")
}

/// Gives the router a third balancer with a default target, through a group.
fn group(server: &OvsdbServer, net: &Net) -> Result<()> {
    server.transact(vec![
        json!({"op": "insert", "table": "Load_Balancer", "uuid-name": "lb", "row": {
            "name": "grouped", "protocol": "tcp", "vips": json_map([(A, "10.57.1.11")]),
        }}),
        json!({"op": "insert", "table": "Load_Balancer_Group", "uuid-name": "group", "row": {
            "name": "group", "load_balancer": ["named-uuid", "lb"],
        }}),
        json!({"op": "mutate", "table": "Logical_Router", "where": [["name", "==", net.router()]],
            "mutations": [["load_balancer_group", "insert", ["named-uuid", "group"]]]}),
    ])?;
    Ok(())
}

/// Sets a VIP of a balancer and leaves the balancer where it is.
pub(super) fn put_vip(case: &Case, protocol: Protocol, key: &str, value: &str) -> Result<()> {
    let name = case.net.balancer(protocol, ip(A));
    let server = &case.fixture.server;
    mutate(server, "Load_Balancer", &name, json!(["vips", "delete", ["set", [key]]]))?;
    mutate(server, "Load_Balancer", &name, json!(["vips", "insert", json_map([(key, value)])]))
}

fn mutate(server: &OvsdbServer, table: &str, name: &str, mutation: Value) -> Result<()> {
    let done = server.transact(vec![
        json!({"op": "mutate", "table": table, "where": [["name", "==", name]], "mutations": [mutation]}),
    ])?;
    ensure!(done[0]["count"] == 1, "no {table} {name}");
    Ok(())
}
