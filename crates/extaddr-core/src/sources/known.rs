//! The instances that a source is known to have, against those that one of its listings omits.

use std::collections::HashSet;

use super::instance::Instance;
use super::nic::InstanceName;
use super::requests::SourceUpdate;

/// The maximum number of omitted instances that are read one by one. More were deleted, most probably.
const MAX_OMITTED: usize = 128;

/// The names of the instances that a source has, as of its updates.
///
/// A listing of a cluster is no proof that an instance is gone: the member that is asked gathers what each of the others
/// has at a slightly different time, so that one that moves between them meanwhile is in none of these parts. No event
/// follows.
#[derive(Debug, Default)]
pub struct KnownInstances {
    names: HashSet<InstanceName>,
}

impl KnownInstances {
    /// Takes in an update. Instances that a listing omits are added to it as ones whose intents are not known, and
    /// returned: read them.
    pub fn take(&mut self, update: &mut SourceUpdate) -> Vec<InstanceName> {
        match update {
            SourceUpdate::Listed(instances) => {
                let listed: HashSet<_> = instances.iter().map(|instance| instance.name.clone()).collect();
                let former = std::mem::replace(&mut self.names, listed);
                let omitted: Vec<_> = former.into_iter().filter(|name| !self.names.contains(name)).collect();
                if omitted.len() > MAX_OMITTED {
                    return Vec::new();
                }
                let unknown = omitted.iter().map(|name| Instance { name: name.clone(), content: None });
                instances.extend(unknown);
                self.names.extend(omitted.iter().cloned());
                return omitted;
            }
            SourceUpdate::Read(instance) => _ = self.names.insert(instance.name.clone()),
            SourceUpdate::Gone(name) => _ = self.names.remove(name),
            SourceUpdate::Lost(_) => {}
        }
        Vec::new()
    }

    /// Forgets an instance that may not be read: the next listing decides.
    pub fn forget(&mut self, name: &InstanceName) {
        self.names.remove(name);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(number: usize) -> InstanceName {
        InstanceName::new("default", &format!("c{number}"))
    }

    fn listing(numbers: impl IntoIterator<Item = usize>) -> SourceUpdate {
        let instances = numbers.into_iter().map(|number| Instance { name: name(number), content: None });
        SourceUpdate::Listed(instances.collect())
    }

    /// Found by a reading: an instance that moved between two members during a listing lost its address.
    #[test]
    fn instance_that_a_listing_omits_is_read_until_it_is_gone() {
        let mut known = KnownInstances::default();
        assert_eq!(known.take(&mut listing([1, 2])), []);
        let read = Instance { name: name(3), content: None };
        assert_eq!(known.take(&mut SourceUpdate::Read(read)), []);
        known.take(&mut SourceUpdate::Lost("x".to_owned()));
        for _ in 0..2 {
            let mut update = listing([1, 2]);
            assert_eq!(known.take(&mut update), [name(3)]);
            let SourceUpdate::Listed(instances) = update else { panic!("{update:?}") };
            assert_eq!(
                instances.iter().map(|instance| &instance.name).collect::<Vec<_>>(),
                [&name(1), &name(2), &name(3)]
            );
        }
        known.take(&mut SourceUpdate::Gone(name(3)));
        assert_eq!(known.take(&mut listing([1, 2])), []);
        // An instance of a project that the certificate is no longer for.
        known.forget(&name(2));
        assert_eq!(known.take(&mut listing([1])), []);
    }

    #[test]
    fn many_omitted_instances_are_gone() {
        let mut known = KnownInstances::default();
        known.take(&mut listing(0..=MAX_OMITTED));
        let mut update = listing([]);
        assert_eq!(known.take(&mut update), []);
        assert!(matches!(&update, SourceUpdate::Listed(instances) if instances.is_empty()));
        assert_eq!(known.take(&mut listing([1])), []);
    }
}
