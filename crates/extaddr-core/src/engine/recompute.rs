//! Recomputation of all decisions: after a snapshot, and after a change of the rules.

use std::sync::Arc;

use ovn_model::{Nat, Port, Store};

use super::entry::{Entry, Leaving};
use super::located::Located;
use super::ports::Ports;
use super::queue::Queue;
use super::{Candidate, Engine, ReconcileKey};
use crate::clock::Now;
use crate::ownership::Role;

impl Engine {
    /// Forgets everything except what cannot be computed again, such as since when a forward is gone.
    pub(super) fn forget(&mut self, store: &Store) {
        let mut ports = Ports::new();
        for (name, entry) in std::mem::replace(&mut self.ports, Ports::new()).into_entries() {
            let lost = entry.leaving.map(|leaving| leaving.lost).filter(|lost| !lost.is_empty());
            if let Some(lost) = lost {
                let number = ports.number(&name);
                *ports.entry_mut(number) = Entry::leaving(Leaving { lost, ..Leaving::default() });
            }
        }
        // The record of a row that may be deleted by now cannot be computed again either.
        let mut conversions = std::mem::take(&mut self.conversions);
        conversions.retain(|_, conversion| !conversion.memory.is_empty());
        for conversion in conversions.values_mut() {
            conversion.users.clear();
            conversion.balancers.clear();
        }
        let requests = std::mem::take(&mut self.requests);
        let located = if requests.is_empty() { Located::default() } else { Located::all(store) };
        let fresh = Self::new(self.rules.clone());
        let generation = self.generation + 1;
        *self = Self {
            intents_enabled: self.intents_enabled,
            wall: self.wall,
            generation,
            requests,
            located,
            queue: Queue::everything(),
            ports,
            conversions,
            ..fresh
        };
        let asked = |id| store.router(id).is_some_and(|router| router.external.is_some());
        self.auto_routers = store.routers().map(|(id, _)| id).filter(|id| asked(*id)).collect();
    }

    /// Decides on all ports that have an intent or our rows, and marks the conversions. Returns the ports.
    pub(super) fn decide_all(&mut self, store: &Store, now: Now) -> Vec<Arc<str>> {
        self.queue.extend(self.conversions.keys().copied().map(ReconcileKey::Conversion));
        self.queue.extend(self.ports.names().map(|name| ReconcileKey::Port(Arc::clone(name))));
        let asks = |port: &Port| self.may_have_intent(store, port);
        let asking = store.ports().filter(|(_, port)| asks(port)).map(|(id, port)| (port.switch, id));
        // Ports of one switch mostly have the same dependencies, which are then in the cache.
        let mut asking: Vec<_> = asking.collect();
        asking.sort_unstable();
        self.ports.reserve(asking.len());
        let (mut decided, mut rows) = (Vec::with_capacity(asking.len()), 0);
        for port in asking.into_iter().filter_map(|(_, id)| store.port(id)) {
            let candidate = Candidate::from_port(store, port);
            rows += if port.name.is_empty() { 0 } else { candidate.tagged.len() };
            self.decide(store, candidate, now);
            decided.push(Arc::clone(&port.name));
        }
        let portless = store.nats_tagged_portless();
        if !portless.is_empty() {
            self.queue.add(ReconcileKey::Port(Arc::default()));
        }
        // Most ports with rows have intents: only where some do not, these ports have to be found.
        if store.tagged_count() > rows + portless.len() {
            let names = store.tagged_names().filter(|name| self.ports.get(name).is_none());
            self.queue.extend(names.map(ReconcileKey::Port));
        }
        // The rows of conversions have no port, and differ in kind from most rows, unless somebody changed that.
        let unlike = store.nats().map(|(_, nat)| nat).filter(|nat| !nat.is_host_snat());
        let portless = portless.iter().filter_map(|id| store.nat(*id));
        let converts = |nat: &&Nat| self.rules.owner.role(nat) == Some(Role::DefaultTarget);
        let places =
            unlike.chain(portless).filter(converts).filter_map(|nat| nat.router.zip(nat.external_ip()));
        self.queue.extend(places.map(ReconcileKey::Conversion));
        decided
    }
}
