//! A network that is edited while an engine watches it, for rules that remember something.

use std::time::{Duration, Instant};

use ovn_model::Store;
use ovsdb_protocol::{Batch, Columns, Replica, RowChange, RowUpdate};
use serde_json::Value;

use super::{NetworkBuilder, lines, outcome, uuid};
use crate::clock::Now;
use crate::engine::Engine;

/// A network, and an engine that has seen all its edits.
pub(crate) struct Live {
    network: NetworkBuilder,
    store: Store,
    engine: Engine,
    now: Now,
}

impl Live {
    /// Returns one whose engine has seen the network as it is.
    pub(crate) fn new(network: NetworkBuilder) -> Self {
        let (store, engine) = (network.store(), Engine::new(network.rules.clone()));
        let now = Now { instant: Instant::now(), wall: 1_800_000_000 };
        let mut live = Self { network, store, engine, now };
        live.engine.catch_up(&mut live.store, now);
        live
    }

    /// Edits the network in one transaction.
    pub(crate) fn edit(&mut self, edit: impl FnOnce(&mut NetworkBuilder)) {
        let before = self.network.rows.clone();
        edit(&mut self.network);
        self.store.begin(Batch::Delta);
        for ((table, name), row) in &self.network.rows {
            let old = before.get(&(*table, name.clone()));
            if old == Some(row) {
                continue;
            }
            let text = Value::Object(row.clone()).to_string();
            let columns = Columns::new(&text);
            let change = if old.is_none() { RowChange::Insert(columns) } else { RowChange::Replace(columns) };
            self.store.apply(RowUpdate { table, uuid: uuid(table, name), change }).unwrap();
        }
        for (table, name) in before.keys().filter(|key| !self.network.rows.contains_key(key)) {
            let change = RowChange::Delete;
            self.store.apply(RowUpdate { table, uuid: uuid(table, name), change }).unwrap();
        }
        self.store.commit();
        self.engine.catch_up(&mut self.store, self.now);
    }

    /// Lets time pass.
    pub(crate) fn pass(&mut self, time: Duration) {
        self.now = Now { instant: self.now.instant + time, wall: self.now.wall + time.as_secs() };
        self.engine.catch_up(&mut self.store, self.now);
    }

    /// Returns the store, the engine and the time.
    pub(crate) fn parts(&self) -> (&Store, &Engine, Now) {
        (&self.store, &self.engine, self.now)
    }

    /// Returns the decisions on a port, as [`NetworkBuilder::outcome`] does.
    pub(crate) fn outcome(&self, port: &str) -> String {
        outcome(&self.store, &self.engine, port)
    }

    /// Returns the changes for a port, as [`NetworkBuilder::plan`] does.
    pub(crate) fn plan(&self, port: &str) -> Vec<String> {
        lines(&self.store, &self.engine, Some(port))
    }

    /// Returns the changes of conversions, as [`NetworkBuilder::conversions`] does.
    pub(crate) fn conversions(&self) -> Vec<String> {
        lines(&self.store, &self.engine, None)
    }
}
