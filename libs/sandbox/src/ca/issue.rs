//! The keys of the CA and its certificates: a root signs an intermediate, which signs leaves. All P-256, for speed;
//! created at the start and never stored.

use std::collections::BTreeSet;
use std::sync::OnceLock;
use std::time::Duration;

use base64::prelude::{BASE64_URL_SAFE_NO_PAD, Engine};
use jiff::Timestamp;
use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, CertificateSigningRequestParams,
    CertifiedIssuer, CrlDistributionPoint, DistinguishedName, DnType, DnValue, ExtendedKeyUsagePurpose, IsCa,
    KeyPair, KeyUsagePurpose, PublicKey, PublicKeyData, SanType, SerialNumber, date_time_ymd,
};
use rustls_pki_types::CertificateDer;

use super::jws::Jwk;
use super::problem::Problem;
use super::state::after;
use crate::random;
use crate::tls::ca_params;

pub(super) struct Issuer {
    root_pem: String,
    intermediate: CertifiedIssuer<'static, KeyPair>,
    intermediate_pem: String,
    /// Of the intermediate, in base64url: the first half of a certificate's identifier (RFC 9773 section 4.1).
    key_identifier: String,
    /// Where certificates say that the revocation list is; without, they say nothing.
    crl_url: OnceLock<String>,
}

pub(super) struct Leaf {
    /// RFC 9773 section 4.1.
    pub(super) id: String,
    pub(super) der: CertificateDer<'static>,
    pub(super) not_before: Timestamp,
    pub(super) not_after: Timestamp,
}

impl Issuer {
    pub(super) fn make() -> Result<Self, rcgen::Error> {
        let root = CertifiedIssuer::self_signed(ca_params("Sandbox Root"), KeyPair::generate()?)?;
        let mut params = ca_params("Sandbox Intermediate");
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.use_authority_key_identifier_extension = true;
        let key = KeyPair::generate()?;
        let key_identifier = BASE64_URL_SAFE_NO_PAD.encode(params.key_identifier(&key));
        let intermediate = CertifiedIssuer::signed_by(params, key, &root)?;
        Ok(Self {
            root_pem: root.pem(),
            intermediate_pem: intermediate.pem(),
            intermediate,
            key_identifier,
            crl_url: OnceLock::new(),
        })
    }

    pub(super) fn root_pem(&self) -> &str {
        &self.root_pem
    }

    pub(super) fn intermediate_pem(&self) -> &str {
        &self.intermediate_pem
    }

    /// The first call counts.
    pub(super) fn set_crl_url(&self, url: String) {
        let _ = self.crl_url.set(url);
    }

    pub(super) fn sign_list(&self, list: &CertificateRevocationListParams) -> Result<Vec<u8>, rcgen::Error> {
        Ok(list.signed_by(&self.intermediate)?.der().to_vec())
    }

    pub(super) fn sign(
        &self,
        names: &[String],
        key: &impl PublicKeyData,
        now: Timestamp,
        lifetime: Duration,
    ) -> Result<Leaf, rcgen::Error> {
        let not_after = after(now, lifetime);
        let mut serial: [u8; 16] = random::bytes();
        // Positive and without leading zeros, so that these bytes are also its DER.
        serial[0] = serial[0] & 0x3f | 0x40;
        let mut params = CertificateParams::new(names)?;
        params.distinguished_name = DistinguishedName::new();
        params.serial_number = Some(SerialNumber::from_slice(&serial));
        params.not_before = date_time_ymd(1970, 1, 1) + since_epoch(now);
        params.not_after = date_time_ymd(1970, 1, 1) + since_epoch(not_after);
        params.is_ca = IsCa::ExplicitNoCa;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.use_authority_key_identifier_extension = true;
        if let Some(url) = self.crl_url.get() {
            params.crl_distribution_points = vec![CrlDistributionPoint { uris: vec![url.clone()] }];
        }
        Ok(Leaf {
            id: format!("{}.{}", self.key_identifier, BASE64_URL_SAFE_NO_PAD.encode(serial)),
            der: params.signed_by(key, &self.intermediate)?.der().clone(),
            not_before: now,
            not_after,
        })
    }
}

pub(super) fn since_epoch(moment: Timestamp) -> Duration {
    Duration::from_secs(moment.as_second().max(0).unsigned_abs())
}

/// A root that has nothing to do with this CA, PEM.
pub(super) fn stranger() -> Option<String> {
    let root = CertifiedIssuer::self_signed(ca_params("A Stranger"), KeyPair::generate().ok()?).ok()?;
    Some(root.pem())
}

/// The public key of a CSR whose signature verifies and that asks for exactly these names.
pub(super) fn check_csr(der: Vec<u8>, names: &[String], account_key: &Jwk) -> Result<PublicKey, Problem> {
    let csr = CertificateSigningRequestParams::from_der(&der.into())
        .map_err(|error| Problem::bad_csr(format!("the CSR is not acceptable: {error}")))?;
    if csr.public_key.der_bytes() == account_key.point() {
        return Err(Problem::bad_csr("the CSR's key is the account's key"));
    }
    let mut asked = BTreeSet::new();
    for name in &csr.params.subject_alt_names {
        let SanType::DnsName(name) = name else {
            return Err(Problem::bad_csr("the CSR asks for something else than DNS names"));
        };
        asked.insert(name.as_str().to_ascii_lowercase());
    }
    if let Some(DnValue::Utf8String(name)) = csr.params.distinguished_name.get(&DnType::CommonName) {
        asked.insert(name.to_ascii_lowercase());
    }
    if !asked.iter().eq(names) {
        return Err(Problem::bad_csr("the CSR's names are not the order's"));
    }
    Ok(csr.public_key)
}
