//! The instance's side: the sources of its addresses, and changes of them.

use anyhow::{Context, Result, ensure};
use ovn_extaddr_tests::{Addressing, Agent, Cli, Net, Ovn, eventually};

use crate::fixture::{
    Fixture, OWNER, SOON, V4, V6, ip, owned, row, wait_for_rows, wait_for_state, wait_until_settled,
};

#[test]
fn dynamic_port_gets_its_row_with_its_allocated_address() -> Result<()> {
    let mut ovn = Ovn::start()?;
    let (_agent, cli) = (Agent::start(ovn.nb.remote())?, Cli::new(ovn.nb.remote())?);
    ovn.northd().signal("STOP")?;
    let mut net = Net::builder(1).create(&ovn.nb)?;
    let mut instance = net.add_instance(Addressing::Dynamic)?;
    // The address that northd will allocate; a forward may exist before it.
    net.add_forward(ip("203.0.113.101"), 443, ip("10.57.1.2"), 443)?;
    net.annotate(&instance.port, V4, Some("203.0.113.101"))?;
    wait_for_state(&cli, &instance.port, V4, "waiting no-address")?;
    assert!(owned(&ovn.nb, OWNER)?.is_empty());

    ovn.northd().signal("CONT")?;
    net.wait_for_addresses(&mut instance)?;
    wait_for_rows(&ovn.nb, OWNER, [row(&net, &instance, "203.0.113.101", "10.57.1.2")])?;
    ovn.sync()?;
    let flows = ovn.lflows(&net.router(), "lr_out_snat")?;
    assert!(flows.iter().any(|flow| flow.contains("ip4.src == 10.57.1.2 ")), "{flows:#?}");

    // northd allocates another address, as requested: a fixed dynamic one.
    net.set_addresses(&instance.port, &[&format!("{} 10.57.1.77", instance.mac)])?;
    wait_for_rows(&ovn.nb, OWNER, [row(&net, &instance, "203.0.113.101", "10.57.1.77")])?;
    net.set_addresses(&instance.port, &["dynamic"])?;
    eventually(SOON, "northd has given an address again, and the row has it", || {
        let text = net.dynamic_addresses(&instance.port)?.unwrap_or_default();
        let again = text.split(' ').nth(1).context("no address")?;
        let (rows, wanted) = (owned(&ovn.nb, OWNER)?, row(&net, &instance, "203.0.113.101", again));
        ensure!(rows == [wanted].into(), "{again}: {rows:#?}");
        Ok(true)
    })?;
    wait_until_settled(&cli)
}

#[test]
fn row_follows_a_dynamic_address() -> Result<()> {
    let ovn = Ovn::start()?;
    let _agent = Agent::start(ovn.nb.remote())?;
    let mut net = Net::builder(1).create(&ovn.nb)?;
    let mut instance = net.add_instance(Addressing::Dynamic)?;
    net.wait_for_addresses(&mut instance)?;
    net.add_forward(ip("203.0.113.101"), 443, instance.v4()?, 443)?;
    net.add_forward(ip("2001:db8::65"), 443, instance.v6()?, 443)?;
    net.annotate(&instance.port, V4, Some("203.0.113.101"))?;
    net.annotate(&instance.port, V6, Some("2001:db8::65"))?;
    let (v4, v6) = (instance.v4()?, instance.v6()?);
    wait_for_rows(
        &ovn.nb,
        OWNER,
        [row(&net, &instance, "203.0.113.101", v4), row(&net, &instance, "2001:db8::65", v6)],
    )?;

    // The address is removed from the pool, so that northd allocates another one.
    let switch = net.internal_switch();
    ovn.nbctl(&["set", "logical_switch", &switch, "other_config:exclude_ips=\"10.57.1.2..10.57.1.200\""])?;
    eventually(SOON, "northd gives another address", || {
        let text = net.dynamic_addresses(&instance.port)?.unwrap_or_default();
        ensure!(text.contains(" 10.57.1.201 "), "it is {text}");
        Ok(true)
    })?;
    wait_for_rows(
        &ovn.nb,
        OWNER,
        [row(&net, &instance, "203.0.113.101", "10.57.1.201"), row(&net, &instance, "2001:db8::65", v6)],
    )
}

#[test]
fn address_families_are_independent() -> Result<()> {
    let fixture = Fixture::start()?;
    let mut net = Net::builder(1).create(&fixture.server)?;
    let instance = net.add_instance(Addressing::Static)?;
    let (v4, v6) = (instance.v4()?, instance.v6()?);
    net.add_forward(ip("203.0.113.101"), 443, v4, 8443)?;
    net.add_forward(ip("2001:db8::65"), 443, v6, 8443)?;
    let row4 = || row(&net, &instance, "203.0.113.101", v4);
    let row6 = || row(&net, &instance, "2001:db8::65", v6);

    net.annotate(&instance.port, V6, Some("2001:db8::65"))?;
    fixture.wait_for_rows([row6()])?;
    net.annotate(&instance.port, V4, Some("203.0.113.101"))?;
    fixture.wait_for_rows([row4(), row6()])?;
    net.annotate(&instance.port, V6, Some("not an address"))?;
    fixture.wait_for_rows([row4()])?;
    fixture.wait_for_state(&instance.port, V6, "rejected invalid-address")?;
    net.annotate(&instance.port, V6, Some("auto"))?;
    fixture.wait_for_rows([row4(), row6()])?;
    net.annotate(&instance.port, V4, Some("none"))?;
    fixture.wait_for_rows([row6()])?;
    fixture.wait_for_state(&instance.port, V4, "-")?;
    net.annotate(&instance.port, V6, None)?;
    fixture.wait_for_rows([])
}

#[test]
fn every_internal_address_gets_a_row() -> Result<()> {
    let fixture = Fixture::start()?;
    let mut net = Net::builder(1).create(&fixture.server)?;
    let addresses = ["10.57.1.20", "10.57.1.21", "fd42:57:1::20", "fd42:57:1::21"].map(ip);
    let instance = net.add_instance(Addressing::Fixed(addresses.to_vec()))?;
    net.add_forward(ip("203.0.113.101"), 443, addresses[0], 443)?;
    net.add_forward(ip("2001:db8::65"), 443, addresses[3], 443)?;
    net.annotate(&instance.port, V4, Some("203.0.113.101"))?;
    net.annotate(&instance.port, V6, Some("auto"))?;
    let row4 = |internal: &str| row(&net, &instance, "203.0.113.101", internal);
    let row6 = |internal: &str| row(&net, &instance, "2001:db8::65", internal);
    fixture.wait_for_rows([
        row4("10.57.1.20"),
        row4("10.57.1.21"),
        row6("fd42:57:1::20"),
        row6("fd42:57:1::21"),
    ])?;

    // In several elements, in a notation that is not canonical, with blanks that OVN accepts.
    net.set_addresses(
        &instance.port,
        &["00:16:3e:00:00:01  10.57.1.21", "00:16:3e:00:00:02 10.57.1.22 FD42:0057:1:0::0021", "unknown"],
    )?;
    fixture.wait_for_rows([row4("10.57.1.21"), row4("10.57.1.22"), row6("fd42:57:1::21")])
}

#[test]
fn row_follows_a_static_address_and_is_deleted_with_its_port() -> Result<()> {
    let fixture = Fixture::start()?;
    let mut net = Net::builder(1).create(&fixture.server)?;
    let instance = net.add_instance(Addressing::Static)?;
    let other = net.add_instance(Addressing::Static)?;
    net.add_forward(ip("203.0.113.101"), 443, instance.v4()?, 443)?;
    for instance in [&instance, &other] {
        net.annotate(&instance.port, V4, Some("203.0.113.101"))?;
    }
    let row_of_other = || row(&net, &other, "203.0.113.101", "10.57.1.12");
    fixture.wait_for_rows([row(&net, &instance, "203.0.113.101", "10.57.1.11"), row_of_other()])?;

    net.set_addresses(&instance.port, &["10:66:6a:00:00:99 10.57.1.99"])?;
    fixture.wait_for_rows([row(&net, &instance, "203.0.113.101", "10.57.1.99"), row_of_other()])?;
    net.set_addresses(&instance.port, &[])?;
    fixture.wait_for_rows([row_of_other()])?;
    fixture.wait_for_state(&instance.port, V4, "waiting no-address")?;
    net.set_addresses(&instance.port, &["10:66:6a:00:00:99 10.57.1.99"])?;
    fixture.wait_for_rows([row(&net, &instance, "203.0.113.101", "10.57.1.99"), row_of_other()])?;
    net.remove_instance(&instance.port)?;
    fixture.wait_for_rows([row_of_other()])?;
    fixture.wait_for_state(&instance.port, V4, "-")
}

#[test]
fn row_moves_with_an_address_to_another_port() -> Result<()> {
    let fixture = Fixture::start()?;
    let mut net = Net::builder(1).create(&fixture.server)?;
    let (one, two) = (net.add_instance(Addressing::Static)?, net.add_instance(Addressing::Static)?);
    net.add_forward(ip("203.0.113.101"), 443, one.v4()?, 443)?;
    for instance in [&one, &two] {
        net.annotate(&instance.port, V4, Some("203.0.113.101"))?;
    }
    let row_of = |instance, internal: &str| row(&net, instance, "203.0.113.101", internal);
    fixture.wait_for_rows([row_of(&one, "10.57.1.11"), row_of(&two, "10.57.1.12")])?;
    for _ in 0..3 {
        let swap = |port: &str, address: &str| {
            serde_json::json!({"op": "update", "table": "Logical_Switch_Port", "where": [["name", "==", port]],
                "row": {"addresses": format!("10:66:6a:00:00:01 {address}")}})
        };
        fixture.server.transact(vec![swap(&one.port, "10.57.1.12"), swap(&two.port, "10.57.1.11")])?;
        fixture.wait_for_rows([row_of(&one, "10.57.1.12"), row_of(&two, "10.57.1.11")])?;
        fixture.server.transact(vec![swap(&one.port, "10.57.1.11"), swap(&two.port, "10.57.1.12")])?;
        fixture.wait_for_rows([row_of(&one, "10.57.1.11"), row_of(&two, "10.57.1.12")])?;
    }
    Ok(())
}

#[test]
fn internal_address_of_two_ports_gets_no_row() -> Result<()> {
    let fixture = Fixture::start()?;
    let mut net = Net::builder(1).create(&fixture.server)?;
    let shared = Addressing::Fixed(vec![ip("10.57.1.50")]);
    let one = net.add_instance(shared.clone())?;
    net.add_forward(ip("203.0.113.101"), 443, ip("10.57.1.50"), 443)?;
    net.annotate(&one.port, V4, Some("203.0.113.101"))?;
    fixture.wait_for_rows([row(&net, &one, "203.0.113.101", "10.57.1.50")])?;
    // Connections of one without an intent would leave with the other's address.
    let two = net.add_instance(shared)?;
    fixture.wait_for_rows([])?;
    fixture.wait_for_state(&one.port, V4, "conflict duplicate-address")?;
    net.annotate(&two.port, V4, Some("203.0.113.101"))?;
    fixture.wait_for_state(&two.port, V4, "conflict duplicate-address")?;
    net.remove_instance(&one.port)?;
    fixture.wait_for_rows([row(&net, &two, "203.0.113.101", "10.57.1.50")])?;
    fixture.wait_for_state(&two.port, V4, "active")
}
