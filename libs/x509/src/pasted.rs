//! The check of a certificate and key that a customer pastes (DESIGN section 2, "certificates by text").
//!
//! Checked is what would break the domain's HTTPS for everybody: the key is the leaf's, of a kind and strength that
//! browsers take, the leaf covers the name, is valid now, is for servers, and each further certificate issued the one
//! before it, by name and by signature, because servers hand the chain out as it is and browsers walk it in that order.
//! Not refused is what only some visitors mind: a private CA or a self-signed certificate (`publicly_trusted` says so),
//! a missing intermediate, an intermediate that ended. A root at the end is taken out: visitors have it or do not trust it.
//!
//! Why not let one library verify the whole chain and be done: it says yes or no for a client that has roots, while a
//! customer needs to know which of many things to mend.

use domain::DomainName;
use jiff::Timestamp;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::X509Certificate;
use zeroize::Zeroizing;

use crate::blocks::{self, Block};
use crate::chain::{self, MAX_CERTIFICATES};
use crate::key::{self, PrivateKey};
use crate::leaf::{self, TOLERANCE};
use crate::pasted_error::{Field, PastedError};
use crate::trust;

/// Most bytes of each of the two texts; a long chain has a fifth of that.
pub(crate) const MOST_BYTES: usize = 64 * 1024;
/// Most names of a certificate that an error repeats.
const MOST_NAMES: usize = 3;

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
    /// Whether the chain leads to a root of Mozilla's program now; if not, most visitors see a warning.
    pub publicly_trusted: bool,
}

impl std::fmt::Debug for Pasted {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pasted")
            .field("sha256", &self.sha256)
            .field("issuer", &self.issuer)
            .finish_non_exhaustive()
    }
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
    let (certificates, key) = read(certificate_pem, private_key_pem)?;
    let mut chain = chain::parse(&certificates).map_err(PastedError::Unparsable)?;
    let pkcs8 = key_of_leaf(&chain, &key)?;
    let leaf = chain.first().ok_or(PastedError::NoCertificate)?.clone();
    check_use(&leaf)?;
    check_name(&leaf, name)?;
    let (not_before, not_after) = check_dates(&leaf, now)?;
    check_order(&chain)?;
    if chain.len() > 1 {
        chain.pop_if(|last| chain::is_self_signed(last));
    }
    Ok(Pasted {
        chain_pem: chain::encode(&chain),
        pkcs8,
        sha256: leaf::sha256(&leaf),
        serial: leaf::serial(&leaf),
        issuer: leaf::issuer(&leaf),
        not_before,
        not_after,
        publicly_trusted: trust::is_publicly_trusted(&chain, now),
    })
}

/// The certificates and the one key of the two texts.
fn read<'a>(
    certificate_pem: &'a str,
    private_key_pem: &'a str,
) -> Result<(Vec<Block<'a>>, Block<'a>), PastedError> {
    let mut certificates = read_field(Field::Certificate, certificate_pem)?;
    let mut keys = read_field(Field::PrivateKey, private_key_pem)?;
    let key_in_certificate = certificates.iter().any(Block::is_private_key);
    let certificate_in_key = keys.iter().any(Block::is_certificate);
    certificates.retain(Block::is_certificate);
    keys.retain(Block::is_private_key);
    match (key_in_certificate, certificate_in_key) {
        (true, true) if certificates.is_empty() && keys.is_empty() => return Err(PastedError::Swapped),
        (true, _) => return Err(PastedError::KeyInCertificate),
        (_, true) => return Err(PastedError::CertificateInKey),
        (false, false) => {}
    }
    if certificates.is_empty() {
        return Err(PastedError::NoCertificate);
    }
    if certificates.len() > MAX_CERTIFICATES {
        return Err(PastedError::TooManyCertificates);
    }
    if keys.iter().any(Block::is_encrypted) {
        return Err(PastedError::EncryptedKey);
    }
    let key = keys.pop().ok_or(PastedError::NoKey)?;
    if !keys.is_empty() {
        return Err(PastedError::SeveralKeys);
    }
    Ok((certificates, key))
}

fn read_field(field: Field, text: &str) -> Result<Vec<Block<'_>>, PastedError> {
    if text.len() > MOST_BYTES {
        return Err(PastedError::TooLarge(field));
    }
    let blocks = blocks::read(text).map_err(|_| PastedError::NotPem(field))?;
    if blocks.is_empty() && !text.trim().is_empty() {
        return Err(PastedError::NotPem(field));
    }
    Ok(blocks)
}

/// The key, if it is the leaf's (their public keys are compared) and of a kind that we take.
fn key_of_leaf(chain: &[X509Certificate<'_>], key: &Block<'_>) -> Result<Zeroizing<Vec<u8>>, PastedError> {
    let key = PrivateKey::read(&key.der);
    let owner = key
        .as_ref()
        .and_then(|key| chain.iter().position(|certificate| certificate.public_key().raw == key.public));
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

/// Whether the leaf may be a server's: its extended key usage (RFC 5280 section 4.2.1.12), where it has one, says so, it
/// is no CA (section 4.2.1.9), and it is signed as browsers want it. A certificate that people make for themselves is
/// often marked as a CA, and its own signature tells nobody anything.
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
    let first = leaf::clean(&names[..names.len().min(MOST_NAMES)].join(", "));
    match names.len() {
        0 => "no DNS name".to_owned(),
        1..=MOST_NAMES => first,
        count => format!("{first} and {} more", count - MOST_NAMES),
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

fn check_order(chain: &[X509Certificate<'_>]) -> Result<(), PastedError> {
    for (index, pair) in chain.windows(2).enumerate() {
        if !chain::issued(&pair[0], &pair[1]) {
            return Err(PastedError::ChainOrder(index + 2));
        }
    }
    Ok(())
}
