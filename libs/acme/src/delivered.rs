//! What a CA delivers is checked before anything is stored: key, name, dates and chain (DESIGN rule 11).

use domain::DomainName;
use jiff::{SignedDuration, Timestamp};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer, X509Certificate};

/// Clocks differ by less than this, or something is wrong.
const TOLERANCE: SignedDuration = SignedDuration::from_hours(1);
/// A leaf and its intermediates; real chains have two to four.
const MOST_CERTIFICATES: usize = 10;

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
    #[error("it has over {MOST_CERTIFICATES} certificates")]
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

/// Checks a delivered chain against the name and the public key (SubjectPublicKeyInfo, DER) that were asked for.
pub fn check_delivered(
    chain_pem: &str,
    name: &DomainName,
    public_key_der: &[u8],
    now: Timestamp,
) -> Result<Delivered, DeliveredError> {
    let mut chain = Vec::new();
    for certificate in CertificateDer::pem_slice_iter(chain_pem.as_bytes()) {
        chain.push(certificate.map_err(|_| DeliveredError::NotPem)?);
        if chain.len() > MOST_CERTIFICATES {
            return Err(DeliveredError::TooMany);
        }
    }
    let mut parsed = Vec::new();
    for (index, der) in chain.iter().enumerate() {
        let (rest, certificate) =
            X509Certificate::from_der(der).map_err(|_| DeliveredError::Unparsable(index + 1))?;
        if !rest.is_empty() {
            return Err(DeliveredError::Unparsable(index + 1));
        }
        parsed.push(certificate);
    }
    let leaf = parsed.first().ok_or(DeliveredError::NotPem)?;
    if leaf.public_key().raw != public_key_der {
        return Err(DeliveredError::OtherKey);
    }
    if !is_for(leaf, name) {
        return Err(DeliveredError::OtherName(name.clone()));
    }
    let (not_before, not_after) = check_dates(leaf, now)?;
    for (index, pair) in parsed.windows(2).enumerate() {
        if pair[0].issuer().as_raw() != pair[1].subject().as_raw() {
            return Err(DeliveredError::BrokenChain(index + 2));
        }
    }
    Ok(Delivered {
        chain_pem: chain
            .iter()
            .map(|der| pem::encode(&pem::Pem::new("CERTIFICATE", der.to_vec())))
            .collect(),
        sha256: hex::encode(aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &chain[0])),
        serial: hex::encode(leaf.raw_serial()),
        issuer: crate::error::clean(&leaf.issuer().to_string()),
        not_before,
        not_after,
    })
}

/// Whether the leaf is for exactly that name: one DNS name in the subject alternative names, and no other.
fn is_for(leaf: &X509Certificate<'_>, name: &DomainName) -> bool {
    let Ok(Some(names)) = leaf.subject_alternative_name() else {
        return false;
    };
    matches!(names.value.general_names.as_slice(),
        [GeneralName::DNSName(only)] if only.eq_ignore_ascii_case(name.as_str()))
}

fn check_dates(leaf: &X509Certificate<'_>, now: Timestamp) -> Result<(Timestamp, Timestamp), DeliveredError> {
    let instant = |time: x509_parser::time::ASN1Time| {
        Timestamp::from_second(time.timestamp()).map_err(|_| DeliveredError::BadDates)
    };
    let (not_before, not_after) = (
        instant(leaf.validity().not_before)?,
        instant(leaf.validity().not_after)?,
    );
    if not_before.duration_since(now) > TOLERANCE {
        return Err(DeliveredError::NotYetValid(not_before));
    }
    if not_after.duration_since(now) <= TOLERANCE {
        return Err(DeliveredError::EndsTooSoon(not_after));
    }
    Ok((not_before, not_after))
}
