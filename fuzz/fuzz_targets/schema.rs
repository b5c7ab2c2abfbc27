//! A schema: it is valid, or an error says why not.
#![no_main]

use libfuzzer_sys::fuzz_target;
use ovsdb_protocol::DatabaseSchema;

fuzz_target!(|text: &str| {
    if let Err(error) = DatabaseSchema::parse(text) {
        assert!(!error.to_string().is_empty());
    }
});
