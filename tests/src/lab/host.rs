use std::fmt::{self, Display, Formatter};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use anyhow::{Context, Result};
use serde_json::{Value, json};

use super::first_of;
use super::namespace::Namespace;
use crate::net::{Instance, Net};

/// IPv4 or IPv6.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Family {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

/// A namespace with addresses: an instance, or the host outside.
#[derive(Clone, Debug)]
pub struct Host {
    name: String,
    namespace: Namespace,
    ipv4: Option<Ipv4Addr>,
    ipv6: Option<Ipv6Addr>,
    /// The `Logical_Switch_Port` of an instance.
    port: Option<String>,
}

/// The router's addresses on an internal network, with the prefix length.
#[derive(Clone, Debug)]
pub(super) struct Gateways(Vec<(IpAddr, u8)>);

impl Family {
    /// Both.
    pub const BOTH: [Self; 2] = [Self::V4, Self::V6];
}

impl From<IpAddr> for Family {
    fn from(address: IpAddr) -> Self {
        if address.is_ipv4() { Self::V4 } else { Self::V6 }
    }
}

impl Host {
    /// Gives an instance's namespace its addresses and routes.
    pub(super) fn instance(
        name: &str,
        namespace: Namespace,
        instance: &Instance,
        gateways: &Gateways,
    ) -> Result<Self> {
        // Room for Geneve on an underlay of 1500.
        namespace.shell(&format!(
            "{NO_DAD}; ip link set eth0 down; ip link set eth0 address {} mtu 1400; ip link set eth0 up",
            instance.mac
        ))?;
        let addresses = [instance.ipv4.map(IpAddr::V4), instance.ipv6.map(IpAddr::V6)];
        for address in addresses.into_iter().flatten() {
            let gateway = gateways.0.iter().find(|(gateway, _)| gateway.is_ipv4() == address.is_ipv4());
            let (gateway, len) = gateway.with_context(|| format!("no gateway for {address}"))?;
            namespace.shell(&format!(
                "ip address add {address}/{len} dev eth0; ip route add default via {gateway} dev eth0 onlink"
            ))?;
        }
        Ok(Self {
            name: name.to_owned(),
            namespace,
            ipv4: instance.ipv4,
            ipv6: instance.ipv6,
            port: Some(instance.port.clone()),
        })
    }

    /// Makes a namespace the host outside: the uplinks' default gateway.
    pub(super) fn outside(namespace: Namespace) -> Result<Self> {
        let ipv4 = Ipv4Addr::new(203, 0, 113, 1);
        let ipv6 = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1);
        namespace.shell(&format!(
            "{NO_DAD}; ip address add {ipv4}/24 dev eth0; ip address add {ipv6}/64 dev eth0; \
             ip link set eth0 down; ip link set eth0 up; ip address replace {ipv6}/64 dev eth0"
        ))?;
        Ok(Self { name: "wan".to_owned(), namespace, ipv4: Some(ipv4), ipv6: Some(ipv6), port: None })
    }

    /// The same host with an additional address.
    pub fn also(&self, address: Ipv4Addr) -> Result<Self> {
        self.namespace.shell(&format!("ip address add {address}/32 dev eth0"))?;
        Ok(Self { ipv4: Some(address), ipv6: None, ..self.clone() })
    }

    /// A host of a lab of another process, from that lab's [`description`](super::description).
    pub fn described(lab: &Value, name: &str) -> Result<Self> {
        let all = lab["hosts"].as_array().map(Vec::as_slice).unwrap_or_default();
        let host = all.iter().find(|host| host["name"] == name);
        let host = host.with_context(|| {
            let names: Vec<&str> = all.iter().filter_map(|host| host["name"].as_str()).collect();
            format!("no host {name}; there are {}", names.join(", "))
        })?;
        let text = |key: &str| host[key].as_str();
        Ok(Self {
            name: name.to_owned(),
            namespace: Namespace::named(text("netns").context("a host without a namespace")?),
            ipv4: text("ipv4").and_then(|address| address.parse().ok()),
            ipv6: text("ipv6").and_then(|address| address.parse().ok()),
            port: text("port").map(str::to_owned),
        })
    }

    pub(super) fn describe(&self) -> Value {
        json!({
            "name": self.name, "netns": self.namespace.name(), "ipv4": self.ipv4, "ipv6": self.ipv6, "port": self.port,
        })
    }

    /// Its name: `wan`, or what the instance was given.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its namespace.
    pub fn namespace(&self) -> &Namespace {
        &self.namespace
    }

    /// The instance's `Logical_Switch_Port`.
    pub fn port(&self) -> Result<&str> {
        self.port.as_deref().with_context(|| format!("{} has no logical port", self.name))
    }

    /// Its address.
    pub fn address(&self, family: Family) -> Result<IpAddr> {
        let address = match family {
            Family::V4 => self.ipv4.map(IpAddr::V4),
            Family::V6 => self.ipv6.map(IpAddr::V6),
        };
        address.with_context(|| format!("{} has no {family} address", self.name))
    }

    /// The families it has addresses of.
    pub fn families(&self) -> Vec<Family> {
        Family::BOTH.into_iter().filter(|&family| self.address(family).is_ok()).collect()
    }
}

/// The addresses are chosen here: no duplicate detection is needed.
const NO_DAD: &str =
    "echo 0 >/proc/sys/net/ipv6/conf/all/accept_dad; echo 0 >/proc/sys/net/ipv6/conf/eth0/accept_dad";

impl Gateways {
    pub(super) fn new(net: &Net) -> Result<Self> {
        let networks = [net.subnet4(), net.subnet6()];
        networks.into_iter().flatten().map(|network| first_of(&network)).collect::<Result<_>>().map(Self)
    }
}

impl From<&[(IpAddr, u8)]> for Gateways {
    fn from(gateways: &[(IpAddr, u8)]) -> Self {
        Self(gateways.to_vec())
    }
}

impl Display for Family {
    fn fmt(&self, out: &mut Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::V4 => "IPv4",
            Self::V6 => "IPv6",
        })
    }
}
