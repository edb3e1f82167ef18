//! C4 as its contract describes it (DESIGN section 5), with controls to make it refuse, forget or fall silent.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{Path, Query, Request, State};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Json, Response};
use axum::routing::{get, put};
use http::{HeaderMap, StatusCode};
use jiff::Timestamp;
use rcgen::{KeyPair, PublicKeyData};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use serde::Deserialize;
use serde_json::json;
use tokio_util::sync::CancellationToken;
use x509_parser::prelude::{FromDer, X509Certificate};

use crate::SandboxError;
use crate::net::{bind, dropped, serve};

/// Where it listens and whom it lets in.
#[derive(Clone, Debug)]
pub struct C4Options {
    /// Plain HTTP, on loopback.
    pub listen: SocketAddr,
    /// The bearer token it expects.
    pub token: String,
}

impl Default for C4Options {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            token: "sandbox-c4-token".to_owned(),
        }
    }
}

/// A domain as C4 knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct C4Domain {
    /// Its ports; 443 is the customer's HTTPS switch.
    pub ports: Vec<u16>,
    /// What the customer's CNAME should be.
    pub cname: String,
}

/// A certificate that was uploaded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredCertificate {
    /// Leaf and intermediates.
    pub certificate_pem: String,
    /// The key.
    pub private_key_pem: String,
    /// SHA-256 of the leaf.
    pub sha256: String,
    /// `c4` or `text`.
    pub source: String,
    /// End of validity.
    pub not_after: Timestamp,
    /// Upload revision.
    pub revision: i64,
    /// What the upload said.
    pub idempotency_key: String,
}

/// An answer to uploads in place of taking them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// HTTP status.
    pub status: u16,
    /// The answer's message.
    pub message: String,
    /// Seconds of a Retry-After header.
    pub retry_after: Option<u64>,
}

impl Refusal {
    /// A 422 with that message.
    pub fn unprocessable(message: &str) -> Self {
        Self {
            status: 422,
            message: message.to_owned(),
            retry_after: None,
        }
    }
}

#[derive(Default)]
struct Registry {
    domains: HashMap<String, C4Domain>,
    certificates: HashMap<String, StoredCertificate>,
    highest_revision: HashMap<String, i64>,
    refusals: HashMap<String, Refusal>,
    refuse_all: Option<Refusal>,
    drop_answers: HashMap<String, u32>,
    down: bool,
    bodiless_404: bool,
    puts: HashMap<String, u64>,
    gets: HashMap<String, u64>,
}

/// What C4 knows and how it behaves.
#[derive(Clone, Default)]
pub struct C4Control {
    registry: Arc<Mutex<Registry>>,
}

impl C4Control {
    fn registry(&self) -> MutexGuard<'_, Registry> {
        self.registry.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// C4 knows a domain.
    pub fn put_domain(&self, name: &str, domain: C4Domain) {
        self.registry().domains.insert(name.to_owned(), domain);
    }

    /// C4 forgets a domain; its certificate stays on the edges.
    pub fn remove_domain(&self, name: &str) {
        self.registry().domains.remove(name);
    }

    /// What is stored for a name.
    pub fn certificate(&self, name: &str) -> Option<StoredCertificate> {
        self.registry().certificates.get(name).cloned()
    }

    /// Somebody else changes what is stored.
    pub fn remove_certificate(&self, name: &str) {
        self.registry().certificates.remove(name);
    }

    /// Uploads of a name (of all, without one) are refused.
    pub fn refuse(&self, name: Option<&str>, refusal: Refusal) {
        let mut registry = self.registry();
        match name {
            Some(name) => {
                registry.refusals.insert(name.to_owned(), refusal);
            }
            None => registry.refuse_all = Some(refusal),
        }
    }

    /// Uploads are taken again.
    pub fn accept(&self) {
        let mut registry = self.registry();
        registry.refusals.clear();
        registry.refuse_all = None;
    }

    /// Whether every request gets 503.
    pub fn down(&self, down: bool) {
        self.registry().down = down;
    }

    /// Whether unknown domains get a 404 without the contract's body.
    pub fn answer_404_without_body(&self, bodiless: bool) {
        self.registry().bodiless_404 = bodiless;
    }

    /// The next upload of a name takes effect, but its answer is lost.
    pub fn drop_answer_once(&self, name: &str) {
        *self.registry().drop_answers.entry(name.to_owned()).or_default() += 1;
    }

    /// Uploads of a name so far, refused ones included.
    pub fn puts(&self, name: &str) -> u64 {
        self.registry().puts.get(name).copied().unwrap_or(0)
    }

    /// Questions about a name so far.
    pub fn gets(&self, name: &str) -> u64 {
        self.registry().gets.get(name).copied().unwrap_or(0)
    }
}

/// A running C4.
pub struct C4 {
    address: SocketAddr,
    token: String,
    control: C4Control,
    stop: CancellationToken,
}

#[derive(Clone)]
struct Service {
    control: C4Control,
    token: String,
}

impl C4 {
    /// Starts it.
    pub async fn start(options: C4Options) -> Result<Self, SandboxError> {
        let (listener, address) = bind(options.listen).await?;
        let control = C4Control::default();
        let service = Service {
            control: control.clone(),
            token: options.token.clone(),
        };
        let router = Router::new()
            .route("/v1/domains/{name}", get(domain))
            .route("/v1/domains/{name}/certificate", put(upload).delete(remove))
            .layer(middleware::from_fn_with_state(service.clone(), guard))
            .with_state(service);
        let stop = CancellationToken::new();
        serve(listener, router, None, stop.clone());
        Ok(Self {
            address,
            token: options.token,
            control,
            stop,
        })
    }

    /// Where it is.
    pub fn base_url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The token it expects.
    pub fn token(&self) -> &str {
        &self.token
    }

    /// What it knows and how it behaves.
    pub fn control(&self) -> C4Control {
        self.control.clone()
    }

    /// Stops it.
    pub fn stop(self) {
        self.stop.cancel();
    }
}

fn message(status: StatusCode, text: &str) -> Response {
    (status, Json(json!({ "message": text }))).into_response()
}

async fn guard(State(service): State<Service>, request: Request, next: Next) -> Response {
    let wanted = format!("Bearer {}", service.token);
    let header = request
        .headers()
        .get("authorization")
        .and_then(|value| value.to_str().ok());
    if header != Some(wanted.as_str()) {
        return message(StatusCode::UNAUTHORIZED, "a bearer token is needed");
    }
    if service.control.registry().down {
        return message(StatusCode::SERVICE_UNAVAILABLE, "C4 is down");
    }
    next.run(request).await
}

fn unknown(registry: &Registry) -> Response {
    if registry.bodiless_404 {
        return StatusCode::NOT_FOUND.into_response();
    }
    message(StatusCode::NOT_FOUND, "unknown domain")
}

async fn domain(State(service): State<Service>, Path(name): Path<String>) -> Response {
    let mut registry = service.control.registry();
    *registry.gets.entry(name.clone()).or_default() += 1;
    let Some(domain) = registry.domains.get(&name) else {
        return unknown(&registry);
    };
    let certificate = registry.certificates.get(&name).map(
        |stored| json!({ "sha256": stored.sha256, "source": stored.source, "not_after": stored.not_after }),
    );
    Json(json!({ "name": name, "ports": domain.ports, "cname": domain.cname, "certificate": certificate }))
        .into_response()
}

#[derive(Deserialize)]
struct UploadBody {
    certificate_pem: String,
    private_key_pem: String,
    sha256: String,
    source: String,
    revision: i64,
}

async fn upload(
    State(service): State<Service>,
    Path(name): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let Ok(body) = serde_json::from_slice::<UploadBody>(&body) else {
        return message(StatusCode::BAD_REQUEST, "the body is not an upload");
    };
    let key = headers
        .get("idempotency-key")
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default()
        .to_owned();
    let mut registry = service.control.registry();
    *registry.puts.entry(name.clone()).or_default() += 1;
    if !registry.domains.contains_key(&name) {
        return unknown(&registry);
    }
    if let Some(refusal) = registry.refusals.get(&name).or(registry.refuse_all.as_ref()) {
        return refused(refusal);
    }
    if registry
        .highest_revision
        .get(&name)
        .is_some_and(|highest| body.revision < *highest)
    {
        return (StatusCode::CONFLICT, Json(json!({ "code": "stale" }))).into_response();
    }
    let not_after = match check(&body) {
        Ok(not_after) => not_after,
        Err(problem) => return message(StatusCode::UNPROCESSABLE_ENTITY, problem),
    };
    registry.highest_revision.insert(name.clone(), body.revision);
    let stored = StoredCertificate {
        certificate_pem: body.certificate_pem,
        private_key_pem: body.private_key_pem,
        sha256: body.sha256,
        source: body.source,
        not_after,
        revision: body.revision,
        idempotency_key: key,
    };
    registry.certificates.insert(name.clone(), stored);
    let answer = StatusCode::NO_CONTENT.into_response();
    match registry.drop_answers.get_mut(&name) {
        Some(left) if *left > 0 => {
            *left -= 1;
            dropped(answer)
        }
        _ => answer,
    }
}

fn refused(refusal: &Refusal) -> Response<Body> {
    let status = StatusCode::from_u16(refusal.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut answer = message(status, &refusal.message);
    if let Some(seconds) = refusal.retry_after {
        answer.headers_mut().insert("retry-after", seconds.into());
    }
    answer
}

/// Key, leaf and fingerprint must belong together.
fn check(body: &UploadBody) -> Result<Timestamp, &'static str> {
    let leaf = CertificateDer::pem_slice_iter(body.certificate_pem.as_bytes()).next();
    let Some(Ok(leaf)) = leaf else {
        return Err("certificate_pem is no certificate");
    };
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &leaf);
    if hex::encode(digest) != body.sha256 {
        return Err("sha256 is not the leaf's");
    }
    let (_, parsed) = X509Certificate::from_der(&leaf).map_err(|_| "certificate_pem cannot be parsed")?;
    let key = KeyPair::from_pem(&body.private_key_pem).map_err(|_| "private_key_pem is no key")?;
    if parsed.public_key().raw != key.subject_public_key_info() {
        return Err("the key is not the certificate's");
    }
    Timestamp::from_second(parsed.validity().not_after.timestamp()).map_err(|_| "not_after is out of range")
}

#[derive(Deserialize)]
struct Removal {
    revision: i64,
}

async fn remove(
    State(service): State<Service>,
    Path(name): Path<String>,
    Query(removal): Query<Removal>,
) -> Response {
    let mut registry = service.control.registry();
    if !registry.domains.contains_key(&name) {
        return unknown(&registry);
    }
    if registry
        .highest_revision
        .get(&name)
        .is_some_and(|highest| removal.revision < *highest)
    {
        return (StatusCode::CONFLICT, Json(json!({ "code": "stale" }))).into_response();
    }
    registry.highest_revision.insert(name.clone(), removal.revision);
    registry.certificates.remove(&name);
    StatusCode::NO_CONTENT.into_response()
}
