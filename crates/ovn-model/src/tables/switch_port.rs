//! `Logical_Switch_Port`.

use std::net::IpAddr;
use std::sync::Arc;

use ovsdb_protocol::{AtomValue, ColumnGroup, Rare, Table, Uuid};
use smallvec::SmallVec;

use crate::address::{AddressSet, DynamicAddresses};
use crate::family::Family;
use crate::id::SwitchId;
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
    /// What is behind the port.
    #[ovsdb(column = "type")]
    pub kind: PortKind,
    /// What `addresses` holds.
    pub addresses: AddressSet,
    /// What northd allocated: no element, or one.
    pub dynamic_addresses: DynamicAddresses,
    #[ovsdb(flatten)]
    pub(crate) extras: Rare<PortExtras>,
    /// The switch whose port it is; of several that claim it, the one with the least UUID.
    #[ovsdb(skip)]
    pub switch: Option<SwitchId>,
    #[ovsdb(skip)]
    pub(crate) meta: Meta,
}

/// The columns of a port that few ports have.
#[derive(Clone, Debug, Default, PartialEq, Eq, ColumnGroup)]
#[ovsdb(row = "Port", context = "Slabs")]
pub(crate) struct PortExtras {
    #[ovsdb(key = "options:router-port")]
    router_port: Option<Box<str>>,
    #[ovsdb(key = "external_ids:ipv4.address.external")]
    external_ipv4: Option<Box<str>>,
    #[ovsdb(key = "external_ids:ipv6.address.external")]
    external_ipv6: Option<Box<str>>,
}

/// What is behind a switch port.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, AtomValue)]
pub enum PortKind {
    /// An instance: type `""`.
    #[default]
    #[ovsdb(name = "")]
    Instance,
    /// A router port: type `router`.
    Router,
    /// Something else, such as `localnet`.
    #[ovsdb(other)]
    Other,
}

impl Port {
    /// Returns `options:router-port`.
    pub fn router_port(&self) -> Option<&str> {
        self.extras.get()?.router_port.as_deref()
    }

    /// Returns the wanted external address, [`keys::port_key`](crate::keys::port_key).
    pub fn external(&self, family: Family) -> Option<&str> {
        let extras = self.extras.get()?;
        match family {
            Family::V4 => extras.external_ipv4.as_deref(),
            Family::V6 => extras.external_ipv6.as_deref(),
        }
    }

    /// Returns the addresses that the port has, static or dynamic, sorted, each once.
    pub fn internal_addresses(&self, family: Family) -> SmallVec<[IpAddr; 1]> {
        let assigned = self.addresses.assigned(family).chain(self.dynamic_addresses.assigned(family));
        let mut addresses: SmallVec<[_; 1]> = assigned.collect();
        addresses.sort_unstable();
        addresses.dedup();
        addresses
    }

    /// Returns the name of the router port that it leads to, if it leads to a router.
    pub(crate) fn leads_to(&self) -> Option<&str> {
        if self.kind == PortKind::Router { self.router_port() } else { None }
    }
}
