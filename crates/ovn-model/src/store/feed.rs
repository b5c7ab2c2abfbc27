//! Batches of updates.

use ovsdb_protocol::{
    ApplyError, Batch, DatabaseSchema, MonitorRequests, Replica, RowChange, RowUpdate, SchemaMismatch, Uuid,
};

use super::Store;
use crate::change::{Change, Node};
use crate::tables::{self, Kind, Table};

/// More changes than this, and more than there are ports, are reported as everything.
const MANY: usize = 1000;

impl Replica for Store {
    fn declare(&mut self, schema: &DatabaseSchema) -> Result<MonitorRequests, SchemaMismatch> {
        let requests = tables::requests(schema)?;
        let columns =
            tables::ALL.iter().flat_map(|table| table.columns.iter().map(|column| (table.name, column.name)));
        self.supported = columns.filter(|(table, column)| schema.column(table, column).is_some()).collect();
        Ok(requests)
    }

    fn begin(&mut self, batch: Batch) {
        self.batch = Some(batch);
        if batch == Batch::Snapshot {
            self.switches.unsee();
            self.ports.unsee();
            self.routers.unsee();
            self.router_ports.unsee();
            self.balancers.unsee();
            self.groups.unsee();
            self.nats.unsee();
        }
    }

    fn apply(&mut self, update: RowUpdate<'_>) -> Result<(), ApplyError> {
        let Some(table) = tables::ALL.iter().find(|table| table.name == update.table) else {
            return Ok(());
        };
        self.write(table, update.uuid, update.change)?;
        self.recorder.bound(self.limit());
        Ok(())
    }

    fn commit(&mut self) {
        if self.batch == Some(Batch::Snapshot) {
            for table in tables::ALL {
                for uuid in self.unseen(table) {
                    // It cannot fail: the row is here.
                    let _ = self.write(table, uuid, RowChange::Delete);
                }
            }
        }
        self.batch = None;
        self.recorder.commit(self.limit());
    }
}

impl Store {
    fn write(&mut self, table: &Table, uuid: Uuid, change: RowChange<'_>) -> Result<(), ApplyError> {
        /// Opens the slot, writes the row and closes the slot.
        macro_rules! write {
            ($slab:ident, $write:ident) => {{
                let batch = self.batch.unwrap_or(Batch::Delta);
                let (id, write) = self.$slab.open(batch, uuid, change)?;
                let result = self.$write(id, write);
                self.$slab.close(id);
                result
            }};
        }
        match table.kind {
            Kind::Port => write!(ports, write_port),
            Kind::Switch => write!(switches, write_switch),
            Kind::Router => write!(routers, write_router),
            Kind::RouterPort => write!(router_ports, write_router_port),
            Kind::LoadBalancer => write!(balancers, write_balancer),
            Kind::Group => write!(groups, write_group),
            Kind::Nat => write!(nats, write_nat),
        }
    }

    fn unseen(&self, table: &Table) -> Vec<Uuid> {
        match table.kind {
            Kind::Port => self.ports.unseen(),
            Kind::Switch => self.switches.unseen(),
            Kind::Router => self.routers.unseen(),
            Kind::RouterPort => self.router_ports.unseen(),
            Kind::LoadBalancer => self.balancers.unseen(),
            Kind::Group => self.groups.unseen(),
            Kind::Nat => self.nats.unseen(),
        }
    }

    fn limit(&self) -> usize {
        self.ports.len().max(MANY)
    }

    pub(super) fn recycle(&mut self) {
        self.switches.recycle();
        self.ports.recycle();
        self.routers.recycle();
        self.router_ports.recycle();
        self.balancers.recycle();
        self.groups.recycle();
        self.nats.recycle();
    }

    pub(super) fn note_topology(&mut self, node: Node) {
        self.recorder.note(Change::Topology(node));
    }
}
