//! The transport that instant-acme is given, one per issuance: timeouts and bounds, nonces from the pool, problems
//! with their Retry-After, and the journal's hook.
//!
//! instant-acme would drop an order's URL if the answer's body did not parse. Here the URL is stored before
//! instant-acme sees the answer, so an order that the CA took is never lost.

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

use crate::AcmeError;
use crate::ca::{Answer, Ca};

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
    /// What the last answer asked us to wait.
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
        let answer = self.ca.send(head.method, &url, head.headers, body).await?;
        *self.retry_after.lock().unwrap_or_else(PoisonError::into_inner) =
            self.ca.retry_after(&answer.headers);
        if is_bad_nonce(&answer) {
            self.ca.nonces.clear();
            // instant-acme signs again with another nonce, which it asks us for.
            return Ok(into_response(answer));
        }
        if !answer.status.is_success() {
            return Err(self.ca.problem(&answer));
        }
        if url == directory.new_order {
            self.journal_url(&answer).await?;
        }
        Ok(into_response(answer))
    }

    async fn journal_url(&self, answer: &Answer) -> Result<(), AcmeError> {
        let url = answer.headers.get(LOCATION).and_then(|url| url.to_str().ok());
        let url = url.ok_or_else(|| AcmeError::Nonsense("an order without a URL".into()))?;
        match &self.journal {
            Some(journal) => Ok(journal.placed(url).await?),
            None => Err(AcmeError::Local("an order was placed without a journal".into())),
        }
    }
}

fn is_bad_nonce(answer: &Answer) -> bool {
    answer.status == StatusCode::BAD_REQUEST
        && serde_json::from_slice::<instant_acme::Problem>(&answer.body)
            .is_ok_and(|problem| problem.r#type.as_deref() == Some(BAD_NONCE))
}

/// An answer that the CA need not be asked for.
fn made_up(nonce: Option<String>, body: Bytes) -> BytesResponse {
    let mut response = Response::new(());
    if let Some(nonce) = nonce.and_then(|nonce| HeaderValue::from_str(&nonce).ok()) {
        response.headers_mut().insert("replay-nonce", nonce);
    }
    BytesResponse { parts: response.into_parts().0, body: Box::new(body) }
}

fn into_response(answer: Answer) -> BytesResponse {
    let mut response = Response::new(());
    *response.status_mut() = answer.status;
    *response.headers_mut() = answer.headers;
    BytesResponse { parts: response.into_parts().0, body: Box::new(answer.body) }
}
