//! The names that people use for ports: of instances, virtual machines and pods.
//!
//! Pure: the names in the database ([`Directory`]), the ports that a text may mean ([`PortNames`]), and the error where
//! it does not mean exactly one ([`Meaning`]).

mod directory;
mod meaning;
mod rows;
#[cfg(test)]
mod tests;

pub use directory::Directory;
pub use meaning::{Match, Meaning};

use std::collections::{BTreeMap, BTreeSet};

use crate::sources::nic::{InstanceName, Nic};
use crate::sources::requests::Requests;
use crate::suggest::did_you_mean;
use rows::PortRow;

/// The names of ports in the database and the sources.
#[derive(Clone, Copy, Debug)]
pub struct PortNames<'a> {
    directory: &'a Directory,
    requests: &'a Requests,
}

/// The names of one port, except its own.
#[derive(Debug, Default)]
struct Aliases {
    /// The longest form, which is shown.
    shown: Option<String>,
    /// Names that are case-sensitive.
    exact: Vec<String>,
    /// Host names, which CMSes write in lower case.
    folded: Vec<String>,
}

impl<'a> PortNames<'a> {
    /// Creates a view of the directory and the instances of the sources.
    pub fn new(directory: &'a Directory, requests: &'a Requests) -> Self {
        Self { directory, requests }
    }

    /// Returns the display name of the port of that name, whether the port exists or not.
    pub fn name(&self, port: &str) -> Option<String> {
        self.aliases(port, self.directory.port(port).map(|row| &**row)).shown
    }

    /// Finds the port that a text means: the one of that name, otherwise the only one with that display name.
    pub fn find(&self, text: &str) -> Meaning {
        if self.directory.port(text).is_some() || self.directory.kept().any(|port| port == text) {
            return Meaning::Port(text.to_owned());
        }
        let folded = text.to_lowercase();
        let called = |(_, aliases): &(&str, Aliases)| {
            aliases.exact.iter().any(|alias| alias == text) || aliases.folded.contains(&folded)
        };
        // A stopped instance and a running one have the same rank.
        let found: Vec<_> = self.all().chain(self.expected()).filter(called).collect();
        match &*found {
            [(port, aliases)] if self.is_expected(port) => {
                let name = aliases.shown.clone().unwrap_or_else(|| text.to_owned());
                Meaning::Absent { name, port: Some((*port).to_owned()) }
            }
            [(port, _)] => Meaning::Port((*port).to_owned()),
            [] => match self.absent(text) {
                Some(instance) => Meaning::Absent { name: instance.to_string(), port: None },
                None => Meaning::Unknown(self.guess(text)),
            },
            several => self.several(several),
        }
    }

    fn several(&self, ports: &[(&str, Aliases)]) -> Meaning {
        let ports = ports.iter().map(|(port, aliases)| Match {
            port: (*port).to_owned(),
            name: aliases.shown.clone(),
            switch: self.directory.switch_of(port),
        });
        let mut ports: Vec<_> = ports.collect();
        ports.sort_unstable();
        Meaning::Several(ports)
    }

    /// Returns the completions of a text: for each port of an instance the shortest unambiguous name.
    pub fn completions(&self, text: &str) -> BTreeSet<String> {
        let ports: Vec<_> = self.all().filter(|(port, _)| self.directory.is_instance(port)).collect();
        let mut uses: BTreeMap<&str, usize> = BTreeMap::new();
        let absent: Vec<_> = self.expected().collect();
        for alias in ports.iter().chain(&absent).flat_map(|(_, aliases)| aliases.all()) {
            *uses.entry(alias).or_default() += 1;
        }
        let fits = |name: &str| name.starts_with(text);
        let offers = ports.iter().filter_map(|(port, aliases)| {
            let unique = || aliases.all().filter(|alias| uses.get(alias) == Some(&1));
            // The NIC is included if there is one, so that the name stays unambiguous when the instance gets another.
            let best = unique().min_by_key(|alias| (!alias.contains('/'), alias.len()));
            match best {
                Some(best) if fits(best) => Some(best),
                Some(_) => unique().chain([*port]).filter(|name| fits(name)).min_by_key(|name| name.len()),
                None => Some(*port).filter(|port| fits(port)),
            }
        });
        offers.map(str::to_owned).collect()
    }

    /// Iterates over the ports that exist or for which an intent is kept, with their names.
    fn all(&self) -> impl Iterator<Item = (&'a str, Aliases)> {
        let Self { directory, .. } = *self;
        let there = directory.ports().map(|row| (&*row.name, Some(&**row)));
        let kept: BTreeSet<_> = directory.kept().filter(|port| directory.port(port).is_none()).collect();
        let names = *self;
        there
            .chain(kept.into_iter().map(|port| (port, None)))
            .map(move |(port, row)| (port, names.aliases(port, row)))
    }

    /// Iterates over the ports that neither exist nor have a kept intent, but still have host names.
    fn expected(&self) -> impl Iterator<Item = (&'a str, Aliases)> {
        let names = *self;
        let kept: BTreeSet<_> = names.directory.kept().collect();
        let ports = names.directory.expected().filter(move |port| !kept.contains(port));
        ports.map(move |port| (port, names.aliases(port, None)))
    }

    fn is_expected(&self, port: &str) -> bool {
        self.directory.port(port).is_none() && self.directory.kept().all(|kept| kept != port)
    }

    fn aliases(&self, port: &str, row: Option<&PortRow>) -> Aliases {
        let mut aliases = Aliases::default();
        let nic = Nic::from_port_name(port);
        if let Some(nic) = &nic {
            let instances: Vec<_> = self.requests.instances_of(nic).collect();
            // If several claim to be the same instance, none of them counts.
            if let [instance] = &*instances {
                aliases.exact.extend(forms(instance, &nic.device));
                aliases.shown = aliases.exact.first().cloned();
            }
        }
        if let Some(name) = row.and_then(PortRow::given_name) {
            aliases.exact.push(name.clone());
            aliases.shown = aliases.shown.or(Some(name));
        }
        if let Some(host) = self.directory.host_of(port) {
            let full = nic.map(|nic| format!("{host}/{}", nic.device));
            aliases.shown = aliases.shown.or_else(|| Some(full.clone().unwrap_or_else(|| host.to_owned())));
            aliases.folded.extend(full.into_iter().chain([host.to_owned()]).map(|name| name.to_lowercase()));
        }
        aliases
    }

    /// Finds the instance without a port that a text names.
    fn absent(&self, text: &str) -> Option<&'a InstanceName> {
        let mut meant: BTreeSet<_> =
            self.requests.instances().filter(|instance| is_of(text, instance)).collect();
        if meant.is_empty() {
            return None;
        }
        for nic in self.all().filter_map(|(port, _)| Nic::from_port_name(port)) {
            for instance in self.requests.instances_of(&nic) {
                meant.remove(instance);
            }
        }
        meant.first().copied()
    }

    /// Guesses what was meant by a text that names nothing.
    fn guess(&self, text: &str) -> String {
        let mut known = BTreeSet::new();
        for (port, aliases) in self.all() {
            known.insert(port.to_owned());
            known.extend(aliases.exact.into_iter().chain(aliases.folded));
        }
        let unqualified = text.split_once(':').map(|(_, name)| name).filter(|name| known.contains(*name));
        match unqualified {
            Some(name) => {
                format!("; did you mean {name}? (of which project it is, the database does not say)")
            }
            None => did_you_mean(text, known.iter().map(String::as_str)),
        }
    }
}

impl Aliases {
    fn all(&self) -> impl Iterator<Item = &str> {
        let all: BTreeSet<_> = self.exact.iter().chain(&self.folded).map(String::as_str).collect();
        all.into_iter()
    }
}

/// Returns the ways to write a NIC of an instance, the longest first.
fn forms(instance: &InstanceName, device: &str) -> [String; 4] {
    let InstanceName { name, .. } = instance;
    [format!("{instance}/{device}"), instance.to_string(), format!("{name}/{device}"), name.to_string()]
}

/// Returns true if a text is a name as `project:instance/nic`, or the same without the project, the NIC or both.
pub fn is_short_for(text: &str, name: &str) -> bool {
    let unqualified = name.split_once(':').map_or(name, |(_, rest)| rest);
    let is_part =
        |full: &str| full == text || full.split_once('/').is_some_and(|(instance, _)| instance == text);
    is_part(name) || is_part(unqualified)
}

/// Returns true if a text is one of the ways to write an instance or one of its NICs.
fn is_of(text: &str, instance: &InstanceName) -> bool {
    let (name, _) = text.split_once('/').unwrap_or((text, ""));
    name == &*instance.name || name == instance.to_string()
}
