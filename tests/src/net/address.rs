use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use anyhow::{Result, ensure};
use ipnet::IpNet;

/// The first host of an interface's network: on an uplink the way out.
pub(super) fn first(interface: &IpNet) -> IpAddr {
    above(interface.network(), 1)
}

/// The address `offset` above the interface's own, which has to be in the lower half of the network.
pub(super) fn host(interface: &IpNet, offset: u32) -> Result<IpAddr> {
    let host = above(interface.addr(), offset);
    ensure!(host <= middle(interface)?, "no address left in {}", interface.trunc());
    Ok(host)
}

/// The last address of the network's lower half.
pub(super) fn middle(interface: &IpNet) -> Result<IpAddr> {
    Ok(IpNet::new(interface.network(), interface.prefix_len() + 1)?.broadcast())
}

fn above(address: IpAddr, offset: u32) -> IpAddr {
    match address {
        IpAddr::V4(address) => Ipv4Addr::from_bits(address.to_bits() + offset).into(),
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() + u128::from(offset)).into(),
    }
}

pub(super) fn ipv4(address: IpAddr) -> Option<Ipv4Addr> {
    if let IpAddr::V4(address) = address { Some(address) } else { None }
}

pub(super) fn ipv6(address: IpAddr) -> Option<Ipv6Addr> {
    if let IpAddr::V6(address) = address { Some(address) } else { None }
}

/// The MAC address of a number below 2^24.
pub(super) fn mac(number: u32) -> String {
    let [_, high, middle, low] = number.to_be_bytes();
    format!("10:66:6a:{high:02x}:{middle:02x}:{low:02x}")
}
