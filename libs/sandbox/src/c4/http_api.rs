//! The contract over HTTP.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use http::header::{AUTHORIZATION, RETRY_AFTER};
use http::{HeaderValue, Method, StatusCode};
use serde_json::{Value, json};

use super::admin;
use super::certificate::{StoredCertificate, Upload};
use super::state::{Outcome, State};
use crate::serve::{DroppedConnection, LostPart, Reply, Request, Service, empty, json};
use crate::sync::read;

/// Of a page of domains.
const MAX_LISTED: usize = 1000;

impl Service for State {
    async fn answer(self: Arc<Self>, request: Request) -> Result<Reply, DroppedConnection> {
        if self.faults.down.load(Ordering::Relaxed) {
            return Ok(message(StatusCode::SERVICE_UNAVAILABLE, "down"));
        }
        if self.faults.bare_404.load(Ordering::Relaxed) {
            return Ok(empty(StatusCode::NOT_FOUND));
        }
        if !is_authorized(&self, &request) {
            return Ok(message(StatusCode::UNAUTHORIZED, "the bearer token is not accepted"));
        }
        if self.admin && request.uri().path().starts_with("/sandbox/") {
            return Ok(admin::answer(&self, &request));
        }
        if request.uri().path() == "/v1/domains" && request.method() == Method::GET {
            return Ok(list_domains(&self, &request));
        }
        let Some(path) = request.uri().path().strip_prefix("/v1/domains/") else {
            return Ok(empty(StatusCode::NOT_FOUND));
        };
        match (request.method(), path.split_once('/')) {
            (&Method::GET, None) => Ok(get_domain(&self, path)),
            (&Method::PUT, Some((name, "certificate"))) => put_certificate(&self, name, &request),
            (&Method::DELETE, Some((name, "certificate"))) => Ok(delete_certificate(&self, name, &request)),
            _ => Ok(empty(StatusCode::NOT_FOUND)),
        }
    }
}

fn is_authorized(state: &State, request: &Request) -> bool {
    let token =
        request.headers().get(AUTHORIZATION).and_then(|value| value.as_bytes().strip_prefix(b"Bearer "));
    token.is_some_and(|token| verify_slices_are_equal(token, state.token.as_bytes()).is_ok())
}

fn get_domain(state: &State, name: &str) -> Reply {
    state.count(name, |count| count.gets += 1);
    let Some((domain, certificate)) = state.domain(name) else {
        return unknown(name);
    };
    let certificate = shown(certificate.as_deref());
    let domain =
        json!({ "name": name, "ports": domain.ports, "cname": domain.cname, "certificate": certificate });
    json(StatusCode::OK, &domain)
}

fn shown(certificate: Option<&StoredCertificate>) -> Value {
    certificate.map_or(Value::Null, |stored| {
        json!({ "sha256": stored.sha256, "source": stored.source, "not_after": stored.not_after.to_string() })
    })
}

fn list_domains(state: &State, request: &Request) -> Reply {
    if state.faults.lists_nothing.load(Ordering::Relaxed) {
        return empty(StatusCode::NOT_FOUND);
    }
    let query = request.uri().query().unwrap_or_default();
    let value = |key: &str| query.split('&').find_map(|pair| pair.strip_prefix(key)).unwrap_or_default();
    let limit: usize = value("limit=").parse().unwrap_or(0).min(MAX_LISTED);
    if limit == 0 {
        return message(StatusCode::BAD_REQUEST, "limit is missing or not a positive number");
    }
    let page = state.after(value("after="), limit).into_iter();
    let page: Vec<Value> =
        page.map(|(name, stored)| json!({ "name": name, "certificate": shown(stored.as_deref()) })).collect();
    json(StatusCode::OK, &json!({ "domains": page }))
}

fn put_certificate(state: &State, name: &str, request: &Request) -> Result<Reply, DroppedConnection> {
    state.count(name, |count| count.puts += 1);
    if let Some(refused) = refusal(state, name) {
        return Ok(refused);
    }
    let drops = |lost| state.faults.drops.take(name.to_owned(), lost);
    if drops(LostPart::Request) {
        return Err(DroppedConnection);
    }
    let reply = apply(state, name, request);
    if reply.status().is_success() && drops(LostPart::Answer) {
        return Err(DroppedConnection);
    }
    Ok(reply)
}

fn apply(state: &State, name: &str, request: &Request) -> Reply {
    if state.domain(name).is_none() {
        return unknown(name);
    }
    let key = request.headers().get("idempotency-key").and_then(|key| key.to_str().ok());
    let Some(key) = key.filter(|key| !key.is_empty()) else {
        return message(StatusCode::BAD_REQUEST, "the Idempotency-Key is missing");
    };
    let upload: Upload = match serde_json::from_slice(request.body()) {
        Ok(upload) => upload,
        Err(error) => {
            return message(StatusCode::BAD_REQUEST, &format!("the body is not an upload: {error}"));
        }
    };
    match upload.check(key.to_owned()) {
        Ok(checked) => outcome(name, &state.put_certificate(name, checked)),
        Err(why) => message(StatusCode::UNPROCESSABLE_ENTITY, why),
    }
}

fn delete_certificate(state: &State, name: &str, request: &Request) -> Reply {
    let pairs = request.uri().query().unwrap_or_default().split('&');
    let revision =
        pairs.filter_map(|pair| pair.strip_prefix("revision=")).find_map(|value| value.parse().ok());
    match revision {
        Some(revision) if revision >= 1 => outcome(name, &state.remove_certificate(name, revision)),
        _ => message(StatusCode::BAD_REQUEST, "revision is missing or not a positive number"),
    }
}

fn outcome(name: &str, outcome: &Outcome) -> Reply {
    match outcome {
        Outcome::Done => empty(StatusCode::NO_CONTENT),
        Outcome::UnknownDomain => unknown(name),
        Outcome::Stale => {
            json(StatusCode::CONFLICT, &json!({ "code": "stale", "message": "a higher revision was seen" }))
        }
        Outcome::KeyReused => {
            message(StatusCode::UNPROCESSABLE_ENTITY, "the Idempotency-Key was used for another certificate")
        }
    }
}

fn unknown(name: &str) -> Reply {
    message(StatusCode::NOT_FOUND, &format!("{name} is not known"))
}

fn message(status: StatusCode, message: &str) -> Reply {
    json(status, &json!({ "message": message }))
}

fn refusal(state: &State, name: &str) -> Option<Reply> {
    let refusals = read(&state.faults.refusals);
    let refusal = refusals.get(&Some(name.to_owned())).or(refusals.get(&None))?;
    let status = StatusCode::from_u16(refusal.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut body = json!({ "message": refusal.message });
    if let Some(code) = &refusal.code {
        body["code"] = code.as_str().into();
    }
    let mut reply = json(status, &body);
    if let Some(wait) = refusal.retry_after.as_ref().map(Duration::as_secs) {
        reply.headers_mut().insert(RETRY_AFTER, HeaderValue::from(wait));
    }
    Some(reply)
}
