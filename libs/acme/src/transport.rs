//! The transport for instant-acme, one per issuance: timeouts and bounds, nonces from the pool, problems with their
//! Retry-After, and the journal's hook.
//!
//! instant-acme would drop an order's URL if the answer's body did not parse. Here the URL is stored before
//! instant-acme sees the answer, so an order that the CA accepted is never lost; and instant-acme gets only the members
//! that it can read (`lenient`).

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use http::header::LOCATION;
use http::{HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Collected};
use instant_acme::{BodyWrapper, BytesResponse, Error, HttpClient};
use store::StoreError;

use crate::ca::{Answer, Ca, Patience};
use crate::problem::Problem;
use crate::{AcmeError, lenient};

const BAD_NONCE: &str = "urn:ietf:params:acme:error:badNonce";

/// Stores an order's URL the moment the CA gave it.
#[async_trait]
pub trait OrderJournal: Send + Sync + 'static {
    /// The CA took the order; this is its URL.
    async fn placed(&self, url: &str) -> Result<(), StoreError>;
}

/// See the module's documentation.
pub(crate) struct Transport {
    pub(crate) ca: Arc<Ca>,
    pub(crate) journal: Option<Arc<dyn OrderJournal>>,
    /// The wait that the last answer asked for.
    pub(crate) retry_after: Arc<Mutex<Option<Duration>>>,
}

impl HttpClient for Transport {
    fn request(
        &self,
        request: Request<BodyWrapper<Bytes>>,
    ) -> Pin<Box<dyn Future<Output = Result<BytesResponse, Error>> + Send>> {
        let exchange = Exchange {
            ca: self.ca.clone(),
            journal: self.journal.clone(),
            retry_after: self.retry_after.clone(),
        };
        Box::pin(async move { exchange.run(request).await.map_err(|error| Error::Other(Box::new(error))) })
    }
}

/// One request and its answer.
struct Exchange {
    ca: Arc<Ca>,
    journal: Option<Arc<dyn OrderJournal>>,
    retry_after: Arc<Mutex<Option<Duration>>>,
}

impl Exchange {
    async fn run(self, request: Request<BodyWrapper<Bytes>>) -> Result<BytesResponse, AcmeError> {
        let (head, body) = request.into_parts();
        let url = head.uri.to_string();
        if head.method == Method::GET && url == self.ca.directory_url() {
            return Ok(made_up(None, self.ca.directory_body().await?));
        }
        let directory = self.ca.directory().await?;
        if head.method == Method::HEAD {
            return Ok(made_up(Some(self.ca.nonce(&directory).await?), Bytes::new()));
        }
        let Ok(body) = body.collect().await.map(Collected::to_bytes);
        let patience = if is_look(&body) { Patience::Look } else { Patience::Change };
        let places = url == directory.new_order;
        let answer = if places {
            self.ca.send(head.method, &url, head.headers, body, patience).await?
        } else {
            self.ca.send_safely(head.method, &url, head.headers, body, patience).await?
        };
        *self.retry_after.lock().unwrap_or_else(PoisonError::into_inner) =
            self.ca.retry_after(&answer.headers);
        if !answer.status.is_success() {
            let error = self.ca.problem(&answer);
            if error.as_problem().is_some_and(|problem| problem.kind == "badNonce") {
                self.ca.nonces.clear();
                // instant-acme signs again with another nonce, which it asks us for.
                return Ok(bad_nonce());
            }
            return Err(error);
        }
        let location = answer.location(&url);
        if places {
            self.journal_url(location.as_deref()).await?;
        }
        self.into_response(&url, answer, location)
    }

    async fn journal_url(&self, location: Option<&str>) -> Result<(), AcmeError> {
        let url = location.ok_or_else(|| AcmeError::Nonsense("an order without a URL".into()))?;
        match &self.journal {
            Some(journal) => Ok(journal.placed(url).await?),
            None => Err(AcmeError::Local("an order was placed without a journal".into())),
        }
    }

    fn into_response(
        self,
        url: &str,
        mut answer: Answer,
        location: Option<String>,
    ) -> Result<BytesResponse, AcmeError> {
        let retry_after = self.ca.retry_after(&answer.headers);
        let body = lenient::body(url, answer.body).map_err(|members| {
            let mut problem = Problem::of_members(&members);
            // A CA that calls a problem a success does not say what kind of refusal it is either.
            if problem.status < 400 {
                problem.status = 500;
            }
            problem.retry_after = retry_after;
            AcmeError::Problem(Box::new(problem))
        })?;
        if let Some(location) = location.and_then(|location| HeaderValue::from_str(&location).ok()) {
            answer.headers.insert(LOCATION, location);
        }
        let mut response = Response::new(());
        *response.status_mut() = answer.status;
        *response.headers_mut() = answer.headers;
        Ok(BytesResponse { parts: response.into_parts().0, body: Box::new(body) })
    }
}

/// Whether a signed request has an empty payload, as POST-as-GET has (RFC 8555 section 6.3).
fn is_look(body: &[u8]) -> bool {
    let signed = serde_json::from_slice::<serde_json::Value>(body);
    signed.is_ok_and(|signed| signed["payload"].as_str().is_some_and(str::is_empty))
}

/// `badNonce` as instant-acme recognises it, however the CA wrote it.
fn bad_nonce() -> BytesResponse {
    let mut response = Response::new(());
    *response.status_mut() = StatusCode::BAD_REQUEST;
    let body = serde_json::json!({ "type": BAD_NONCE }).to_string();
    BytesResponse { parts: response.into_parts().0, body: Box::new(Bytes::from(body)) }
}

/// An answer that the CA need not be asked for.
fn made_up(nonce: Option<String>, body: Bytes) -> BytesResponse {
    let mut response = Response::new(());
    if let Some(nonce) = nonce.and_then(|nonce| HeaderValue::from_str(&nonce).ok()) {
        response.headers_mut().insert("replay-nonce", nonce);
    }
    BytesResponse { parts: response.into_parts().0, body: Box::new(body) }
}
