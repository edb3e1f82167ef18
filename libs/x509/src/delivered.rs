//! Checks a delivered certificate before anything is stored: key, name, dates and chain (DESIGN rule 11).
//!
//! Usable parts are used, because another order would deliver the same again: the leaf is the certificate with our key,
//! at any position, the intermediates are sorted, and unrelated certificates are dropped. A certificate that begins
//! later is accepted, too: the caller keeps it until then. Another key, other names or an end within the hour are
//! errors.
//!
//! Issuers are compared by name only: the chain came over TLS from the CA that the operator trusts, and the leaf holds
//! our key or is refused, so a signature could tell us nothing that we would act upon.

use domain::DomainName;
use domain::sentence::NamedZone;
use jiff::Timestamp;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::X509Certificate;

use crate::blocks::{self, Block};
use crate::chain::{self, MAX_CERTIFICATES};
use crate::leaf::{self, TOLERANCE};

/// A chain that was accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivered {
    /// Leaf and intermediates in the order of RFC 8555 section 9.1, PEM, encoded anew so that nothing else comes along.
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
    #[error("it is for {found}, and {wanted} alone was ordered")]
    OtherNames { wanted: DomainName, found: String },
    #[error("it ends on {}, within the hour", NamedZone::utc().time(*.0))]
    EndsTooSoon(Timestamp),
    #[error("the certificate of its issuer ({0}) is not among those delivered with it")]
    BrokenChain(String),
    #[error("its dates are out of range")]
    BadDates,
}

impl DeliveredError {
    /// Whether it is no certificate at all: what a proxy or a connection made of one, which the next download may not be.
    pub fn is_unreadable(&self) -> bool {
        matches!(self, Self::NotPem | Self::Unparsable(_))
    }
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
    let ders: Vec<&[u8]> = blocks.iter().map(|block| block.der.as_slice()).collect();
    let parsed = chain::parse_each(&ders);
    let unparsable = parsed.iter().position(Option::is_none).map(|index| index + 1);
    let mut others: Vec<X509Certificate<'_>> = parsed.into_iter().flatten().collect();
    let has_our_key = |certificate: &X509Certificate<'_>| certificate.public_key().raw == public_key_der;
    let Some(position) = others.iter().position(has_our_key) else {
        return Err(match (unparsable, others.is_empty()) {
            (Some(number), _) => DeliveredError::Unparsable(number),
            (None, true) => DeliveredError::NotPem,
            (None, false) => DeliveredError::OtherKey,
        });
    };
    let leaf = others.remove(position);
    check_names(&leaf, name)?;
    let (not_before, not_after) = check_dates(&leaf, now)?;
    let is_alone = others.is_empty();
    let chain = chain::in_order(leaf, others);
    let leaf = &chain[0];
    if chain.len() == 1 && !is_alone {
        return Err(DeliveredError::BrokenChain(leaf::issuer(leaf)));
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

/// The leaf has to be for exactly that name: one DNS name in the subject alternative names, and no other.
fn check_names(leaf: &X509Certificate<'_>, name: &DomainName) -> Result<(), DeliveredError> {
    let names = leaf::names(leaf);
    if let Some([GeneralName::DNSName(only)]) = names
        && only.eq_ignore_ascii_case(name.as_str())
    {
        return Ok(());
    }
    let found = match names {
        None => "names that cannot be read".to_owned(),
        Some([]) => "no name".to_owned(),
        Some(names) => leaf::clean(&names.iter().map(word).collect::<Vec<_>>().join(", ")),
    };
    Err(DeliveredError::OtherNames { wanted: name.clone(), found })
}

fn word(name: &GeneralName<'_>) -> String {
    match name {
        GeneralName::DNSName(name) => (*name).to_owned(),
        other => other.to_string(),
    }
}

fn check_dates(leaf: &X509Certificate<'_>, now: Timestamp) -> Result<(Timestamp, Timestamp), DeliveredError> {
    let (not_before, not_after) = leaf::validity(leaf).ok_or(DeliveredError::BadDates)?;
    if not_after <= not_before {
        return Err(DeliveredError::BadDates);
    }
    if not_after.duration_since(now) <= TOLERANCE {
        return Err(DeliveredError::EndsTooSoon(not_after));
    }
    Ok((not_before, not_after))
}
