//! Pages of the list of intents, each made by a walk in steps that take as little time as the caller has. Pure.

mod filter;
mod selection;
#[cfg(test)]
mod tests;

pub use filter::Filter;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::vec;

use ovn_model::Store;

use crate::apply::Obstacle;
use crate::engine::Engine;
use crate::report::{self, Entry};
use crate::sources::nic::InstanceName;
use crate::state::State;
use filter::{Shown, Sieve};
use selection::Selection;

/// The number of places of the engine that are examined between two checks of the time.
const PLACES_AT_ONCE: usize = 64;

/// A part of the list of intents.
#[derive(Debug, Default)]
pub struct Page {
    /// The intents of the page's ports, sorted as by [`report::all`].
    pub entries: Vec<Entry>,
    /// The last port of the page, where there are more after it.
    pub next: Option<Arc<str>>,
    /// The number of intents on all pages with the text of the filter, by state; `None` if it has no text.
    pub counts: Option<[usize; State::ALL.len()]>,
    /// The number of intents with the text for missing ports. They are in `counts` too.
    pub absent: usize,
}

/// The walk over all intents by which a page is made.
///
/// Each step uses the engine as it is then. A port that exists all the time is seen once; one that appears or
/// disappears meanwhile may or may not be seen.
#[derive(Debug)]
pub struct Walk {
    filter: Filter,
    selection: Selection,
    stage: Stage,
    /// The engine's generation, which changes when ports get other places.
    generation: u64,
    sieve: Sieve,
    /// Intents for missing ports, by the ports' names.
    absent: BTreeMap<Arc<str>, Vec<Entry>>,
    page: Page,
}

/// The stage of a walk.
#[derive(Debug)]
enum Stage {
    Start,
    /// The next place to be examined.
    Ports(usize),
    /// The instances whose NICs are still to be examined.
    Nics(vec::IntoIter<Arc<InstanceName>>),
    Absent,
    /// The ports of the page that are to be reported.
    Rows(vec::IntoIter<Arc<str>>),
    Done,
}

// ===== impl Walk =====

impl Walk {
    /// Searches for the intents that a filter admits, of the first `limit` ports by name after a given one.
    pub fn new(filter: Filter, after: Option<Arc<str>>, limit: usize) -> Self {
        Self {
            filter,
            selection: Selection::new(after, limit),
            stage: Stage::Start,
            generation: 0,
            sieve: Sieve::default(),
            absent: BTreeMap::new(),
            page: Page::default(),
        }
    }

    /// Returns whether the page is made.
    pub fn is_done(&self) -> bool {
        matches!(self.stage, Stage::Done)
    }

    /// Returns the page, as far as it is made.
    pub fn into_page(self) -> Page {
        self.page
    }

    /// Continues until the time is over. `obstacle` reports why the agent's changes of a port are not sent.
    pub fn advance(
        &mut self,
        store: &Store,
        engine: &Engine,
        obstacle: impl Fn(&Arc<str>) -> Option<Obstacle>,
        mut has_time: impl FnMut() -> bool,
    ) {
        loop {
            match &mut self.stage {
                Stage::Start => self.start(store, engine),
                Stage::Ports(_) if self.generation != engine.generation() => self.start(store, engine),
                Stage::Ports(place) => {
                    let places = *place..*place + PLACES_AT_ONCE;
                    self.stage = if places.end < engine.places() {
                        Stage::Ports(places.end)
                    } else {
                        Stage::Nics(engine.requests().instance_names().into_iter())
                    };
                    for port in engine.ports_in(places) {
                        self.look_at(store, engine, port, &obstacle);
                    }
                }
                Stage::Nics(names) => {
                    let names: Vec<_> = names.by_ref().take(PLACES_AT_ONCE).collect();
                    if names.is_empty() {
                        self.stage = Stage::Absent;
                    }
                    for name in names {
                        for (nic, asked) in engine.requests().nics_of(&name) {
                            self.take_absent(report::absent_nic(engine, &name, &nic, asked));
                        }
                    }
                }
                Stage::Absent => {
                    self.take_absent(report::absent_by_name(store, engine));
                    let (ports, has_more) = self.selection.take();
                    self.page.next = ports.last().filter(|_| has_more).cloned();
                    self.stage = Stage::Rows(ports.into_iter());
                }
                Stage::Rows(ports) => match ports.next() {
                    Some(port) => self.report(store, engine, &port, &obstacle),
                    None => self.stage = Stage::Done,
                },
                Stage::Done => return,
            }
            if !has_time() {
                return;
            }
        }
    }

    fn start(&mut self, store: &Store, engine: &Engine) {
        self.selection.clear();
        self.absent.clear();
        self.page.absent = 0;
        self.page.counts = self.filter.has_text().then(Default::default);
        self.generation = engine.generation();
        self.sieve = Sieve::new(store, &self.filter);
        self.stage = Stage::Ports(0);
    }

    /// Counts the intents of a port, and keeps its name if one of them is wanted.
    fn look_at(
        &mut self,
        store: &Store,
        engine: &Engine,
        port: &Arc<str>,
        obstacle: impl Fn(&Arc<str>) -> Option<Obstacle>,
    ) {
        let Self { filter, selection, sieve, page, .. } = self;
        if page.counts.is_none() && !selection.admits(port) {
            return;
        }
        if filter.is_open() {
            return selection.offer(port);
        }
        let (outcome, requests) = (engine.outcome(port), engine.requests());
        let called = || if requests.is_empty() { None } else { requests.name(port) };
        if !sieve.lets_pass(filter, port, called, outcome) {
            return;
        }
        let name = called();
        let mut is_wanted = false;
        for status in report::statuses(store, engine, port, obstacle(port).as_ref()) {
            let decision = outcome.decisions.iter().find(|decision| decision.family == status.family);
            let wanted = decision.map_or_else(|| "none".to_owned(), |decision| decision.wanted.to_string());
            let shown = Shown {
                port,
                name: name.as_deref(),
                router: status.router.and_then(|id| store.router(id)).map(|row| &*row.name),
                wanted: &wanted,
                internal: &status.internal,
                external: status.external,
                reason: status.reason,
            };
            if filter.shows(&shown) {
                is_wanted |= filter.admits_state(status.state);
                if let Some(counts) = &mut page.counts {
                    counts[status.state as usize] += 1;
                }
            }
        }
        if is_wanted {
            selection.offer(port);
        }
    }

    /// Takes in intents for missing ports.
    fn take_absent(&mut self, entries: impl IntoIterator<Item = Entry>) {
        for entry in entries {
            if !self.filter.shows(&Shown::new(&entry)) {
                continue;
            }
            self.page.absent += 1;
            if let Some(counts) = &mut self.page.counts {
                counts[entry.state as usize] += 1;
            }
            if self.filter.admits_state(entry.state) && self.selection.admits(&entry.port) {
                let port = Arc::from(&*entry.port);
                self.selection.offer(&port);
                self.absent.entry(port).or_default().push(entry);
            }
        }
    }

    fn report(
        &mut self,
        store: &Store,
        engine: &Engine,
        port: &Arc<str>,
        obstacle: impl Fn(&Arc<str>) -> Option<Obstacle>,
    ) {
        let mut entries = report::entries(store, engine, port, obstacle(port).as_ref());
        // Its state may have changed.
        entries.retain(|entry| self.filter.admits(entry));
        entries.extend(self.absent.remove(port).unwrap_or_default());
        entries.sort_by(|a, b| a.family.cmp(&b.family));
        self.page.entries.append(&mut entries);
    }
}
