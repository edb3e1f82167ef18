//! The key.

use rcgen::{
    KeyPair, PKCS_ECDSA_P384_SHA384, PKCS_ECDSA_P521_SHA512, PKCS_ED25519, PKCS_RSA_SHA256, PublicKeyData,
    RsaKeySize,
};
use x509::PastedError;

use crate::kit::{Chain, NAME, check, leaf, refused};

const PKCS1: &str = include_str!("../data/test-rsa2048.pkcs1.pem");
const SEC1: &str = include_str!("../data/test-p256.sec1.pem");

/// A certificate that the key signed for itself.
fn certificate(key: &KeyPair) -> String {
    leaf(&[NAME]).self_signed(key).unwrap().pem()
}

#[test]
fn rsa_and_ec_keys_are_accepted_as_pkcs8() {
    for key in [
        KeyPair::generate().unwrap(),
        KeyPair::generate_for(&PKCS_ECDSA_P384_SHA384).unwrap(),
        KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_2048).unwrap(),
        KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_4096).unwrap(),
    ] {
        let pasted = check(&certificate(&key), &key.serialize_pem()).unwrap();
        assert_eq!(*pasted.pkcs8, key.serialize_der());
    }
}

#[test]
fn older_encodings_become_pkcs8() {
    for (old, label) in [(PKCS1, "RSA PRIVATE KEY"), (SEC1, "EC PRIVATE KEY")] {
        let start = old.find(&format!("-----BEGIN {label}")).unwrap();
        let key = KeyPair::from_pem(&old[start..]).unwrap();
        let certificate = certificate(&key);
        let other_label = old.replace(label, "PRIVATE KEY");
        for text in [old, other_label.as_str()] {
            let pasted = check(&certificate, text).unwrap();
            let read = KeyPair::try_from(pasted.pkcs8.as_slice()).unwrap();
            assert_eq!(read.subject_public_key_info(), key.subject_public_key_info());
            let der = rustls_pki_types::PrivatePkcs8KeyDer::from(pasted.pkcs8.as_slice());
            KeyPair::from_pkcs8_der_and_sign_algo(&der, key.algorithm()).unwrap();
        }
    }
}

#[test]
fn an_encrypted_key_is_to_be_decrypted_first() {
    let chain = Chain::new();
    for key in [
        include_str!("../data/test-rsa2048.encrypted-pkcs1.pem"),
        include_str!("../data/test-rsa2048.encrypted-pkcs8.pem"),
    ] {
        let error = check(&chain.pem(&[0]), key).unwrap_err();
        assert_eq!(error, PastedError::EncryptedKey);
        assert!(error.to_string().contains("decrypt it first"));
    }
}

#[test]
fn another_key_is_refused() {
    let chain = Chain::new();
    let other = KeyPair::generate().unwrap().serialize_pem();
    assert_eq!(refused(check(&chain.pem(&[0, 1]), &other)), "KEY_MISMATCH");
    assert_eq!(refused(check(&chain.pem(&[0, 1]), PKCS1)), "KEY_MISMATCH");
}

#[test]
fn a_key_is_long_enough_and_not_too_long() {
    let short =
        check(include_str!("../data/test-rsa1024.crt.pem"), include_str!("../data/test-rsa1024.key.pem"));
    assert_eq!(short.unwrap_err(), PastedError::WeakKey(1024));
    let long =
        check(include_str!("../data/test-rsa8192.crt.pem"), include_str!("../data/test-rsa8192.key.pem"));
    assert_eq!(refused(long), "UNSUPPORTED_KEY");
}

#[test]
fn keys_that_browsers_do_not_take_are_refused() {
    for algorithm in [&PKCS_ED25519, &PKCS_ECDSA_P521_SHA512] {
        let key = KeyPair::generate_for(algorithm).unwrap();
        let result = check(&certificate(&key), &key.serialize_pem());
        assert_eq!(refused(result), "UNSUPPORTED_KEY");
    }
}

#[test]
fn a_key_that_cannot_be_read_is_refused() {
    let chain = Chain::new();
    let ed25519 = KeyPair::generate_for(&PKCS_ED25519).unwrap().serialize_pem();
    let broken = PKCS1.replacen("MII", "MIJ", 1);
    for key in [ed25519.as_str(), &broken, include_str!("../data/test-rsa1024.key.pem")] {
        assert_eq!(refused(check(&chain.pem(&[0]), key)), "UNPARSABLE_KEY");
    }
}

#[test]
fn there_is_one_key() {
    let chain = Chain::new();
    let key = chain.key.serialize_pem();
    let public = chain.key.public_key_pem();
    let certificates = chain.pem(&[0]);
    assert_eq!(refused(check(&certificates, &key.repeat(2))), "SEVERAL_KEYS");
    assert_eq!(refused(check(&certificates, &public)), "NO_KEY");
    check(&certificates, &(public + &key)).unwrap();
}

#[test]
fn nothing_prints_a_key() {
    let chain = Chain::new();
    let pasted = chain.check(&[0]).unwrap();
    let shown = format!("{pasted:?}");
    assert!(shown.starts_with("Pasted") && !shown.contains("pkcs8"), "{shown}");
}
