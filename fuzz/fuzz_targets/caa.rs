//! Values of `issue` properties.

#![no_main]

use libfuzzer_sys::fuzz_target;

#[path = "../../libs/dns/src/issuers.rs"]
mod issuers;

use issuers::{Applicant, Issuers};

fuzz_target!(|value: &[u8]| {
    let Some(issuers) = Issuers::parse(value) else {
        return;
    };
    let identities = ["ca.example.net".to_owned()];
    let applicant = |identities| Applicant {
        identities,
        method: "http-01",
        account_url: Some("https://ca.example.net/acct/1"),
    };
    assert!(!issuers.include(&applicant(&[])), "nobody is named by nothing");
    let included = issuers.include(&applicant(&identities));
    let text = String::from_utf8_lossy(value).to_lowercase();
    assert!(!included || text.contains("ca.example.net"));
});
