//! What the configuration decides: who may request, what may be requested, and when its changes take effect.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use ovn_extaddr_tests::{Addressing, Net, Protocol, eventually, json_set, set_column, uuid_ref};
use serde_json::{Value, json};

use super::{A, B, Case, agent_state, converted, drain, egress, ours, set};
use crate::fixture::{OWNER, SOON, V4, V6, ip, versions, wait_until_settled};

impl Case {
    /// Writes a policy file next to the configuration, and returns the configuration's line that names it.
    fn write_policy(&self, text: &str) -> Result<String> {
        let path = self.policy_file();
        fs::write(&path, text)?;
        Ok(format!("policy = \"{}\"\n", path.display()))
    }

    fn policy_file(&self) -> PathBuf {
        self.fixture.agent.dir().join("policy.toml")
    }

    fn source(&self, instance: &ovn_extaddr_tests::Instance) -> Result<Value> {
        let list = self.fixture.cli.list_json()?;
        let entry = list.iter().find(|entry| entry["port"] == instance.port && entry["family"] == "ipv4");
        Ok(entry.context("no such entry")?["source"].clone())
    }

    /// Waits until the agent has logged this once more.
    fn logs(&self, text: &str, times: usize) -> Result<()> {
        eventually(SOON, &format!("the agent says {text:?} {times} times"), || {
            let log = self.fixture.agent.log();
            ensure!(log.matches(text).count() >= times, "{log}");
            Ok(true)
        })
    }
}

const PROMPT: &str = ovn_extaddr_tests::PROMPT;
const RELOADED: &str = "configuration reloaded";
const WRONG: &str = "the old one stays";

// ===== the policy file =====

#[test]
fn policy_rules_select_ports_by_name_switch_and_router() -> Result<()> {
    let case = Case::start("")?;
    case.forward(A, 80)?;
    case.forward(B, 80)?;
    let names = [
        ("port", "incus-net1-instance-*-00010000000?-eth0".to_owned()),
        ("switch", case.net.internal_switch()),
        ("router", "incus-net?-lr".to_owned()),
    ];
    for (key, glob) in names {
        let policy = case.write_policy(&format!("[[rule]]\n{key} = \"{glob}\"\nipv4 = \"{A}\"\n"))?;
        case.configure(&format!("{PROMPT}{policy}"))?;
        case.becomes([egress(&case.one, A), egress(&case.two, A)]).context(key)?;
        assert_eq!(case.source(&case.one)?, "policy");
        case.configure(PROMPT)?;
        case.becomes([]).context(key)?;
    }
    Ok(())
}

#[test]
fn port_key_precedes_the_policy_and_earlier_rules_precede_later_ones() -> Result<()> {
    let case = Case::start("")?;
    case.forward(A, 80)?;
    case.forward(B, 80)?;
    let v6 = "2001:db8::65";
    case.net.add_forward(ip(v6), 80, case.one.v6()?, 80)?;
    let policy = case.write_policy(&format!(
        "[[rule]]\nport = \"{}\"\nipv4 = \"{A}\"\n[[rule]]\nport = \"*\"\nipv4 = \"{B}\"\nipv6 = \"{v6}\"\n",
        case.one.port
    ))?;
    case.configure(&format!("{PROMPT}{policy}"))?;
    let six = [(&case.one, "fd42:57:1::b"), (&case.two, "fd42:57:1::c")];
    let six = six.map(|(instance, address)| format!("{address} leaves as {v6} for {}", instance.port));
    let [six_one, six_two] = &six;
    case.becomes([egress(&case.one, A), egress(&case.two, B), six_one.clone(), six_two.clone()])?;
    case.annotate(&case.one, Some(B))?;
    case.net.annotate(&case.two.port, V6, Some("none"))?;
    case.becomes([egress(&case.one, B), egress(&case.two, B), six_one.clone()])?;
    assert_eq!(case.source(&case.one)?, "annotation");
    case.annotate(&case.one, Some("none"))?;
    case.becomes([egress(&case.two, B), six_one.clone()])?;
    case.annotate(&case.one, None)?;
    case.becomes([egress(&case.one, A), egress(&case.two, B), six_one.clone()])
}

#[test]
fn policy_applies_to_a_port_created_later() -> Result<()> {
    let mut case = Case::start("")?;
    case.forward(A, 80)?;
    let later = "incus-net1-instance-00000000-0000-4000-8000-000100000003-eth0";
    let policy = case.write_policy(&format!("[[rule]]\nport = \"{later}\"\nipv4 = \"{A}\"\n"))?;
    case.configure(&format!("{PROMPT}{policy}"))?;
    case.fixture.wait_for_state(later, V4, "waiting no-port")?;
    let three = case.net.add_instance(Addressing::Static)?;
    assert_eq!(three.port, later);
    case.becomes([egress(&three, A)])
}

/// As kubelet updates a ConfigMap's volume: the file is a link through `..data`, which is replaced by another link.
#[test]
fn policy_in_a_kubernetes_volume_is_reloaded() -> Result<()> {
    let case = Case::start("")?;
    case.forward(A, 80)?;
    case.forward(B, 80)?;
    let volume = case.fixture.agent.dir().join("volume");
    fs::create_dir(&volume)?;
    let publish = |version: &str, address: &str| -> Result<()> {
        fs::create_dir(volume.join(version))?;
        let rule = format!("[[rule]]\nport = \"{}\"\nipv4 = \"{address}\"\n", case.one.port);
        fs::write(volume.join(version).join("policy.toml"), rule)?;
        symlink(version, volume.join("..data_tmp"))?;
        Ok(fs::rename(volume.join("..data_tmp"), volume.join("..data"))?)
    };
    publish("..1", A)?;
    symlink("..data/policy.toml", volume.join("policy.toml"))?;
    case.configure(&format!("{PROMPT}policy = \"{}\"\n", volume.join("policy.toml").display()))?;
    case.becomes([egress(&case.one, A)])?;
    publish("..2", B)?;
    case.becomes([egress(&case.one, B)])
}

#[test]
fn changed_policy_file_is_reloaded() -> Result<()> {
    let case = Case::start("")?;
    case.forward(A, 80)?;
    case.forward(B, 80)?;
    let rule = |address: &str| format!("[[rule]]\nport = \"{}\"\nipv4 = \"{address}\"\n", case.one.port);
    let policy = case.write_policy(&rule(A))?;
    // Its name is new to the agent, too.
    case.configure(&format!("{PROMPT}{policy}"))?;
    case.becomes([egress(&case.one, A)])?;
    case.write_policy(&rule(B))?;
    case.becomes([egress(&case.one, B)])?;
    // As an editor does it: a new file takes the place of the old one.
    let new = case.fixture.agent.dir().join("new");
    fs::write(&new, rule(A))?;
    fs::rename(new, case.policy_file())?;
    case.becomes([egress(&case.one, A)])
}

// ===== reload =====

#[test]
fn invalid_file_is_reported_with_its_line_and_the_old_one_stays_in_force() -> Result<()> {
    let case = Case::start("")?;
    case.forward(A, 80)?;
    let policy = case.write_policy(&format!("[[rule]]\nport = \"*\"\nipv4 = \"{A}\"\n"))?;
    let good = format!("{PROMPT}{policy}");
    case.configure(&good)?;
    case.becomes([egress(&case.one, A), egress(&case.two, A)])?;
    let before = versions(&case.fixture.server, OWNER)?;

    for (wrong, line) in [
        (format!("{good}hold-dwn = 5\n"), ":4:"),
        (format!("{good}drain = \"long\"\n"), ":4:"),
        (format!("{good}port-range = \"5-1\"\n"), ":4:"),
        (format!("{good}owner = \"somebody\"\n"), "restart"),
        (format!("{PROMPT}policy = \"/nonexistent/policy\"\n"), "/nonexistent/policy"),
        (format!("{good}[[allow]]\nrouter = \"*\"\nprefixes = [\"203.0.113.0/33\"]\n"), ":6:"),
    ] {
        let old = case.fixture.agent.log().len();
        case.fixture.agent.write_config(&wrong)?;
        eventually(SOON, "the agent says what is wrong", || {
            let log = case.fixture.agent.log();
            let log = log.get(old..).unwrap_or_default();
            ensure!(log.contains("stays") && log.contains(line), "no {line} in {log}");
            Ok(true)
        })
        .with_context(|| wrong.clone())?;
    }
    let old = case.fixture.agent.log().len();
    case.write_policy("[[rule]]\nport = \"*\"\n\nipv4 = \"web\"\n")?;
    case.fixture.agent.write_config(&good)?;
    eventually(SOON, "the agent says what is wrong with the policy", || {
        let log = case.fixture.agent.log();
        let log = log.get(old..).unwrap_or_default();
        ensure!(log.contains(WRONG) && log.contains("policy.toml") && log.contains(":4:"), "{log}");
        Ok(true)
    })?;
    assert_eq!(versions(&case.fixture.server, OWNER)?, before, "nothing was touched");
    // The agent still sees changes.
    case.write_policy(&format!("[[rule]]\nport = \"{}\"\nipv4 = \"{A}\"\n", case.one.port))?;
    case.becomes([egress(&case.one, A)])
}

#[test]
fn sighup_reloads_the_configuration() -> Result<()> {
    let mut case = Case::start("")?;
    let times = case.fixture.agent.log().matches(RELOADED).count();
    case.fixture.agent.daemon().signal("HUP")?;
    case.logs(RELOADED, times + 1)?;
    // A file that seems to be gone is an error as well.
    fs::remove_file(case.fixture.agent.dir().join("config.toml"))?;
    case.fixture.agent.daemon().signal("HUP")?;
    case.logs(WRONG, 1)?;
    case.forward(A, 80)?;
    case.annotate(&case.one, Some(A))?;
    case.becomes([egress(&case.one, A)])
}

// ===== auto =====

#[test]
fn default_auto_grants_every_sole_target_its_address() -> Result<()> {
    type Speaker = (&'static str, &'static str, fn(&Case, bool) -> Result<()>);
    let speakers: [Speaker; 3] = [
        ("router", "router", |case, on| case.net.annotate_router("address.external", on.then_some("auto"))),
        ("configuration", "config", |case, on| {
            case.configure(&format!("{PROMPT}{}", if on { "auto = true\n" } else { "" }))
        }),
        ("policy", "policy", |case, on| {
            let policy = case.write_policy("[[rule]]\nrouter = \"*\"\nipv4 = \"auto\"\n")?;
            case.configure(&format!("{PROMPT}{}", if on { &policy } else { "" }))
        }),
    ];
    for (who, source, speak) in speakers {
        let mut case = Case::start("")?;
        case.forward(A, 80)?;
        let three = case.net.add_instance(Addressing::Static)?;
        speak(&case, true)?;
        case.becomes([egress(&case.one, A)]).context(who)?;
        assert_eq!(case.source(&case.one)?, source);
        // An instance without a forward has no intent, unless the policy names it.
        let list = case.fixture.cli.list_json()?;
        let of_three = list.iter().filter(|entry| entry["port"] == three.port).count();
        assert_eq!(of_three, usize::from(who == "policy"), "{who}: {list:?}");

        // A forward that comes later counts, as does an instance.
        case.net.add_forward(ip(B), 80, three.v4()?, 80)?;
        case.becomes([egress(&case.one, A), egress(&three, B)]).context(who)?;
        // A second one on the same address gives it to neither instance.
        case.net.add_forward(ip(B), 81, case.two.v4()?, 80)?;
        case.becomes([egress(&case.one, A)]).context(who)?;
        case.net.remove_forward(ip(B))?;
        case.annotate(&case.one, Some("none"))?;
        case.becomes([]).context(who)?;
        case.annotate(&case.one, None)?;
        case.becomes([egress(&case.one, A)]).context(who)?;
        // Two addresses of its own are ambiguous.
        case.forward(B, 80)?;
        case.becomes([]).context(who)?;
        case.state(&case.one, "rejected ambiguous-auto").context(who)?;
        case.annotate(&case.one, Some(B))?;
        case.becomes([egress(&case.one, B)]).context(who)?;
        case.annotate(&case.one, None)?;
        case.net.remove_forward(ip(B))?;
        case.becomes([egress(&case.one, A)]).context(who)?;
        speak(&case, false)?;
        case.becomes([]).context(who)?;
    }
    Ok(())
}

#[test]
fn auto_on_a_router_applies_only_to_ports_behind_it() -> Result<()> {
    let case = Case::start("")?;
    let mut other = Net::builder(2).create(&case.fixture.server)?;
    let there = other.add_instance(Addressing::Static)?;
    other.add_forward(ip(B), 80, there.v4()?, 80)?;
    case.forward(A, 80)?;
    case.net.annotate_router("address.external", Some("auto"))?;
    case.becomes([egress(&case.one, A)])?;
    other.annotate_router("address.external", Some("auto"))?;
    case.becomes([egress(&case.one, A), egress(&there, B)])?;
    case.net.annotate_router("address.external", None)?;
    case.becomes([egress(&there, B)])
}

// ===== what may be requested =====

#[test]
fn allowed_address_is_granted_without_a_forward() -> Result<()> {
    let case = Case::start("")?;
    case.annotate(&case.one, Some(A))?;
    case.state(&case.one, "rejected not-a-forward")?;
    let allow = |router: &str, prefix: &str| {
        format!("{PROMPT}[[allow]]\nrouter = \"{router}\"\nprefixes = [\"198.51.100.0/24\", \"{prefix}\"]\n")
    };
    for (router, prefix) in [("incus-net2-*", "203.0.113.0/24"), ("*", "203.0.113.0/28")] {
        case.configure(&allow(router, prefix))?;
        case.state(&case.one, "rejected not-permitted").context(router)?;
        case.becomes([])?;
    }
    case.configure(&allow("incus-net1-*", "203.0.113.96/27"))?;
    case.becomes([egress(&case.one, A)])?;
    // A forward makes no difference now.
    case.forward(A, 80)?;
    case.becomes([egress(&case.one, A)])?;
    case.net.remove_forward(ip(A))?;
    case.becomes([egress(&case.one, A)])?;
    case.configure(PROMPT)?;
    case.becomes([])
}

#[test]
fn address_of_another_network_is_never_allowed() -> Result<()> {
    let case = Case::start("")?;
    let mut other = Net::builder(2).uplinks(&["203.0.113.3/24"]).create(&case.fixture.server)?;
    let there = other.add_instance(Addressing::Static)?;
    case.configure(&format!("{PROMPT}[[allow]]\nrouter = \"*\"\nprefixes = [\"203.0.113.0/24\"]\n"))?;
    // The address of its gateway, which it leaves with, too.
    case.annotate(&case.one, Some("203.0.113.3"))?;
    case.state(&case.one, "rejected not-permitted")?;
    other.wipe_snat()?;
    case.becomes([])?;
    // One without a forward goes to only one of two networks, and always to the same.
    case.annotate(&case.one, Some(A))?;
    case.becomes([egress(&case.one, A)])?;
    other.annotate(&there.port, V4, Some(A))?;
    let states = || -> Result<_> {
        let list = case.fixture.cli.list_json()?;
        Ok(list.iter().map(crate::fixture::state_of).collect::<BTreeSet<_>>())
    };
    eventually(SOON, "one of them has it", || {
        let found = states()?;
        ensure!(found == set(["active", "rejected not-permitted"]), "they are {found:?}");
        Ok(true)
    })?;
    wait_until_settled(&case.fixture.cli)?;
    let winner = ours(&case.fixture.server)?;
    assert_eq!(winner.len(), 1, "{winner:?}");
    // A port that gets it while the winner's intent is gone loses it again.
    for instance in [&case.one, &there] {
        let net = if instance.port == there.port { &other } else { &case.net };
        net.annotate(&instance.port, V4, None)?;
        eventually(SOON, "the other one has it", || Ok(ours(&case.fixture.server)?.len() == 1))?;
        net.annotate(&instance.port, V4, Some(A))?;
        eventually(SOON, "it is as it was", || {
            let found = ours(&case.fixture.server)?;
            ensure!(found == winner, "they are {found:?}");
            Ok(true)
        })?;
        wait_until_settled(&case.fixture.cli)?;
    }
    // The other network becomes the address's home.
    let uplink = json_set([json!("203.0.113.3/24"), json!("203.0.113.101/32")]);
    case.annotate(&case.one, Some(A))?;
    other.annotate(&there.port, V4, None)?;
    case.becomes([egress(&case.one, A)])?;
    case.fixture.server.transact(vec![json!({"op": "update", "table": "Logical_Router_Port",
        "where": [["name", "==", other.gateway_port()]], "row": {"networks": uplink}})])?;
    case.becomes([])
}

#[test]
fn require_target_limits_an_address_to_targets_of_its_forwards() -> Result<()> {
    let case = Case::start("")?;
    case.forward(A, 80)?;
    case.annotate(&case.two, Some(A))?;
    case.becomes([egress(&case.two, A)])?;
    case.configure(&format!("{PROMPT}require-target = true\n"))?;
    case.becomes([])?;
    case.state(&case.two, "rejected not-a-target")?;
    case.annotate(&case.one, Some(A))?;
    case.becomes([egress(&case.one, A)])?;
    case.net.add_forward(ip(A), 443, case.two.v4()?, 443)?;
    case.becomes([egress(&case.one, A), egress(&case.two, A)])
}

// ===== the port range =====

#[test]
fn port_range_of_a_shared_address_follows_its_listening_ports() -> Result<()> {
    let case = Case::start("")?;
    case.forward(A, 80)?;
    case.forward(B, 80)?;
    case.annotate(&case.one, Some(A))?;
    case.annotate(&case.two, Some(A))?;
    case.becomes([egress(&case.one, A), egress(&case.two, A)])?;
    let range = |expected: &str| -> Result<()> {
        eventually(SOON, &format!("the range is {expected:?}"), || {
            let ranges: Vec<String> = case
                .net
                .nats()?
                .into_iter()
                .filter(|nat| !nat.external_ids.is_empty())
                .map(|nat| nat.external_port_range)
                .collect();
            ensure!(ranges == [expected, expected], "they are {ranges:?}");
            Ok(true)
        })?;
        case.becomes([egress(&case.one, A), egress(&case.two, A)])
    };
    range("1024-65535")?;
    case.forward(A, 40_000)?;
    range("1024-39999")?;
    // Of UDP, and through a group.
    let target = case.one.v4()?;
    let pair = |listen: &str| -> Result<_> { Ok((listen.parse()?, (target, 53).into())) };
    case.net.add_forwards(Protocol::Udp, &[pair("203.0.113.101:20000")?])?;
    range("40001-65535")?;
    case.net.add_group_forward("group", "203.0.113.101:50000".parse()?, (target, 53).into())?;
    range("20001-39999")?;
    // Another address makes no difference.
    let before = versions(&case.fixture.server, OWNER)?;
    case.forward(B, 30_000)?;
    range("20001-39999")?;
    assert_eq!(versions(&case.fixture.server, OWNER)?, before);
    case.configure(&format!("{PROMPT}port-range = \"off\"\n"))?;
    range("")?;
    case.configure(&format!("{PROMPT}port-range = \"5000-6000\"\n"))?;
    range("5000-6000")?;
    case.configure(PROMPT)?;
    range("20001-39999")?;
    case.net.add_default_target(ip(A), case.one.v4()?, ovn_extaddr_tests::DefaultTarget::Dnat)?;
    range("20001-39999")
}

// ===== the gateway port =====

#[test]
fn recreated_gateway_port_is_named_again() -> Result<()> {
    let case = Case::start("")?;
    let second = case.net.add_second_gateway(&["198.51.100.2/24"])?;
    case.forward(A, 80)?;
    case.net.add_forward(ip("198.51.100.50"), 80, case.two.v4()?, 80)?;
    case.annotate(&case.one, Some(A))?;
    case.annotate(&case.two, Some("198.51.100.50"))?;
    let rows = || [egress(&case.one, A), egress(&case.two, "198.51.100.50")];
    case.becomes(rows())?;
    for port in [case.net.gateway_port(), second] {
        let old = named_by(&case)?;
        // As Incus does when the uplink changes; the references to it disappear silently.
        recreate(&case, &port)?;
        eventually(SOON, "the row names the new port", || {
            let new = named_by(&case)?;
            ensure!(new.iter().all(Option::is_some), "one names none: {new:?}");
            ensure!(new != old, "they are the old ones");
            Ok(true)
        })?;
        case.becomes(rows())?;
    }
    Ok(())
}

/// OVN forwards a VIP at each gateway port, and a row of a conversion would at one.
#[test]
fn second_gateway_port_reverts_the_conversion() -> Result<()> {
    let case = Case::start("")?;
    case.default_target(A)?;
    case.annotate(&case.one, Some(A))?;
    case.becomes([egress(&case.one, A), converted(A, &case.one)])?;
    case.net.add_second_gateway(&["198.51.100.2/24"])?;
    case.state(&case.one, "rejected default-target")?;
    // The VIP is back where it was.
    case.becomes([])
}

/// northd uses a row without a gateway port at the port whose network has its address: so does the agent.
#[test]
fn gateway_port_of_the_network_snat_serves_other_addresses() -> Result<()> {
    let case = Case::start("")?;
    let home =
        case.net.nats()?.into_iter().find(|nat| nat.external_ip == "203.0.113.2").context("its own")?;
    assert_eq!((&*home.kind, &home.gateway_port), ("snat", &None));
    case.net.add_second_gateway(&["198.51.100.2/24"])?;
    case.forward("192.0.2.12", 80)?;
    case.annotate(&case.one, Some("192.0.2.12"))?;
    case.becomes([egress(&case.one, "192.0.2.12")])?;
    let list = case.fixture.cli.list_json()?;
    assert_eq!(list[0]["gateway_port"], *case.net.gateway_port(), "{list:?}");
    // Without that row nothing determines the gateway port.
    case.net.remove_nat(&home.uuid)?;
    case.state(&case.one, "rejected no-gateway-port")?;
    case.becomes([])
}

#[test]
fn drain_row_names_the_recreated_gateway_port() -> Result<()> {
    let address = "198.51.100.50";
    let case = Case::start("drain = 3000")?;
    let second = case.net.add_second_gateway(&["198.51.100.2/24"])?;
    case.forward(address, 80)?;
    case.annotate(&case.one, Some(address))?;
    case.becomes([egress(&case.one, address)])?;
    case.annotate(&case.one, None)?;
    let rows = || [drain(&case.one, address)];
    case.becomes(rows())?;
    let old = named_by(&case)?;
    recreate(&case, &second)?;
    eventually(SOON, "the drain row names the new port", || {
        let new = named_by(&case)?;
        let (all, changed) = (new.iter().all(Option::is_some), new.iter().all(|port| !old.contains(port)));
        ensure!(new.len() == 1 && all && changed, "it names {new:?}, and named {old:?}");
        Ok(true)
    })?;
    case.becomes(rows())
}

/// The gateway port of each of the agent's rows.
fn named_by(case: &Case) -> Result<Vec<Option<String>>> {
    let nats = case.net.nats()?.into_iter().filter(|nat| !nat.external_ids.is_empty());
    Ok(nats.map(|nat| nat.gateway_port).collect())
}

/// Deletes a router port and makes it again in the same transaction.
fn recreate(case: &Case, port: &str) -> Result<()> {
    let server = &case.fixture.server;
    let found = server.transact(vec![
        json!({"op": "select", "table": "Logical_Router_Port", "where": [["name", "==", port]]}),
    ])?;
    let row = &found[0]["rows"][0];
    let uuid = set_column(&row["_uuid"]).pop().context("no such port")?;
    let uuid = uuid_ref(uuid.as_str().context("a UUID")?);
    let copy = json!({
        "name": row["name"], "mac": row["mac"], "networks": row["networks"], "ha_chassis_group": row["ha_chassis_group"],
    });
    server.transact(vec![
        json!({"op": "mutate", "table": "Logical_Router", "where": [["name", "==", case.net.router()]],
            "mutations": [["ports", "delete", json_set([uuid])]]}),
        json!({"op": "insert", "table": "Logical_Router_Port", "uuid-name": "again", "row": copy}),
        json!({"op": "mutate", "table": "Logical_Router", "where": [["name", "==", case.net.router()]],
            "mutations": [["ports", "insert", json_set([json!(["named-uuid", "again"])])]]}),
    ])?;
    Ok(())
}

// ===== from one instance to another =====

#[test]
fn forward_address_moves_to_another_instance() -> Result<()> {
    let case = Case::start("drain = 3000")?;
    case.forward(A, 80)?;
    case.annotate(&case.one, Some(A))?;
    case.becomes([egress(&case.one, A)])?;
    // The forward and the intent in one transaction.
    let wish = json!(["map", [[V4, A]]]);
    case.fixture.server.transact(vec![
        json!({"op": "mutate", "table": "Logical_Switch_Port", "where": [["name", "==", case.one.port]],
            "mutations": [["external_ids", "delete", wish]]}),
        json!({"op": "mutate", "table": "Logical_Switch_Port", "where": [["name", "==", case.two.port]],
            "mutations": [["external_ids", "insert", wish]]}),
        json!({"op": "update", "table": "Load_Balancer", "where": [],
            "row": {"vips": ["map", [["203.0.113.101:80", "10.57.1.12:80"]]]}}),
    ])?;
    case.becomes([egress(&case.two, A), drain(&case.one, A)])?;
    case.state(&case.two, "active")
}

#[test]
fn internal_address_moves_to_another_instance() -> Result<()> {
    for config in ["", "drain = 3000"] {
        let case = Case::start(config)?;
        case.forward(A, 80)?;
        case.annotate(&case.one, Some(A))?;
        case.annotate(&case.two, Some(A))?;
        case.becomes([egress(&case.one, A), egress(&case.two, A)])?;
        // They swap: a row must never be for the wrong port.
        let write = |port: &str, address: &str| {
            json!({"op": "update", "table": "Logical_Switch_Port", "where": [["name", "==", port]],
                "row": {"addresses": format!("00:00:00:00:00:01 {address}")}})
        };
        case.fixture
            .server
            .transact(vec![write(&case.one.port, "10.57.1.12"), write(&case.two.port, "10.57.1.11")])?;
        let row = |address: &str, port: &str| format!("{address} leaves as {A} for {port}");
        case.becomes([row("10.57.1.12", &case.one.port), row("10.57.1.11", &case.two.port)])?;
        // One is deleted, and the other gets both its addresses, in one transaction.
        let gone = case.fixture.server.transact(vec![
            json!({"op": "select", "table": "Logical_Switch_Port", "where": [["name", "==", case.one.port]]}),
        ])?;
        let uuid = gone[0]["rows"][0]["_uuid"].clone();
        case.fixture.server.transact(vec![
            json!({"op": "mutate", "table": "Logical_Switch", "where": [["name", "==", case.net.internal_switch()]],
                "mutations": [["ports", "delete", uuid]]}),
            write(&case.two.port, "10.57.1.11 10.57.1.12"),
        ])?;
        case.becomes([row("10.57.1.12", &case.two.port), row("10.57.1.11", &case.two.port)])?;
        assert_eq!(agent_state(&case.fixture.agent, &case.two.port)?, "active");
    }
    Ok(())
}
