//! An instance as the API shows it, reduced to the intents for its NICs.

use std::collections::BTreeMap;
use std::fmt;

use ovn_model::Family;
use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, Visitor};
use uuid::Uuid;

use super::nic::{InstanceName, instance_uuid};

/// The maximum length of a value, above that of any address or word. A longer one is cut and reported as invalid.
const MAX_VALUE: usize = 64;

/// The maximum number of NICs of an instance that are used. The CMSes have fewer.
const MAX_NICS: usize = 256;

/// The project where none is named.
pub(super) const DEFAULT_PROJECT: &str = "default";

/// The relevant parts of an instance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Instance {
    /// The name by which its users know it.
    pub name: InstanceName,
    /// Its intents; `None` if the CMS does not know them, as for instances on a cluster member that is down: it lists
    /// only their names.
    pub content: Option<Content>,
}

/// The intents of an instance.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Content {
    /// Its UUID, which identifies its ports; `None` if it has none, and so no ports.
    pub uuid: Option<Uuid>,
    /// The NICs with intents, by their names.
    pub nics: Box<[(Box<str>, NicIntents)]>,
}

/// The intents for a NIC.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct NicIntents([Option<IntentText>; 2]);

/// The intent for a NIC and family.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct IntentText {
    /// The place where it is written.
    pub place: KeyPlace,
    /// The value, as it was written.
    pub text: Box<str>,
}

/// The place where users write an intent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum KeyPlace {
    /// A `user.` key of the NIC.
    Nic,
    /// The CMS's own option of the NIC.
    Option,
    /// A `user.` key of the instance or a profile that names the NIC.
    Instance,
}

impl KeyPlace {
    /// Returns the key, as users write it, for a NIC.
    pub fn key(self, device: &str, family: Family) -> String {
        match self {
            Self::Nic => format!("user.{family}.address.external"),
            Self::Option => format!("{family}.address.external"),
            Self::Instance => format!("user.{device}.{family}.address.external"),
        }
    }
}

impl NicIntents {
    /// Returns the intent for a family.
    pub fn get(&self, family: Family) -> Option<&IntentText> {
        self.0[family as usize].as_ref()
    }

    fn is_empty(&self) -> bool {
        self.0.iter().all(Option::is_none)
    }
}

/// An instance in the API's notation.
#[derive(Debug, serde::Deserialize)]
pub struct InstanceJson {
    name: String,
    #[serde(default)]
    project: Option<String>,
    /// The instance's own settings. The UUID is taken only from here.
    #[serde(default)]
    config: Option<Settings>,
    /// As `config`, with the settings of profiles below it.
    #[serde(default)]
    expanded_config: Option<Settings>,
    #[serde(default)]
    expanded_devices: Option<BTreeMap<String, Settings>>,
}

impl InstanceJson {
    /// Takes the relevant parts; with `native`, also the CMS's own option of NICs.
    pub fn read(self, native: bool) -> Instance {
        let Self { name, project, config, expanded_config, expanded_devices } = self;
        let name = InstanceName::new(project.as_deref().unwrap_or(DEFAULT_PROJECT), &name);
        let Some(config) = config.filter(|config| config.seen > 0) else {
            return Instance { name, content: None };
        };
        let uuid = config.kept.get("volatile.uuid").and_then(|text| instance_uuid(text));
        let user = expanded_config.map(|config| config.kept).unwrap_or_default();
        let devices = expanded_devices.unwrap_or_default().into_iter();
        let nics = devices.filter(|(_, keys)| keys.kept.get("type").is_some_and(|kind| kind == "nic"));
        let asked = nics.take(MAX_NICS).filter_map(|(device, keys)| {
            let asked = Family::ALL.map(|family| asked(&keys.kept, &user, &device, family, native));
            let asked = NicIntents(asked);
            (!asked.is_empty()).then(|| (device.into(), asked))
        });
        Instance { name, content: Some(Content { uuid, nics: asked.collect() }) }
    }
}

/// Finds the intent for a NIC and family: the first of the NIC's own key, the CMS's own option of the NIC, and the key
/// of the instance or a profile.
fn asked(
    device_keys: &BTreeMap<String, String>,
    user: &BTreeMap<String, String>,
    device: &str,
    family: Family,
    native: bool,
) -> Option<IntentText> {
    let places = [KeyPlace::Nic, KeyPlace::Option, KeyPlace::Instance];
    let (place, text) = places.into_iter().find_map(|place| {
        let key = place.key(device, family);
        let text = match place {
            KeyPlace::Nic => device_keys.get(&key),
            // Some releases send an option that is not set as an empty value.
            KeyPlace::Option => device_keys.get(&key).filter(|text| native && !text.is_empty()),
            KeyPlace::Instance => user.get(&key),
        };
        Some((place, text?))
    })?;
    let text = match text.char_indices().nth(MAX_VALUE) {
        Some((end, _)) => format!("{}…", &text[..end]).into(),
        None => text.as_str().into(),
    };
    Some(IntentText { place, text })
}

/// The relevant entries of an instance's or a device's settings. The others, such as `user.user-data`, are skipped.
#[derive(Debug, Default)]
struct Settings {
    kept: BTreeMap<String, String>,
    /// The number of all entries.
    seen: usize,
}

/// Returns whether the value of a setting is read.
fn matters(key: &str) -> bool {
    matches!(key, "type" | "volatile.uuid") || key.ends_with(".address.external")
}

impl<'de> Deserialize<'de> for Settings {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(SettingsVisitor)
    }
}

struct SettingsVisitor;

impl<'de> Visitor<'de> for SettingsVisitor {
    type Value = Settings;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a map")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Settings, A::Error> {
        let mut settings = Settings::default();
        while let Some(key) = map.next_key::<String>()? {
            settings.seen += 1;
            if matters(&key) {
                settings.kept.insert(key, map.next_value()?);
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok(settings)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    const UUID: &str = "3d1c6f0a-9a64-4e0e-8a4e-0d6c7f3b2a11";

    fn read(json: Value, native: bool) -> Instance {
        serde_json::from_value::<InstanceJson>(json).unwrap().read(native)
    }

    /// The intents for `eth0` by keys of the NIC and of the instance.
    fn asked(nic: Value, config: Value, native: bool) -> [Option<String>; 2] {
        let mut device = json!({"type": "nic", "network": "ovn0", "hwaddr": "00:16:3e:00:00:01"});
        device.as_object_mut().unwrap().extend(nic.as_object().unwrap().clone());
        let instance = json!({
            "name": "web1", "project": "shop", "status": "Running", "ephemeral": false, "profiles": ["default"],
            "config": {"volatile.uuid": UUID, "user.user-data": "x".repeat(1000)},
            "expanded_config": config,
            "expanded_devices": {"eth0": device, "root": {"type": "disk", "user.ipv4.address.external": "192.0.2.1"}},
        });
        let Instance { name, content } = read(instance, native);
        let Content { uuid, nics } = content.unwrap();
        assert_eq!((name.to_string().as_str(), uuid), ("shop:web1", Uuid::try_parse(UUID).ok()));
        let found = nics.iter().find(|(device, _)| &**device == "eth0");
        assert_eq!(found.is_some(), !nics.is_empty());
        Family::ALL.map(|family| found?.1.get(family).map(|wish| wish.text.to_string()))
    }

    #[test]
    fn key_of_the_nic_precedes_the_key_of_the_instance() {
        let some = |text: &str| Some(text.to_owned());
        let shared = json!({"user.eth0.ipv4.address.external": "203.0.113.2", "user.eth1.ipv6.address.external": "auto"});
        for (nic, config, native, expected) in [
            (json!({}), json!({}), false, [None, None]),
            (json!({}), shared.clone(), false, [some("203.0.113.2"), None]),
            (json!({"user.ipv4.address.external": "none"}), shared.clone(), false, [some("none"), None]),
            (
                json!({"user.ipv6.address.external": "auto"}),
                shared.clone(),
                false,
                [some("203.0.113.2"), some("auto")],
            ),
            (json!({"ipv4.address.external": "203.0.113.3"}), json!({}), false, [None, None]),
            (
                json!({"ipv4.address.external": "203.0.113.3"}),
                shared.clone(),
                true,
                [some("203.0.113.3"), None],
            ),
            (json!({"ipv4.address.external": ""}), shared, true, [some("203.0.113.2"), None]),
            (
                json!({"ipv6.address.external": "2001:db8::1", "user.ipv6.address.external": "2001:db8::2"}),
                json!({}),
                true,
                [None, some("2001:db8::2")],
            ),
        ] {
            assert_eq!(asked(nic.clone(), config.clone(), native), expected, "{nic} {config} {native}");
        }
    }

    #[test]
    fn intent_names_the_key_it_was_read_from() {
        for (nic, config, key) in [
            (json!({"user.ipv4.address.external": "auto"}), json!({}), "user.ipv4.address.external"),
            (json!({"ipv4.address.external": "203.0.113.1"}), json!({}), "ipv4.address.external"),
            (
                json!({}),
                json!({"user.eth0.ipv4.address.external": "auto"}),
                "user.eth0.ipv4.address.external",
            ),
        ] {
            let mut device = json!({"type": "nic"});
            device.as_object_mut().unwrap().extend(nic.as_object().unwrap().clone());
            let instance = json!({"name": "web1", "config": {"volatile.uuid": UUID}, "expanded_config": config,
                "expanded_devices": {"eth0": device}});
            let content = read(instance, true).content.unwrap();
            let place = content.nics[0].1.get(Family::V4).unwrap().place;
            assert_eq!(place.key("eth0", Family::V4), key);
        }
    }

    #[test]
    fn unreadable_instance_differs_from_one_without_keys() {
        // As Incus lists instances on a member that is down.
        for json in [
            json!({"name": "web1", "status": "Error", "status_code": 112, "location": "node2"}),
            json!({"name": "web1", "config": null, "expanded_config": null, "expanded_devices": null}),
            json!({"name": "web1", "config": {}, "expanded_devices": {}}),
        ] {
            let instance = read(json, false);
            assert_eq!(instance, Instance { name: InstanceName::new("default", "web1"), content: None });
        }
        let without = json!({"name": "web1", "config": {"limits.cpu": "1"}});
        assert_eq!(read(without, false).content, Some(Content::default()));
    }

    #[test]
    fn malformed_instance_uuid_is_ignored() {
        for uuid in ["", "web", &UUID.to_uppercase(), &UUID.replace('-', "")] {
            let instance = read(json!({"name": "web1", "config": {"volatile.uuid": uuid}}), false);
            assert_eq!(instance.content.unwrap().uuid, None, "{uuid}");
        }
    }

    #[test]
    fn long_value_is_truncated_and_malformed_instance_refused() {
        let long = "9".repeat(100_000);
        let [v4, _] = asked(json!({"user.ipv4.address.external": long}), json!({}), false);
        assert_eq!(v4.unwrap().chars().count(), MAX_VALUE + 1);
        for json in [json!([]), json!({}), json!({"name": 1}), json!({"name": "a", "expanded_devices": []})] {
            assert!(serde_json::from_value::<InstanceJson>(json.clone()).is_err(), "{json}");
        }
    }
}
