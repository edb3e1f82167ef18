//! Certificates one after the other: parsed, in order, encoded anew.

use x509_parser::error::X509Error;
use x509_parser::prelude::{FromDer, X509Certificate};

use crate::blocks::Block;

/// A leaf and its intermediates; real chains have two to four.
pub(crate) const MAX_CERTIFICATES: usize = 10;

/// The certificates of the blocks, or the number, from one, of the one that cannot be parsed.
pub(crate) fn parse<'a>(blocks: &'a [Block<'_>]) -> Result<Vec<X509Certificate<'a>>, usize> {
    blocks
        .iter()
        .enumerate()
        .map(|(index, block)| match X509Certificate::from_der(&block.der) {
            Ok(([], certificate)) => Ok(certificate),
            _ => Err(index + 1),
        })
        .collect()
}

/// The certificates of the blocks, each by itself; none where one cannot be parsed.
pub(crate) fn parse_each<'a>(blocks: &'a [Block<'_>]) -> Vec<Option<X509Certificate<'a>>> {
    blocks
        .iter()
        .map(|block| match X509Certificate::from_der(&block.der) {
            Ok(([], certificate)) => Some(certificate),
            _ => None,
        })
        .collect()
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
