//! HTTP towards the provider: no redirects, bounded time and bodies, https everywhere but on loopback.

use std::net::IpAddr;
use std::time::Duration;

use reqwest::header::{ACCEPT, CONTENT_TYPE, HeaderMap};
use reqwest::{RequestBuilder, StatusCode, redirect};
use serde_json::{Map, Value};
use url::{Host, Url, form_urlencoded};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// For a whole exchange, the body included.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(5);
const MAX_BODY_BYTES: usize = 256 * 1024;
const JSON: &str = "application/json";
/// The content type that some providers give their key set.
const KEY_SET: &str = "application/jwk-set+json";
const FORM: &str = "application/x-www-form-urlencoded";

/// Why the provider did not answer.
#[derive(Debug, thiserror::Error)]
pub enum HttpError {
    /// The client cannot be made.
    #[error("no client for the OpenID provider: {0}")]
    Client(String),
    /// The root certificate is none.
    #[error("is no PEM certificate")]
    Root,
    /// The provider names an address that must not be asked.
    #[error("the provider's address is neither https nor on loopback")]
    Address,
    /// No connection, no answer in time, or one that broke off.
    #[error("no answer from the provider")]
    Request(#[source] reqwest::Error),
    /// The answer is longer than the limit.
    #[error("the provider's answer is over {MAX_BODY_BYTES} bytes")]
    TooLarge,
    /// The answer has another status than 200.
    #[error("the provider answers {0}")]
    Status(StatusCode),
    /// The answer is no JSON object.
    #[error("the provider's answer is no JSON object")]
    NotJson,
}

/// A client for the provider.
#[derive(Clone, Debug)]
pub struct Http(reqwest::Client);

/// The provider's answer, with any status.
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    is_json: bool,
    body: Vec<u8>,
}

impl Answer {
    /// The object in the body.
    pub(crate) fn object(&self) -> Result<Map<String, Value>, HttpError> {
        if !self.is_json {
            return Err(HttpError::NotJson);
        }
        serde_json::from_slice(&self.body).map_err(|_| HttpError::NotJson)
    }
}

impl Http {
    /// A client that trusts the machine's roots and those in `root_certificate_pem`.
    pub fn new(root_certificate_pem: Option<&[u8]>) -> Result<Self, HttpError> {
        let mut builder = reqwest::Client::builder()
            .redirect(redirect::Policy::none())
            .connect_timeout(CONNECT_TIMEOUT)
            .timeout(REQUEST_TIMEOUT)
            .user_agent(concat!("ssl-manager/", env!("CARGO_PKG_VERSION")));
        if let Some(pem) = root_certificate_pem {
            let roots = reqwest::Certificate::from_pem_bundle(pem).map_err(|_| HttpError::Root)?;
            if roots.is_empty() {
                return Err(HttpError::Root);
            }
            builder = builder.tls_certs_merge(roots);
        }
        let client = builder.build();
        client.map(Self).map_err(|error| HttpError::Client(error.to_string()))
    }

    /// The JSON object at `url`.
    pub(crate) async fn get(&self, url: &Url) -> Result<Map<String, Value>, HttpError> {
        let answer = send(url, self.0.get(url.clone())).await?;
        if answer.status != StatusCode::OK {
            return Err(HttpError::Status(answer.status));
        }
        answer.object()
    }

    /// The answer to a form. `credentials`: name and password for the Authorization header.
    pub(crate) async fn post(
        &self,
        url: &Url,
        form: &[(&str, &str)],
        credentials: Option<&(String, String)>,
    ) -> Result<Answer, HttpError> {
        let body = form_urlencoded::Serializer::new(String::new()).extend_pairs(form).finish();
        let mut request = self.0.post(url.clone()).header(CONTENT_TYPE, FORM).body(body);
        if let Some((name, password)) = credentials {
            request = request.basic_auth(name, Some(password));
        }
        send(url, request).await
    }
}

async fn send(url: &Url, request: RequestBuilder) -> Result<Answer, HttpError> {
    if !is_acceptable_url(url) {
        return Err(HttpError::Address);
    }
    let failed = |error: reqwest::Error| HttpError::Request(error.without_url());
    let mut response = request.header(ACCEPT, JSON).send().await.map_err(failed)?;
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(failed)? {
        if body.len() + chunk.len() > MAX_BODY_BYTES {
            return Err(HttpError::TooLarge);
        }
        body.extend_from_slice(&chunk);
    }
    Ok(Answer { status: response.status(), is_json: is_json(response.headers()), body })
}

/// Whether the body is said to be JSON, or not said to be anything.
fn is_json(headers: &HeaderMap) -> bool {
    headers.get(CONTENT_TYPE).is_none_or(|value| {
        let media_type = value.to_str().unwrap_or_default().split(';').next().unwrap_or_default().trim();
        [JSON, KEY_SET].iter().any(|known| media_type.eq_ignore_ascii_case(known))
    })
}

/// Whether requests and people may be sent there: by https, or by http on loopback.
pub(crate) fn is_acceptable_url(url: &Url) -> bool {
    let is_loopback = match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(address)) => IpAddr::V4(address).is_loopback(),
        Some(Host::Ipv6(address)) => IpAddr::V6(address).is_loopback(),
        None => return false,
    };
    url.scheme() == "https" || (url.scheme() == "http" && is_loopback)
}

#[cfg(test)]
mod tests {
    use reqwest::header::HeaderValue;

    use super::*;

    #[test]
    fn only_https_or_loopback_is_asked() {
        for good in [
            "https://id.example.net",
            "https://id.example.net:8443/realms/x",
            "http://127.0.0.1:8000",
            "http://localhost/a",
            "http://[::1]:1/",
        ] {
            assert!(is_acceptable_url(&Url::parse(good).unwrap()), "{good}");
        }
        for bad in [
            "http://id.example.net",
            "http://localhost.example.net",
            "http://127.0.0.1.example.net",
            "http://10.0.0.1",
            "ftp://localhost",
            "file:///etc/passwd",
            "javascript:alert(1)",
            "data:text/html,x",
        ] {
            assert!(!is_acceptable_url(&Url::parse(bad).unwrap()), "{bad}");
        }
    }

    #[test]
    fn a_body_that_is_said_to_be_something_else_is_not_read() {
        let answer = |content_type: Option<&'static str>| {
            let mut headers = HeaderMap::new();
            if let Some(value) = content_type {
                headers.insert(CONTENT_TYPE, HeaderValue::from_static(value));
            }
            Answer { status: StatusCode::OK, is_json: is_json(&headers), body: b"{}".to_vec() }
        };
        for good in [None, Some(JSON), Some("Application/JSON; charset=utf-8"), Some(KEY_SET)] {
            assert!(answer(good).object().is_ok(), "{good:?}");
        }
        for bad in ["text/html", "application/json5", "text/html; application/json", ""] {
            assert!(answer(Some(bad)).object().is_err(), "{bad}");
        }
    }
}
