//! The UUIDs of the agent's own rows.

use std::net::IpAddr;

use ovsdb_protocol::Uuid;
use sha1::{Digest, Sha1};

use crate::parsing::push_ip;

/// The name space of the UUIDs of all the agent's rows.
pub const NAMESPACE: Uuid = Uuid::from_u128(0x8f2c_5a3e_61d4_4b7f_9e0a_d3b1_c46f_7728);

/// Returns the UUID of the row with this role on the router with UUID `router`, for an address and a port.
pub fn row_uuid(owner: &str, role: &str, router: Uuid, address: IpAddr, port: &str) -> Uuid {
    let mut name = String::with_capacity(192);
    let mut router_text = Uuid::encode_buffer();
    for part in [owner, role, router.hyphenated().encode_lower(&mut router_text)] {
        name.push_str(part);
        name.push('\0');
    }
    push_ip(&mut name, address);
    name.push('\0');
    name.push_str(port);
    named_uuid(&name)
}

/// Returns the UUID of a name in this name space, of version 5 (RFC 9562 section 5.5).
///
/// One has to be computed for each row; where the hardware supports SHA-1, this takes a fraction of the time.
pub fn named_uuid(name: &str) -> Uuid {
    let sum = Sha1::new_with_prefix(NAMESPACE).chain_update(name).finalize();
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&sum[..16]);
    bytes[6] = bytes[6] & 0x0f | 0x50;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    Uuid::from_bytes(bytes)
}
