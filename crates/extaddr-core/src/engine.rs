//! The decisions, kept up to date with the database at a cost that depends only on the changes. Pure.

mod dependencies;
mod entry;
mod hold;
mod index;
mod located;
mod marking;
mod ports;
mod queue;
mod reaches;
mod recompute;
mod reconcile_key;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::ops::Range;
use std::sync::Arc;
use std::time::Instant;

use foldhash::{HashMap, HashMapExt, HashSet, HashSetExt};
use ovn_model::{Change, Changes, Family, NatId, Node, Port, RouterId, Store};
use smallvec::SmallVec;
use uuid::Uuid;

use crate::change::RowChange;
use crate::clock::Now;
use crate::conversion::Site;
use crate::network::Network;
use crate::owned::{owned, owned_among};
use crate::ownership::{Owner, Role};
use crate::plan::{self, Wanted};
use crate::reason::Reason;
use crate::resolve::{Decision, Dependency, Place, Question, Verdict, resolve};
use crate::rules::Rules;
use crate::sources::Kind;
use crate::sources::nic::Nic;
use crate::sources::requests::{Affected, Lookup, Requests, SourceUpdate};
use crate::topology::Reach;
use crate::undo::Undo;
use crate::{conversion, drain};
use dependencies::DependencyIndex;
use entry::Draft;
use index::Index;
use located::Located;
use ports::{Number, Ports};
use queue::Queue;
use reaches::Reaches;
pub use reconcile_key::ReconcileKey;

/// The decisions on all ports that have an intent or our rows.
///
/// Call [`update`](Self::update) with the changes of the store, and again at [`next_deadline`](Self::next_deadline).
/// The decisions are then those of an engine that sees the store for the first time.
#[derive(Debug)]
pub struct Engine {
    rules: Rules,
    /// The intents of CMSes, and the ports that they are for.
    requests: Requests,
    located: Located,
    /// Whether intents count; if not, all our rows are to be deleted.
    intents_enabled: bool,
    ports: Ports,
    conversions: HashMap<Place, Conversion>,
    queue: Queue,
    /// The ports and conversions whose rows differ from the desired state.
    unsettled: BTreeSet<ReconcileKey>,
    reaches: Reaches,
    watchers: DependencyIndex,
    /// The conversions that depend on a load balancer.
    balancers: Index<Uuid, Place>,
    /// The routers with an intent for the ports behind them.
    auto_routers: HashSet<RouterId>,
    wall: u64,
    /// The number of complete recomputations.
    generation: u64,
    /// Whether the rules or sources have changed since the last update: what is known then stays until the next one.
    is_outdated: bool,
}

/// The decisions on a port.
#[derive(Clone, Copy, Debug, Default)]
pub struct PortOutcome<'a> {
    /// The decisions, one for each address family with an intent.
    pub decisions: &'a [Decision],
    /// The rows that stay although their forward is gone, since it may come back at once.
    pub held: &'a [NatId],
    /// Whether some of its rows expire with time.
    pub leaves: bool,
}

/// The state of the conversion of an address.
#[derive(Debug, Default)]
struct Conversion {
    users: BTreeSet<Arc<str>>,
    balancers: Vec<Uuid>,
    /// The VIPs that our row records as removed, in case somebody deletes the row.
    memory: Vec<Undo>,
    /// The router's UUID: its handle may be given to another router later.
    router: Uuid,
}

/// A port to be decided on.
#[derive(Clone, Debug)]
struct Candidate<'a> {
    name: &'a Arc<str>,
    port: Option<&'a Port>,
    /// The rows tagged with it.
    tagged: SmallVec<[NatId; 2]>,
}

// ===== impl Candidate =====

impl<'a> Candidate<'a> {
    fn named(store: &'a Store, name: &'a Arc<str>) -> Self {
        let port = store.port_by_name(name).and_then(|id| store.port(id));
        Self { name, port, tagged: store.nats_tagged(name) }
    }

    fn from_port(store: &'a Store, port: &'a Port) -> Self {
        Self { name: &port.name, port: Some(port), tagged: store.nats_tagged(&port.name) }
    }
}

// ===== impl Engine =====

impl Engine {
    /// Creates an engine that decides by these rules.
    pub fn new(rules: Rules) -> Self {
        Self {
            rules,
            requests: Requests::default(),
            located: Located::default(),
            intents_enabled: true,
            ports: Ports::new(),
            conversions: HashMap::new(),
            queue: Queue::default(),
            unsettled: BTreeSet::new(),
            reaches: Reaches::default(),
            watchers: DependencyIndex::new(),
            balancers: Index::default(),
            auto_routers: HashSet::new(),
            wall: 0,
            generation: 0,
            is_outdated: false,
        }
    }

    /// Creates an engine that deletes every row of this owner, whatever the intents.
    pub fn withdrawing(rules: Rules) -> Self {
        Self { intents_enabled: false, ..Self::new(rules) }
    }

    /// Returns the owner.
    pub fn owner(&self) -> &Owner {
        &self.rules.owner
    }

    /// Returns the database as the owner sees it.
    pub fn network<'a>(&self, store: &'a Store) -> Network<'a, '_> {
        self.rules.network(store)
    }

    /// Returns the rules.
    pub fn rules(&self) -> &Rules {
        &self.rules
    }

    /// Changes the rules: everything is decided again by the next [`update`](Self::update). Until then the decisions
    /// stay, to be reported, but their changes must not be sent.
    pub fn set_rules(&mut self, rules: Rules) {
        self.rules = rules;
        self.is_outdated = true;
    }

    /// Returns the intents of CMSes.
    pub fn requests(&self) -> &Requests {
        &self.requests
    }

    /// Replaces the sources as [`Requests::with_sources`] does: everything is decided again by the next
    /// [`update`](Self::update).
    pub fn change_sources(
        &mut self,
        store: &Store,
        sources: impl IntoIterator<Item = (Kind, Option<usize>)>,
    ) {
        let had_none = self.requests.is_empty();
        self.requests = std::mem::take(&mut self.requests).with_sources(sources);
        self.sources_changed(store, had_none);
    }

    /// Replaces the sources, as [`set_rules`](Self::set_rules) does the rules.
    pub fn set_requests(&mut self, store: &Store, requests: Requests) {
        let had_none = self.requests.is_empty();
        self.requests = requests;
        self.sources_changed(store, had_none);
    }

    fn sources_changed(&mut self, store: &Store, had_none: bool) {
        // Reports name the ports of NICs even before the next update.
        if had_none && !self.requests.is_empty() {
            self.located = Located::all(store);
        }
        self.is_outdated = true;
    }

    /// Takes in an update of a source, by its number. The ports concerned are decided again by the next
    /// [`update`](Self::update).
    pub fn take_update(&mut self, store: &Store, source: usize, update: SourceUpdate) {
        let affected = self.requests.take(source, update);
        self.mark_affected(store, affected);
    }

    /// Forgets what the sources that cannot be reached have reported: rows that may be for their intents then stay
    /// unchanged, as after a start. To be called while another agent writes, since its copy of the intents may be newer.
    pub fn forget_lost_sources(&mut self, store: &Store) {
        let affected = self.requests.forget_lost();
        self.mark_affected(store, affected);
    }

    fn mark_affected(&mut self, store: &Store, affected: Affected) {
        for instance in affected.instances {
            self.queue.extend(self.located.ports(instance).cloned().map(ReconcileKey::Port));
        }
        if affected.presumed {
            let names = store.tagged_names().filter(|name| self.requests.may_have_intent_for(name));
            self.queue.extend(names.map(ReconcileKey::Port));
        }
    }

    /// Returns the port of a NIC, if there is one.
    pub fn port_of(&self, nic: &Nic) -> Option<&Arc<str>> {
        let mut ports = self.located.ports((nic.kind, nic.instance));
        ports.find(|name| Nic::from_port_name(name).is_some_and(|other| other == *nic))
    }

    /// Returns the second, counted from 1970, of the last [`update`](Self::update).
    pub fn wall(&self) -> u64 {
        self.wall
    }

    /// Returns a number that changes with each complete recomputation: [`update`](Self::update) may then omit ports
    /// that had decisions before.
    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// Takes in the changes that the store has recorded, as [`update`](Self::update).
    pub fn catch_up(&mut self, store: &mut Store, now: Now) -> Vec<Arc<str>> {
        let changes = store.take_changes();
        self.update(store, &changes, now)
    }

    /// Takes in changes, and the time. Returns the ports that were decided again, possibly with repetitions.
    pub fn update(&mut self, store: &Store, changes: &Changes, now: Now) -> Vec<Arc<str>> {
        self.wall = now.wall;
        if changes.everything || self.is_outdated {
            self.forget(store);
        }
        for change in &changes.list {
            self.mark(store, change);
        }
        // Routers have addresses of their own.
        if changes.list.iter().any(|change| matches!(change, Change::Topology(Node::Router(_)))) {
            let watchers = self.watchers.of_all_addresses();
            self.queue.extend(watchers.map(|number| self.ports.subject(number)));
        }
        self.queue.wake(now.instant);
        let mut decided = if self.queue.take_all() { self.decide_all(store, now) } else { Vec::new() };
        while let Some(subject) = self.queue.pop() {
            match subject {
                ReconcileKey::Port(port) => {
                    self.decide(store, Candidate::named(store, &port), now);
                    decided.push(port);
                }
                ReconcileKey::Conversion(place) => self.convert(store, place),
            }
        }
        decided
    }

    /// Returns when [`update`](Self::update) is to be called even if nothing changed.
    pub fn next_deadline(&self) -> Option<Instant> {
        self.queue.next_deadline()
    }

    /// Returns the names of the ports with an intent or our rows, in no order.
    pub fn ports(&self) -> impl Iterator<Item = &Arc<str>> {
        self.ports.names()
    }

    /// Returns the number of places for ports. A port keeps its place until the [`generation`](Self::generation)
    /// changes, so that a walk over all places may be made in steps, between which other ports appear and disappear.
    pub fn places(&self) -> usize {
        self.ports.places()
    }

    /// Returns the names of the ports in these places, as [`ports`](Self::ports) does for all.
    pub fn ports_in(&self, places: Range<usize>) -> impl Iterator<Item = &Arc<str>> {
        self.ports.names_in(places)
    }

    /// Returns the decisions on a port, with rows that are held and whether some expire.
    pub fn outcome(&self, port: &str) -> PortOutcome<'_> {
        let Some(entry) = self.ports.get(port) else { return PortOutcome::default() };
        PortOutcome { decisions: &entry.decisions, held: entry.held(), leaves: entry.leaving.is_some() }
    }

    /// Returns the decisions on a port, one for each address family with an intent.
    pub fn decisions(&self, port: &str) -> &[Decision] {
        self.outcome(port).decisions
    }

    /// Returns whether rows of a port differ from the desired state.
    pub fn is_unsettled(&self, port: &Arc<str>) -> bool {
        !self.unsettled.is_empty() && self.unsettled.contains(&ReconcileKey::Port(Arc::clone(port)))
    }

    /// Returns the ports and conversions whose rows differ from the desired state.
    pub fn unsettled(&self) -> &BTreeSet<ReconcileKey> {
        &self.unsettled
    }

    /// Returns the changes for a subject.
    pub fn changes(&self, store: &Store, subject: &ReconcileKey) -> Vec<RowChange> {
        match subject {
            ReconcileKey::Port(port) => {
                let PortOutcome { decisions, held, .. } = self.outcome(port);
                let wanted = Wanted { port, decisions, held };
                let owned = owned(self.rules.network(store), port);
                plan::changes(store, &self.rules, wanted, &owned, self.wall)
            }
            ReconcileKey::Conversion(place) => {
                let memory = self.conversions.get(place).map_or(&[][..], |conversion| &conversion.memory);
                let mut site = Site::new(self.rules.network(store), place.0, place.1);
                site.remember(memory);
                if site.memory().is_none() && !memory.is_empty() {
                    return conversion::restoration(store, place.0, memory);
                }
                site.changes(store, &self.rules, self.is_used(store, *place))
            }
        }
    }

    /// Returns the conversions that must be made with the changes of a port or before.
    pub fn conversions_of(&self, port: &str) -> impl Iterator<Item = Place> {
        self.decisions(port).iter().filter_map(Decision::conversion)
    }

    /// Returns the ports with overrides that need a conversion.
    pub fn users_of(&self, place: &Place) -> impl Iterator<Item = &Arc<str>> {
        self.conversions.get(place).into_iter().flat_map(|conversion| &conversion.users)
    }

    /// Returns whether overrides or drain rows need the conversion.
    fn is_used(&self, store: &Store, place: Place) -> bool {
        let (router, address) = place;
        let wanted = self.conversions.get(&place).is_some_and(|conversion| !conversion.users.is_empty());
        wanted
            || store
                .host_snats(router, address)
                .iter()
                // Our rows that somebody changed to another kind.
                .chain(store.nats_by_external(router, address))
                .filter_map(|id| store.nat(*id))
                .any(|nat| matches!(self.rules.owner.role(nat), Some(Role::Egress | Role::Drain)))
    }

    /// Returns whether a port may have an intent, from its own row or another source.
    fn may_have_intent(&self, store: &Store, port: &Port) -> bool {
        self.rules.has_rules_for_ports()
            || !self.auto_routers.is_empty()
            || Family::ALL.iter().any(|family| {
                port.external(*family).is_some()
                    || store.kept(&port.name, *family).is_some()
                    || self.is_requested(store, port, *family)
            })
    }

    /// Returns whether a CMS has an intent for a port, or may have the one that our rows fulfil. Nothing is kept for
    /// the other ports of its instances, which may be all ports: a later intent marks them.
    fn is_requested(&self, store: &Store, port: &Port, family: Family) -> bool {
        match self.requests.look_up(&port.name, family) {
            Lookup::None => false,
            Lookup::Unknown(_) => !store.nats_tagged(&port.name).is_empty(),
            Lookup::Found { .. } | Lookup::Ambiguous(..) => true,
        }
    }

    /// Decides on one port, and marks the subjects whose decisions depend on it.
    fn decide(&mut self, store: &Store, Candidate { name, port, tagged }: Candidate<'_>, now: Now) {
        let number = self.ports.number(name);
        let old = std::mem::take(self.ports.entry_mut(number));
        let owned = owned_among(self.rules.network(store), name, &tagged);
        let mut draft = self.examine(store, port);
        self.hold(store, &owned, &old, &mut draft, now);
        draft.watch_leaving(self.rules.network(store), &owned);

        self.reaches.relocate(number, old.switch, draft.switch);
        for watch in difference(&old.watched, &draft.watched) {
            self.watchers.remove(watch, number);
        }
        for watch in difference(&draft.watched, &old.watched) {
            self.watchers.insert(&self.ports, *watch, number);
        }
        // A rival's decision depends on the other ports that claim its place, so a change of these concerns it.
        let gone = difference(&old.claimed, &draft.claimed);
        for place in gone.chain(difference(&draft.claimed, &old.claimed)) {
            let rivals: Vec<_> = self.rivals(*place, number).cloned().map(ReconcileKey::Port).collect();
            self.queue.extend(rivals);
        }
        for decision in &mut draft.decisions {
            let rival = decision.claims().find_map(|place| {
                let first = self.rivals(place, number).min().filter(|first| *first < name)?;
                Some(Reason::DuplicateAddress(place.1, Arc::clone(first)))
            });
            if let Some(reason) = rival {
                decision.verdict = Verdict::Conflict(reason);
            }
        }
        let converted = |decisions: &[Decision]| -> SmallVec<[_; 1]> {
            decisions.iter().filter_map(Decision::conversion).collect()
        };
        let (before, after) = (converted(&old.decisions), converted(&draft.decisions));
        for place in difference(&before, &after) {
            self.conversions.entry(*place).or_default().users.remove(name);
            self.queue.add(ReconcileKey::Conversion(*place));
        }
        for place in difference(&after, &before) {
            self.conversions.entry(*place).or_default().users.insert(Arc::clone(name));
            self.queue.add(ReconcileKey::Conversion(*place));
        }

        // The time that a drained address stays is in its row; the time that a held one stays is only known here.
        let lost = draft.leaving.lost.values();
        let held = lost.map(|since| *since + self.rules.hold_down).filter(|at| now.instant < *at);
        let drained = drain::next_time(&self.rules, &owned, now.wall).map(|wall| now.when(wall));
        draft.leaving.due = held.chain(drained).min();
        let subject = ReconcileKey::Port(Arc::clone(name));
        self.queue.schedule(&subject, old.due(), draft.leaving.due);
        let wanted = Wanted { port: name, decisions: &draft.decisions, held: &draft.leaving.held };
        let settled = plan::changes(store, &self.rules, wanted, &owned, self.wall).is_empty();
        self.settle(subject, settled);
        // The number of a forgotten port is used again for another, and must not be in any index.
        let is_filed = draft.switch.is_some() || !draft.watched.is_empty() || draft.leaving.due.is_some();
        if is_filed || !owned.is_empty() || !draft.decisions.is_empty() {
            *self.ports.entry_mut(number) = draft.into();
        } else {
            self.ports.remove(number);
        }
    }

    /// Returns the names of the other ports that claim rows for an internal address.
    fn rivals(&self, place: Place, port: Number) -> impl Iterator<Item = &Arc<str>> {
        let others = self.watchers.get(&self.ports, &Dependency::Address(place.0, place.1));
        let others = others.filter(move |other| *other != port);
        let claiming = others.filter(move |other| self.ports.entry(*other).claimed.contains(&place));
        claiming.map(|other| self.ports.name(other))
    }

    /// Decides on the conversion of an address.
    fn convert(&mut self, store: &Store, place: Place) {
        let (router, address) = place;
        let site = Site::new(self.rules.network(store), router, address);
        let mut balancers: Vec<_> = site.balancers().collect();
        let there = site.memory().is_some();
        let router_uuid = store.router(router).map_or_else(Uuid::nil, |row| row.uuid);
        let conversion = self.conversions.entry(place).or_default();
        match site.memory() {
            Some(recorded) => {
                // Somebody may have removed the record, or a part of it. What the agent itself omits is restored before.
                let is_lost = |undo: &Undo| {
                    !recorded.iter().any(|other| other.is_same_vip(undo)) && undo.is_out(store, router)
                };
                let mut memory = std::mem::take(&mut conversion.memory);
                memory.retain(|undo| conversion.router == router_uuid && is_lost(undo));
                memory.extend(recorded.iter().cloned());
                (conversion.memory, conversion.router) = (memory, router_uuid);
            }
            // If the agent deleted the row itself, that restored all VIPs. With a router only its attachments are gone.
            None => conversion.memory.retain(|undo| {
                (conversion.router == router_uuid || !undo.needs_router()) && undo.is_out(store, router)
            }),
        }
        balancers.extend(conversion.memory.iter().map(Undo::balancer));
        let idle = !there && conversion.users.is_empty() && conversion.memory.is_empty();
        let old = std::mem::replace(&mut conversion.balancers, balancers.clone());
        difference(&old, &balancers).for_each(|balancer| self.balancers.remove(balancer, &place));
        difference(&balancers, &old).for_each(|balancer| self.balancers.insert(*balancer, place));
        if idle {
            balancers.iter().for_each(|balancer| self.balancers.remove(balancer, &place));
            self.conversions.remove(&place);
        }
        let subject = ReconcileKey::Conversion(place);
        let settled = self.changes(store, &subject).is_empty();
        self.settle(subject, settled);
    }

    fn settle(&mut self, subject: ReconcileKey, settled: bool) {
        if !settled {
            self.unsettled.insert(subject);
        } else if !self.unsettled.is_empty() {
            self.unsettled.remove(&subject);
        }
    }

    /// Decides on a port alone, without regard to other ports and to time.
    fn examine(&mut self, store: &Store, port: Option<&Port>) -> Draft {
        let mut draft = Draft::default();
        let Some(port) = port.filter(|port| self.intents_enabled && self.may_have_intent(store, port)) else {
            return draft;
        };
        // Nearly all ports have one decision with two dependencies.
        (draft.decisions, draft.watched) = (Vec::with_capacity(1), Vec::with_capacity(2));
        draft.switch = port.switch;
        let nowhere = Reach::default();
        let reach = match port.switch {
            None => &nowhere,
            Some(switch) => self.reaches.get_or_compute(store, switch),
        };
        for family in Family::ALL {
            let question =
                Question { store, rules: &self.rules, requests: &self.requests, reach, port, family };
            draft.decisions.extend(resolve(question, &mut draft.watched, &mut ()));
        }
        draft.claimed = draft.decisions.iter().flat_map(Decision::claims).collect();
        draft
    }
}

/// Returns what is in `a` and not in `b`; both are short.
fn difference<'a, T: PartialEq>(a: &'a [T], b: &[T]) -> impl Iterator<Item = &'a T> {
    a.iter().filter(|element| !b.contains(element))
}
