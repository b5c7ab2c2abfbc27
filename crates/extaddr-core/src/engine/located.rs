//! A map from instances of CMSes to their ports.

use std::sync::Arc;

use foldhash::HashMap;
use ovn_model::Store;
use uuid::Uuid;

use crate::sources::Kind;
use crate::sources::nic::Nic;

/// The ports of instances of CMSes, by the instance in their names.
#[derive(Debug, Default)]
pub(super) struct Located(HashMap<(Kind, Uuid), Vec<Arc<str>>>);

impl Located {
    /// Collects the instances' ports from all ports.
    pub(super) fn all(store: &Store) -> Self {
        let mut located = Self::default();
        for (_, port) in store.ports() {
            located.add(&port.name);
        }
        located
    }

    /// Records that a port appeared, changed or disappeared.
    pub(super) fn note(&mut self, store: &Store, name: &Arc<str>) {
        if store.port_by_name(name).is_some() {
            self.add(name);
        } else if let Some(nic) = Nic::from_port_name(name) {
            let key = (nic.kind, nic.instance);
            if let Some(names) = self.0.get_mut(&key) {
                names.retain(|other| other != name);
                if names.is_empty() {
                    self.0.remove(&key);
                }
            }
        }
    }

    /// Returns the ports of an instance.
    pub(super) fn ports(&self, instance: (Kind, Uuid)) -> impl Iterator<Item = &Arc<str>> {
        self.0.get(&instance).into_iter().flatten()
    }

    fn add(&mut self, name: &Arc<str>) {
        if let Some(nic) = Nic::from_port_name(name) {
            let names = self.0.entry((nic.kind, nic.instance)).or_default();
            if !names.contains(name) {
                names.push(Arc::clone(name));
            }
        }
    }
}
