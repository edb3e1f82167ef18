//! Deviations of real CAs from RFC 8555: each a switch, off by default.
//!
//! Why not one switch per CA: a client must tolerate each of these, and tests name the one they mean.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::RwLock;
use std::time::Duration;

use http::StatusCode;
use http::header::{CONTENT_TYPE, LINK, LOCATION, RETRY_AFTER};
use http::{HeaderMap, HeaderValue};
use serde::Deserialize;
use serde_json::{Value, json};

use super::control::CaControl;
use super::problem::Problem;
use super::{CaRefusal, Endpoint};
use crate::serve::{Reply, body_of, reply};
use crate::sync::{read, write};

/// What the CA refuses us for ([`CaControl::refuse_us`]).
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UsRefusal {
    /// Error type of RFC 8555 section 6.7, such as `userActionRequired`.
    pub problem: String,
    /// What the CA says about it.
    pub detail: String,
    /// The problem's `instance`.
    pub instance: Option<String>,
    /// A `Link` with the relation `terms-of-service` (RFC 8555 section 7.3.3).
    pub terms: Option<String>,
}

#[derive(Default)]
pub(super) struct Oddities(RwLock<Settings>);

/// What is on or off.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Switch {
    Nulls,
    BareTypes,
    RelativeReferences,
    ListedOrders,
    SilentOrders,
    ManyAuthorizations,
}

#[derive(Default)]
struct Settings {
    on: HashSet<Switch>,
    retry_after: Vec<String>,
    without_resource: Option<String>,
    answer_after: HashMap<Endpoint, Duration>,
    refuse_next: HashMap<Endpoint, VecDeque<CaRefusal>>,
    answer_with: HashMap<Endpoint, VecDeque<CaRefusal>>,
    pages: HashMap<Endpoint, u16>,
    replacements: Option<CaRefusal>,
    us: Option<UsRefusal>,
    refused_us: u64,
    pauses: HashMap<String, String>,
    issuance_failures: VecDeque<CaRefusal>,
    without_http_01: HashSet<String>,
    orders_per_page: Option<usize>,
    subproblems: Vec<Value>,
}

impl CaControl {
    /// Writes `null` for what is absent, `subproblems` of problems included, as some CAs do, and members that
    /// nobody knows.
    pub fn write_nulls(&self, on: bool) {
        self.0.odd.switch(Switch::Nulls, on);
    }

    /// Leaves the URN prefix of problem types away.
    pub fn write_bare_problem_types(&self, on: bool) {
        self.0.odd.switch(Switch::BareTypes, on);
    }

    /// Adds to every problem what it is about in detail: name, type, words (RFC 8555 section 6.7.1).
    pub fn write_subproblems(&self, subproblems: &[(&str, &str, &str)]) {
        let subproblems = subproblems.iter().map(|(name, kind, detail)| {
            let identifier = json!({ "type": "dns", "value": name });
            let kind = format!("urn:ietf:params:acme:error:{kind}");
            json!({ "type": kind, "detail": detail, "identifier": identifier })
        });
        let subproblems = subproblems.collect();
        self.0.odd.set(|odd| odd.subproblems = subproblems);
    }

    /// Gives `Location` and all URLs within orders as references relative to the origin (RFC 9110 section 10.2.2).
    pub fn write_relative_references(&self, on: bool) {
        self.0.odd.switch(Switch::RelativeReferences, on);
    }

    /// Gives every order, authorization and error these Retry-After headers, as they stand here.
    pub fn write_retry_after(&self, headers: &[&str]) {
        self.0.odd.set(|odd| odd.retry_after = headers.iter().map(ToString::to_string).collect());
    }

    /// Leaves a resource out of the directory, such as `newNonce`.
    pub fn leave_out_of_directory(&self, resource: Option<&str>) {
        self.0.odd.set(|odd| odd.without_resource = resource.map(str::to_owned));
    }

    /// Does at once what a request to that endpoint asks for, and answers so much later, in real time.
    pub fn answer_after(&self, endpoint: Endpoint, wait: Duration) {
        self.0.odd.set(|odd| odd.answer_after.insert(endpoint, wait));
    }

    /// Answers the next `times` good requests to that endpoint with an error instead of doing what they ask for.
    pub fn refuse_next(&self, endpoint: Endpoint, refusal: &CaRefusal, times: usize) {
        let refusals = std::iter::repeat_n(refusal.clone(), times);
        self.0.odd.set(|odd| odd.refuse_next.entry(endpoint).or_default().extend(refusals));
    }

    /// Does what the next good request to that endpoint asks for, and answers with an error all the same.
    pub fn answer_with(&self, endpoint: Endpoint, refusal: &CaRefusal) {
        self.0.odd.set(|odd| odd.answer_with.entry(endpoint).or_default().push_back(refusal.clone()));
    }

    /// Answers good requests to that endpoint with a web page under that status, as a proxy before the CA does; none ends
    /// it.
    pub fn answer_with_page(&self, endpoint: Endpoint, status: Option<u16>) {
        self.0.odd.set(|odd| match status {
            Some(status) => odd.pages.insert(endpoint, status),
            None => odd.pages.remove(&endpoint),
        });
    }

    /// Refuses new orders that replace a certificate (RFC 9773 section 5), whatever they replace; none ends it.
    pub fn refuse_replacements(&self, refusal: Option<CaRefusal>) {
        self.0.odd.set(|odd| odd.replacements = refusal);
    }

    /// Refuses us: every new-account and new-order, whatever the name; none ends it.
    pub fn refuse_us(&self, refusal: Option<UsRefusal>) {
        self.0.odd.set(|odd| odd.us = refusal);
    }

    /// Requests that were refused by [`CaControl::refuse_us`].
    pub fn refused_us(&self) -> u64 {
        self.0.odd.get(|odd| odd.refused_us)
    }

    /// Pauses a name as Let's Encrypt does: 429 without Retry-After, with a URL at which the account's holder has it
    /// resumed; none resumes it.
    pub fn pause(&self, domain: &str, url: Option<&str>) {
        let domain = domain.to_ascii_lowercase();
        self.0.odd.pause(&domain, url);
        if url.is_none() {
            self.0.ledger.resumed(&domain);
        }
    }

    /// Takes the next `times` finalized orders and ends them with that problem, as a CA without SCTs does.
    pub fn fail_issuances(&self, problem: &CaRefusal, times: usize) {
        self.0.odd.set(|odd| odd.issuance_failures.extend(std::iter::repeat_n(problem.clone(), times)));
    }

    /// Shows each account the list of its orders (RFC 8555 section 7.1.2.1).
    pub fn list_orders(&self, on: bool) {
        self.0.odd.switch(Switch::ListedOrders, on);
    }

    /// Gives that list in pages of so many, each with a `Link` to the next.
    pub fn list_orders_by(&self, page: usize) {
        self.list_orders(true);
        self.0.odd.set(|odd| odd.orders_per_page = Some(page.max(1)));
    }

    /// Offers no HTTP-01 challenge for that name, or one again.
    pub fn offer_http_01(&self, domain: &str, on: bool) {
        let domain = domain.to_ascii_lowercase();
        self.0.odd.set(|odd| {
            if on { odd.without_http_01.remove(&domain) } else { odd.without_http_01.insert(domain) }
        });
    }

    /// Leaves an order and its authorization pending where the challenge is invalid.
    pub fn leave_failed_orders_pending(&self, on: bool) {
        self.0.odd.switch(Switch::SilentOrders, on);
    }

    /// Gives each order a thousand authorizations.
    pub fn give_many_authorizations(&self, on: bool) {
        self.0.odd.switch(Switch::ManyAuthorizations, on);
    }

    /// Forgets every account and order, as a CA that was reinstalled; certificates stay.
    pub fn forget_accounts(&self) {
        self.0.accounts.forget();
        self.0.orders.clear();
        self.0.authorizations.clear();
    }
}

impl Oddities {
    fn set<R>(&self, change: impl FnOnce(&mut Settings) -> R) {
        change(&mut write(&self.0));
    }

    pub(super) fn pause(&self, domain: &str, url: Option<&str>) {
        self.set(|odd| match url {
            Some(url) => odd.pauses.insert(domain.to_owned(), url.to_owned()),
            None => odd.pauses.remove(domain),
        });
    }

    fn switch(&self, switch: Switch, on: bool) {
        self.set(|odd| if on { odd.on.insert(switch) } else { odd.on.remove(&switch) });
    }

    fn get<R>(&self, look: impl FnOnce(&Settings) -> R) -> R {
        look(&read(&self.0))
    }

    /// What a good request to that endpoint is answered with instead of being done.
    pub(super) fn refusal(&self, endpoint: Endpoint) -> Option<Reply> {
        let mut odd = write(&self.0);
        if let Some(status) = odd.pages.get(&endpoint) {
            let status = StatusCode::from_u16(*status).unwrap_or(StatusCode::BAD_GATEWAY);
            return Some(reply(status, "text/html", "<html><h1>Sorry</h1></html>"));
        }
        if let Some(refusal) = odd.refuse_next.get_mut(&endpoint).and_then(VecDeque::pop_front) {
            return Some(Problem::from(&refusal).to_reply());
        }
        let UsRefusal { problem, detail, instance, terms } = match endpoint {
            Endpoint::NewAccount | Endpoint::NewOrder => odd.us.clone()?,
            _ => return None,
        };
        odd.refused_us += 1;
        let problem = Problem::new(problem, StatusCode::FORBIDDEN, detail);
        let mut members = problem.to_json();
        if let Some(instance) = instance {
            members["instance"] = instance.into();
        }
        let mut refusal = reply(StatusCode::FORBIDDEN, "application/problem+json", members.to_string());
        let link =
            terms.and_then(|url| HeaderValue::from_str(&format!("<{url}>;rel=\"terms-of-service\"")).ok());
        if let Some(link) = link {
            refusal.headers_mut().append(LINK, link);
        }
        Some(refusal)
    }

    /// What a request to that endpoint that was done is answered with all the same.
    pub(super) fn wrong_answer(&self, endpoint: Endpoint) -> Option<Reply> {
        let refusal = write(&self.0).answer_with.get_mut(&endpoint).and_then(VecDeque::pop_front)?;
        Some(Problem::from(&refusal).to_reply())
    }

    pub(super) fn answers_after(&self, endpoint: Endpoint) -> Option<Duration> {
        self.get(|odd| odd.answer_after.get(&endpoint).copied())
    }

    pub(super) fn refuses_replacements(&self) -> Option<Problem> {
        self.get(|odd| odd.replacements.as_ref().map(Problem::from))
    }

    /// The pause of the first of the names that is paused.
    pub(super) fn pause_of(&self, names: &[String]) -> Option<Problem> {
        let (name, url) = self
            .get(|odd| names.iter().find_map(|name| Some((name.clone(), odd.pauses.get(name)?.clone()))))?;
        let detail = format!(
            "Your account is temporarily prevented from requesting certificates for {name} and possibly others. \
             Please visit: {url}"
        );
        Some(Problem::new("rateLimited", StatusCode::TOO_MANY_REQUESTS, detail))
    }

    pub(super) fn issuance_failure(&self) -> Option<Problem> {
        write(&self.0).issuance_failures.pop_front().as_ref().map(Problem::from)
    }

    pub(super) fn lists_orders(&self) -> bool {
        self.get(|odd| odd.on.contains(&Switch::ListedOrders))
    }

    pub(super) fn orders_per_page(&self) -> usize {
        self.get(|odd| odd.orders_per_page.unwrap_or(usize::MAX))
    }

    pub(super) fn offers_http_01(&self, name: &str) -> bool {
        self.get(|odd| !odd.without_http_01.contains(name))
    }

    pub(super) fn leaves_failed_orders_pending(&self) -> bool {
        self.get(|odd| odd.on.contains(&Switch::SilentOrders))
    }

    pub(super) fn authorizations_per_order(&self) -> usize {
        if self.get(|odd| odd.on.contains(&Switch::ManyAuthorizations)) { 1000 } else { 1 }
    }

    /// An answer as this CA writes it.
    pub(super) async fn write(&self, good: Reply) -> Reply {
        let (nulls, bare_types, relative) = self.get(|odd| {
            (
                odd.on.contains(&Switch::Nulls),
                odd.on.contains(&Switch::BareTypes),
                odd.on.contains(&Switch::RelativeReferences),
            )
        });
        let (without, subproblems) = self.get(|odd| (odd.without_resource.clone(), odd.subproblems.clone()));
        let mut good = good;
        self.headers(good.status(), good.headers_mut(), relative);
        let is_json = good.headers().get(CONTENT_TYPE).is_some_and(|kind| kind.as_bytes().ends_with(b"json"));
        let changes_json = nulls || bare_types || relative || without.is_some() || !subproblems.is_empty();
        if !is_json || !changes_json {
            return good;
        }
        let (head, body) = body_of(good).await;
        let Ok(mut value) = serde_json::from_slice::<Value>(&body) else {
            return Reply::from_parts(head, body.into());
        };
        if let (Some(resource), Some(members)) = (without, value.as_object_mut())
            && members.contains_key("newOrder")
        {
            members.remove(&resource);
        }
        if !subproblems.is_empty() && head.status.as_u16() >= 400 {
            value["subproblems"] = subproblems.into();
        }
        if bare_types {
            strip_prefixes(&mut value);
        }
        if relative && value.get("newOrder").is_none() {
            make_relative(&mut value);
        }
        if nulls {
            add_nulls(&mut value);
        }
        Reply::from_parts(head, value.to_string().into())
    }

    fn headers(&self, status: StatusCode, headers: &mut HeaderMap, relative: bool) {
        let location = headers.get(LOCATION).and_then(|url| url.to_str().ok()).map(str::to_owned);
        if let Some(url) = location.filter(|url| relative && !url.contains("/account/"))
            && let Ok(path) = HeaderValue::from_str(path_of(&url))
        {
            headers.insert(LOCATION, path);
        }
        let waits = self.get(|odd| odd.retry_after.clone());
        if waits.is_empty() || status == StatusCode::NO_CONTENT {
            return;
        }
        headers.remove(RETRY_AFTER);
        for wait in waits {
            if let Ok(wait) = HeaderValue::from_str(&wait) {
                headers.append(RETRY_AFTER, wait);
            }
        }
    }
}

impl From<&CaRefusal> for Problem {
    fn from(refusal: &CaRefusal) -> Self {
        let status = StatusCode::from_u16(refusal.status).unwrap_or(StatusCode::BAD_REQUEST);
        let problem = Self::new(refusal.problem.clone(), status, refusal.detail.clone());
        match refusal.retry_after {
            Some(wait) => problem.retry_after(wait),
            None => problem,
        }
    }
}

fn path_of(url: &str) -> &str {
    let rest = url.strip_prefix("https://").unwrap_or(url);
    rest.find('/').map_or(url, |start| &rest[start..])
}

fn make_relative(value: &mut Value) {
    match value {
        Value::String(text) if text.starts_with("https://") => *text = path_of(text).to_owned(),
        Value::Array(values) => values.iter_mut().for_each(make_relative),
        Value::Object(members) => members.values_mut().for_each(make_relative),
        _ => {}
    }
}

fn strip_prefixes(value: &mut Value) {
    if let Value::Object(members) = value {
        if let Some(Value::String(kind)) = members.get_mut("type")
            && let Some(bare) = kind.strip_prefix("urn:ietf:params:acme:error:")
        {
            *kind = bare.to_owned();
        }
        members.values_mut().for_each(strip_prefixes);
    } else if let Value::Array(values) = value {
        values.iter_mut().for_each(strip_prefixes);
    }
}

fn add_nulls(value: &mut Value) {
    if let Value::Object(members) = value {
        members.values_mut().for_each(add_nulls);
        for absent in ["subproblems", "error", "certificate", "expires", "validated", "replaces", "keyChange"]
        {
            members.entry(absent).or_insert(Value::Null);
        }
        members.insert("x-sandbox".to_owned(), json!([{ "nobody": "knows" }]));
    } else if let Value::Array(values) = value {
        values.iter_mut().for_each(add_nulls);
    }
}
