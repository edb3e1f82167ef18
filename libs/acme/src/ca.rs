//! One CA as all issuances of a process share it: connections, directory, nonces.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use domain::Clock;
use http::{HeaderMap, Method, StatusCode, Uri};
use jiff::{SignedDuration, Timestamp};
use serde::Deserialize;
use zeroize::Zeroizing;

use crate::AcmeError;
use crate::error::clean;
use crate::nonces::Nonces;

const CONNECT_WITHIN: Duration = Duration::from_secs(5);
const ANSWER_WITHIN: Duration = Duration::from_secs(30);
const MOST_BODY: usize = 256 * 1024;
const DIRECTORY_LIVES: SignedDuration = SignedDuration::from_hours(1);
/// Longest wait that a CA may impose by Retry-After.
const MOST_RETRY_AFTER: Duration = Duration::from_hours(24);

/// External account binding (RFC 8555 section 7.3.4).
#[derive(Clone)]
pub struct ExternalAccountBinding {
    /// Key identifier that the CA gave.
    pub key_id: String,
    /// HMAC key that the CA gave.
    pub hmac_key: Zeroizing<Vec<u8>>,
}

/// How to reach a CA and who we are to it.
#[derive(Clone, Default)]
pub struct CaOptions {
    /// Our name for it; accounts belong to it.
    pub name: String,
    /// Its directory, https.
    pub directory_url: String,
    /// Whom it may write to, as `mailto:` URLs.
    pub contact: Vec<String>,
    /// Profile to order; none is its default.
    pub profile: Option<String>,
    /// One more root to trust for its API, PEM.
    pub root_certificate_pem: Option<Vec<u8>>,
    /// Where the CA wants one.
    pub external_account_binding: Option<ExternalAccountBinding>,
}

/// A CA.
pub struct Ca {
    pub(crate) options: CaOptions,
    pub(crate) nonces: Nonces,
    pub(crate) clock: Arc<dyn Clock>,
    http: reqwest::Client,
    origin: Origin,
    directory: Mutex<Option<(Timestamp, Bytes)>>,
}

/// What we read of a directory ourselves (RFC 8555 section 7.1.1).
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Directory {
    pub(crate) new_nonce: String,
    pub(crate) new_account: String,
    pub(crate) new_order: String,
    pub(crate) key_change: Option<String>,
    pub(crate) renewal_info: Option<String>,
    #[serde(default)]
    meta: Meta,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Meta {
    caa_identities: Vec<String>,
}

/// An answer with its body read.
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

#[derive(PartialEq, Eq)]
struct Origin {
    host: String,
    port: u16,
}

impl Origin {
    fn of(uri: &Uri) -> Option<Self> {
        if uri.scheme_str() != Some("https") {
            return None;
        }
        Some(Self { host: uri.host()?.to_ascii_lowercase(), port: uri.port_u16().unwrap_or(443) })
    }
}

impl Ca {
    /// A client for that CA. Nothing is sent yet.
    pub fn new(options: CaOptions, clock: Arc<dyn Clock>) -> Result<Self, AcmeError> {
        let local = |what: String| AcmeError::Local(format!("issuer {}: {what}", options.name));
        let uri: Uri = options.directory_url.parse().map_err(|_| local("directory_url is no URL".into()))?;
        let origin = Origin::of(&uri).ok_or_else(|| local("directory_url must be https".into()))?;
        let mut builder = reqwest::Client::builder()
            .https_only(true)
            .redirect(reqwest::redirect::Policy::none())
            .connect_timeout(CONNECT_WITHIN)
            .timeout(ANSWER_WITHIN)
            .user_agent(concat!("ssl-manager/", env!("CARGO_PKG_VERSION")));
        if let Some(pem) = &options.root_certificate_pem {
            let roots = reqwest::Certificate::from_pem_bundle(pem)
                .map_err(|_| local("root_certificate_file is no PEM certificate".into()))?;
            if roots.is_empty() {
                return Err(local("root_certificate_file has no certificate".into()));
            }
            builder = builder.tls_certs_merge(roots);
        }
        let http = builder.build().map_err(|error| local(format!("no https client: {error}")))?;
        Ok(Self { options, nonces: Nonces::default(), clock, http, origin, directory: Mutex::default() })
    }

    /// Our name for it.
    pub fn name(&self) -> &str {
        &self.options.name
    }

    /// Its directory.
    pub fn directory_url(&self) -> &str {
        &self.options.directory_url
    }

    /// The directory's body, fetched at most once an hour.
    pub(crate) async fn directory_body(&self) -> Result<Bytes, AcmeError> {
        let now = self.clock.now();
        if let Some((fetched_at, body)) = &*self.directory.lock().unwrap_or_else(PoisonError::into_inner)
            && now.duration_since(*fetched_at) < DIRECTORY_LIVES
        {
            return Ok(body.clone());
        }
        let answer =
            self.send(Method::GET, &self.options.directory_url, HeaderMap::new(), Bytes::new()).await?;
        if !answer.status.is_success() {
            return Err(self.problem(&answer));
        }
        parse_directory(&answer.body)?;
        *self.directory.lock().unwrap_or_else(PoisonError::into_inner) = Some((now, answer.body.clone()));
        Ok(answer.body)
    }

    pub(crate) async fn directory(&self) -> Result<Directory, AcmeError> {
        parse_directory(&self.directory_body().await?)
    }

    /// What CAA records must name for it to issue, as its directory says (RFC 8555 section 7.1.1).
    pub async fn caa_identities(&self) -> Result<Vec<String>, AcmeError> {
        Ok(self.directory().await?.meta.caa_identities)
    }

    /// A nonce, from the pool or from the CA.
    pub(crate) async fn nonce(&self, directory: &Directory) -> Result<String, AcmeError> {
        if let Some(nonce) = self.nonces.take() {
            return Ok(nonce);
        }
        let answer = self.send(Method::HEAD, &directory.new_nonce, HeaderMap::new(), Bytes::new()).await?;
        if !answer.status.is_success() {
            return Err(self.problem(&answer));
        }
        // Taken from its own answer, not from the pool, where another request might be faster.
        self.nonces.take().ok_or_else(|| AcmeError::Nonsense("new-nonce gave no nonce".into()))
    }

    /// Sends a request to the directory's origin and reads the bounded answer. Its nonce goes to the pool.
    pub(crate) async fn send(
        &self,
        method: Method,
        url: &str,
        headers: HeaderMap,
        body: Bytes,
    ) -> Result<Answer, AcmeError> {
        let uri: Uri = url.parse().map_err(|_| AcmeError::Nonsense("a URL that is none".into()))?;
        if Origin::of(&uri).as_ref() != Some(&self.origin) {
            return Err(AcmeError::Nonsense("a URL of another origin than its directory's".into()));
        }
        let request = self.http.request(method, url).headers(headers).body(body);
        let mut response = request.send().await.map_err(unreachable)?;
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(unreachable)? {
            if body.len() + chunk.len() > MOST_BODY {
                return Err(AcmeError::Nonsense(format!("a body over {MOST_BODY} bytes")));
            }
            body.extend_from_slice(&chunk);
        }
        let mut headers = std::mem::take(response.headers_mut());
        if let Some(nonce) = headers.remove("replay-nonce")
            && let Ok(nonce) = nonce.to_str()
        {
            self.nonces.put(nonce.to_owned());
        }
        Ok(Answer { status: response.status(), headers, body: body.into() })
    }

    /// The error that an answer without success is.
    pub(crate) fn problem(&self, answer: &Answer) -> AcmeError {
        let status = answer.status.as_u16();
        let retry_after = self.retry_after(&answer.headers);
        match serde_json::from_slice::<instant_acme::Problem>(&answer.body) {
            Ok(problem) => AcmeError::problem(&problem, status, retry_after),
            Err(_) => AcmeError::Problem {
                status,
                problem: "unexplained".to_owned(),
                detail: clean(answer.status.canonical_reason().unwrap_or("no reason given")),
                retry_after,
            },
        }
    }

    /// How long an answer asks us to wait (RFC 9110 section 10.2.3), bounded.
    pub(crate) fn retry_after(&self, headers: &HeaderMap) -> Option<Duration> {
        let text = headers.get(http::header::RETRY_AFTER)?.to_str().ok()?.trim();
        let wait = if let Ok(seconds) = text.parse::<u64>() {
            Duration::from_secs(seconds)
        } else {
            let until = jiff::fmt::rfc2822::DateTimeParser::new().parse_timestamp(text).ok()?;
            Duration::try_from(until.duration_since(self.clock.now())).unwrap_or_default()
        };
        Some(wait.min(MOST_RETRY_AFTER))
    }
}

fn parse_directory(body: &[u8]) -> Result<Directory, AcmeError> {
    serde_json::from_slice(body).map_err(|error| AcmeError::Nonsense(format!("directory: {error}")))
}

/// The innermost cause says what happened ("connection refused"); the outer ones repeat the URL.
#[expect(clippy::needless_pass_by_value, reason = "the shape that map_err takes")]
fn unreachable(error: reqwest::Error) -> AcmeError {
    if error.is_timeout() {
        return AcmeError::Unreachable("no answer in time".to_owned());
    }
    let mut cause: &dyn std::error::Error = &error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    AcmeError::Unreachable(clean(&cause.to_string()))
}
