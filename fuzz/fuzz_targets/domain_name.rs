//! Names, as people and programs write them.

#![no_main]

use domain::DomainName;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let Ok(name) = DomainName::parse(text) else {
        return;
    };
    let kept = name.as_str();
    assert!(kept.is_ascii() && kept.len() <= 253, "{kept:?}");
    assert_eq!(DomainName::parse(kept).as_ref(), Ok(&name), "one spelling");
    assert_eq!(DomainName::parse(&kept.to_uppercase()).as_ref(), Ok(&name));
});
