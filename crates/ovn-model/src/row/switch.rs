//! `Logical_Switch`.

use std::sync::Arc;

use ovsdb_protocol::{DatumReader, DecodeError, Uuid};

use super::{Draft, Meta, Row, shared, uuids};
use crate::id::{PortId, SwitchId};
use crate::problem::Notes;
use crate::tables::{self, Table};

/// A logical switch.
#[derive(Clone, Debug)]
pub struct Switch {
    /// The row.
    pub uuid: Uuid,
    /// Its name, which need not be unique.
    pub name: Arc<str>,
    /// The handles of its ports, sorted. The row of one may be missing.
    pub ports: Vec<PortId>,
    /// Those of its ports that lead to a router, sorted.
    pub router_ports: Vec<PortId>,
    pub(crate) meta: Meta,
}

impl Row for Switch {
    type Id = SwitchId;

    fn vacant(uuid: Uuid) -> Self {
        Self {
            uuid,
            name: Arc::default(),
            ports: Vec::new(),
            router_ports: Vec::new(),
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

/// A switch that is being read.
#[derive(Debug, Default)]
pub(crate) struct SwitchDraft {
    pub(crate) name: Arc<str>,
    pub(crate) ports: Vec<Uuid>,
}

impl Draft for SwitchDraft {
    const TABLE: &'static Table = &tables::SWITCH;

    fn column(
        &mut self,
        name: &str,
        value: &mut DatumReader<'_, '_>,
        _: &mut Notes,
    ) -> Result<(), DecodeError> {
        match name {
            "name" => shared(&mut self.name, value)?,
            "ports" => self.ports = uuids(value)?,
            _ => {}
        }
        Ok(())
    }

    fn clear(&mut self, name: &str) -> bool {
        match name {
            "name" => self.name = Arc::default(),
            _ => self.ports.clear(),
        }
        name == "ports"
    }
}
