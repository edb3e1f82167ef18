//! What the tests ask: a CDN of the sandbox, and a TLS server that does what the sandbox's edges do not.

use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};

use aws_lc_rs::digest;
use c4::{C4Client, Upload};
use domain::EdgeBehind;
use domain::{CertificateId, DomainName, Source};
use rcgen::{CertificateParams, KeyPair};
use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::crypto::aws_lc_rs::sign::any_supported_type;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls_pki_types::{CertificateDer, PrivatePkcs8KeyDer};
use sandbox::{C4, C4Domain, C4Options, CDN_TARGET, Edge, EdgeOptions};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

pub(crate) fn name() -> DomainName {
    DomainName::parse("shop.example.com").unwrap()
}

/// A self-signed certificate, as a customer may paste, and its key.
pub(crate) struct Pair {
    pub(crate) sha256: String,
    certificate: rcgen::Certificate,
    key: KeyPair,
}

impl Pair {
    pub(crate) fn make() -> Self {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new([name().to_string()]).unwrap();
        let certificate = params.self_signed(&key).unwrap();
        Self { sha256: hex::encode(digest::digest(&digest::SHA256, certificate.der())), certificate, key }
    }

    pub(crate) fn certified(&self) -> CertifiedKey {
        self.certified_with_the_key_of(self)
    }

    /// With these after it.
    pub(crate) fn certified_with(&self, others: &[&Self]) -> CertifiedKey {
        let mut certified = self.certified();
        certified.cert.extend(others.iter().map(|other| CertificateDer::clone(other.certificate.der())));
        certified
    }

    pub(crate) fn certified_with_the_key_of(&self, other: &Self) -> CertifiedKey {
        let key = PrivatePkcs8KeyDer::from(other.key.serialize_der());
        let key = any_supported_type(&key.into()).unwrap();
        CertifiedKey::new(vec![CertificateDer::clone(self.certificate.der())], key)
    }
}

/// C4 and the edges that serve what it holds.
pub(crate) struct Cdn {
    pub(crate) edges: Vec<Edge>,
    client: C4Client,
    _c4: C4,
}

impl Cdn {
    pub(crate) async fn with_edges(count: usize) -> Self {
        let c4 = C4::start(C4Options::default()).await.unwrap();
        let domain = C4Domain { ports: vec![80, 443], cname: CDN_TARGET.to_owned() };
        c4.control().put_domain(name().as_str(), domain);
        let mut edges = Vec::new();
        for _ in 0..count {
            edges.push(Edge::start(EdgeOptions::default(), c4.control()).await.unwrap());
        }
        let client = C4Client::new(c4::C4Options {
            base_url: c4.base_url(),
            token: c4.token().to_owned().into(),
            root_certificate_pem: None,
        });
        Self { edges, client: client.unwrap(), _c4: c4 }
    }

    pub(crate) fn addresses(&self) -> Vec<SocketAddr> {
        self.edges.iter().map(Edge::https_addr).collect()
    }

    pub(crate) fn each_shows(&self, shows: &str) -> Vec<EdgeBehind> {
        let mut behind: Vec<_> = self
            .addresses()
            .iter()
            .map(|edge| EdgeBehind { edge: edge.to_string(), shows: shows.to_owned() })
            .collect();
        behind.sort();
        behind
    }

    pub(crate) async fn upload(&self, pair: &Pair, revision: i64) {
        let upload = Upload {
            certificate: CertificateId::from(uuid::Uuid::new_v4()),
            certificate_pem: &pair.certificate.pem(),
            private_key_pem: &pair.key.serialize_pem(),
            sha256: &pair.sha256,
            source: Source::Text,
            revision,
        };
        self.client.put_certificate(&name(), upload).await.unwrap();
    }
}

/// A server that lets sessions be resumed, and shows whatever it is told to.
pub(crate) struct TlsServer {
    pub(crate) address: SocketAddr,
    shown: Arc<Shown>,
}

impl TlsServer {
    /// TLS 1.2, where a session can be resumed without a byte after the handshake.
    pub(crate) async fn start(shown: CertifiedKey) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let shown = Arc::new(Shown(Mutex::new(Arc::new(shown))));
        let config = ServerConfig::builder_with_provider(Arc::new(default_provider()))
            .with_protocol_versions(&[&rustls::version::TLS12])
            .unwrap()
            .with_no_client_auth()
            .with_cert_resolver(shown.clone());
        let acceptor = TlsAcceptor::from(Arc::new(config));
        tokio::spawn(async move {
            while let Ok((connection, _)) = listener.accept().await {
                tokio::spawn(acceptor.accept(connection));
            }
        });
        Self { address, shown }
    }

    pub(crate) fn show(&self, shown: CertifiedKey) {
        *self.shown.0.lock().unwrap() = Arc::new(shown);
    }
}

struct Shown(Mutex<Arc<CertifiedKey>>);

impl fmt::Debug for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shown").finish_non_exhaustive()
    }
}

impl ResolvesServerCert for Shown {
    fn resolve(&self, _client_hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.0.lock().unwrap().clone())
    }
}
