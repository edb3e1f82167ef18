//! One CA as all issuances of a process share it: connections, directory, nonces.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use domain::{Clock, Gate, Outbound};
use http::{HeaderMap, Method, StatusCode, Uri};
use jiff::{SignedDuration, Timestamp};
use serde::Deserialize;
use zeroize::Zeroizing;

use crate::AcmeError;
use crate::error::clean;
use crate::lenient;
use crate::nonces::Nonces;
use crate::problem::Problem;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const MAX_BODY: usize = 256 * 1024;
const DIRECTORY_TTL: SignedDuration = SignedDuration::from_hours(1);
/// Longest wait that a CA may impose by Retry-After.
const MAX_RETRY_AFTER: Duration = Duration::from_hours(24);
/// Pauses before a request whose answer was lost is sent again.
const RESEND_PAUSES: [Duration; 2] = [Duration::from_millis(250), Duration::from_secs(1)];
/// Let's Encrypt answers new-order and finalize within seconds as a rule; other CAs validate, check CAA or sign before
/// they answer, and a request that is given up too early is an order too many.
const CHANGE_TIMEOUT: Duration = Duration::from_mins(3);
const POLL_TIMEOUT: Duration = Duration::from_secs(30);

/// How long a CA may take for an answer.
#[derive(Clone, Copy)]
pub(crate) enum Patience {
    /// A look at something that is there.
    Look,
    /// new-account, new-order, finalize and their like, which the CA may work on before it answers.
    Change,
}

/// External account binding (RFC 8555 section 7.3.4).
#[derive(Clone)]
pub struct ExternalAccountBinding {
    /// Key identifier that the CA gave.
    pub key_id: String,
    /// HMAC key that the CA gave.
    pub hmac_key: Zeroizing<Vec<u8>>,
}

/// How to reach a CA, and our account there.
#[derive(Clone, Default)]
pub struct CaOptions {
    /// Our name for it; accounts belong to it.
    pub name: String,
    /// Its directory, https.
    pub directory_url: String,
    /// Contact addresses of the account, as `mailto:` URLs.
    pub contact: Vec<String>,
    /// Profile to order; none is its default.
    pub profile: Option<String>,
    /// One more root to trust for its API, PEM.
    pub root_certificate_pem: Option<Vec<u8>>,
    /// Where the CA wants one.
    pub external_account_binding: Option<ExternalAccountBinding>,
    /// How long it may take over new-account, new-order and finalize; none is three minutes.
    pub change_timeout: Option<Duration>,
    /// How long it may take for any other answer; none is 30 s.
    pub look_timeout: Option<Duration>,
}

/// A CA.
pub struct Ca {
    pub(crate) options: CaOptions,
    pub(crate) nonces: Nonces,
    pub(crate) clock: Arc<dyn Clock>,
    http: reqwest::Client,
    origin: Origin,
    directory: Mutex<Option<(Timestamp, Bytes)>>,
    gate: Option<Arc<dyn Gate>>,
}

/// The members of a directory that we read ourselves (RFC 8555 section 7.1.1).
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

impl Answer {
    /// Its `Location`, which may be a reference relative to the URL that was asked (RFC 9110 section 10.2.2).
    pub(crate) fn location(&self, asked: &str) -> Option<String> {
        let location = self.headers.get(http::header::LOCATION)?.to_str().ok()?;
        lenient::resolve(asked, location)
    }
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
            .connect_timeout(CONNECT_TIMEOUT)
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
        let (nonces, directory) = (Nonces::default(), Mutex::default());
        Ok(Self { options, nonces, clock, http, origin, directory, gate: None })
    }

    /// The same, with a gate that is asked before each request.
    #[must_use]
    pub fn behind(self, gate: Arc<dyn Gate>) -> Self {
        Self { gate: Some(gate), ..self }
    }

    /// Whether requests may be sent now. [`AcmeError::Paused`] if an operator has paused them.
    pub async fn may_send(&self) -> Result<(), AcmeError> {
        match &self.gate {
            Some(gate) => Ok(gate.check(Outbound::Ca, &self.options.name).await?),
            None => Ok(()),
        }
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
            && now.duration_since(*fetched_at) < DIRECTORY_TTL
        {
            return Ok(body.clone());
        }
        let url = &self.options.directory_url;
        let answer =
            self.send_safely(Method::GET, url, HeaderMap::new(), Bytes::new(), Patience::Look).await?;
        if !answer.status.is_success() {
            return Err(self.problem(&answer));
        }
        let body = lenient::directory(url, &answer.body)?;
        *self.directory.lock().unwrap_or_else(PoisonError::into_inner) = Some((now, body.clone()));
        Ok(body)
    }

    pub(crate) async fn directory(&self) -> Result<Directory, AcmeError> {
        parse_directory(&self.directory_body().await?)
    }

    /// The CA's names in CAA records, from its directory (RFC 8555 section 7.1.1).
    pub async fn caa_identities(&self) -> Result<Vec<String>, AcmeError> {
        Ok(self.directory().await?.meta.caa_identities)
    }

    /// A nonce, from the pool or from the CA.
    pub(crate) async fn nonce(&self, directory: &Directory) -> Result<String, AcmeError> {
        if let Some(nonce) = self.nonces.take() {
            return Ok(nonce);
        }
        let url = &directory.new_nonce;
        let answer =
            self.send_safely(Method::HEAD, url, HeaderMap::new(), Bytes::new(), Patience::Look).await?;
        if !answer.status.is_success() {
            return Err(self.problem(&answer));
        }
        // Taken from its own answer, not from the pool, where another request might be faster.
        self.nonces.take().ok_or_else(|| AcmeError::Nonsense("new-nonce gave no nonce".into()))
    }

    /// Like [`Ca::send`], and sends the request again at once where the connection broke before the answer was there.
    ///
    /// For every request but new-order, which would place a second order: of the others the second does no harm. If the CA
    /// saw the first, it refuses the nonce of the second, and the request is signed anew.
    pub(crate) async fn send_safely(
        &self,
        method: Method,
        url: &str,
        headers: HeaderMap,
        body: Bytes,
        patience: Patience,
    ) -> Result<Answer, AcmeError> {
        for pause in RESEND_PAUSES {
            match self.send(method.clone(), url, headers.clone(), body.clone(), patience).await {
                Err(AcmeError::Lost(_)) => self.clock.sleep(pause).await,
                answered => return answered,
            }
        }
        self.send(method, url, headers, body, patience).await
    }

    /// Sends a request to the directory's origin and reads the bounded answer. Its nonce goes to the pool.
    pub(crate) async fn send(
        &self,
        method: Method,
        url: &str,
        headers: HeaderMap,
        body: Bytes,
        patience: Patience,
    ) -> Result<Answer, AcmeError> {
        let uri: Uri = url.parse().map_err(|_| AcmeError::Nonsense("a URL that is none".into()))?;
        if Origin::of(&uri).as_ref() != Some(&self.origin) {
            return Err(AcmeError::Nonsense("a URL of another origin than its directory's".into()));
        }
        self.may_send().await?;
        let timeout = match patience {
            Patience::Look => self.options.look_timeout.unwrap_or(POLL_TIMEOUT),
            Patience::Change => self.options.change_timeout.unwrap_or(CHANGE_TIMEOUT),
        };
        let request = self.http.request(method, url).headers(headers).body(body).timeout(timeout);
        let begun = Instant::now();
        let answer = self.exchange(request).await;
        metrics::histogram!("ssl_manager_ca_request_seconds", "issuer" => self.options.name.clone())
            .record(begun.elapsed());
        answer
    }

    async fn exchange(&self, request: reqwest::RequestBuilder) -> Result<Answer, AcmeError> {
        let mut response = request.send().await.map_err(unreachable)?;
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(unreachable)? {
            if body.len() + chunk.len() > MAX_BODY {
                return Err(AcmeError::Nonsense(format!("a body over {MAX_BODY} bytes")));
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
        let retry_after = self.retry_after(&answer.headers);
        let status = answer.status.as_u16();
        AcmeError::Problem(Box::new(Problem::of_answer(status, &answer.headers, &answer.body, retry_after)))
    }

    /// How long an answer asks us to wait (RFC 9110 section 10.2.3), bounded; the longest, where it says so twice.
    pub(crate) fn retry_after(&self, headers: &HeaderMap) -> Option<Duration> {
        let now = self.clock.now();
        let waits = headers.get_all(http::header::RETRY_AFTER).iter().filter_map(|value| value.to_str().ok());
        waits.filter_map(|text| wait(text.trim(), now)).max()
    }
}

/// A number of seconds, however many digits it has, or a date.
fn wait(text: &str, now: Timestamp) -> Option<Duration> {
    let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let wait = if is_number {
        text.parse().map_or(MAX_RETRY_AFTER, Duration::from_secs)
    } else {
        let until = jiff::fmt::rfc2822::DateTimeParser::new().parse_timestamp(text).ok()?;
        Duration::try_from(until.duration_since(now)).unwrap_or_default()
    };
    Some(wait.min(MAX_RETRY_AFTER))
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
    let was_connected = !error.is_connect();
    let mut cause: &dyn std::error::Error = &error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    let cause = clean(&cause.to_string());
    if was_connected { AcmeError::Lost(cause) } else { AcmeError::Unreachable(cause) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_is_bounded_whatever_it_says() {
        let now: Timestamp = "2026-11-29T12:00:00Z".parse().unwrap();
        for (text, seconds) in [
            ("0", Some(0)),
            ("7", Some(7)),
            ("99999999999", Some(86_400)),
            ("99999999999999999999999999", Some(86_400)),
            ("Sun, 29 Nov 2026 12:01:00 GMT", Some(60)),
            ("Sun, 29 Nov 2020 12:01:00 GMT", Some(0)),
            ("Wed, 29 Nov 9000 12:01:00 GMT", None),
            ("-1", None),
            ("1.5", None),
            ("soon", None),
            ("", None),
        ] {
            let wait = wait(text, now).map(|wait| wait.as_secs());
            if text.contains("9000") {
                assert!(wait.is_none_or(|wait| wait == 86_400), "{text}");
            } else {
                assert_eq!(wait, seconds, "{text}");
            }
        }
    }
}
