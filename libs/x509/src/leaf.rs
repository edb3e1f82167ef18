//! Properties of a leaf certificate.

use aws_lc_rs::digest::{SHA256, digest};
use domain::one_line;
use jiff::{SignedDuration, Timestamp};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use x509_parser::certification_request::X509CertificationRequest;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer, X509Certificate};
use x509_parser::time::ASN1Time;

/// Clocks differ by less than this, or something is wrong.
pub(crate) const TOLERANCE: SignedDuration = SignedDuration::from_hours(1);
/// The end of a certificate that has none: a month before the last instant that timestamps have, so that what is computed
/// from it stays in their range.
pub const NO_END: Timestamp = Timestamp::constant(253_399_622_400, 0);
/// Most characters of a certificate's own words that are kept.
const MAX_CHARACTERS: usize = 300;

/// Lower-case hex SHA-256 of the DER.
pub(crate) fn sha256(leaf: &X509Certificate<'_>) -> String {
    hex::encode(digest(&SHA256, leaf.as_raw()))
}

/// SHA-256 of the public key (SubjectPublicKeyInfo, DER) of the first certificate of a PEM chain.
pub fn leaf_public_key_sha256(chain_pem: &str) -> Option<[u8; 32]> {
    let leaf = CertificateDer::pem_slice_iter(chain_pem.as_bytes()).next()?.ok()?;
    let (_, leaf) = X509Certificate::from_der(&leaf).ok()?;
    Some(public_key_sha256(leaf.public_key().raw))
}

/// Lower-case hex SHA-256 of each certificate of a PEM chain, as far as it can be read.
pub fn chain_sha256(chain_pem: &str) -> Vec<String> {
    let ders = CertificateDer::pem_slice_iter(chain_pem.as_bytes()).map_while(Result::ok);
    ders.map(|der| hex::encode(digest(&SHA256, &der))).collect()
}

/// The public key (SubjectPublicKeyInfo, DER) of a certificate signing request (PKCS #10, DER).
pub fn csr_public_key(csr: &[u8]) -> Option<Vec<u8>> {
    let (_, csr) = X509CertificationRequest::from_der(csr).ok()?;
    Some(csr.certification_request_info.subject_pki.raw.to_vec())
}

/// Its SHA-256.
pub fn csr_public_key_sha256(csr: &[u8]) -> Option<[u8; 32]> {
    csr_public_key(csr).map(|key| public_key_sha256(&key))
}

fn public_key_sha256(public_key: &[u8]) -> [u8; 32] {
    let mut hash = [0; 32];
    hash.copy_from_slice(digest(&SHA256, public_key).as_ref());
    hash
}

/// Lower-case hex of the serial number.
pub(crate) fn serial(leaf: &X509Certificate<'_>) -> String {
    hex::encode(leaf.raw_serial())
}

/// Distinguished name of the issuer, for people.
pub(crate) fn issuer(leaf: &X509Certificate<'_>) -> String {
    clean(&leaf.issuer().to_string())
}

/// Start and end of validity; none if the start is out of the range that timestamps have. An end beyond it, such as
/// 99991231235959Z, which means "no well-defined end" (RFC 5280 section 4.1.2.5), becomes [`NO_END`].
pub(crate) fn validity(leaf: &X509Certificate<'_>) -> Option<(Timestamp, Timestamp)> {
    let instant = |time: ASN1Time| Timestamp::from_second(time.timestamp()).ok();
    let validity = leaf.validity();
    let not_after = instant(validity.not_after).unwrap_or(NO_END).min(NO_END);
    Some((instant(validity.not_before)?, not_after))
}

/// When a certificate in DER ends; none if it cannot be read. See [`NO_END`].
pub fn not_after(der: &[u8]) -> Option<Timestamp> {
    let (_, leaf) = X509Certificate::from_der(der).ok()?;
    validity(&leaf).map(|(_, not_after)| not_after)
}

/// The subject alternative names (RFC 5280 section 4.2.1.6); none if they cannot be read.
pub(crate) fn names<'a>(leaf: &'a X509Certificate<'a>) -> Option<&'a [GeneralName<'a>]> {
    let extension = leaf.subject_alternative_name().ok()?;
    Some(extension.map_or(&[], |extension| &extension.value.general_names))
}

/// The DNS names and URIs among the subject alternative names of a certificate in DER (RFC 5280 section 4.2.1.6), as they
/// stand there; none of a certificate that cannot be read. Whether it is trusted is not looked at.
pub fn alternative_names(der: &[u8]) -> Vec<String> {
    let Ok((_, leaf)) = X509Certificate::from_der(der) else {
        return Vec::new();
    };
    let names = names(&leaf).unwrap_or_default().iter();
    names
        .filter_map(|name| match name {
            GeneralName::DNSName(name) | GeneralName::URI(name) => Some((*name).to_owned()),
            _ => None,
        })
        .collect()
}

/// A text from a certificate.
pub(crate) fn clean(text: &str) -> String {
    one_line(text, MAX_CHARACTERS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_of_a_certificate_stay_on_their_line() {
        assert_eq!(clean("a\nb\u{202e}c\u{0}é"), "a b c é");
        assert_eq!(clean(&"a".repeat(1000)).chars().count(), MAX_CHARACTERS);
    }
}
