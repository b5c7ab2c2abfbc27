//! The changes of many ports as one transaction.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use ovn_model::{RouterId, Store};
use ovsdb_protocol::{Condition, Datum, LockName, Mutation, Row, Transaction, Uuid};

use crate::engine::Engine;
use crate::guard::{self, Guard};
use crate::ownership::{Owner, Role};
use crate::plan::RowChange;
use crate::resolve::DesiredRow;

/// A transaction, and whose changes are in it.
#[derive(Debug)]
pub struct Batch {
    /// What to send.
    pub transaction: Transaction,
    /// The ports and their changes.
    pub ports: BTreeMap<Arc<str>, Vec<RowChange>>,
    /// The port that an operation is for, by the operation's index; `None` for those of all.
    origins: Vec<Option<Arc<str>>>,
}

/// A transaction under construction.
struct Builder<'a> {
    store: &'a Store,
    owner: &'a Owner,
    transaction: Transaction,
    origins: Vec<Option<Arc<str>>>,
    guards: BTreeSet<Guard>,
    /// What to add to and take from the `nat` of each router: one mutation a router, since each
    /// costs the server a copy of the whole set.
    nat: BTreeMap<RouterId, (Vec<Uuid>, Vec<Uuid>)>,
}

/// Merges the changes of `ports` into one transaction that happens as a whole or not at all, and
/// only as long as `lock` is ours.
pub fn merge(
    store: &Store,
    engine: &Engine,
    lock: &LockName,
    ports: BTreeMap<Arc<str>, Vec<RowChange>>,
) -> Batch {
    let mut builder = Builder {
        store,
        owner: engine.owner(),
        transaction: Transaction::new("OVN_Northbound"),
        origins: Vec::new(),
        guards: BTreeSet::new(),
        nat: BTreeMap::new(),
    };
    builder.transaction.assert_lock(lock.as_str());
    builder.attribute(None);
    for (name, changes) in &ports {
        builder.guard(engine, name, changes);
    }
    for (name, changes) in &ports {
        for change in changes {
            builder.change(name, change);
        }
        builder.attribute(Some(name));
    }
    builder.routers();
    let rows: usize = ports.values().map(Vec::len).sum();
    builder.transaction.comment(format!("ovn-extaddr: {rows} rows for {} ports", ports.len()));
    builder.attribute(None);
    Batch { transaction: builder.transaction, ports, origins: builder.origins }
}

impl Batch {
    /// Returns the port that an operation is for, where it is for one.
    pub fn origin(&self, operation: usize) -> Option<&Arc<str>> {
        self.origins.get(operation)?.as_ref()
    }
}

impl Builder<'_> {
    /// Notes that the operations added since the last call are for `port`.
    fn attribute(&mut self, port: Option<&Arc<str>>) {
        self.origins.resize(self.transaction.len(), port.cloned());
    }

    fn guard(&mut self, engine: &Engine, name: &Arc<str>, changes: &[RowChange]) {
        let Some(id) = self.store.port_by_name(name) else { return };
        for change in changes {
            let (RowChange::Insert(row) | RowChange::Update(_, row)) = change else { continue };
            let decision = engine.decisions(name).iter().find(|decision| decision.rows().contains(row));
            let Some(decision) = decision else { continue };
            for guard in guard::of(self.store, self.owner, id, decision, row) {
                if self.guards.insert(guard) {
                    guard.require(self.store, &mut self.transaction);
                }
            }
        }
        self.attribute(Some(name));
    }

    fn change(&mut self, name: &str, change: &RowChange) {
        match change {
            RowChange::Insert(row) => {
                self.nat.entry(row.router).or_default().0.push(row.uuid);
                let columns = self.columns(name, row);
                self.transaction.insert_as("NAT", row.uuid, columns);
            }
            RowChange::Update(id, row) => {
                let columns = self.columns(name, row);
                if let Some(nat) = self.store.nat(*id) {
                    self.transaction.update("NAT", [Condition::uuid(nat.uuid)], columns);
                }
            }
            RowChange::Delete(id, router) => {
                let uuid = self.store.nat(*id).map(|nat| nat.uuid);
                self.nat.entry(*router).or_default().1.extend(uuid);
            }
        }
    }

    /// The content of a row of ours, all columns that it sets.
    fn columns(&self, port: &str, row: &DesiredRow) -> Row {
        let text = |text: String| Datum::scalar(text);
        let mut columns = Row::new()
            .with("type", text("snat".to_owned()))
            .with("external_ip", text(row.external.to_string()))
            .with("logical_ip", text(row.logical.to_string()))
            .with("options", Datum::map([("stateless", "false")]))
            .with("external_ids", self.owner.external_ids(Role::Egress, port));
        if self.store.supports("NAT", "external_port_range") {
            columns.insert(
                "external_port_range",
                text(row.port_range.map(|r| r.to_string()).unwrap_or_default()),
            );
        }
        if self.store.supports("NAT", "gateway_port") {
            let port = row.gateway_port.and_then(|id| self.store.router_port(id));
            columns.insert("gateway_port", port.map_or_else(Datum::empty, |port| Datum::scalar(port.uuid)));
        }
        columns
    }

    fn routers(&mut self) {
        for (router, (added, removed)) in std::mem::take(&mut self.nat) {
            let Some(row) = self.store.router(router) else { continue };
            let set = |uuids: Vec<Uuid>| Datum::set(uuids.into_iter().map(ovsdb_protocol::Atom::from));
            let mut mutations = Vec::new();
            if !removed.is_empty() {
                mutations.push(Mutation::delete("nat", set(removed)));
            }
            if !added.is_empty() {
                mutations.push(Mutation::insert("nat", set(added)));
            }
            self.transaction.mutate("Logical_Router", [Condition::uuid(row.uuid)], mutations);
        }
        self.attribute(None);
    }
}
