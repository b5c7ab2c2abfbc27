//! `Logical_Switch_Port`.

use std::net::IpAddr;
use std::sync::Arc;

use ovsdb_protocol::{AtomValue, ColumnGroup, Rare, Table, Uuid};
use smallvec::SmallVec;

use super::PortAddresses;
use crate::address::AddressSet;
use crate::family::Family;
use crate::id::SwitchId;
use crate::parse_ip;
use crate::store::{Meta, Slabs};

/// A port of a logical switch. There are more of these than of all other rows, so it is kept small.
#[derive(Clone, Debug, Table)]
#[ovsdb(table = "Logical_Switch_Port", load_stage = 0, since = "OVN 20.03", context = "Slabs")]
pub struct Port {
    /// The row.
    #[ovsdb(uuid)]
    pub uuid: Uuid,
    /// Its name.
    pub name: Arc<str>,
    /// The kind of the port.
    #[ovsdb(column = "type")]
    pub kind: PortKind,
    /// Whether OVN uses the port; it drops all packets if this is false.
    #[ovsdb(optional, since = "20.03")]
    pub enabled: Option<bool>,
    #[ovsdb(flatten)]
    pub(crate) addresses: PortAddresses,
    #[ovsdb(flatten)]
    pub(crate) extras: Rare<PortExtras>,
    /// The switch whose port it is; of several that refer to it, the one with the least UUID.
    #[ovsdb(skip)]
    pub switch: Option<SwitchId>,
    #[ovsdb(skip)]
    pub(crate) meta: Meta,
}

/// The rare columns of a port.
#[derive(Clone, Debug, Default, PartialEq, Eq, ColumnGroup)]
#[ovsdb(row = "Port", context = "Slabs")]
pub(crate) struct PortExtras {
    #[ovsdb(key = "external_ids:ipv4.address.external")]
    external_ipv4: Option<Box<str>>,
    #[ovsdb(key = "external_ids:ipv6.address.external")]
    external_ipv6: Option<Box<str>>,
    #[ovsdb(flatten)]
    links: Rare<PortLinks>,
}

/// The columns of a port that is not an instance's.
#[derive(Clone, Debug, Default, PartialEq, Eq, ColumnGroup)]
#[ovsdb(row = "Port", context = "Slabs")]
pub(crate) struct PortLinks {
    #[ovsdb(key = "options:router-port")]
    router_port: Option<Box<str>>,
    #[ovsdb(optional, since = "25.03")]
    peer: Option<Box<str>>,
    #[ovsdb(key = "options:virtual-ip")]
    virtual_ip: Option<Box<str>>,
    #[ovsdb(key = "options:virtual-parents")]
    virtual_parents: Option<Box<str>>,
}

/// The kind of a switch port, by what is behind it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, AtomValue)]
pub enum PortKind {
    /// An instance: type `""`.
    #[default]
    #[ovsdb(name = "")]
    Instance,
    /// An instance that is not on a hypervisor of OVN, such as a machine behind a gateway chassis: type `external`.
    External,
    /// An address that moves between instances: type `virtual`.
    Virtual,
    /// A router port: type `router`.
    Router,
    /// A port of another switch: type `switch`.
    Switch,
    /// A physical network: type `localnet`.
    Localnet,
    /// A physical network that a chassis is the gateway to: type `l2gateway`.
    #[ovsdb(name = "l2gateway")]
    L2Gateway,
    /// A VTEP gateway: type `vtep`.
    Vtep,
    /// Something else, such as `remote`.
    #[ovsdb(other)]
    Other,
}

impl PortKind {
    /// Returns true if an instance is behind the port.
    pub fn is_instance(self) -> bool {
        matches!(self, Self::Instance | Self::External)
    }

    /// Returns true if a network outside of OVN is behind the port.
    pub fn is_physical(self) -> bool {
        matches!(self, Self::Localnet | Self::L2Gateway | Self::Vtep)
    }
}

impl Port {
    /// Returns `options:router-port`.
    pub fn router_port(&self) -> Option<&str> {
        self.links()?.router_port.as_deref()
    }

    /// Returns the wanted external address, [`keys::port_key`](crate::keys::port_key).
    pub fn external(&self, family: Family) -> Option<&str> {
        let extras = self.extras.get()?;
        match family {
            Family::V4 => extras.external_ipv4.as_deref(),
            Family::V6 => extras.external_ipv6.as_deref(),
        }
    }

    /// Returns the addresses that the CMS assigns or requests: the elements of `addresses`.
    pub fn addresses(&self) -> AddressSet<'_> {
        self.addresses.addresses()
    }

    /// Returns northd's allocation: the elements of `dynamic_addresses`, none or one.
    pub fn dynamic_addresses(&self) -> AddressSet<'_> {
        self.addresses.dynamic_addresses()
    }

    /// Returns the addresses that the port has, static or dynamic, sorted, each once.
    pub fn internal_addresses(&self, family: Family) -> SmallVec<[IpAddr; 1]> {
        let assigned = self.addresses().assigned(family).chain(self.dynamic_addresses().assigned(family));
        let mut addresses: SmallVec<[_; 1]> = assigned.collect();
        addresses.sort_unstable();
        addresses.dedup();
        addresses
    }

    /// Returns true if OVN drops all packets of the port.
    pub fn is_disabled(&self) -> bool {
        self.enabled == Some(false)
    }

    /// Returns the name of the port of another switch that it is to be joined with, if it is of type `switch`.
    pub fn switch_peer(&self) -> Option<&str> {
        self.links()?.peer.as_deref().filter(|_| self.kind == PortKind::Switch)
    }

    /// Returns the address that moves between the [parents](Self::virtual_parents), if it is of type `virtual`.
    pub fn virtual_ip(&self) -> Option<IpAddr> {
        let text = self.links()?.virtual_ip.as_deref();
        text.filter(|_| self.kind == PortKind::Virtual).and_then(parse_ip)
    }

    /// Returns the names of the ports that may have its address, if it is of type `virtual`.
    pub fn virtual_parents(&self) -> impl Iterator<Item = &str> {
        let links = self.links().filter(|_| self.kind == PortKind::Virtual);
        let text = links.and_then(|links| links.virtual_parents.as_deref());
        // northd and ovn-controller only skip empty names.
        text.unwrap_or_default().split(',').filter(|name| !name.is_empty())
    }

    fn links(&self) -> Option<&PortLinks> {
        self.extras.get()?.links.get()
    }

    /// Returns the name of the router port that it leads to, if it leads to a router.
    pub(crate) fn leads_to(&self) -> Option<&str> {
        if self.kind == PortKind::Router { self.router_port() } else { None }
    }
}
