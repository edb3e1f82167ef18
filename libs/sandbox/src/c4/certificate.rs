//! Checks of an upload before it is stored.

use std::sync::Arc;

use aws_lc_rs::digest;
use jiff::Timestamp;
use rustls::sign::CertifiedKey;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use serde::Deserialize;
use x509_parser::parse_x509_certificate;

use crate::tls::provider;

/// A certificate that C4 holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredCertificate {
    /// Leaf and intermediates.
    pub certificate_pem: String,
    /// PKCS #8 key.
    pub private_key_pem: String,
    /// Lower-case hex SHA-256 of the leaf's DER.
    pub sha256: String,
    /// `c4` or `text`.
    pub source: String,
    /// The leaf's end.
    pub not_after: Timestamp,
    /// Of the upload.
    pub revision: i64,
    /// Of the upload.
    pub idempotency_key: String,
}

/// The body of a PUT.
#[derive(Deserialize)]
pub(super) struct Upload {
    certificate_pem: String,
    private_key_pem: String,
    sha256: String,
    source: String,
    pub(super) revision: i64,
}

/// An upload that is fit to be served.
pub(super) struct CheckedCertificate {
    pub(super) stored: StoredCertificate,
    pub(super) key: Arc<CertifiedKey>,
}

impl Upload {
    /// The certificate, or why it is refused.
    pub(super) fn check(self, idempotency_key: String) -> Result<CheckedCertificate, &'static str> {
        if !matches!(self.source.as_str(), "c4" | "text") {
            return Err("source must be c4 or text");
        }
        if self.revision < 1 {
            return Err("revision must be positive");
        }
        let chain: Result<Vec<_>, _> =
            CertificateDer::pem_slice_iter(self.certificate_pem.as_bytes()).collect();
        let chain = chain.map_err(|_| "certificate_pem is not pem")?;
        let leaf = chain.first().ok_or("certificate_pem has no certificate")?;
        if sha256(leaf) != self.sha256 {
            return Err("sha256 is not that of the leaf certificate");
        }
        let not_after = not_after(leaf).ok_or("the leaf certificate cannot be read")?;
        let key = PrivateKeyDer::from_pem_slice(self.private_key_pem.as_bytes())
            .map_err(|_| "private_key_pem has no private key")?;
        let key = CertifiedKey::from_der(chain, key, &provider())
            .map_err(|_| "the private key is not that of the leaf certificate")?;
        let stored = StoredCertificate {
            certificate_pem: self.certificate_pem,
            private_key_pem: self.private_key_pem,
            sha256: self.sha256,
            source: self.source,
            not_after,
            revision: self.revision,
            idempotency_key,
        };
        Ok(CheckedCertificate { stored, key: Arc::new(key) })
    }
}

pub(crate) fn sha256(der: &[u8]) -> String {
    hex::encode(digest::digest(&digest::SHA256, der))
}

fn not_after(leaf: &[u8]) -> Option<Timestamp> {
    let (_, certificate) = parse_x509_certificate(leaf).ok()?;
    Timestamp::from_second(certificate.validity().not_after.timestamp()).ok()
}
