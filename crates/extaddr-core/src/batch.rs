//! The changes of many subjects as one transaction.

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

use ovn_model::{LoadBalancer, Nat, Router, RouterId, Store};
use ovsdb_protocol::{Datum, Field, LockName, Transaction, TypedCondition, TypedMutation, TypedRow, Uuid};

use crate::DATABASE;
use crate::change::RowChange;
use crate::engine::{Engine, ReconcileKey};
use crate::guard::{self, Guard};
use crate::row::OwnRow;
use crate::rules::Rules;

/// A transaction, and the subjects whose changes it makes.
#[derive(Debug)]
pub struct Batch {
    /// The transaction to send.
    pub transaction: Transaction,
    /// The subjects and their changes.
    pub subjects: BTreeMap<ReconcileKey, Vec<RowChange>>,
    /// The subject of an operation, by the operation's index; `None` for operations of all subjects.
    origins: Vec<Option<ReconcileKey>>,
}

/// A transaction under construction.
struct Builder<'a> {
    store: &'a Store,
    rules: &'a Rules,
    transaction: Transaction,
    origins: Vec<Option<ReconcileKey>>,
    guards: BTreeSet<Guard>,
    routers: BTreeMap<RouterId, Sets>,
    /// The second, counted from 1970, at which a drain row that is written now expires.
    until: u64,
}

/// The rows to insert into and delete from the sets of a router: one mutation for each router and set, since each costs
/// the server a copy of the whole set.
#[derive(Default)]
struct Sets {
    nat: Toggle,
    load_balancer: Toggle,
}

#[derive(Default)]
struct Toggle {
    added: Vec<Uuid>,
    removed: Vec<Uuid>,
}

/// Merges the changes of `subjects` into one transaction, which is committed as a whole or not at all, and only while
/// the agent has `lock`.
pub fn merge(
    store: &Store,
    engine: &Engine,
    lock: &LockName,
    subjects: BTreeMap<ReconcileKey, Vec<RowChange>>,
) -> Batch {
    let rules = engine.rules();
    let mut builder = Builder {
        store,
        rules,
        transaction: Transaction::new(DATABASE),
        origins: Vec::new(),
        guards: BTreeSet::new(),
        routers: BTreeMap::new(),
        // By the time of the decision: by another one, what is written may not be what was decided.
        until: engine.wall() + rules.drain.as_secs(),
    };
    builder.transaction.assert_lock(lock.as_str());
    builder.attribute(None);
    for (subject, changes) in &subjects {
        builder.guard(engine, subject, changes);
        builder.attribute(Some(subject));
    }
    for (subject, changes) in &subjects {
        changes.iter().for_each(|change| builder.change(change));
        builder.attribute(Some(subject));
    }
    builder.routers();
    let changes: usize = subjects.values().map(Vec::len).sum();
    builder.transaction.comment(format!("ovn-extaddr: {changes} changes"));
    builder.attribute(None);
    Batch { transaction: builder.transaction, subjects, origins: builder.origins }
}

impl Batch {
    /// Returns the subject of an operation, if it has a single one.
    pub fn origin(&self, operation: usize) -> Option<&ReconcileKey> {
        self.origins.get(operation)?.as_ref()
    }
}

impl Builder<'_> {
    /// Notes that the operations added since the last call are for `subject`.
    fn attribute(&mut self, subject: Option<&ReconcileKey>) {
        self.origins.resize(self.transaction.len(), subject.cloned());
    }

    fn guard(&mut self, engine: &Engine, subject: &ReconcileKey, changes: &[RowChange]) {
        let guards: Vec<_> = match subject {
            ReconcileKey::Conversion((_, address)) => {
                changes.iter().flat_map(|change| guard::of_conversion(change, *address)).collect()
            }
            ReconcileKey::Port(name) => {
                let Some(id) = self.store.port_by_name(name) else { return };
                let decisions = engine.decisions(name);
                let rows = changes.iter().filter_map(RowChange::row);
                let decided = rows.filter_map(|row| {
                    Some((decisions.iter().find(|d| d.rows(name).any(|own| own == *row))?, row))
                });
                decided
                    .flat_map(|(d, row)| guard::for_row(self.rules.network(self.store), id, d, row))
                    .collect()
            }
        };
        let new: Vec<_> = guards.into_iter().filter(|guard| self.guards.insert(*guard)).collect();
        guard::require(self.store, new, &mut self.transaction);
    }

    fn change(&mut self, change: &RowChange) {
        match change {
            RowChange::Insert(row) => {
                self.sets(row.router).nat.added.push(row.uuid);
                let columns = self.columns(row);
                self.transaction.on::<Nat>().insert_as(row.uuid, columns);
            }
            RowChange::Update(id, row) => {
                if let Some(nat) = self.store.nat(*id) {
                    let (columns, mutations) = row.update(self.store, &self.rules.owner, self.until, nat);
                    let mut table = self.transaction.on::<Nat>();
                    table.update([TypedCondition::uuid(nat.uuid)], columns);
                    table.mutate([TypedCondition::uuid(nat.uuid)], mutations);
                }
            }
            RowChange::Delete(id, router) => {
                let uuid = self.store.nat(*id).map(|nat| nat.uuid);
                self.sets(*router).nat.removed.extend(uuid);
            }
            RowChange::Detach(router, balancer) => {
                let uuid = self.store.load_balancer(*balancer).map(|row| row.uuid);
                self.sets(*router).load_balancer.removed.extend(uuid);
            }
            RowChange::Attach(router, balancer) => self.sets(*router).load_balancer.added.push(*balancer),
            RowChange::RemoveVip(balancer, key, value) => {
                if let Some(row) = self.store.load_balancer(*balancer) {
                    let pair = LoadBalancer::COLUMNS.vips.delete(Datum::map([(&**key, &**value)]));
                    self.transaction.on::<LoadBalancer>().mutate([TypedCondition::uuid(row.uuid)], [pair]);
                }
            }
            RowChange::RestoreVip(balancer, key, value) => {
                // If the CMS has inserted the key again meanwhile, its value stays.
                let pair = LoadBalancer::COLUMNS.vips.insert(Datum::map([(&**key, &**value)]));
                self.transaction.on::<LoadBalancer>().mutate([TypedCondition::uuid(*balancer)], [pair]);
            }
        }
    }

    fn sets(&mut self, router: RouterId) -> &mut Sets {
        self.routers.entry(router).or_default()
    }

    fn columns(&self, row: &OwnRow) -> TypedRow<Nat> {
        row.columns(self.store, &self.rules.owner, self.until)
    }

    fn routers(&mut self) {
        for (router, sets) in std::mem::take(&mut self.routers) {
            let Some(row) = self.store.router(router) else { continue };
            let nats = sets.nat.mutations(Router::COLUMNS.nats);
            let mutations = nats.chain(sets.load_balancer.mutations(Router::COLUMNS.load_balancers));
            self.transaction.on::<Router>().mutate([TypedCondition::uuid(row.uuid)], mutations);
        }
        self.attribute(None);
    }
}

impl Toggle {
    fn mutations<V>(self, column: Field<Router, V>) -> impl Iterator<Item = TypedMutation<Router>> {
        let set = |uuids: Vec<Uuid>| (!uuids.is_empty()).then(|| Datum::set(uuids));
        let removed = set(self.removed).map(|removed| column.delete(removed));
        removed.into_iter().chain(set(self.added).map(|added| column.insert(added)))
    }
}
