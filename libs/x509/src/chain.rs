//! Certificates one after the other: parsed, in order, encoded anew.

use x509_parser::error::X509Error;
use x509_parser::prelude::{FromDer, X509Certificate};

use crate::blocks::Block;

/// A leaf and its intermediates; real chains have two to four.
pub(crate) const MOST_CERTIFICATES: usize = 10;

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

/// PEM of the certificates and nothing else.
pub(crate) fn encode(chain: &[X509Certificate<'_>]) -> String {
    chain.iter().map(|certificate| pem::encode(&pem::Pem::new("CERTIFICATE", certificate.as_raw()))).collect()
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
