//! The pasted chain: its order, and what of the leaf has to be right.

use std::time::Duration;

use domain::DomainName;
use jiff::{SignedDuration, Timestamp};
use rustls_pki_types::{CertificateDer, UnixTime};
use webpki::{EndEntityCert, KeyUsage};
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer, X509Certificate};

use crate::PastedError;

/// Clocks differ by less than this, or something is wrong.
const TOLERANCE: SignedDuration = SignedDuration::from_hours(1);
const MOST_TEXT: usize = 300;
const MOST_NAMES_TOLD: usize = 3;
/// Signature algorithms (RFC 8017 appendix A.2.4, RFC 5758 section 3.2) whose hash is broken.
const BROKEN: [(&str, &str); 3] = [
    ("1.2.840.113549.1.1.4", "MD5"),
    ("1.2.840.113549.1.1.5", "SHA-1"),
    ("1.2.840.10045.4.1", "SHA-1"),
];

pub(crate) fn parse(chain: &[Vec<u8>]) -> Result<Vec<X509Certificate<'_>>, PastedError> {
    let parse = |(index, der): (usize, &'_ Vec<u8>)| match X509Certificate::from_der(der) {
        Ok(([], _)) => Ok(()),
        _ => Err(PastedError::Unparsable(index + 1)),
    };
    chain.iter().enumerate().try_for_each(parse)?;
    let parsed = chain.iter().filter_map(|der| X509Certificate::from_der(der).ok());
    Ok(parsed.map(|(_, certificate)| certificate).collect())
}

/// Each certificate was signed by the next one's key.
pub(crate) fn check_order(chain: &[X509Certificate<'_>]) -> Result<(), PastedError> {
    for (index, pair) in chain.windows(2).enumerate() {
        let named = pair[0].issuer().as_raw() == pair[1].subject().as_raw();
        if !named || pair[0].verify_signature(Some(pair[1].public_key())).is_err() {
            return Err(PastedError::ChainOrder(index + 2));
        }
    }
    Ok(())
}

pub(crate) fn is_self_signed(certificate: &X509Certificate<'_>) -> bool {
    certificate.issuer().as_raw() == certificate.subject().as_raw()
}

/// Whether the leaf can serve that name.
pub(crate) fn check_leaf(leaf: &X509Certificate<'_>, name: &DomainName) -> Result<(), PastedError> {
    check_name(leaf, name)?;
    // Tools that sign for themselves mark the certificate as a CA's.
    if is_self_signed(leaf) {
        return Ok(());
    }
    if leaf.is_ca() {
        return Err(PastedError::CaCertificate);
    }
    let algorithm = leaf.signature_algorithm.algorithm.to_id_string();
    if let Some((_, hash)) = BROKEN.iter().find(|(broken, _)| *broken == algorithm) {
        return Err(PastedError::WeakSignature(hash));
    }
    match leaf.extended_key_usage() {
        Ok(Some(usage)) if !usage.value.server_auth && !usage.value.any => Err(PastedError::NotForServers),
        Ok(_) => Ok(()),
        Err(_) => Err(PastedError::Unparsable(1)),
    }
}

/// Names are those of the subject alternative names, never the common name (RFC 9525 section 6.2); a wildcard stands for
/// one whole left-most label (section 6.3).
fn check_name(leaf: &X509Certificate<'_>, name: &DomainName) -> Result<(), PastedError> {
    let names = leaf.subject_alternative_name();
    let names = names.map_err(|_| PastedError::Unparsable(1))?;
    let names: Vec<&str> = names
        .iter()
        .flat_map(|names| &names.value.general_names)
        .filter_map(|name| match name {
            GeneralName::DNSName(name) => Some(*name),
            _ => None,
        })
        .collect();
    let wildcard = name
        .as_str()
        .split_once('.')
        .map(|(_, parent)| format!("*.{parent}"));
    let covers = |covered: &&str| {
        covered.eq_ignore_ascii_case(name.as_str())
            || wildcard
                .as_ref()
                .is_some_and(|wildcard| covered.eq_ignore_ascii_case(wildcard))
    };
    if names.iter().any(covers) {
        return Ok(());
    }
    let told: Vec<String> = names
        .iter()
        .take(MOST_NAMES_TOLD)
        .map(|name| clean(name))
        .collect();
    Err(PastedError::NameNotCovered {
        name: name.clone(),
        covered: match (told.is_empty(), names.len() > MOST_NAMES_TOLD) {
            (true, _) => "no name at all".to_owned(),
            (false, true) => format!("{} and others", told.join(", ")),
            (false, false) => told.join(", "),
        },
    })
}

pub(crate) fn check_dates(
    leaf: &X509Certificate<'_>,
    now: Timestamp,
) -> Result<(Timestamp, Timestamp), PastedError> {
    let instant = |time: x509_parser::time::ASN1Time| {
        Timestamp::from_second(time.timestamp()).map_err(|_| PastedError::BadDates)
    };
    let validity = leaf.validity();
    let (not_before, not_after) = (instant(validity.not_before)?, instant(validity.not_after)?);
    if not_after <= not_before {
        return Err(PastedError::BadDates);
    }
    if not_after <= now {
        return Err(PastedError::Expired(not_after));
    }
    if not_before.duration_since(now) > TOLERANCE {
        return Err(PastedError::NotYetValid(not_before));
    }
    Ok((not_before, not_after))
}

/// Whether a root of browsers leads to the first of the chain.
pub(crate) fn is_publicly_trusted(chain: &[Vec<u8>], now: Timestamp) -> bool {
    let ders: Vec<CertificateDer<'_>> = chain.iter().map(|der| der.as_slice().into()).collect();
    let Some((leaf, intermediates)) = ders.split_first() else {
        return false;
    };
    let since_1970 = Duration::from_secs(u64::try_from(now.as_second()).unwrap_or(0));
    let verified = EndEntityCert::try_from(leaf).and_then(|leaf| {
        leaf.verify_for_usage(
            webpki::ALL_VERIFICATION_ALGS,
            webpki_roots::TLS_SERVER_ROOTS,
            intermediates,
            UnixTime::since_unix_epoch(since_1970),
            KeyUsage::server_auth(),
            None,
            None,
        )
        .map(drop)
    });
    verified.is_ok()
}

/// Shortens a text from outside and takes out what is not for a line of a page.
pub(crate) fn clean(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .take(MOST_TEXT)
        .collect()
}
