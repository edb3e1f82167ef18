//! ID tokens, right ones and wrong ones.

use aws_lc_rs::hmac;
use base64::prelude::{BASE64_URL_SAFE_NO_PAD, Engine};
use serde_json::{Value, json};

use super::TokenFlaw;
use super::key::SigningKey;
use super::state::State;
use crate::SandboxError;

const LIFETIME_SECONDS: i64 = 300;
const HOUR_SECONDS: i64 = 3600;

impl State {
    /// An ID token for the person who signs in, with the requested errors.
    pub(super) fn id_token(&self, nonce: &str) -> Result<String, SandboxError> {
        let flaw = self.flaw();
        let payload = encode(self.claims(nonce, flaw).to_string().as_bytes());
        let published = self.key();
        let other;
        let key = match flaw {
            Some(TokenFlaw::UnknownKey | TokenFlaw::ForeignKey) => {
                other = SigningKey::generate(self.algorithm)?;
                &other
            }
            _ => &*published,
        };
        let header = header(key, &published, flaw);
        let signed = format!("{}.{payload}", encode(header.to_string().as_bytes()));
        let signature = match flaw {
            Some(TokenFlaw::Unsigned) => Vec::new(),
            Some(TokenFlaw::MacOfPublicKey) => mac(&key.public_der(), &signed),
            Some(TokenFlaw::MacOfSecret) => {
                let secret = self.client_secret.as_ref().unwrap_or(&self.client_id);
                mac(secret.as_bytes(), &signed)
            }
            _ => key.sign(signed.as_bytes()),
        };
        let signed = match flaw {
            Some(TokenFlaw::Payload) => {
                let mut claims = self.claims(nonce, None);
                claims["sub"] = "somebody-else".into();
                let (header, _) = signed.split_once('.').unwrap_or_default();
                format!("{header}.{}", encode(claims.to_string().as_bytes()))
            }
            _ => signed,
        };
        Ok(format!("{signed}.{}", encode(&signature)))
    }

    fn claims(&self, nonce: &str, flaw: Option<TokenFlaw>) -> Value {
        let person = self.person();
        let now = (self.clock)().as_second();
        let mut claims = Value::Object(person.claims);
        claims["iss"] = self.issuer().into();
        claims["sub"] = person.subject.into();
        claims["aud"] = self.client_id.as_str().into();
        claims["iat"] = now.into();
        claims["exp"] = (now + LIFETIME_SECONDS).into();
        claims["jti"] = super::fresh().into();
        claims["nonce"] = nonce.into();
        match flaw {
            Some(TokenFlaw::Nonce) => claims["nonce"] = "another".into(),
            Some(TokenFlaw::NoNonce) => {
                claims.as_object_mut().map(|claims| claims.remove("nonce"));
            }
            Some(TokenFlaw::Audience) => claims["aud"] = "another-client".into(),
            Some(TokenFlaw::TwoAudiences) => claims["aud"] = json!([self.client_id, "another-client"]),
            Some(TokenFlaw::AuthorizedParty) => claims["azp"] = "another-client".into(),
            Some(TokenFlaw::Issuer) => claims["iss"] = "https://elsewhere.example".into(),
            Some(TokenFlaw::Expired) => {
                claims["iat"] = (now - 60).into();
                claims["exp"] = (now - HOUR_SECONDS).into();
            }
            Some(TokenFlaw::IssuedLongAgo) => {
                claims["iat"] = (now - HOUR_SECONDS).into();
                claims["exp"] = (now + HOUR_SECONDS).into();
            }
            Some(TokenFlaw::IssuedAhead) => {
                claims["iat"] = (now + HOUR_SECONDS).into();
                claims["exp"] = (now + 2 * HOUR_SECONDS).into();
            }
            Some(TokenFlaw::NotYet) => claims["nbf"] = (now + HOUR_SECONDS).into(),
            _ => {}
        }
        claims
    }
}

fn header(key: &SigningKey, published: &SigningKey, flaw: Option<TokenFlaw>) -> Value {
    let mut header = json!({ "alg": key.algorithm(), "typ": "JWT", "kid": key.id });
    match flaw {
        Some(TokenFlaw::Unsigned) => header["alg"] = "none".into(),
        Some(TokenFlaw::MacOfPublicKey | TokenFlaw::MacOfSecret) => header["alg"] = "HS256".into(),
        Some(TokenFlaw::ForeignKey) => header["kid"] = published.id.as_str().into(),
        Some(TokenFlaw::Critical) => {
            header["crit"] = json!(["b64"]);
            header["b64"] = true.into();
        }
        _ => {}
    }
    header
}

fn mac(key: &[u8], message: &str) -> Vec<u8> {
    let key = hmac::Key::new(hmac::HMAC_SHA256, key);
    hmac::sign(&key, message.as_bytes()).as_ref().to_vec()
}

fn encode(bytes: &[u8]) -> String {
    BASE64_URL_SAFE_NO_PAD.encode(bytes)
}
