//! HTTP/1.1 over TCP or TLS, with one feature that servers do not offer: closing the connection instead of processing a
//! request, or instead of answering it. HTTP/2 is not supported, because there a lost answer would be a reset stream
//! and the connection would stay open.

use std::collections::HashMap;
use std::convert::Infallible;
use std::hash::Hash;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use http::StatusCode;
use http::header::CONTENT_TYPE;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use rustls::ServerConfig;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;
use tracing::debug;

use crate::SandboxError;
use crate::sync::lock;

const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
const MAX_BODY_BYTES: usize = 256 * 1024;
/// Accepting fails when file descriptors run out; some are given back soon.
const ACCEPT_RETRY_PAUSE: Duration = Duration::from_millis(20);

/// A request with its body.
pub(crate) type Request = http::Request<Bytes>;
/// An answer.
pub(crate) type Reply = http::Response<Full<Bytes>>;

/// The part that is lost when a connection breaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum LostPart {
    /// It is never processed.
    Request,
    /// The request is processed, and not answered.
    Answer,
}

/// The requested losses, and their number.
#[derive(Debug)]
pub(crate) struct PlannedLosses<K>(Mutex<HashMap<(K, LostPart), u32>>);

impl<K> Default for PlannedLosses<K> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<K: Eq + Hash> PlannedLosses<K> {
    /// Once more.
    pub(crate) fn wish(&self, of: K, lost: LostPart) {
        *lock(&self.0).entry((of, lost)).or_default() += 1;
    }

    /// Whether this one is.
    pub(crate) fn take(&self, of: K, lost: LostPart) -> bool {
        let mut wished = lock(&self.0);
        let left = wished.get_mut(&(of, lost)).filter(|left| **left > 0);
        left.map(|left| *left -= 1).is_some()
    }
}

/// Nothing comes back and the connection is closed.
#[derive(Debug, thiserror::Error)]
#[error("dropped, as was wished")]
pub(crate) struct DroppedConnection;

/// Answers requests.
pub(crate) trait Service: Send + Sync + 'static {
    fn answer(
        self: Arc<Self>,
        request: Request,
    ) -> impl Future<Output = Result<Reply, DroppedConnection>> + Send;
}

/// A server; dropped, it stops.
pub(crate) struct Server {
    address: SocketAddr,
    stop: CancellationToken,
    tasks: TaskTracker,
    _stop_on_drop: DropGuard,
}

impl Server {
    pub(crate) async fn start(
        listen: SocketAddr,
        tls: Option<Arc<ServerConfig>>,
        service: Arc<impl Service>,
    ) -> Result<Self, SandboxError> {
        let failed = |source| SandboxError::Listen { address: listen, source };
        let listener = TcpListener::bind(listen).await.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        let stop = CancellationToken::new();
        let tasks = TaskTracker::new();
        let accepting = accept(listener, tls.map(TlsAcceptor::from), service, stop.clone(), tasks.clone());
        tasks.spawn(accepting);
        Ok(Self { address, _stop_on_drop: stop.clone().drop_guard(), stop, tasks })
    }

    /// Where it listens; a wildcard address is given as loopback, which can be connected to.
    pub(crate) fn address(&self) -> SocketAddr {
        let mut address = self.address;
        if address.ip().is_unspecified() {
            address.set_ip(std::net::Ipv4Addr::LOCALHOST.into());
        }
        address
    }

    /// Closes the listener and all connections.
    pub(crate) async fn stop(self) {
        self.stop.cancel();
        self.tasks.close();
        self.tasks.wait().await;
    }
}

async fn accept(
    listener: TcpListener,
    tls: Option<TlsAcceptor>,
    service: Arc<impl Service>,
    stop: CancellationToken,
    tasks: TaskTracker,
) {
    loop {
        let accepted = tokio::select! {
            () = stop.cancelled() => return,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, _)) => {
                let connection =
                    stop.clone().run_until_cancelled_owned(connect(stream, tls.clone(), service.clone()));
                tasks.spawn(connection);
            }
            Err(error) => {
                debug!(%error, "accepting a connection failed");
                sleep(ACCEPT_RETRY_PAUSE).await;
            }
        }
    }
}

async fn connect(stream: TcpStream, tls: Option<TlsAcceptor>, service: Arc<impl Service>) {
    if let Err(error) = stream.set_nodelay(true) {
        debug!(%error, "the connection cannot be told not to wait");
    }
    let Some(tls) = tls else {
        return converse(stream, service).await;
    };
    match timeout(HANDSHAKE_TIMEOUT, tls.accept(stream)).await {
        Ok(Ok(stream)) => converse(stream, service).await,
        Ok(Err(error)) => debug!(%error, "tls handshake failed"),
        Err(_) => debug!("tls handshake took too long"),
    }
}

async fn converse(stream: impl AsyncRead + AsyncWrite + Unpin, service: Arc<impl Service>) {
    let service = service_fn(move |request| answer(service.clone(), request));
    let conversation =
        http1::Builder::new().timer(TokioTimer::new()).serve_connection(TokioIo::new(stream), service);
    if let Err(error) = conversation.await {
        debug!(%error, "connection ended");
    }
}

async fn answer(
    service: Arc<impl Service>,
    request: http::Request<Incoming>,
) -> Result<Reply, DroppedConnection> {
    let (head, body) = request.into_parts();
    match Limited::new(body, MAX_BODY_BYTES).collect().await {
        Ok(body) => service.answer(Request::from_parts(head, body.to_bytes())).await,
        Err(_) => Ok(text(StatusCode::PAYLOAD_TOO_LARGE, "the body is too large or ended early\n")),
    }
}

/// An answer with a body of some type.
pub(crate) fn reply(status: StatusCode, content_type: &'static str, body: impl Into<Bytes>) -> Reply {
    let mut reply = Reply::new(Full::new(body.into()));
    *reply.status_mut() = status;
    reply.headers_mut().insert(CONTENT_TYPE, http::HeaderValue::from_static(content_type));
    reply
}

pub(crate) fn text(status: StatusCode, body: impl Into<Bytes>) -> Reply {
    reply(status, "text/plain; charset=utf-8", body)
}

pub(crate) fn json(status: StatusCode, body: &serde_json::Value) -> Reply {
    reply(status, "application/json", body.to_string())
}

pub(crate) fn empty(status: StatusCode) -> Reply {
    let mut reply = Reply::new(Full::default());
    *reply.status_mut() = status;
    reply
}

/// The bytes of an answer.
pub(crate) async fn body_of(reply: Reply) -> (http::response::Parts, Bytes) {
    let (head, body) = reply.into_parts();
    let body: Result<_, Infallible> = body.collect().await;
    let Ok(body) = body;
    (head, body.to_bytes())
}
