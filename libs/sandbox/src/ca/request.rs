//! An authenticated request: its JWS verified, its nonce redeemed, its URL checked.

use std::sync::Arc;

use http::header::CONTENT_TYPE;
use http::{Method, StatusCode};
use serde::de::DeserializeOwned;

use super::accounts::Account;
use super::jws::{Jwk, Jws};
use super::problem::Problem;
use super::state::State;
use crate::serve::Request;

/// Who signed.
pub(super) enum Signer {
    /// `kid`: an account.
    Account(Arc<Account>),
    /// `jwk`: the holder of the key.
    Key(Jwk),
}

pub(super) struct Authentic {
    pub(super) signer: Signer,
    pub(super) payload: Vec<u8>,
    /// What was asked.
    pub(super) url: String,
    base: String,
}

/// The base of all URLs: the host of the request, so that the CA works behind any name and port mapping.
pub(super) fn base_url(request: &Request) -> Result<String, Problem> {
    let host = request.headers().get(http::header::HOST).and_then(|host| host.to_str().ok());
    host.map(|host| format!("https://{host}/")).ok_or_else(|| Problem::malformed("the request has no Host"))
}

impl Authentic {
    pub(super) fn new(state: &State, request: &Request) -> Result<Self, Problem> {
        if request.method() != Method::POST {
            return Err(Problem::method_not_allowed());
        }
        let content_type = request.headers().get(CONTENT_TYPE);
        if content_type.is_none_or(|content_type| content_type != "application/jose+json") {
            let detail = "the content type must be application/jose+json";
            return Err(Problem::new("malformed", StatusCode::UNSUPPORTED_MEDIA_TYPE, detail));
        }
        let base = base_url(request)?;
        let url = format!("{base}{}", request.uri().path().trim_start_matches('/'));
        let jws = Jws::parse(request.body())?;
        let signer = signer(state, &base, &jws)?;
        match &signer {
            Signer::Account(account) => jws.verify(&account.key())?,
            Signer::Key(key) => jws.verify(key)?,
        }
        let nonce = jws.protected.nonce.as_deref().unwrap_or_default();
        if !state.nonces.redeem(nonce) || state.knobs.rejects_this_nonce() {
            return Err(Problem::bad_nonce());
        }
        if jws.protected.url.as_deref() != Some(url.as_str()) {
            return Err(Problem::unauthorized("the JWS is for another url than the request"));
        }
        if let Signer::Account(account) = &signer
            && account.is_deactivated()
        {
            let detail = "the account is deactivated";
            return Err(Problem::new("unauthorized", StatusCode::UNAUTHORIZED, detail));
        }
        Ok(Self { signer, payload: jws.payload, url, base })
    }

    pub(super) fn account(&self) -> Result<&Arc<Account>, Problem> {
        match &self.signer {
            Signer::Account(account) => Ok(account),
            Signer::Key(_) => Err(Problem::malformed("this request is signed with a kid")),
        }
    }

    pub(super) fn is_post_as_get(&self) -> bool {
        self.payload.is_empty()
    }

    /// Refuses a payload (RFC 8555 section 6.3).
    pub(super) fn must_be_post_as_get(&self) -> Result<(), Problem> {
        if self.is_post_as_get() {
            Ok(())
        } else {
            Err(Problem::malformed("this resource takes POST-as-GET, which has an empty payload"))
        }
    }

    pub(super) fn payload<T: DeserializeOwned>(&self) -> Result<T, Problem> {
        serde_json::from_slice(&self.payload).map_err(|error| {
            Problem::malformed(format!("the payload is not what this resource takes: {error}"))
        })
    }

    /// The URL of one of our resources, as this client sees it.
    pub(super) fn url_of(&self, path: &str) -> String {
        format!("{}{path}", self.base)
    }
}

fn signer(state: &State, base: &str, jws: &Jws) -> Result<Signer, Problem> {
    match (&jws.protected.jwk, &jws.protected.kid) {
        (Some(jwk), None) => Ok(Signer::Key(Jwk::new(jwk)?)),
        (None, Some(kid)) => {
            let id = kid.strip_prefix(base).and_then(|path| path.strip_prefix("account/"));
            let account = id.and_then(|id| id.parse().ok()).and_then(|id| state.accounts.get(id));
            account.map(Signer::Account).ok_or_else(|| {
                Problem::new(
                    "accountDoesNotExist",
                    StatusCode::BAD_REQUEST,
                    "the kid is no account of this CA",
                )
            })
        }
        _ => Err(Problem::malformed("the protected header must have either jwk or kid")),
    }
}
