//! A sequence of certificates: parsed, in order, encoded again.

use x509_parser::error::X509Error;
use x509_parser::prelude::{FromDer, X509Certificate};

use crate::leaf;
use crate::pasted_error::PastedError;
use crate::warning::Warning;

/// A leaf and its intermediates; real chains have two to four.
pub(crate) const MAX_CERTIFICATES: usize = 10;

/// Parses DER. Errors: the number, from one, of the certificate that cannot be parsed.
pub(crate) fn parse<D: AsRef<[u8]>>(ders: &[D]) -> Result<Vec<X509Certificate<'_>>, usize> {
    ders.iter().enumerate().map(|(index, der)| parse_one(der).ok_or(index + 1)).collect()
}

/// Parses each by itself; none where one cannot be parsed.
pub(crate) fn parse_each<D: AsRef<[u8]>>(ders: &[D]) -> Vec<Option<X509Certificate<'_>>> {
    ders.iter().map(parse_one).collect()
}

fn parse_one<D: AsRef<[u8]>>(der: &D) -> Option<X509Certificate<'_>> {
    match X509Certificate::from_der(der.as_ref()) {
        Ok(([], certificate)) => Some(certificate),
        _ => None,
    }
}

/// The leaf, its issuer, that one's issuer and so on, as far as they are among `others`; the rest is left out. Of several
/// with the same subject (a cross-signed root) the first is taken, as the CA prefers it.
pub(crate) fn in_order<'a>(
    leaf: X509Certificate<'a>,
    mut others: Vec<X509Certificate<'a>>,
) -> Vec<X509Certificate<'a>> {
    let mut chain = vec![leaf];
    while let Some(last) = chain.last()
        && !names_issuer(last, last)
        && let Some(position) = others.iter().position(|other| names_issuer(last, other))
    {
        chain.push(others.remove(position));
    }
    chain
}

/// PEM of the certificates and nothing else, with LF at the end of each line whatever the source had: a chain is compared
/// and split by programs that were never told of CR.
pub(crate) fn encode(chain: &[X509Certificate<'_>]) -> String {
    let lines = pem::EncodeConfig::new().set_line_ending(pem::LineEnding::LF);
    chain
        .iter()
        .map(|certificate| pem::encode_config(&pem::Pem::new("CERTIFICATE", certificate.as_raw()), lines))
        .collect()
}

/// Whether the names say that `issuer` issued `certificate` (RFC 5280 section 6.1.3 (a)(4)).
pub(crate) fn names_issuer(certificate: &X509Certificate<'_>, issuer: &X509Certificate<'_>) -> bool {
    certificate.issuer().as_raw() == issuer.subject().as_raw()
}

/// Whether `issuer` issued `certificate`, by names and signature. A signature of a kind that we cannot verify (ECDSA on
/// P-521 or with SHA-512, which some private CAs use) counts as right: in that case the names alone decide.
pub(crate) fn issued(certificate: &X509Certificate<'_>, issuer: &X509Certificate<'_>) -> bool {
    names_issuer(certificate, issuer)
        && matches!(
            certificate.verify_signature(Some(issuer.public_key())),
            Ok(()) | Err(X509Error::SignatureUnsupportedAlgorithm)
        )
}

/// Whether a certificate is its own issuer, as roots and self-made certificates are.
pub(crate) fn is_self_signed(certificate: &X509Certificate<'_>) -> bool {
    issued(certificate, certificate)
}

/// The leaf and its issuers, each after the one that it issued, without a root; and what was left out.
///
/// `pasted` begins with the leaf. A certificate that stands twice and one that has nothing to do with the leaf are left
/// out: servers would hand them to every visitor for nothing. Errors: `ChainOrder` if the certificates belong together but
/// stand in another order and `is_unordered` is false; `RootWithoutIntermediate` if the leaf's issuer is missing and a root
/// is all there is.
pub(crate) fn arrange<'a>(
    pasted: Vec<X509Certificate<'a>>,
    is_unordered: bool,
) -> Result<(Vec<X509Certificate<'a>>, Vec<Warning>), PastedError> {
    let mut warnings = Vec::new();
    let mut rest: Vec<(usize, X509Certificate<'a>)> = Vec::new();
    for (index, certificate) in pasted.into_iter().enumerate() {
        if rest.iter().any(|(_, other)| other.as_raw() == certificate.as_raw()) {
            Warning::DuplicateLeftOut.put(&mut warnings);
        } else {
            rest.push((index, certificate));
        }
    }
    if rest.is_empty() {
        return Err(PastedError::NoCertificate);
    }
    let mut last = rest.remove(0);
    let mut chain = Vec::with_capacity(rest.len() + 1);
    while let Some(place) = next_issuer(&last.1, &rest) {
        let issuer = rest.remove(place);
        if issuer.0 < last.0 && !is_unordered {
            return Err(PastedError::ChainOrder(issuer.0 + 1));
        }
        chain.push(std::mem::replace(&mut last, issuer).1);
    }
    // Visitors have a root, or do not trust it.
    if chain.is_empty() || !is_self_signed(&last.1) {
        chain.push(last.1);
    }
    if !rest.is_empty() {
        check_left_out(&chain, &rest)?;
        Warning::UnrelatedLeftOut.put(&mut warnings);
    }
    Ok((chain, warnings))
}

/// Where the issuer of `certificate` stands. A root has none.
fn next_issuer(certificate: &X509Certificate<'_>, rest: &[(usize, X509Certificate<'_>)]) -> Option<usize> {
    if is_self_signed(certificate) {
        return None;
    }
    rest.iter().position(|(_, issuer)| issued(certificate, issuer))
}

/// A leaf with a root that did not issue it lacks the intermediate between them.
fn check_left_out(
    chain: &[X509Certificate<'_>],
    rest: &[(usize, X509Certificate<'_>)],
) -> Result<(), PastedError> {
    let [leaf] = chain else { return Ok(()) };
    let roots_only = rest.iter().all(|(_, other)| is_self_signed(other) && !names_issuer(leaf, other));
    match rest.first() {
        Some((index, _)) if roots_only && !is_self_signed(leaf) => {
            Err(PastedError::RootWithoutIntermediate { root: index + 1, issuer: leaf::issuer(leaf) })
        }
        _ => Ok(()),
    }
}
