//! The UUIDs of our own rows.

use std::fmt::Write;
use std::net::IpAddr;

use ovsdb_protocol::Uuid;

/// The name space of all UUIDs of ours.
pub const NAMESPACE: Uuid = Uuid::from_u128(0x8f2c_5a3e_61d4_4b7f_9e0a_d3b1_c46f_7728);

/// Returns the UUID of the row with this role on the router with UUID `router`, for an address and a port.
pub fn row_uuid(owner: &str, role: &str, router: Uuid, address: IpAddr, port: &str) -> Uuid {
    let mut name = String::with_capacity(192);
    let mut router_text = Uuid::encode_buffer();
    for part in [owner, role, router.hyphenated().encode_lower(&mut router_text)] {
        name.push_str(part);
        name.push('\0');
    }
    // A `String` takes whatever is written.
    let _ = write!(name, "{address}\0");
    name.push_str(port);
    Uuid::new_v5(&NAMESPACE, name.as_bytes())
}
