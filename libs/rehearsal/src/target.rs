//! The next URL to fetch, and the rules for redirects.
//!
//! The rules are those of CAs: http and https, ports 80 and 443, host names only. A URL is parsed once, and the result
//! is used for check, lookup, connection and request, so that no second parser can disagree.

use domain::DomainName;
use http::HeaderValue;
use rustls_pki_types::DnsName;
use url::{Host, Position, Url};

use crate::fetch_error::FetchError;

const HTTP: u16 = 80;
const HTTPS: u16 = 443;
const MAX_URL: usize = 2000;
const MAX_HOST_CHARACTERS_TOLD: usize = 100;

/// Something that may be asked for.
#[derive(Debug)]
pub(crate) struct Target {
    url: Url,
    host: DnsName<'static>,
    port: u16,
    is_first: bool,
}

impl Target {
    /// The challenge's URL (RFC 8555 section 8.3).
    pub(crate) fn first(name: &DomainName, http_port: u16, token: &str) -> Result<Self, FetchError> {
        let is_base64url = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
        if token.is_empty() || token.len() > 128 || !token.bytes().all(is_base64url) {
            return Err(FetchError::Ours("the probe's token is not base64url".to_owned()));
        }
        let url = format!("http://{name}:{http_port}/.well-known/acme-challenge/{token}");
        let host = DnsName::try_from(name.as_str().to_owned()).ok();
        let read = Url::parse(&url).ok().zip(host);
        let (url, host) = read.ok_or_else(|| FetchError::Ours("the probe has no URL".to_owned()))?;
        Ok(Self { url, host, port: http_port, is_first: true })
    }

    /// A document's URL: http, the usual port, or any where addresses are not restricted.
    pub(crate) fn document(url: &str, http_port: u16, is_any_port: bool) -> Result<Self, FetchError> {
        let no_url = || FetchError::site("its URL cannot be used");
        if url.len() > MAX_URL {
            return Err(no_url());
        }
        let url = Url::parse(url).map_err(|_| no_url())?;
        let is_plain = url.scheme() == "http" && url.username().is_empty() && url.password().is_none();
        let port = url.port_or_known_default().filter(|port| is_any_port || [HTTP, http_port].contains(port));
        let (true, Some(port)) = (is_plain, port) else {
            return Err(no_url());
        };
        let host = host_of(&url).map_err(|_| no_url())?;
        Ok(Self { url, host, port, is_first: true })
    }

    /// Where a redirect from here leads.
    pub(crate) fn redirected(&self, location: &HeaderValue, http_port: u16) -> Result<Self, FetchError> {
        if location.len() > MAX_URL {
            return Err(FetchError::site("it redirects to a URL of over 2000 characters"));
        }
        let no_url = || FetchError::site("it redirects to something that is no URL");
        let location = std::str::from_utf8(location.as_bytes()).map_err(|_| no_url())?;
        let url = self.url.join(location).map_err(|_| no_url())?;
        if !["http", "https"].contains(&url.scheme()) {
            return Err(FetchError::site("it redirects to something other than http and https"));
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(FetchError::site("it redirects to a URL with a user name or a password"));
        }
        let host = host_of(&url)?;
        match url.port_or_known_default() {
            Some(port) if [HTTP, HTTPS, http_port].contains(&port) => {
                Ok(Self { url, host, port, is_first: false })
            }
            _ => Err(FetchError::site("it redirects to a port other than 80 and 443")),
        }
    }

    /// Whether no redirect led here.
    pub(crate) fn is_first(&self) -> bool {
        self.is_first
    }

    pub(crate) fn is_https(&self) -> bool {
        self.url.scheme() == "https"
    }

    pub(crate) fn host(&self) -> &DnsName<'static> {
        &self.host
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// What the request line has (RFC 9112 section 3.2.1).
    pub(crate) fn path_and_query(&self) -> &str {
        &self.url[Position::BeforePath..Position::AfterQuery]
    }

    /// What the Host header has (RFC 9110 section 7.2): the port only where it is not the scheme's own.
    pub(crate) fn authority(&self) -> String {
        match self.url.port() {
            Some(port) => format!("{}:{port}", self.host.as_ref()),
            None => self.host.as_ref().to_owned(),
        }
    }

    /// Scheme, host and port, for people.
    pub(crate) fn origin(&self) -> String {
        let authority = self.authority();
        let mut told: String = authority.chars().take(MAX_HOST_CHARACTERS_TOLD).collect();
        if told.len() < authority.len() {
            told.push('…');
        }
        format!("{}://{told}", self.url.scheme())
    }

    /// Whether both are the same request.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        self.url[..Position::AfterQuery] == other.url[..Position::AfterQuery]
    }
}

/// Letters, digits, hyphens and underscores in at least two labels: a single label is a name in a local network.
fn host_of(url: &Url) -> Result<DnsName<'static>, FetchError> {
    let Some(Host::Domain(host)) = url.host() else {
        return Err(FetchError::site(
            "it redirects to an IP address: CAs follow redirects to host names only",
        ));
    };
    let host = host.strip_suffix('.').unwrap_or(host).to_owned();
    DnsName::try_from(host)
        .ok()
        .filter(|host| host.as_ref().contains('.'))
        .ok_or_else(|| FetchError::site("it redirects to a host whose name is not one of the public DNS"))
}
