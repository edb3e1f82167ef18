//! JSON Web Signatures as RFC 8555 section 6.2 wants them: flattened, ES256, with `jwk` or `kid`, and HS256 for
//! external account binding (section 7.3.4).

use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED, UnparsedPublicKey};
use aws_lc_rs::{digest, hmac};
use base64::prelude::{BASE64_URL_SAFE_NO_PAD, Engine};
use http::StatusCode;
use serde::Deserialize;

use super::problem::Problem;

/// A P-256 public key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Jwk {
    /// Uncompressed point.
    point: Vec<u8>,
    /// RFC 7638.
    pub(super) thumbprint: String,
}

#[derive(Deserialize)]
pub(super) struct JwkMembers {
    kty: String,
    crv: String,
    x: String,
    y: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FlattenedJws {
    protected: String,
    payload: String,
    signature: String,
}

#[derive(Deserialize)]
pub(super) struct ProtectedHeader {
    alg: String,
    pub(super) nonce: Option<String>,
    pub(super) url: Option<String>,
    pub(super) jwk: Option<JwkMembers>,
    pub(super) kid: Option<String>,
}

/// A parsed JWS. Nothing in it is to be believed before [`Jws::verify`].
pub(super) struct Jws {
    pub(super) protected: ProtectedHeader,
    pub(super) payload: Vec<u8>,
    signed: String,
    signature: Vec<u8>,
}

impl Jwk {
    pub(super) fn new(members: &JwkMembers) -> Result<Self, Problem> {
        let bad = || Problem::new("badPublicKey", StatusCode::BAD_REQUEST, "the jwk is not a P-256 key");
        if members.kty != "EC" || members.crv != "P-256" {
            return Err(bad());
        }
        let mut point = vec![4];
        for coordinate in [&members.x, &members.y] {
            let coordinate = BASE64_URL_SAFE_NO_PAD.decode(coordinate).map_err(|_| bad())?;
            if coordinate.len() != 32 {
                return Err(bad());
            }
            point.extend_from_slice(&coordinate);
        }
        let canonical = format!(r#"{{"crv":"P-256","kty":"EC","x":"{}","y":"{}"}}"#, members.x, members.y);
        let thumbprint = BASE64_URL_SAFE_NO_PAD.encode(digest::digest(&digest::SHA256, canonical.as_bytes()));
        Ok(Self { point, thumbprint })
    }

    /// The uncompressed point, as it is in a certificate's subjectPublicKey.
    pub(super) fn point(&self) -> &[u8] {
        &self.point
    }
}

impl Jws {
    pub(super) fn parse(body: &[u8]) -> Result<Self, Problem> {
        let flattened: FlattenedJws =
            serde_json::from_slice(body).map_err(|_| Problem::malformed("the body is no flattened JWS"))?;
        let decode = |part: &str| {
            let decoded = BASE64_URL_SAFE_NO_PAD.decode(part);
            decoded.map_err(|_| Problem::malformed("a part of the JWS is not base64url"))
        };
        let protected = serde_json::from_slice(&decode(&flattened.protected)?)
            .map_err(|_| Problem::malformed("the protected header lacks a member or has a wrong one"))?;
        Ok(Self {
            protected,
            payload: decode(&flattened.payload)?,
            signature: decode(&flattened.signature)?,
            signed: format!("{}.{}", flattened.protected, flattened.payload),
        })
    }

    pub(super) fn verify(&self, key: &Jwk) -> Result<(), Problem> {
        if self.protected.alg != "ES256" {
            let detail = "only ES256 is supported";
            return Err(Problem::new("badSignatureAlgorithm", StatusCode::BAD_REQUEST, detail));
        }
        UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, &key.point)
            .verify(self.signed.as_bytes(), &self.signature)
            .map_err(|_| Problem::malformed("the JWS's signature does not verify"))
    }

    pub(super) fn verify_mac(&self, key: &[u8]) -> Result<(), Problem> {
        if self.protected.alg != "HS256" {
            return Err(Problem::malformed("the external account binding must be HS256"));
        }
        let key = hmac::Key::new(hmac::HMAC_SHA256, key);
        hmac::verify(&key, self.signed.as_bytes(), &self.signature)
            .map_err(|_| Problem::unauthorized("the external account binding's MAC does not verify"))
    }
}
