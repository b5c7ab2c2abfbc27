use std::fmt::{self, Display, Formatter};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use anyhow::{Context, Error, Result, ensure};

/// An interface's address with the length of its network's prefix.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cidr {
    pub(super) address: IpAddr,
    len: u8,
}

impl Cidr {
    pub(super) fn ipv4(&self) -> Option<Ipv4Addr> {
        if let IpAddr::V4(address) = self.address { Some(address) } else { None }
    }

    pub(super) fn ipv6(&self) -> Option<Ipv6Addr> {
        if let IpAddr::V6(address) = self.address { Some(address) } else { None }
    }

    /// The network the interface is on, as NAT's `logical_ip` has it.
    pub(super) fn network(&self) -> String {
        let host = self.host_mask();
        format!("{}/{}", self.with(self.bits() & !host), self.len)
    }

    /// The first address of the network without the prefix, as `other_config:ipv6_prefix` has it.
    pub(super) fn prefix(&self) -> IpAddr {
        self.with(self.bits() & !self.host_mask())
    }

    /// The first host of the network: on an uplink the way out.
    pub(super) fn first(&self) -> IpAddr {
        self.with((self.bits() & !self.host_mask()) + 1)
    }

    /// The address `offset` above the interface's own, which has to be in the lower half of the network.
    pub(super) fn host(&self, offset: u32) -> Result<IpAddr> {
        let bits = self.bits() + u128::from(offset);
        ensure!(bits & self.host_mask() <= self.host_mask() / 2, "no address left in {}", self.network());
        Ok(self.with(bits))
    }

    /// The last address of the network's lower half.
    pub(super) fn middle(&self) -> IpAddr {
        let host = self.host_mask();
        self.with((self.bits() & !host) | (host / 2))
    }

    fn bits(&self) -> u128 {
        match self.address {
            IpAddr::V4(address) => u128::from(address.to_bits()),
            IpAddr::V6(address) => address.to_bits(),
        }
    }

    fn host_mask(&self) -> u128 {
        let width = if self.address.is_ipv4() { 32 } else { 128 };
        1_u128.checked_shl(width - u32::from(self.len)).map_or(u128::MAX, |size| size - 1)
    }

    /// The same family with other bits; an IPv4 address takes the low ones.
    fn with(&self, bits: u128) -> IpAddr {
        match self.address {
            IpAddr::V4(_) => Ipv4Addr::from_bits((bits & u128::from(u32::MAX)) as u32).into(),
            IpAddr::V6(_) => Ipv6Addr::from_bits(bits).into(),
        }
    }
}

impl FromStr for Cidr {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let (address, len) = text.split_once('/').with_context(|| format!("{text}: no /length"))?;
        let address: IpAddr = address.parse().with_context(|| format!("{text}: not an address"))?;
        let len: u8 = len.parse().with_context(|| format!("{text}: not a length"))?;
        ensure!(len <= if address.is_ipv4() { 32 } else { 128 }, "{text}: the prefix is too long");
        Ok(Self { address, len })
    }
}

impl Display for Cidr {
    fn fmt(&self, out: &mut Formatter<'_>) -> fmt::Result {
        write!(out, "{}/{}", self.address, self.len)
    }
}

/// The MAC address of a number below 2^24.
pub(super) fn mac(number: u32) -> String {
    let [_, high, middle, low] = number.to_be_bytes();
    format!("10:66:6a:{high:02x}:{middle:02x}:{low:02x}")
}
