//! Decides who must act if a challenge failed. An order is placed only once DNS leads to the CDN, so the CDN's edges
//! did not pass the request on, unless the CA's words show that it connected elsewhere.
//!
//! CAs name the address they connected to, and the URL they fetched, which a redirect may have changed. Without such
//! words only the operator can find the cause.

use std::net::IpAddr;

use domain::{DomainName, Reason};
use ipnet::IpNet;

/// Returns the reason for a challenge response that the CA did not find. `ours`: the CDN's addresses; empty if
/// unknown. `problem`: the problem's type. `detail`: the CA's words.
pub(crate) fn not_found(name: &DomainName, problem: String, detail: String, ours: &[IpNet]) -> Reason {
    let is_customers = problem == "dns" || names_another_host(name, &detail) || names_foreign(&detail, ours);
    if is_customers {
        Reason::ChallengeInvalid { problem, detail }
    } else {
        Reason::ChallengeFailedAtEdge { problem, detail }
    }
}

/// Whether the words name an address that is not one of the CDN's.
fn names_foreign(detail: &str, ours: &[IpNet]) -> bool {
    let is_foreign = |address: IpAddr| !ours.iter().any(|net| net.contains(&address));
    !ours.is_empty() && detail.split_whitespace().filter_map(address).any(is_foreign)
}

/// Parses an address as CAs write it: `203.0.113.9:`, `2001:db8::9:`, `[2001:db8::9]`.
fn address(word: &str) -> Option<IpAddr> {
    let word = word.trim_matches(['(', ')', '[', ']', ',', ';', '"', '\'']);
    let word = word.strip_suffix([':', ',', '.', ';']).unwrap_or(word);
    word.trim_matches(['[', ']']).parse().ok()
}

/// Whether the words name a URL on another host, reached by a redirect.
fn names_another_host(name: &DomainName, detail: &str) -> bool {
    let mut urls = ["http://", "https://"].into_iter().flat_map(|scheme| detail.split(scheme).skip(1));
    urls.any(|rest| {
        let end = |c: char| !(c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_'));
        let host = rest.split(end).next().unwrap_or_default().trim_end_matches('.');
        !host.is_empty() && !host.eq_ignore_ascii_case(name.as_str())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_the_edges_unless_the_ca_says_that_it_was_elsewhere() {
        let name = DomainName::parse("shop.example.com").unwrap();
        let ours: Vec<IpNet> = ["203.0.113.0/24", "2001:db8::/32"].map(|net| net.parse().unwrap()).into();
        let url = "http://shop.example.com/.well-known/acme-challenge/x";
        for (kind, detail, is_customers) in [
            ("unauthorized", format!("203.0.113.9: Invalid response from {url}: 403"), false),
            ("unauthorized", format!("198.51.100.9: Invalid response from {url}: 404"), true),
            ("connection", format!("2001:db8::9: Fetching {url}: Timeout during connect"), false),
            ("connection", format!("2001:db9::9: Fetching {url}: Timeout during connect"), true),
            ("connection", "Fetching http://SHOP.example.com:80/: Connection reset".to_owned(), false),
            ("connection", "203.0.113.9: Fetching https://login.example.net/: Timeout".to_owned(), true),
            (
                "unauthorized",
                "203.0.113.9: Invalid response from https://xshop.example.com/: 404".to_owned(),
                true,
            ),
            ("tls", "no words".to_owned(), false),
            ("dns", "DNS problem: NXDOMAIN looking up A for shop.example.com".to_owned(), true),
            ("somethingNew", String::new(), false),
        ] {
            let reason = not_found(&name, kind.to_owned(), detail.clone(), &ours);
            assert_eq!(matches!(reason, Reason::ChallengeInvalid { .. }), is_customers, "{kind} {detail}");
        }
    }

    #[test]
    fn an_address_says_nothing_where_ours_are_not_known() {
        let name = DomainName::parse("shop.example.com").unwrap();
        let detail = "198.51.100.9: Invalid response".to_owned();
        let reason = not_found(&name, "unauthorized".to_owned(), detail, &[]);
        assert!(matches!(reason, Reason::ChallengeFailedAtEdge { .. }), "{reason:?}");
    }
}
