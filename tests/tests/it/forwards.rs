//! Rows that come and go with their forward.

use anyhow::Result;
use ovn_extaddr_tests::{Addressing, Net, Protocol};

use crate::fixture::{Fixture, V4, ip, row};

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
