//! The keys that a provider publishes (RFC 7517), and whether one of them made a signature.

use aws_lc_rs::rsa::PublicKeyComponents;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P384_SHA384_FIXED, ED25519, RSA_PKCS1_2048_8192_SHA256,
    RSA_PKCS1_2048_8192_SHA384, RSA_PKCS1_2048_8192_SHA512, RSA_PSS_2048_8192_SHA256,
    RSA_PSS_2048_8192_SHA384, RSA_PSS_2048_8192_SHA512, RsaParameters, UnparsedPublicKey,
    VerificationAlgorithm,
};
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use serde_json::{Map, Value};

use crate::id_token::Refusal;
use crate::json::{optional_text, text};
use crate::jws::{Algorithm, Jws};

/// Shorter RSA keys can be broken (RFC 7518 section 3.3).
const MIN_RSA_BITS: usize = 2048;

/// Keys for signatures. Those of kinds that we do not know are left out.
#[derive(Debug)]
pub(crate) struct KeySet(Vec<Key>);

#[derive(Debug)]
struct Key {
    id: Option<String>,
    /// The one algorithm that it is for, if it says so.
    algorithm: Option<Algorithm>,
    public: PublicKey,
}

#[derive(Debug)]
enum PublicKey {
    /// Modulus and exponent, big endian, without leading zeros.
    Rsa {
        modulus: Vec<u8>,
        exponent: Vec<u8>,
    },
    /// Uncompressed point.
    P256(Vec<u8>),
    /// Uncompressed point.
    P384(Vec<u8>),
    Ed25519(Vec<u8>),
}

impl KeySet {
    /// The keys of a JSON Web Key Set; none if it is none.
    pub(crate) fn from_json(object: &Map<String, Value>) -> Option<Self> {
        let keys = object.get("keys")?.as_array()?;
        Some(Self(keys.iter().filter_map(Value::as_object).filter_map(Key::from_json).collect()))
    }

    /// Whether one of the keys made the token's signature. Errors: `UnknownKey` if there is none that could have, so that
    /// asking the provider again may help.
    pub(crate) fn verify(&self, token: &Jws<'_>) -> Result<(), Refusal> {
        let mut candidates = self.0.iter().filter(|key| key.could_have_signed(token));
        let key = candidates.next().ok_or(Refusal::UnknownKey)?;
        if candidates.next().is_some() {
            return Err(Refusal::Claims("it does not say which of several keys it is signed with"));
        }
        key.public.verify(token)
    }
}

impl Key {
    /// None for a key that is not for signatures, or that we cannot use.
    fn from_json(object: &Map<String, Value>) -> Option<Self> {
        if optional_text(object, "use")?.is_some_and(|purpose| purpose != "sig") {
            return None;
        }
        let algorithm = match optional_text(object, "alg")? {
            Some(name) => Some(Algorithm::from_name(name)?),
            None => None,
        };
        let id = optional_text(object, "kid")?.map(str::to_owned);
        Some(Self { id, algorithm, public: PublicKey::from_json(object)? })
    }

    fn could_have_signed(&self, token: &Jws<'_>) -> bool {
        let has_name = token.key_id.is_none() || token.key_id == self.id;
        let is_for_it = self.algorithm.is_none_or(|algorithm| algorithm == token.algorithm);
        has_name && is_for_it && self.public.fits(token.algorithm)
    }
}

impl PublicKey {
    fn from_json(object: &Map<String, Value>) -> Option<Self> {
        let bytes = |name| BASE64_URL_SAFE_NO_PAD.decode(text(object, name)?).ok();
        match (text(object, "kty")?, text(object, "crv")) {
            ("RSA", _) => {
                let (modulus, exponent) = (without_zeros(bytes("n")?), without_zeros(bytes("e")?));
                (!modulus.is_empty() && !exponent.is_empty()).then_some(Self::Rsa { modulus, exponent })
            }
            ("EC", Some("P-256")) => Some(Self::P256(point(&bytes("x")?, &bytes("y")?, 32)?)),
            ("EC", Some("P-384")) => Some(Self::P384(point(&bytes("x")?, &bytes("y")?, 48)?)),
            ("OKP", Some("Ed25519")) => Some(Self::Ed25519(bytes("x").filter(|x| x.len() == 32)?)),
            _ => None,
        }
    }

    /// Whether keys of this kind make such signatures.
    fn fits(&self, algorithm: Algorithm) -> bool {
        use Algorithm::{EdDsa, Es256, Es384, Ps256, Ps384, Ps512, Rs256, Rs384, Rs512};
        match self {
            Self::Rsa { .. } => matches!(algorithm, Rs256 | Rs384 | Rs512 | Ps256 | Ps384 | Ps512),
            Self::P256(_) => algorithm == Es256,
            Self::P384(_) => algorithm == Es384,
            Self::Ed25519(_) => algorithm == EdDsa,
        }
    }

    fn verify(&self, token: &Jws<'_>) -> Result<(), Refusal> {
        match self {
            Self::Rsa { modulus, exponent } => verify_rsa(modulus, exponent, token),
            Self::P256(key) => verify_by(&ECDSA_P256_SHA256_FIXED, key, token),
            Self::P384(key) => verify_by(&ECDSA_P384_SHA384_FIXED, key, token),
            Self::Ed25519(key) => verify_by(&ED25519, key, token),
        }
    }
}

const WRONG_SIGNATURE: Refusal = Refusal::Claims("its signature is not right");

fn verify_by(
    algorithm: &'static dyn VerificationAlgorithm,
    key: &[u8],
    token: &Jws<'_>,
) -> Result<(), Refusal> {
    let key = UnparsedPublicKey::new(algorithm, key);
    key.verify(token.signed.as_bytes(), &token.signature).map_err(|_| WRONG_SIGNATURE)
}

fn verify_rsa(modulus: &[u8], exponent: &[u8], token: &Jws<'_>) -> Result<(), Refusal> {
    if bits(modulus) < MIN_RSA_BITS {
        return Err(Refusal::Claims("it is signed with an RSA key of less than 2048 bits"));
    }
    let parameters = rsa_parameters(token.algorithm).ok_or(WRONG_SIGNATURE)?;
    let key = PublicKeyComponents { n: modulus, e: exponent };
    key.verify(parameters, token.signed.as_bytes(), &token.signature).map_err(|_| WRONG_SIGNATURE)
}

fn rsa_parameters(algorithm: Algorithm) -> Option<&'static RsaParameters> {
    match algorithm {
        Algorithm::Rs256 => Some(&RSA_PKCS1_2048_8192_SHA256),
        Algorithm::Rs384 => Some(&RSA_PKCS1_2048_8192_SHA384),
        Algorithm::Rs512 => Some(&RSA_PKCS1_2048_8192_SHA512),
        Algorithm::Ps256 => Some(&RSA_PSS_2048_8192_SHA256),
        Algorithm::Ps384 => Some(&RSA_PSS_2048_8192_SHA384),
        Algorithm::Ps512 => Some(&RSA_PSS_2048_8192_SHA512),
        Algorithm::Es256 | Algorithm::Es384 | Algorithm::EdDsa => None,
    }
}

/// 4, x, y (SEC 1 section 2.3.3); none unless both have the curve's length.
fn point(x: &[u8], y: &[u8], bytes: usize) -> Option<Vec<u8>> {
    (x.len() == bytes && y.len() == bytes).then(|| [&[4], x, y].concat())
}

/// Some providers write a leading zero, which RFC 7518 section 6.3.1.1 forbids.
fn without_zeros(mut number: Vec<u8>) -> Vec<u8> {
    let zeros = number.iter().take_while(|byte| **byte == 0).count();
    number.drain(..zeros);
    number
}

/// The length of a number without leading zeros.
fn bits(number: &[u8]) -> usize {
    number.first().map_or(0, |first| number.len() * 8 - first.leading_zeros() as usize)
}

#[cfg(test)]
mod tests;
