//! Owners of rows: the tags and UUIDs by which an agent recognises its own rows.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use ovn_model::{Nat, keys, naming};
use ovsdb_protocol::LockName;
use uuid::Uuid;

/// The name of a group of agents that act as one. Groups with different names do not change each other's rows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Owner(String);

/// The role of one of our rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// It gives an instance its external address.
    Egress,
    /// It lets connections with a former address of the instance finish.
    Drain,
    /// It replaces a port-less VIP that was removed.
    DefaultTarget,
}

impl Owner {
    /// Returns the name.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns whether the row is ours.
    pub fn owns(&self, nat: &Nat) -> bool {
        nat.tags.get(keys::OWNER) == Some(&self.0)
    }

    /// Returns whether a row belongs to another group of agents, and its name is greater than this one's.
    pub fn precedes_owner_of(&self, nat: &Nat) -> bool {
        nat.tags.get(keys::OWNER).is_some_and(|other| *self.0 < *other)
    }

    /// Returns the lock that elects the one agent of the group that writes.
    pub fn lock(&self) -> LockName {
        let plain = |c: char| c.is_ascii_alphanumeric() || c == '-';
        if self.0.starts_with(|c: char| c.is_ascii_alphabetic()) && self.0.chars().all(plain) {
            return LockName::sanitized(&self.0);
        }
        // Dots and underscores would be mapped like hyphens, and different groups would share a lock.
        let sum = naming::named_uuid(&self.0).simple().to_string();
        LockName::sanitized(&format!("{}_{}", self.0, &sum[..8]))
    }

    /// Returns the UUID of the row with this role on the router with UUID `router`: for an internal address of a port,
    /// for an external one that it drains, or for a converted one, which belongs to no port.
    ///
    /// It depends on nothing else, so that every agent inserts the same row: the database refuses a second one.
    pub fn row_uuid(&self, role: Role, router: Uuid, address: IpAddr, port: &str) -> Uuid {
        naming::row_uuid(&self.0, role.name(), router, address, port)
    }

    /// Returns whether a row has the tags of a port's override, and no others.
    pub fn is_override_of(&self, nat: &Nat, port: &str) -> bool {
        nat.tags.are([(keys::OWNER, &*self.0), (keys::PORT, port), (keys::ROLE, Role::Egress.name())])
    }

    /// Returns the role of a row, if it is ours and has one that is known here.
    pub fn role(&self, nat: &Nat) -> Option<Role> {
        self.role_if_owned(nat).flatten()
    }

    /// Returns the role of a row that is ours: `Some(None)` where it has none that is known here.
    pub fn role_if_owned(&self, nat: &Nat) -> Option<Option<Role>> {
        let name = || nat.tags.get(keys::ROLE);
        let role = || name().and_then(|name| Role::ALL.into_iter().find(|role| role.name() == name));
        self.owns(nat).then(role)
    }
}

impl Default for Owner {
    fn default() -> Self {
        Self("ovn-extaddr".to_owned())
    }
}

impl FromStr for Owner {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, &'static str> {
        let valid = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
        if text.is_empty() || text.len() > 64 || !text.chars().all(valid) {
            return Err("an owner is 1 to 64 letters, digits, dots, hyphens and underscores");
        }
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Role {
    const ALL: [Self; 3] = [Self::Egress, Self::Drain, Self::DefaultTarget];

    /// Returns the word for it in the database.
    pub fn name(self) -> &'static str {
        match self {
            Self::Egress => "egress",
            Self::Drain => "drain",
            Self::DefaultTarget => "default-target",
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn owner_name_is_limited_in_length_and_characters() {
        let longest = "x".repeat(64);
        for (text, is_valid) in [("", false), ("a b", false), ("ä", false), ("0-._Z", true), (&longest, true)]
        {
            assert_eq!(
                text.parse::<Owner>().map(|owner| owner.to_string()).ok().as_deref(),
                is_valid.then_some(text)
            );
        }
        assert!((longest + "x").parse::<Owner>().is_err());
    }

    #[test]
    fn every_owner_has_its_own_lock() {
        let owners = ["prod-a", "prod.a", "prod_a", "_prod-a", "1", "-1", "_1", "ovn-extaddr"];
        let locks: BTreeSet<_> =
            owners.iter().map(|owner| owner.parse::<Owner>().unwrap().lock().to_string()).collect();
        assert_eq!(locks.len(), owners.len());
        assert_eq!(Owner::default().lock().as_str(), "ovn_extaddr");
    }

    /// A different UUID after an upgrade would replace every override. These are from Python's `uuid.uuid5`.
    #[test]
    fn row_uuids_are_stable_between_versions() {
        let router = Uuid::from_u128(0x5e41ab08_7439_411e_b18a_02f46d8d86c3);
        for (role, address, uuid) in [
            (Role::Egress, "10.0.0.2", "195c5964-0313-5220-b4d8-3dd652ba4adf"),
            (Role::Drain, "fd42::2", "83f3d195-5e9b-5252-aaaa-36ab77fda95e"),
            (Role::Egress, "::ffff:10.0.0.2", "b61583b6-23c7-5254-892e-47fd1131d5a1"),
        ] {
            let row = Owner::default().row_uuid(role, router, address.parse().unwrap(), "web-eth0");
            assert_eq!(row.to_string(), uuid, "{address}");
        }
    }
}
