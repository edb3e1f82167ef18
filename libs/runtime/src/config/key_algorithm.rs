//! The key algorithm of new certificates.

use serde::{Deserialize, Serialize};

/// The kind of a certificate's key. All CAs of the public internet take these, and all browsers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", try_from = "String")]
pub enum KeyAlgorithm {
    /// ECDSA on P-256: the smallest and fastest.
    P256,
    /// ECDSA on P-384.
    P384,
    /// RSA of 2048 bits, for clients that know no ECDSA.
    Rsa2048,
    /// RSA of 4096 bits: each handshake costs the edges several times what 2048 does.
    Rsa4096,
}

impl TryFrom<String> for KeyAlgorithm {
    type Error = String;

    /// Not left to serde, whose sentence does not say what there is.
    fn try_from(word: String) -> Result<Self, String> {
        match word.as_str() {
            "p256" => Ok(Self::P256),
            "p384" => Ok(Self::P384),
            "rsa2048" => Ok(Self::Rsa2048),
            "rsa4096" => Ok(Self::Rsa4096),
            _ => Err(format!("{word:?} is none of p256, p384, rsa2048, rsa4096")),
        }
    }
}
