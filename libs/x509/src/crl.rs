//! Certificate revocation lists (RFC 5280 section 5): whether a CA has revoked a certificate.
//!
//! A list is trusted only if the certificate's issuer, from the certificate's own chain, has signed it, if it is
//! current, and if it covers such certificates. Any other critical extension makes it unusable. So its transport needs
//! no protection: CAs serve lists by plain http.

use std::collections::HashMap;

use domain::RevocationReason;
use jiff::Timestamp;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use x509_parser::extensions::{
    DistributionPointName, GeneralName, IssuingDistributionPoint, ParsedExtension,
};
use x509_parser::prelude::{CertificateRevocationList, FromDer, X509Certificate};
use x509_parser::x509::ReasonCode;

/// A CA's clock may be ahead of ours by this.
const MAX_AHEAD_SECONDS: i64 = 3600;
/// Distribution points of a certificate; real ones have one.
const MAX_URLS: usize = 4;

/// A list that was checked: what it revokes, and until when it counts.
#[derive(Clone, Debug)]
pub struct RevocationList {
    revoked: HashMap<Vec<u8>, RevocationReason>,
    /// From then on there is a newer one.
    pub next_update: Timestamp,
}

/// Why a list says nothing.
#[derive(Debug, thiserror::Error)]
pub enum CrlError {
    /// The signature could not be checked.
    #[error("the certificate's chain has no issuer")]
    NoIssuer,
    /// Not a list.
    #[error("what was served is no revocation list")]
    NoList,
    /// Its signature is wrong, so any party may have made it.
    #[error("the revocation list is not signed by the certificate's issuer")]
    BadSignature,
    /// It is too old, or of tomorrow.
    #[error("the revocation list is not current")]
    NotCurrent,
    /// Of other certificates, or part of one.
    #[error("the revocation list is for other certificates")]
    OfOthers,
}

/// Where the CA publishes whether it has revoked the leaf of a chain (RFC 5280 section 4.2.1.13): http URLs.
pub fn crl_urls(chain_pem: &str) -> Vec<String> {
    let ders = certificates(chain_pem);
    let leaf = ders.first().and_then(|der| X509Certificate::from_der(der).ok());
    leaf.map_or_else(Vec::new, |(_, leaf)| urls(&leaf))
}

/// Leaf and issuer, as far as they can be read.
fn certificates(chain_pem: &str) -> Vec<CertificateDer<'static>> {
    CertificateDer::pem_slice_iter(chain_pem.as_bytes()).map_while(Result::ok).take(2).collect()
}

fn urls(leaf: &X509Certificate<'_>) -> Vec<String> {
    let points = leaf.iter_extensions().filter_map(|extension| match extension.parsed_extension() {
        ParsedExtension::CRLDistributionPoints(points) => Some(&points.points),
        _ => None,
    });
    // A point of some reasons only, or of another issuer's list, does not say everything.
    let points = points.flatten().filter(|point| point.reasons.is_none() && point.crl_issuer.is_none());
    let names = points.filter_map(|point| match &point.distribution_point {
        Some(DistributionPointName::FullName(names)) => Some(names),
        _ => None,
    });
    names.flatten().filter_map(http_url).take(MAX_URLS).collect()
}

fn http_url(name: &GeneralName<'_>) -> Option<String> {
    match name {
        GeneralName::URI(url) if url.starts_with("http://") => Some((*url).to_owned()),
        _ => None,
    }
}

impl RevocationList {
    /// Reads the list that the leaf's CA publishes.
    pub fn read(der: &[u8], chain_pem: &str, now: Timestamp) -> Result<Self, CrlError> {
        let ders = certificates(chain_pem);
        let parsed = |index: usize| {
            let der = ders.get(index)?;
            X509Certificate::from_der(der).ok().map(|(_, certificate)| certificate)
        };
        let (leaf, issuer) = parsed(0).zip(parsed(1)).ok_or(CrlError::NoIssuer)?;
        let (rest, list) = CertificateRevocationList::from_der(der).map_err(|_| CrlError::NoList)?;
        if !rest.is_empty() {
            return Err(CrlError::NoList);
        }
        if list.issuer().as_raw() != issuer.subject().as_raw()
            || list.verify_signature(issuer.public_key()).is_err()
        {
            return Err(CrlError::BadSignature);
        }
        check_scope(&list, &leaf)?;
        let next_update = current_until(&list, now)?;
        let revoked = list.iter_revoked_certificates().map(|entry| {
            let reason = entry.reason_code().map_or(ReasonCode::Unspecified, |(_, reason)| reason);
            (serial(entry.raw_serial()).to_vec(), reason_of(reason))
        });
        Ok(Self { revoked: revoked.collect(), next_update })
    }

    /// Why the leaf of a chain of the same issuer is revoked; none if it is not.
    pub fn revocation(&self, chain_pem: &str) -> Option<RevocationReason> {
        let ders = certificates(chain_pem);
        let (_, leaf) = X509Certificate::from_der(ders.first()?).ok()?;
        self.revoked.get(serial(leaf.raw_serial())).copied()
    }
}

/// DER may put a zero before a serial number, which not every encoder keeps.
fn serial(raw: &[u8]) -> &[u8] {
    let zeros = raw.iter().take_while(|byte| **byte == 0).count();
    &raw[zeros.min(raw.len())..]
}

fn current_until(list: &CertificateRevocationList<'_>, now: Timestamp) -> Result<Timestamp, CrlError> {
    let begins = list.last_update().timestamp();
    let next = list.next_update().and_then(|next| Timestamp::from_second(next.timestamp()).ok());
    let next = next.filter(|next| now < *next && begins <= now.as_second() + MAX_AHEAD_SECONDS);
    next.ok_or(CrlError::NotCurrent)
}

fn check_scope(list: &CertificateRevocationList<'_>, leaf: &X509Certificate<'_>) -> Result<(), CrlError> {
    for extension in list.extensions() {
        match extension.parsed_extension() {
            ParsedExtension::IssuingDistributionPoint(point) if is_of(point, leaf) => {}
            ParsedExtension::IssuingDistributionPoint(_) => return Err(CrlError::OfOthers),
            // A delta list (section 5.2.4) is a critical extension that is not parsed.
            _ if extension.critical => return Err(CrlError::OfOthers),
            _ => {}
        }
    }
    Ok(())
}

/// Whether a list with this distribution point is one of the leaf's (section 6.3.3 (b)(2)).
fn is_of(point: &IssuingDistributionPoint<'_>, leaf: &X509Certificate<'_>) -> bool {
    let is_part = point.only_contains_ca_certs
        || point.only_contains_attribute_certs
        || point.indirect_crl
        || point.only_some_reasons.is_some();
    let of_leaf = urls(leaf);
    let is_named = match &point.distribution_point {
        None => true,
        Some(DistributionPointName::FullName(names)) => {
            names.iter().filter_map(http_url).any(|url| of_leaf.contains(&url))
        }
        Some(DistributionPointName::NameRelativeToCRLIssuer(_)) => false,
    };
    !is_part && is_named
}

fn reason_of(code: ReasonCode) -> RevocationReason {
    match code {
        ReasonCode::KeyCompromise => RevocationReason::KeyCompromise,
        ReasonCode::AffiliationChanged => RevocationReason::AffiliationChanged,
        ReasonCode::CessationOfOperation => RevocationReason::CessationOfOperation,
        // Why does not matter for what follows.
        _ => RevocationReason::Superseded,
    }
}
