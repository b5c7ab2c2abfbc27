//! `Logical_Router_Port`.

use std::sync::Arc;

use ovsdb_protocol::{Rare, Table, Uuid};

use crate::id::RouterId;
use crate::prefix::Networks;
use crate::store::{Meta, Slabs};

/// A port of a logical router.
#[derive(Clone, Debug, Table)]
#[ovsdb(table = "Logical_Router_Port", load_stage = 2, since = "OVN 20.03", context = "Slabs")]
pub struct RouterPort {
    /// The row.
    #[ovsdb(uuid)]
    pub uuid: Uuid,
    /// Its name.
    pub name: Arc<str>,
    /// Whether OVN uses the port; it does unless this is false.
    #[ovsdb(optional, since = "20.03")]
    pub enabled: Option<bool>,
    /// Its addresses, each with the prefix of its network. Invalid texts are omitted.
    pub networks: Networks,
    /// The name of the router port at the other end, if two routers are joined directly.
    pub peer: Option<Arc<str>>,
    /// `options:dynamic-routing-redistribute`: which routes are announced by it.
    #[ovsdb(key = "options:dynamic-routing-redistribute")]
    pub redistribute: Rare<Option<Box<str>>>,
    #[ovsdb(optional, since = "20.03")]
    pub(crate) gateway_chassis: Vec<Uuid>,
    #[ovsdb(optional, since = "20.03")]
    pub(crate) ha_chassis_group: Option<Uuid>,
    /// The router whose port it is; of several that refer to it, the one with the least UUID.
    #[ovsdb(skip)]
    pub router: Option<RouterId>,
    /// The number of NAT rows that name it as their gateway port.
    #[ovsdb(skip)]
    pub(crate) named_by: u32,
    #[ovsdb(skip)]
    pub(crate) meta: Meta,
}

impl RouterPort {
    /// Returns true if it is a gateway port, bound to a chassis.
    pub fn is_gateway(&self) -> bool {
        self.ha_chassis_group.is_some() || !self.gateway_chassis.is_empty()
    }
}
