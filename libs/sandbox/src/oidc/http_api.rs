//! The four resources: configuration, keys, authorization, token.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use aws_lc_rs::digest;
use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD, Engine};
use http::header::{AUTHORIZATION, CACHE_CONTROL, LOCATION};
use http::{HeaderValue, Method, StatusCode};
use serde_json::{Value, json};
use url::form_urlencoded;

use super::ProviderTrouble;
use super::state::{Grant, State};
use crate::serve::{DroppedConnection, Reply, Request, Service, empty, json, text};

const ENDLESS_BYTES: usize = 32 * 1024 * 1024;

type Pairs = HashMap<String, String>;

impl Service for State {
    async fn answer(self: Arc<Self>, request: Request) -> Result<Reply, DroppedConnection> {
        match self.trouble() {
            Some(ProviderTrouble::Down) => return Ok(empty(StatusCode::SERVICE_UNAVAILABLE)),
            Some(ProviderTrouble::Silent) => std::future::pending().await,
            Some(ProviderTrouble::Redirect) => {
                return Ok(redirect(&format!("{}/elsewhere{}", self.issuer(), request.uri().path())));
            }
            Some(ProviderTrouble::Endless) => {
                let body = json!({ "issuer": self.issuer(), "padding": "x".repeat(ENDLESS_BYTES) });
                return Ok(json(StatusCode::OK, &body));
            }
            Some(ProviderTrouble::Nonsense) => return Ok(text(StatusCode::OK, "nothing to see here")),
            Some(ProviderTrouble::OtherIssuer) | None => {}
        }
        // What is redirected is here as well, so that who follows is found out.
        let path = request.uri().path();
        let path = path.strip_prefix("/elsewhere").unwrap_or(path);
        Ok(match (request.method(), path) {
            (&Method::GET, "/.well-known/openid-configuration") => configuration(&self),
            (&Method::GET, "/keys") => keys(&self),
            (&Method::GET, "/authorize") => authorize(&self, &request),
            (&Method::POST, "/token") => token(&self, &request),
            _ => empty(StatusCode::NOT_FOUND),
        })
    }
}

fn configuration(state: &State) -> Reply {
    let issuer = state.issuer();
    let said = match state.trouble() {
        Some(ProviderTrouble::OtherIssuer) => "https://elsewhere.example",
        _ => issuer,
    };
    let body = json!({
        "issuer": said,
        "authorization_endpoint": format!("{issuer}/authorize"),
        "token_endpoint": format!("{issuer}/token"),
        "jwks_uri": format!("{issuer}/keys"),
        "response_types_supported": ["code"],
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": [state.key().algorithm()],
        "code_challenge_methods_supported": ["S256"],
        "token_endpoint_auth_methods_supported": ["client_secret_basic", "client_secret_post", "none"],
        "authorization_response_iss_parameter_supported": true,
    });
    json(StatusCode::OK, &body)
}

fn keys(state: &State) -> Reply {
    state.key_fetches.fetch_add(1, Ordering::Relaxed);
    json(StatusCode::OK, &json!({ "keys": [state.key().jwk()] }))
}

/// Signs in the configured person, and sends the browser back at once.
fn authorize(state: &State, request: &Request) -> Reply {
    let asked = pairs(request.uri().query().unwrap_or_default().as_bytes());
    let text_of = |key: &str| asked.get(key).cloned().unwrap_or_default();
    let redirect_uri = text_of("redirect_uri");
    if text_of("client_id") != state.client_id || redirect_uri.is_empty() {
        return text(StatusCode::BAD_REQUEST, "client_id or redirect_uri is not right\n");
    }
    let mut answer = form_urlencoded::Serializer::new(String::new());
    answer.append_pair("state", &text_of("state")).append_pair("iss", state.issuer());
    let has_openid = text_of("scope").split(' ').any(|scope| scope == "openid");
    if let Some(error) = state.denial() {
        answer.append_pair("error", &error);
    } else if text_of("response_type") != "code"
        || !has_openid
        || text_of("code_challenge_method") != "S256"
        || text_of("code_challenge").is_empty()
    {
        answer.append_pair("error", "invalid_request");
    } else {
        let code = state.grant(Grant {
            redirect_uri: redirect_uri.clone(),
            nonce: text_of("nonce"),
            challenge: text_of("code_challenge"),
        });
        answer.append_pair("code", &code);
    }
    redirect(&format!("{redirect_uri}?{}", answer.finish()))
}

fn token(state: &State, request: &Request) -> Reply {
    state.exchanges.fetch_add(1, Ordering::Relaxed);
    let asked = pairs(request.body());
    let text_of = |key: &str| asked.get(key).map(String::as_str).unwrap_or_default();
    if !is_client(state, request, &asked) {
        return refused(StatusCode::UNAUTHORIZED, "invalid_client");
    }
    if text_of("grant_type") != "authorization_code" {
        return refused(StatusCode::BAD_REQUEST, "unsupported_grant_type");
    }
    let Some(grant) = state.redeem(text_of("code")) else {
        return refused(StatusCode::BAD_REQUEST, "invalid_grant");
    };
    let verifier = digest::digest(&digest::SHA256, text_of("code_verifier").as_bytes());
    if grant.redirect_uri != text_of("redirect_uri")
        || grant.challenge != BASE64_URL_SAFE_NO_PAD.encode(verifier)
    {
        return refused(StatusCode::BAD_REQUEST, "invalid_grant");
    }
    match state.id_token(&grant.nonce) {
        Ok(id_token) => no_store(json(
            StatusCode::OK,
            &json!({
                "access_token": super::fresh(),
                "token_type": "Bearer",
                "expires_in": 300,
                "id_token": id_token,
            }),
        )),
        Err(_) => empty(StatusCode::INTERNAL_SERVER_ERROR),
    }
}

/// Whether the one client asks: by its secret in the header or the body (RFC 6749 section 2.3.1), or by its name alone.
fn is_client(state: &State, request: &Request, asked: &Pairs) -> bool {
    let header = request.headers().get(AUTHORIZATION);
    let shown = match header.and_then(|value| value.to_str().ok()) {
        Some(header) => {
            let decoded = header.strip_prefix("Basic ").and_then(|text| BASE64_STANDARD.decode(text).ok());
            let decoded = decoded.and_then(|bytes| String::from_utf8(bytes).ok()).unwrap_or_default();
            let (id, secret) = decoded.split_once(':').unwrap_or_default();
            let unquoted = |text: &str| pairs(format!("x={text}").as_bytes()).remove("x").unwrap_or_default();
            (unquoted(id), Some(unquoted(secret)))
        }
        None => (asked.get("client_id").cloned().unwrap_or_default(), asked.get("client_secret").cloned()),
    };
    shown == (state.client_id.clone(), state.client_secret.clone())
}

fn pairs(text: &[u8]) -> Pairs {
    form_urlencoded::parse(text).into_owned().collect()
}

fn refused(status: StatusCode, error: &str) -> Reply {
    let body: Value = json!({ "error": error });
    no_store(json(status, &body))
}

fn no_store(mut reply: Reply) -> Reply {
    reply.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    reply
}

fn redirect(to: &str) -> Reply {
    let mut reply = empty(StatusCode::FOUND);
    match HeaderValue::from_str(to) {
        Ok(to) => {
            reply.headers_mut().insert(LOCATION, to);
            reply
        }
        Err(_) => text(StatusCode::BAD_REQUEST, "the redirect_uri is no URL\n"),
    }
}
