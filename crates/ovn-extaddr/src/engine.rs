//! Keeps the decisions in step with the database, at a cost that depends on what changed only. Pure.

use std::collections::{BTreeSet, HashMap};
use std::net::IpAddr;
use std::sync::Arc;

use ovn_model::{Change, Changes, Family, Node, RouterId, Store, SwitchId, keys};

use crate::intent;
use crate::ownership::Owner;
use crate::plan::{self, RowChange};
use crate::reason::Reason;
use crate::resolve::{Decision, Question, Verdict, Watched, resolve};
use crate::topology::{Reach, reach};

/// An internal address behind a router, which only one port can have.
type Place = (RouterId, IpAddr);

/// The decisions on all ports that have an intent or rows of ours.
///
/// Call [`update`](Self::update) with what the store says changed. What is decided then is the same
/// as what an engine decides that sees the store for the first time.
#[derive(Debug)]
pub struct Engine {
    owner: Owner,
    /// Whether intents count: without, every row of ours is to go.
    heeds_intents: bool,
    entries: HashMap<Arc<str>, Entry>,
    /// Ports to be decided anew.
    dirty: BTreeSet<Arc<str>>,
    /// Ports whose rows are not as they should be.
    unsettled: BTreeSet<Arc<str>>,
    reaches: HashMap<SwitchId, Reach>,
    /// The switches whose reach visited a node.
    visitors: HashMap<Node, BTreeSet<SwitchId>>,
    /// The ports with an intent on a switch.
    residents: HashMap<SwitchId, BTreeSet<Arc<str>>>,
    /// The ports whose decision rests on what a router does with an address.
    watchers: HashMap<Place, BTreeSet<Arc<str>>>,
    /// The ports that would have rows for an address. The first by name gets them.
    claims: HashMap<Place, BTreeSet<Arc<str>>>,
}

/// What is known of a port.
#[derive(Debug, Default)]
struct Entry {
    decisions: Vec<Decision>,
    switch: Option<SwitchId>,
    watched: Watched,
    claimed: Vec<Place>,
}

// ===== impl Engine =====

impl Engine {
    /// Decides for this owner.
    pub fn new(owner: Owner) -> Self {
        Self {
            owner,
            heeds_intents: true,
            entries: HashMap::new(),
            dirty: BTreeSet::new(),
            unsettled: BTreeSet::new(),
            reaches: HashMap::new(),
            visitors: HashMap::new(),
            residents: HashMap::new(),
            watchers: HashMap::new(),
            claims: HashMap::new(),
        }
    }

    /// Decides that every row of this owner is to go, whatever the intents.
    pub fn withdrawing(owner: Owner) -> Self {
        Self { heeds_intents: false, ..Self::new(owner) }
    }

    /// Returns whose rows are ours.
    pub fn owner(&self) -> &Owner {
        &self.owner
    }

    /// Takes in what the store knows to have changed.
    pub fn catch_up(&mut self, store: &mut Store) -> BTreeSet<Arc<str>> {
        let changes = store.take_changes();
        self.update(store, &changes)
    }

    /// Takes in what changed and returns the ports that were decided anew.
    pub fn update(&mut self, store: &Store, changes: &Changes) -> BTreeSet<Arc<str>> {
        if changes.everything {
            self.forget(store);
        }
        for change in &changes.list {
            self.mark(change);
        }
        let mut decided = BTreeSet::new();
        while let Some(port) = self.dirty.pop_first() {
            self.decide(store, &port);
            decided.insert(port);
        }
        decided
    }

    /// Returns the names of the ports with an intent or rows of ours, in no order.
    pub fn ports(&self) -> impl Iterator<Item = &Arc<str>> {
        self.entries.keys()
    }

    /// Returns the decisions on a port, one for each address family with an intent.
    pub fn decisions(&self, port: &str) -> &[Decision] {
        self.entries.get(port).map_or(&[], |entry| &entry.decisions)
    }

    /// Returns the ports whose rows are not as they should be.
    pub fn unsettled(&self) -> &BTreeSet<Arc<str>> {
        &self.unsettled
    }

    /// Returns what has to change for a port.
    pub fn changes(&self, store: &Store, port: &str) -> Vec<RowChange> {
        plan::changes(store, &self.owner, port, self.decisions(port))
    }

    /// Starts from nothing.
    fn forget(&mut self, store: &Store) {
        let fresh = Self::new(self.owner.clone());
        *self = Self { heeds_intents: self.heeds_intents, ..fresh };
        let asking = store.ports().map(|(_, port)| port).filter(|port| {
            [Family::V4, Family::V6].into_iter().any(|family| port.external(family).is_some())
        });
        self.dirty.extend(asking.map(|port| Arc::clone(&port.name)));
        let tagged =
            store.tagged_nats().map(|(_, nat)| Arc::from(nat.tags.get(keys::PORT).unwrap_or_default()));
        self.dirty.extend(tagged);
    }

    /// Marks the ports that a change concerns.
    fn mark(&mut self, change: &Change) {
        match change {
            Change::Port(port) | Change::Tagged(port) => {
                self.dirty.insert(Arc::clone(port));
            }
            Change::Address { router, address } => {
                self.dirty.extend(self.watchers.get(&(*router, *address)).into_iter().flatten().cloned());
            }
            Change::Topology(node) => {
                for switch in self.visitors.remove(node).unwrap_or_default() {
                    self.unvisit(switch);
                    self.dirty.extend(self.residents.get(&switch).into_iter().flatten().cloned());
                }
            }
        }
    }

    /// Forgets what can be reached from a switch.
    fn unvisit(&mut self, switch: SwitchId) {
        for node in self.reaches.remove(&switch).unwrap_or_default().visited {
            detach(&mut self.visitors, &node, &switch);
        }
    }

    /// Decides on one port. What other ports' decisions rest on is marked.
    fn decide(&mut self, store: &Store, name: &Arc<str>) {
        let old = self.entries.remove(name).unwrap_or_default();
        let mut entry = self.examine(store, name);

        if old.switch != entry.switch {
            if let Some(switch) = old.switch
                && detach(&mut self.residents, &switch, name)
            {
                self.unvisit(switch);
            }
            if let Some(switch) = entry.switch {
                self.residents.entry(switch).or_default().insert(Arc::clone(name));
            }
        }
        for place in difference(&old.watched, &entry.watched) {
            detach(&mut self.watchers, place, name);
        }
        for place in difference(&entry.watched, &old.watched) {
            self.watchers.entry(*place).or_default().insert(Arc::clone(name));
        }
        // A rival's decision depends on who else claims its place, so a change of that concerns it.
        for place in difference(&old.claimed, &entry.claimed) {
            detach(&mut self.claims, place, name);
            self.dirty.extend(self.claims.get(place).into_iter().flatten().cloned());
        }
        for place in difference(&entry.claimed, &old.claimed) {
            let rivals = self.claims.entry(*place).or_default();
            self.dirty.extend(rivals.iter().cloned());
            rivals.insert(Arc::clone(name));
        }
        for decision in &mut entry.decisions {
            let rival = decision.rows().iter().find_map(|row| {
                let first = self.claims.get(&(row.router, row.logical))?.first()?;
                (first != name).then(|| Reason::DuplicateAddress(row.logical, Arc::clone(first)))
            });
            if let Some(reason) = rival {
                decision.verdict = Verdict::Conflict(reason);
            }
        }

        if plan::changes(store, &self.owner, name, &entry.decisions).is_empty() {
            self.unsettled.remove(name);
        } else {
            self.unsettled.insert(Arc::clone(name));
        }
        let has_rows =
            store.nats_tagged(name).iter().any(|id| store.nat(*id).is_some_and(|nat| self.owner.owns(nat)));
        if has_rows || !entry.decisions.is_empty() {
            self.entries.insert(Arc::clone(name), entry);
        }
    }

    /// Decides on a port by itself, without regard to other ports' claims.
    fn examine(&mut self, store: &Store, name: &str) -> Entry {
        let mut entry = Entry::default();
        let port = store.port_by_name(name).and_then(|id| store.port(id)).filter(|_| self.heeds_intents);
        let Some(port) = port else { return entry };
        let nowhere = Reach::default();
        for family in [Family::V4, Family::V6] {
            let wish = port.external(family).map(|text| intent::parse(text, family));
            if matches!(wish, None | Some(Ok(None))) {
                continue;
            }
            entry.switch = port.switch;
            let reach = match port.switch {
                None => &nowhere,
                Some(switch) => self.reaches.entry(switch).or_insert_with(|| {
                    let reach = reach(store, switch);
                    for node in &reach.visited {
                        self.visitors.entry(*node).or_default().insert(switch);
                    }
                    reach
                }),
            };
            let question = Question { store, owner: &self.owner, reach, port, family };
            entry.decisions.extend(resolve(question, &mut entry.watched, &mut ()));
        }
        entry.watched.sort_unstable();
        entry.watched.dedup();
        let rows = entry.decisions.iter().flat_map(Decision::rows);
        entry.claimed = rows.map(|row| (row.router, row.logical)).collect();
        entry
    }
}

/// Removes an element from a set in a map, and the set once it is empty. Returns whether it is.
fn detach<K, E, Q>(map: &mut HashMap<K, BTreeSet<E>>, key: &K, element: &Q) -> bool
where
    K: Eq + std::hash::Hash + Copy,
    E: Ord + std::borrow::Borrow<Q>,
    Q: Ord + ?Sized,
{
    let Some(set) = map.get_mut(key) else { return true };
    set.remove(element);
    if set.is_empty() {
        map.remove(key);
        return true;
    }
    false
}

/// Returns what is in `a` and not in `b`; both are short.
fn difference<'a, T: PartialEq>(a: &'a [T], b: &[T]) -> impl Iterator<Item = &'a T> {
    a.iter().filter(|element| !b.contains(element))
}
