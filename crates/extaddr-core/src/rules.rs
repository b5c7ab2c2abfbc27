//! The rules of the operator: the part of the configuration that decisions depend on.

use std::net::IpAddr;
use std::time::Duration;

use ovn_model::Store;
use serde::Deserialize;

use crate::network::Network;
use crate::ownership::Owner;
use crate::policy::{Allow, Policy};
use crate::port_range::PortRange;

/// The default of `min-source-ports`: the number of connections to one server port that can exist at a time.
const MIN_SOURCE_PORTS: u16 = 128;

/// Settings that decisions depend on.
#[derive(Clone, Debug)]
pub struct Rules {
    /// The owner.
    pub owner: Owner,
    /// The source ports that an instance's own connections may have.
    pub port_range: PortRangeRule,
    /// The minimum number of source ports where they are chosen automatically.
    pub min_source_ports: u16,
    /// The handling of an address that a port-less VIP forwards.
    pub default_target: DefaultTargetRule,
    /// The handling of peers that the network's own SNAT exempts.
    pub exemptions: ExemptionsRule,
    /// The time for which the old address of a changed or withdrawn override finishes its connections.
    pub drain: Duration,
    /// The time for which a forward may be gone before the override is deleted.
    pub hold_down: Duration,
    /// Whether every instance that is the sole target of one forward address gets it.
    pub auto: bool,
    /// Whether the address must be forwarded to the port that has the intent.
    pub require_target: bool,
    /// Intents for many ports at once.
    pub policy: Policy,
    /// Addresses that may be used although nothing forwards them.
    pub allow: Vec<Allow>,
}

/// `port-range`: the choice of `external_port_range`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub enum PortRangeRule {
    /// The largest range without a port that the address listens on.
    #[default]
    Auto,
    /// None.
    Off,
    /// This one.
    Fixed(PortRange),
}

/// `default-target`: the handling of an address that a port-less VIP forwards.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DefaultTargetRule {
    /// Replace the VIP by a `dnat` row while the override is there.
    #[default]
    Convert,
    /// Reject the intent.
    Reject,
}

/// `exemptions`: the handling of a network's own SNAT for some peers only (`allowed_ext_ips`, `exempted_ext_ips`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ExemptionsRule {
    /// An override is for all peers.
    #[default]
    Ignore,
    /// It is for the same peers, by a reference to the same address set, which cannot be deleted meanwhile.
    Inherit,
}

// ===== impl Rules =====

impl Rules {
    /// Returns the database as the owner sees it.
    pub fn network<'a>(&self, store: &'a Store) -> Network<'a, '_> {
        Network { store, owner: &self.owner }
    }

    /// Creates the default rules for this owner.
    pub fn new(owner: Owner) -> Self {
        Self {
            owner,
            port_range: PortRangeRule::Auto,
            min_source_ports: MIN_SOURCE_PORTS,
            default_target: DefaultTargetRule::Convert,
            exemptions: ExemptionsRule::Ignore,
            drain: Duration::from_secs(300),
            hold_down: Duration::from_secs(2),
            auto: false,
            require_target: false,
            policy: Policy::default(),
            allow: Vec::new(),
        }
    }

    /// Returns whether the address may be used on the router of that name although nothing
    /// forwards it.
    pub fn permits(&self, router: &str, address: IpAddr) -> bool {
        self.allow.iter().any(|allow| allow.permits(router, address))
    }

    /// Returns whether intents may come from sources other than the ports themselves.
    pub fn has_rules_for_ports(&self) -> bool {
        self.auto || !self.policy.is_empty()
    }
}

// ===== impl PortRangeRule =====

impl TryFrom<String> for PortRangeRule {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        match &*text {
            "auto" => Ok(Self::Auto),
            "off" => Ok(Self::Off),
            range => range.parse().map(Self::Fixed),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn port_range_setting_is_a_keyword_or_a_range() {
        let rule = |text: &str| PortRangeRule::try_from(text.to_owned());
        assert_eq!(rule("auto"), Ok(PortRangeRule::Auto));
        assert_eq!(rule("off"), Ok(PortRangeRule::Off));
        let range = PortRange { first: 1024, last: 39999 };
        assert_eq!(rule("1024-39999"), Ok(PortRangeRule::Fixed(range)));
        assert!(rule("on").is_err());
    }
}
