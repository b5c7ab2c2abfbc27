//! The intents of all sources, as far as they were read: a source that cannot be reached withdraws nothing.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use ovn_model::Family;
use uuid::Uuid;

use super::Kind;
use super::instance::{Instance, NicIntents};
use super::nic::{InstanceName, Nic};
pub use super::roster::Lookup;
use super::roster::Roster;

/// The intents of the sources. The first source with an intent for a NIC and family wins.
#[derive(Debug, Default)]
pub struct Requests {
    sources: Vec<Roster>,
}

/// An update from a source.
#[derive(Debug)]
pub enum SourceUpdate {
    /// All its instances.
    Listed(Vec<Instance>),
    /// One of its instances.
    Read(Instance),
    /// It has no instance of that name.
    Gone(InstanceName),
    /// It cannot be reached or its answer is invalid, with the error.
    Lost(String),
}

/// The ports whose intents may have changed.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Affected {
    /// The ports of these instances.
    pub instances: Vec<(Kind, Uuid)>,
    /// All ports with presumed intents.
    pub presumed: bool,
}

/// The status of a source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceStatus {
    /// Whether it was read: since the start, or since it was lost while this agent was not active.
    pub was_read: bool,
    /// The reason why it cannot be reached now.
    pub failure: Option<String>,
    /// The number of its instances.
    pub instances: usize,
    /// The number of instances whose intents it never knew.
    pub unknown: usize,
    /// The number of NICs with intents.
    pub asking: usize,
}

impl Affected {
    fn add(&mut self, kind: Kind, uuids: Vec<Uuid>, presumed: bool) {
        self.instances.extend(uuids.into_iter().map(|uuid| (kind, uuid)));
        self.instances.sort_unstable();
        self.instances.dedup();
        self.presumed |= presumed;
    }
}

impl fmt::Display for SourceStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.was_read {
            return f.write_str("not read yet");
        }
        write!(f, "instances: {}, NICs with intents: {}", self.instances, self.asking)?;
        if self.unknown > 0 {
            write!(f, ", instances with unknown intents: {}", self.unknown)?;
        }
        Ok(())
    }
}

impl Requests {
    /// Creates requests of these sources, none of which was read yet.
    pub fn new(kinds: impl IntoIterator<Item = Kind>) -> Self {
        Self { sources: kinds.into_iter().map(Roster::new).collect() }
    }

    /// Replaces the sources by these. One whose former number is given stays as it is, so that its intents are still
    /// known while it cannot be reached.
    pub fn with_sources(self, sources: impl IntoIterator<Item = (Kind, Option<usize>)>) -> Self {
        let mut former: Vec<_> = self.sources.into_iter().map(Some).collect();
        let mut take = |number: usize| former.get_mut(number)?.take();
        let sources = sources
            .into_iter()
            .map(|(kind, number)| number.and_then(&mut take).unwrap_or_else(|| Roster::new(kind)));
        Self { sources: sources.collect() }
    }

    /// Returns whether there are no sources.
    pub fn is_empty(&self) -> bool {
        self.sources.is_empty()
    }

    /// Takes in an update of a source, by its number. Returns what may have changed.
    pub fn take(&mut self, source: usize, update: SourceUpdate) -> Affected {
        let Some(roster) = self.sources.get_mut(source) else { return Affected::default() };
        let before = roster.may_not_know();
        let mut changed = Vec::new();
        match update {
            SourceUpdate::Lost(why) => {
                roster.failure = Some(why);
                return Affected::default();
            }
            SourceUpdate::Listed(instances) => changed = roster.list(instances),
            SourceUpdate::Read(instance) => roster.read(instance, &mut changed),
            SourceUpdate::Gone(name) => roster.remove(&name, &mut changed),
        }
        roster.failure = None;
        let mut affected = Affected::default();
        affected.add(roster.kind, changed, before != roster.may_not_know());
        affected
    }

    /// Forgets what the sources that cannot be reached have reported, as if they had not been read. Returns what may
    /// have changed.
    pub fn forget_lost(&mut self) -> Affected {
        let mut affected = Affected::default();
        for roster in self.sources.iter_mut().filter(|roster| roster.was_read && roster.failure.is_some()) {
            let uuids = roster.forget();
            affected.add(roster.kind, uuids, true);
        }
        affected
    }

    /// Returns the intent for the port of that name.
    pub fn look_up(&self, port: &str, family: Family) -> Lookup<'_> {
        if self.is_empty() {
            return Lookup::None;
        }
        let Some(nic) = Nic::from_port_name(port) else { return Lookup::None };
        let mut answer = Lookup::None;
        for source in self.sources.iter().filter(|source| source.kind == nic.kind) {
            match source.look_up(&nic, family) {
                Lookup::None => {}
                unknown @ Lookup::Unknown(_) => answer = unknown,
                found => return found,
            }
        }
        answer
    }

    /// Returns the display name of the port of that name, if exactly one instance has it.
    pub fn name(&self, port: &str) -> Option<String> {
        let nic = Nic::from_port_name(port).filter(|_| !self.is_empty())?;
        let mut instances = self.instances_of(&nic);
        let instance = instances.next()?;
        // If several claim to be the same instance, none of them counts.
        instances.next().is_none().then(|| format!("{instance}/{}", nic.device))
    }

    /// Returns the instances with a NIC's UUID in the first source that has any, nearly always one.
    pub fn instances_of<'a>(&'a self, nic: &Nic) -> impl Iterator<Item = &'a InstanceName> + use<'a> {
        let mut sources = self.sources.iter().filter(|source| source.kind == nic.kind);
        let instance = nic.instance;
        let holding = sources.find(|source| source.holders(instance).next().is_some());
        holding.into_iter().flat_map(move |source| source.holders(instance))
    }

    /// Returns all instances, in no order.
    pub fn instances(&self) -> impl Iterator<Item = &InstanceName> {
        self.sources.iter().flat_map(Roster::instances).map(|name| &**name)
    }

    /// Returns whether a source may have an intent for the port of that name.
    pub fn may_have_intent_for(&self, port: &str) -> bool {
        let has = |kind| Nic::from_port_name(port).is_some_and(|nic| nic.kind == kind);
        self.sources.iter().any(|source| has(source.kind))
    }

    /// Returns all NICs with intents, in no order; a NIC appears twice if two sources have it.
    pub fn nics(&self) -> impl Iterator<Item = (&InstanceName, Nic, &NicIntents)> {
        self.sources.iter().flat_map(Roster::nics)
    }

    /// Returns all NICs with intents, each once: the first source of a NIC counts.
    pub fn distinct_nics(&self) -> BTreeMap<Nic, (&InstanceName, &NicIntents)> {
        let mut nics = BTreeMap::new();
        for (name, nic, asked) in self.nics() {
            nics.entry(nic).or_insert((name, asked));
        }
        nics
    }

    /// Returns the names of all instances, each once, in no order.
    pub(crate) fn instance_names(&self) -> Vec<Arc<InstanceName>> {
        let mut names: Vec<_> = self.sources.iter().flat_map(Roster::instances).map(Arc::clone).collect();
        if self.sources.len() > 1 {
            names.sort_unstable();
            names.dedup();
        }
        names
    }

    /// Returns the NICs with intents of the instances with this name, each once.
    pub(crate) fn nics_of(&self, name: &InstanceName) -> BTreeMap<Nic, &NicIntents> {
        // The first source of a NIC counts.
        self.sources.iter().rev().flat_map(|source| source.nics_of(name)).collect()
    }

    /// Returns the status of each source, in order.
    pub fn statuses(&self) -> impl Iterator<Item = SourceStatus> {
        self.sources.iter().map(|roster| {
            let (instances, unknown) = roster.counts();
            SourceStatus {
                was_read: roster.was_read,
                failure: roster.failure.clone(),
                instances,
                unknown,
                asking: roster.nics().count(),
            }
        })
    }
}

#[cfg(test)]
mod tests;
