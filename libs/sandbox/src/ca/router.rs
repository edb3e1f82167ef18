//! From requests to resources and back: routing, the headers that every answer has, and the faults that are applied
//! to answers.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use http::header::{CACHE_CONTROL, HeaderName, LINK};
use http::{HeaderValue, Method, StatusCode};

use super::problem::{Problem, insert};
use super::request::{Authentic, base_url};
use super::state::State;
use super::{
    Endpoint, Nonsense, accounts, admin, ari, authorizations, certificates, directory, history, orders,
};
use crate::serve::{DroppedConnection, LostPart, Reply, Request, Service, body_of, empty, reply, text};

const REPLAY_NONCE: HeaderName = HeaderName::from_static("replay-nonce");
const DOWNTIME: Duration = Duration::from_secs(5);
const HUGE_BODY_BYTES: usize = 32 * 1024 * 1024;

enum Resource<'a> {
    Directory,
    NewNonce,
    Terms,
    RenewalInfo(&'a str),
    NewAccount,
    NewOrder,
    RevokeCert,
    KeyChange,
    Account(u64),
    /// Of an account, and which page.
    Orders(u64, usize),
    Order(u64),
    Finalize(u64),
    Authorization(u64),
    Challenge(u64),
    Certificate(&'a str),
}

impl<'a> Resource<'a> {
    fn of(path: &'a str) -> Option<Self> {
        let path = path.strip_prefix('/')?;
        let Some((kind, id)) = path.split_once('/') else {
            return Some(match path {
                "directory" => Self::Directory,
                "new-nonce" => Self::NewNonce,
                "terms" => Self::Terms,
                "new-account" => Self::NewAccount,
                "new-order" => Self::NewOrder,
                "revoke-cert" => Self::RevokeCert,
                "key-change" => Self::KeyChange,
                _ => return None,
            });
        };
        match kind {
            "renewal-info" => return Some(Self::RenewalInfo(id)),
            "certificate" => return Some(Self::Certificate(id)),
            "orders" => {
                let (account, page) = id.split_once('/').unwrap_or((id, "0"));
                return Some(Self::Orders(account.parse().ok()?, page.parse().ok()?));
            }
            _ => {}
        }
        let number = id.parse().ok()?;
        match kind {
            "account" => Some(Self::Account(number)),
            "order" => Some(Self::Order(number)),
            "finalize" => Some(Self::Finalize(number)),
            "authorization" => Some(Self::Authorization(number)),
            "challenge" => Some(Self::Challenge(number)),
            _ => None,
        }
    }

    /// What faults call it.
    fn endpoint(&self) -> Option<Endpoint> {
        match self {
            Self::NewAccount => Some(Endpoint::NewAccount),
            Self::NewOrder => Some(Endpoint::NewOrder),
            Self::Order(_) => Some(Endpoint::Order),
            Self::Finalize(_) => Some(Endpoint::Finalize),
            Self::Authorization(_) => Some(Endpoint::Authorization),
            Self::Challenge(_) => Some(Endpoint::Challenge),
            Self::Certificate(_) => Some(Endpoint::Certificate),
            Self::RevokeCert => Some(Endpoint::RevokeCert),
            Self::KeyChange => Some(Endpoint::KeyChange),
            Self::RenewalInfo(_) => Some(Endpoint::RenewalInfo),
            _ => None,
        }
    }
}

impl Service for State {
    async fn answer(self: Arc<Self>, request: Request) -> Result<Reply, DroppedConnection> {
        if self.admin && request.uri().path().starts_with("/sandbox/") {
            return Ok(admin::answer(&self, &request));
        }
        self.counters.requests.fetch_add(1, Ordering::Relaxed);
        if self.knobs.is_down() {
            let detail = "the service is down for maintenance";
            let problem = Problem::new("serverInternal", StatusCode::SERVICE_UNAVAILABLE, detail);
            return Ok(problem.retry_after(DOWNTIME).to_reply());
        }
        let mut reply = match answer(&self, &request).await {
            Ok(Some(reply)) => reply,
            Ok(None) => return Err(DroppedConnection),
            Err(problem) => problem.to_reply(),
        };
        reply = self.odd.write(reply).await;
        if let Ok(base) = base_url(&request) {
            let index = format!("<{base}directory>;rel=\"index\"");
            if let Ok(index) = HeaderValue::from_str(&index) {
                reply.headers_mut().append(LINK, index);
            }
        }
        reply.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if request.method() != Method::GET {
            insert(&mut reply, REPLAY_NONCE, &self.nonces.make());
        }
        Ok(reply)
    }
}

/// The answer; none if it is to be dropped.
async fn answer(state: &Arc<State>, request: &Request) -> Result<Option<Reply>, Problem> {
    let resource = Resource::of(request.uri().path()).ok_or_else(|| Problem::not_found("resource"))?;
    if let Some(reply) = answer_anyone(state, request, &resource)? {
        return Ok(Some(reply));
    }
    let authentic = Authentic::new(state, request)?;
    let endpoint = resource.endpoint();
    let drops = |lost| endpoint.is_some_and(|endpoint| state.knobs.drops.take(endpoint, lost));
    if drops(LostPart::Request) {
        return Ok(None);
    }
    if let Some(refusal) = endpoint.and_then(|endpoint| state.knobs.refusal_of(endpoint)) {
        return Err(refusal);
    }
    if let Some(refusal) = endpoint.and_then(|endpoint| state.odd.refusal(endpoint)) {
        return Ok(Some(refusal));
    }
    let mut reply = answer_authentic(state, &authentic, &resource)?;
    if let Some(wait) = endpoint.and_then(|endpoint| state.odd.answers_after(endpoint)) {
        tokio::time::sleep(wait).await;
    }
    if let Some(wrong) = endpoint.and_then(|endpoint| state.odd.wrong_answer(endpoint)) {
        reply = wrong;
    }
    if drops(LostPart::Answer) {
        return Ok(None);
    }
    let Some(endpoint) = endpoint else {
        return Ok(Some(reply));
    };
    if endpoint == Endpoint::NewOrder {
        history::answered(state, &reply);
    }
    match state.knobs.nonsense_for(endpoint) {
        Some(nonsense) => Ok(Some(spoil(state, &resource, reply, nonsense).await)),
        None => Ok(Some(reply)),
    }
}

/// The resources that take no JWS.
fn answer_anyone(
    state: &State,
    request: &Request,
    resource: &Resource<'_>,
) -> Result<Option<Reply>, Problem> {
    let is_get = request.method() == Method::GET;
    if let Resource::RenewalInfo(_) = resource
        && let Some(refusal) = state.knobs.refusal_of(Endpoint::RenewalInfo)
    {
        return Err(refusal);
    }
    match resource {
        Resource::NewNonce if request.method() == Method::HEAD => Ok(Some(empty(StatusCode::OK))),
        Resource::NewNonce if is_get => {
            let mut reply = empty(StatusCode::NO_CONTENT);
            insert(&mut reply, REPLAY_NONCE, &state.nonces.make());
            Ok(Some(reply))
        }
        Resource::Directory if is_get => Ok(Some(directory::directory(state, &base_url(request)?))),
        Resource::Terms if is_get => Ok(Some(text(StatusCode::OK, "A sandbox: do as you please.\n"))),
        Resource::RenewalInfo(id) if is_get => ari::renewal_info(state, id).map(Some),
        Resource::NewNonce | Resource::Directory | Resource::Terms | Resource::RenewalInfo(_) => {
            Err(Problem::method_not_allowed())
        }
        _ => Ok(None),
    }
}

fn answer_authentic(
    state: &Arc<State>,
    request: &Authentic,
    resource: &Resource<'_>,
) -> Result<Reply, Problem> {
    match resource {
        Resource::NewAccount => accounts::new_account(state, request),
        Resource::NewOrder => orders::new_order(state, request),
        Resource::RevokeCert => certificates::revoke_cert(state, request),
        Resource::KeyChange => accounts::key_change(state, request),
        Resource::Account(id) => accounts::account(state, request, *id),
        Resource::Orders(id, page) => accounts::orders(state, request, *id, *page),
        Resource::Order(id) => orders::order(state, request, *id),
        Resource::Finalize(id) => orders::finalize(state, request, *id),
        Resource::Authorization(id) => authorizations::authorization(state, request, *id),
        Resource::Challenge(id) => authorizations::challenge(state, request, *id),
        Resource::Certificate(id) => certificates::certificate(state, request, id),
        Resource::Directory | Resource::NewNonce | Resource::Terms | Resource::RenewalInfo(_) => {
            Err(Problem::method_not_allowed())
        }
    }
}

/// The answer as a broken CA would give it; its headers stay, so that only the body is wrong.
async fn spoil(state: &State, resource: &Resource<'_>, good: Reply, nonsense: Nonsense) -> Reply {
    let wrong = match (nonsense, resource) {
        (
            Nonsense::OtherKey
            | Nonsense::OtherName
            | Nonsense::AddedName
            | Nonsense::Shuffled
            | Nonsense::Later,
            resource,
        ) => {
            return match resource {
                Resource::Certificate(id) => certificates::wrong_chain(state, id, nonsense).unwrap_or(good),
                _ => good,
            };
        }
        (Nonsense::Html, _) => reply(good.status(), "text/html", "<html><h1>It works!</h1></html>"),
        (Nonsense::HugeBody, _) => reply(good.status(), "application/json", vec![b' '; HUGE_BODY_BYTES]),
        (Nonsense::TruncatedJson, _) => {
            let (head, body) = body_of(good).await;
            let mut cut = reply(head.status, "application/json", body.slice(..body.len() / 2));
            cut.headers_mut().extend(head.headers);
            return cut;
        }
    };
    let (head, body) = wrong.into_parts();
    let mut headers = good.headers().clone();
    headers.extend(head.headers.clone());
    let mut wrong = Reply::from_parts(head, body);
    *wrong.headers_mut() = headers;
    wrong
}
