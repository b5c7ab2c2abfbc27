//! The instances of one source, from a listing and from later reads.

use std::sync::Arc;

use foldhash::{HashMap, HashMapExt};
use ovn_model::Family;
use uuid::Uuid;

use super::Kind;
use super::instance::{Content, Instance, IntentText, NicIntents};
use super::nic::{InstanceName, Nic};

/// The instances of a source.
#[derive(Debug)]
pub(super) struct Roster {
    pub(super) kind: Kind,
    /// Whether there was a listing, since which nothing was forgotten.
    pub(super) was_read: bool,
    /// `None`: the source has the instance, and never knew its intents.
    instances: HashMap<Arc<InstanceName>, Option<Content>>,
    /// The instances of a UUID, nearly always one.
    holders: HashMap<Uuid, Vec<Arc<InstanceName>>>,
    /// The number of instances that are `None`.
    unknown: usize,
    /// The reason why the source cannot be reached now.
    pub(super) failure: Option<String>,
}

/// The intent for a port and family.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lookup<'a> {
    /// There is none.
    None,
    /// It is not known: the source was not read, or does not know the intents of all its instances.
    Unknown(Kind),
    /// There is this one.
    Found {
        /// The CMS.
        kind: Kind,
        /// The instance.
        instance: &'a InstanceName,
        /// The intent.
        written: &'a IntentText,
    },
    /// Two instances have the same UUID and different intents.
    Ambiguous(Kind, &'a InstanceName, &'a InstanceName),
}

impl Roster {
    pub(super) fn new(kind: Kind) -> Self {
        let (instances, holders) = (HashMap::new(), HashMap::new());
        Self { kind, was_read: false, instances, holders, unknown: 0, failure: None }
    }

    /// Takes in a listing: instances that are not in it are gone. Returns the UUIDs whose intents changed.
    pub(super) fn list(&mut self, listed: Vec<Instance>) -> Vec<Uuid> {
        self.was_read = true;
        let mut changed = Vec::new();
        let mut gone: HashMap<Arc<InstanceName>, ()> =
            self.instances.keys().map(|name| (Arc::clone(name), ())).collect();
        for instance in listed {
            gone.remove(&instance.name);
            self.read(instance, &mut changed);
        }
        for name in gone.keys() {
            self.remove(name, &mut changed);
        }
        changed
    }

    /// Takes in one instance. If the source does not know its intents, the earlier ones stay.
    pub(super) fn read(&mut self, instance: Instance, changed: &mut Vec<Uuid>) {
        let Instance { name, content } = instance;
        match (self.instances.get(&name), content) {
            (None, None) => {
                self.instances.insert(Arc::new(name), None);
                self.unknown += 1;
            }
            (Some(_), None) => {}
            (Some(Some(old)), Some(new)) if *old == new => {}
            (_, Some(new)) => {
                self.remove(&name, changed);
                let name = Arc::new(name);
                if let Some(uuid) = new.uuid {
                    self.holders.entry(uuid).or_default().push(Arc::clone(&name));
                    changed.push(uuid);
                }
                self.instances.insert(name, Some(new));
            }
        }
    }

    /// Removes an instance.
    pub(super) fn remove(&mut self, name: &InstanceName, changed: &mut Vec<Uuid>) {
        let Some(content) = self.instances.remove(name) else { return };
        self.unknown -= usize::from(content.is_none());
        let Some(uuid) = content.and_then(|content| content.uuid) else { return };
        changed.push(uuid);
        if let Some(holders) = self.holders.get_mut(&uuid) {
            holders.retain(|holder| **holder != *name);
            if holders.is_empty() {
                self.holders.remove(&uuid);
            }
        }
    }

    /// Forgets everything but why the source cannot be reached. Returns the UUIDs of the instances.
    pub(super) fn forget(&mut self) -> Vec<Uuid> {
        let failure = self.failure.take();
        let forgotten = std::mem::replace(self, Self { failure, ..Self::new(self.kind) });
        forgotten.holders.into_keys().collect()
    }

    /// Returns the answer for a NIC and family.
    pub(super) fn look_up(&self, nic: &Nic, family: Family) -> Lookup<'_> {
        let holders = self.holders.get(&nic.instance).into_iter().flatten();
        let mut opinions = holders.map(|name| (&**name, self.asked(name, &nic.device, family)));
        let Some((name, first)) = opinions.next() else {
            return if self.may_not_know() { Lookup::Unknown(self.kind) } else { Lookup::None };
        };
        // A user who may create instances may give them any UUID, even another instance's: this must not change that
        // one's intent.
        let text = |written: Option<&'_ IntentText>| written.map(|written| written.text.clone());
        match (opinions.find(|(_, other)| text(*other) != text(first)), first) {
            (Some((other, _)), _) => Lookup::Ambiguous(self.kind, name.min(other), name.max(other)),
            (None, Some(written)) => Lookup::Found { kind: self.kind, instance: name, written },
            (None, None) => Lookup::None,
        }
    }

    /// Returns the instances that have a UUID, nearly always one.
    pub(super) fn holders(&self, uuid: Uuid) -> impl Iterator<Item = &InstanceName> {
        self.holders.get(&uuid).into_iter().flatten().map(|name| &**name)
    }

    /// Returns the names of all instances.
    pub(super) fn instances(&self) -> impl Iterator<Item = &Arc<InstanceName>> {
        self.instances.keys()
    }

    /// Returns whether a NIC that is not known may have an intent.
    pub(super) fn may_not_know(&self) -> bool {
        !self.was_read || self.unknown > 0
    }

    /// Returns the number of instances, and of those whose intents are not known.
    pub(super) fn counts(&self) -> (usize, usize) {
        (self.instances.len(), self.unknown)
    }

    /// Returns all NICs with intents.
    pub(super) fn nics(&self) -> impl Iterator<Item = (&InstanceName, Nic, &NicIntents)> {
        let known = self.instances.iter().filter_map(|(name, content)| Some((name, content.as_ref()?)));
        known.flat_map(|(name, content)| {
            content.nics(self.kind).map(move |(nic, asked)| (&**name, nic, asked))
        })
    }

    /// Returns the NICs with intents of an instance.
    pub(super) fn nics_of(&self, name: &InstanceName) -> impl Iterator<Item = (Nic, &NicIntents)> {
        let content = self.instances.get(name).and_then(Option::as_ref);
        content.into_iter().flat_map(|content| content.nics(self.kind))
    }

    fn asked(&self, name: &InstanceName, device: &str, family: Family) -> Option<&IntentText> {
        let Content { nics, .. } = self.instances.get(name)?.as_ref()?;
        nics.iter().find(|(nic, _)| **nic == *device)?.1.get(family)
    }
}

// ===== impl Content =====

impl Content {
    /// Returns the NICs with intents, if the instance has a UUID.
    fn nics(&self, kind: Kind) -> impl Iterator<Item = (Nic, &NicIntents)> {
        let nics = self.uuid.map(|uuid| self.nics.iter().map(move |nic| (uuid, nic)));
        nics.into_iter()
            .flatten()
            .map(move |(instance, (device, asked))| (Nic { kind, instance, device: device.clone() }, asked))
    }
}
