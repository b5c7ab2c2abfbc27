use std::collections::{BTreeMap, BTreeSet};

use anyhow::Result;
use fastrand::Rng;
use ovn_extaddr_tests::{Addressing, Net, OvsdbServer, Proxy, json_map, json_set};
use serde_json::{Value, json};

use super::Follower;

/// A proxy between a client and the server that makes it look like Open vSwitch 2.6: without `monitor_cond_since`.
/// Returns the remote.
pub(super) fn older(server: &OvsdbServer) -> Result<String> {
    let older = |text: &str| text.replace("cond_since", "cond_later");
    Ok(Proxy::start(server.dir().join("old.sock"), &server.socket(), older, str::to_owned)?.remote())
}

/// Changes sets, maps, optional values and rows in ways that differ with `seed`.
fn churn(server: &OvsdbServer, seed: u64) -> Result<()> {
    let mut random = Rng::with_seed(seed);
    let mut pick = |bound: u64| random.u64(..bound);
    for _ in 0..60 {
        let name = format!("set{}", pick(4));
        let row = json!([["name", "==", name]]);
        let addresses: BTreeSet<_> = (0..pick(4)).map(|_| format!("10.0.0.{}", pick(6))).collect();
        let addresses = json_set(addresses.into_iter().map(Value::from));
        let pairs: BTreeMap<_, _> =
            (0..pick(4)).map(|_| (format!("k{}", pick(4)), format!("v{}", pick(2)))).collect();
        let port = format!("port{}", pick(3));
        let tag = if pick(2) == 0 { json_set([]) } else { json!(1 + pick(3)) };
        let operations = match pick(8) {
            0 => vec![json!({"op": "delete", "table": "Address_Set", "where": row})],
            1 | 2 => vec![
                json!({"op": "delete", "table": "Address_Set", "where": row}),
                json!({"op": "insert", "table": "Address_Set", "row": {"name": name, "addresses": addresses}}),
            ],
            3 => vec![
                json!({"op": "update", "table": "Address_Set", "where": row, "row": {"addresses": addresses}}),
            ],
            4 => vec![
                json!({"op": "update", "table": "Address_Set", "where": [], "row": {"external_ids": json_map(pairs)}}),
            ],
            5 => vec![json!({"op": "mutate", "table": "Address_Set", "where": row, "mutations": [
                ["addresses", "insert", addresses], ["external_ids", "delete", json_set([json!("k1")])]]})],
            6 => vec![
                json!({"op": "delete", "table": "Logical_Switch", "where": [["name", "==", port]]}),
                json!({"op": "insert", "table": "Logical_Switch", "row": {"name": port, "ports": ["named-uuid", "p"]}}),
                json!({"op": "insert", "table": "Logical_Switch_Port", "uuid-name": "p", "row": {"name": port}}),
            ],
            _ => vec![
                json!({"op": "update", "table": "Logical_Switch_Port", "where": [["name", "==", port]], "row": {"tag": tag}}),
            ],
        };
        // Names of ports are unique; a refused duplicate does not matter.
        server.transact(operations)?;
    }
    Ok(())
}

/// Regression: henrybarreto/ovsdb, to which all rows of `monitor_cond` are empty.
#[tokio::test]
async fn all_monitor_versions_report_the_same_rows() -> Result<()> {
    let server = OvsdbServer::northbound()?;
    let mut net = Net::builder(1).create(&server)?;
    let instance = net.add_instance(Addressing::Static)?;
    net.add_forward("203.0.113.101".parse()?, 443, instance.v4()?, 8443)?;

    let [mut newest, mut middle] = [Follower::new(&server)?, Follower::connect(&older(&server)?)?];
    for seed in 1..=3 {
        for follower in [&mut newest, &mut middle] {
            follower.catch_up(&server).await?;
        }
        churn(&server, seed)?;
    }
    for follower in [&mut newest, &mut middle] {
        follower.catch_up(&server).await?;
    }
    assert_eq!(newest.content()?, middle.content()?);

    // This breaks the connections, and from now on the server behaves like one before 2.6.
    server.appctl(&["ovsdb-server/disable-monitor-cond"])?;
    let mut oldest = Follower::new(&server)?;
    oldest.catch_up(&server).await?;
    let told = newest.told;
    newest.synced().await?;
    assert_eq!(newest.told, told, "the same content another way is not a difference");
    for seed in 4..=6 {
        churn(&server, seed)?;
        for follower in [&mut newest, &mut oldest] {
            follower.catch_up(&server).await?;
        }
    }
    for follower in [&newest, &middle, &oldest] {
        assert_eq!(follower.cache.error(), None);
    }
    Ok(())
}

/// Regression: libovsdb, which drops events when its reader is slow. The server joins changes instead.
#[tokio::test]
async fn slow_reader_arrives_at_the_same_content() -> Result<()> {
    let server = OvsdbServer::northbound()?;
    let mut follower = Follower::new(&server)?;
    follower.synced().await?;
    // Nobody reads meanwhile: the server joins what it cannot send.
    for seed in 10..=20 {
        churn(&server, seed)?;
    }
    follower.catch_up(&server).await?;
    assert_eq!(follower.cache.error(), None);
    Ok(())
}
