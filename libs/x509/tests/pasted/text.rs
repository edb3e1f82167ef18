//! The two texts: whatever stands in them, the answer is a reason and never a panic.

use proptest::prelude::*;
use x509::{Field, PastedError};

use crate::kit::{Chain, check, refused};

#[test]
fn empty_texts_lack_what_they_should_have() {
    let chain = Chain::new();
    let (certificates, key) = (chain.pem(&[0, 1]), chain.key.serialize_pem());
    for empty in ["", " \r\n\t"] {
        assert_eq!(refused(check(empty, &key)), "NO_CERTIFICATE");
        assert_eq!(refused(check(&certificates, empty)), "NO_KEY");
        assert_eq!(refused(check(empty, empty)), "NO_CERTIFICATE");
    }
}

#[test]
fn a_signing_request_is_no_certificate() {
    let chain = Chain::new();
    let request = chain.certificates[0].replace("CERTIFICATE", "CERTIFICATE REQUEST");
    let error = check(&request, &chain.key.serialize_pem()).unwrap_err();
    assert_eq!(error.reason(), "NO_CERTIFICATE");
    assert!(error.to_string().contains("CSR"));
}

#[test]
fn text_that_is_not_pem_says_which() {
    let chain = Chain::new();
    let (certificates, key) = (chain.pem(&[0]), chain.key.serialize_pem());
    let one_line = certificates.replace("\r\n", " ").replace('\n', " ");
    let no_first_line = certificates.split_once('\n').unwrap().1;
    for bad in ["shop", &one_line, no_first_line, &certificates[..200], "\0\u{7f}\u{fffd}"] {
        assert_eq!(check(bad, &key).unwrap_err(), PastedError::NotPem(Field::Certificate));
        assert_eq!(check(&certificates, bad).unwrap_err(), PastedError::NotPem(Field::PrivateKey));
    }
    let both_cut = format!("{}{certificates}", certificates.trim_end());
    assert_eq!(refused(check(&both_cut, &key)), "NOT_PEM");
}

#[test]
fn large_texts_are_not_even_read() {
    let chain = Chain::new();
    let (certificates, key) = (chain.pem(&[0, 1]), chain.key.serialize_pem());
    let large = "-----BEGIN CERTIFICATE-----\n".repeat(400_000);
    assert!(large.len() > 10_000_000);
    assert_eq!(check(&large, &key).unwrap_err(), PastedError::TooLarge(Field::Certificate));
    assert_eq!(check(&certificates, &large).unwrap_err(), PastedError::TooLarge(Field::PrivateKey));
    let filled = |text: &str, bytes: usize| format!("{}\n{text}", "x".repeat(bytes - text.len() - 1));
    check(&filled(&certificates, 64 * 1024), &filled(&key, 64 * 1024)).unwrap();
    assert_eq!(refused(check(&filled(&certificates, 64 * 1024 + 1), &key)), "TOO_LARGE");
}

#[test]
fn what_is_in_the_wrong_place_is_told() {
    let chain = Chain::new();
    let (certificates, key) = (chain.pem(&[0, 1]), chain.key.serialize_pem());
    let error = check(&key, &certificates).unwrap_err();
    assert_eq!(error, PastedError::Swapped);
    assert!(error.to_string().contains("in each other's place"));
    let both = format!("{certificates}{key}");
    assert_eq!(refused(check(&both, &key)), "KEY_IN_CERTIFICATE");
    assert_eq!(refused(check(&both, &both)), "KEY_IN_CERTIFICATE");
    assert_eq!(refused(check(&key, &key)), "KEY_IN_CERTIFICATE");
    assert_eq!(refused(check(&certificates, &both)), "CERTIFICATE_IN_KEY");
    assert_eq!(refused(check(&certificates, &certificates)), "CERTIFICATE_IN_KEY");
}

/// The same PEM with other bytes in it.
fn damage(text: &str, changes: &[(prop::sample::Index, u8)]) -> String {
    let mut block = pem::parse(text).unwrap();
    let mut der = block.contents().to_vec();
    for (place, byte) in changes {
        let place = place.index(der.len());
        der[place] = *byte;
    }
    block = pem::Pem::new(block.tag(), der);
    pem::encode(&block)
}

fn changes() -> impl Strategy<Value = Vec<(prop::sample::Index, u8)>> {
    prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4)
}

proptest! {
    #[test]
    fn random_texts_never_panic(certificate in any::<String>(), key in "\\PC{0,300}") {
        prop_assert!(check(&certificate, &key).is_err());
    }

    #[test]
    fn random_bytes_in_blocks_never_panic(der in prop::collection::vec(any::<u8>(), 0..300)) {
        let certificate = pem::encode(&pem::Pem::new("CERTIFICATE", der.clone()));
        let key = pem::encode(&pem::Pem::new("PRIVATE KEY", der));
        prop_assert!(check(&certificate, &key).is_err());
    }

    #[test]
    fn damaged_certificates_and_keys_never_panic(certificate in changes(), key in changes()) {
        let chain = Chain::new();
        let leaf = damage(&chain.certificates[0], &certificate);
        let _ = check(&leaf, &damage(&chain.key.serialize_pem(), &key));
        let _ = check(&(leaf + &chain.certificates[1]), &chain.key.serialize_pem());
    }
}
