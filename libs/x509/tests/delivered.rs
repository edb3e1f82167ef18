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
    for names in [vec!["evil.example.com"], vec!["shop.example.com", "evil.example.com"]] {
        let found = names.join(", ");
        let error = check(&Case { names, ..Case::default() }).unwrap_err();
        assert_eq!(error.to_string(), format!("it is for {found}, and shop.example.com alone was ordered"));
    }
    assert_eq!(check(&Case { other_key: true, ..Case::default() }), Err(DeliveredError::OtherKey));
    assert!(matches!(check(&Case { to: hour, ..Case::default() }), Err(DeliveredError::EndsTooSoon(_))));
    assert!(check(&Case { to: hour + SignedDuration::from_secs(1), ..Case::default() }).is_ok());
    let backwards = Case { from: hour * 5, to: hour * 4, ..Case::default() };
    assert_eq!(check(&backwards), Err(DeliveredError::BadDates));
    let foreign = Case { foreign_intermediate: true, ..Case::default() };
    let missing = DeliveredError::BrokenChain("CN=Sandbox Intermediate".to_owned());
    assert_eq!(check(&foreign), Err(missing));
}

#[test]
fn what_begins_later_is_accepted() {
    let day = SignedDuration::from_hours(24);
    let delivered = check(&Case { from: day, ..Case::default() }).unwrap();
    assert_eq!(delivered.not_before, now() + day);
}

#[test]
fn no_well_defined_end_is_taken() {
    let (ca_params, ca_key) = authority("Sandbox Intermediate");
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(vec!["shop.example.com".to_owned()]).unwrap();
    // Encoded as GeneralizedTime 99991231000000Z, beyond the last timestamp.
    params.not_after = rcgen::date_time_ymd(9999, 12, 31);
    let leaf = params.signed_by(&key, &Issuer::from_params(&ca_params, &ca_key)).unwrap();
    let name = DomainName::parse("shop.example.com").unwrap();
    let delivered = check_delivered(&leaf.pem(), &name, &key.subject_public_key_info(), now()).unwrap();
    assert_eq!(delivered.not_after, x509::NO_END);
}

/// A leaf, its intermediate, the root, and a certificate that has nothing to do with them, each in PEM.
fn long_chain() -> ([String; 4], Vec<u8>) {
    let (root_params, root_key) = authority("Sandbox Root");
    let (ca_params, ca_key) = authority("Sandbox Intermediate");
    let (other_params, other_key) = authority("Another Intermediate");
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(vec!["shop.example.com".to_owned()]).unwrap();
    params.not_after = date(SignedDuration::from_hours(24 * 90)).into();
    let leaf = params.signed_by(&key, &Issuer::from_params(&ca_params, &ca_key)).unwrap();
    let intermediate = ca_params.signed_by(&ca_key, &Issuer::from_params(&root_params, &root_key)).unwrap();
    let root = root_params.self_signed(&root_key).unwrap();
    let foreign = other_params.self_signed(&other_key).unwrap();
    let pem = [leaf.pem(), intermediate.pem(), root.pem(), foreign.pem()].map(|pem| pem.replace('\r', ""));
    (pem, key.subject_public_key_info())
}

#[test]
fn intermediates_are_sorted_and_what_does_not_belong_is_left_out() {
    let ([leaf, intermediate, root, foreign], public_key) = long_chain();
    let name = DomainName::parse("shop.example.com").unwrap();
    let broken = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n".to_owned();
    let right = format!("{leaf}{intermediate}{root}");
    for parts in [
        vec![&leaf, &intermediate, &root],
        vec![&root, &intermediate, &leaf],
        vec![&leaf, &root, &foreign, &intermediate],
        vec![&foreign, &broken, &leaf, &leaf, &intermediate, &root],
    ] {
        let delivered: String = parts.into_iter().map(String::as_str).collect();
        let accepted = check_delivered(&delivered, &name, &public_key, now()).unwrap();
        assert_eq!(accepted.chain_pem, right);
    }
}

#[test]
fn each_line_ends_with_lf_whatever_the_ca_sent() {
    let ([leaf, intermediate, ..], public_key) = long_chain();
    let name = DomainName::parse("shop.example.com").unwrap();
    for line_end in ["\n", "\r\n"] {
        let sent = format!("{leaf}{intermediate}").replace('\n', line_end);
        let delivered = check_delivered(&sent, &name, &public_key, now()).unwrap();
        assert_eq!(delivered.chain_pem, format!("{leaf}{intermediate}"));
    }
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
