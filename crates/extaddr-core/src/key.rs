//! The key of an intent, as messages name it: the one that the user wrote.

use std::fmt;

use ovn_model::{Family, keys};

use crate::sources::instance::KeyPlace;
use crate::sources::nic::{InstanceName, Nic};
use crate::sources::requests::{Lookup, Requests};
use crate::wanted::Source;

/// A key for a family.
#[derive(Clone, Debug)]
pub struct Key<'a> {
    /// The family that it is for.
    pub family: Family,
    place: Place<'a>,
}

#[derive(Clone, Debug)]
enum Place<'a> {
    /// The `external_ids` of the port. An intent for many ports is overruled there.
    Port,
    /// An instance in a CMS, if it is known.
    Instance { instance: Option<&'a InstanceName>, device: Box<str>, place: KeyPlace },
    /// The database, for a port that may not exist.
    Kept,
    /// The policy file.
    Policy,
}

impl<'a> Key<'a> {
    /// Names the key of a port itself.
    pub fn of_port(family: Family) -> Self {
        Self { family, place: Place::Port }
    }

    /// Finds the key of a source's intent for a port.
    pub fn find(requests: &'a Requests, source: Source, port: &str, family: Family) -> Self {
        let place = match source {
            Source::Annotation | Source::Router | Source::Config => Place::Port,
            Source::Kept => Place::Kept,
            Source::Policy => Place::Policy,
            Source::Cms(_) => {
                let device = Nic::from_port_name(port).map_or_else(Box::default, |nic| nic.device);
                let (instance, place) = match requests.look_up(port, family) {
                    Lookup::Found { instance, written, .. } => (Some(instance), written.place),
                    _ => (None, KeyPlace::Instance),
                };
                Place::Instance { instance, device, place }
            }
        };
        Self { family, place }
    }

    /// Returns the key at the same place for the other family.
    pub fn other(&self) -> Self {
        let family = if self.family == Family::V4 { Family::V6 } else { Family::V4 };
        Self { family, place: self.place.clone() }
    }
}

impl fmt::Display for Key<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.place {
            Place::Port => f.write_str(keys::port_key(self.family)),
            Place::Instance { instance, device, place } => {
                f.write_str(&place.key(device, self.family))?;
                if *place != KeyPlace::Instance {
                    write!(f, " of NIC {device}")?;
                }
                match instance {
                    Some(InstanceName { project, name }) => {
                        write!(f, " of instance {name} in project {project}")
                    }
                    None => f.write_str(" of its instance"),
                }
            }
            Place::Kept => write!(f, "the kept {} intent (`ovn-extaddr set --keep`)", self.family),
            Place::Policy => write!(f, "the policy's {} rule", self.family),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::sources::Kind;
    use crate::sources::instance::InstanceJson;
    use crate::sources::requests::SourceUpdate;

    const UUID: &str = "00000000-0000-4000-8000-00000000000a";

    /// The name of the key of a CMS's intent, given these keys of the NIC and the instance.
    fn named(nic: &Value, config: &Value) -> String {
        let mut device = json!({"type": "nic"});
        device.as_object_mut().unwrap().extend(nic.as_object().unwrap().clone());
        let instance = json!({"name": "web1", "project": "shop", "config": {"volatile.uuid": UUID},
            "expanded_config": config, "expanded_devices": {"eth0": device}});
        let mut requests = Requests::new([Kind::Incus]);
        let instance = serde_json::from_value::<InstanceJson>(instance).unwrap().read(true);
        requests.take(0, SourceUpdate::Listed(vec![instance]));
        let port = format!("incus-net1-instance-{UUID}-eth0");
        Key::find(&requests, Source::Cms(Kind::Incus), &port, Family::V4).to_string()
    }

    #[test]
    fn key_is_named_as_its_user_wrote_it() {
        let none = json!({});
        for (nic, config, expected) in [
            (
                json!({}),
                json!({"user.eth0.ipv4.address.external": "auto"}),
                "user.eth0.ipv4.address.external of instance web1 in project shop",
            ),
            (
                json!({"user.ipv4.address.external": "auto"}),
                json!({}),
                "user.ipv4.address.external of NIC eth0 of instance web1 in project shop",
            ),
            (
                json!({"ipv4.address.external": "192.0.2.1"}),
                json!({}),
                "ipv4.address.external of NIC eth0 of instance web1 in project shop",
            ),
            (none.clone(), none, "user.eth0.ipv4.address.external of its instance"),
        ] {
            assert_eq!(named(&nic, &config), expected);
        }
        let requests = Requests::default();
        let name = |source| Key::find(&requests, source, "p1", Family::V6).to_string();
        assert_eq!(name(Source::Annotation), "ipv6.address.external");
        assert_eq!(name(Source::Kept), "the kept ipv6 intent (`ovn-extaddr set --keep`)");
        assert_eq!(name(Source::Policy), "the policy's ipv6 rule");
        assert_eq!(Key::of_port(Family::V6).other().to_string(), "ipv4.address.external");
    }
}
