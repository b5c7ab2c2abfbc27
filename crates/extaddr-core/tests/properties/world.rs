//! A database, and everything that follows it: a store, an engine, and the transactions that an agent sends.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use extaddr_core::batch;
use extaddr_core::change::RowChange;
use extaddr_core::clock::Now;
use extaddr_core::engine::{Engine, ReconcileKey};
use extaddr_core::ownership::Owner;
use extaddr_core::rules::Rules;
use ovn_model::Store;
use ovsdb_protocol::Batch;

use crate::case::{Case, Edit, Settings};
use crate::choices::Arrival;
use crate::model::{self, Database, delta, feed, fresh_store, snapshot};
use crate::oracle::Oracle;
use crate::transact::execute;
use crate::view;

/// The most transactions until nothing is left to do. One is enough, unless somebody moved one of our rows to the place
/// of its successor: a row that is on another router too, or tagged for another port.
const MAX_ROUNDS: usize = 4;

/// A database, and what follows it.
pub(crate) struct World {
    pub(crate) owner: Owner,
    pub(crate) settings: Settings,
    pub(crate) database: Database,
    pub(crate) store: Store,
    pub(crate) engine: Engine,
    pub(crate) now: Now,
    pub(crate) arrival: Arrival,
}

impl World {
    pub(crate) fn new(case: &Case) -> Self {
        let (owner, mut arrival) = (Owner::default(), case.arrival.clone());
        let settings = case.settings.clone();
        let mut store = fresh_store(&case.start, &mut arrival);
        let now = Now { instant: Instant::now(), wall: 1_800_000_000 };
        let mut engine = Engine::new(settings.rules(&owner));
        engine.catch_up(&mut store, now);
        Self { owner, settings, database: case.start.clone(), store, engine, now, arrival }
    }

    pub(crate) fn oracle(&self) -> Oracle<'_> {
        Oracle::new(&self.database, &self.owner, &self.settings)
    }

    pub(crate) fn rules(&self) -> Rules {
        self.settings.rules(&self.owner)
    }

    // ----- what happens -----

    /// Others change something.
    pub(crate) fn edit(&mut self, edits: &[Edit]) {
        let mut after = self.database.clone();
        edits.iter().for_each(|edit| edit.apply(&mut after, &self.owner));
        model::drop_unreferenced_tagged(&mut after);
        self.follow(after);
    }

    /// The operator changes the rules.
    pub(crate) fn configure(&mut self, settings: &Settings) {
        self.settings = settings.clone();
        self.engine.set_rules(self.rules());
        self.engine.catch_up(&mut self.store, self.now);
    }

    /// Time passes. The agent acts at its deadlines.
    pub(crate) fn pass(&mut self, seconds: u64) {
        for _ in 0..seconds {
            self.now.instant += Duration::from_secs(1);
            self.now.wall += 1;
            if self.engine.next_deadline().is_some_and(|at| at <= self.now.instant) {
                self.engine.catch_up(&mut self.store, self.now);
            }
        }
    }

    /// The agent is started again.
    pub(crate) fn restart(&mut self) {
        self.store = fresh_store(&self.database, &mut self.arrival);
        self.engine = Engine::new(self.rules());
        self.engine.catch_up(&mut self.store, self.now);
    }

    /// Updates the store and the engine with the changed database.
    fn follow(&mut self, after: Database) {
        let mut updates = delta(&self.database, &after, self.arrival.one_in(4));
        self.database = after;
        let mut batch = Batch::Delta;
        if self.arrival.one_in(8) {
            (updates, batch) = (snapshot(&self.database), Batch::Snapshot);
        }
        self.arrival.shuffle(&mut updates);
        feed(&mut self.store, batch, &updates);
        self.engine.catch_up(&mut self.store, self.now);
    }

    // ----- what the agent does -----

    pub(crate) fn transaction(&self, ports: BTreeMap<Arc<str>, Vec<RowChange>>) -> batch::Batch {
        let subjects = ports.into_iter().map(|(port, changes)| (ReconcileKey::Port(port), changes)).collect();
        batch::merge(&self.store, &self.engine, &self.owner.lock(), subjects)
    }

    /// Writes the engine's changes until there are none. `sending` sees each transaction beforehand, and `followed` the
    /// database that it was sent to, when its effect has arrived.
    pub(crate) fn settle(
        &mut self,
        sending: impl Fn(&Self, &batch::Batch),
        mut followed: impl FnMut(&mut Self, &Database),
    ) {
        // The agent decides by the present time before it sends.
        self.engine.catch_up(&mut self.store, self.now);
        for round in 0.. {
            let changes = |port| self.engine.changes(&self.store, &ReconcileKey::Port(Arc::clone(port)));
            let mut ports: BTreeMap<_, _> =
                view::unsettled(&self.engine).map(|port| (Arc::clone(port), changes(port))).collect();
            let mut after = None;
            while after.is_none() && !ports.is_empty() {
                let batch = self.transaction(ports.clone());
                sending(self, &batch);
                match execute(&self.database, &batch.transaction) {
                    Ok(database) => after = Some(database),
                    // As the agent does: the others are sent without the refused one.
                    Err((operation, error)) => {
                        let Some(subject @ ReconcileKey::Port(port)) = batch.origin(operation) else {
                            panic!("{error}")
                        };
                        let taken = batch.subjects[subject].iter().any(|change| {
                            matches!(change, RowChange::Insert(row)
                                if self.database.row("NAT", row.uuid).is_some())
                        });
                        assert!(taken, "{error}: {:#?}", batch.transaction);
                        ports.remove(port);
                    }
                }
            }
            let Some(after) = after else { return };
            assert!(round < MAX_ROUNDS, "it does not settle: {ports:#?}");
            let before = self.database.clone();
            self.follow(after);
            followed(self, &before);
        }
    }
}
