//! The CA's keys and what it signs: a root, an intermediate, and leaves for exactly the name of the order.

use std::time::Duration;

use aws_lc_rs::rand;
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use http::StatusCode;
use jiff::{SignedDuration, Timestamp};
use rcgen::{
    BasicConstraints, CertificateParams, CertificateSigningRequestParams, DistinguishedName, DnType,
    ExtendedKeyUsagePurpose, IsCa, Issuer, KeyIdMethod, KeyPair, KeyUsagePurpose, PublicKeyData, SanType,
    SerialNumber,
};
use rustls_pki_types::CertificateSigningRequestDer;

use super::problem::Problem;
use crate::SandboxError;

/// How far before now its certificates begin, as real CAs have it.
const BACKDATED: SignedDuration = SignedDuration::from_secs(60);

pub(crate) struct Authority {
    pub(crate) root_pem: String,
    intermediate_pem: String,
    intermediate: Issuer<'static, KeyPair>,
    key_identifier: Vec<u8>,
}

/// A certificate that was signed.
pub(crate) struct IssuedLeaf {
    pub(crate) chain_pem: String,
    /// Its ARI id (RFC 9773 section 4.1).
    pub(crate) renewal_id: String,
    pub(crate) not_before: Timestamp,
    pub(crate) not_after: Timestamp,
}

impl Authority {
    pub(crate) fn new() -> Result<Self, SandboxError> {
        let (root, root_key) = (authority("Sandbox Root"), KeyPair::generate()?);
        let root_pem = root.self_signed(&root_key)?.pem();
        let (params, key) = (authority("Sandbox Intermediate"), KeyPair::generate()?);
        let key_identifier = params.key_identifier(&key);
        let intermediate_pem = params
            .signed_by(&key, &Issuer::from_params(&root, &root_key))?
            .pem();
        Ok(Self {
            root_pem,
            intermediate_pem,
            intermediate: Issuer::new(params, key),
            key_identifier,
        })
    }

    /// Signs a CSR for `name`, and for nothing else.
    pub(crate) fn sign(
        &self,
        csr: &[u8],
        name: &str,
        account_key: &[u8],
        now: Timestamp,
        lifetime: Duration,
    ) -> Result<IssuedLeaf, Problem> {
        let bad = |detail: &str| Problem::new(StatusCode::BAD_REQUEST, "badCSR", detail);
        let request =
            CertificateSigningRequestParams::from_der(&CertificateSigningRequestDer::from(csr.to_vec()))
                .map_err(|_| bad("the CSR cannot be parsed, or its signature is wrong"))?;
        let names: Vec<String> = request
            .params
            .subject_alt_names
            .iter()
            .map(|san| match san {
                SanType::DnsName(dns) => dns.as_str().to_ascii_lowercase(),
                _ => "not a DNS name".to_owned(),
            })
            .collect();
        if names != [name] {
            return Err(bad("the CSR is for other names than the order"));
        }
        if request.public_key.der_bytes() == account_key {
            return Err(bad("the CSR's key is the account's"));
        }
        self.leaf(&request.public_key, name, now, lifetime)
    }

    /// A leaf for that key and name.
    pub(crate) fn leaf(
        &self,
        key: &impl PublicKeyData,
        name: &str,
        now: Timestamp,
        lifetime: Duration,
    ) -> Result<IssuedLeaf, Problem> {
        let internal = |error: rcgen::Error| {
            Problem::new(
                StatusCode::INTERNAL_SERVER_ERROR,
                "serverInternal",
                error.to_string(),
            )
        };
        let not_before = now - BACKDATED;
        let not_after = not_before + SignedDuration::try_from(lifetime).unwrap_or(SignedDuration::MAX);
        let mut params = CertificateParams::new(vec![name.to_owned()]).map_err(internal)?;
        params.distinguished_name = DistinguishedName::new();
        params.not_before = std::time::SystemTime::from(not_before).into();
        params.not_after = std::time::SystemTime::from(not_after).into();
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.use_authority_key_identifier_extension = true;
        let serial = serial();
        params.serial_number = Some(SerialNumber::from_slice(&serial));
        let leaf = params.signed_by(key, &self.intermediate).map_err(internal)?;
        let encode = |bytes: &[u8]| BASE64_URL_SAFE_NO_PAD.encode(bytes);
        Ok(IssuedLeaf {
            chain_pem: format!("{}{}", leaf.pem(), self.intermediate_pem),
            renewal_id: format!("{}.{}", encode(&self.key_identifier), encode(&serial)),
            not_before,
            not_after,
        })
    }
}

fn authority(name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params.key_identifier_method = KeyIdMethod::Sha256;
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    params
}

/// 127 random bits: positive, and never with a leading zero byte that DER would drop.
fn serial() -> [u8; 16] {
    let mut bytes = [0; 16];
    rand::fill(&mut bytes).expect("the operating system has random bytes");
    bytes[0] = (bytes[0] & 0x3f) | 0x40;
    bytes
}
