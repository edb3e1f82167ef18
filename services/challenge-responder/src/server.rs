//! The HTTP server, with a bound on every resource that a client can use up.

use std::convert::Infallible;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::header::{
    ALLOW, CACHE_CONTROL, CONNECTION, CONTENT_TYPE, HeaderValue, RETRY_AFTER, X_CONTENT_TYPE_OPTIONS,
};
use http::{Method, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use runtime::{Accepted, Listener};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::answers::{Answer, Answers};
use crate::request::{Hosts, token};

/// How long open connections may go on after the stop.
const FINISH_TIMEOUT: Duration = Duration::from_secs(2);
const RETRY_AFTER_SECONDS: HeaderValue = HeaderValue::from_static("5");

/// The limits of one connection.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    pub(crate) requests_per_connection: u32,
    pub(crate) header_bytes: usize,
    pub(crate) headers: usize,
    pub(crate) header_within: Duration,
    pub(crate) connection_within: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            requests_per_connection: 16,
            header_bytes: 8 * 1024,
            headers: 64,
            header_within: Duration::from_secs(5),
            connection_within: Duration::from_secs(15),
        }
    }
}

pub(crate) struct Server {
    answers: Arc<Answers>,
    hosts: Hosts,
    limits: Limits,
}

impl Server {
    pub(crate) fn new(answers: Arc<Answers>, hosts: Hosts, limits: Limits) -> Self {
        Self { answers, hosts, limits }
    }

    /// Serves until the stop, then lets open connections finish for a moment.
    pub(crate) async fn serve(self: Arc<Self>, listener: Listener, stop: CancellationToken) {
        let open = TaskTracker::new();
        let end = stop.clone();
        let connection = move |stream| self.clone().connection(stream, end.clone());
        let spawn = |task| {
            open.spawn(task);
        };
        listener.serve(stop, spawn, connection).await;
        open.close();
        if tokio::time::timeout(FINISH_TIMEOUT, open.wait()).await.is_err() {
            tracing::info!(connections = open.len(), "connections still open");
        }
    }

    async fn connection(self: Arc<Self>, stream: Accepted, stop: CancellationToken) {
        let peer = stream.peer();
        let within = self.limits.connection_within;
        let limits = self.limits;
        let requests = AtomicU32::new(0);
        let service = service_fn(move |request| {
            peer.speaks();
            let (server, client) = (self.clone(), peer.address.ip());
            let is_last =
                requests.fetch_add(1, Ordering::Relaxed) + 1 >= server.limits.requests_per_connection;
            async move { Ok::<_, Infallible>(server.respond(request, client, is_last).await) }
        });
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(limits.header_within)
            .max_buf_size(limits.header_bytes)
            .max_header_size(limits.header_bytes)
            .max_headers(limits.headers)
            .serve_connection(TokioIo::new(stream), service);
        let mut connection = std::pin::pin!(connection);
        let served = tokio::time::timeout(within, async {
            tokio::select! {
                served = connection.as_mut() => served,
                () = stop.cancelled() => {
                    connection.as_mut().graceful_shutdown();
                    connection.as_mut().await
                }
            }
        });
        // Clients break off, dawdle and send nonsense all day; that is worth a line only to who looks for it.
        match served.await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::debug!(error = &error as &dyn std::error::Error, "connection ended"),
            Err(_) => tracing::debug!("connection cut off"),
        }
    }

    async fn respond(
        &self,
        request: Request<Incoming>,
        peer: IpAddr,
        is_last: bool,
    ) -> Response<Full<Bytes>> {
        let (request, _body) = request.into_parts();
        let (mut response, result) = if request.method != Method::GET && request.method != Method::HEAD {
            (not_allowed(), "not_allowed")
        } else {
            match self.answer(&request, peer).await {
                Answer::Found(key_authorization) => (found(key_authorization), "found"),
                Answer::Nothing => (not_found(), "not_found"),
                Answer::Busy => (busy(), "busy"),
            }
        };
        metrics::counter!("ssl_manager_challenge_requests_total", "result" => result).increment(1);
        let headers = response.headers_mut();
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        if is_last {
            headers.insert(CONNECTION, HeaderValue::from_static("close"));
        }
        response
    }

    async fn answer(&self, request: &http::request::Parts, peer: IpAddr) -> Answer {
        let (Some(token), Some(host)) = (token(request), self.hosts.host(request, peer)) else {
            return Answer::Nothing;
        };
        let answer = self.answers.find(&host, token).await;
        if let Answer::Found(_) = answer {
            tracing::info!(domain = %host, %peer, "challenge answered");
        }
        answer
    }
}

fn found(key_authorization: String) -> Response<Full<Bytes>> {
    response(StatusCode::OK, "application/octet-stream", key_authorization)
}

fn not_found() -> Response<Full<Bytes>> {
    response(StatusCode::NOT_FOUND, "text/plain", "not found\n")
}

fn not_allowed() -> Response<Full<Bytes>> {
    let mut response = response(StatusCode::METHOD_NOT_ALLOWED, "text/plain", "only GET and HEAD\n");
    response.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
    response
}

fn busy() -> Response<Full<Bytes>> {
    let mut response = response(StatusCode::SERVICE_UNAVAILABLE, "text/plain", "busy, try again\n");
    response.headers_mut().insert(RETRY_AFTER, RETRY_AFTER_SECONDS);
    response
}

fn response(status: StatusCode, content_type: &'static str, body: impl Into<Bytes>) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body.into()));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}

#[cfg(test)]
mod tests;
