//! Lifecycle events, and the API addresses in them.

use percent_encoding::percent_decode_str;
use serde::Deserialize;

use super::instance::DEFAULT_PROJECT;
use super::nic::InstanceName;

/// Prefixes of actions on instances that change no intent. After all other actions, also those of future releases, the
/// instance is read.
const IDLE_ACTIONS: [&str; 7] = [
    "instance-agent-",
    "instance-backup-",
    "instance-console",
    "instance-exec",
    "instance-file-",
    "instance-log-",
    "instance-metadata-",
];

/// The content of an event that may change intents.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// Something happened to an instance, which may have had another name.
    Instance(InstanceName, Option<InstanceName>),
    /// A profile changed.
    Profile(ProfileName),
    /// Something happened that may concern everything: to a project, or a member of the cluster.
    Everything,
    /// Nothing relevant.
    Nothing,
}

/// The name of a profile.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ProfileName {
    /// The project.
    pub project: Box<str>,
    /// The name, which is unique in the project.
    pub name: Box<str>,
}

#[derive(Deserialize)]
struct EventJson {
    #[serde(rename = "type")]
    kind: String,
    #[serde(default)]
    metadata: Option<Lifecycle>,
}

#[derive(Default, Deserialize)]
struct Lifecycle {
    #[serde(default)]
    action: String,
    #[serde(default)]
    source: String,
    #[serde(default)]
    context: Option<Context>,
}

#[derive(Default, Deserialize)]
struct Context {
    #[serde(default)]
    old_name: Option<String>,
}

impl Event {
    /// Reads an event.
    ///
    /// # Errors
    /// It is not what the API sends.
    pub fn read(text: &str) -> Result<Self, serde_json::Error> {
        let EventJson { kind, metadata } = serde_json::from_str(text)?;
        let Some(Lifecycle { action, source, context }) = metadata.filter(|_| kind == "lifecycle") else {
            return Ok(Self::Nothing);
        };
        Ok(match action.split('-').next() {
            Some("instance") if IDLE_ACTIONS.iter().any(|idle| action.starts_with(idle)) => Self::Nothing,
            Some("instance") => match instance_name(&source) {
                Some(name) => {
                    let old = context.and_then(|context| context.old_name);
                    // That of a snapshot is `INSTANCE/SNAPSHOT`, and of no instance.
                    let old = old.filter(|old| !old.contains('/'));
                    let old = old.map(|old| InstanceName::new(&name.project, &old));
                    Self::Instance(name, old)
                }
                // Whatever it was.
                None => Self::Everything,
            },
            Some("profile") => match Place::read(&source) {
                Some(Place { collection: "profiles", project, name }) => {
                    Self::Profile(ProfileName { project: project.into(), name: name.into() })
                }
                _ => Self::Everything,
            },
            Some("project" | "cluster") => Self::Everything,
            _ => Self::Nothing,
        })
    }
}

/// Returns the instance at an address of the API, such as `/1.0/instances/c1?project=p`.
pub fn instance_name(source: &str) -> Option<InstanceName> {
    let place = Place::read(source)?;
    let is_instance = ["instances", "containers", "virtual-machines"].contains(&place.collection);
    is_instance.then(|| InstanceName::new(&place.project, &place.name))
}

/// The parts of an address of the API.
struct Place<'a> {
    collection: &'a str,
    project: String,
    name: String,
}

impl<'a> Place<'a> {
    fn read(source: &'a str) -> Option<Self> {
        let (path, query) = source.split_once('?').unwrap_or((source, ""));
        let mut segments = path.strip_prefix("/1.0/")?.split('/');
        let (collection, name) = (segments.next()?, segments.next().filter(|name| !name.is_empty())?);
        let project = query.split('&').find_map(|pair| pair.strip_prefix("project="));
        let decode = |text: &str| Some(percent_decode_str(text).decode_utf8().ok()?.into_owned());
        // In a query, Go writes a space as +.
        let project = project.filter(|project| !project.is_empty()).map(|project| project.replace('+', " "));
        let project = decode(project.as_deref().unwrap_or(DEFAULT_PROJECT))?;
        Some(Self { collection, project, name: decode(name)? })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(action: &str, source: &str) -> Event {
        let text = json!({
            "type": "lifecycle", "timestamp": "2026-11-27T11:00:00Z", "location": "none", "project": "x",
            "metadata": {"action": action, "source": source, "context": {"old_name": "old", "n": 1}, "requestor": null},
        });
        Event::read(&text.to_string()).unwrap()
    }

    #[test]
    fn event_is_mapped_to_the_instance_or_profile_to_read() {
        let instance = |project, name| {
            Event::Instance(InstanceName::new(project, name), Some(InstanceName::new(project, "old")))
        };
        let profile = |project: &str, name: &str| {
            Event::Profile(ProfileName { project: project.into(), name: name.into() })
        };
        for (action, source, expected) in [
            ("instance-updated", "/1.0/instances/c1", instance("default", "c1")),
            ("instance-updated", "/1.0/instances/c1?project=a+b%2Fc", instance("a b/c", "c1")),
            ("instance-deleted", "/1.0/instances/c1?project=p&x=y", instance("p", "c1")),
            ("instance-renamed", "/1.0/containers/c1?project=", instance("default", "c1")),
            ("instance-of-the-future", "/1.0/virtual-machines/c1", instance("default", "c1")),
            ("instance-snapshot-restored", "/1.0/instances/c1/snapshots/s", instance("default", "c1")),
            ("instance-exec", "/1.0/instances/c1", Event::Nothing),
            ("instance-file-pushed", "/1.0/instances/c1", Event::Nothing),
            ("instance-updated", "/2.0/instances/c1", Event::Everything),
            ("instance-updated", "", Event::Everything),
            ("profile-updated", "/1.0/profiles/web?project=p", profile("p", "web")),
            ("profile-updated", "/1.0/profiles", Event::Everything),
            ("project-updated", "/1.0/projects/p", Event::Everything),
            ("cluster-member-restored", "/1.0/cluster/members/n2", Event::Everything),
            ("network-forward-created", "/1.0/networks/n/forwards/192.0.2.1", Event::Nothing),
            ("image-created", "/1.0/images/abc", Event::Nothing),
        ] {
            assert_eq!(read(action, source), expected, "{action} {source}");
        }
    }

    /// Found by a reading: its former name was taken for that of an instance, which the API refuses.
    #[test]
    fn former_name_of_a_snapshot_is_no_instance() {
        let text = json!({"type": "lifecycle", "metadata": {
            "action": "instance-snapshot-renamed", "source": "/1.0/instances/c1/snapshots/s2", "context": {"old_name": "c1/s1"},
        }});
        let expected = Event::Instance(InstanceName::new("default", "c1"), None);
        assert_eq!(Event::read(&text.to_string()).unwrap(), expected);
    }

    #[test]
    fn irrelevant_event_is_ignored_and_a_malformed_one_is_an_error() {
        assert_eq!(Event::read(r#"{"type":"logging","metadata":{"message":"x"}}"#).unwrap(), Event::Nothing);
        assert_eq!(Event::read(r#"{"type":"lifecycle","metadata":null}"#).unwrap(), Event::Nothing);
        for text in ["", "{}", "[]", "x", r#"{"type":"lifecycle","metadata":{"action":1}}"#] {
            assert!(Event::read(text).is_err(), "{text}");
        }
    }
}
