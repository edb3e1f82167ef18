//! One request over one connection, and its answer.

use std::net::IpAddr;
use std::sync::Arc;

use bytes::Bytes;
use http::header::{ACCEPT, CONNECTION, HOST, LOCATION, USER_AGENT};
use http::{HeaderValue, Request, Response, StatusCode};
use http_body_util::{BodyExt, Empty, LengthLimitError, Limited};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls_pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_util::task::AbortOnDropHandle;

use crate::fetch_error::FetchError;
use crate::target::Target;

const MAX_HEAD_BYTES: usize = 16 * 1024;
const MAX_HEADERS: usize = 100;
/// The only ones that a CA may follow (CA/Browser Forum Baseline Requirements section 3.2.2.4.19): not 303.
const REDIRECTS: [StatusCode; 4] = [
    StatusCode::MOVED_PERMANENTLY,
    StatusCode::FOUND,
    StatusCode::TEMPORARY_REDIRECT,
    StatusCode::PERMANENT_REDIRECT,
];
const AGENT: &str = concat!("ssl-manager/", env!("CARGO_PKG_VERSION"), " (rehearsal)");

/// The result of one request.
pub(crate) enum Answer {
    Body(Bytes),
    Redirect(HeaderValue),
}

/// Asks for the target over a connection to its host, and reads a body of at most so many bytes.
pub(crate) async fn ask(
    stream: TcpStream,
    target: &Target,
    tls: &Arc<ClientConfig>,
    most_bytes: usize,
) -> Result<Answer, FetchError> {
    // Behind a redirect the address is withheld: the sender of the redirect could learn addresses of our network.
    let site = stream.peer_addr().ok().filter(|_| target.is_first()).map(|peer| peer.ip());
    if !target.is_https() {
        return get(stream, target, site, most_bytes).await;
    }
    let name = ServerName::DnsName(target.host().clone());
    let stream = TlsConnector::from(tls.clone()).connect(name, stream).await;
    let stream = stream.map_err(|_| FetchError::site("the TLS handshake failed"))?;
    get(stream, target, site, most_bytes).await
}

/// `site`: the address to name in an error about the status.
async fn get(
    stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
    target: &Target,
    site: Option<IpAddr>,
    most_bytes: usize,
) -> Result<Answer, FetchError> {
    let request = Request::get(target.path_and_query())
        .header(HOST, target.authority())
        .header(USER_AGENT, AGENT)
        // Firewalls of some sites reject requests without one; CAs send this one.
        .header(ACCEPT, "*/*")
        .header(CONNECTION, "close")
        .body(Empty::<Bytes>::new())
        .map_err(|_| FetchError::site("it redirects to something that is no URL"))?;
    let handshake = http1::Builder::new()
        .max_buf_size(MAX_HEAD_BYTES)
        .max_headers(MAX_HEADERS)
        .handshake(TokioIo::new(stream))
        .await;
    let (mut sender, connection) = handshake.map_err(|error| broken(&error))?;
    // Ends with this function, however that ends.
    let _connection = AbortOnDropHandle::new(tokio::spawn(connection));
    let response = sender.send_request(request).await.map_err(|error| broken(&error))?;
    read(response, site, most_bytes).await
}

async fn read(
    response: Response<Incoming>,
    site: Option<IpAddr>,
    most_bytes: usize,
) -> Result<Answer, FetchError> {
    let status = response.status();
    let answers = |status: StatusCode| match site {
        Some(site) => format!("{site} answers with {}", status.as_str()),
        None => format!("the answer was {}", status.as_str()),
    };
    if REDIRECTS.contains(&status) {
        let location = response.headers().get(LOCATION).cloned();
        return location
            .map(Answer::Redirect)
            .ok_or_else(|| FetchError::site("it redirects without saying where to"));
    }
    if status.is_redirection() {
        return Err(FetchError::Site(format!("{}, which CAs do not follow", answers(status))));
    }
    if status != StatusCode::OK {
        return Err(FetchError::Site(answers(status)));
    }
    match Limited::new(response.into_body(), most_bytes).collect().await {
        Ok(body) => Ok(Answer::Body(body.to_bytes())),
        Err(error) if error.is::<LengthLimitError>() => {
            Err(FetchError::Site(format!("another body came back (over {most_bytes} bytes)")))
        }
        Err(_) => Err(FetchError::site("the answer broke off")),
    }
}

fn broken(error: &hyper::Error) -> FetchError {
    FetchError::site(if error.is_parse_too_large() {
        "the answer has too many or too long headers"
    } else if error.is_parse() {
        "the answer is not HTTP/1.1"
    } else {
        "the connection was closed without an answer"
    })
}
