//! The calls of the contract about one domain.

use std::fmt;
use std::net::IpAddr;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

use bytes::Bytes;
use domain::{CertificateId, DomainName, Gate, Outbound, Source};
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderValue};
use reqwest::{Method, RequestBuilder, Response, StatusCode, Url, redirect};
use zeroize::Zeroizing;

use crate::outside::{causes, retry_after, tidy_message};
use crate::{C4ConfigError, C4Domain, C4Error, tls, wire};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const ANSWER_TIMEOUT: Duration = Duration::from_secs(15);
const MAX_BODY_BYTES: usize = 64 * 1024;
const IDEMPOTENCY_KEY: &str = "idempotency-key";

/// Where C4 is and how to speak to it.
#[derive(Clone)]
pub struct C4Options {
    /// The base of the contract's paths.
    pub base_url: String,
    /// The bearer token.
    pub token: Zeroizing<String>,
    /// Roots to trust beside the machine's, PEM.
    pub root_certificate_pem: Option<Vec<u8>>,
}

impl fmt::Debug for C4Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("C4Options").field("base_url", &self.base_url).finish_non_exhaustive()
    }
}

/// An upload to C4.
#[derive(Clone, Copy)]
pub struct Upload<'a> {
    /// Our id of the certificate; the request's idempotency key.
    pub certificate: CertificateId,
    /// Leaf and intermediates, PEM, in order.
    pub certificate_pem: &'a str,
    /// PKCS #8 key, PEM.
    pub private_key_pem: &'a str,
    /// Lower-case hex SHA-256 of the leaf's DER.
    pub sha256: &'a str,
    /// Where it comes from.
    pub source: Source,
    /// Grows with uploads and removals of the name.
    pub revision: i64,
}

impl fmt::Debug for Upload<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Upload")
            .field("certificate", &self.certificate)
            .field("sha256", &self.sha256)
            .field("revision", &self.revision)
            .finish_non_exhaustive()
    }
}

/// The bearer token of a client; a new one counts from the next request on. Cheap to clone; no `Debug`.
#[derive(Clone)]
pub struct C4Token(Arc<RwLock<Zeroizing<String>>>);

impl C4Token {
    fn new(token: &str) -> Result<Self, C4ConfigError> {
        checked_token(token).map(|token| Self(Arc::new(RwLock::new(token))))
    }

    /// Puts another token in place of the one that is used now, which stays if that one cannot be used.
    pub fn replace(&self, token: &str) -> Result<(), C4ConfigError> {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = checked_token(token)?;
        Ok(())
    }

    fn get(&self) -> Zeroizing<String> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

fn checked_token(token: &str) -> Result<Zeroizing<String>, C4ConfigError> {
    let token = Zeroizing::new(token.trim().to_owned());
    if token.is_empty() || bearer(&token).is_none() {
        return Err(C4ConfigError::BadToken);
    }
    Ok(token)
}

/// Speaks to C4. One request per call; the connections are shared.
pub struct C4Client {
    http: reqwest::Client,
    base_url: Url,
    token: C4Token,
    gate: Option<Arc<dyn Gate>>,
}

impl fmt::Debug for C4Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("C4Client").field("base_url", &self.base_url.as_str()).finish_non_exhaustive()
    }
}

/// An answer whose body was read.
pub(crate) struct Answer {
    operation: &'static str,
    pub(crate) status: StatusCode,
    retry_after: Option<Duration>,
    pub(crate) body: Vec<u8>,
}

impl C4Client {
    /// Checks the settings; nothing is asked yet.
    pub fn new(options: C4Options) -> Result<Self, C4ConfigError> {
        Self::with_timeouts(options, CONNECT_TIMEOUT, ANSWER_TIMEOUT)
    }

    /// Like [`C4Client::new`], for tests that cannot wait that long.
    #[doc(hidden)]
    pub fn with_timeouts(
        options: C4Options,
        connect_within: Duration,
        answer_within: Duration,
    ) -> Result<Self, C4ConfigError> {
        let C4Options { base_url, token, root_certificate_pem } = options;
        let base_url = checked_url(&base_url)?;
        let is_https = base_url.scheme() == "https";
        let token = C4Token::new(&token)?;
        let tls =
            if is_https { tls::trusting(root_certificate_pem.as_deref())? } else { tls::trusting_nobody()? };
        let http = reqwest::Client::builder()
            .tls_backend_preconfigured(tls)
            .https_only(is_https)
            .no_proxy()
            .redirect(redirect::Policy::none())
            .connect_timeout(connect_within)
            .timeout(answer_within)
            .user_agent(concat!("ssl-manager/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(|source| C4ConfigError::Client { source: source.into() })?;
        Ok(Self { http, base_url, token, gate: None })
    }

    /// The same, with a gate that is asked before each request.
    #[must_use]
    pub fn behind(self, gate: Arc<dyn Gate>) -> Self {
        Self { gate: Some(gate), ..self }
    }

    /// Its token, to be replaced.
    pub fn token(&self) -> C4Token {
        self.token.clone()
    }

    /// C4's state of a name; none if C4 does not know the name.
    pub async fn domain(&self, name: &DomainName) -> Result<Option<C4Domain>, C4Error> {
        let request = self.request(Method::GET, self.url(&[name.as_str()]));
        let answer = self.send("asking for the domain", name, request).await?;
        match answer.status {
            StatusCode::OK => {
                wire::domain(name, &answer.body).map(Some).map_err(|detail| answer.could_not_ask(detail))
            }
            StatusCode::NOT_FOUND if wire::said(&answer.body).message.is_some() => Ok(None),
            _ => Err(self.no_answer(&answer)),
        }
    }

    /// Has C4 hold a certificate and its key.
    pub async fn put_certificate(&self, name: &DomainName, upload: Upload<'_>) -> Result<(), C4Error> {
        const OPERATION: &str = "uploading the certificate";
        let body = wire::upload(&upload).map_err(|error| C4Error::CouldNotAsk {
            operation: OPERATION,
            detail: format!("the request cannot be written: {error}"),
            retry_after: None,
        })?;
        let request = self
            .request(Method::PUT, self.url(&[name.as_str(), "certificate"]))
            .header(IDEMPOTENCY_KEY, upload.certificate.to_string())
            .header(CONTENT_TYPE, "application/json")
            .body(Bytes::from_owner(body));
        let answer = self.send(OPERATION, name, request).await?;
        self.accepted(&answer, &[upload.private_key_pem])
    }

    /// Has C4 hold no certificate for a name.
    pub async fn delete_certificate(&self, name: &DomainName, revision: i64) -> Result<(), C4Error> {
        let mut url = self.url(&[name.as_str(), "certificate"]);
        url.query_pairs_mut().append_pair("revision", &revision.to_string());
        let answer = self.send("removing the certificate", name, self.request(Method::DELETE, url)).await?;
        self.accepted(&answer, &[])
    }

    pub(crate) fn url(&self, path: &[&str]) -> Url {
        let mut url = self.base_url.clone();
        // Only URLs that cannot be a base have no path, and those were refused.
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().extend(["v1", "domains"]).extend(path);
        }
        url
    }

    pub(crate) fn request(&self, method: Method, url: Url) -> RequestBuilder {
        let mut headers = HeaderMap::new();
        if let Some(value) = bearer(&self.token.get()) {
            headers.insert(AUTHORIZATION, value);
        }
        self.http.request(method, url).headers(headers)
    }

    async fn send(
        &self,
        operation: &'static str,
        name: &DomainName,
        request: RequestBuilder,
    ) -> Result<Answer, C4Error> {
        self.send_within(operation, name.as_str(), request, MAX_BODY_BYTES).await
    }

    /// Sends a request about `name`, and reads at most so many bytes of the answer.
    pub(crate) async fn send_within(
        &self,
        operation: &'static str,
        name: &str,
        request: RequestBuilder,
        most_bytes: usize,
    ) -> Result<Answer, C4Error> {
        if let Some(gate) = &self.gate {
            gate.check(Outbound::C4, "").await?;
        }
        let could_not_ask = |detail| C4Error::CouldNotAsk { operation, detail, retry_after: None };
        let begun = Instant::now();
        let response = request.send().await;
        metrics::histogram!("ssl_manager_c4_request_seconds").record(begun.elapsed());
        let response = response.map_err(failure);
        if let Some(gate) = &self.gate {
            gate.answered(Outbound::C4, response.as_ref().map_err(Clone::clone).and_then(works));
        }
        let response = response.map_err(could_not_ask)?;
        let (status, retry_after) = (response.status(), retry_after(response.headers()));
        tracing::debug!(operation, domain = %name, status = status.as_u16(), "C4 answered");
        let body = bounded_body(response, most_bytes).await.map_err(|detail| C4Error::CouldNotAsk {
            operation,
            detail,
            retry_after,
        })?;
        Ok(Answer { operation, status, retry_after, body })
    }

    /// Interprets the answer to an upload or a removal.
    fn accepted(&self, answer: &Answer, secrets: &[&str]) -> Result<(), C4Error> {
        let said = wire::said(&answer.body);
        match answer.status {
            StatusCode::OK | StatusCode::NO_CONTENT => Ok(()),
            StatusCode::NOT_FOUND if said.message.is_some() => Err(C4Error::UnknownDomain),
            StatusCode::CONFLICT if said.is_stale => Err(C4Error::Stale),
            status if says_nothing(status) => Err(self.no_answer(answer)),
            status => Err(C4Error::Refused {
                status: status.as_u16(),
                message: self.tidy(said.message.as_deref().unwrap_or_default(), secrets),
            }),
        }
    }

    pub(crate) fn no_answer(&self, answer: &Answer) -> C4Error {
        let status = answer.status.as_u16();
        answer.could_not_ask(match answer.status {
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
                format!("status {status}: C4 does not accept our token")
            }
            StatusCode::NOT_FOUND => {
                "status 404 without the contract's body: is c4.base_url right?".to_owned()
            }
            code if code.is_redirection() => format!("status {status}: redirects are not followed"),
            _ => match wire::said(&answer.body).message {
                Some(message) => format!("status {status}: {}", self.tidy(&message, &[])),
                None => format!("status {status}"),
            },
        })
    }

    fn tidy(&self, message: &str, secrets: &[&str]) -> String {
        tidy_message(message, &[secrets, &[self.token.get().as_str()]].concat())
    }
}

impl Answer {
    pub(crate) fn could_not_ask(&self, detail: String) -> C4Error {
        C4Error::CouldNotAsk { operation: self.operation, detail, retry_after: self.retry_after }
    }
}

/// Whether a status says nothing about the upload itself: the way there is broken, or C4 is.
fn says_nothing(status: StatusCode) -> bool {
    let about_the_way = [
        StatusCode::UNAUTHORIZED,
        StatusCode::FORBIDDEN,
        StatusCode::NOT_FOUND,
        StatusCode::METHOD_NOT_ALLOWED,
        StatusCode::PROXY_AUTHENTICATION_REQUIRED,
        StatusCode::REQUEST_TIMEOUT,
        StatusCode::TOO_EARLY,
        StatusCode::TOO_MANY_REQUESTS,
    ];
    !status.is_client_error() || about_the_way.contains(&status)
}

/// Whether C4 itself works and takes our token, as far as an answer says so.
fn works(response: &Response) -> Result<(), String> {
    match response.status() {
        status @ (StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN) => {
            Err(format!("status {}: C4 does not accept our token", status.as_u16()))
        }
        status if status.is_server_error() => Err(format!("status {}", status.as_u16())),
        _ => Ok(()),
    }
}

fn failure(error: reqwest::Error) -> String {
    if error.is_timeout() { "no answer in time".to_owned() } else { causes(error) }
}

async fn bounded_body(mut response: Response, most_bytes: usize) -> Result<Vec<u8>, String> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(failure)? {
        if body.len() + chunk.len() > most_bytes {
            return Err(format!("an answer of more than {most_bytes} bytes"));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

fn bearer(token: &str) -> Option<HeaderValue> {
    let text = Zeroizing::new(format!("Bearer {token}"));
    let mut value = HeaderValue::from_str(&text).ok()?;
    value.set_sensitive(true);
    Some(value)
}

fn checked_url(text: &str) -> Result<Url, C4ConfigError> {
    let bad = |problem: &str| C4ConfigError::BadUrl { problem: problem.to_owned() };
    let url = Url::parse(text.trim()).map_err(|error| bad(&error.to_string()))?;
    if !url.username().is_empty() || url.password().is_some() {
        return Err(bad("user and password in the URL: use c4.token_file"));
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err(bad("no query and no fragment, please"));
    }
    match (url.scheme(), url.host_str()) {
        ("https", Some(_)) => Ok(url),
        ("http", Some(host)) if is_loopback(host) => Ok(url),
        ("http", Some(_)) => Err(C4ConfigError::InsecureUrl { url: url.to_string() }),
        _ => Err(bad("write https://host/path")),
    }
}

fn is_loopback(host: &str) -> bool {
    let address = host.trim_matches(['[', ']']).parse::<IpAddr>();
    host == "localhost" || address.is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(base_url: &str, token: &str) -> C4Options {
        let token = Zeroizing::new(token.to_owned());
        C4Options { base_url: base_url.to_owned(), token, root_certificate_pem: None }
    }

    #[test]
    fn keys_travel_over_https_or_loopback_only() {
        for url in ["http://127.0.0.1:80", "http://127.9.9.9", "http://[::1]:8080/c4/", "http://LOCALHOST"] {
            assert!(C4Client::new(options(url, "t")).is_ok(), "{url}");
        }
        for url in [
            "http://c4.example.net",
            "http://10.0.0.1",
            "http://localhost.evil.net",
            "http://127.0.0.1.evil.net",
            "http://[::2]",
        ] {
            let error = C4Client::new(options(url, "t")).unwrap_err();
            assert!(matches!(error, C4ConfigError::InsecureUrl { .. }), "{url}: {error}");
        }
        for url in [
            "",
            "c4.example.net",
            "ftp://c4",
            "https://u:p@c4.example.net",
            "https://c4.example.net/?x=1",
            "data:,x",
        ] {
            let error = C4Client::new(options(url, "t")).unwrap_err();
            assert!(matches!(error, C4ConfigError::BadUrl { .. }), "{url}: {error}");
        }
    }

    #[test]
    fn paths_are_put_under_the_base() {
        for base in ["http://localhost/c4", "http://localhost/c4/"] {
            let client = C4Client::new(options(base, "t")).unwrap();
            assert_eq!(client.url(&["a.example.com"]).path(), "/c4/v1/domains/a.example.com");
        }
    }

    #[test]
    fn the_token_shows_nowhere_and_must_fit_a_header() {
        let options = options("http://localhost", " very-secret-token\n");
        assert!(!format!("{options:?}").contains("secret"));
        let client = C4Client::new(options).unwrap();
        assert!(!format!("{client:?}").contains("secret"));
        assert_eq!(bearer(&client.token().get()).unwrap(), "Bearer very-secret-token");
        assert!(!format!("{:?}", client.request(Method::GET, client.url(&[]))).contains("secret"));
        for token in ["", " \n", "a\nb", "a\0b"] {
            let error = C4Client::new(self::options("http://localhost", token)).unwrap_err();
            assert!(matches!(error, C4ConfigError::BadToken), "{token:?}");
            assert!(client.token().replace(token).is_err(), "{token:?}");
        }
        assert_eq!(*client.token().get(), "very-secret-token", "a bad one changes nothing");
        client.token().replace("another\n").unwrap();
        assert_eq!(*client.token().get(), "another");
    }

    #[test]
    fn an_extra_root_must_be_a_certificate() {
        for pem in ["", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"] {
            let mut options = options("https://c4.example.net", "t");
            options.root_certificate_pem = Some(pem.into());
            let error = C4Client::new(options).unwrap_err();
            assert!(matches!(error, C4ConfigError::BadRootCertificate { .. }), "{error}");
        }
    }
}
