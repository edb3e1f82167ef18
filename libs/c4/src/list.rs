//! All names that C4 has: an optional call of the contract, for the comparison after a restore.
//!
//! The pages are bounded, and each name must come after the previous one, so that no answer can make the walk endless
//! or circular.

use domain::DomainName;
use reqwest::{Method, StatusCode};
use serde::Deserialize;

use crate::wire::{self, C4Certificate};
use crate::{C4Client, C4Error};

/// Of an answer: a page of the longest names with certificates has half of it.
const MAX_BODY_BYTES: usize = 1024 * 1024;
/// Domains of a page.
const MAX_PAGE: usize = 1000;

/// Some of the domains that C4 has, by name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct C4Page {
    /// Each name with its certificate. A name that cannot be one of ours is left out.
    pub domains: Vec<(DomainName, Option<C4Certificate>)>,
    /// Where the next page begins; none at the end.
    pub next: Option<String>,
}

#[derive(Deserialize)]
struct PageBody {
    domains: Vec<ListedDomain>,
}

#[derive(Deserialize)]
struct ListedDomain {
    name: String,
    certificate: Option<C4Certificate>,
}

impl C4Client {
    /// A page of the domains after a name, the first for an empty one. None if this C4 does not have the call.
    pub async fn domains_after(&self, after: &str) -> Result<Option<C4Page>, C4Error> {
        let mut url = self.url(&[]);
        url.query_pairs_mut().append_pair("after", after).append_pair("limit", &MAX_PAGE.to_string());
        let request = self.request(Method::GET, url);
        let answer = self.send_within("listing the domains", after, request, MAX_BODY_BYTES).await?;
        let is_missing = [StatusCode::NOT_FOUND, StatusCode::METHOD_NOT_ALLOWED, StatusCode::NOT_IMPLEMENTED];
        match answer.status {
            StatusCode::OK => page(after, &answer.body).map(Some).map_err(|why| answer.could_not_ask(why)),
            status if is_missing.contains(&status) => Ok(None),
            _ => Err(self.no_answer(&answer)),
        }
    }
}

fn page(after: &str, body: &[u8]) -> Result<C4Page, String> {
    let body: PageBody = serde_json::from_slice(body).map_err(|error| wire::not_the_contracts(&error))?;
    if body.domains.len() > MAX_PAGE {
        return Err(format!("a page of more than {MAX_PAGE} domains"));
    }
    let mut page = C4Page::default();
    let mut last = after.to_owned();
    for ListedDomain { name, certificate } in body.domains {
        if name <= last {
            return Err("a page that is not in the order of names".to_owned());
        }
        wire::check_certificate(certificate.as_ref())?;
        if let Ok(name) = DomainName::parse(&name) {
            page.domains.push((name, certificate));
        }
        page.next = Some(name.clone());
        last = name;
    }
    Ok(page)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listed(names: &[&str]) -> String {
        let domains: Vec<_> =
            names.iter().map(|name| serde_json::json!({ "name": name, "certificate": null })).collect();
        serde_json::json!({ "domains": domains }).to_string()
    }

    #[test]
    fn a_page_goes_on_after_its_last_name() {
        let read = page("a.example", listed(&["b.example", "c_.example", "d.example"]).as_bytes()).unwrap();
        let names: Vec<_> = read.domains.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["b.example", "d.example"], "no name of ours has an underscore");
        assert_eq!(read.next.as_deref(), Some("d.example"));
        assert_eq!(page("d.example", br#"{"domains":[],"more":true}"#), Ok(C4Page::default()));
    }

    #[test]
    fn a_page_that_leads_nowhere_is_no_answer() {
        for (after, names) in [
            ("", &["b.example", "a.example"][..]),
            ("b.example", &["b.example"]),
            ("b.example", &["a.example"]),
        ] {
            assert!(page(after, listed(names).as_bytes()).unwrap_err().contains("order"), "{names:?}");
        }
        let many: Vec<String> = (0..=MAX_PAGE).map(|number| format!("a{number:04}.example")).collect();
        let many: Vec<&str> = many.iter().map(String::as_str).collect();
        assert!(page("", listed(&many).as_bytes()).unwrap_err().contains("more than 1000"));
        for body in ["", "[]", "{}", r#"{"domains":[{}]}"#] {
            assert!(page("", body.as_bytes()).unwrap_err().contains("not the contract's"), "{body}");
        }
        let sha256 = r#"{"domains":[{"name":"a.example","certificate":{"sha256":"AB","source":"c4","not_after":"2027-01-01T00:00:00Z"}}]}"#;
        assert!(page("", sha256.as_bytes()).unwrap_err().contains("sha256"));
    }
}
