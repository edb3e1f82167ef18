//! Checks every request: it must be for our host, and a change must come from our own pages; adds the security headers
//! to every answer.
//!
//! Cross-site requests are recognised by `Sec-Fetch-Site` (Fetch Metadata), or by `Origin` if a browser does not send
//! that; a request with neither cannot change anything. Forms of a session also carry a value of it (`csrf`).

use axum::Extension;
use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, HOST, HeaderName, HeaderValue, ORIGIN, REFERRER_POLICY,
    STRICT_TRANSPORT_SECURITY, X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
};
use http::{HeaderMap, Method, StatusCode, Uri};
use runtime::Peer;

use crate::App;
use crate::problem::{Problem, SUPPORT_CONTACT};
use crate::strangers::BROWSER;

const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
                      form-action 'self'; base-uri 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; \
                      trusted-types ssl-manager";

/// Where the browser thinks that it is.
#[derive(Clone, Debug)]
pub(crate) struct Site {
    /// Of `console.public_url`; without it, this machine under any of its addresses.
    pub(crate) public: Option<Uri>,
}

impl Site {
    /// Whether a request names us. A foreign name that points here must not open the page (DNS rebinding), so without a
    /// public URL only addresses and `localhost` do.
    fn is_ours(&self, host: &str) -> bool {
        match &self.public {
            Some(public) => {
                public.authority().is_some_and(|authority| authority.as_str().eq_ignore_ascii_case(host))
            }
            None => host.parse::<http::uri::Authority>().is_ok_and(|authority| {
                let name = authority.host();
                let bare = name.trim_start_matches('[').trim_end_matches(']');
                name.eq_ignore_ascii_case("localhost") || bare.parse::<std::net::IpAddr>().is_ok()
            }),
        }
    }

    /// Whether a page of ours sent this.
    fn is_from_us(&self, headers: &HeaderMap, host: &str) -> bool {
        if let Some(site) = headers.get("sec-fetch-site") {
            return site == "same-origin";
        }
        let Some(origin) = headers.get(ORIGIN).and_then(|origin| origin.to_str().ok()) else {
            return false;
        };
        let origin = origin.parse::<Uri>().unwrap_or_default();
        let expected = self.public.as_ref().and_then(Uri::authority);
        origin.authority().is_some_and(|authority| match expected {
            Some(expected) => authority == expected,
            None => authority.as_str().eq_ignore_ascii_case(host),
        })
    }
}

/// The host that a request is for: HTTP/2 has it in the address, HTTP/1.1 in a header.
fn host(request: &Request) -> Option<&str> {
    let in_address = request.uri().authority().map(http::uri::Authority::as_str);
    in_address.or_else(|| request.headers().get(HOST)?.to_str().ok())
}

/// The middleware.
pub(crate) async fn guard(
    State(app): State<App>,
    Extension(peer): Extension<Peer>,
    request: Request,
    next: Next,
) -> Response {
    let browser = app.strangers.browser(&peer, request.headers());
    let response = if let Some(problem) = refusal(&app.site, &request) {
        tracing::info!(reason = problem.reason, path = request.uri().path(), "refused");
        problem.into_response()
    } else {
        let contact = app.process.config.console.support_contact.clone();
        SUPPORT_CONTACT.scope(contact, BROWSER.scope(browser, next.run(request))).await
    };
    with_headers(response, app.cookies.secure)
}

fn refusal(site: &Site, request: &Request) -> Option<Problem> {
    let host = host(request).filter(|host| site.is_ours(host));
    let Some(host) = host else {
        return Some(Problem::new(
            StatusCode::MISDIRECTED_REQUEST,
            "HOST_UNKNOWN",
            "This page is not served under that name. An operator can set it as console.public_url.",
        ));
    };
    let changes = ![Method::GET, Method::HEAD].contains(request.method());
    if changes && !site.is_from_us(request.headers(), host) {
        return Some(Problem::new(
            StatusCode::FORBIDDEN,
            "CROSS_SITE",
            "This request came from another site, so nothing was done. Open the page here and send it again.",
        ));
    }
    None
}

fn with_headers(mut response: Response, secure: bool) -> Response {
    let headers = response.headers_mut();
    let mut set = |name: HeaderName, value: &'static str| {
        headers.entry(name).or_insert_with(|| HeaderValue::from_static(value));
    };
    set(CACHE_CONTROL, "no-store");
    set(CONTENT_SECURITY_POLICY, POLICY);
    set(X_CONTENT_TYPE_OPTIONS, "nosniff");
    set(X_FRAME_OPTIONS, "DENY");
    // Not "no-referrer": with it, browsers send `Origin: null`.
    set(REFERRER_POLICY, "same-origin");
    set(HeaderName::from_static("cross-origin-opener-policy"), "same-origin");
    set(HeaderName::from_static("cross-origin-resource-policy"), "same-origin");
    set(
        HeaderName::from_static("permissions-policy"),
        "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
    );
    if secure {
        set(STRICT_TRANSPORT_SECURITY, "max-age=31536000");
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    fn site(public: Option<&'static str>) -> Site {
        Site { public: public.map(Uri::from_static) }
    }

    #[test]
    fn only_our_own_name_opens_the_page() {
        let here = site(None);
        for host in ["127.0.0.1:8080", "[::1]:8080", "localhost:8080", "LOCALHOST", "10.0.0.7"] {
            assert!(here.is_ours(host), "{host}");
        }
        for host in ["evil.example", "evil.example:8080", "127.0.0.1.evil.example", "", "a b"] {
            assert!(!here.is_ours(host), "{host}");
        }
        let public = site(Some("https://ssl.example.net"));
        assert!(public.is_ours("ssl.example.net") && public.is_ours("SSL.example.net"));
        assert!(!public.is_ours("127.0.0.1") && !public.is_ours("ssl.example.net.evil.example"));
    }

    #[test]
    fn every_answer_says_what_the_browser_may_do_with_it() {
        let headers = |secure| {
            let response = with_headers(StatusCode::OK.into_response(), secure);
            let text = |name: &str| Some(response.headers().get(name)?.to_str().unwrap().to_owned());
            [
                "cache-control",
                "content-security-policy",
                "x-content-type-options",
                "x-frame-options",
                "referrer-policy",
                "cross-origin-opener-policy",
                "strict-transport-security",
            ]
            .map(|name| text(name).unwrap_or_default())
        };
        let [cache, policy, types, frames, referrer, opener, transport] = headers(true);
        assert_eq!(
            [cache, types, frames, referrer, opener, transport],
            ["no-store", "nosniff", "DENY", "same-origin", "same-origin", "max-age=31536000"]
        );
        for directive in
            ["default-src 'none'", "base-uri 'none'", "frame-ancestors 'none'", "form-action 'self'"]
        {
            assert!(policy.contains(directive), "{policy}");
        }
        assert!(
            policy.ends_with("; trusted-types ssl-manager"),
            "the script's own policy and no other: {policy}"
        );
        assert!(!policy.contains("unsafe"), "{policy}");
        assert_eq!(headers(false)[6], "", "without TLS there is nothing to keep to");
    }

    #[test]
    fn a_change_comes_from_our_own_pages() {
        let from = |headers: &[(&'static str, &'static str)]| {
            let mut map = HeaderMap::new();
            for (name, value) in headers {
                map.insert(*name, HeaderValue::from_static(value));
            }
            map
        };
        let public = site(Some("https://ssl.example.net"));
        let fine = [&[("sec-fetch-site", "same-origin")][..], &[("origin", "https://ssl.example.net")]];
        for headers in fine {
            assert!(public.is_from_us(&from(headers), "ssl.example.net"), "{headers:?}");
        }
        let not = [
            &[][..],
            &[("sec-fetch-site", "cross-site")],
            &[("sec-fetch-site", "same-site")],
            &[("sec-fetch-site", "none")],
            &[("sec-fetch-site", "cross-site"), ("origin", "https://ssl.example.net")],
            &[("origin", "null")],
            &[("origin", "https://evil.example")],
        ];
        for headers in not {
            assert!(!public.is_from_us(&from(headers), "ssl.example.net"), "{headers:?}");
        }
        assert!(site(None).is_from_us(&from(&[("origin", "http://127.0.0.1:8080")]), "127.0.0.1:8080"));
        assert!(!site(None).is_from_us(&from(&[("origin", "http://127.0.0.1:9")]), "127.0.0.1:8080"));
    }
}
