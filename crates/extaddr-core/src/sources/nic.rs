//! The NIC of an instance, and the name that its port has in OVN.

use std::fmt;

use uuid::Uuid;

use super::Kind;

/// The length of a UUID in a port's name: with hyphens, in lower case.
const UUID_LENGTH: usize = 36;

/// A NIC of an instance.
///
/// Its port is `<kind>-net<network>-instance-<uuid>-<device>`. The number of the network is internal to the CMS, and
/// not needed: the UUID is the instance's own, and as its length is fixed, the rest is the device, whatever it contains.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Nic {
    /// The CMS that runs the instance.
    pub kind: Kind,
    /// The instance's `volatile.uuid`.
    pub instance: Uuid,
    /// The name of the device.
    pub device: Box<str>,
}

impl Nic {
    /// Returns the NIC whose port has that name, if the name has the form of a CMS's ports.
    pub fn from_port_name(name: &str) -> Option<Self> {
        let kind = Kind::ALL.into_iter().find(|kind| name.starts_with(kind.name()))?;
        let (network, rest) = name[kind.name().len()..].strip_prefix("-net")?.split_once("-instance-")?;
        if network.is_empty() || !network.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        let (instance, device) = rest.split_at_checked(UUID_LENGTH)?;
        let device = device.strip_prefix('-').filter(|device| !device.is_empty())?;
        Some(Self { kind, instance: instance_uuid(instance)?, device: device.into() })
    }

    /// Returns the name of its port with `*` for the number of the network.
    pub fn port_pattern(&self) -> String {
        let Self { kind, instance, device } = self;
        format!("{}-net*-instance-{instance}-{device}", kind.name())
    }
}

/// Reads the UUID of an instance. Only the notation of port names is accepted.
pub(super) fn instance_uuid(text: &str) -> Option<Uuid> {
    let uuid = Uuid::try_parse(text).ok()?;
    let mut buffer = [0; UUID_LENGTH];
    (uuid.hyphenated().encode_lower(&mut buffer) == text).then_some(uuid)
}

/// The name of an instance, as its users write it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct InstanceName {
    /// The project.
    pub project: Box<str>,
    /// The name, which is unique in the project.
    pub name: Box<str>,
}

impl InstanceName {
    /// Creates the name of an instance of a project.
    pub fn new(project: &str, name: &str) -> Self {
        Self { project: project.into(), name: name.into() }
    }
}

impl fmt::Display for InstanceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.project, self.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const UUID: &str = "3d1c6f0a-9a64-4e0e-8a4e-0d6c7f3b2a11";

    #[test]
    fn port_name_is_parsed_into_its_nic() {
        let uuid = Uuid::parse_str(UUID).unwrap();
        for (kind, network, device) in [
            (Kind::Incus, "2", "eth0"),
            (Kind::Lxd, "17", "eth0"),
            (Kind::Incus, "2", "a-b"),
            (Kind::Incus, "2", "-instance-"),
            (Kind::Incus, "2", "é"),
        ] {
            let name = format!("{}-net{network}-instance-{UUID}-{device}", kind.name());
            let nic = Nic { kind, instance: uuid, device: device.into() };
            assert_eq!(Nic::from_port_name(&name), Some(nic.clone()), "{name}");
            assert_eq!(nic.port_pattern(), name.replace(&format!("net{network}-"), "net*-"));
        }
    }

    #[test]
    fn other_port_names_have_no_nic() {
        let upper = UUID.to_uppercase();
        let simple = UUID.replace('-', "");
        for name in [
            String::new(),
            "incus".to_owned(),
            "incus-net2-ls-int-lsp-router".to_owned(),
            format!("incus-net-instance-{UUID}-eth0"),
            format!("incus-netx-instance-{UUID}-eth0"),
            format!("incus-net2-instance-{UUID}-"),
            format!("incus-net2-instance-{UUID}eth0"),
            format!("incus-net2-instance-{UUID}"),
            format!("incus-net2-instance-{upper}-eth0"),
            format!("incus-net2-instance-{simple}-eth0"),
            format!("incus-net2-instance-{{{UUID}}}-eth0"),
            format!("xincus-net2-instance-{UUID}-eth0"),
            format!("incusnet2-instance-{UUID}-eth0"),
            format!("incus-net2-instance-{}é-eth0", &UUID[1..]),
        ] {
            assert_eq!(Nic::from_port_name(&name), None, "{name}");
        }
    }
}
