//! Certificates to paste.

use domain::DomainName;
use jiff::{SignedDuration, Timestamp};
use rcgen::{BasicConstraints, CertificateParams, DistinguishedName, DnType, IsCa, Issuer, KeyPair};
use x509::{Pasted, PastedError, check_pasted};

pub(crate) const NAME: &str = "shop.example.com";

pub(crate) fn now() -> Timestamp {
    "2026-11-23T12:00:00Z".parse().unwrap()
}

pub(crate) fn date(offset: SignedDuration) -> std::time::SystemTime {
    (now() + offset).into()
}

/// A CA, a root or below another.
pub(crate) struct Authority {
    pub(crate) pem: String,
    params: CertificateParams,
    key: KeyPair,
}

impl Authority {
    pub(crate) fn root(name: &str) -> Self {
        let (params, key) = (authority_params(name), KeyPair::generate().unwrap());
        let pem = params.self_signed(&key).unwrap().pem();
        Self { pem, params, key }
    }

    pub(crate) fn below(&self, name: &str, key: KeyPair) -> Self {
        let params = authority_params(name);
        let pem = self.issue(&params, &key);
        Self { pem, params, key }
    }

    pub(crate) fn issue(&self, params: &CertificateParams, key: &KeyPair) -> String {
        let issuer = Issuer::from_params(&self.params, &self.key);
        params.signed_by(key, &issuer).unwrap().pem()
    }
}

fn authority_params(name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    params
}

/// A leaf for these names that is valid now.
pub(crate) fn leaf(names: &[&str]) -> CertificateParams {
    let names: Vec<String> = names.iter().map(ToString::to_string).collect();
    let mut params = CertificateParams::new(names).unwrap();
    params.not_before = date(-SignedDuration::from_hours(24)).into();
    params.not_after = date(SignedDuration::from_hours(24 * 90)).into();
    params
}

/// A chain of leaf, two intermediates and root, leaf first, and the leaf's key.
pub(crate) struct Chain {
    pub(crate) certificates: [String; 4],
    pub(crate) key: KeyPair,
}

impl Chain {
    pub(crate) fn new() -> Self {
        let root = Authority::root("Root");
        let upper = root.below("Upper", KeyPair::generate().unwrap());
        let lower = upper.below("Lower", KeyPair::generate().unwrap());
        let key = KeyPair::generate().unwrap();
        let leaf = lower.issue(&leaf(&[NAME]), &key);
        Self { certificates: [leaf, lower.pem, upper.pem, root.pem], key }
    }

    /// The certificates of these places, in this order.
    pub(crate) fn pem(&self, places: &[usize]) -> String {
        places.iter().map(|place| self.certificates[*place].as_str()).collect()
    }

    pub(crate) fn check(&self, places: &[usize]) -> Result<Pasted, PastedError> {
        check(&self.pem(places), &self.key.serialize_pem())
    }
}

pub(crate) fn check(certificate: &str, key: &str) -> Result<Pasted, PastedError> {
    check_pasted(certificate, key, &DomainName::parse(NAME).unwrap(), now())
}

/// The check of a leaf of these parameters under a private CA.
pub(crate) fn check_leaf(params: &CertificateParams) -> Result<Pasted, PastedError> {
    let key = KeyPair::generate().unwrap();
    check(&Authority::root("Root").issue(params, &key), &key.serialize_pem())
}

/// The reason of a refusal, after a look at its sentence: one line that has no text of the paste in it.
pub(crate) fn refused(result: Result<Pasted, PastedError>) -> &'static str {
    let error = result.unwrap_err();
    let sentence = error.to_string();
    assert!(sentence.len() < 1000 && !sentence.contains('\n'), "{sentence}");
    assert!(!sentence.contains("-----") && !sentence.contains("MII"), "{sentence}");
    error.reason()
}

pub(crate) fn check_bytes(certificate: &[u8], private_key: &[u8]) -> Result<Pasted, PastedError> {
    let files = x509::PastedFiles { certificate, private_key, password: "" };
    x509::check_files(files, &DomainName::parse(NAME).unwrap(), now())
}
