//! The intents of all sources, as far as they were heard: a source that cannot be reached withdraws nothing.

use std::collections::BTreeMap;
use std::sync::Arc;

use ovn_model::Family;
use uuid::Uuid;

use super::Kind;
use super::instance::{Asked, Instance, Wish};
use super::nic::{InstanceName, Nic};
use super::roster::{Roster, Word};

/// What the sources ask for. The first that speaks of a NIC and family wins.
#[derive(Debug, Default)]
pub struct Requests {
    sources: Vec<Source>,
}

/// What came of a source.
#[derive(Debug)]
pub enum News {
    /// All its instances.
    Listed(Vec<Instance>),
    /// One of its instances.
    Read(Instance),
    /// It has no instance of that name.
    Gone(InstanceName),
    /// It cannot be reached, or does not make sense; why.
    Lost(String),
}

/// Of which ports something else may be said than before.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Affected {
    /// Those of these instances.
    pub instances: Vec<(Kind, Uuid)>,
    /// All whose rows rest on what is not known.
    pub presumed: bool,
}

/// What is asked for a port and family.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer<'a> {
    /// Nothing.
    Silent,
    /// Nobody knows: the source was not heard since the start, or cannot say what all its instances ask for.
    Unheard(Kind),
    /// This.
    Asked {
        /// By which CMS.
        kind: Kind,
        /// By which instance.
        instance: &'a InstanceName,
        /// What.
        wish: &'a Wish,
    },
    /// Two instances have the same UUID, and do not ask for the same.
    Disputed(Kind, &'a InstanceName, &'a InstanceName),
}

/// Where a source stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IntentStatus {
    /// Whether it was heard since the start.
    pub is_heard: bool,
    /// Why it cannot be reached now.
    pub failure: Option<String>,
    /// How many instances it has.
    pub instances: usize,
    /// Of how many of them it cannot say anything, and never could.
    pub unknown: usize,
    /// For how many NICs it asks for something.
    pub asking: usize,
}

#[derive(Debug)]
struct Source {
    roster: Roster,
    failure: Option<String>,
}

impl Requests {
    /// Expects these sources, of which nothing was heard.
    pub fn new(kinds: impl IntoIterator<Item = Kind>) -> Self {
        let sources = kinds.into_iter().map(|kind| Source { roster: Roster::new(kind), failure: None });
        Self { sources: sources.collect() }
    }

    /// Returns whether there are no sources.
    pub fn is_empty(&self) -> bool {
        self.sources.is_empty()
    }

    /// Takes in what came of a source, by its number. Returns of what something else may be said now.
    pub fn take(&mut self, source: usize, news: News) -> Affected {
        let Some(Source { roster, failure }) = self.sources.get_mut(source) else {
            return Affected::default();
        };
        let before = roster.may_not_know();
        let mut changed = Vec::new();
        match news {
            News::Lost(why) => {
                *failure = Some(why);
                return Affected::default();
            }
            News::Listed(instances) => changed = roster.list(instances),
            News::Read(instance) => roster.read(instance, &mut changed),
            News::Gone(name) => roster.remove(&name, &mut changed),
        }
        *failure = None;
        changed.sort_unstable();
        changed.dedup();
        let kind = roster.kind;
        Affected {
            presumed: before != roster.may_not_know(),
            instances: changed.into_iter().map(|uuid| (kind, uuid)).collect(),
        }
    }

    /// Returns what is asked for the port of that name.
    pub fn answer(&self, port: &str, family: Family) -> Answer<'_> {
        if self.is_empty() {
            return Answer::Silent;
        }
        let Some(nic) = Nic::from_port_name(port) else { return Answer::Silent };
        let mut answer = Answer::Silent;
        let kind = nic.kind;
        for source in self.sources.iter().filter(|source| source.roster.kind == kind) {
            match source.roster.word(&nic, family) {
                Word::Silent => {}
                Word::Unknown => answer = Answer::Unheard(kind),
                Word::Asked(instance, wish) => return Answer::Asked { kind, instance, wish },
                Word::Disputed(one, other) => return Answer::Disputed(kind, one, other),
            }
        }
        answer
    }

    /// Returns what people call the port of that name, if one instance has it.
    pub fn name(&self, port: &str) -> Option<String> {
        let nic = Nic::from_port_name(port).filter(|_| !self.is_empty())?;
        let mut instances = self.instances_of(&nic);
        let instance = instances.next()?;
        // Of several that claim to be the same, none is believed.
        instances.next().is_none().then(|| format!("{instance}/{}", nic.device))
    }

    /// Returns the instances that have a NIC's UUID in the first source that has any, nearly always one.
    pub fn instances_of<'a>(&'a self, nic: &Nic) -> impl Iterator<Item = &'a InstanceName> + use<'a> {
        let mut sources = self.sources.iter().filter(|source| source.roster.kind == nic.kind);
        let instance = nic.instance;
        let holding = sources.find(|source| source.roster.holders(instance).next().is_some());
        holding.into_iter().flat_map(move |source| source.roster.holders(instance))
    }

    /// Returns all instances, in no order.
    pub fn instances(&self) -> impl Iterator<Item = &InstanceName> {
        self.sources.iter().flat_map(|source| source.roster.instances()).map(|name| &**name)
    }

    /// Returns whether something may be asked for the port of that name by a source.
    pub fn may_speak_of(&self, port: &str) -> bool {
        !self.is_empty()
            && Nic::from_port_name(port)
                .is_some_and(|nic| self.sources.iter().any(|source| source.roster.kind == nic.kind))
    }

    /// Returns all NICs for which something is asked, in no order; one twice where two sources have it.
    pub fn nics(&self) -> impl Iterator<Item = (&InstanceName, Nic, &Asked)> {
        self.sources.iter().flat_map(|source| source.roster.nics())
    }

    /// Returns the names of all instances, each once, in no order.
    pub(crate) fn instance_names(&self) -> Vec<Arc<InstanceName>> {
        let mut names: Vec<_> =
            self.sources.iter().flat_map(|source| source.roster.instances()).map(Arc::clone).collect();
        if self.sources.len() > 1 {
            names.sort_unstable();
            names.dedup();
        }
        names
    }

    /// Returns the NICs for which something is asked of the instances with this name, each once.
    pub(crate) fn nics_of(&self, name: &InstanceName) -> BTreeMap<Nic, &Asked> {
        self.sources.iter().flat_map(|source| source.roster.nics_of(name)).collect()
    }

    /// Returns where each source stands, in order.
    pub fn standings(&self) -> impl Iterator<Item = IntentStatus> {
        self.sources.iter().map(|Source { roster, failure }| {
            let (instances, unknown) = roster.counts();
            IntentStatus {
                is_heard: roster.is_heard,
                failure: failure.clone(),
                instances,
                unknown,
                asking: roster.nics().count(),
            }
        })
    }
}

#[cfg(test)]
mod tests;
