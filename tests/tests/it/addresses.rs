//! Addresses that ovn-northd allocates.

use anyhow::{Context, Result, ensure};
use ovn_extaddr_tests::{Addressing, Agent, Cli, Net, Ovn, eventually};

use crate::fixture::{OWNER, SOON, V4, ip, owned, row, wait_for_rows, wait_for_state, wait_until_settled};

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
