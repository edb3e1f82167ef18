//! What a customer pastes: a certificate and a key.

#![no_main]

use domain::DomainName;
use jiff::Timestamp;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let (certificate, key) = text.split_once('\0').unwrap_or((text, text));
    let name = DomainName::parse("shop.example.com").expect("a name");
    let now: Timestamp = "2027-01-01T00:00:00Z".parse().expect("an instant");
    match x509::check_pasted(certificate, key, &name, now) {
        Ok(pasted) => {
            let key = x509::private_key_pem(&pasted.pkcs8);
            let again = x509::check_pasted(&pasted.chain_pem, &key, &name, now).expect("it was accepted");
            assert_eq!((again.sha256, again.chain_pem), (pasted.sha256, pasted.chain_pem));
        }
        Err(problem) => {
            let sentence = problem.to_string();
            assert!(sentence.len() < 2000 && !sentence.chars().any(char::is_control), "{sentence:?}");
        }
    }
});
