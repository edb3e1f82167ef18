//! Plain HTTP: challenges go to the upstream under the name that the client asked for.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, RwLock};
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HOST};
use http::{HeaderValue, StatusCode};
use http_body_util::{BodyExt, Full, Limited};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use tokio::time::timeout;

use crate::serve::{DroppedConnection, Reply, Request, Service, reply, text};
use crate::sync::{read, write};

const CHALLENGES: &str = "/.well-known/acme-challenge/";
const UPSTREAM_TIMEOUT: Duration = Duration::from_secs(10);
const MAX_BODY_BYTES: usize = 64 * 1024;

pub(super) struct Forwarder {
    upstream: RwLock<Option<String>>,
    blocked: AtomicBool,
    challenges: AtomicU64,
    client: Client<HttpConnector, Full<Bytes>>,
}

impl Forwarder {
    pub(super) fn new(upstream: Option<String>) -> Self {
        Self {
            upstream: RwLock::new(upstream),
            blocked: AtomicBool::new(false),
            challenges: AtomicU64::new(0),
            client: Client::builder(TokioExecutor::new()).build_http(),
        }
    }

    pub(super) fn set_upstream(&self, upstream: String) {
        *write(&self.upstream) = Some(upstream);
    }

    pub(super) fn block(&self, on: bool) {
        self.blocked.store(on, Ordering::Relaxed);
    }

    pub(super) fn challenges(&self) -> u64 {
        self.challenges.load(Ordering::Relaxed)
    }

    async fn forward(&self, request: Request) -> Option<Reply> {
        let upstream = read(&self.upstream).clone()?;
        let host = request.headers().get(HOST).cloned().unwrap_or(HeaderValue::from_static(""));
        let path = request.uri().path_and_query()?;
        let asked = http::Request::builder()
            .method(request.method())
            .uri(format!("http://{upstream}{path}"))
            .header(HOST, host)
            .body(Full::default())
            .ok()?;
        let answered = self.client.request(asked).await.ok()?;
        let status = answered.status();
        let content_type = answered.headers().get(CONTENT_TYPE).cloned();
        let body = Limited::new(answered.into_body(), MAX_BODY_BYTES).collect().await.ok()?;
        let mut answer = reply(status, "application/octet-stream", body.to_bytes());
        if let Some(content_type) = content_type {
            answer.headers_mut().insert(CONTENT_TYPE, content_type);
        }
        Some(answer)
    }
}

impl Service for Forwarder {
    async fn answer(self: Arc<Self>, request: Request) -> Result<Reply, DroppedConnection> {
        if !request.uri().path().starts_with(CHALLENGES) {
            return Ok(text(StatusCode::NOT_FOUND, "nothing here\n"));
        }
        self.challenges.fetch_add(1, Ordering::Relaxed);
        if self.blocked.load(Ordering::Relaxed) {
            return Ok(text(StatusCode::FORBIDDEN, "blocked\n"));
        }
        let forwarded = timeout(UPSTREAM_TIMEOUT, self.forward(request)).await.ok().flatten();
        Ok(forwarded.unwrap_or_else(|| text(StatusCode::BAD_GATEWAY, "the upstream does not answer\n")))
    }
}
