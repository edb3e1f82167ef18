//! The relevant parts of a request: its host, and the token in its path.

use std::net::IpAddr;

use domain::DomainName;
use http::header::{HOST, HeaderMap};
use http::request::Parts;
use ipnet::IpNet;

const PREFIX: &str = "/.well-known/acme-challenge/";
const FORWARDED_HOST: &str = "x-forwarded-host";

/// The token of a path, if it can be one (base64url, RFC 8555 section 8.3: at least 128 bits). Nothing else is worth
/// a question to the store.
pub(crate) fn token(request: &Parts) -> Option<&str> {
    let token = request.uri.path().strip_prefix(PREFIX)?;
    let is_base64url = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    let fits = (22..=128).contains(&token.len()) && token.bytes().all(is_base64url);
    (fits && request.uri.query().is_none()).then_some(token)
}

/// Finds the host that a request was for.
pub(crate) struct Hosts {
    trusted_proxies: Vec<IpNet>,
}

impl Hosts {
    pub(crate) fn new(trusted_proxies: Vec<IpNet>) -> Self {
        Self { trusted_proxies }
    }

    /// The host, if it is a name that could have a challenge. A proxy is believed if it is one of ours.
    pub(crate) fn host(&self, request: &Parts, peer: IpAddr) -> Option<DomainName> {
        let peer = peer.to_canonical();
        if self.trusted_proxies.iter().any(|net| net.contains(&peer))
            && let Some(forwarded) = last_value(&request.headers, FORWARDED_HOST)
        {
            return parse(forwarded);
        }
        match request.uri.authority() {
            // The absolute form of the request line overrules the header (RFC 9112 section 3.2.2).
            Some(authority) => parse(authority.as_str()),
            None => parse(only_host(&request.headers)?),
        }
    }
}

fn only_host(headers: &HeaderMap) -> Option<&str> {
    let mut values = headers.get_all(HOST).iter();
    let first = values.next()?;
    // Two Host headers are an attempt to be seen differently by two servers.
    if values.next().is_some() { None } else { first.to_str().ok() }
}

/// The last element of a list header: what the proxy next to us added. What stands before it came from further away.
fn last_value<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get_all(name).iter().next_back()?.to_str().ok()?.rsplit(',').next()
}

fn parse(host: &str) -> Option<DomainName> {
    let host = host.trim();
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        Some(_) => return None,
        None => host,
    };
    DomainName::parse(name).ok()
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;

    fn request(uri: &str, headers: &[(&str, &str)]) -> Parts {
        let mut request = Request::get(uri);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.body(()).unwrap().into_parts().0
    }

    fn host(uri: &str, headers: &[(&str, &str)], peer: &str) -> Option<String> {
        let hosts = Hosts::new(vec!["10.1.0.0/16".parse().unwrap(), "2001:db8::/32".parse().unwrap()]);
        hosts.host(&request(uri, headers), peer.parse().unwrap()).map(|name| name.to_string())
    }

    #[test]
    fn only_tokens_are_tokens() {
        let long = "a".repeat(128);
        for (path, is_token) in [
            ("LoqXcYV8q5ONbJQxbmR7SCTNo3tiAXDfowyjxAjEuX0", true),
            ("abcdefghijklmnopqrst_-", true),
            (long.as_str(), true),
            ("abcdefghijklmnopqrst_", false),
            (&format!("{long}a"), false),
            ("", false),
            ("abcdefghijklmnopqrst%2D_", false),
            ("abcdefghijklmnopqrst+/=", false),
            ("abcdefghijklmnopqrst_-/", false),
            ("../acme-challenge/abcdefghijklmnopqrst_-", false),
            ("abcdefghijklmnopqrst_-?x=1", false),
            ("abcdefghijklmnopqrst_-?", false),
        ] {
            let found = request(&format!("{PREFIX}{path}"), &[]);
            assert_eq!(token(&found).is_some(), is_token, "{path}");
        }
        for path in
            ["/", "/.well-known/acme-challenge", "//.well-known/acme-challenge/abcdefghijklmnopqrst_-"]
        {
            assert_eq!(token(&request(path, &[])), None, "{path}");
        }
    }

    #[test]
    fn hosts_come_in_one_spelling() {
        for (header, expected) in [
            ("shop.example.com", Some("shop.example.com")),
            ("SHOP.Example.com.:8080", Some("shop.example.com")),
            ("shop.example.com:", Some("shop.example.com")),
            ("shop.example.com:80x", None),
            ("shop.example.com:80:80", None),
            ("127.0.0.1:80", None),
            ("[2001:db8::1]:80", None),
            ("localhost", None),
            ("*.example.com", None),
            ("", None),
            ("shop.example.com/x", None),
            ("a b.example.com", None),
        ] {
            assert_eq!(host("/", &[("host", header)], "192.0.2.1").as_deref(), expected, "{header:?}");
        }
        assert_eq!(host("/", &[], "192.0.2.1"), None);
        assert_eq!(host("/", &[("host", "a.example.com"), ("host", "b.example.com")], "192.0.2.1"), None);
        let absolute = host("http://A.example.com:80/x", &[("host", "b.example.com")], "192.0.2.1");
        assert_eq!(absolute.as_deref(), Some("a.example.com"));
    }

    #[test]
    fn a_proxy_is_believed_only_if_it_is_ours() {
        let headers =
            [("host", "edge.example.net"), ("x-forwarded-host", "evil.example.org, Shop.example.com:80")];
        for (peer, expected) in [
            ("10.1.2.3", "shop.example.com"),
            ("::ffff:10.1.2.3", "shop.example.com"),
            ("2001:db8::9", "shop.example.com"),
            ("10.2.0.1", "edge.example.net"),
            ("192.0.2.1", "edge.example.net"),
        ] {
            assert_eq!(host("/", &headers, peer).as_deref(), Some(expected), "{peer}");
        }
        assert_eq!(host("/", &headers[..1], "10.1.2.3").as_deref(), Some("edge.example.net"));
        let two = [headers[1], ("x-forwarded-host", "second.example.com")];
        assert_eq!(host("/", &two, "10.1.2.3").as_deref(), Some("second.example.com"));
        let nonsense = [("host", "edge.example.net"), ("x-forwarded-host", "?")];
        assert_eq!(host("/", &nonsense, "10.1.2.3"), None);
    }
}
