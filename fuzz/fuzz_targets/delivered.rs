//! What a CA delivers: a chain.

#![no_main]

use domain::DomainName;
use jiff::Timestamp;
use libfuzzer_sys::fuzz_target;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use x509_parser::prelude::{FromDer, X509Certificate};

fuzz_target!(|chain: &str| {
    let name = DomainName::parse("shop.example.com").expect("a name");
    let now: Timestamp = "2027-01-01T00:00:00Z".parse().expect("an instant");
    // Whatever key the leaf is for is the one that was asked for.
    let leaf = CertificateDer::from_pem_slice(chain.as_bytes());
    let key = leaf.ok().and_then(|leaf| {
        let (_, leaf) = X509Certificate::from_der(&leaf).ok()?;
        Some(leaf.public_key().raw.to_vec())
    });
    let key = key.unwrap_or_default();
    if let Ok(delivered) = x509::check_delivered(chain, &name, &key, now) {
        let again = x509::check_delivered(&delivered.chain_pem, &name, &key, now);
        assert_eq!(again, Ok(delivered));
    }
});
