//! A row's record of a conversion, after somebody wrote into it: what is understood is kept.
#![no_main]

use extaddr_core::undo::Undo;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let list = Undo::list_from_text(text);
    assert_eq!(Undo::list_from_text(&Undo::list_to_text(&list)), list);
});
