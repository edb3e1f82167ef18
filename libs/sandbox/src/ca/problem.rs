//! Problem documents (RFC 8555 section 6.7).

use std::borrow::Cow;
use std::time::Duration;

use http::header::{HeaderName, LOCATION, RETRY_AFTER};
use http::{HeaderValue, StatusCode};
use serde_json::{Value, json};

use crate::serve::{Reply, reply};

const PREFIX: &str = "urn:ietf:params:acme:error:";

/// Why a request, a challenge or an order failed.
#[derive(Clone, Debug)]
pub(super) struct Problem {
    /// The error type, without the common prefix.
    kind: Cow<'static, str>,
    detail: String,
    status: StatusCode,
    retry_after: Option<Duration>,
    location: Option<String>,
    names: Vec<String>,
}

impl Problem {
    pub(super) fn new(
        kind: impl Into<Cow<'static, str>>,
        status: StatusCode,
        detail: impl Into<String>,
    ) -> Self {
        Self {
            kind: kind.into(),
            detail: detail.into(),
            status,
            retry_after: None,
            location: None,
            names: Vec::new(),
        }
    }

    pub(super) fn malformed(detail: impl Into<String>) -> Self {
        Self::new("malformed", StatusCode::BAD_REQUEST, detail)
    }

    pub(super) fn bad_nonce() -> Self {
        Self::new("badNonce", StatusCode::BAD_REQUEST, "the nonce is unknown, used or too old")
    }

    pub(super) fn bad_csr(detail: impl Into<String>) -> Self {
        Self::new("badCSR", StatusCode::BAD_REQUEST, detail)
    }

    pub(super) fn unauthorized(detail: impl Into<String>) -> Self {
        Self::new("unauthorized", StatusCode::FORBIDDEN, detail)
    }

    pub(super) fn not_found(what: &str) -> Self {
        Self::new("malformed", StatusCode::NOT_FOUND, format!("no such {what}"))
    }

    pub(super) fn method_not_allowed() -> Self {
        Self::new("malformed", StatusCode::METHOD_NOT_ALLOWED, "this resource does not take that method")
    }

    pub(super) fn server_internal(detail: impl Into<String>) -> Self {
        Self::new("serverInternal", StatusCode::INTERNAL_SERVER_ERROR, detail)
    }

    pub(super) fn rate_limited(detail: impl Into<String>, retry_after: Duration) -> Self {
        Self::new("rateLimited", StatusCode::TOO_MANY_REQUESTS, detail).retry_after(retry_after)
    }

    pub(super) fn retry_after(mut self, wait: Duration) -> Self {
        self.retry_after = Some(wait);
        self
    }

    pub(super) fn location(mut self, url: String) -> Self {
        self.location = Some(url);
        self
    }

    /// Says which identifiers it is about: RFC 8555 section 6.7.1 has them in subproblems only.
    pub(super) fn about(mut self, names: Vec<String>) -> Self {
        self.names = names;
        self
    }

    pub(super) fn to_json(&self) -> Value {
        let kind =
            if self.kind.contains(':') { self.kind.to_string() } else { format!("{PREFIX}{}", self.kind) };
        let subproblems: Vec<_> = self
            .names
            .iter()
            .map(|name| json!({ "type": kind, "detail": self.detail, "identifier": { "type": "dns", "value": name } }))
            .collect();
        let mut problem = json!({ "type": kind, "detail": self.detail, "status": self.status.as_u16() });
        if !subproblems.is_empty() {
            problem["subproblems"] = subproblems.into();
        }
        if self.kind == "badSignatureAlgorithm" {
            problem["algorithms"] = json!(["ES256"]);
        }
        problem
    }

    pub(super) fn to_reply(&self) -> Reply {
        let mut reply = reply(self.status, "application/problem+json", self.to_json().to_string());
        if let Some(wait) = self.retry_after {
            // Rounded up, so that a client that returns at that second is not too early.
            let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
            insert(&mut reply, RETRY_AFTER, &seconds.to_string());
        }
        if let Some(url) = &self.location {
            insert(&mut reply, LOCATION, url);
        }
        reply
    }
}

/// Sets a header; a value that no header can have is left out.
pub(super) fn insert(reply: &mut Reply, name: HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        reply.headers_mut().insert(name, value);
    }
}
