//! What a CA delivers is accepted only if it is what was asked for.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use domain::DomainName;
use jiff::{SignedDuration, Timestamp};
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, IsCa, Issuer, KeyPair, PublicKeyData,
};
use x509::{Delivered, DeliveredError, check_delivered};

struct Case {
    names: Vec<&'static str>,
    from: SignedDuration,
    to: SignedDuration,
    other_key: bool,
    foreign_intermediate: bool,
}

impl Default for Case {
    fn default() -> Self {
        Self {
            names: vec!["shop.example.com"],
            from: -SignedDuration::from_hours(1),
            to: SignedDuration::from_hours(24 * 90),
            other_key: false,
            foreign_intermediate: false,
        }
    }
}

fn now() -> Timestamp {
    "2026-11-23T12:00:00Z".parse().unwrap()
}

fn authority(name: &str) -> (CertificateParams, KeyPair) {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    (params, KeyPair::generate().unwrap())
}

fn date(offset: SignedDuration) -> std::time::SystemTime {
    (now() + offset).into()
}

/// The chain of a case, and the public key that was asked for.
fn chain(case: &Case) -> (String, Vec<u8>) {
    let (ca_params, ca_key) = authority("Sandbox Intermediate");
    let (other_params, other_key) = authority("Another Intermediate");
    let key = KeyPair::generate().unwrap();
    let names: Vec<String> = case.names.iter().map(ToString::to_string).collect();
    let mut params = CertificateParams::new(names).unwrap();
    params.not_before = date(case.from).into();
    params.not_after = date(case.to).into();
    let leaf = params.signed_by(&key, &Issuer::from_params(&ca_params, &ca_key)).unwrap();
    let intermediate = if case.foreign_intermediate {
        other_params.self_signed(&other_key).unwrap()
    } else {
        ca_params.self_signed(&ca_key).unwrap()
    };
    let asked = if case.other_key { KeyPair::generate().unwrap() } else { key };
    (format!("{}{}", leaf.pem(), intermediate.pem()), asked.subject_public_key_info())
}

fn check(case: &Case) -> Result<Delivered, DeliveredError> {
    let (chain, public_key) = chain(case);
    check_delivered(&chain, &DomainName::parse("shop.example.com").unwrap(), &public_key, now())
}

#[test]
fn the_right_chain_is_accepted_and_encoded_anew() {
    let (chain, public_key) = chain(&Case::default());
    let name = DomainName::parse("shop.example.com").unwrap();
    let with_junk = format!("<script>junk</script>\n{chain}\n# more junk");
    let delivered = check_delivered(&with_junk, &name, &public_key, now()).unwrap();
    assert_eq!(delivered.chain_pem.matches("BEGIN CERTIFICATE").count(), 2);
    assert!(!delivered.chain_pem.contains("junk"));
    assert_eq!(delivered.sha256.len(), 64);
    assert_eq!(delivered.issuer, "CN=Sandbox Intermediate");
    assert_eq!(delivered.not_after, now() + SignedDuration::from_hours(24 * 90));
}

#[test]
fn everything_else_is_refused() {
    let hour = SignedDuration::from_hours(1);
    let other_name = Case { names: vec!["evil.example.com"], ..Case::default() };
    assert!(matches!(check(&other_name), Err(DeliveredError::OtherName(_))));
    let more_names = Case { names: vec!["shop.example.com", "evil.example.com"], ..Case::default() };
    assert!(matches!(check(&more_names), Err(DeliveredError::OtherName(_))));
    assert_eq!(check(&Case { other_key: true, ..Case::default() }), Err(DeliveredError::OtherKey));
    assert!(matches!(
        check(&Case { from: hour * 2, ..Case::default() }),
        Err(DeliveredError::NotYetValid(_))
    ));
    assert!(matches!(check(&Case { to: hour, ..Case::default() }), Err(DeliveredError::EndsTooSoon(_))));
    assert!(check(&Case { to: hour + SignedDuration::from_secs(1), ..Case::default() }).is_ok());
    let foreign = Case { foreign_intermediate: true, ..Case::default() };
    assert_eq!(check(&foreign), Err(DeliveredError::BrokenChain(2)));
}

#[test]
fn nonsense_is_refused_without_a_panic() {
    let name = DomainName::parse("shop.example.com").unwrap();
    let (chain, public_key) = chain(&Case::default());
    for text in ["", "no pem", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"] {
        assert!(check_delivered(text, &name, &public_key, now()).is_err(), "{text:?}");
    }
    assert_eq!(check_delivered(&chain.repeat(6), &name, &public_key, now()), Err(DeliveredError::TooMany));
    for cut in (0..chain.len()).step_by(97) {
        let _ = check_delivered(&chain[..cut], &name, &public_key, now());
    }
}
