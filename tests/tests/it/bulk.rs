//! Many ports at once.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::Instant;

use anyhow::{Result, ensure};
use ovn_extaddr_tests::{
    Addressing, Agent, Cli, Instance, Net, Ovn, Protocol, Snapshot, eventually, json_map, map_column,
    set_column,
};
use serde_json::{Value, json};

use crate::fixture::{OWNER, SOON, V4, ip, owned, row, wait_for_rows};

/// Tables that northd and the clients' synchronisation keep changing.
const RESTLESS: [&str; 1] = ["NB_Global"];

/// Regression: ovsdbapp, whose queue of one transaction is full.
#[test]
fn thousand_intents_of_one_transaction_are_granted_in_few_transactions() -> Result<()> {
    let ovn = Ovn::start()?;
    let nets: Vec<(Net, Vec<Instance>)> = (1..=20).map(|id| network(&ovn, id)).collect::<Result<_>>()?;
    ovn.sync()?;
    let before = ovn.nb.snapshot()?.without(&RESTLESS);
    let mut agent = Agent::start(ovn.nb.remote())?;
    agent.wait_for_log("active: this agent has the lock")?;

    let ports =
        nets.iter().flat_map(|(net, instances)| instances.iter().map(move |instance| (net, instance)));
    let set = ports.clone().map(|(net, instance)| intent(instance, "insert", &external(net)));
    let start = Instant::now();
    ovn.nb.transact(set.collect())?;
    wait_for_rows(
        &ovn.nb,
        OWNER,
        ports
            .clone()
            .map(|(net, instance)| Ok(row(net, instance, external(net), instance.v4()?)))
            .collect::<Result<Vec<_>>>()?,
    )?;
    eprintln!("1000 rows after {:?}", start.elapsed());
    assert_eq!(owned(&ovn.nb, OWNER)?.len(), 1000);
    let transactions = ours(&ovn)?;
    assert!(transactions.len() <= 12, "{transactions:#?}");

    let cli = Cli::new(ovn.nb.remote())?;
    assert_eq!(cli.run(&["plan", "--json", "--exit-code"])?.success()?.trim(), "[]");
    let states: BTreeSet<String> = cli.list_json()?.iter().map(|entry| entry["state"].to_string()).collect();
    assert_eq!(states, ["\"active\"".to_owned()].into());
    ovn.sync()?;
    let flows = ovn.lflows(&nets[0].0.router(), "lr_out_snat")?;
    let translated = flows.iter().filter(|flow| flow.contains("ct_snat(203.0.113.101,")).count();
    assert_eq!(translated, 50, "northd makes a flow of every row: {flows:#?}");
    let during = foreign(ovn.nb.snapshot()?.without(&RESTLESS));
    assert_eq!(during.to_string(), foreign(before.clone()).to_string());

    let unset = ports.map(|(net, instance)| intent(instance, "delete", &external(net)));
    ovn.nb.transact(unset.collect())?;
    wait_for_rows(&ovn.nb, OWNER, [])?;
    eventually(SOON, "the database is as it was", || {
        let after = ovn.nb.snapshot()?.without(&RESTLESS);
        ensure!(after == before, "it is\n{after}and was\n{before}");
        Ok(true)
    })?;
    let transactions = ours(&ovn)?;
    assert!(transactions.len() <= 24, "{transactions:#?}");
    assert!(agent.stop()?.success());
    Ok(())
}

/// A network of fifty instances, each of which has a port of the network's one forward address.
fn network(ovn: &Ovn, id: u32) -> Result<(Net, Vec<Instance>)> {
    let mut net = Net::builder(id).create(&ovn.nb)?;
    let instances = net.add_instances(50, Addressing::Static)?;
    let listen = ip(&external(&net));
    let forwards = (8000..)
        .zip(&instances)
        .map(|(port, instance)| Ok((SocketAddr::new(listen, port), SocketAddr::new(instance.v4()?, 80))));
    net.add_forwards(Protocol::Tcp, &forwards.collect::<Result<Vec<_>>>()?)?;
    // Foreign rows, which must stay unchanged.
    net.add_nat("dnat", ip("198.51.100.1"), "10.99.0.1")?;
    net.add_nat("snat", ip("198.51.100.2"), "10.99.0.0/25")?;
    Ok((net, instances))
}

fn external(net: &Net) -> String {
    let number = net.external_ipv4().map_or(0, |address| address.octets()[3]);
    format!("203.0.113.{}", 99 + number)
}

fn intent(instance: &Instance, mutator: &str, address: &str) -> Value {
    json!({"op": "mutate", "table": "Logical_Switch_Port", "where": [["name", "==", instance.port]],
        "mutations": [["external_ids", mutator, json_map([(V4, address)])]]})
}

/// The comments of our transactions in the database's own log.
fn ours(ovn: &Ovn) -> Result<Vec<String>> {
    Ok(ovn.nb.transactions()?.into_iter().filter(|line| line.contains("ovn-extaddr: ")).collect())
}

/// The database without our rows and the references to them.
fn foreign(mut all: Snapshot) -> Snapshot {
    let nats = all.tables.entry("NAT".to_owned()).or_default();
    let is_ours =
        |row: &ovn_extaddr_tests::Row| map_column(&row["external_ids"]).contains_key("ovn-extaddr:owner");
    let ours: BTreeSet<String> =
        nats.iter().filter(|(_, row)| is_ours(row)).map(|(uuid, _)| uuid.clone()).collect();
    nats.retain(|uuid, _| !ours.contains(uuid));
    for router in all.tables.get_mut("Logical_Router").into_iter().flat_map(|rows| rows.values_mut()) {
        let kept = |uuid: &Value| uuid.as_str().is_some_and(|uuid| !ours.contains(uuid));
        let left: Vec<Value> = set_column(&router["nat"]).into_iter().filter(kept).collect();
        router.insert("nat".to_owned(), json!(left));
    }
    // The intents are foreign, but the test itself changed them.
    for port in all.tables.get_mut("Logical_Switch_Port").into_iter().flat_map(|rows| rows.values_mut()) {
        let mut ids = map_column(&port["external_ids"]);
        ids.remove(V4);
        port.insert("external_ids".to_owned(), json_map(ids));
    }
    all
}
