//! The items to read from a CMS: everything after connecting, and after an event what it names.

use std::collections::BTreeSet;

use super::event::{Event, ProfileName};
use super::nic::InstanceName;

/// The maximum number of instances and profiles that are read one by one. For more, a listing costs less.
const MAX_SINGLES: usize = 256;

/// The items to be read. An item that is added twice is read once.
#[derive(Debug, Default)]
pub struct Agenda {
    everything: bool,
    profiles: BTreeSet<ProfileName>,
    instances: BTreeSet<InstanceName>,
}

/// An item to read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Item {
    /// All instances.
    Everything,
    /// The users of a profile.
    Profile(ProfileName),
    /// One instance.
    Instance(InstanceName),
}

impl Agenda {
    /// Adds the items that an event names.
    pub fn note(&mut self, event: Event) {
        match event {
            Event::Nothing => {}
            Event::Everything => self.add_everything(),
            Event::Profile(profile) => {
                self.profiles.insert(profile);
                self.bound();
            }
            Event::Instance(name, old) => self.add_instances([name].into_iter().chain(old)),
        }
    }

    /// Adds everything.
    pub fn add_everything(&mut self) {
        *self = Self { everything: true, ..Self::default() };
    }

    /// Adds instances.
    pub fn add_instances(&mut self, names: impl IntoIterator<Item = InstanceName>) {
        if !self.everything {
            self.instances.extend(names);
            self.bound();
        }
    }

    /// Removes and returns the next item. Items added from then on are read after it: a listing may have passed an
    /// instance that changes.
    pub fn pop(&mut self) -> Option<Item> {
        if std::mem::take(&mut self.everything) {
            return Some(Item::Everything);
        }
        let profile = self.profiles.pop_first().map(Item::Profile);
        profile.or_else(|| self.instances.pop_first().map(Item::Instance))
    }

    /// Replaces many items by everything, which is not more work and takes no space.
    fn bound(&mut self) {
        if self.everything || self.profiles.len() + self.instances.len() > MAX_SINGLES {
            self.add_everything();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn instance(name: &str) -> InstanceName {
        InstanceName::new("default", name)
    }

    fn all(agenda: &mut Agenda) -> Vec<Item> {
        std::iter::from_fn(|| agenda.pop()).collect()
    }

    #[test]
    fn instance_of_several_events_is_read_once() {
        let mut agenda = Agenda::default();
        let profile = ProfileName { project: "default".into(), name: "web".into() };
        for event in [
            Event::Instance(instance("b"), None),
            Event::Nothing,
            Event::Instance(instance("b"), Some(instance("a"))),
            Event::Profile(profile.clone()),
        ] {
            agenda.note(event);
        }
        let expected = [Item::Profile(profile), Item::Instance(instance("a")), Item::Instance(instance("b"))];
        assert_eq!(all(&mut agenda), expected);
    }

    #[test]
    fn full_listing_replaces_earlier_items_only() {
        let mut agenda = Agenda::default();
        agenda.note(Event::Instance(instance("a"), None));
        agenda.note(Event::Everything);
        agenda.note(Event::Instance(instance("b"), None));
        assert_eq!(agenda.pop(), Some(Item::Everything));
        agenda.note(Event::Instance(instance("c"), None));
        assert_eq!(all(&mut agenda), [Item::Instance(instance("c"))]);
    }

    #[test]
    fn many_instances_are_replaced_by_a_full_listing() {
        let mut agenda = Agenda::default();
        agenda.add_instances((0..MAX_SINGLES).map(|n| instance(&n.to_string())));
        assert_eq!(all(&mut agenda).len(), MAX_SINGLES);
        agenda.add_instances((0..=MAX_SINGLES).map(|n| instance(&n.to_string())));
        assert_eq!(all(&mut agenda), [Item::Everything]);
    }
}
