//! A request with a body to a receiver that somebody named: a webhook's.
//!
//! The address is checked as a rehearsal's, and the connection goes to exactly the address that was checked, so a name that is
//! looked up again and answers otherwise changes nothing. Redirects are not followed. Unlike a rehearsal it verifies the
//! receiver's certificate, because what is sent is meant for that receiver. Of the answer only the status counts; of its body
//! a little is read and thrown away, so that a receiver which sends without end holds nobody up.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use dns::Nameservers;
use domain::one_line;
use http::header::{CONNECTION, CONTENT_TYPE, HOST, USER_AGENT};
use http::{HeaderName, HeaderValue, Request};
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use ipnet::IpNet;
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, DnsName, ServerName};
use rustls_platform_verifier::Verifier;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsConnector;
use tokio_util::task::AbortOnDropHandle;
use url::{Host, Position, Url};

use crate::connect::{NoRoute, Route};
use crate::fetch_error::FetchError;
use crate::internet::{Reach, Within};
use crate::patience::Patience;

const CONNECT_WITHIN: Duration = Duration::from_secs(5);
/// For everything: DNS, the connection, TLS, the answer.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);
const MAX_HEAD_BYTES: usize = 16 * 1024;
const MAX_HEADERS: usize = 100;
const MAX_BODY_BYTES: usize = 16 * 1024;
const MAX_URL: usize = 2000;
const MAX_CHARACTERS: usize = 300;
const AGENT: &str = concat!("ssl-manager/", env!("CARGO_PKG_VERSION"), " (webhook)");

/// Sends bodies to receivers. Cheap to share.
#[derive(Clone)]
pub struct Poster {
    addresses: PostAddresses,
    within: Duration,
    tls: Arc<ClientConfig>,
}

/// Where bodies may be sent to, beside the internet.
#[derive(Clone, Debug, Default)]
pub struct PostAddresses {
    /// These, whatever they are, and in clear as well (`notifier.allow_addresses`).
    pub allowed: Arc<[IpNet]>,
    /// Not these, unless they are allowed (`preflight.refuse_addresses`).
    pub refused: Arc<[IpNet]>,
}

impl PostAddresses {
    fn allow(&self, address: IpAddr) -> bool {
        self.allowed.iter().any(|net| net.contains(&address.to_canonical()))
    }

    fn reach(&self) -> Reach {
        Reach { within: Within::InternetAndNets(self.allowed.clone()), refused: self.refused.clone() }
    }
}

/// Why a receiver did not take a body.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{found}")]
pub struct PostError {
    /// What happened, as a part of a sentence; nothing of the answer's body.
    pub found: String,
    /// The status of the answer, if there was one.
    pub status: Option<u16>,
}

/// Why no [`Poster`] can be made.
#[derive(Debug, thiserror::Error)]
pub enum PosterError {
    /// The extra root is none.
    #[error("not a PEM file with certificates: {0}")]
    Root(String),
    /// TLS cannot be set up.
    #[error("TLS for webhooks cannot be set up")]
    Tls(#[source] rustls::Error),
}

impl From<FetchError> for PostError {
    fn from(failure: FetchError) -> Self {
        let (FetchError::Site(found) | FetchError::Ours(found)) = failure;
        Self { found: one_line(&found, MAX_CHARACTERS), status: None }
    }
}

/// A URL that a body may be sent to, if its addresses allow that.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Receiver(Url);

impl Receiver {
    /// Reads a URL: https, or http, with a host and without user name, password and fragment. Errors: what is wrong, as a
    /// sentence's part.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        if text.len() > MAX_URL {
            return Err("it has more than 2000 characters");
        }
        let url = Url::parse(text).map_err(|_| "it is not a URL")?;
        if !["https", "http"].contains(&url.scheme()) {
            return Err("it does not begin with https://");
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err("it contains a user name or a password");
        }
        if url.fragment().is_some() {
            return Err("it contains a fragment (#…)");
        }
        match url.host() {
            Some(Host::Domain(host)) => {
                DnsName::try_from(host.to_owned()).map(drop).map_err(|_| "its host is not a DNS name")?;
            }
            Some(_) => {}
            None => return Err("it has no host"),
        }
        Ok(Self(url))
    }

    /// The URL as it is asked for.
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }

    /// Its address, where the host is one.
    pub fn address(&self) -> Option<IpAddr> {
        match self.0.host()? {
            Host::Domain(_) => None,
            Host::Ipv4(address) => Some(address.into()),
            Host::Ipv6(address) => Some(address.into()),
        }
    }

    /// Whether it is sent in clear.
    pub fn is_plain(&self) -> bool {
        self.0.scheme() == "http"
    }

    /// Its host, without path and query, which may hold a secret.
    pub fn host(&self) -> String {
        self.0.host_str().unwrap_or_default().to_owned()
    }

    /// The URL with `…` for path and query, which may hold a secret.
    pub fn shown(&self) -> String {
        let origin = &self.0[..Position::BeforePath];
        match &self.0[Position::BeforePath..] {
            "/" => format!("{origin}/"),
            _ => format!("{origin}/…"),
        }
    }

    fn server_name(&self) -> Result<ServerName<'static>, FetchError> {
        match self.0.host() {
            Some(Host::Domain(host)) => ServerName::try_from(host.to_owned())
                .map_err(|_| FetchError::site("its host is not a DNS name")),
            Some(Host::Ipv4(address)) => Ok(IpAddr::from(address).into()),
            Some(Host::Ipv6(address)) => Ok(IpAddr::from(address).into()),
            None => Err(FetchError::site("the URL has no host")),
        }
    }
}

impl Poster {
    /// Sends to the internet and `addresses`; `root_certificate_pem` is trusted beside the machine's roots.
    pub fn new(addresses: PostAddresses, root_certificate_pem: Option<&[u8]>) -> Result<Self, PosterError> {
        Ok(Self { addresses, within: ANSWER_WITHIN, tls: Arc::new(verifying(root_certificate_pem)?) })
    }

    /// What is known of a URL before it is used: an address that nothing is sent to, and whether it would be sent in clear.
    /// Errors: why not, as a part of a sentence.
    pub fn check(receiver: &Receiver, addresses: &PostAddresses) -> Result<(), String> {
        if receiver.is_plain() && addresses.allowed.is_empty() {
            return Err(
                "it does not begin with https://, which only addresses of notifier.allow_addresses may"
                    .to_owned(),
            );
        }
        let Some(address) = receiver.address() else { return Ok(()) };
        if receiver.is_plain() && !addresses.allow(address) {
            return Err(format!(
                "{address} is not in notifier.allow_addresses, so it has to begin with https://"
            ));
        }
        let refused = |kind| format!("{address} is a {kind} address that is not in notifier.allow_addresses");
        addresses.reach().check(address).map(drop).map_err(refused)
    }

    /// With another time limit, for tests that cannot wait that long.
    #[doc(hidden)]
    #[must_use]
    pub fn within(self, within: Duration) -> Self {
        Self { within, ..self }
    }

    /// Sends a JSON body with those headers; returns the answer's status, which is 200 to 299.
    pub async fn post(
        &self,
        nameservers: &Nameservers,
        receiver: &Receiver,
        headers: &[(HeaderName, String)],
        body: Bytes,
    ) -> Result<u16, PostError> {
        let request = request(receiver, headers, body)?;
        let mut patience = Patience::new(self.within);
        let addresses = match (receiver.address(), receiver.0.host_str()) {
            (Some(address), _) => vec![address],
            (None, host) => patience.with_dns(nameservers.addresses(host.unwrap_or_default())).await?,
        };
        let route = self.route(receiver, &addresses)?;
        let port = receiver.0.port_or_known_default().unwrap_or(443);
        let exchange = async {
            let stream = route.connect(port, CONNECT_WITHIN).await?;
            if receiver.is_plain() {
                return Ok(send(stream, request).await);
            }
            let tls = TlsConnector::from(self.tls.clone()).connect(receiver.server_name()?, stream).await;
            match tls {
                Ok(stream) => Ok(send(stream, request).await),
                Err(error) => Err(FetchError::Site(format!("the TLS handshake failed: {error}"))),
            }
        };
        patience.with_site(exchange).await?
    }

    fn route(&self, receiver: &Receiver, addresses: &[IpAddr]) -> Result<Route, FetchError> {
        if receiver.is_plain() && !addresses.iter().all(|address| self.addresses.allow(*address)) {
            return Err(FetchError::site(
                "it is sent in clear, which only addresses of notifier.allow_addresses may be: use https",
            ));
        }
        Route::choose(addresses, &self.addresses.reach()).map_err(|none| {
            FetchError::Site(match none {
                NoRoute::NoAddress => "the name has no address (no A or AAAA record)".to_owned(),
                NoRoute::Refused(kind, address) => {
                    format!(
                        "it leads to the {kind} address {address}, which is not in notifier.allow_addresses"
                    )
                }
            })
        })
    }
}

fn request(
    receiver: &Receiver,
    headers: &[(HeaderName, String)],
    body: Bytes,
) -> Result<Request<Full<Bytes>>, FetchError> {
    let url = &receiver.0;
    let mut request = Request::post(&url[Position::BeforePath..Position::AfterQuery])
        .header(HOST, &url[Position::BeforeHost..Position::AfterPort])
        .header(USER_AGENT, AGENT)
        .header(CONTENT_TYPE, "application/json")
        .header(CONNECTION, "close");
    for (name, value) in headers {
        let value =
            HeaderValue::from_str(value).map_err(|_| FetchError::site("a header has a control character"))?;
        request = request.header(name, value);
    }
    request.body(Full::new(body)).map_err(|_| FetchError::site("the URL cannot be asked for"))
}

async fn send(
    stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
    request: Request<Full<Bytes>>,
) -> Result<u16, PostError> {
    let broken = |error: hyper::Error| {
        FetchError::site(if error.is_parse_too_large() {
            "the answer has too many or too long headers"
        } else if error.is_parse() {
            "the answer is not HTTP/1.1"
        } else {
            "the connection was closed without an answer"
        })
    };
    let handshake = http1::Builder::new()
        .max_buf_size(MAX_HEAD_BYTES)
        .max_headers(MAX_HEADERS)
        .handshake(TokioIo::new(stream))
        .await;
    let (mut sender, connection) = handshake.map_err(broken)?;
    // Ends with this function, however that ends.
    let _connection = AbortOnDropHandle::new(tokio::spawn(connection));
    let response = sender.send_request(request).await.map_err(broken)?;
    let status = response.status();
    if status.is_success() {
        // The receiver said that it took it; what else it says changes nothing, and is not waited for.
        let _ = tokio::time::timeout(
            Duration::from_secs(1),
            Limited::new(response.into_body(), MAX_BODY_BYTES).collect(),
        )
        .await;
        return Ok(status.as_u16());
    }
    let found = if status.is_redirection() {
        format!("the answer was {}, a redirect, which is not followed", status.as_str())
    } else {
        format!("the answer was {}", status.as_str())
    };
    Err(PostError { found, status: Some(status.as_u16()) })
}

fn verifying(root_certificate_pem: Option<&[u8]>) -> Result<ClientConfig, PosterError> {
    let mut roots: Vec<CertificateDer<'static>> = Vec::new();
    if let Some(pem) = root_certificate_pem {
        for root in CertificateDer::pem_slice_iter(pem) {
            let root = root.map_err(|error| PosterError::Root(error.to_string()))?;
            RootCertStore::empty().add(root.clone()).map_err(|error| PosterError::Root(error.to_string()))?;
            roots.push(root);
        }
        if roots.is_empty() {
            return Err(PosterError::Root("no certificate in it".to_owned()));
        }
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let verifier = Verifier::new_with_extra_roots(roots, provider.clone()).map_err(PosterError::Tls)?;
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(PosterError::Tls)?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier))
        .with_no_client_auth();
    Ok(config)
}

#[cfg(test)]
mod tests;
