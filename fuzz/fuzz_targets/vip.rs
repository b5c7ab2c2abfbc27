//! `Load_Balancer.vips`: parsing and formatting return the same pair.
#![no_main]

use libfuzzer_sys::fuzz_target;
use ovn_model::{Endpoint, Vip};

fuzz_target!(|text: &str| {
    let (key, value) = text.split_once('=').unwrap_or((text, ""));
    if let Some(vip) = Vip::parse(key, value) {
        assert_eq!((&*vip.key(), &*vip.value()), (key, value));
        assert_eq!(Endpoint::parse(&vip.endpoint.to_string()), Some(vip.endpoint));
    }
});
