//! Decryption by a password (PKCS #5, RFC 8018 section 6.2): PBKDF2 and AES-CBC, as OpenSSL 3, Java and Windows write
//! keys and PFX files today.
//!
//! The older schemes (RC2, triple DES; RFC 7292 appendix C) are not supported: our cryptographic library no longer has
//! them. The error names the scheme and the command that converts the file.

use std::num::NonZeroU32;

use aws_lc_rs::cipher::{
    AES_128, AES_192, AES_256, Algorithm, DecryptionContext, PaddedBlockDecryptingKey, UnboundCipherKey,
};
use aws_lc_rs::iv::FixedLength;
use aws_lc_rs::pbkdf2::{self, PBKDF2_HMAC_SHA1, PBKDF2_HMAC_SHA256, PBKDF2_HMAC_SHA384, PBKDF2_HMAC_SHA512};
use zeroize::Zeroizing;

use crate::der::{Elements, INTEGER, OCTET_STRING, OID, SEQUENCE, number};

/// 1.2.840.113549.1.5.13.
pub(crate) const PBES2: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x05, 0x0d];
/// 1.2.840.113549.1.5.12.
const PBKDF2: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x05, 0x0c];
/// 1.2.840.113549.2, below which the HMACs are.
const HMACS: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x02];
/// 2.16.840.1.101.3.4.1, below which the modes of AES are.
const AES_MODES: &[u8] = &[0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x01];

/// Rounds of PBKDF2 for all of one file: some seconds of computing. OpenSSL and Windows take 2,000 for each key.
const MAX_ROUNDS: u32 = 5_000_000;

/// Why something encrypted was not opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Locked {
    /// An older cipher, or one that is not known.
    Cipher,
    /// The password is not the one, or the bytes are damaged: padding or content do not fit.
    Password,
    /// Its rounds would take too long.
    TooCostly,
}

/// A password, and how much computing is left for its file.
pub(crate) struct Opener<'a> {
    password: &'a str,
    rounds_left: u32,
}

impl<'a> Opener<'a> {
    pub(crate) fn new(password: &'a str) -> Self {
        Self { password, rounds_left: MAX_ROUNDS }
    }

    /// Whether a password was given.
    pub(crate) fn has_password(&self) -> bool {
        !self.password.is_empty()
    }

    /// Decrypts. `algorithm`: the content of an `AlgorithmIdentifier`.
    pub(crate) fn open(
        &mut self,
        algorithm: Elements<'_>,
        encrypted: &[u8],
    ) -> Result<Zeroizing<Vec<u8>>, Locked> {
        let Parameters { prf, salt, rounds, cipher: (cipher, key_bytes), iv } =
            Parameters::read(algorithm).ok_or(Locked::Cipher)?;
        self.rounds_left = self.rounds_left.checked_sub(rounds.get()).ok_or(Locked::TooCostly)?;
        let mut key = Zeroizing::new(vec![0; key_bytes]);
        pbkdf2::derive(prf, rounds, salt, self.password.as_bytes(), &mut key);
        let mut content = Zeroizing::new(encrypted.to_vec());
        let length = UnboundCipherKey::new(cipher, &key)
            .and_then(PaddedBlockDecryptingKey::cbc_pkcs7)
            .and_then(|key| Ok(key.decrypt(&mut content, DecryptionContext::Iv128(iv))?.len()))
            .map_err(|_| Locked::Password)?;
        content.truncate(length);
        Ok(content)
    }
}

struct Parameters<'a> {
    prf: pbkdf2::Algorithm,
    salt: &'a [u8],
    rounds: NonZeroU32,
    cipher: (&'static Algorithm, usize),
    iv: FixedLength<16>,
}

impl<'a> Parameters<'a> {
    fn read(mut algorithm: Elements<'a>) -> Option<Self> {
        if algorithm.expect(OID)? != PBES2 {
            return None;
        }
        let mut schemes = algorithm.enter(SEQUENCE)?;
        let mut derivation = schemes.enter(SEQUENCE)?;
        if derivation.expect(OID)? != PBKDF2 {
            return None;
        }
        let mut derivation = derivation.enter(SEQUENCE)?;
        let salt = derivation.expect(OCTET_STRING)?;
        let rounds = NonZeroU32::new(number(derivation.expect(INTEGER)?)?)?;
        // The length of the key, which the cipher says as well, and the HMAC; both may be missing.
        let hmac = derivation.find(|element| element.tag == SEQUENCE);
        let prf = match hmac {
            Some(hmac) => prf(hmac.children().expect(OID)?)?,
            None => PBKDF2_HMAC_SHA1,
        };
        let mut encryption = schemes.enter(SEQUENCE)?;
        let cipher = cipher(encryption.expect(OID)?)?;
        let iv: [u8; 16] = encryption.expect(OCTET_STRING)?.try_into().ok()?;
        Some(Self { prf, salt, rounds, cipher, iv: FixedLength::from(iv) })
    }
}

/// RFC 8018 appendix B.1.
fn prf(oid: &[u8]) -> Option<pbkdf2::Algorithm> {
    match oid.strip_prefix(HMACS)? {
        [7] => Some(PBKDF2_HMAC_SHA1),
        [9] => Some(PBKDF2_HMAC_SHA256),
        [10] => Some(PBKDF2_HMAC_SHA384),
        [11] => Some(PBKDF2_HMAC_SHA512),
        _ => None,
    }
}

/// AES in CBC mode, and the bytes of its key (NIST's registry of algorithms, `csor`).
fn cipher(oid: &[u8]) -> Option<(&'static Algorithm, usize)> {
    match oid.strip_prefix(AES_MODES)? {
        [2] => Some((&AES_128, 16)),
        [22] => Some((&AES_192, 24)),
        [42] => Some((&AES_256, 32)),
        _ => None,
    }
}
