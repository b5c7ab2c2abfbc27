//! The effect of a logical flow on a packet's source address: ovn-sb(5), table `Logical_Flow`, column `actions`.

use std::net::IpAddr;

use crate::port_range::PortRange;

/// The effect on a packet in a stage of source translation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Action {
    /// `ct_snat(address)`: it gets this source.
    Translate(Translation),
    /// `ct_snat;`: it is translated back. `ct_dnat;`: the same by the row of another instance.
    Restore,
    /// It passes unchanged.
    Pass,
    /// Something else, such as `drop;`.
    Other,
}

/// A source that packets get.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Translation {
    /// The address.
    pub(super) address: IpAddr,
    /// The ports to which source ports are changed; `None` for those that are free.
    pub(super) ports: Option<PortRange>,
    /// Whether connections are kept in the zone that destination translation uses too, where a later stage finds the
    /// replies.
    pub(super) is_in_common_zone: bool,
}

impl Action {
    /// Reads actions.
    pub(super) fn parse(text: &str) -> Self {
        let mut found = Self::Other;
        for statement in text.split(';').map(str::trim).filter(|statement| !statement.is_empty()) {
            let (name, arguments) = match statement.split_once('(') {
                // A value that is cut off is not an address.
                Some((name, rest)) => (name.trim(), Some(rest.strip_suffix(')').unwrap_or_default())),
                None => (statement, None),
            };
            match (name, arguments) {
                ("ct_snat" | "ct_snat_in_czone" | "ct_dnat" | "ct_dnat_in_czone", None) => {
                    return Self::Restore;
                }
                ("ct_snat" | "ct_snat_in_czone", Some(arguments)) => {
                    return translation(name, arguments).map_or(Self::Other, Self::Translate);
                }
                ("next", None) if found == Self::Other => found = Self::Pass,
                _ => {
                    // A stateless rule changes the address without tracking.
                    let stateless = statement
                        .split_once('=')
                        .filter(|(field, _)| matches!(field.trim(), "ip4.src" | "ip6.src"));
                    if let Some(address) = stateless.and_then(|(_, address)| address.trim().parse().ok()) {
                        found =
                            Self::Translate(Translation { address, ports: None, is_in_common_zone: false });
                    }
                }
            }
        }
        found
    }
}

fn translation(name: &str, arguments: &str) -> Option<Translation> {
    let (address, ports) = match arguments.split_once(',') {
        Some((address, ports)) => (address, Some(ports.trim().parse().ok()?)),
        None => (arguments, None),
    };
    let address = address.trim().parse().ok()?;
    Some(Translation { address, ports, is_in_common_zone: name == "ct_snat_in_czone" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flow_actions_of_every_release_are_parsed() {
        let to = |address: &str, range: Option<(u16, u16)>, is_in_common_zone| {
            let ports = range.map(|(first, last)| PortRange { first, last });
            Action::Translate(Translation { address: address.parse().unwrap(), ports, is_in_common_zone })
        };
        for (text, expected) in [
            ("ct_snat(203.0.113.10);", to("203.0.113.10", None, false)),
            ("ct_snat_in_czone(203.0.113.10,1024-39999);", to("203.0.113.10", Some((1024, 39_999)), true)),
            ("reg9[4] = 0; ct_snat(2001:db8::10);", to("2001:db8::10", None, false)),
            (
                "eth.src = 02:00:00:00:02:01; ct_snat(203.0.113.10,80);",
                to("203.0.113.10", Some((80, 80)), false),
            ),
            ("ip4.src=203.0.113.10; next;", to("203.0.113.10", None, false)),
            ("ct_snat;", Action::Restore),
            ("ct_snat_in_czone;", Action::Restore),
            ("ct_dnat;", Action::Restore),
            ("next;", Action::Pass),
            ("flags.loopback = 1; next;", Action::Pass),
            ("drop;", Action::Other),
            ("ct_snat(10.0.0.0/8);", Action::Other),
            ("ct_snat(203.0.113.10,99-1);", Action::Other),
            ("ct_snat(203.0.113.10", Action::Other),
            ("", Action::Other),
        ] {
            assert_eq!(Action::parse(text), expected, "{text}");
        }
    }
}
