//! Whatever others do to our rows, and whenever the agent dies: the final state is the same.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::thread::sleep;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use fastrand::Rng;
use ovn_extaddr_tests::{
    Addressing, Agent, Cli, Instance, Net, OvsdbServer, eventually, json_map, json_set, uuid_ref,
};
use serde_json::{Value, json};

use crate::fixture::{
    Fixture, OWNER, SOON, V4, V6, ip, owned, row, versions, wait_for_rows, wait_for_state, wait_until_settled,
};

/// How often the agent is killed at a random moment.
const KILLS: u64 = 60;

#[test]
fn rows_are_restored_after_the_cms_rewrites_all_snat() -> Result<()> {
    let fixture = Fixture::start()?;
    let (net, instance) = overridden(&fixture.server)?;
    fixture.wait_for_rows(both(&net, &instance))?;
    for _ in 0..10 {
        let before = versions(&fixture.server, OWNER)?;
        net.wipe_snat()?;
        eventually(SOON, "the rows are back", || {
            let (now, rows) = (versions(&fixture.server, OWNER)?, owned(&fixture.server, OWNER)?);
            ensure!(now.is_disjoint(&before) && rows == both(&net, &instance).into(), "there is {rows:#?}");
            Ok(true)
        })?;
        assert_eq!(net.nats()?.len(), 4, "the network's own rows are as the CMS wrote them");
    }
    wait_until_settled(&fixture.cli)
}

/// Rule: a row without references is deleted at the end of its transaction, without an error.
#[test]
fn kills_during_a_burst_neither_leak_nor_double_rows() -> Result<()> {
    let server = OvsdbServer::northbound()?;
    let mut net = Net::builder(1).create(&server)?;
    let instances = net.add_instances(40, Addressing::Static)?;
    let external = [ip("203.0.113.101"), ip("203.0.113.102")];
    for (port, instance) in (8000..).zip(&instances) {
        for address in external {
            net.add_forward(address, port, instance.v4()?, 80)?;
        }
    }
    let foreign = net.nats()?;
    let mut agent = Agent::builder(server.remote()).spawn()?;
    // The address that a port requests; a number beyond the last means none.
    let mut wanted: BTreeMap<usize, usize> = BTreeMap::new();
    let mut random = Rng::with_seed(0x5eed_0fb1_7e5e_ed01);
    for kill in 0..KILLS {
        // The agent is starting, or working on the last burst, or was killed during it.
        sleep(Duration::from_micros(random.u64(..30_000)));
        for _ in 0..=random.u64(..3) {
            let mut operations = Vec::new();
            for _ in 0..=random.u64(..20) {
                let index = random.usize(..40);
                let choice = random.usize(..3);
                operations.push(intent(&instances[index].port, external.get(choice)));
                wanted.insert(index, choice);
            }
            if random.u64(..4) == 0 {
                net.wipe_snat()?;
            }
            server.transact(operations)?;
            sleep(Duration::from_micros(random.u64(..5_000)));
        }
        agent.kill9()?;
        // Whatever state it left, there is no duplicate row, row without a router, or incompletely tagged row.
        owned(&server, OWNER).with_context(|| format!("after kill {kill}"))?;
        agent = Agent::builder(server.remote()).spawn()?;
    }
    let rows = wanted.iter().filter_map(|(index, choice)| {
        let instance = &instances[*index];
        Some(row(&net, instance, external.get(*choice)?, instance.ipv4?))
    });
    wait_for_rows(&server, OWNER, rows)?;
    let cli = Cli::new(server.remote())?;
    wait_until_settled(&cli)?;

    server.transact(instances.iter().map(|instance| intent(&instance.port, None)).collect())?;
    wait_for_rows(&server, OWNER, [])?;
    let logical = |nats: Vec<ovn_extaddr_tests::Nat>| -> BTreeSet<(String, String)> {
        nats.into_iter().map(|nat| (nat.external_ip, nat.logical_ip)).collect()
    };
    assert_eq!(logical(net.nats()?), logical(foreign));
    wait_for_state(&cli, &instances[0].port, V4, "-")
}

fn intent(port: &str, address: Option<&IpAddr>) -> Value {
    let mut mutations = vec![json!(["external_ids", "delete", json_set([json!(V4)])])];
    mutations.extend(
        address.map(|address| json!(["external_ids", "insert", json_map([(V4, address.to_string())])])),
    );
    json!({"op": "mutate", "table": "Logical_Switch_Port", "where": [["name", "==", port]],
        "mutations": mutations})
}

/// A network with an instance that has both of its addresses overridden.
fn overridden(server: &OvsdbServer) -> Result<(Net, Instance)> {
    let mut net = Net::builder(1).create(server)?;
    let instance = net.add_instance(Addressing::Static)?;
    net.add_forward(ip("203.0.113.101"), 443, instance.v4()?, 8443)?;
    net.add_forward(ip("2001:db8::65"), 443, instance.v6()?, 8443)?;
    net.annotate(&instance.port, V4, Some("203.0.113.101"))?;
    net.annotate(&instance.port, V6, Some("2001:db8::65"))?;
    Ok((net, instance))
}

fn both(net: &Net, instance: &Instance) -> [String; 2] {
    [row(net, instance, "203.0.113.101", "10.57.1.11"), row(net, instance, "2001:db8::65", "fd42:57:1::b")]
}

#[test]
fn refused_row_does_not_delay_other_ports() -> Result<()> {
    let mut fixture = Fixture::start()?;
    let mut net = Net::builder(1).ipv4_only().create(&fixture.server)?;
    let other = Net::builder(2).ipv4_only().create(&fixture.server)?;
    let instances = net.add_instances(6, Addressing::Static)?;
    net.add_forward(ip("203.0.113.101"), 443, instances[0].v4()?, 443)?;
    let expected = |instance: &Instance| Ok(row(&net, instance, "203.0.113.101", instance.v4()?));
    net.annotate(&instances[0].port, V4, Some("203.0.113.101"))?;
    fixture.wait_for_rows([expected(&instances[0])?])?;

    // Somebody takes over the row on another router: its UUID prevents a new one.
    fixture.agent.kill9()?;
    let ours = net.nats()?.into_iter().find(|nat| !nat.external_ids.is_empty()).context("our row")?;
    let uuid = uuid_ref(&ours.uuid);
    fixture.server.transact(vec![
        json!({"op": "update", "table": "NAT", "where": [["_uuid", "==", uuid]],
            "row": {"external_ids": json_map::<&str, &str>([])}}),
        json!({"op": "mutate", "table": "Logical_Router", "where": [["name", "==", net.router()]],
            "mutations": [["nat", "delete", uuid]]}),
        json!({"op": "mutate", "table": "Logical_Router", "where": [["name", "==", other.router()]],
            "mutations": [["nat", "insert", uuid]]}),
    ])?;
    for instance in &instances[1..] {
        net.annotate(&instance.port, V4, Some("203.0.113.101"))?;
    }
    fixture.agent.restart()?;
    let rest: Vec<_> = instances[1..].iter().map(expected).collect::<Result<_>>()?;
    wait_for_rows(&fixture.server, OWNER, rest)?;
    eventually(SOON, "the agent says which one is refused, and why", || {
        let list: Vec<Value> = serde_json::from_str(&fixture.agent.appctl(&["list"])?)?;
        for entry in &list {
            let refused = entry["port"] == instances[0].port.as_str();
            let expected = if refused { json!("refused") } else { json!(null) };
            ensure!(entry["reason"] == expected, "{entry}");
        }
        Ok(list.len() == instances.len())
    })?;

    other.remove_nat(&ours.uuid)?;
    let all: Vec<_> = instances.iter().map(expected).collect::<Result<_>>()?;
    wait_for_rows(&fixture.server, OWNER, all)
}
