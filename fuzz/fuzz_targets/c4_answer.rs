//! What C4 answers.

#![no_main]

use domain::{DomainName, Source};
use libfuzzer_sys::fuzz_target;

#[path = "../../libs/c4/src/wire.rs"]
#[expect(dead_code, reason = "what is sent is not what is fuzzed")]
mod wire;

/// As in the crate that the file is of.
pub struct Upload<'a> {
    certificate_pem: &'a str,
    private_key_pem: &'a str,
    sha256: &'a str,
    source: Source,
    revision: i64,
}

fuzz_target!(|body: &[u8]| {
    let name = DomainName::parse("shop.example.com").expect("a name");
    if let Ok(domain) = wire::domain(&name, body) {
        assert!(domain.cname.len() <= 254 && !domain.cname.contains(char::is_whitespace));
        assert!(domain.certificate.is_none_or(|certificate| certificate.sha256.len() == 64));
    }
    let _ = wire::said(body);
});
