//! `Load_Balancer_Group`.

use std::sync::Arc;

use ovsdb_protocol::{DatumReader, DecodeError, Uuid};

use super::{Draft, Meta, Row, shared, uuids};
use crate::id::{GroupId, LoadBalancerId, RouterId};
use crate::problem::Notes;
use crate::store::IdSet;
use crate::tables::{self, Table};

/// A group of load balancers.
#[derive(Clone, Debug)]
pub struct Group {
    /// The row.
    pub uuid: Uuid,
    /// Its name.
    pub name: Arc<str>,
    /// The handles of its load balancers, sorted. The row of one may be missing.
    pub load_balancers: Vec<LoadBalancerId>,
    pub(crate) routers: IdSet<RouterId>,
    pub(crate) meta: Meta,
}

impl Row for Group {
    type Id = GroupId;

    fn vacant(uuid: Uuid) -> Self {
        Self {
            uuid,
            name: Arc::default(),
            load_balancers: Vec::new(),
            routers: IdSet::default(),
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
        !self.routers.is_empty()
    }
}

/// A group that is being read.
#[derive(Debug, Default)]
pub(crate) struct GroupDraft {
    pub(crate) name: Arc<str>,
    pub(crate) load_balancers: Vec<Uuid>,
}

impl Draft for GroupDraft {
    const TABLE: &'static Table = &tables::GROUP;

    fn column(
        &mut self,
        name: &str,
        value: &mut DatumReader<'_, '_>,
        _: &mut Notes,
    ) -> Result<(), DecodeError> {
        match name {
            "name" => shared(&mut self.name, value)?,
            "load_balancer" => self.load_balancers = uuids(value)?,
            _ => {}
        }
        Ok(())
    }

    fn clear(&mut self, name: &str) -> bool {
        match name {
            "name" => self.name = Arc::default(),
            _ => self.load_balancers.clear(),
        }
        name == "load_balancer"
    }
}
