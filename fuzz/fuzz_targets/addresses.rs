//! `Logical_Switch_Port.addresses` and `dynamic_addresses`: parsing and formatting return the same text.
#![no_main]

use libfuzzer_sys::fuzz_target;
use ovn_model::PortAddresses;

fuzz_target!(|text: &str| {
    let texts: Vec<_> = text.split('\n').collect();
    let packed = PortAddresses::new(texts.iter().copied(), texts.last().copied());
    let allocated: Vec<_> = packed.dynamic_addresses().iter().collect();
    assert!(allocated.len() == 1 && allocated[0].text() == *texts[texts.len() - 1]);
    for element in packed.addresses().iter() {
        assert!(texts.contains(&&*element.text()));
        assert!(element.addresses().count() < 1 << 20);
    }
});
