//! The check of a certificate and key that a customer pastes (DESIGN section 2, "certificates by text").
//!
//! Refused is whatever would break HTTPS for all visitors: the key must be the leaf's, of a kind and strength that
//! browsers accept; the leaf must cover the name, be valid now and be for servers; and each further certificate must
//! have issued the one before it, by name and by signature, because servers send the chain unchanged and browsers
//! follow it in that order. Repeated and unrelated certificates are dropped with a warning. Accepted is what affects
//! only some visitors: a private CA or a self-signed certificate (`trust` says so), a missing intermediate, an expired
//! intermediate. A root at the end is removed: visitors have it or do not trust it.
//!
//! Why not let one library verify the whole chain: it says yes or no for a client that has roots, but a customer needs
//! to know what exactly to fix.

use domain::{DomainName, Trust};
use jiff::Timestamp;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::X509Certificate;
use zeroize::Zeroizing;

use crate::bundle::{Bundle, Shape};
use crate::chain::{self, MAX_CERTIFICATES};
use crate::key::{self, PrivateKey};
use crate::kind::FileKind;
use crate::leaf::{self, TOLERANCE};
use crate::pasted_error::{Field, PastedError};
use crate::pbes2::Opener;
use crate::trust;
use crate::warning::Warning;

/// Most names of a certificate that an error repeats.
const MAX_NAMES: usize = 3;

/// A pasted certificate and key that were accepted.
pub struct Pasted {
    /// Leaf and intermediates, PEM, encoded anew so that nothing else comes along.
    pub chain_pem: String,
    /// The leaf's key, PKCS #8 (RFC 5208), DER.
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
    /// Whether browsers trust it now; if not, visitors see a warning.
    pub trust: Trust,
    /// Warnings about accepted input.
    pub warnings: Vec<Warning>,
}

impl std::fmt::Debug for Pasted {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pasted")
            .field("sha256", &self.sha256)
            .field("issuer", &self.issuer)
            .finish_non_exhaustive()
    }
}

/// A certificate and its key as people bring them: texts or the bytes of files.
#[derive(Clone, Copy, Default)]
pub struct PastedFiles<'a> {
    /// Leaf and intermediates: PEM, DER, PKCS #7, or a PFX with the key in it; at most 64 KiB.
    pub certificate: &'a [u8],
    /// The leaf's key, PEM or DER, or a PFX; empty where the certificate's file is a PFX. At most 64 KiB.
    pub private_key: &'a [u8],
    /// The password of a PFX or an encrypted PKCS #8 key; empty if there is none.
    pub password: &'a str,
}

/// Checks a pasted certificate (leaf first, then intermediates; PEM, RFC 7468) and its key for a domain.
///
/// Names are compared by RFC 9525 section 6.3: subject alternative names alone, a wildcard standing for one label.
pub fn check_pasted(
    certificate_pem: &str,
    private_key_pem: &str,
    name: &DomainName,
    now: Timestamp,
) -> Result<Pasted, PastedError> {
    let files = PastedFiles {
        certificate: certificate_pem.as_bytes(),
        private_key: private_key_pem.as_bytes(),
        password: "",
    };
    check_files(files, name, now)
}

/// The same of files. Opening a PFX takes up to some seconds of computing.
pub fn check_files(files: PastedFiles<'_>, name: &DomainName, now: Timestamp) -> Result<Pasted, PastedError> {
    let (certificates, key) = read(files)?;
    let mut chain = chain::parse(&certificates.ders).map_err(PastedError::Unparsable)?;
    let pkcs8 = key_of_leaf(&mut chain, &key, certificates.is_unordered)?;
    let leaf = chain.first().ok_or(PastedError::NoCertificate)?.clone();
    check_use(&leaf)?;
    check_name(&leaf, name)?;
    let (not_before, not_after) = check_dates(&leaf, now)?;
    let (chain, mut warnings) = chain::arrange(chain, certificates.is_unordered)?;
    let trust = trust::of(&chain, now);
    if trust != Trust::Public {
        warnings.insert(0, Warning::NotPubliclyTrusted);
    }
    if trust == Trust::IntermediateMissing {
        warnings.insert(1, Warning::IntermediateMissing);
    }
    Ok(Pasted {
        chain_pem: chain::encode(&chain),
        pkcs8,
        sha256: leaf::sha256(&leaf),
        serial: leaf::serial(&leaf),
        issuer: leaf::issuer(&leaf),
        not_before,
        not_after,
        trust,
        warnings,
    })
}

/// The certificates that were found.
pub(crate) struct Certificates {
    /// DER.
    pub(crate) ders: Vec<Vec<u8>>,
    pub(crate) is_unordered: bool,
}

/// The certificates and the one key of the two texts or files.
pub(crate) fn read(files: PastedFiles<'_>) -> Result<(Certificates, Zeroizing<Vec<u8>>), PastedError> {
    let opener = &mut Opener::new(files.password);
    let mut certificate = Bundle::read(Field::Certificate, files.certificate, opener)?;
    let mut key = if files.private_key == files.certificate && certificate.is_pfx() {
        Bundle::default()
    } else {
        Bundle::read(Field::PrivateKey, files.private_key, opener)?
    };
    check_places(&certificate, &key)?;
    if key.is_pfx() && certificate.certificates.is_empty() && certificate.foreign.is_none() {
        certificate.certificates = std::mem::take(&mut key.certificates);
        certificate.shape = Shape::Pfx;
    }
    if certificate.certificates.is_empty() {
        return Err(nothing(Field::Certificate, certificate.foreign));
    }
    if certificate.certificates.len() > MAX_CERTIFICATES {
        return Err(PastedError::TooManyCertificates);
    }
    if key.has_encrypted_key {
        return Err(PastedError::EncryptedKey);
    }
    if !key.has_key() {
        key.keys = std::mem::take(&mut certificate.keys);
    }
    let one = key.keys.pop().ok_or_else(|| nothing(Field::PrivateKey, key.foreign))?;
    if !key.keys.is_empty() {
        return Err(PastedError::SeveralKeys);
    }
    Ok((Certificates { ders: certificate.certificates, is_unordered: certificate.shape != Shape::Text }, one))
}

/// Whether keys and certificates are in each other's place. In a PFX both are in theirs.
fn check_places(certificate: &Bundle, key: &Bundle) -> Result<(), PastedError> {
    let key_in_certificate = certificate.has_key() && !certificate.is_pfx();
    let certificate_in_key = !key.certificates.is_empty() && !key.is_pfx();
    match (key_in_certificate, certificate_in_key) {
        (true, true) if certificate.certificates.is_empty() && !key.has_key() => Err(PastedError::Swapped),
        (true, _) => Err(PastedError::KeyInCertificate),
        (_, true) => Err(PastedError::CertificateInKey),
        (false, false) => Ok(()),
    }
}

/// That there is no certificate or no key, with what is there instead.
fn nothing(field: Field, foreign: Option<FileKind>) -> PastedError {
    match (foreign, field) {
        (Some(kind), field) => PastedError::Foreign { field, kind },
        (None, Field::Certificate) => PastedError::NoCertificate,
        (None, Field::PrivateKey) => PastedError::NoKey,
    }
}

/// The key, if it is the leaf's (their public keys are compared) and of a kind that we take. Where the order of the
/// certificates means nothing, the key's own is brought to the front.
pub(crate) fn key_of_leaf(
    chain: &mut [X509Certificate<'_>],
    key: &[u8],
    is_unordered: bool,
) -> Result<Zeroizing<Vec<u8>>, PastedError> {
    let key = PrivateKey::read(key);
    let mut owner = key
        .as_ref()
        .and_then(|key| chain.iter().position(|certificate| certificate.public_key().raw == key.public));
    if let Some(place) = owner.filter(|_| is_unordered) {
        chain.swap(0, place);
        owner = Some(0);
    }
    if let Some(other @ 1..) = owner {
        return Err(PastedError::LeafNotFirst(other + 1));
    }
    // Before what is wrong with the key: a weak or odd key is not read, and the leaf says why.
    if let Some(leaf) = chain.first() {
        key::check_kind(leaf.public_key())?;
    }
    let key = key.ok_or(PastedError::UnparsableKey)?;
    owner.map(|_| key.pkcs8).ok_or(PastedError::KeyMismatch)
}

/// Whether the leaf may be a server's: its extended key usage (RFC 5280 section 4.2.1.12), where it has one, says so,
/// it is no CA (section 4.2.1.9), and it is signed as browsers want it. A certificate that people make for themselves
/// is often marked as a CA, and its own signature proves nothing.
fn check_use(leaf: &X509Certificate<'_>) -> Result<(), PastedError> {
    let unparsable = |_| PastedError::Unparsable(1);
    if let Some(usage) = leaf.extended_key_usage().map_err(unparsable)?
        && !(usage.value.any || usage.value.server_auth)
    {
        return Err(PastedError::NotAServerCertificate);
    }
    if chain::is_self_signed(leaf) {
        return Ok(());
    }
    let constraints = leaf.basic_constraints().map_err(unparsable)?;
    if constraints.is_some_and(|constraints| constraints.value.ca) {
        return Err(PastedError::CaCertificate);
    }
    if is_weakly_signed(leaf) {
        return Err(PastedError::WeakSignature);
    }
    Ok(())
}

fn is_weakly_signed(leaf: &X509Certificate<'_>) -> bool {
    matches!(
        leaf.signature_algorithm.algorithm.to_id_string().as_str(),
        // RSA with MD2, MD4, MD5 and SHA-1, then RSA, DSA and ECDSA with SHA-1 by their other names.
        "1.2.840.113549.1.1.2"
            | "1.2.840.113549.1.1.3"
            | "1.2.840.113549.1.1.4"
            | "1.2.840.113549.1.1.5"
            | "1.3.14.3.2.29"
            | "1.2.840.10040.4.3"
            | "1.2.840.10045.4.1"
    )
}

fn check_name(leaf: &X509Certificate<'_>, name: &DomainName) -> Result<(), PastedError> {
    let names: Vec<&str> = leaf::names(leaf)
        .ok_or(PastedError::Unparsable(1))?
        .iter()
        .filter_map(|name| match name {
            GeneralName::DNSName(name) => Some(*name),
            _ => None,
        })
        .collect();
    if names.iter().any(|pattern| covers(pattern, name.as_str())) {
        return Ok(());
    }
    Err(PastedError::NameNotCovered { name: name.clone(), covered: describe(&names) })
}

/// Whether a name of a certificate is that name, or that name with its first label replaced by an asterisk. An asterisk
/// above a single label (`*.com`) counts for nothing, as in browsers.
fn covers(pattern: &str, name: &str) -> bool {
    let wild = pattern.strip_prefix("*.").zip(name.split_once('.'));
    pattern.eq_ignore_ascii_case(name)
        || wild.is_some_and(|(parent, (_, rest))| parent.contains('.') && parent.eq_ignore_ascii_case(rest))
}

fn describe(names: &[&str]) -> String {
    let first = leaf::clean(&names[..names.len().min(MAX_NAMES)].join(", "));
    match names.len() {
        0 => "no DNS name".to_owned(),
        1..=MAX_NAMES => first,
        count => format!("{first} and {} more", count - MAX_NAMES),
    }
}

fn check_dates(leaf: &X509Certificate<'_>, now: Timestamp) -> Result<(Timestamp, Timestamp), PastedError> {
    let (not_before, not_after) = leaf::validity(leaf).ok_or(PastedError::BadDates)?;
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
