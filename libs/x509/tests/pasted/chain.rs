//! The order of the certificates.

use domain::Trust;
use rcgen::{CertificateParams, KeyPair, PKCS_ECDSA_P384_SHA384, PKCS_ECDSA_P521_SHA512};
use x509::{PastedError, Warning};

use crate::kit::{Authority, Chain, NAME, check, leaf, refused};

#[test]
fn a_chain_in_order_is_accepted_and_encoded_anew() {
    let chain = Chain::new();
    let text = format!("Bag Attributes\n{}\n<b>junk</b>", chain.pem(&[0, 1, 2]));
    let pasted = check(&text, &chain.key.serialize_pem()).unwrap();
    assert_eq!(pasted.chain_pem.replace("\r\n", "\n"), chain.pem(&[0, 1, 2]).replace("\r\n", "\n"));
    assert_eq!(pasted.issuer, "CN=Lower");
    assert_eq!(pasted.sha256.len(), 64);
    assert!(!pasted.serial.is_empty());
    assert_eq!(pasted.trust, Trust::Private);
}

#[test]
fn a_root_at_the_end_is_kept_out() {
    let chain = Chain::new();
    let with_root = chain.check(&[0, 1, 2, 3]).unwrap();
    assert_eq!(with_root.chain_pem, chain.check(&[0, 1, 2]).unwrap().chain_pem);
}

#[test]
fn missing_intermediates_are_the_visitors_to_judge() {
    let chain = Chain::new();
    assert!(chain.check(&[0]).is_ok());
    assert!(chain.check(&[0, 1]).is_ok());
}

#[test]
fn a_root_without_the_intermediate_is_told_as_such() {
    let chain = Chain::new();
    let error = chain.check(&[0, 3]).unwrap_err();
    assert_eq!(error, PastedError::RootWithoutIntermediate { root: 2, issuer: "CN=Lower".to_owned() });
    assert_eq!(refused(chain.check(&[0, 3])), "INTERMEDIATE_MISSING");
    assert!(error.to_string().contains("certificate 2 of the text is a root, and the intermediate between"));
    // With an intermediate it is one more certificate that nobody needs.
    assert_eq!(chain.check(&[0, 1, 3]).unwrap().chain_pem, chain.check(&[0, 1]).unwrap().chain_pem);
}

#[test]
fn duplicates_and_strangers_are_left_out_with_a_note() {
    let chain = Chain::new();
    let stranger = Authority::root("Other").below("Stranger", KeyPair::generate().unwrap());
    let right = chain.check(&[0, 1, 2]).unwrap();
    assert_eq!(right.warnings, [Warning::NotPubliclyTrusted]);
    let warned = |text: &str| {
        let pasted = check(text, &chain.key.serialize_pem()).unwrap();
        assert_eq!(pasted.chain_pem, right.chain_pem);
        pasted.warnings[1..].to_vec()
    };
    assert_eq!(warned(&chain.pem(&[0, 0, 1, 2, 1])), [Warning::DuplicateLeftOut]);
    for text in
        [chain.pem(&[0, 1, 2]) + &stranger.pem, chain.pem(&[0]) + &stranger.pem + &chain.pem(&[1, 2, 3])]
    {
        assert_eq!(warned(&text), [Warning::UnrelatedLeftOut]);
    }
    let both = chain.pem(&[0, 1, 1]) + &stranger.pem + &chain.pem(&[2]);
    assert_eq!(warned(&both), [Warning::DuplicateLeftOut, Warning::UnrelatedLeftOut]);
    let only_upper = chain.check(&[0, 2]).unwrap();
    assert_eq!(only_upper.warnings[1..], [Warning::UnrelatedLeftOut]);
}

#[test]
fn the_order_of_those_that_belong_together_is_told() {
    let chain = Chain::new();
    assert_eq!(chain.check(&[0, 2, 1]).unwrap_err(), PastedError::ChainOrder(2));
    assert_eq!(refused(chain.check(&[0, 3, 1, 2])), "CHAIN_ORDER");
    assert_eq!(chain.check(&[2, 1, 0]).unwrap_err(), PastedError::LeafNotFirst(3));
    assert_eq!(refused(chain.check(&[1, 2])), "KEY_MISMATCH");
}

#[test]
fn an_issuer_of_the_same_name_with_another_key_is_left_out() {
    let key = KeyPair::generate().unwrap();
    let leaf = Authority::root("Root").issue(&leaf(&[NAME]), &key);
    let text = leaf + &Authority::root("Root").pem;
    let pasted = check(&text, &key.serialize_pem()).unwrap();
    assert_eq!(pasted.warnings[1..], [Warning::UnrelatedLeftOut]);
}

#[test]
fn an_issuer_of_another_name_with_the_same_key_is_left_out() {
    let (ca_key, key) = (KeyPair::generate().unwrap(), KeyPair::generate().unwrap());
    let again = KeyPair::from_pem(&ca_key.serialize_pem()).unwrap();
    let root = Authority::root("Root");
    let leaf = root.below("Lower", ca_key).issue(&leaf(&[NAME]), &key);
    let text = leaf + &root.below("Renamed", again).pem;
    let pasted = check(&text, &key.serialize_pem()).unwrap();
    assert_eq!(pasted.warnings[1..], [Warning::UnrelatedLeftOut]);
}

#[test]
fn intermediates_may_have_keys_that_leaves_may_not() {
    for algorithm in [&PKCS_ECDSA_P384_SHA384, &PKCS_ECDSA_P521_SHA512] {
        let lower = Authority::root("Root").below("Lower", KeyPair::generate_for(algorithm).unwrap());
        let key = KeyPair::generate().unwrap();
        let text = lower.issue(&leaf(&[NAME]), &key) + &lower.pem;
        check(&text, &key.serialize_pem()).unwrap();
    }
}

#[test]
fn the_number_of_certificates_is_bounded() {
    let chain = Chain::new();
    assert_eq!(refused(chain.check(&[0; 11])), "TOO_MANY_CERTIFICATES");
    assert_eq!(chain.check(&[0; 10]).unwrap().chain_pem.matches("BEGIN").count(), 1);
}

#[test]
fn a_certificate_that_cannot_be_read_is_named() {
    let chain = Chain::new();
    let der = pem::parse(&chain.certificates[1]).unwrap().into_contents();
    for bad in [&der[..der.len() - 1], &[&der, &b"more"[..]].concat(), b"0"] {
        let bad = pem::encode(&pem::Pem::new("CERTIFICATE", bad));
        let error = check(&(chain.pem(&[0]) + &bad), &chain.key.serialize_pem()).unwrap_err();
        assert_eq!(error, PastedError::Unparsable(2));
        assert_eq!(error.reason(), "UNPARSABLE");
    }
}

#[test]
fn a_certificate_made_for_oneself_is_accepted() {
    let key = KeyPair::generate().unwrap();
    let mut as_ca = leaf(&[NAME]);
    as_ca.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    for params in [leaf(&[NAME]), as_ca] {
        let params: CertificateParams = params;
        let own = params.self_signed(&key).unwrap().pem();
        let pasted = check(&own, &key.serialize_pem()).unwrap();
        assert_eq!(pasted.trust, Trust::Private);
        assert_eq!(pasted.chain_pem.matches("BEGIN").count(), 1);
    }
}
