//! What is accepted of a paste, and why the rest is not.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::time::{Duration, SystemTime};

use domain::DomainName;
use jiff::{SignedDuration, Timestamp};
use proptest::prelude::*;
use rcgen::{
    BasicConstraints, CertificateParams, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    PKCS_ECDSA_P256_SHA256, PKCS_ECDSA_P384_SHA384, PKCS_ECDSA_P521_SHA512, PKCS_ED25519, SignatureAlgorithm,
};
use x509::{Pasted, PastedError, check_pasted};

const NAME: &str = "shop.example.com";

fn name() -> DomainName {
    DomainName::parse(NAME).unwrap()
}

/// Within the dates of the files under `data`, which were made for these tests and are used nowhere else.
fn now() -> Timestamp {
    "2027-01-01T00:00:00Z".parse().unwrap()
}

fn at(offset_days: i64) -> SystemTime {
    let now = Duration::from_secs(now().as_second().cast_unsigned());
    let offset = Duration::from_hours(24 * offset_days.unsigned_abs());
    let now = SystemTime::UNIX_EPOCH + now;
    if offset_days < 0 {
        now - offset
    } else {
        now + offset
    }
}

struct Authority {
    params: CertificateParams,
    key: KeyPair,
    pem: String,
}

impl Authority {
    fn new(common_name: &str) -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params
            .distinguished_name
            .push(rcgen::DnType::CommonName, common_name);
        let pem = params.self_signed(&key).unwrap().pem();
        Self { params, key, pem }
    }

    fn issuer(&self) -> Issuer<'_, &KeyPair> {
        Issuer::from_params(&self.params, &self.key)
    }
}

struct Made {
    certificate: String,
    key: String,
}

/// A leaf of an authority, changed by `change`.
fn leaf(
    authority: &Authority,
    algorithm: &'static SignatureAlgorithm,
    change: impl FnOnce(&mut CertificateParams),
) -> Made {
    let key = KeyPair::generate_for(algorithm).unwrap();
    let mut params = CertificateParams::new(vec![NAME.to_owned()]).unwrap();
    params.not_before = at(-1).into();
    params.not_after = at(89).into();
    change(&mut params);
    Made {
        certificate: params.signed_by(&key, &authority.issuer()).unwrap().pem(),
        key: key.serialize_pem(),
    }
}

fn plain(authority: &Authority) -> Made {
    leaf(authority, &PKCS_ECDSA_P256_SHA256, |_| {})
}

fn check(made: &Made) -> Result<Pasted, PastedError> {
    check_pasted(&made.certificate, &made.key, &name(), now())
}

fn reason(certificate: &str, key: &str) -> &'static str {
    match check_pasted(certificate, key, &name(), now()) {
        Ok(_) => "accepted",
        Err(error) => error.reason(),
    }
}

macro_rules! data {
    ($file:literal) => {
        include_str!(concat!("data/", $file))
    };
}

#[test]
fn a_leaf_with_its_key_is_accepted_and_encoded_anew() {
    let root = Authority::new("Root");
    for algorithm in [&PKCS_ECDSA_P256_SHA256, &PKCS_ECDSA_P384_SHA384] {
        let made = leaf(&root, algorithm, |_| {});
        let noisy = Made {
            certificate: format!("subject=CN = shop\n{}trailing words\n", made.certificate),
            ..made
        };
        let accepted = check(&noisy).unwrap();
        assert!(accepted.chain_pem.starts_with("-----BEGIN CERTIFICATE-----"));
        assert!(!accepted.chain_pem.contains("words"));
        assert_eq!(accepted.sha256.len(), 64);
        assert!(!accepted.publicly_trusted, "no browser knows that root");
        assert_eq!(
            accepted.not_after.duration_since(now()),
            SignedDuration::from_hours(24 * 89)
        );
    }
}

#[test]
fn a_chain_has_to_be_in_order_and_a_root_is_left_out() {
    let (root, other) = (Authority::new("Root"), Authority::new("Root"));
    let made = plain(&root);
    let with_root = Made {
        certificate: format!("{}{}", made.certificate, root.pem),
        key: made.key.clone(),
    };
    let accepted = check(&with_root).unwrap();
    assert_eq!(accepted.chain_pem.matches("BEGIN CERTIFICATE").count(), 1);

    let swapped = format!("{}{}", root.pem, made.certificate);
    assert_eq!(reason(&swapped, &made.key), "CHAIN_ORDER");
    let same_name = format!("{}{}", made.certificate, other.pem);
    assert_eq!(
        reason(&same_name, &made.key),
        "CHAIN_ORDER",
        "the name is right, the key is not"
    );
}

#[test]
fn every_rule_has_its_reason() {
    let root = Authority::new("Root");
    let ec = &PKCS_ECDSA_P256_SHA256;
    let names = |name: &str| {
        let name = name.to_owned();
        leaf(&root, ec, |params| {
            params.subject_alt_names = vec![rcgen::SanType::DnsName(name.try_into().unwrap())];
        })
    };
    for (expected, made) in [
        ("accepted", names("*.example.com")),
        ("accepted", names("SHOP.example.com")),
        ("NAME_NOT_COVERED", names("*.shop.example.com")),
        ("NAME_NOT_COVERED", names("*.com")),
        ("NAME_NOT_COVERED", names("other.example.com")),
        (
            "NAME_NOT_COVERED",
            leaf(&root, ec, |params| params.subject_alt_names.clear()),
        ),
        (
            "EXPIRED",
            leaf(&root, ec, |params| params.not_after = at(0).into()),
        ),
        (
            "NOT_YET_VALID",
            leaf(&root, ec, |params| params.not_before = at(1).into()),
        ),
        (
            "BAD_DATES",
            leaf(&root, ec, |params| params.not_after = at(-2).into()),
        ),
        (
            "NOT_FOR_SERVERS",
            leaf(&root, ec, |params| {
                params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
            }),
        ),
        (
            "CA_CERTIFICATE",
            leaf(&root, ec, |params| {
                params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
            }),
        ),
        ("UNSUPPORTED_KEY", leaf(&root, &PKCS_ECDSA_P521_SHA512, |_| {})),
        ("UNSUPPORTED_KEY", leaf(&root, &PKCS_ED25519, |_| {})),
    ] {
        assert_eq!(reason(&made.certificate, &made.key), expected);
    }
}

#[test]
fn a_key_has_to_be_the_leafs_and_open() {
    let root = Authority::new("Root");
    let (made, other) = (plain(&root), plain(&root));
    assert_eq!(reason(&made.certificate, &other.key), "KEY_MISMATCH");
    assert_eq!(
        reason(&made.certificate, data!("rsa2048.pkcs1.pem")),
        "KEY_MISMATCH"
    );
    assert_eq!(
        reason(data!("ec.pem"), data!("ec.encrypted.pem")),
        "ENCRYPTED_KEY"
    );
    assert_eq!(
        reason(data!("ec.pem"), data!("ec.legacy-encrypted.pem")),
        "ENCRYPTED_KEY"
    );
    let two = format!("{}{}", made.key, other.key);
    assert_eq!(reason(&made.certificate, &two), "SEVERAL_KEYS");
    assert_eq!(reason(&made.key, &made.certificate), "SWAPPED");
    assert_eq!(reason(&made.certificate, &made.certificate), "SWAPPED");
    assert_eq!(reason(&made.certificate, ""), "NO_KEY");
    assert_eq!(reason("", &made.key), "NO_CERTIFICATE");
}

#[test]
fn keys_of_other_tools_are_accepted_and_become_pkcs_8() {
    for (certificate, key) in [
        (data!("rsa2048.pem"), data!("rsa2048.pkcs1.pem")),
        (data!("ec.pem"), data!("ec.sec1.pem")),
    ] {
        let accepted = check_pasted(certificate, key, &name(), now()).unwrap();
        let again = pem(&accepted.pkcs8);
        assert_eq!(reason(certificate, &again), "accepted");
    }
}

fn pem(pkcs8: &[u8]) -> String {
    KeyPair::try_from(pkcs8).unwrap().serialize_pem()
}

#[test]
fn weak_keys_and_signatures_are_refused() {
    assert_eq!(reason(data!("rsa1024.pem"), data!("rsa1024.key.pem")), "WEAK_KEY");
    assert_eq!(
        reason(data!("sha1.pem"), data!("sha1.key.pem")),
        "accepted",
        "its own signature proves nothing anyway"
    );
}

#[test]
fn a_self_signed_certificate_is_a_customers_own_business() {
    let accepted = check_pasted(data!("ec.pem"), data!("ec.sec1.pem"), &name(), now()).unwrap();
    assert!(!accepted.publicly_trusted);
}

#[test]
fn what_is_no_pem_or_too_much_is_refused_before_it_is_parsed() {
    let made = plain(&Authority::new("Root"));
    assert_eq!(reason("no certificate here", &made.key), "NOT_PEM");
    let cut = &made.certificate[..made.certificate.len() / 2];
    assert_eq!(reason(cut, &made.key), "NOT_PEM");
    let nonsense = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    assert_eq!(reason(nonsense, &made.key), "UNPARSABLE");
    let huge = made.certificate.repeat(10 * 1024 * 1024 / made.certificate.len());
    assert_eq!(reason(&huge, &made.key), "TOO_LARGE");
    assert_eq!(reason(&made.certificate, &huge), "TOO_LARGE");
    assert_eq!(
        reason(&made.certificate.repeat(11), &made.key),
        "TOO_MANY_CERTIFICATES"
    );
}

proptest! {
    #[test]
    fn nothing_panics(certificate in "\\PC{0,400}", key in "\\PC{0,400}", cut in 0..900_usize) {
        prop_assert!(check_pasted(&certificate, &key, &name(), now()).is_err());
        let (whole, open) = (data!("ec.pem"), data!("ec.sec1.pem"));
        let cut = cut.min(whole.len());
        let damaged = format!("{}{certificate}{}", &whole[..cut], &whole[cut..]);
        drop(check_pasted(&damaged, open, &name(), now()));
        drop(check_pasted(whole, &format!("{}{key}", &open[..cut.min(open.len())]), &name(), now()));
    }
}
