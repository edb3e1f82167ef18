//! The provider's signing keys, and their published parts.

use aws_lc_rs::encoding::{AsDer, PublicKeyX509Der};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair, RSA_PKCS1_SHA256, RsaKeyPair,
};
use base64::prelude::{BASE64_URL_SAFE_NO_PAD, Engine};
use serde_json::{Value, json};
use x509_parser::prelude::FromDer;
use x509_parser::public_key::PublicKey;
use x509_parser::x509::SubjectPublicKeyInfo;

use super::fresh;
use crate::SandboxError;

/// A signing key of a provider.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OidcAlgorithm {
    /// RSA with 2,048 bits, the algorithm that every provider has.
    Rs256,
    /// ECDSA on P-256.
    Es256,
}

/// A key with its id.
pub(super) struct SigningKey {
    pub(super) id: String,
    pair: Pair,
}

enum Pair {
    Rsa(RsaKeyPair),
    Ec(EcdsaKeyPair),
}

impl SigningKey {
    pub(super) fn generate(algorithm: OidcAlgorithm) -> Result<Self, SandboxError> {
        let failed = |_| SandboxError::Certificate(rcgen::Error::RingUnspecified);
        let pair = match algorithm {
            OidcAlgorithm::Rs256 => Pair::Rsa(RsaKeyPair::generate(KeySize::Rsa2048).map_err(failed)?),
            OidcAlgorithm::Es256 => {
                Pair::Ec(EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).map_err(failed)?)
            }
        };
        Ok(Self { id: fresh(), pair })
    }

    /// The word of RFC 7518 section 3.1.
    pub(super) fn algorithm(&self) -> &'static str {
        match &self.pair {
            Pair::Rsa(_) => "RS256",
            Pair::Ec(_) => "ES256",
        }
    }

    #[expect(clippy::unwrap_used, reason = "see below")]
    pub(super) fn sign(&self, message: &[u8]) -> Vec<u8> {
        let random = SystemRandom::new();
        // Unwrap safety: these keys were made for these algorithms.
        match &self.pair {
            Pair::Rsa(pair) => {
                let mut signature = vec![0; pair.public_modulus_len()];
                pair.sign(&RSA_PKCS1_SHA256, &random, message, &mut signature).unwrap();
                signature
            }
            Pair::Ec(pair) => pair.sign(&random, message).unwrap().as_ref().to_vec(),
        }
    }

    /// SubjectPublicKeyInfo in DER.
    #[expect(clippy::unwrap_used, reason = "see below")]
    pub(super) fn public_der(&self) -> Vec<u8> {
        // Unwrap safety: a public key that was made here can be encoded.
        let der: PublicKeyX509Der<'_> = match &self.pair {
            Pair::Rsa(pair) => pair.public_key().as_der().unwrap(),
            Pair::Ec(pair) => pair.public_key().as_der().unwrap(),
        };
        der.as_ref().to_vec()
    }

    /// As the key set shows it (RFC 7517).
    #[expect(clippy::unwrap_used, reason = "see below")]
    pub(super) fn jwk(&self) -> Value {
        let encode = |bytes: &[u8]| BASE64_URL_SAFE_NO_PAD.encode(bytes);
        let mut jwk = match &self.pair {
            Pair::Rsa(_) => {
                let der = self.public_der();
                // Unwrap safety: this is the encoding of an RSA key.
                let (_, info) = SubjectPublicKeyInfo::from_der(&der).unwrap();
                let PublicKey::RSA(key) = info.parsed().unwrap() else {
                    return Value::Null;
                };
                let modulus = key.modulus.strip_prefix(&[0]).unwrap_or(key.modulus);
                json!({ "kty": "RSA", "n": encode(modulus), "e": encode(key.exponent) })
            }
            Pair::Ec(pair) => {
                let (x, y) = pair.public_key().as_ref()[1..].split_at(32);
                json!({ "kty": "EC", "crv": "P-256", "x": encode(x), "y": encode(y) })
            }
        };
        jwk["kid"] = self.id.as_str().into();
        jwk["alg"] = self.algorithm().into();
        jwk["use"] = "sig".into();
        jwk
    }
}
