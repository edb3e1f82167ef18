//! Reads a CA's problem documents (RFC 8555 section 6.7, RFC 9457) leniently, and decides what each means for us.
//!
//! The type and the subject decide, wherever a problem appears: as an answer, in a challenge, in an order. If the type
//! says nothing (`malformed`, unknown types), the request that it answers decides. Why no match on HTTP statuses: CAs
//! disagree about them, and problems inside of orders have none.

use std::time::Duration;

use domain::DomainName;
use http::HeaderMap;
use http::header::LINK;
use serde_json::{Map, Value};

use crate::error::clean;

/// Most bytes of a URL from a CA that are kept. Let's Encrypt's for a paused name carries a token of several hundred.
const MAX_URL: usize = 2000;
/// Subproblems after which the rest is not read.
const MAX_SUBPROBLEMS: usize = 100;
/// Type of a problem that has none, and of an error that is no problem document.
const UNEXPLAINED: &str = "unexplained";

/// A problem, every text shortened.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Problem {
    /// HTTP status; 0 of a problem within an order that says none.
    pub status: u16,
    /// Its type without prefix, for example `rateLimited`.
    pub kind: String,
    /// The CA's own words.
    pub detail: String,
    /// How long the CA asked us to wait.
    pub retry_after: Option<Duration>,
    /// Where the CA sends people: its `instance`, a `Link`, or the first URL in its words.
    pub url: Option<String>,
    subproblems: Vec<Subproblem>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Subproblem {
    name: String,
    kind: String,
    detail: String,
}

/// The request that a problem answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RequestKind {
    /// new-account, and what has to be fetched before it.
    Account,
    /// new-order.
    NewOrder,
    /// A look at an order or an authorization, finalize, a download.
    Order,
    /// The validation of a challenge.
    Challenge,
}

/// The meaning of a problem.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Meaning {
    /// The CA has trouble of its own; only the CA can fix it.
    CasTrouble,
    /// We ask too often.
    Limited,
    /// The CA refuses this name until the account's holder resumes it at the problem's URL.
    Paused,
    /// The CA refuses us, whatever the name: terms, account, profile, binding, contact.
    RefusesUs,
    /// CAA records forbid it (RFC 8659).
    Caa,
    /// The CA did not find the challenge's response.
    NotFound,
    /// Some of the CA's validation servers did not find it; the first one did.
    NotFoundEverywhere,
    /// The CA refuses this name or this order.
    Refused,
}

impl Problem {
    /// Of an answer that is no success. An answer that is no problem document does not come from an ACME server.
    pub(crate) fn of_answer(
        status: u16,
        headers: &HeaderMap,
        body: &[u8],
        retry_after: Option<Duration>,
    ) -> Self {
        let Some(members) = document(body) else {
            let detail = http::StatusCode::from_u16(status).ok().and_then(|status| status.canonical_reason());
            let detail = format!("{}, and no problem document", detail.unwrap_or("no reason given"));
            return Self { status, kind: UNEXPLAINED.to_owned(), detail, retry_after, ..Self::default() };
        };
        let problem = Self::of_members(&members);
        let url = problem.url.or_else(|| link(headers));
        Self { status, retry_after, url, ..problem }
    }

    /// Of an object that is one.
    pub(crate) fn of_members(members: &Map<String, Value>) -> Self {
        let status =
            members.get("status").and_then(Value::as_u64).and_then(|status| u16::try_from(status).ok());
        let detail = members.get("detail").and_then(Value::as_str).unwrap_or_default();
        let instance = members.get("instance").and_then(Value::as_str).and_then(first_url);
        Self {
            status: status.unwrap_or(0),
            kind: kind(members),
            detail: words(members),
            retry_after: None,
            url: instance.or_else(|| first_url(detail)),
            subproblems: subproblems(members),
        }
    }

    /// Of a challenge that is invalid without saying why.
    pub(crate) fn default_of_a_challenge() -> Self {
        let detail = "the certificate authority gives no reason".to_owned();
        Self { kind: UNEXPLAINED.to_owned(), detail, ..Self::default() }
    }

    /// Of a problem as instant-acme hands it on.
    pub(crate) fn of_inner(problem: &instant_acme::Problem) -> Self {
        let mut members = Map::new();
        members.insert("type".to_owned(), problem.r#type.clone().into());
        members.insert("detail".to_owned(), problem.detail.clone().into());
        members.insert("status".to_owned(), problem.status.into());
        let subproblems = problem.subproblems.iter().filter_map(|subproblem| {
            let Some(instant_acme::Identifier::Dns(name)) = &subproblem.identifier else {
                return None;
            };
            let identifier = serde_json::json!({ "type": "dns", "value": name });
            let (kind, detail) = (&subproblem.r#type, &subproblem.detail);
            Some(serde_json::json!({ "type": kind, "detail": detail, "identifier": identifier }))
        });
        members.insert("subproblems".to_owned(), subproblems.collect());
        Self::of_members(&members)
    }

    /// The problem with this name: what a subproblem says of it, where one does. Those of other names say nothing.
    #[must_use]
    pub fn about(&self, name: &DomainName) -> Self {
        let mut ours = self.subproblems.iter();
        match ours.find(|subproblem| subproblem.name.eq_ignore_ascii_case(name.as_str())) {
            Some(Subproblem { kind, detail, .. }) => {
                Self { kind: kind.clone(), detail: detail.clone(), ..self.clone() }
            }
            None => self.clone(),
        }
    }

    /// Its meaning as the answer to that request.
    pub fn meaning(&self, asked: RequestKind) -> Meaning {
        match self.kind.as_str() {
            "badNonce" | "serverInternal" => Meaning::CasTrouble,
            _ if self.is_rate_limited() => self.limited(),
            "userActionRequired"
            | "externalAccountRequired"
            | "accountDoesNotExist"
            | "unsupportedContact"
            | "invalidContact"
            | "invalidProfile"
            | "badPublicKey"
            | "badSignatureAlgorithm" => Meaning::RefusesUs,
            "caa" => Meaning::Caa,
            "connection" | "dns" | "tls" | "incorrectResponse" => self.not_found(),
            "rejectedIdentifier" | "unsupportedIdentifier" => Meaning::Refused,
            // What is no problem document was not said by the CA's ACME server.
            UNEXPLAINED if asked != RequestKind::Challenge => Meaning::CasTrouble,
            _ if self.status >= 500 => Meaning::CasTrouble,
            kind => match asked {
                RequestKind::Account => Meaning::RefusesUs,
                RequestKind::NewOrder if kind == "unauthorized" => Meaning::RefusesUs,
                RequestKind::NewOrder | RequestKind::Order => Meaning::Refused,
                RequestKind::Challenge => self.not_found(),
            },
        }
    }

    /// Whether the CA says that we are over one of its limits.
    pub(crate) fn is_rate_limited(&self) -> bool {
        self.status == 429 || self.kind == "rateLimited"
    }

    /// A limit that time lifts says when, in a header or in its words; one that only a person lifts says where.
    fn limited(&self) -> Meaning {
        let says_when = self.retry_after.is_some() || self.detail.contains("retry after");
        if !says_when && self.url.is_some() { Meaning::Paused } else { Meaning::Limited }
    }

    /// Boulder's words: "During secondary validation: ..."; the first look, from another place, went well.
    fn not_found(&self) -> Meaning {
        let words = self.detail.to_ascii_lowercase();
        if words.contains("secondary validation") { Meaning::NotFoundEverywhere } else { Meaning::NotFound }
    }
}

/// The members of a body that is a problem document: an object with a type or words.
fn document(body: &[u8]) -> Option<Map<String, Value>> {
    match serde_json::from_slice(body) {
        Ok(Value::Object(members)) => {
            let has = |member: &str| members.get(member).is_some_and(Value::is_string);
            (has("type") || has("detail")).then_some(members)
        }
        _ => None,
    }
}

/// Whether an answer of success is a problem all the same: no other object of ACME has a detail and no status in words.
pub(crate) fn is_problem(members: &Map<String, Value>) -> bool {
    let text = |member: &str| members.get(member).and_then(Value::as_str);
    let is_error = text("type").is_some_and(|kind| kind.contains(":error:")) || text("detail").is_some();
    is_error && text("status").is_none()
}

/// A type without its prefix; some CAs leave that away, and a URL is one of its own.
fn kind(members: &Map<String, Value>) -> String {
    let kind = members.get("type").and_then(Value::as_str).unwrap_or_default();
    let kind = clean(kind.rsplit([':', '/', '#']).next().unwrap_or(kind).trim());
    // RFC 9457 section 4.2.1: about:blank says nothing beyond the status.
    if kind.is_empty() || kind == "blank" { UNEXPLAINED.to_owned() } else { kind }
}

fn words(members: &Map<String, Value>) -> String {
    let text = |member: &str| members.get(member).and_then(Value::as_str).filter(|text| !text.is_empty());
    clean(text("detail").or_else(|| text("title")).unwrap_or("no detail given"))
}

fn subproblems(members: &Map<String, Value>) -> Vec<Subproblem> {
    let all = members.get("subproblems").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    let all = all.iter().take(MAX_SUBPROBLEMS).filter_map(Value::as_object);
    all.filter_map(|members| {
        let identifier = members.get("identifier")?.as_object()?;
        let name = identifier.get("value")?.as_str()?;
        Some(Subproblem { name: clean(name), kind: kind(members), detail: words(members) })
    })
    .collect()
}

/// Terms of service that have changed come as a `Link` (RFC 8555 section 7.3.3).
fn link(headers: &HeaderMap) -> Option<String> {
    let links = headers.get_all(LINK).iter().filter_map(|link| link.to_str().ok());
    let told = ["terms-of-service", "help"];
    let mut links = links.filter(|link| told.iter().any(|relation| link.contains(relation)));
    links.find_map(|link| first_url(link.split_once('<')?.1.split_once('>')?.0))
}

/// The first https URL in a text; a stop or a bracket after it belongs to the sentence.
fn first_url(text: &str) -> Option<String> {
    let from = &text[text.find("https://")?..];
    let is_end = |c: char| c.is_whitespace() || c.is_control() || matches!(c, '"' | '\'' | '<' | '>');
    let url = from.split(is_end).next()?.trim_end_matches(['.', ',', ';', ')', ']']);
    (url.len() <= MAX_URL && url.len() > "https://".len()).then(|| url.to_owned())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn problem(body: &Value) -> Problem {
        Problem::of_answer(400, &HeaderMap::new(), body.to_string().as_bytes(), None)
    }

    #[test]
    fn types_are_read_with_any_prefix_and_what_is_missing_is_no_error() {
        for kind in [
            "urn:ietf:params:acme:error:caa",
            "caa",
            "urn:acme:error:caa",
            "https://ca.example/problems/caa",
            "https://ca.example/problems#caa",
        ] {
            let body =
                json!({ "type": kind, "detail": null, "subproblems": null, "status": "400", "new": {} });
            let problem = problem(&body);
            assert_eq!(
                (problem.kind.as_str(), problem.detail.as_str()),
                ("caa", "no detail given"),
                "{kind}"
            );
        }
    }

    #[test]
    fn what_is_no_problem_document_is_the_cas_trouble_whatever_its_status() {
        for body in ["", "<html><h1>Forbidden</h1></html>", "{}", "[]", "{\"message\":\"no\"}", "{\"type\":"]
        {
            let problem = Problem::of_answer(403, &HeaderMap::new(), body.as_bytes(), None);
            for asked in [RequestKind::Account, RequestKind::NewOrder, RequestKind::Order] {
                assert_eq!(problem.meaning(asked), Meaning::CasTrouble, "{body}");
            }
        }
    }

    #[test]
    fn the_type_decides_and_else_the_place() {
        use RequestKind::{Account, Challenge, NewOrder, Order};
        for (kind, asked, meaning) in [
            ("userActionRequired", Order, Meaning::RefusesUs),
            ("userActionRequired", Challenge, Meaning::RefusesUs),
            ("unauthorized", Account, Meaning::RefusesUs),
            ("unauthorized", NewOrder, Meaning::RefusesUs),
            ("unauthorized", Order, Meaning::Refused),
            ("unauthorized", Challenge, Meaning::NotFound),
            ("rejectedIdentifier", NewOrder, Meaning::Refused),
            ("malformed", Account, Meaning::RefusesUs),
            ("malformed", NewOrder, Meaning::Refused),
            ("caa", Order, Meaning::Caa),
            ("caa", Challenge, Meaning::Caa),
            ("serverInternal", Challenge, Meaning::CasTrouble),
            ("rateLimited", Challenge, Meaning::Limited),
            ("somethingNew", NewOrder, Meaning::Refused),
            ("somethingNew", Challenge, Meaning::NotFound),
        ] {
            let problem = problem(&json!({ "type": kind, "detail": "no" }));
            assert_eq!(problem.meaning(asked), meaning, "{kind} {asked:?}");
        }
        let elsewhere =
            problem(&json!({ "type": "connection", "detail": "During secondary validation: 203.0.113.1" }));
        assert_eq!(elsewhere.meaning(Challenge), Meaning::NotFoundEverywhere);
    }

    #[test]
    fn a_subproblem_counts_for_its_own_name_only() {
        let identifier = |name: &str| json!({ "type": "dns", "value": name });
        let body = json!({
            "type": "malformed", "detail": "Some of the identifiers were rejected",
            "subproblems": [
                { "type": "caa", "detail": "CAA of other", "identifier": identifier("other.example.com") },
                { "type": "rejectedIdentifier", "detail": "policy", "identifier": identifier("SHOP.example.com") },
                { "type": "caa", "detail": "no identifier" },
                7,
            ],
        });
        let name = DomainName::parse("shop.example.com").unwrap();
        let about = problem(&body).about(&name);
        assert_eq!((about.kind.as_str(), about.detail.as_str()), ("rejectedIdentifier", "policy"));
        let another = DomainName::parse("www.example.com").unwrap();
        assert_eq!(problem(&body).about(&another).kind, "malformed");
    }

    #[test]
    fn a_pause_has_a_url_and_no_time() {
        let url = "https://portal.example/unpause?jwt=abc.def";
        let body = |detail: String| json!({ "type": "rateLimited", "detail": detail });
        let paused = problem(&body(format!("Your account is prevented. Please visit: {url}.")));
        assert_eq!(
            (paused.meaning(RequestKind::NewOrder), paused.url.as_deref()),
            (Meaning::Paused, Some(url))
        );
        for detail in [
            format!("too many new orders, retry after 2026-11-29 12:00:00 UTC: see {url}"),
            "overloaded".to_owned(),
        ] {
            assert_eq!(problem(&body(detail)).meaning(RequestKind::NewOrder), Meaning::Limited);
        }
        let told = Problem { retry_after: Some(Duration::from_secs(1)), ..paused };
        assert_eq!(told.meaning(RequestKind::NewOrder), Meaning::Limited);
    }

    #[test]
    fn people_are_sent_to_the_instance_then_to_the_link() {
        let mut headers = HeaderMap::new();
        headers.append(LINK, "<https://ca.example/directory>;rel=\"index\"".parse().unwrap());
        headers.append(LINK, "<https://ca.example/terms/v5>; rel=\"terms-of-service\"".parse().unwrap());
        let of = |body: Value| Problem::of_answer(403, &headers, body.to_string().as_bytes(), None).url;
        let kind = "userActionRequired";
        let instance = json!({ "type": kind, "instance": "https://ca.example/agree" });
        assert_eq!(of(instance).as_deref(), Some("https://ca.example/agree"));
        assert_eq!(of(json!({ "type": kind })).as_deref(), Some("https://ca.example/terms/v5"));
        for hostile in ["javascript:alert(1)", "https://", "\u{0}https"] {
            assert_eq!(first_url(hostile), None, "{hostile}");
        }
    }
}
