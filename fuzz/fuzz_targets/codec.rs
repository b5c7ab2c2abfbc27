//! Bytes of a server, in chunks of any size: the same messages and rows, and never a panic.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Some((size, bytes)) = data.split_first() else { return };
    let whole = ovsdb_protocol::fuzzing::decode([bytes]);
    let cut = ovsdb_protocol::fuzzing::decode(bytes.chunks(usize::from(*size).max(1)));
    assert_eq!(whole, cut);
});
