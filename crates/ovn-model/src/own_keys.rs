//! The keys of the agent's own rows, and of intents that it keeps.

use crate::family::Family;

/// The prefix of the keys of an agent's own rows in `NAT.external_ids`.
pub const PREFIX: &str = "ovn-extaddr:";
/// `NAT.external_ids`: the name of the agent group that the row belongs to.
pub const OWNER: &str = "ovn-extaddr:owner";
/// `NAT.external_ids`: the name of the `Logical_Switch_Port` that the row is for.
pub const PORT: &str = "ovn-extaddr:port";
/// `NAT.external_ids`: the role of the row.
pub const ROLE: &str = "ovn-extaddr:role";

/// Returns the prefix of the keys in `NB_Global.external_ids` of kept intents of `family`; the name of the port follows.
pub fn kept_prefix(family: Family) -> &'static str {
    match family {
        Family::V4 => "ovn-extaddr:ipv4.address.external:",
        Family::V6 => "ovn-extaddr:ipv6.address.external:",
    }
}

/// Returns the key of the kept intent of `family` for the port of that name.
pub fn kept_key(family: Family, port: &str) -> String {
    format!("{}{port}", kept_prefix(family))
}
