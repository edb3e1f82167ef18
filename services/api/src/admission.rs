//! Limits per caller, decided from the headers alone, before a body is polled.
//!
//! Callers without a principal (sign-in, health, reflection) have a small budget of their own. Others are looked up
//! first: a token that was good lately at once, any other by a short queue. Then each principal has a share of the calls,
//! and each address of the network; a console, one address for many people, has none but theirs.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use http::header::CONTENT_LENGTH;
use http::{HeaderMap, Request};
use ipnet::IpNet;
use runtime::{Full, Health, KnownTokens, Peer, Queue, Seldom, Share, Shares, Source, is_process_proof};
use tonic::body::Body;
use tonic::metadata::MetadataMap;
use tonic::{Code, Status};

use crate::auth::{Authenticator, Principal, bearer, hash_token};
use crate::body::{Bound, MeteredBody};
use crate::error::{overloaded, unauthenticated};
use crate::guard::too_large;

/// A call that has not begun to answer by then is given up. Streams may last.
const DEADLINE: Duration = Duration::from_mins(1);
const STRANGERS_DEADLINE: Duration = Duration::from_secs(10);
/// Calls in hand at once in one process, of one principal, and of one address.
const CALLS: usize = 1024;
const CALLS_PER_PRINCIPAL: usize = 256;
const CALLS_PER_SOURCE: usize = 512;
/// Calls of strangers.
const STRANGERS: usize = 64;
const STRANGERS_PER_SOURCE: usize = 16;
/// Open streams.
const STREAMS: usize = 1024;
const STREAMS_PER_PRINCIPAL: usize = 64;
const STRANGERS_STREAMS: usize = 64;
const STRANGERS_STREAMS_PER_SOURCE: usize = 8;
/// Tokens that are looked up at once, and that wait for it.
const LOOKUPS: usize = 32;
const LOOKUPS_WAITING: usize = 512;
const LOOKUPS_PER_SOURCE: usize = 256;
const LOOKUP_TIMEOUT: Duration = Duration::from_secs(2);
/// Bytes of bodies that are on their way.
const BYTES: usize = 16 * 1024 * 1024;
const BYTES_PER_PRINCIPAL: usize = 4 * 1024 * 1024;
/// Message bytes of the methods.
pub(crate) const MAX_MESSAGE: usize = 64 * 1024;
pub(crate) const MAX_IMPORT: usize = 160 * 1024;
const MAX_SIGN_IN: usize = 8 * 1024;

/// Where a call comes from. What a console says of the browser is believed.
#[derive(Clone, Debug)]
pub(crate) struct Origin {
    pub(crate) source: Source,
    /// For logs and the audit log.
    pub(crate) address: String,
    is_console: bool,
    /// Whether the address stands for many clients.
    pub(crate) is_shared: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// Needs no principal.
    Stranger,
    StrangerStream,
    Call,
    /// One request, many answers.
    Stream,
    /// Many requests, one answer or many.
    Conversation,
}

/// The shares that a call holds while it runs.
#[derive(Default)]
pub(crate) struct CallPermit {
    _of_source: Option<Share<Source>>,
    _of_principal: Option<Share<String>>,
    /// Of a stream, until its last answer.
    pub(crate) stream: Option<StreamShare>,
    pub(crate) deadline: Duration,
}

pub(crate) enum StreamShare {
    Stranger { _share: Share<Source> },
    Principal { _share: Share<String> },
}

pub(crate) struct Admission {
    authenticator: Authenticator,
    health: Health,
    consoles: Vec<String>,
    shared_sources: Vec<IpNet>,
    strangers: Arc<Shares<Source>>,
    strangers_streams: Arc<Shares<Source>>,
    lookups: Queue<Source>,
    sources: Arc<Shares<Source>>,
    calls: Arc<Shares<String>>,
    streams: Arc<Shares<String>>,
    bytes: Arc<Shares<String>>,
    known: KnownTokens,
    refusals: Seldom,
}

impl Admission {
    pub(crate) fn new(context: &runtime::Context, authenticator: Authenticator) -> Arc<Self> {
        let tls = context.config.api.tls.as_ref();
        Arc::new(Self {
            authenticator,
            health: context.health.clone(),
            consoles: tls.map(|tls| tls.consoles.clone()).unwrap_or_default(),
            shared_sources: context.config.connections.shared_sources.clone(),
            strangers: Shares::new(STRANGERS, STRANGERS_PER_SOURCE),
            strangers_streams: Shares::new(STRANGERS_STREAMS, STRANGERS_STREAMS_PER_SOURCE),
            lookups: Queue::new(LOOKUPS, LOOKUPS_WAITING, LOOKUPS_PER_SOURCE, LOOKUP_TIMEOUT),
            sources: Shares::new(CALLS, CALLS_PER_SOURCE),
            calls: Shares::new(CALLS, CALLS_PER_PRINCIPAL),
            streams: Shares::new(STREAMS, STREAMS_PER_PRINCIPAL),
            bytes: Shares::new(BYTES, BYTES_PER_PRINCIPAL),
            known: KnownTokens::default(),
            refusals: Seldom::default(),
        })
    }

    /// The request with who sent it and a bounded body, and what is held for it. Errors: `UNAUTHENTICATED`, or what
    /// limit is reached.
    pub(crate) async fn admit(
        &self,
        mut request: Request<Body>,
    ) -> Result<(Request<Body>, CallPermit), Status> {
        let (kind, max_bytes) = method(request.uri().path());
        if kind != Kind::Conversation && says_more(request.headers(), max_bytes) {
            return Err(too_large());
        }
        let Some(origin) = self.origin(&request) else {
            return Err(unauthenticated());
        };
        request.extensions_mut().insert(origin.clone());
        match kind {
            Kind::Stranger | Kind::StrangerStream => {
                let held = self.stranger(kind, &origin)?;
                let bound = Bound::Message { max_bytes, bytes: None };
                Ok((request.map(|body| Body::new(MeteredBody::new(body, bound))), held))
            }
            Kind::Call | Kind::Stream | Kind::Conversation => {
                let (request, principal) = self.authenticate(request, &origin).await?;
                let (held, bound) = self.principal(kind, &origin, principal.actor(), max_bytes)?;
                let mut request = request.map(|body| Body::new(MeteredBody::new(body, bound)));
                request.extensions_mut().insert(principal);
                Ok((request, held))
            }
        }
    }

    fn stranger(&self, kind: Kind, origin: &Origin) -> Result<CallPermit, Status> {
        let held = CallPermit { deadline: STRANGERS_DEADLINE, ..CallPermit::default() };
        if kind == Kind::StrangerStream {
            let share = self.strangers_streams.take_one(&origin.source, origin.is_shared);
            let share = share.map_err(|full| self.refused("strangers-streams", full, &origin.address))?;
            return Ok(CallPermit { stream: Some(StreamShare::Stranger { _share: share }), ..held });
        }
        let share = self.strangers.take_one(&origin.source, origin.is_shared);
        let share = share.map_err(|full| self.refused("strangers", full, &origin.address))?;
        Ok(CallPermit { _of_source: Some(share), ..held })
    }

    fn principal(
        &self,
        kind: Kind,
        origin: &Origin,
        actor: &str,
        max_bytes: usize,
    ) -> Result<(CallPermit, Bound), Status> {
        let actor = actor.to_owned();
        let refused = |limit, full| self.refused(limit, full, &actor);
        let (mut of_source, mut of_principal, mut stream) = (None, None, None);
        if kind == Kind::Call {
            if !origin.is_console {
                let share = self.sources.take_one(&origin.source, origin.is_shared);
                of_source = Some(share.map_err(|full| refused("calls", full))?);
            }
            of_principal = Some(self.calls.take(&actor, 1).map_err(|full| refused("calls", full))?);
        } else {
            let share = self.streams.take(&actor, 1).map_err(|full| refused("streams", full))?;
            stream = Some(StreamShare::Principal { _share: share });
        }
        // A conversation has one message in hand at a time, a call grows with what it sends.
        let begins_with = if kind == Kind::Conversation { MAX_MESSAGE } else { 0 };
        let bytes = self.bytes.take(&actor, begins_with).map_err(|full| refused("bytes", full))?;
        let bound = match kind {
            Kind::Conversation => Bound::Conversation { _bytes: bytes },
            _ => Bound::Message { max_bytes, bytes: Some(bytes) },
        };
        let held =
            CallPermit { _of_source: of_source, _of_principal: of_principal, stream, deadline: DEADLINE };
        Ok((held, bound))
    }

    /// Looks up the caller of the request.
    async fn authenticate(
        &self,
        request: Request<Body>,
        origin: &Origin,
    ) -> Result<(Request<Body>, Principal), Status> {
        let (mut parts, body) = request.into_parts();
        let metadata = MetadataMap::from_headers(parts.headers);
        let probe = tonic::Request::from_parts(metadata, parts.extensions, ());
        let hash = bearer(&probe).map(hash_token);
        let is_known = hash.is_none_or(|hash| self.known.contains(&hash));
        let turn =
            if is_known { None } else { Some(self.lookups.turn(&origin.source, origin.is_shared).await) };
        let turn = turn.transpose().map_err(|full| self.refused("lookups", full, &origin.address))?;
        let principal = self.authenticator.principal(&probe).await;
        drop(turn);
        match (hash, &principal) {
            (Some(hash), Ok(_)) => self.known.remember(hash),
            (Some(hash), Err(status)) if status.code() == Code::Unauthenticated => self.known.forget(&hash),
            _ => {}
        }
        let (metadata, extensions, ()) = probe.into_parts();
        parts.headers = metadata.into_headers();
        parts.extensions = extensions;
        Ok((Request::from_parts(parts, body), principal?))
    }

    /// None where the transport says nothing of its peer, which no port of ours does.
    fn origin(&self, request: &Request<Body>) -> Option<Origin> {
        let peer = request.extensions().get::<Peer>()?;
        let headers = request.headers();
        let is_console = self.is_console(peer, headers);
        let told = headers.get("x-browser-address").and_then(|told| told.to_str().ok()?.parse().ok());
        let browser: Option<IpAddr> = told.filter(|_| is_console);
        let ip = browser.unwrap_or_else(|| peer.address.ip()).to_canonical();
        Some(Origin {
            source: Source::of(ip),
            address: browser.map_or_else(|| peer.address.to_string(), |browser| browser.to_string()),
            is_console,
            is_shared: self.shared_sources.iter().any(|net| net.contains(&ip)),
        })
    }

    /// A console shows a certificate of one, or is in this process.
    fn is_console(&self, peer: &Peer, headers: &HeaderMap) -> bool {
        let is_here = headers.get("x-process-proof").is_some_and(|proof| is_process_proof(proof.as_bytes()));
        let leaf = peer.certificates.first().filter(|_| !self.consoles.is_empty());
        is_here
            || leaf.is_some_and(|leaf| {
                x509::alternative_names(leaf).iter().any(|name| self.consoles.contains(name))
            })
    }

    /// Counts a refusal and says so, in the log at a bounded rate and in the health.
    fn refused(&self, limit: &'static str, full: Full, who: &str) -> Status {
        metrics::counter!("ssl_manager_calls_refused_total", "limit" => limit).increment(1);
        match (full, limit) {
            (Full::Key, _) => {}
            (Full::Total, "calls" | "streams" | "bytes") => {
                self.health.full("api-calls", format!("as many {limit} as the process takes are in hand"));
            }
            (Full::Total, _) => {
                self.health
                    .crowded("api-strangers", format!("no more {limit} of callers without a known token"));
            }
        }
        if let Some(withheld) = self.refusals.pass() {
            tracing::warn!(limit, who, withheld, "calls are refused");
        }
        overloaded(Duration::from_secs(1))
    }
}

/// What is known of a method by its path: how it is admitted, and the most bytes of its request.
fn method(path: &str) -> (Kind, usize) {
    match path {
        "/sslmanager.v1.Sessions/SignIn" | "/grpc.health.v1.Health/Check" => (Kind::Stranger, MAX_SIGN_IN),
        "/sslmanager.v1.Sessions/SignInWithIdToken" => (Kind::Stranger, MAX_MESSAGE),
        "/sslmanager.v1.Domains/WatchDomains"
        | "/sslmanager.v1.Jobs/WatchJob"
        | "/sslmanager.v1.Administration/VerifyAudit"
        | "/sslmanager.v1.Administration/ExportAudit" => (Kind::Stream, MAX_MESSAGE),
        "/sslmanager.v1.Domains/BatchAddDomains" | "/sslmanager.v1.Jobs/CreateJob" => {
            (Kind::Conversation, MAX_MESSAGE)
        }
        "/sslmanager.v1.Domains/ImportCertificate" => (Kind::Call, MAX_IMPORT),
        path if path.starts_with("/grpc.health.v1.") || path.starts_with("/grpc.reflection.") => {
            (Kind::StrangerStream, MAX_MESSAGE)
        }
        _ => (Kind::Call, MAX_MESSAGE),
    }
}

/// Whether the header alone says that it is too much.
fn says_more(headers: &HeaderMap, max_bytes: usize) -> bool {
    let length = headers.get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse::<usize>().ok());
    length.is_some_and(|length| length > max_bytes + MeteredBody::FRAME_HEADER)
}
