//! The forward's side: what counts as one, which is chosen, and their creation and deletion.

use std::collections::BTreeMap;

use anyhow::{Result, ensure};
use ovn_extaddr_tests::{
    Addressing, DefaultTarget, Instance, Net, OvsdbServer, Protocol, eventually, json_map, json_set, uuid_ref,
};
use serde_json::json;

use crate::fixture::{Fixture, SOON, V4, V6, ip, row};

/// Makes an address a forward of the network, leading to the instance if it can.
type Make = fn(&OvsdbServer, &Net, &Instance) -> Result<()>;

/// Everything that makes 203.0.113.101 a forward address of network 1.
const KINDS: [(&str, Make); 8] = [
    ("a TCP balancer", |_, net, instance| net.add_forward(ip("203.0.113.101"), 443, instance.v4()?, 443)),
    ("a UDP balancer", |_, net, instance| {
        net.add_forwards(Protocol::Udp, &[("203.0.113.101:53".parse()?, (instance.v4()?, 53).into())])
    }),
    ("a balancer that leads elsewhere", |_, net, _| {
        net.add_forward(ip("203.0.113.101"), 443, ip("10.57.1.200"), 443)
    }),
    ("a balancer of a group", |_, net, instance| {
        let target = (instance.v4()?, 443).into();
        net.add_group_forward("group", "203.0.113.101:443".parse()?, target).map(drop)
    }),
    ("a dnat row", |_, net, instance| {
        net.add_default_target(ip("203.0.113.101"), instance.v4()?, DefaultTarget::Dnat)
    }),
    ("a dnat row that leads elsewhere", |_, net, _| {
        net.add_nat("dnat", ip("203.0.113.101"), "10.57.1.200").map(drop)
    }),
    ("a dnat_and_snat row that leads elsewhere", |_, net, _| {
        net.add_nat("dnat_and_snat", ip("203.0.113.101"), "10.57.1.200").map(drop)
    }),
    ("one of two dnat rows on one address", |_, net, _| {
        net.add_nat("dnat", ip("203.0.113.101"), "10.57.1.200")?;
        net.add_nat("dnat", ip("203.0.113.101"), "10.57.1.201").map(drop)
    }),
];

#[test]
fn every_kind_of_forward_is_granted_while_it_exists() -> Result<()> {
    let fixture = Fixture::start()?;
    let mut net = Net::builder(1).create(&fixture.server)?;
    let instance = net.add_instance(Addressing::Static)?;
    net.annotate(&instance.port, V4, Some("203.0.113.101"))?;
    for (kind, make) in KINDS {
        fixture.wait_for_state(&instance.port, V4, "rejected not-a-forward")?;
        make(&fixture.server, &net, &instance)?;
        fixture
            .wait_for_rows([row(&net, &instance, "203.0.113.101", instance.v4()?)])
            .map_err(|e| e.context(kind))?;
        clear(&fixture.server, &net)?;
        fixture.wait_for_rows([]).map_err(|e| e.context(kind))?;
    }
    Ok(())
}

#[test]
fn addresses_are_compared_regardless_of_spelling() -> Result<()> {
    let fixture = Fixture::start()?;
    let mut net = Net::builder(1).create(&fixture.server)?;
    let instance = net.add_instance(Addressing::Static)?;
    let vips = BTreeMap::from([("[2001:DB8:0:0::0065]:443".to_owned(), "[FD42:57:1:0::B]:443".to_owned())]);
    net.set_vips(Protocol::Tcp, ip("2001:db8::65"), &vips)?;
    for text in ["2001:0db8:0000::0065", "2001:DB8::65", " 2001:db8::65 "] {
        net.annotate(&instance.port, V6, Some(text))?;
        fixture.wait_for_rows([row(&net, &instance, "2001:db8::65", "fd42:57:1::b")])?;
        net.annotate(&instance.port, V6, None)?;
        fixture.wait_for_rows([])?;
    }
    net.remove_forward(ip("2001:db8::65"))?;
    let results = fixture.server.transact(vec![
        json!({"op": "insert", "table": "NAT", "uuid-name": "nat", "row": {
            "type": "dnat", "external_ip": "2001:DB8:0::66", "logical_ip": "FD42:57:1::0B",
        }}),
        json!({"op": "mutate", "table": "Logical_Router", "where": [["name", "==", net.router()]],
        "mutations": [["nat", "insert", ["named-uuid", "nat"]]]}),
    ])?;
    assert_eq!(results.len(), 2);
    net.annotate(&instance.port, V6, Some("auto"))?;
    fixture.wait_for_rows([row(&net, &instance, "2001:db8::66", "fd42:57:1::b")])
}

#[test]
fn forward_of_another_network_is_rejected_until_forwarded_here() -> Result<()> {
    let fixture = Fixture::start()?;
    let mut net = Net::builder(1).create(&fixture.server)?;
    let mut other = Net::builder(2).create(&fixture.server)?;
    let instance = net.add_instance(Addressing::Static)?;
    let neighbour = other.add_instance(Addressing::Static)?;
    let (v4, v6) = (ip("203.0.113.101"), ip("2001:db8::65"));
    other.add_forward(v4, 443, neighbour.v4()?, 443)?;
    other.add_forward(v6, 443, neighbour.v6()?, 443)?;
    net.annotate(&instance.port, V4, Some("203.0.113.101"))?;
    net.annotate(&instance.port, V6, Some("2001:db8::65"))?;
    other.annotate(&neighbour.port, V4, Some("203.0.113.101"))?;
    let of_neighbour = || row(&other, &neighbour, v4, "10.57.2.11");
    fixture.wait_for_rows([of_neighbour()])?;
    for key in [V4, V6] {
        fixture.wait_for_state(&instance.port, key, "rejected not-a-forward")?;
    }
    let list = fixture.cli.list_json()?;
    let refused = list.iter().find(|entry| entry["port"] == instance.port.as_str());
    let message = refused.map(|entry| entry["message"].to_string()).unwrap_or_default();
    assert!(message.contains("router incus-net2-lr"), "it says whose it is: {message}");

    net.add_forward(v4, 443, instance.v4()?, 443)?;
    fixture.wait_for_rows([of_neighbour(), row(&net, &instance, v4, "10.57.1.11")])?;
    net.add_nat("dnat", v6, &instance.v6()?.to_string())?;
    fixture.wait_for_rows([
        of_neighbour(),
        row(&net, &instance, v4, "10.57.1.11"),
        row(&net, &instance, v6, "fd42:57:1::b"),
    ])
}

#[test]
fn rows_are_deleted_and_restored_with_their_forward() -> Result<()> {
    let fixture = Fixture::start()?;
    let mut net = Net::builder(1).create(&fixture.server)?;
    let instance = net.add_instance(Addressing::Static)?;
    let listen = ip("203.0.113.101");
    net.annotate(&instance.port, V4, Some("203.0.113.101"))?;
    for _ in 0..3 {
        net.add_forward(listen, 443, instance.v4()?, 443)?;
        fixture.wait_for_rows([row(&net, &instance, listen, instance.v4()?)])?;
        // As Incus edits a forward: the balancer is deleted and created again with another UUID.
        net.set_vips(Protocol::Tcp, listen, &net.vips(Protocol::Tcp, listen)?)?;
        fixture.wait_for_rows([row(&net, &instance, listen, instance.v4()?)])?;
        net.remove_forward(listen)?;
        fixture.wait_for_rows([])?;
        fixture.wait_for_state(&instance.port, V4, "rejected not-a-forward")?;
    }
    net.add_forward(listen, 443, instance.v4()?, 443)?;
    fixture.wait_for_rows([row(&net, &instance, listen, instance.v4()?)])?;
    net.remove()?;
    fixture.wait_for_rows([])
}

#[test]
fn port_range_avoids_listening_ports_of_the_address() -> Result<()> {
    let fixture = Fixture::start()?;
    let mut net = Net::builder(1).create(&fixture.server)?;
    let instance = net.add_instance(Addressing::Static)?;
    let (listen, v4) = (ip("203.0.113.101"), instance.v4()?);
    net.annotate(&instance.port, V4, Some("203.0.113.101"))?;
    let range_becomes = |expected: &str| {
        eventually(SOON, &format!("the range is \"{expected}\""), || {
            let rows = net.nats()?.into_iter().filter(|nat| nat.external_ip == "203.0.113.101");
            let found: Vec<_> =
                rows.filter(|nat| nat.kind == "snat").map(|nat| nat.external_port_range).collect();
            ensure!(found == [expected], "it is {found:?}");
            Ok(true)
        })
    };
    net.add_nat("dnat", listen, "10.57.1.11")?;
    range_becomes("")?;
    net.add_forward(listen, 443, v4, 443)?;
    range_becomes("1024-65535")?;
    net.add_forward(listen, 40000, v4, 443)?;
    range_becomes("1024-39999")?;
    net.add_forwards(Protocol::Udp, &[("203.0.113.101:2000".parse()?, (v4, 53).into())])?;
    range_becomes("2001-39999")?;
    net.set_vips(Protocol::Udp, listen, &BTreeMap::new())?;
    net.set_vips(Protocol::Tcp, listen, &BTreeMap::new())?;
    range_becomes("")
}

#[test]
fn auto_follows_the_sole_forward_of_the_port() -> Result<()> {
    let fixture = Fixture::start()?;
    let mut net = Net::builder(1).create(&fixture.server)?;
    let (one, two) = (net.add_instance(Addressing::Static)?, net.add_instance(Addressing::Static)?);
    let state = |expected| fixture.wait_for_state(&one.port, V4, expected);
    net.annotate(&one.port, V4, Some("auto"))?;
    state("rejected no-forward-for-auto")?;
    net.add_forward(ip("203.0.113.101"), 80, one.v4()?, 80)?;
    net.add_forward(ip("203.0.113.101"), 443, one.v4()?, 443)?;
    fixture.wait_for_rows([row(&net, &one, "203.0.113.101", "10.57.1.11")])?;
    // Now a forward leads to both, so it belongs to neither port alone.
    net.add_forward(ip("203.0.113.101"), 25, two.v4()?, 25)?;
    fixture.wait_for_rows([])?;
    state("rejected no-forward-for-auto")?;
    net.add_nat("dnat", ip("203.0.113.102"), "10.57.1.11")?;
    fixture.wait_for_rows([row(&net, &one, "203.0.113.102", "10.57.1.11")])?;
    net.add_forward(ip("203.0.113.103"), 80, one.v4()?, 80)?;
    fixture.wait_for_rows([])?;
    state("rejected ambiguous-auto")?;
    // A forward that leads only to another port belongs to that port.
    net.annotate(&two.port, V4, Some("auto"))?;
    fixture.wait_for_state(&two.port, V4, "rejected no-forward-for-auto")?;
    net.remove_forward(ip("203.0.113.102"))?;
    fixture.wait_for_rows([row(&net, &one, "203.0.113.103", "10.57.1.11")])?;
    net.remove_forward(ip("203.0.113.101"))?;
    net.add_forward(ip("203.0.113.101"), 25, two.v4()?, 25)?;
    fixture.wait_for_rows([
        row(&net, &one, "203.0.113.103", "10.57.1.11"),
        row(&net, &two, "203.0.113.101", "10.57.1.12"),
    ])
}

#[test]
fn row_names_the_gateway_port_of_its_address() -> Result<()> {
    let fixture = Fixture::start()?;
    let mut net = Net::builder(1).create(&fixture.server)?;
    let second = net.add_second_gateway(&["198.51.100.2/24"])?;
    let (one, two, three) = (
        net.add_instance(Addressing::Static)?,
        net.add_instance(Addressing::Static)?,
        net.add_instance(Addressing::Static)?,
    );
    let wishes = [(&one, "203.0.113.101"), (&two, "198.51.100.101"), (&three, "192.0.2.101")];
    for (instance, address) in wishes {
        net.add_forward(ip(address), 443, instance.v4()?, 443)?;
        net.annotate(&instance.port, V4, Some(address))?;
    }
    // The network's own SNAT determines the gateway port of addresses that belong to neither.
    let ports =
        fixture.server.transact(vec![json!({"op": "select", "table": "Logical_Router_Port", "where": [],
        "columns": ["_uuid", "name"]})])?;
    let rows = ports[0]["rows"].as_array().cloned().unwrap_or_default();
    let uuid = |name: &str| {
        let row = rows.iter().find(|row| row["name"] == name);
        row.and_then(|row| row["_uuid"][1].as_str()).unwrap_or_default().to_owned()
    };
    let base = net.nats()?.into_iter().find(|nat| nat.logical_ip == "10.57.1.0/24");
    let base = base.map(|nat| nat.uuid).unwrap_or_default();
    fixture.server.transact(vec![
        json!({"op": "update", "table": "NAT", "where": [["_uuid", "==", uuid_ref(&base)]],
        "row": {"gateway_port": uuid_ref(&uuid(&second))}}),
    ])?;
    fixture.wait_for_rows(
        wishes.map(|(instance, address)| row(&net, instance, address, instance.ipv4.unwrap())),
    )?;
    let named: BTreeMap<String, Option<String>> = net
        .nats()?
        .into_iter()
        .filter(|nat| !nat.external_ids.is_empty())
        .map(|nat| (nat.external_ip, nat.gateway_port))
        .collect();
    assert_eq!(
        named,
        BTreeMap::from([
            ("203.0.113.101".to_owned(), Some(uuid(&net.gateway_port()))),
            ("198.51.100.101".to_owned(), Some(uuid(&second))),
            ("192.0.2.101".to_owned(), Some(uuid(&second))),
        ])
    );
    Ok(())
}

#[test]
fn forward_address_is_shared_by_several_ports() -> Result<()> {
    let fixture = Fixture::start()?;
    let mut net = Net::builder(1).create(&fixture.server)?;
    let instances = net.add_instances(3, Addressing::Static)?;
    for (port, instance) in (8000..).zip(&instances) {
        net.add_forward(ip("203.0.113.101"), port, instance.v4()?, 80)?;
    }
    let rows = [0, 1, 2].map(|i| row(&net, &instances[i], "203.0.113.101", instances[i].ipv4.unwrap()));
    for (index, instance) in instances.iter().enumerate() {
        net.annotate(&instance.port, V4, Some("203.0.113.101"))?;
        if index == 0 {
            fixture.wait_for_rows([rows[0].clone()])?;
        }
    }
    fixture.wait_for_rows(rows)
}

/// Removes everything that the table of kinds creates.
fn clear(server: &OvsdbServer, net: &Net) -> Result<()> {
    for nat in net.nats()? {
        if nat.kind != "snat" {
            net.remove_nat(&nat.uuid)?;
        }
    }
    net.remove_forward(ip("203.0.113.101"))?;
    server.transact(vec![
        json!({"op": "update", "table": "Logical_Router", "where": [], "row": {"load_balancer_group": json_set([])}}),
        json!({"op": "delete", "table": "Load_Balancer_Group", "where": []}),
        json!({"op": "update", "table": "Logical_Router", "where": [], "row": {"external_ids": json_map([("a", "b")])}}),
    ])?;
    Ok(())
}
