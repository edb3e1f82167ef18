//! Orders (RFC 8555 sections 7.1.3 and 7.4), with `profile` and with `replaces` of RFC 9773 section 5.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use base64::prelude::{BASE64_URL_SAFE_NO_PAD, Engine};
use http::StatusCode;
use http::header::{LOCATION, RETRY_AFTER};
use jiff::Timestamp;
use rcgen::PublicKey;
use serde::Deserialize;
use serde_json::{Value, json};

use super::accounts::Account;
use super::ari;
use super::authorizations::{self, Authorization, AuthorizationStatus};
use super::certificates::{self, Certificate};
use super::issue;
use super::limits::OrderRequest;
use super::problem::{Problem, insert};
use super::request::Authentic;
use super::state::{State, after};
use crate::serve::{Reply, json};
use crate::sync::lock;

const MAX_NAMES: usize = 100;

pub(super) struct Order {
    pub(super) id: u64,
    account: Arc<Account>,
    names: Vec<String>,
    authorizations: Vec<Arc<Authorization>>,
    profile: Option<String>,
    replaces: Option<String>,
    expires: Timestamp,
    issuance: Mutex<Issuance>,
    is_answered: AtomicBool,
}

enum Issuance {
    Open,
    Processing,
    Valid(Arc<Certificate>),
    Failed(Problem),
}

/// RFC 8555 section 7.1.6.
#[derive(Clone)]
pub(super) enum OrderStatus {
    Pending,
    Ready,
    Processing,
    Valid(Arc<Certificate>),
    Invalid(Option<Problem>),
}

impl OrderStatus {
    fn as_str(&self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Ready => "ready",
            Self::Processing => "processing",
            Self::Valid(_) => "valid",
            Self::Invalid(_) => "invalid",
        }
    }
}

impl Order {
    /// The status follows from the facts at the moment of asking. As with Let's Encrypt, an order that failed
    /// with its authorization has no error of its own.
    pub(super) fn status(&self, state: &State) -> OrderStatus {
        let issuance = lock(&self.issuance);
        match &*issuance {
            Issuance::Valid(certificate) => OrderStatus::Valid(certificate.clone()),
            Issuance::Failed(problem) => OrderStatus::Invalid(Some(problem.clone())),
            Issuance::Open | Issuance::Processing if self.is_expired(state) => {
                OrderStatus::Invalid(Some(Problem::malformed("the order is expired")))
            }
            Issuance::Processing => OrderStatus::Processing,
            Issuance::Open => self.status_by_authorizations(state),
        }
    }

    /// Whether the client was given its URL.
    pub(super) fn is_answered(&self) -> bool {
        self.is_answered.load(Ordering::Relaxed)
    }

    pub(super) fn note_answered(&self) {
        self.is_answered.store(true, Ordering::Relaxed);
    }

    fn is_expired(&self, state: &State) -> bool {
        self.expires <= state.now() || state.knobs.is_expired(self.id)
    }

    /// Whether an authorization has failed. A CA may leave such an order pending, and no certificate comes of it.
    pub(super) fn has_failed_authorization(&self, state: &State) -> bool {
        self.authorizations
            .iter()
            .any(|authorization| authorization.status(state) == AuthorizationStatus::Invalid)
    }

    fn status_by_authorizations(&self, state: &State) -> OrderStatus {
        let mut all_valid = true;
        for authorization in &self.authorizations {
            match authorization.status(state) {
                AuthorizationStatus::Valid => {}
                AuthorizationStatus::Pending => all_valid = false,
                AuthorizationStatus::Invalid if state.odd.leaves_failed_orders_pending() => all_valid = false,
                _ => return OrderStatus::Invalid(None),
            }
        }
        if all_valid { OrderStatus::Ready } else { OrderStatus::Pending }
    }

    fn to_json(&self, state: &State, request: &Authentic) -> Value {
        let status = self.status(state);
        let identifiers: Vec<_> =
            self.names.iter().map(|name| json!({ "type": "dns", "value": name })).collect();
        let authorizations: Vec<_> = self
            .authorizations
            .iter()
            .map(|authorization| request.url_of(&format!("authorization/{}", authorization.id)))
            .cycle()
            .take(self.authorizations.len() * state.odd.authorizations_per_order())
            .collect();
        let mut order = json!({
            "status": status.as_str(),
            "expires": self.expires.to_string(),
            "identifiers": identifiers,
            "authorizations": authorizations,
            "finalize": request.url_of(&format!("finalize/{}", self.id)),
        });
        match &status {
            OrderStatus::Valid(certificate) => {
                order["certificate"] = request.url_of(&format!("certificate/{}", certificate.id)).into();
            }
            OrderStatus::Invalid(Some(problem)) => order["error"] = problem.to_json(),
            _ => {}
        }
        if let Some(profile) = &self.profile {
            order["profile"] = profile.as_str().into();
        }
        if let Some(replaces) = &self.replaces {
            order["replaces"] = replaces.as_str().into();
        }
        order
    }

    fn to_reply(&self, status: StatusCode, state: &State, request: &Authentic) -> Reply {
        let mut reply = json(status, &self.to_json(state, request));
        insert(&mut reply, LOCATION, &request.url_of(&format!("order/{}", self.id)));
        if matches!(self.status(state), OrderStatus::Processing | OrderStatus::Pending)
            && let Some(wait) = state.knobs.poll_after()
        {
            insert(&mut reply, RETRY_AFTER, &wait.as_secs().to_string());
        }
        reply
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct NewOrder {
    identifiers: Vec<Identifier>,
    not_before: Option<Value>,
    not_after: Option<Value>,
    profile: Option<String>,
    replaces: Option<String>,
}

#[derive(Deserialize)]
struct Identifier {
    #[serde(rename = "type")]
    kind: String,
    value: String,
}

pub(super) fn new_order(state: &State, request: &Authentic) -> Result<Reply, Problem> {
    let account = request.account()?;
    let payload: NewOrder = request.payload()?;
    if payload.not_before.is_some() || payload.not_after.is_some() {
        return Err(Problem::malformed("notBefore and notAfter are not supported"));
    }
    let names = names(&payload.identifiers)?;
    if let Some(profile) = &payload.profile
        && !state.knobs.has_profile(profile)
    {
        let detail = format!("there is no profile {profile}");
        return Err(Problem::new("invalidProfile", StatusCode::BAD_REQUEST, detail));
    }
    if let Some((name, wait)) = state.knobs.rate_limit_of(&names) {
        let detail = format!("too many certificates issued for {name}, retry after {}s", wait.as_secs());
        return Err(Problem::rate_limited(detail, wait));
    }
    if let Some(pause) = state.odd.pause_of(&names) {
        return Err(pause);
    }
    if payload.replaces.is_some()
        && let Some(refusal) = state.odd.refuses_replacements()
    {
        return Err(refusal);
    }
    let predecessor = match &payload.replaces {
        Some(id) => Some(certificates::find(state, id)?),
        None => None,
    };
    if let Some(predecessor) = &predecessor {
        predecessor.may_be_replaced(state, account.id, &names)?;
    }
    let asked = OrderRequest {
        account: account.id,
        names: &names,
        is_replacement: predecessor
            .as_ref()
            .is_some_and(|predecessor| ari::is_window_open(state, predecessor)),
    };
    let place = || place(state, account, payload, &names, predecessor);
    let order = state.ledger.admit(&asked, place)?;
    Ok(order.to_reply(StatusCode::CREATED, state, request))
}

fn place(
    state: &State,
    account: &Arc<Account>,
    payload: NewOrder,
    names: &[String],
    predecessor: Option<Arc<Certificate>>,
) -> Result<Arc<Order>, Problem> {
    let now = state.now();
    let expires = after(now, state.knobs.order_life());
    let order = Arc::new(Order {
        id: state.next_id(),
        account: account.clone(),
        authorizations: authorizations::for_order(state, account, names, expires),
        names: names.to_owned(),
        profile: payload.profile,
        replaces: payload.replaces,
        expires,
        issuance: Mutex::new(Issuance::Open),
        is_answered: AtomicBool::new(false),
    });
    if let Some(predecessor) = predecessor {
        predecessor.replace_by(state, &order)?;
    }
    state.orders.insert(order.id, order.clone());
    lock(&account.orders).push(order.id);
    state.counters.count_order(names, now);
    state.history.placed(state, &order, names, now);
    Ok(order)
}

fn names(identifiers: &[Identifier]) -> Result<Vec<String>, Problem> {
    if identifiers.is_empty() || identifiers.len() > MAX_NAMES {
        return Err(Problem::malformed(format!("an order has 1 to {MAX_NAMES} identifiers")));
    }
    let mut names = BTreeSet::new();
    for identifier in identifiers {
        if identifier.kind != "dns" {
            let detail = format!("identifiers of type {} are not supported", identifier.kind);
            return Err(Problem::new("unsupportedIdentifier", StatusCode::BAD_REQUEST, detail));
        }
        let name = identifier.value.to_ascii_lowercase();
        if !is_orderable(&name) {
            let detail = format!("cannot issue for {name:?}");
            return Err(Problem::new("rejectedIdentifier", StatusCode::BAD_REQUEST, detail));
        }
        names.insert(name);
    }
    Ok(names.into_iter().collect())
}

/// A host name with a dot. A wildcard is none: HTTP-01 cannot validate it.
fn is_orderable(name: &str) -> bool {
    let is_label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    name.len() <= 253
        && name.contains('.')
        && name.split('.').all(is_label)
        && name.parse::<std::net::Ipv4Addr>().is_err()
}

fn find(state: &State, request: &Authentic, id: u64) -> Result<Arc<Order>, Problem> {
    let order = state.orders.get(&id).ok_or_else(|| Problem::not_found("order"))?;
    if order.account.id != request.account()?.id {
        return Err(Problem::unauthorized("the order is another account's"));
    }
    Ok(order)
}

pub(super) fn order(state: &State, request: &Authentic, id: u64) -> Result<Reply, Problem> {
    let order = find(state, request, id)?;
    request.must_be_post_as_get()?;
    Ok(order.to_reply(StatusCode::OK, state, request))
}

#[derive(Deserialize)]
struct Finalize {
    csr: String,
}

pub(super) fn finalize(state: &Arc<State>, request: &Authentic, id: u64) -> Result<Reply, Problem> {
    let order = find(state, request, id)?;
    let payload: Finalize = request.payload()?;
    let not_ready = |status: &str| {
        let detail = format!("the order is {status}, not ready");
        Problem::new("orderNotReady", StatusCode::FORBIDDEN, detail)
    };
    let status = order.status(state);
    if !matches!(status, OrderStatus::Ready) {
        return Err(not_ready(status.as_str()));
    }
    let csr = BASE64_URL_SAFE_NO_PAD.decode(&payload.csr);
    let csr = csr.map_err(|_| Problem::bad_csr("the CSR is not base64url"))?;
    let key = issue::check_csr(csr, &order.names, &order.account.key())?;
    {
        let mut issuance = lock(&order.issuance);
        if !matches!(*issuance, Issuance::Open) {
            return Err(not_ready("being finalized"));
        }
        *issuance = Issuance::Processing;
    }
    let delay = state.knobs.finalize_delay();
    if delay.is_zero() {
        issue(state, &order, key);
    } else {
        let (ca, order) = (state.clone(), order.clone());
        state.spawn(async move {
            tokio::time::sleep(delay).await;
            issue(&ca, &order, key);
        });
    }
    Ok(order.to_reply(StatusCode::OK, state, request))
}

fn issue(state: &State, order: &Arc<Order>, key: PublicKey) {
    if order.is_expired(state) {
        return;
    }
    if let Some(problem) = state.odd.issuance_failure() {
        *lock(&order.issuance) = Issuance::Failed(problem);
        state.counters.count_ended_order();
        return;
    }
    let lifetime = state.knobs.lifetime_of(order.profile.as_deref());
    let issued = certificates::issue(state, order.account.id, &order.names, key, lifetime);
    *lock(&order.issuance) = match issued {
        Ok(certificate) => Issuance::Valid(certificate),
        Err(error) => Issuance::Failed(Problem::server_internal(format!("issuance failed: {error}"))),
    };
}
