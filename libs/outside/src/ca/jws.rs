//! Signed requests (RFC 8555 section 6.2; RFC 7515; RFC 7638).

use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED, UnparsedPublicKey};
use aws_lc_rs::{digest, hmac};
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};

use super::problem::Problem;
use super::state::{Account, CaState};

#[derive(Deserialize)]
struct Flattened {
    protected: String,
    payload: String,
    signature: String,
}

#[derive(Deserialize)]
struct Header {
    alg: String,
    nonce: Option<String>,
    url: String,
    kid: Option<String>,
    jwk: Option<Jwk>,
}

#[derive(Clone, Deserialize)]
struct Jwk {
    kty: String,
    crv: String,
    x: String,
    y: String,
}

/// A public key as it came.
#[derive(Clone)]
pub(crate) struct PublicKey {
    pub(crate) point: Vec<u8>,
    pub(crate) thumbprint: String,
}

/// Who signed.
pub(crate) enum Signer {
    Known(Account),
    New(PublicKey),
}

/// A request whose signature, nonce and URL are right.
pub(crate) struct Signed {
    pub(crate) signer: Signer,
    /// None for a POST-as-GET.
    pub(crate) payload: Option<Value>,
}

fn decode(text: &str) -> Result<Vec<u8>, Problem> {
    BASE64_URL_SAFE_NO_PAD
        .decode(text)
        .map_err(|_| Problem::malformed("not base64url"))
}

impl Jwk {
    fn public_key(&self) -> Result<PublicKey, Problem> {
        if self.kty != "EC" || self.crv != "P-256" {
            return Err(Problem::new(
                StatusCode::BAD_REQUEST,
                "badPublicKey",
                "only P-256 keys",
            ));
        }
        let mut point = vec![4];
        point.extend(decode(&self.x)?);
        point.extend(decode(&self.y)?);
        // Members in the order of RFC 7638.
        let canonical = format!(
            r#"{{"crv":"P-256","kty":"EC","x":"{}","y":"{}"}}"#,
            self.x, self.y
        );
        let thumbprint = BASE64_URL_SAFE_NO_PAD.encode(digest::digest(&digest::SHA256, canonical.as_bytes()));
        Ok(PublicKey { point, thumbprint })
    }
}

/// Checks a signed request to `path`.
pub(crate) fn verify(state: &CaState, path: &str, body: &[u8]) -> Result<Signed, Problem> {
    let request: Flattened = serde_json::from_slice(body).map_err(|_| Problem::malformed("not a JWS"))?;
    let header: Header = serde_json::from_slice(&decode(&request.protected)?)
        .map_err(|_| Problem::malformed("no protected header"))?;
    if header.alg != "ES256" {
        return Err(Problem::new(
            StatusCode::BAD_REQUEST,
            "badSignatureAlgorithm",
            "only ES256",
        ));
    }
    if header.url != format!("{}{path}", state.base) {
        return Err(Problem::new(
            StatusCode::UNAUTHORIZED,
            "unauthorized",
            "the signed URL is another one",
        ));
    }
    let signer = match (&header.kid, &header.jwk) {
        (Some(kid), None) => {
            let account = kid.strip_prefix(&format!("{}/account/", state.base));
            let account = account.and_then(|id| state.tables().accounts.get(id).cloned());
            Signer::Known(account.ok_or_else(|| {
                Problem::new(StatusCode::BAD_REQUEST, "accountDoesNotExist", "no such account")
            })?)
        }
        (None, Some(jwk)) => Signer::New(jwk.public_key()?),
        _ => return Err(Problem::malformed("kid or jwk, not both")),
    };
    let point = match &signer {
        Signer::Known(account) => &account.key,
        Signer::New(key) => &key.point,
    };
    let input = format!("{}.{}", request.protected, request.payload);
    UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point)
        .verify(input.as_bytes(), &decode(&request.signature)?)
        .map_err(|_| Problem::new(StatusCode::BAD_REQUEST, "malformed", "the signature is wrong"))?;
    if !header.nonce.is_some_and(|nonce| state.use_nonce(&nonce)) {
        return Err(Problem::new(
            StatusCode::BAD_REQUEST,
            "badNonce",
            "the nonce is not good",
        ));
    }
    let payload = if request.payload.is_empty() {
        None
    } else {
        let payload = decode(&request.payload)?;
        Some(serde_json::from_slice(&payload).map_err(|_| Problem::malformed("the payload is not JSON"))?)
    };
    Ok(Signed { signer, payload })
}

/// Checks an external account binding (RFC 8555 section 7.3.4).
pub(crate) fn verify_binding(state: &CaState, binding: &Value, key: &PublicKey) -> Result<(), Problem> {
    let wrong = || {
        Problem::new(
            StatusCode::FORBIDDEN,
            "unauthorized",
            "the external account binding is wrong",
        )
    };
    let request: Flattened = serde_json::from_value(binding.clone()).map_err(|_| wrong())?;
    let header: Value = serde_json::from_slice(&decode(&request.protected)?).map_err(|_| wrong())?;
    let hmac_key = header["kid"]
        .as_str()
        .and_then(|kid| state.options.external_account_keys.get(kid));
    let hmac_key = hmac::Key::new(hmac::HMAC_SHA256, hmac_key.ok_or_else(wrong)?);
    let signed = format!("{}.{}", request.protected, request.payload);
    hmac::verify(&hmac_key, signed.as_bytes(), &decode(&request.signature)?).map_err(|_| wrong())?;
    let bound: Jwk = serde_json::from_slice(&decode(&request.payload)?).map_err(|_| wrong())?;
    let url = json!(format!("{}/new-account", state.base));
    if bound.public_key()?.thumbprint != key.thumbprint
        || header["alg"] != json!("HS256")
        || header["url"] != url
    {
        return Err(wrong());
    }
    Ok(())
}
