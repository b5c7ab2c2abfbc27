//! `Logical_Router_Port`.

use std::sync::Arc;

use ipnet::IpNet;
use ovsdb_protocol::{DatumReader, DecodeError, Uuid};

use super::{Draft, Meta, Row, shared, strings, uuids};
use crate::id::{RouterId, RouterPortId};
use crate::prefix::parse_prefix;
use crate::problem::Notes;
use crate::tables::{self, Table};

/// A port of a logical router.
#[derive(Clone, Debug)]
pub struct RouterPort {
    /// The row.
    pub uuid: Uuid,
    /// Its name.
    pub name: Arc<str>,
    /// Its addresses, each with the prefix of its network, sorted. A text that is none is missing.
    pub networks: Vec<IpNet>,
    /// Whether it is a gateway port, bound to some chassis.
    pub gateway: bool,
    /// The name of the router port at the other end, where two routers are joined directly.
    pub peer: Option<Arc<str>>,
    /// The router whose port it is; of several that claim it, the one with the least UUID.
    pub router: Option<RouterId>,
    /// How many NAT rows name it as their gateway port.
    pub(crate) named_by: u32,
    texts: Vec<Box<str>>,
    gateway_chassis: Vec<Uuid>,
    ha_chassis_group: bool,
    pub(crate) meta: Meta,
}

impl RouterPort {
    /// Tells whether there is no difference to be seen.
    pub(crate) fn same(&self, other: &Self) -> bool {
        self.name == other.name
            && self.networks == other.networks
            && self.gateway == other.gateway
            && self.peer == other.peer
    }
}

impl Row for RouterPort {
    type Id = RouterPortId;

    fn vacant(uuid: Uuid) -> Self {
        Self {
            uuid,
            name: Arc::default(),
            networks: Vec::new(),
            gateway: false,
            peer: None,
            router: None,
            named_by: 0,
            texts: Vec::new(),
            gateway_chassis: Vec::new(),
            ha_chassis_group: false,
            meta: Meta::default(),
        }
    }

    fn uuid(&self) -> Uuid {
        self.uuid
    }

    fn meta(&self) -> &Meta {
        &self.meta
    }

    fn meta_mut(&mut self) -> &mut Meta {
        &mut self.meta
    }

    fn is_referenced(&self) -> bool {
        self.router.is_some() || self.named_by > 0
    }
}

impl Draft for RouterPort {
    const TABLE: &'static Table = &tables::ROUTER_PORT;

    fn column(
        &mut self,
        name: &str,
        value: &mut DatumReader<'_, '_>,
        notes: &mut Notes,
    ) -> Result<(), DecodeError> {
        match name {
            "name" => shared(&mut self.name, value)?,
            "networks" => {
                for text in strings(value)? {
                    match self.texts.binary_search_by(|t| (**t).cmp(&text)) {
                        Ok(at) => drop(self.texts.remove(at)),
                        Err(at) => self.texts.insert(at, text.into()),
                    }
                }
                self.networks = self.texts.iter().filter_map(|text| parse_prefix(text)).collect();
                self.networks.sort_unstable();
                let bad: Vec<_> = self.texts.iter().filter(|text| parse_prefix(text).is_none()).collect();
                if !bad.is_empty() {
                    notes.complain(name, format!("not understood: {bad:?}"));
                }
            }
            "peer" => self.peer = value.string()?.map(Arc::from),
            "gateway_chassis" => {
                for uuid in uuids(value)? {
                    match self.gateway_chassis.binary_search(&uuid) {
                        Ok(at) => drop(self.gateway_chassis.remove(at)),
                        Err(at) => self.gateway_chassis.insert(at, uuid),
                    }
                }
            }
            "ha_chassis_group" => self.ha_chassis_group = !uuids(value)?.is_empty(),
            _ => {}
        }
        self.gateway = self.ha_chassis_group || !self.gateway_chassis.is_empty();
        Ok(())
    }

    fn clear(&mut self, name: &str) -> bool {
        match name {
            "name" => self.name = Arc::default(),
            "networks" => {
                self.texts.clear();
                self.networks.clear();
            }
            "peer" => self.peer = None,
            "gateway_chassis" => self.gateway_chassis.clear(),
            _ => self.ha_chassis_group = false,
        }
        self.gateway = self.ha_chassis_group || !self.gateway_chassis.is_empty();
        matches!(name, "networks" | "gateway_chassis")
    }
}
