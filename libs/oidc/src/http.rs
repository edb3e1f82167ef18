//! HTTP towards the provider: no redirects, an end to patience and to bodies, https everywhere but on loopback.

use std::net::IpAddr;
use std::pin::Pin;
use std::time::Duration;

use openidconnect::{AsyncHttpClient, HttpRequest, HttpResponse};
use reqwest::redirect;
use url::{Host, Url};

const CONNECT_WITHIN: Duration = Duration::from_secs(3);
const ANSWER_WITHIN: Duration = Duration::from_secs(5);
const MOST_BODY_BYTES: usize = 256 * 1024;

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
    /// More than anybody should read.
    #[error("the provider's answer is over {MOST_BODY_BYTES} bytes")]
    TooLarge,
}

/// A client for the provider.
#[derive(Clone, Debug)]
pub struct Http(reqwest::Client);

impl Http {
    /// A client that trusts the machine's roots, and these.
    pub fn new(root_certificate_pem: Option<&[u8]>) -> Result<Self, HttpError> {
        let mut builder = reqwest::Client::builder()
            .redirect(redirect::Policy::none())
            .connect_timeout(CONNECT_WITHIN)
            .timeout(ANSWER_WITHIN)
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

    /// Sends a request and reads the answer, whatever its status.
    async fn send(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        if !is_acceptable_url(&request.uri().to_string()) {
            return Err(HttpError::Address);
        }
        let failed = |error: reqwest::Error| HttpError::Request(error.without_url());
        let request = reqwest::Request::try_from(request).map_err(failed)?;
        let mut answer = self.0.execute(request).await.map_err(failed)?;
        let mut body = Vec::new();
        while let Some(chunk) = answer.chunk().await.map_err(failed)? {
            if body.len() + chunk.len() > MOST_BODY_BYTES {
                return Err(HttpError::TooLarge);
            }
            body.extend_from_slice(&chunk);
        }
        let mut response = HttpResponse::new(body);
        *response.status_mut() = answer.status();
        *response.headers_mut() = std::mem::take(answer.headers_mut());
        Ok(response)
    }
}

impl<'c> AsyncHttpClient<'c> for Http {
    type Error = HttpError;
    type Future = Pin<Box<dyn Future<Output = Result<HttpResponse, HttpError>> + Send + 'c>>;

    fn call(&'c self, request: HttpRequest) -> Self::Future {
        Box::pin(self.send(request))
    }
}

/// Whether something may be asked there: by https, or by http on loopback.
fn is_acceptable_url(text: &str) -> bool {
    let Ok(url) = Url::parse(text) else {
        return false;
    };
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
            assert!(is_acceptable_url(good), "{good}");
        }
        for bad in [
            "http://id.example.net",
            "http://localhost.example.net",
            "http://127.0.0.1.example.net",
            "http://10.0.0.1",
            "ftp://localhost",
            "file:///etc/passwd",
            "/relative",
            "",
        ] {
            assert!(!is_acceptable_url(bad), "{bad}");
        }
    }
}
