//! Checks a certificate and key that a customer pasted, before anything of it is stored.
//!
//! Rules. What is pasted is hostile: both texts are bounded before they are parsed, nothing of them is repeated in an error
//! but names, and what is stored is encoded anew, so that nothing else comes along. Each rule has an error of its own,
//! with a stable reason for programs and a sentence that says what to do. Key bytes stay in buffers that are wiped.
//!
//! A chain is in order if each certificate was signed by the key of the next one; names alone would let two roots of the
//! same name pass for one another. Whether browsers trust it is told but not required, because a private or self-signed
//! certificate is a customer's own business.

mod certificate;
mod error;
mod key;
mod paste;

use domain::DomainName;
use jiff::Timestamp;
use x509_parser::prelude::X509Certificate;
use zeroize::Zeroizing;

pub use error::PastedError;

/// A pasted certificate and key that were accepted.
pub struct Pasted {
    /// Leaf and intermediates, PEM, encoded anew; a root at the end is left out.
    pub chain_pem: String,
    /// The key, PKCS #8 (RFC 5958), DER.
    pub pkcs8: Zeroizing<Vec<u8>>,
    /// Lower-case hex SHA-256 of the leaf's DER.
    pub sha256: String,
    /// Lower-case hex of the serial number.
    pub serial: String,
    /// Distinguished name of the issuer.
    pub issuer: String,
    /// Start of validity.
    pub not_before: Timestamp,
    /// End of validity.
    pub not_after: Timestamp,
    /// Whether browsers' roots lead to it.
    pub publicly_trusted: bool,
}

/// Checks what was pasted for a domain.
pub fn check_pasted(
    certificate_pem: &str,
    private_key_pem: &str,
    name: &DomainName,
    now: Timestamp,
) -> Result<Pasted, PastedError> {
    let chain = paste::certificates(certificate_pem)?;
    let mut parsed = certificate::parse(&chain)?;
    certificate::check_order(&parsed)?;
    let keeps_root = parsed.len() == 1;
    if !keeps_root && parsed.last().is_some_and(certificate::is_self_signed) {
        parsed.pop();
    }
    let leaf: &X509Certificate<'_> = parsed.first().ok_or(PastedError::NoCertificate)?;
    certificate::check_leaf(leaf, name)?;
    key::check_strength(leaf)?;
    let (not_before, not_after) = certificate::check_dates(leaf, now)?;
    let pkcs8 = key::read(&paste::private_key(private_key_pem)?, leaf.public_key().raw)?;
    let kept = &chain[..parsed.len()];
    Ok(Pasted {
        chain_pem: kept
            .iter()
            .map(|der| pem::encode(&pem::Pem::new("CERTIFICATE", der.clone())))
            .collect(),
        pkcs8,
        sha256: hex::encode(aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &kept[0])),
        serial: hex::encode(leaf.raw_serial()),
        issuer: certificate::clean(&leaf.issuer().to_string()),
        not_before,
        not_after,
        publicly_trusted: certificate::is_publicly_trusted(kept, now),
    })
}
