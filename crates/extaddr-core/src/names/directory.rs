//! A replica of the few columns that contain the names of ports.

use std::sync::Arc;

use ovsdb_protocol::{
    ApplyError, Batch, DatabaseSchema, MonitorRequests, Replica, RowUpdate, SchemaMismatch, Table,
    TableCache, Tables,
};

use super::rows::{HostRow, KeptRow, PortRow, SwitchRow};

/// Ports and their display names. The agent does not keep one, since it takes memory for each port.
#[derive(Debug)]
pub struct Directory(Tables);

impl Default for Directory {
    fn default() -> Self {
        let mut tables = Tables::new();
        tables.add::<PortRow>();
        tables.add::<SwitchRow>();
        tables.add::<HostRow>();
        tables.add::<KeptRow>();
        Self(tables)
    }
}

impl Directory {
    /// Returns the row of the port of that name.
    pub(super) fn port(&self, name: &str) -> Option<&Arc<PortRow>> {
        let mut named = self.0.table::<PortRow>()?.find(PortRow::INDEXES.name, name);
        named.next().map(|(_, row)| row)
    }

    /// Returns the rows of all ports.
    pub(super) fn ports(&self) -> impl Iterator<Item = &Arc<PortRow>> {
        self.rows::<PortRow>()
    }

    /// Returns true if the port of that name is an instance's, or does not exist.
    pub(super) fn is_instance(&self, port: &str) -> bool {
        self.port(port).is_none_or(|row| row.kind.is_empty() || row.kind == "external")
    }

    /// Returns the name of the switch that has the port of that name.
    pub(super) fn switch_of(&self, port: &str) -> Option<String> {
        let port = self.port(port)?;
        let switch = self.rows::<SwitchRow>().find(|switch| switch.ports.contains(&port.uuid))?;
        Some(switch.name.clone())
    }

    /// Returns the host name of the port of that name, without the domain.
    pub(super) fn host_of(&self, port: &str) -> Option<&str> {
        let table = self.0.table::<HostRow>()?;
        let incus = table.find(HostRow::INDEXES.incus_port, port);
        let mut hosts = incus.chain(table.find(HostRow::INDEXES.lxd_port, port));
        hosts.find_map(|(_, row)| row.host())
    }

    /// Returns the names of missing ports whose host names a CMS keeps until the port comes back.
    pub(super) fn expected(&self) -> impl Iterator<Item = &str> {
        let hosts = self.rows::<HostRow>();
        let ports = hosts.filter_map(|row| row.incus_port.as_deref().or(row.lxd_port.as_deref()));
        ports.filter(|port| self.port(port).is_none())
    }

    /// Returns the names of the ports for which an intent is kept; a name appears twice if both families have intents.
    pub(super) fn kept(&self) -> impl Iterator<Item = &str> {
        self.rows::<KeptRow>().flat_map(|row| row.kept.iter()).map(|(port, ..)| port)
    }

    fn rows<T: Table + Send + Sync + 'static>(&self) -> impl Iterator<Item = &Arc<T>> {
        self.0.table::<T>().into_iter().flat_map(TableCache::rows).map(|(_, row)| row)
    }
}

impl Replica for Directory {
    fn declare(&mut self, schema: &DatabaseSchema) -> Result<MonitorRequests, SchemaMismatch> {
        self.0.declare(schema)
    }

    fn begin(&mut self, batch: Batch) {
        self.0.begin(batch);
    }

    fn apply(&mut self, update: RowUpdate<'_>) -> Result<(), ApplyError> {
        self.0.apply(update)
    }

    fn commit(&mut self) {
        self.0.commit();
        // Nobody uses them.
        drop(self.0.take_changes::<PortRow>());
        drop(self.0.take_changes::<SwitchRow>());
        drop(self.0.take_changes::<HostRow>());
        drop(self.0.take_changes::<KeptRow>());
    }
}
