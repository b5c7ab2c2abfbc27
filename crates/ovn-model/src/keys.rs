//! The keys that the agent reads and writes in `external_ids`.

use ovsdb_protocol::KeyField;

use crate::family::Family;
pub use crate::own_keys::{OWNER, PORT, PREFIX, ROLE, kept_key, kept_prefix};
use crate::tables::{Port, PortExtras, Router};

/// `Logical_Router.external_ids`: `auto` is the intent for all instances behind the router.
pub const ROUTER: &str = Router::COLUMNS.external.key();

/// Returns the key in `Logical_Switch_Port.external_ids` of the wanted external address of `family`. Its value is an
/// address, `auto` or `none`.
pub fn port_key(family: Family) -> &'static str {
    port_field(family).key()
}

/// Returns the key of a port's wanted address of `family`, as a column of [`Port`].
pub fn port_field(family: Family) -> KeyField<Port> {
    match family {
        Family::V4 => PortExtras::COLUMNS.external_ipv4,
        Family::V6 => PortExtras::COLUMNS.external_ipv6,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tables::Nat;

    #[test]
    fn keys_of_own_rows_have_the_prefix_of_the_tags_column() {
        assert_eq!(PREFIX, Nat::COLUMNS.tags.prefix());
        assert!([OWNER, PORT, ROLE].iter().all(|key| key.starts_with(PREFIX)));
    }
}
