//! What a customer brings as files: PEM, DER, PKCS #7, PFX, base64 alone, in UTF-8 or UTF-16.

#![no_main]

use domain::DomainName;
use jiff::Timestamp;
use libfuzzer_sys::fuzz_target;
use x509::{Pasted, PastedError, PastedFiles};

/// Two bytes with the certificate's length, the certificate, a byte with the password's length, the password, the key.
/// DER has zero bytes, so none can separate them.
fn parts(data: &[u8]) -> Option<(&[u8], &str, &[u8])> {
    let (length, rest) = data.split_at_checked(2)?;
    let length = u16::from_be_bytes(length.try_into().ok()?);
    let (certificate, rest) = rest.split_at_checked(length.into())?;
    let (length, rest) = rest.split_first()?;
    let (password, private_key) = rest.split_at_checked((*length).into())?;
    Some((certificate, str::from_utf8(password).ok()?, private_key))
}

fn check(certificate: &[u8], private_key: &[u8], password: &str) -> Result<Pasted, PastedError> {
    let name = DomainName::parse("shop.example.com").expect("a name");
    let now: Timestamp = "2026-12-01T00:00:00Z".parse().expect("an instant");
    x509::check_files(PastedFiles { certificate, private_key, password }, &name, now)
}

/// As Windows writes it.
fn utf_16(text: &str) -> Vec<u8> {
    "\u{feff}".encode_utf16().chain(text.encode_utf16()).flat_map(u16::to_le_bytes).collect()
}

fuzz_target!(|data: &[u8]| {
    let Some((certificate, password, private_key)) = parts(data) else {
        return;
    };
    match check(certificate, private_key, password) {
        Ok(pasted) => {
            let key = x509::private_key_pem(&pasted.pkcs8);
            let again = check(pasted.chain_pem.as_bytes(), key.as_bytes(), "").expect("it was accepted");
            assert_eq!((&again.sha256, &again.chain_pem), (&pasted.sha256, &pasted.chain_pem));
            // A file that begins with a block is text, in whichever encoding.
            let text = str::from_utf8(certificate).ok().filter(|text| text.starts_with("-----BEGIN"));
            if let Some(text) = text.filter(|text| !text.contains('\0')) {
                let again = check(&utf_16(text), private_key, password).expect("it was accepted");
                assert_eq!((again.sha256, again.chain_pem), (pasted.sha256, pasted.chain_pem));
            }
        }
        Err(problem) => {
            let sentence = problem.to_string();
            assert!(sentence.len() < 2000 && !sentence.chars().any(char::is_control), "{sentence:?}");
        }
    }
    // What a page shows again.
    if let Some(text) = x509::only_certificates(certificate) {
        assert!(!text.contains("PRIVATE KEY"), "{text}");
        assert_eq!(x509::only_certificates(text.as_bytes()), Some(text));
    }
    if let Ok(identity) = x509::server_identity(certificate, private_key) {
        let again = x509::server_identity(identity.chain_pem.as_bytes(), identity.private_key_pem.as_bytes());
        assert!(again.is_ok_and(|again| again.chain_pem == identity.chain_pem));
    }
});
