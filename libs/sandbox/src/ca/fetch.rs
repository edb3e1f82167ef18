//! The fetch of a validation, by Let's Encrypt's rules: at most 10 redirects, only http and https on their ports, a
//! short body.

use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use http::header::{CONNECTION, HOST, LOCATION, USER_AGENT};
use http::{Request, Response, Uri};
use http_body_util::{BodyExt, Empty, Limited};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use rustls_pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use super::problem::Problem;
use super::validation::{Validator, connection_problem};
use crate::tls;

const MAX_REDIRECTS: usize = 10;
/// A key authorization has 66 to 87 bytes.
const MAX_BODY_BYTES: usize = 128;

pub(super) struct Fetcher<'a> {
    pub(super) validator: &'a Validator,
    /// Rather than to what DNS says.
    pub(super) connect_to: Option<SocketAddr>,
}

/// The next URL to fetch.
pub(super) struct Target {
    is_https: bool,
    name: String,
    path: String,
}

impl Target {
    pub(super) fn first(name: &str, path: &str) -> Self {
        Self { is_https: false, name: name.to_owned(), path: path.to_owned() }
    }

    fn url(&self) -> String {
        format!("{}://{}{}", if self.is_https { "https" } else { "http" }, self.name, self.path)
    }

    /// Where a redirect leads.
    fn redirected(&self, location: &str, validator: &Validator) -> Result<Self, Problem> {
        let refuse = |why: &str| connection_problem(format!("Fetching {location}: {why}"));
        let uri: Uri = location.parse().map_err(|_| refuse("Invalid redirect"))?;
        let path = uri.path_and_query().map_or("/", http::uri::PathAndQuery::as_str).to_owned();
        let is_https = match uri.scheme_str() {
            None => self.is_https,
            Some("http") => false,
            Some("https") => true,
            Some(_) => return Err(refuse("Invalid protocol scheme in redirect target")),
        };
        let name = uri.host().unwrap_or(&self.name).to_ascii_lowercase();
        let expected = if is_https { [443, validator.https_port] } else { [80, validator.http_port] };
        if uri.port_u16().is_some_and(|port| !expected.contains(&port)) {
            return Err(refuse("Invalid port in redirect target. Only ports 80 and 443 are supported"));
        }
        if name.parse::<std::net::Ipv4Addr>().is_ok() || name.starts_with('[') {
            return Err(refuse("Invalid host in redirect target. Only domain names are supported"));
        }
        Ok(Self { is_https, name, path })
    }
}

/// The result of one request.
enum Fetched {
    Body(Bytes),
    Redirect(String),
}

impl Fetcher<'_> {
    pub(super) async fn fetch(&self, first: Target) -> Result<Bytes, Problem> {
        let mut target = first;
        for _ in 0..=MAX_REDIRECTS {
            match self.fetch_one(&target).await? {
                Fetched::Body(body) => return Ok(body),
                Fetched::Redirect(location) => target = target.redirected(&location, self.validator)?,
            }
        }
        Err(connection_problem(format!("Fetching {}: Too many redirects", target.url())))
    }

    async fn fetch_one(&self, target: &Target) -> Result<Fetched, Problem> {
        let port = if target.is_https { self.validator.https_port } else { self.validator.http_port };
        let address = match self.connect_to {
            Some(address) if !target.is_https => address,
            Some(address) => SocketAddr::new(address.ip(), port),
            None => SocketAddr::new(self.validator.address_of(&target.name).await?, port),
        };
        let failed =
            |why: &str| connection_problem(format!("{}: Fetching {}: {why}", address.ip(), target.url()));
        let exchange = async {
            let response = exchange(address, target).await.map_err(|failure| failed(failure.as_str()))?;
            read(address, target, response).await
        };
        match timeout(self.validator.patience, exchange).await {
            Ok(fetched) => fetched,
            Err(_) => Err(failed("Timeout during connect (likely firewall problem)")),
        }
    }
}

enum FetchError {
    Refused,
    Tls,
    Broken,
}

impl FetchError {
    fn as_str(&self) -> &'static str {
        match self {
            Self::Refused => "Connection refused",
            Self::Tls => "remote error: tls: handshake failure",
            Self::Broken => "Error getting validation data",
        }
    }
}

async fn exchange(address: SocketAddr, target: &Target) -> Result<Response<Incoming>, FetchError> {
    let stream = TcpStream::connect(address).await.map_err(|_| FetchError::Refused)?;
    let default_port = if target.is_https { 443 } else { 80 };
    let host = if address.port() == default_port {
        target.name.clone()
    } else {
        format!("{}:{}", target.name, address.port())
    };
    if !target.is_https {
        return get(stream, &host, &target.path).await;
    }
    let config = tls::client_accepting_any().map_err(|_| FetchError::Tls)?;
    let name = ServerName::try_from(target.name.clone()).map_err(|_| FetchError::Tls)?;
    let stream =
        TlsConnector::from(Arc::new(config)).connect(name, stream).await.map_err(|_| FetchError::Tls)?;
    get(stream, &host, &target.path).await
}

async fn get(
    stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
    host: &str,
    path: &str,
) -> Result<Response<Incoming>, FetchError> {
    let handshake = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await;
    let (mut sender, connection) = handshake.map_err(|_| FetchError::Broken)?;
    tokio::spawn(connection);
    let request = Request::get(path)
        .header(HOST, host)
        .header(USER_AGENT, "sandbox-ca (validation)")
        .header(CONNECTION, "close")
        .body(Empty::<Bytes>::new())
        .map_err(|_| FetchError::Broken)?;
    sender.send_request(request).await.map_err(|_| FetchError::Broken)
}

async fn read(
    address: SocketAddr,
    target: &Target,
    response: Response<Incoming>,
) -> Result<Fetched, Problem> {
    let invalid = |what: &str| {
        Problem::unauthorized(format!("{}: Invalid response from {}: {what}", address.ip(), target.url()))
    };
    let status = response.status();
    if status.is_redirection() {
        let location = response.headers().get(LOCATION).and_then(|location| location.to_str().ok());
        return location
            .map(|location| Fetched::Redirect(location.to_owned()))
            .ok_or_else(|| invalid("no Location"));
    }
    if !status.is_success() {
        return Err(invalid(status.as_str()));
    }
    let body = Limited::new(response.into_body(), MAX_BODY_BYTES).collect().await;
    body.map(|body| Fetched::Body(body.to_bytes()))
        .map_err(|_| invalid("the body is longer than 128 bytes or ended early"))
}
