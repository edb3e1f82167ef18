//! The two pasted texts as PEM blocks (RFC 7468). Text around the blocks is tolerated, as tools print it.

use pem::Pem;
use zeroize::Zeroizing;

use crate::PastedError;

const MOST_BYTES: usize = 64 * 1024;
/// A leaf and its intermediates; real chains have two to four.
const MOST_CERTIFICATES: usize = 10;
const CERTIFICATE: &str = "the certificate";
const KEY: &str = "the private key";
/// Legacy encryption stands in a header of the block (RFC 1421 section 4.6.1.1).
const PROC_TYPE: &str = "Proc-Type";

/// A private key as it was pasted.
pub(crate) enum PastedKey {
    /// RFC 5958.
    Pkcs8(Zeroizing<Vec<u8>>),
    /// RFC 8017 appendix A.1.2.
    Pkcs1(Zeroizing<Vec<u8>>),
    /// RFC 5915.
    Sec1(Zeroizing<Vec<u8>>),
}

pub(crate) fn certificates(text: &str) -> Result<Vec<Vec<u8>>, PastedError> {
    let blocks = blocks(CERTIFICATE, text)?;
    let mut chain = Vec::new();
    let has_key = blocks.iter().any(is_key);
    for block in blocks {
        if matches!(
            block.tag(),
            "CERTIFICATE" | "X509 CERTIFICATE" | "TRUSTED CERTIFICATE"
        ) {
            chain.push(block.into_contents());
        } else {
            drop(Zeroizing::new(block.into_contents()));
        }
    }
    match chain.len() {
        0 if has_key => Err(PastedError::Swapped),
        0 => Err(PastedError::NoCertificate),
        1..=MOST_CERTIFICATES => Ok(chain),
        _ => Err(PastedError::TooManyCertificates(MOST_CERTIFICATES)),
    }
}

pub(crate) fn private_key(text: &str) -> Result<PastedKey, PastedError> {
    let blocks = blocks(KEY, text)?;
    let has_certificate = blocks.iter().any(|block| block.tag().ends_with("CERTIFICATE"));
    let mut keys: Vec<Pem> = blocks.into_iter().filter(is_key).collect();
    let Some(key) = keys.pop() else {
        return Err(if has_certificate {
            PastedError::Swapped
        } else {
            PastedError::NoKey
        });
    };
    if !keys.is_empty() {
        return Err(PastedError::SeveralKeys);
    }
    if key.tag() == "ENCRYPTED PRIVATE KEY" || key.headers().get(PROC_TYPE).is_some() {
        return Err(PastedError::EncryptedKey);
    }
    let form = match key.tag() {
        "PRIVATE KEY" => PastedKey::Pkcs8,
        "RSA PRIVATE KEY" => PastedKey::Pkcs1,
        "EC PRIVATE KEY" => PastedKey::Sec1,
        other => return Err(PastedError::UnsupportedKey(crate::certificate::clean(other))),
    };
    Ok(form(Zeroizing::new(key.into_contents())))
}

fn is_key(block: &Pem) -> bool {
    block.tag().ends_with("PRIVATE KEY")
}

fn blocks(what: &'static str, text: &str) -> Result<Vec<Pem>, PastedError> {
    if text.len() > MOST_BYTES {
        return Err(PastedError::TooLarge {
            what,
            most: MOST_BYTES,
        });
    }
    let blocks = pem::parse_many(text).map_err(|_| PastedError::NotPem(what))?;
    if blocks.is_empty() && !text.trim().is_empty() {
        return Err(PastedError::NotPem(what));
    }
    Ok(blocks)
}
