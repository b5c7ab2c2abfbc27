//! Gives OVN instances their external address.
fn main() {}
