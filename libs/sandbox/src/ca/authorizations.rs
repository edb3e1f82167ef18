//! Authorizations and their one challenge, `http-01` (RFC 8555 sections 7.1.4, 7.5 and 8.3).

use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};

use http::StatusCode;
use http::header::{LINK, LOCATION, RETRY_AFTER};
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Value, json};

use super::ValidationResult;
use super::accounts::Account;
use super::problem::{Problem, insert};
use super::request::Authentic;
use super::state::{State, after};
use crate::random;
use crate::serve::{Reply, json};
use crate::sync::lock;

/// As long as Let's Encrypt's.
const VALIDITY: std::time::Duration = std::time::Duration::from_hours(30 * 24);

pub(super) struct Authorization {
    pub(super) id: u64,
    account: u64,
    pub(super) name: String,
    pub(super) token: String,
    state: Mutex<Progress>,
}

struct Progress {
    step: Step,
    expires: Timestamp,
}

enum Step {
    Pending,
    /// The client responded; `running` during the validation.
    Processing {
        running: bool,
    },
    Valid {
        validated: Timestamp,
    },
    Invalid(Problem),
    Deactivated,
}

/// RFC 8555 section 7.1.6.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum AuthorizationStatus {
    Pending,
    Valid,
    Invalid,
    Deactivated,
    Expired,
}

impl AuthorizationStatus {
    fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Valid => "valid",
            Self::Invalid => "invalid",
            Self::Deactivated => "deactivated",
            Self::Expired => "expired",
        }
    }
}

impl Authorization {
    fn new(state: &State, account: &Account, name: &str, expires: Timestamp) -> Arc<Self> {
        let authorization = Arc::new(Self {
            id: state.next_id(),
            account: account.id,
            name: name.to_owned(),
            token: random::token(),
            state: Mutex::new(Progress { step: Step::Pending, expires }),
        });
        state.authorizations.insert(authorization.id, authorization.clone());
        state.counters.note_token(name, &authorization.token);
        authorization
    }

    pub(super) fn status(&self, state: &State) -> AuthorizationStatus {
        let progress = lock(&self.state);
        let is_past = progress.expires <= state.now();
        match progress.step {
            Step::Pending | Step::Processing { .. } if is_past || state.knobs.is_expired(self.id) => {
                AuthorizationStatus::Expired
            }
            Step::Pending | Step::Processing { .. } => AuthorizationStatus::Pending,
            Step::Valid { .. } if is_past => AuthorizationStatus::Expired,
            Step::Valid { .. } => AuthorizationStatus::Valid,
            Step::Invalid(_) => AuthorizationStatus::Invalid,
            Step::Deactivated => AuthorizationStatus::Deactivated,
        }
    }

    pub(super) fn is_valid(&self, state: &State) -> bool {
        self.status(state) == AuthorizationStatus::Valid
    }

    /// Starts the validation, unless it is over or running.
    fn start(&self) -> bool {
        let mut progress = lock(&self.state);
        let free = matches!(progress.step, Step::Pending | Step::Processing { running: false });
        if free {
            progress.step = Step::Processing { running: true };
        }
        free
    }

    /// Leaves the validation without a result.
    fn give_up(&self) {
        lock(&self.state).step = Step::Processing { running: false };
    }

    fn settle(self: &Arc<Self>, state: &State, account: &Account, result: Result<(), Problem>) {
        let now = state.now();
        let is_valid = result.is_ok();
        state.counters.validations.fetch_add(1, Ordering::Relaxed);
        {
            let mut progress = lock(&self.state);
            if !matches!(progress.step, Step::Processing { .. }) {
                return;
            }
            match result {
                Ok(()) => {
                    *progress =
                        Progress { step: Step::Valid { validated: now }, expires: after(now, VALIDITY) }
                }
                Err(problem) => progress.step = Step::Invalid(problem),
            }
        }
        if is_valid {
            lock(&account.authorized).insert(self.name.clone(), self.clone());
            state.ledger.authorization_valid(self.account, &self.name);
            return;
        }
        state.counters.count_ended_order();
        if state.ledger.authorization_failed(self.account, &self.name) {
            state.odd.pause(&self.name, Some(&format!("https://sandbox.invalid/unpause?name={}", self.name)));
        }
    }

    fn to_json(&self, state: &State, request: &Authentic) -> Value {
        let status = match self.status(state) {
            AuthorizationStatus::Invalid if state.odd.leaves_failed_orders_pending() => "pending",
            status => status.as_str(),
        };
        let mut challenge = self.challenge_json(request);
        if !state.odd.offers_http_01(&self.name) {
            challenge["type"] = "dns-01".into();
        }
        json!({
            "identifier": { "type": "dns", "value": self.name },
            "status": status,
            "expires": lock(&self.state).expires.to_string(),
            "challenges": [challenge],
        })
    }

    fn challenge_json(&self, request: &Authentic) -> Value {
        let mut challenge = json!({
            "type": "http-01",
            "url": request.url_of(&format!("challenge/{}", self.id)),
            "token": self.token,
            "status": "pending",
        });
        match &lock(&self.state).step {
            Step::Pending | Step::Deactivated => {}
            Step::Processing { .. } => challenge["status"] = "processing".into(),
            Step::Valid { validated } => {
                challenge["status"] = "valid".into();
                challenge["validated"] = validated.to_string().into();
            }
            Step::Invalid(problem) => {
                challenge["status"] = "invalid".into();
                challenge["error"] = problem.to_json();
            }
        }
        challenge
    }
}

/// The authorizations that an order of these names needs.
pub(super) fn for_order(
    state: &State,
    account: &Account,
    names: &[String],
    expires: Timestamp,
) -> Vec<Arc<Authorization>> {
    names.iter().map(|name| for_name(state, account, name, expires)).collect()
}

/// A valid one is reused, except for a name whose validation is controlled by a test, which expects it to happen.
fn for_name(state: &State, account: &Account, name: &str, expires: Timestamp) -> Arc<Authorization> {
    let may_reuse =
        state.reuse_authorizations && matches!(state.knobs.validation_of(name), ValidationResult::Real);
    let known = lock(&account.authorized).get(name).cloned();
    match known {
        Some(known) if may_reuse && known.is_valid(state) => known,
        _ => Authorization::new(state, account, name, expires),
    }
}

fn find(state: &State, request: &Authentic, id: u64) -> Result<Arc<Authorization>, Problem> {
    let authorization = state.authorizations.get(&id).ok_or_else(|| Problem::not_found("authorization"))?;
    if authorization.account != request.account()?.id {
        return Err(Problem::unauthorized("the authorization is another account's"));
    }
    Ok(authorization)
}

#[derive(Deserialize)]
struct AuthorizationUpdate {
    status: String,
}

pub(super) fn authorization(state: &State, request: &Authentic, id: u64) -> Result<Reply, Problem> {
    let authorization = find(state, request, id)?;
    if !request.is_post_as_get() {
        let update: AuthorizationUpdate = request.payload()?;
        let may =
            matches!(authorization.status(state), AuthorizationStatus::Pending | AuthorizationStatus::Valid);
        if update.status != "deactivated" || !may {
            return Err(Problem::malformed("only a pending or valid authorization can be deactivated"));
        }
        lock(&authorization.state).step = Step::Deactivated;
    }
    let mut reply = json(StatusCode::OK, &authorization.to_json(state, request));
    if authorization.status(state) == AuthorizationStatus::Pending
        && let Some(wait) = state.knobs.poll_after()
    {
        insert(&mut reply, RETRY_AFTER, &wait.as_secs().to_string());
    }
    Ok(reply)
}

/// With a payload, the client's word that it is ready to be validated. The answer says `processing`, however soon the
/// result is there: so a real CA's does, and clients take an error in it for a refused request.
pub(super) fn challenge(state: &Arc<State>, request: &Authentic, id: u64) -> Result<Reply, Problem> {
    let authorization = find(state, request, id)?;
    let responds = !request.is_post_as_get();
    if responds && authorization.status(state) == AuthorizationStatus::Expired {
        return Err(Problem::malformed("the authorization is expired"));
    }
    let starts = responds && authorization.start();
    let mut reply = json(StatusCode::OK, &authorization.challenge_json(request));
    let up = request.url_of(&format!("authorization/{id}"));
    insert(&mut reply, LINK, &format!("<{up}>;rel=\"up\""));
    insert(&mut reply, LOCATION, &request.url);
    if starts {
        validate(state, request.account()?, &authorization);
    }
    Ok(reply)
}

fn validate(state: &Arc<State>, account: &Arc<Account>, authorization: &Arc<Authorization>) {
    match state.knobs.validation_of(&authorization.name) {
        ValidationResult::Valid => authorization.settle(state, account, Ok(())),
        ValidationResult::Invalid { problem, detail } => {
            let problem = Problem::new(problem, StatusCode::FORBIDDEN, detail);
            authorization.settle(state, account, Err(problem));
        }
        ValidationResult::Never => authorization.give_up(),
        ValidationResult::Real => {
            let (account, authorization) = (account.clone(), authorization.clone());
            let ca = state.clone();
            state.spawn(async move {
                let key_authorization = format!("{}.{}", authorization.token, account.key().thumbprint);
                let (name, token) = (&authorization.name, &authorization.token);
                let connect_to = ca.knobs.validate_at();
                let result = ca.validator.validate(name, token, &key_authorization, connect_to).await;
                authorization.settle(&ca, &account, result);
            });
        }
    }
}
