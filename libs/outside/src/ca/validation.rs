//! Looking at a challenge for real (RFC 8555 section 8.3): resolve, fetch, compare.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use hickory_proto::op::{Message, Query};
use hickory_proto::rr::{Name, RData, RecordType};
use http::{Request, StatusCode, Uri, header};
use http_body_util::{BodyExt, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::net::{TcpStream, UdpSocket};

use super::control::ValidationResult;
use super::problem::Problem;
use super::state::{CaState, random_token};

const FETCH_WITHIN: Duration = Duration::from_secs(10);
const DNS_WITHIN: Duration = Duration::from_secs(5);
const MOST_BODY: usize = 128;
const MOST_REDIRECTS: usize = 10;

/// Looks at the challenge of an authorization and records what it saw.
pub(crate) async fn validate(
    state: Arc<CaState>,
    id: String,
    name: String,
    token: String,
    thumbprint: String,
) {
    let result = match state.validation(&name) {
        ValidationResult::Valid => Ok(()),
        ValidationResult::Never => return,
        ValidationResult::Invalid { problem, detail } => {
            Err(Problem::new(StatusCode::FORBIDDEN, &problem, detail))
        }
        ValidationResult::Real => {
            let wanted = format!("{token}.{thumbprint}");
            match tokio::time::timeout(FETCH_WITHIN, look(&state, &name, &token)).await {
                Ok(Ok(found)) if found.trim_ascii_end() == wanted.as_bytes() => Ok(()),
                Ok(Ok(_)) => Err(unauthorized("the response is not the key authorization")),
                Ok(Err(problem)) => Err(problem),
                Err(_) => Err(connection("no answer in time")),
            }
        }
    };
    state.validated(&id, result);
}

fn connection(detail: impl Into<String>) -> Problem {
    Problem::new(StatusCode::BAD_REQUEST, "connection", detail)
}

fn unauthorized(detail: impl Into<String>) -> Problem {
    Problem::new(StatusCode::FORBIDDEN, "unauthorized", detail)
}

async fn look(state: &CaState, name: &str, token: &str) -> Result<Bytes, Problem> {
    let mut host = name.to_owned();
    let mut path = format!("/.well-known/acme-challenge/{token}");
    for _ in 0..=MOST_REDIRECTS {
        let (status, location, body) = fetch(state, &host, &path).await?;
        match location {
            Some(location) if status.is_redirection() => {
                let target: Uri = location
                    .parse()
                    .map_err(|_| connection("a redirect to nowhere"))?;
                if let Some(next) = target.host() {
                    next.clone_into(&mut host);
                }
                path = target
                    .path_and_query()
                    .map_or("/".to_owned(), ToString::to_string);
            }
            _ if status == StatusCode::OK => return Ok(body),
            _ => {
                return Err(unauthorized(format!(
                    "Invalid response from http://{host}{path}: {status}"
                )));
            }
        }
    }
    Err(connection("too many redirects"))
}

async fn fetch(
    state: &CaState,
    host: &str,
    path: &str,
) -> Result<(StatusCode, Option<String>, Bytes), Problem> {
    let at = state.behaviour().validate_at;
    let address = match at {
        Some(address) => address,
        None => SocketAddr::new(resolve(state.options.dns, host).await?, state.options.http_port),
    };
    let failed = |error: &dyn std::fmt::Display| connection(format!("{address}: {error}"));
    let stream = TcpStream::connect(address)
        .await
        .map_err(|error| failed(&error))?;
    let (mut sender, driver) = http1::handshake(TokioIo::new(stream))
        .await
        .map_err(|error| failed(&error))?;
    tokio::spawn(driver);
    let host_header = match state.options.http_port {
        80 => host.to_owned(),
        port => format!("{host}:{port}"),
    };
    let request = Request::get(path)
        .header(header::HOST, host_header)
        .header(header::USER_AGENT, "sandbox-ca")
        .body(Body::empty())
        .map_err(|error| failed(&error))?;
    let (head, body) = sender
        .send_request(request)
        .await
        .map_err(|error| failed(&error))?
        .into_parts();
    let location = head
        .headers
        .get(header::LOCATION)
        .and_then(|value| value.to_str().ok())
        .map(str::to_owned);
    let body = Limited::new(body, MOST_BODY)
        .collect()
        .await
        .map_err(|_| unauthorized(format!("the response has over {MOST_BODY} bytes")))?;
    Ok((head.status, location, body.to_bytes()))
}

/// The first A record that the nameserver gives for the name, its CNAMEs followed.
async fn resolve(nameserver: Option<SocketAddr>, host: &str) -> Result<IpAddr, Problem> {
    let dns = |detail: String| Problem::new(StatusCode::BAD_REQUEST, "dns", detail);
    let Some(nameserver) = nameserver else {
        let mut addresses = tokio::net::lookup_host((host, 0))
            .await
            .map_err(|error| dns(format!("{host}: {error}")))?;
        return addresses
            .next()
            .map(|address| address.ip())
            .ok_or_else(|| dns(format!("{host}: no address")));
    };
    let message = match tokio::time::timeout(DNS_WITHIN, ask(nameserver, host)).await {
        Ok(Some(message)) => message,
        Ok(None) => return Err(dns(format!("DNS problem: no sense in the answer for {host}"))),
        Err(_) => return Err(dns(format!("DNS problem: no answer for {host}"))),
    };
    let address = message.answers.iter().find_map(|record| match &record.data {
        RData::A(address) => Some(IpAddr::V4(address.0)),
        _ => None,
    });
    address.ok_or_else(|| {
        dns(format!(
            "DNS problem: {} looking up A for {host}",
            message.metadata.response_code
        ))
    })
}

async fn ask(nameserver: SocketAddr, host: &str) -> Option<Message> {
    let name = Name::from_ascii(format!("{}.", host.trim_end_matches('.'))).ok()?;
    let mut question = Message::query();
    // Any unpredictable id will do; the nameserver is on loopback.
    question.metadata.id = u16::from_le_bytes(random_token().as_bytes()[..2].try_into().ok()?);
    question.metadata.recursion_desired = true;
    question.add_query(Query::query(name, RecordType::A));
    let socket = UdpSocket::bind((nameserver.ip(), 0)).await.ok()?;
    socket.send_to(&question.to_vec().ok()?, nameserver).await.ok()?;
    let mut buffer = [0; 4096];
    let (length, _) = socket.recv_from(&mut buffer).await.ok()?;
    Message::from_vec(&buffer[..length]).ok()
}
