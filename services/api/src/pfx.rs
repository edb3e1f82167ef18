//! A private key with its chain as a PFX (PKCS #12, RFC 7292), for systems that accept only that.
//!
//! Encrypted with AES-256-CBC under a key from PBKDF2 with HMAC-SHA-256, and authenticated with HMAC-SHA-256, which
//! OpenSSL 3, Java and Windows Server 2019 and later can read. The format's older ciphers are broken and not offered.
//! Crate `p12-keystore` writes it; its temporary copies of the key are not wiped.

use aws_lc_rs::digest::{SHA256, digest};
use p12_keystore::{
    Certificate, EncryptionAlgorithm, KeyStore, KeyStoreEntry, MacAlgorithm, PrivateKeyChain,
};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use zeroize::Zeroizing;

/// Each of the two encryptions and the MAC repeats its hash so often. Readers have limits for all three together: .NET's is
/// a million by default.
const ITERATIONS: u64 = 100_000;
const MAX_PASSWORD_BYTES: usize = 128;

/// A password that can be used: wiped after use, and without `Debug`.
pub(crate) struct Password(Zeroizing<String>);

/// Why a password cannot be used. None of it shows the password.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum PasswordError {
    #[error("a PFX needs a password")]
    Missing,
    #[error("the password of a PFX has at most {MAX_PASSWORD_BYTES} bytes")]
    TooLong,
    #[error(
        "the password of a PFX has printable ASCII characters only: with others Java does not open the file"
    )]
    UnfitCharacter,
}

impl PasswordError {
    /// The reason in the error's detail.
    pub(crate) fn reason(self) -> &'static str {
        match self {
            Self::Missing => "PFX_PASSWORD_REQUIRED",
            Self::TooLong | Self::UnfitCharacter => "PFX_PASSWORD_INVALID",
        }
    }
}

/// Why a PFX could not be made.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PfxError {
    #[error("the stored chain is not PEM")]
    Chain(#[source] rustls_pki_types::pem::Error),
    #[error("the stored chain is empty")]
    EmptyChain,
    #[error("the PFX cannot be written")]
    Write(#[from] p12_keystore::error::Error),
}

impl Password {
    pub(crate) fn new(text: Zeroizing<String>) -> Result<Self, PasswordError> {
        if text.is_empty() {
            return Err(PasswordError::Missing);
        }
        if text.len() > MAX_PASSWORD_BYTES {
            return Err(PasswordError::TooLong);
        }
        // Java's ciphers of PBES2 know no others (`PBEKey`), whatever the format holds.
        if !text.bytes().all(|byte| matches!(byte, b' '..=b'~')) {
            return Err(PasswordError::UnfitCharacter);
        }
        Ok(Self(text))
    }
}

/// A PFX of a PKCS #8 key and its chain (PEM, leaf first); `alias` is how systems show it. It takes a tenth of a second of
/// computing, so this is no work for an async thread.
pub(crate) fn make(
    alias: &str,
    pkcs8: &[u8],
    chain_pem: &str,
    password: &Password,
) -> Result<Zeroizing<Vec<u8>>, PfxError> {
    let chain: Vec<CertificateDer<'_>> = CertificateDer::pem_slice_iter(chain_pem.as_bytes())
        .collect::<Result<_, _>>()
        .map_err(PfxError::Chain)?;
    let leaf = chain.first().ok_or(PfxError::EmptyChain)?;
    // Ties the key to its certificate.
    let local_key_id = digest(&SHA256, leaf);
    let certificates: Vec<Certificate> =
        chain.iter().map(|certificate| Certificate::from_der(certificate)).collect::<Result<_, _>>()?;
    let mut store = KeyStore::new();
    let entry = PrivateKeyChain::new(pkcs8, local_key_id, certificates);
    store.add_entry(alias, KeyStoreEntry::PrivateKeyChain(entry));
    let pfx = store
        .writer(&password.0)
        .encryption_algorithm(EncryptionAlgorithm::PbeWithHmacSha256AndAes256)
        .encryption_iterations(ITERATIONS)
        .mac_algorithm(MacAlgorithm::HmacSha256)
        .mac_iterations(ITERATIONS)
        .write()?;
    Ok(Zeroizing::new(pfx))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn password(text: &str) -> Result<Password, PasswordError> {
        Password::new(Zeroizing::new(text.to_owned()))
    }

    #[test]
    fn a_password_is_there_short_and_can_be_typed() {
        for fine in ["x", "pass word", " !\"$\\~", &"a".repeat(128)] {
            assert!(password(fine).is_ok(), "{fine:?}");
        }
        for (text, expected) in [
            ("", PasswordError::Missing),
            (&*"a".repeat(129), PasswordError::TooLong),
            (&*"ü".repeat(65), PasswordError::TooLong),
            ("secret\n", PasswordError::UnfitCharacter),
            ("sec\0ret", PasswordError::UnfitCharacter),
            ("Grüße", PasswordError::UnfitCharacter),
            ("secret🔑", PasswordError::UnfitCharacter),
        ] {
            assert_eq!(password(text).err(), Some(expected), "{text:?}");
        }
    }
}
