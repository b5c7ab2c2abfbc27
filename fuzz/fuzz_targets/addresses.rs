//! `Logical_Switch_Port.addresses`: the texts come out as they went in.
#![no_main]

use libfuzzer_sys::fuzz_target;
use ovn_model::AddressSet;

fuzz_target!(|text: &str| {
    let texts: Vec<_> = text.split('\n').collect();
    let set = AddressSet::new(texts.iter().copied());
    for element in set.iter() {
        assert!(texts.contains(&&*element.text()));
        assert!(element.addresses().count() < 1 << 20);
    }
});
