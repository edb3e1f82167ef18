//! An edge of the CDN: forwards the challenge path over HTTP, and terminates TLS with what was uploaded to C4.

use std::collections::HashMap;
use std::fmt;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use axum::Router;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use http::StatusCode;
use http_body_util::{BodyExt, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, aws_lc_rs, verify_tls12_signature, verify_tls13_signature};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, ServerConfig, SignatureScheme};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_util::sync::CancellationToken;

use crate::net::{bind, serve};
use crate::{C4Control, SandboxError, StoredCertificate};

const MOST_BODY: usize = 64 * 1024;

/// Where it listens.
#[derive(Clone, Debug)]
pub struct EdgeOptions {
    /// HTTP.
    pub http_listen: SocketAddr,
    /// HTTPS.
    pub https_listen: SocketAddr,
    /// Where the challenge path is forwarded to.
    pub challenge_upstream: Option<SocketAddr>,
}

impl Default for EdgeOptions {
    fn default() -> Self {
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        Self {
            http_listen: any,
            https_listen: any,
            challenge_upstream: None,
        }
    }
}

#[derive(Default)]
struct Behaviour {
    upstream: Option<SocketAddr>,
    blocked: bool,
    lags: bool,
}

/// How the edge behaves.
#[derive(Clone, Default)]
pub struct EdgeControl {
    behaviour: Arc<Mutex<Behaviour>>,
}

impl EdgeControl {
    fn with<T>(&self, f: impl FnOnce(&mut Behaviour) -> T) -> T {
        f(&mut self.behaviour.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Where the challenge path is forwarded to.
    pub fn set_challenge_upstream(&self, upstream: SocketAddr) {
        self.with(|behaviour| behaviour.upstream = Some(upstream));
    }

    /// Whether a firewall answers the challenge path with 403.
    pub fn block_challenges(&self, blocked: bool) {
        self.with(|behaviour| behaviour.blocked = blocked);
    }

    /// Whether it goes on serving what it had, whatever C4 says.
    pub fn lag(&self, lags: bool) {
        self.with(|behaviour| behaviour.lags = lags);
    }
}

/// A running edge.
pub struct Edge {
    http: SocketAddr,
    https: SocketAddr,
    control: EdgeControl,
    stop: CancellationToken,
}

impl Edge {
    /// Starts it.
    pub async fn start(options: EdgeOptions, c4: C4Control) -> Result<Self, SandboxError> {
        let (plain_listener, http) = bind(options.http_listen).await?;
        let (tls_listener, https) = bind(options.https_listen).await?;
        let control = EdgeControl::default();
        control.with(|behaviour| behaviour.upstream = options.challenge_upstream);
        let provider = Arc::new(aws_lc_rs::default_provider());
        let resolver = Served {
            c4,
            control: control.clone(),
            provider: provider.clone(),
            cache: Mutex::default(),
        };
        let tls = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_cert_resolver(Arc::new(resolver));
        let stop = CancellationToken::new();
        let plain = Router::new()
            .route("/.well-known/acme-challenge/{token}", get(forward))
            .fallback(hello)
            .with_state(control.clone());
        serve(plain_listener, plain, None, stop.clone());
        serve(
            tls_listener,
            Router::new().fallback(hello),
            Some(Arc::new(tls)),
            stop.clone(),
        );
        Ok(Self {
            http,
            https,
            control,
            stop,
        })
    }

    /// Where it speaks HTTP.
    pub fn http_addr(&self) -> SocketAddr {
        self.http
    }

    /// Where it speaks HTTPS.
    pub fn https_addr(&self) -> SocketAddr {
        self.https
    }

    /// How it behaves.
    pub fn control(&self) -> EdgeControl {
        self.control.clone()
    }

    /// Stops it.
    pub fn stop(self) {
        self.stop.cancel();
    }
}

async fn hello() -> &'static str {
    "an edge of the sandbox\n"
}

async fn forward(State(control): State<EdgeControl>, request: Request) -> Response {
    let (upstream, blocked) = control.with(|behaviour| (behaviour.upstream, behaviour.blocked));
    if blocked {
        return StatusCode::FORBIDDEN.into_response();
    }
    let Some(upstream) = upstream else {
        return StatusCode::BAD_GATEWAY.into_response();
    };
    match ask_upstream(upstream, request).await {
        Ok(response) => response,
        Err(_) => StatusCode::BAD_GATEWAY.into_response(),
    }
}

async fn ask_upstream(
    upstream: SocketAddr,
    request: Request,
) -> Result<Response, Box<dyn std::error::Error + Send + Sync>> {
    let stream = TcpStream::connect(upstream).await?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    tokio::spawn(connection);
    let (head, body) = sender.send_request(request).await?.into_parts();
    let body = Limited::new(body, MOST_BODY).collect().await?.to_bytes();
    Ok((head.status, body).into_response())
}

/// Picks the certificate by name, from what C4 holds.
struct Served {
    c4: C4Control,
    control: EdgeControl,
    provider: Arc<CryptoProvider>,
    cache: Mutex<HashMap<String, (String, Arc<CertifiedKey>)>>,
}

impl fmt::Debug for Served {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Served").finish_non_exhaustive()
    }
}

impl ResolvesServerCert for Served {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let name = hello.server_name()?.to_ascii_lowercase();
        let mut cache = self.cache.lock().unwrap_or_else(PoisonError::into_inner);
        let cached = cache.get(&name).cloned();
        if let Some((_, key)) = &cached
            && self.control.with(|behaviour| behaviour.lags)
        {
            return Some(key.clone());
        }
        let Some(stored) = self.c4.certificate(&name) else {
            cache.remove(&name);
            return None;
        };
        if let Some((sha256, key)) = cached
            && sha256 == stored.sha256
        {
            return Some(key);
        }
        let key = Arc::new(certified_key(&stored, &self.provider)?);
        cache.insert(name, (stored.sha256, key.clone()));
        Some(key)
    }
}

fn certified_key(stored: &StoredCertificate, provider: &CryptoProvider) -> Option<CertifiedKey> {
    let chain: Result<Vec<_>, _> =
        CertificateDer::pem_slice_iter(stored.certificate_pem.as_bytes()).collect();
    let key = PrivateKeyDer::from_pem_slice(stored.private_key_pem.as_bytes()).ok()?;
    CertifiedKey::from_der(chain.ok()?, key, provider).ok()
}

/// The leaf that an edge shows for a name, by a real handshake that accepts any certificate; none if it has none.
pub async fn served_leaf(
    edge: SocketAddr,
    name: &str,
) -> Result<Option<CertificateDer<'static>>, SandboxError> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(AcceptAny(provider)))
        .with_no_client_auth();
    match leaf(edge, name, config).await {
        Ok(leaf) => Ok(leaf),
        // The edge ends the handshake where it has no certificate for the name.
        Err(SandboxError::Connect { source, .. })
            if source.get_ref().is_some_and(|e| e.is::<rustls::Error>()) =>
        {
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

/// Lower-case hex SHA-256 of [`served_leaf`].
pub async fn served_sha256(edge: SocketAddr, name: &str) -> Result<Option<String>, SandboxError> {
    let leaf = served_leaf(edge, name).await?;
    Ok(leaf.map(|leaf| hex::encode(::aws_lc_rs::digest::digest(&::aws_lc_rs::digest::SHA256, &leaf))))
}

/// The leaf that an edge shows for a name, by a handshake that verifies chain and name against `root_pem`.
pub async fn handshake(
    edge: SocketAddr,
    name: &str,
    root_pem: &str,
) -> Result<CertificateDer<'static>, SandboxError> {
    let mut roots = RootCertStore::empty();
    for root in CertificateDer::pem_slice_iter(root_pem.as_bytes()) {
        roots.add(root.map_err(|error| SandboxError::Invalid(error.to_string()))?)?;
    }
    let config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    let shown = leaf(edge, name, config).await?;
    shown.ok_or_else(|| SandboxError::Invalid("a handshake without a certificate".to_owned()))
}

async fn leaf(
    edge: SocketAddr,
    name: &str,
    config: ClientConfig,
) -> Result<Option<CertificateDer<'static>>, SandboxError> {
    let failed = |source| SandboxError::Connect {
        address: edge,
        source,
    };
    let server_name =
        ServerName::try_from(name.to_owned()).map_err(|error| SandboxError::Invalid(error.to_string()))?;
    let stream = TcpStream::connect(edge).await.map_err(failed)?;
    let stream = TlsConnector::from(Arc::new(config))
        .connect(server_name, stream)
        .await
        .map_err(failed)?;
    let shown = stream.get_ref().1.peer_certificates();
    Ok(shown
        .and_then(|chain| chain.first())
        .cloned()
        .map(CertificateDer::into_owned))
}

/// For looking, not for trusting: checks that the edge holds the key, and nothing else.
#[derive(Debug)]
struct AcceptAny(Arc<CryptoProvider>);

impl ServerCertVerifier for AcceptAny {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(
            message,
            certificate,
            signed,
            &self.0.signature_verification_algorithms,
        )
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(
            message,
            certificate,
            signed,
            &self.0.signature_verification_algorithms,
        )
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
