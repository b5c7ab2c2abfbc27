//! `Logical_Router`.

use std::sync::Arc;

use ovsdb_protocol::{DatumReader, DecodeError, Uuid};

use super::{Draft, Meta, Row, shared, toggle, uuids};
use crate::id::{GroupId, LoadBalancerId, NatId, RouterId, RouterPortId};
use crate::keys;
use crate::problem::Notes;
use crate::tables::{self, Table};

/// A logical router.
#[derive(Clone, Debug)]
pub struct Router {
    /// The row.
    pub uuid: Uuid,
    /// Its name, which need not be unique.
    pub name: Arc<str>,
    /// The chassis of a gateway router, `options:chassis`.
    pub chassis: Option<Box<str>>,
    /// What it says for all instances behind it, [`keys::ROUTER`].
    pub external: Option<Box<str>>,
    /// The handles of its ports, sorted. The row of one may be missing, here and below.
    pub ports: Vec<RouterPortId>,
    /// The handles of its NAT rows, sorted.
    pub nats: Vec<NatId>,
    /// The handles of its own load balancers, sorted.
    pub load_balancers: Vec<LoadBalancerId>,
    /// The handles of its groups of load balancers, sorted.
    pub groups: Vec<GroupId>,
    pub(crate) meta: Meta,
}

impl Row for Router {
    type Id = RouterId;

    fn vacant(uuid: Uuid) -> Self {
        Self {
            uuid,
            name: Arc::default(),
            chassis: None,
            external: None,
            ports: Vec::new(),
            nats: Vec::new(),
            load_balancers: Vec::new(),
            groups: Vec::new(),
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
        false
    }
}

/// A router that is being read.
#[derive(Debug, Default)]
pub(crate) struct RouterDraft {
    pub(crate) name: Arc<str>,
    pub(crate) chassis: Option<Box<str>>,
    pub(crate) external: Option<Box<str>>,
    pub(crate) ports: Vec<Uuid>,
    pub(crate) nats: Vec<Uuid>,
    pub(crate) load_balancers: Vec<Uuid>,
    pub(crate) groups: Vec<Uuid>,
}

impl Draft for RouterDraft {
    const TABLE: &'static Table = &tables::ROUTER;

    fn column(
        &mut self,
        name: &str,
        value: &mut DatumReader<'_, '_>,
        _: &mut Notes,
    ) -> Result<(), DecodeError> {
        match name {
            "name" => shared(&mut self.name, value)?,
            "ports" => self.ports = uuids(value)?,
            "nat" => self.nats = uuids(value)?,
            "load_balancer" => self.load_balancers = uuids(value)?,
            "load_balancer_group" => self.groups = uuids(value)?,
            "options" => value.strings(|key, value| {
                if key == "chassis" {
                    toggle(&mut self.chassis, value);
                }
            })?,
            "external_ids" => value.strings(|key, value| {
                if key == keys::ROUTER {
                    toggle(&mut self.external, value);
                }
            })?,
            _ => {}
        }
        Ok(())
    }

    fn clear(&mut self, name: &str) -> bool {
        match name {
            "name" => self.name = Arc::default(),
            "ports" => self.ports.clear(),
            "nat" => self.nats.clear(),
            "load_balancer" => self.load_balancers.clear(),
            "load_balancer_group" => self.groups.clear(),
            "options" => self.chassis = None,
            _ => self.external = None,
        }
        name != "name"
    }
}
