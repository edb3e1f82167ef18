//! JSON web signatures for requests that instant-acme cannot make as we need them: new-account and key-change with a
//! key that was sealed first, and queries of an account and its orders (RFC 8555 sections 6.2, 7.3 and 7.3.5; RFC 7515;
//! RFC 7638).

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::encoding::{AsDer, PublicKeyX509Der};
use aws_lc_rs::hmac;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair};
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use zeroize::Zeroizing;

use crate::{AcmeError, ExternalAccountBinding};

/// An ACME account's ECDSA P-256 key.
pub(crate) struct SigningKey {
    pair: EcdsaKeyPair,
}

fn encode(bytes: impl AsRef<[u8]>) -> String {
    BASE64_URL_SAFE_NO_PAD.encode(bytes)
}

impl SigningKey {
    /// A new key as PKCS #8.
    pub(crate) fn generate() -> Result<Zeroizing<Vec<u8>>, AcmeError> {
        EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &SystemRandom::new())
            .map(|pkcs8| Zeroizing::new(pkcs8.as_ref().to_vec()))
            .map_err(|_| AcmeError::Local("an account key could not be made".into()))
    }

    pub(crate) fn from_pkcs8(pkcs8: &[u8]) -> Result<Self, AcmeError> {
        EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, pkcs8)
            .map(|pair| Self { pair })
            .map_err(|_| AcmeError::Local("the account key cannot be used".into()))
    }

    /// SHA-256 of the public key (SubjectPublicKeyInfo, DER).
    pub(crate) fn public_key_sha256(&self) -> Result<[u8; 32], AcmeError> {
        let unusable = |_| AcmeError::Local("the account key cannot be used".into());
        let public: PublicKeyX509Der<'_> = self.pair.public_key().as_der().map_err(unusable)?;
        let mut hash = [0; 32];
        hash.copy_from_slice(digest(&SHA256, public.as_ref()).as_ref());
        Ok(hash)
    }

    pub(crate) fn jwk(&self) -> Value {
        // The uncompressed point: 0x04, x, y.
        let point = self.pair.public_key().as_ref();
        json!({ "crv": "P-256", "kty": "EC", "x": encode(&point[1..33]), "y": encode(&point[33..65]) })
    }

    /// Signs `payload` with the key itself in the header, as new-account wants it.
    pub(crate) fn sign_with_jwk(&self, url: &str, nonce: &str, payload: &Value) -> Result<Value, AcmeError> {
        self.sign(&json!({ "alg": "ES256", "jwk": self.jwk(), "nonce": nonce, "url": url }), payload)
    }

    /// Signs `payload` as the account of that URL.
    pub(crate) fn sign_as(
        &self,
        account_url: &str,
        url: &str,
        nonce: &str,
        payload: &Value,
    ) -> Result<Value, AcmeError> {
        self.sign(&json!({ "alg": "ES256", "kid": account_url, "nonce": nonce, "url": url }), payload)
    }

    /// Signs a POST-as-GET (RFC 8555 section 6.3) as the account of that URL.
    pub(crate) fn sign_look(&self, account_url: &str, url: &str, nonce: &str) -> Result<Value, AcmeError> {
        let header = json!({ "alg": "ES256", "kid": account_url, "nonce": nonce, "url": url });
        self.sign_bytes(&header, b"")
    }

    /// The inner signature of key-change, by the new key: with itself in the header, and without a nonce.
    pub(crate) fn sign_key_change(&self, url: &str, payload: &Value) -> Result<Value, AcmeError> {
        self.sign(&json!({ "alg": "ES256", "jwk": self.jwk(), "url": url }), payload)
    }

    fn sign(&self, header: &Value, payload: &Value) -> Result<Value, AcmeError> {
        self.sign_bytes(header, payload.to_string().as_bytes())
    }

    fn sign_bytes(&self, header: &Value, payload: &[u8]) -> Result<Value, AcmeError> {
        let (header, payload) = (encode(header.to_string()), encode(payload));
        let signature = self
            .pair
            .sign(&SystemRandom::new(), format!("{header}.{payload}").as_bytes())
            .map_err(|_| AcmeError::Local("the account key does not sign".into()))?;
        Ok(json!({ "protected": header, "payload": payload, "signature": encode(signature) }))
    }

    /// The external account binding: our public key, signed with the CA's HMAC key (RFC 8555 section 7.3.4).
    pub(crate) fn bind(&self, url: &str, binding: &ExternalAccountBinding) -> Value {
        let header = encode(json!({ "alg": "HS256", "kid": binding.key_id, "url": url }).to_string());
        let payload = encode(self.jwk().to_string());
        let key = hmac::Key::new(hmac::HMAC_SHA256, &binding.hmac_key);
        let signature = hmac::sign(&key, format!("{header}.{payload}").as_bytes());
        json!({ "protected": header, "payload": payload, "signature": encode(signature) })
    }
}
