//! What a CA delivers is checked before anything is stored: key, name, dates and chain (DESIGN rule 11).
//!
//! Issuers are compared by name only: the chain came over TLS from the CA that the operator trusts, and the leaf holds
//! our key or is refused, so a signature could tell us nothing that we would act upon.

use domain::DomainName;
use jiff::Timestamp;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::X509Certificate;

use crate::blocks::{self, Block};
use crate::chain::{self, MAX_CERTIFICATES};
use crate::leaf::{self, TOLERANCE};

/// A chain that was accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivered {
    /// Leaf and intermediates, PEM, encoded anew so that nothing else comes along.
    pub chain_pem: String,
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
}

/// Why a chain was not accepted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "each variant's sentence is its documentation")]
pub enum DeliveredError {
    #[error("it is not a PEM certificate chain")]
    NotPem,
    #[error("it has over {MAX_CERTIFICATES} certificates")]
    TooMany,
    #[error("certificate {0} of the chain cannot be parsed")]
    Unparsable(usize),
    #[error("it is for another key")]
    OtherKey,
    #[error("it is for other names than {0}")]
    OtherName(DomainName),
    #[error("it is valid only from {0}")]
    NotYetValid(Timestamp),
    #[error("it ends at {0}, within the hour")]
    EndsTooSoon(Timestamp),
    #[error("certificate {0} of the chain did not issue the one before it")]
    BrokenChain(usize),
    #[error("its dates are out of range")]
    BadDates,
}

/// Checks a delivered chain (RFC 8555 section 9.1) against the name and the public key (SubjectPublicKeyInfo, DER) that
/// were asked for.
pub fn check_delivered(
    chain_pem: &str,
    name: &DomainName,
    public_key_der: &[u8],
    now: Timestamp,
) -> Result<Delivered, DeliveredError> {
    let mut blocks = blocks::read(chain_pem).map_err(|_| DeliveredError::NotPem)?;
    blocks.retain(Block::is_certificate);
    if blocks.len() > MAX_CERTIFICATES {
        return Err(DeliveredError::TooMany);
    }
    let chain = chain::parse(&blocks).map_err(DeliveredError::Unparsable)?;
    let leaf = chain.first().ok_or(DeliveredError::NotPem)?;
    if leaf.public_key().raw != public_key_der {
        return Err(DeliveredError::OtherKey);
    }
    if !is_for(leaf, name) {
        return Err(DeliveredError::OtherName(name.clone()));
    }
    let (not_before, not_after) = check_dates(leaf, now)?;
    for (index, pair) in chain.windows(2).enumerate() {
        if !chain::names_issuer(&pair[0], &pair[1]) {
            return Err(DeliveredError::BrokenChain(index + 2));
        }
    }
    Ok(Delivered {
        chain_pem: chain::encode(&chain),
        sha256: leaf::sha256(leaf),
        serial: leaf::serial(leaf),
        issuer: leaf::issuer(leaf),
        not_before,
        not_after,
    })
}

/// Whether the leaf is for exactly that name: one DNS name in the subject alternative names, and no other.
fn is_for(leaf: &X509Certificate<'_>, name: &DomainName) -> bool {
    matches!(leaf::names(leaf),
        Some([GeneralName::DNSName(only)]) if only.eq_ignore_ascii_case(name.as_str()))
}

fn check_dates(leaf: &X509Certificate<'_>, now: Timestamp) -> Result<(Timestamp, Timestamp), DeliveredError> {
    let (not_before, not_after) = leaf::validity(leaf).ok_or(DeliveredError::BadDates)?;
    if not_before.duration_since(now) > TOLERANCE {
        return Err(DeliveredError::NotYetValid(not_before));
    }
    if not_after.duration_since(now) <= TOLERANCE {
        return Err(DeliveredError::EndsTooSoon(not_after));
    }
    Ok((not_before, not_after))
}
