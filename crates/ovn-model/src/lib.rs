//! A model of an OVN Northbound database: typed rows of a few tables, their values
//! parsed once, in a compact store that can be searched along every reference in both directions.
//!
//! [`Store`] is the [`Replica`](ovsdb_protocol::Replica) of an OVSDB session. It requests only the columns that the
//! server has and that some rule reads. After each committed batch, [`Store::take_changes`] returns the changes in
//! terms of ports, routers and addresses rather than tables, so that work can be proportional to the change.
//!
//! A value that cannot be understood is a [`Problem`], never an error: its row stays, with the rest of its columns.
//! Understood values can be rendered exactly as the database has them.

mod address;
mod change;
mod family;
mod id;
mod kept;
pub mod keys;
pub mod naming;
mod own_keys;
mod parsing;
mod port_range;
mod prefix;
mod store;
mod tables;
mod tags;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
mod vip;

pub use address::{AddressSet, Element, ElementKind, Mac};
pub use change::{Change, Changes, Node};
pub use family::Family;
pub use id::{GroupId, LoadBalancerId, NatId, NbGlobalId, PortId, RouterId, RouterPortId, SwitchId};
pub use kept::Kept;
pub use ovsdb_protocol::Problem;
pub use parsing::parse_ip;
pub use port_range::{PortRange, parse_port};
pub use prefix::{Address, Canonical, LogicalPrefix, Networks, is_host, parse_prefix};
pub use store::{Attachment, Slabs, Store};
pub use tables::{
    BothExternalIps, ExternalIps, Group, LoadBalancer, Nat, NatKind, NbGlobal, Port, PortAddresses, PortKind,
    Protocol, Router, RouterPort, Switch,
};
pub use tags::Tags;
pub use vip::{Endpoint, Vip, Vips};
