//! The CA's resources (RFC 8555 section 7).

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use axum::body::Bytes;
use axum::extract::{Path, Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Json, Response};
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use http::{HeaderValue, StatusCode, Uri, header};
use rcgen::KeyPair;
use serde_json::{Value, json};

use super::control::{Endpoint, Nonsense};
use super::jws::{Signed, Signer, verify, verify_binding};
use super::problem::Problem;
use super::state::{
    Account, AuthorizationRecord, AuthorizationStatus, CaState, ORDER_LIFE, OrderRecord, OrderStatus,
    random_token,
};
use super::validation;
use crate::net::dropped;

type Ca = State<Arc<CaState>>;
const DOWN_RETRY_AFTER: u64 = 2;
const HUGE: usize = 2 * 1024 * 1024;

/// Every answer carries a nonce; a CA that is down answers nothing else.
pub(crate) async fn availability(State(state): Ca, request: Request, next: Next) -> Response {
    state.count_request();
    if state.behaviour().down {
        let mut problem = Problem::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "serverInternal",
            "down for maintenance",
        );
        problem.retry_after = Some(DOWN_RETRY_AFTER);
        return problem.into_response();
    }
    let is_get = request.method() == http::Method::GET;
    let mut response = next.run(request).await;
    if !is_get && let Ok(nonce) = HeaderValue::from_str(&state.new_nonce()) {
        response.headers_mut().insert("replay-nonce", nonce);
    }
    response
}

pub(crate) async fn directory(State(state): Ca) -> Json<Value> {
    let url = |path: &str| format!("{}/{path}", state.base);
    let profiles: HashMap<String, String> = state
        .behaviour()
        .profiles
        .keys()
        .map(|name| (name.clone(), format!("the profile {name}")))
        .collect();
    Json(json!({
        "newNonce": url("new-nonce"),
        "newAccount": url("new-account"),
        "newOrder": url("new-order"),
        "renewalInfo": url("renewal-info"),
        "meta": {
            "termsOfService": url("terms"),
            "caaIdentities": ["sandbox.example"],
            "externalAccountRequired": !state.options.external_account_keys.is_empty(),
            "profiles": profiles,
        },
    }))
}

pub(crate) async fn new_nonce() -> StatusCode {
    StatusCode::OK
}

/// Checks the request, and then lets its answer get lost or turn into nonsense where a test wants that.
fn finish(state: &CaState, endpoint: Endpoint, answer: Result<Response, Problem>) -> Response {
    let response = answer.unwrap_or_else(IntoResponse::into_response);
    if response.status() == StatusCode::BAD_REQUEST {
        return response;
    }
    let mut behaviour = state.behaviour();
    if behaviour.drops_this_answer(endpoint) {
        return dropped(response);
    }
    let headers = response.headers().clone();
    let body = match behaviour.nonsense_now(endpoint) {
        Some(Nonsense::Truncated) => r#"{"status": "pend"#.to_owned(),
        Some(Nonsense::Html) => "<html><body>Welcome</body></html>".to_owned(),
        Some(Nonsense::Huge) => " ".repeat(HUGE),
        Some(Nonsense::OtherKey | Nonsense::OtherName) | None => return response,
    };
    let mut nonsense = (response.status(), body).into_response();
    // What a proxy would have left alone.
    for name in [header::LOCATION, header::CONTENT_TYPE] {
        if let Some(value) = headers.get(&name) {
            nonsense.headers_mut().insert(name, value.clone());
        }
    }
    nonsense
}

fn known(signed: Signed) -> Result<(Account, Option<Value>), Problem> {
    match signed.signer {
        Signer::Known(account) => Ok((account, signed.payload)),
        Signer::New(_) => Err(Problem::malformed("this resource wants a kid")),
    }
}

fn located(status: StatusCode, url: &str, body: &Value) -> Response {
    (status, [(header::LOCATION, url.to_owned())], Json(body.clone())).into_response()
}

pub(crate) async fn new_account(State(state): Ca, uri: Uri, body: Bytes) -> Response {
    let answer = verify(&state, uri.path(), &body).and_then(|signed| register(&state, signed));
    finish(&state, Endpoint::NewAccount, answer)
}

fn register(state: &CaState, signed: Signed) -> Result<Response, Problem> {
    let Signer::New(key) = signed.signer else {
        return Err(Problem::malformed("new-account wants a jwk"));
    };
    let payload = signed.payload.unwrap_or_default();
    if let Some(id) = state.tables().accounts_by_thumbprint.get(&key.thumbprint) {
        let url = format!("{}/account/{id}", state.base);
        return Ok(located(StatusCode::OK, &url, &json!({ "status": "valid" })));
    }
    if payload["onlyReturnExisting"] == json!(true) {
        return Err(Problem::new(
            StatusCode::BAD_REQUEST,
            "accountDoesNotExist",
            "no account with this key",
        ));
    }
    if payload["termsOfServiceAgreed"] != json!(true) {
        return Err(Problem::new(
            StatusCode::FORBIDDEN,
            "userActionRequired",
            "agree to the terms of service",
        ));
    }
    if !state.options.external_account_keys.is_empty() {
        let detail = "an external account binding is needed";
        let missing = || Problem::new(StatusCode::FORBIDDEN, "externalAccountRequired", detail);
        verify_binding(
            state,
            payload.get("externalAccountBinding").ok_or_else(missing)?,
            &key,
        )?;
    }
    let contact = payload["contact"].as_array().cloned().unwrap_or_default();
    let account = Account {
        id: random_token(),
        key: key.point,
        thumbprint: key.thumbprint.clone(),
        contact: contact
            .iter()
            .filter_map(|contact| contact.as_str().map(str::to_owned))
            .collect(),
    };
    let url = format!("{}/account/{}", state.base, account.id);
    let mut tables = state.tables();
    tables
        .accounts_by_thumbprint
        .insert(key.thumbprint, account.id.clone());
    tables.accounts.insert(account.id.clone(), account);
    Ok(located(StatusCode::CREATED, &url, &json!({ "status": "valid" })))
}

pub(crate) async fn account(State(state): Ca, uri: Uri, body: Bytes) -> Response {
    let answer = verify(&state, uri.path(), &body).and_then(known);
    answer.map_or_else(IntoResponse::into_response, |(account, _)| {
        Json(json!({ "status": "valid", "contact": account.contact })).into_response()
    })
}

pub(crate) async fn new_order(State(state): Ca, uri: Uri, body: Bytes) -> Response {
    let answer = verify(&state, uri.path(), &body)
        .and_then(known)
        .and_then(|(account, payload)| place(&state, &account, &payload.unwrap_or_default()));
    finish(&state, Endpoint::NewOrder, answer)
}

fn place(state: &CaState, account: &Account, payload: &Value) -> Result<Response, Problem> {
    let limited = state.behaviour().rate_limit;
    if let Some(seconds) = limited {
        let mut problem = Problem::new(
            StatusCode::TOO_MANY_REQUESTS,
            "rateLimited",
            "too many new orders recently",
        );
        problem.retry_after = Some(seconds);
        return Err(problem);
    }
    let identifiers = payload["identifiers"]
        .as_array()
        .map(Vec::as_slice)
        .unwrap_or_default();
    let [identifier] = identifiers else {
        return Err(Problem::malformed("one identifier per order here"));
    };
    let name = identifier["value"]
        .as_str()
        .unwrap_or_default()
        .to_ascii_lowercase();
    if identifier["type"] != json!("dns") || !name.contains('.') || name.contains('*') {
        return Err(Problem::new(
            StatusCode::BAD_REQUEST,
            "rejectedIdentifier",
            "not a name for http-01",
        ));
    }
    let profile = payload["profile"].as_str().map(str::to_owned);
    if profile
        .as_ref()
        .is_some_and(|profile| !state.behaviour().profiles.contains_key(profile))
    {
        return Err(Problem::new(
            StatusCode::BAD_REQUEST,
            "invalidProfile",
            "no such profile",
        ));
    }
    let replaces = payload["replaces"].as_str().map(str::to_owned);
    let now = state.now();
    let mut tables = state.tables();
    if let Some(id) = &replaces
        && !tables.replaced.insert(id.clone())
    {
        return Err(Problem::new(
            StatusCode::CONFLICT,
            "alreadyReplaced",
            "another order replaces that certificate",
        ));
    }
    let id = random_token();
    let usable_key = (account.id.clone(), name.clone());
    let reusable = tables
        .usable
        .get(&usable_key)
        .filter(|_| state.options.reuse_authorizations)
        .cloned();
    let authorization_id = reusable.unwrap_or_else(random_token);
    let authorization = tables
        .authorizations
        .entry(authorization_id.clone())
        .or_insert_with(|| AuthorizationRecord {
            account: account.id.clone(),
            name: name.clone(),
            token: random_token(),
            status: AuthorizationStatus::Pending,
            error: None,
            expires: now + ORDER_LIFE,
            orders: Vec::new(),
        });
    authorization.orders.push(id.clone());
    let status = match authorization.status {
        AuthorizationStatus::Valid => OrderStatus::Ready,
        _ => OrderStatus::Pending,
    };
    tables.usable.insert(usable_key, authorization_id.clone());
    *tables.orders_by_name.entry(name.clone()).or_default() += 1;
    let order = OrderRecord {
        account: account.id.clone(),
        name,
        status,
        authorization: authorization_id,
        profile,
        replaces,
        expires: now + ORDER_LIFE,
        error: None,
        certificate: None,
    };
    let body = order_json(state, &id, &order);
    tables.orders.insert(id.clone(), order);
    Ok(located(
        StatusCode::CREATED,
        &format!("{}/order/{id}", state.base),
        &body,
    ))
}

fn order_json(state: &CaState, id: &str, order: &OrderRecord) -> Value {
    let status = match order.status {
        OrderStatus::Pending => "pending",
        OrderStatus::Ready => "ready",
        OrderStatus::Processing => "processing",
        OrderStatus::Valid => "valid",
        OrderStatus::Invalid => "invalid",
    };
    let mut body = json!({
        "status": status,
        "expires": order.expires,
        "identifiers": [{ "type": "dns", "value": order.name }],
        "authorizations": [format!("{}/authorization/{}", state.base, order.authorization)],
        "finalize": format!("{}/order/{id}/finalize", state.base),
    });
    if let Some(certificate) = order
        .certificate
        .as_ref()
        .filter(|_| order.status == OrderStatus::Valid)
    {
        body["certificate"] = json!(format!("{}/certificate/{certificate}", state.base));
    }
    if let Some(problem) = &order.error {
        body["error"] = problem.json();
    }
    for (field, value) in [("replaces", &order.replaces), ("profile", &order.profile)] {
        if let Some(value) = value {
            body[field] = json!(value);
        }
    }
    body
}

fn own_order(state: &CaState, account: &Account, id: &str) -> Result<OrderRecord, Problem> {
    let order = state
        .tables()
        .orders
        .get(id)
        .filter(|order| order.account == account.id)
        .cloned();
    order.ok_or_else(|| Problem::not_found("order"))
}

pub(crate) async fn order(State(state): Ca, Path(id): Path<String>, uri: Uri, body: Bytes) -> Response {
    let answer = verify(&state, uri.path(), &body)
        .and_then(known)
        .and_then(|(account, _)| own_order(&state, &account, &id))
        .map(|order| Json(order_json(&state, &id, &order)).into_response());
    finish(&state, Endpoint::Order, answer)
}

fn authorization_json(state: &CaState, id: &str, authorization: &AuthorizationRecord) -> Value {
    let (status, challenge_status) = match authorization.status {
        AuthorizationStatus::Pending => ("pending", "pending"),
        AuthorizationStatus::Processing => ("pending", "processing"),
        AuthorizationStatus::Valid => ("valid", "valid"),
        AuthorizationStatus::Invalid => ("invalid", "invalid"),
    };
    json!({
        "identifier": { "type": "dns", "value": authorization.name },
        "status": status,
        "expires": authorization.expires,
        "challenges": [challenge_json(state, id, authorization, challenge_status)],
    })
}

fn challenge_json(state: &CaState, id: &str, authorization: &AuthorizationRecord, status: &str) -> Value {
    let mut challenge = json!({
        "type": "http-01",
        "url": format!("{}/challenge/{id}", state.base),
        "status": status,
        "token": authorization.token,
    });
    if let Some(problem) = &authorization.error {
        challenge["error"] = problem.json();
    }
    challenge
}

pub(crate) async fn authorization(
    State(state): Ca,
    Path(id): Path<String>,
    uri: Uri,
    body: Bytes,
) -> Response {
    let answer = verify(&state, uri.path(), &body)
        .and_then(known)
        .and_then(|(account, _)| {
            let found = state
                .tables()
                .authorizations
                .get(&id)
                .filter(|found| found.account == account.id)
                .cloned();
            let found = found.ok_or_else(|| Problem::not_found("authorization"))?;
            Ok(Json(authorization_json(&state, &id, &found)).into_response())
        });
    finish(&state, Endpoint::Authorization, answer)
}

pub(crate) async fn challenge(State(state): Ca, Path(id): Path<String>, uri: Uri, body: Bytes) -> Response {
    let answer = verify(&state, uri.path(), &body)
        .and_then(known)
        .and_then(|(account, payload)| {
            let mut tables = state.tables();
            let authorization = tables
                .authorizations
                .get_mut(&id)
                .filter(|found| found.account == account.id);
            let authorization = authorization.ok_or_else(|| Problem::not_found("challenge"))?;
            // A POST-as-GET only looks.
            if payload.is_some() && authorization.status == AuthorizationStatus::Pending {
                authorization.status = AuthorizationStatus::Processing;
                let (name, token) = (authorization.name.clone(), authorization.token.clone());
                tokio::spawn(validation::validate(
                    state.clone(),
                    id.clone(),
                    name,
                    token,
                    account.thumbprint,
                ));
            }
            let status = match authorization.status {
                AuthorizationStatus::Pending => "pending",
                AuthorizationStatus::Processing => "processing",
                AuthorizationStatus::Valid => "valid",
                AuthorizationStatus::Invalid => "invalid",
            };
            Ok(Json(challenge_json(&state, &id, authorization, status)).into_response())
        });
    finish(&state, Endpoint::Challenge, answer)
}

pub(crate) async fn finalize(State(state): Ca, Path(id): Path<String>, uri: Uri, body: Bytes) -> Response {
    let answer = verify(&state, uri.path(), &body)
        .and_then(known)
        .and_then(|(account, payload)| sign(&state, &account, &id, &payload.unwrap_or_default()));
    finish(&state, Endpoint::Finalize, answer)
}

fn sign(state: &Arc<CaState>, account: &Account, id: &str, payload: &Value) -> Result<Response, Problem> {
    let mut order = own_order(state, account, id)?;
    if order.status != OrderStatus::Ready {
        return Err(Problem::new(
            StatusCode::FORBIDDEN,
            "orderNotReady",
            "the order is not ready",
        ));
    }
    let csr = payload["csr"]
        .as_str()
        .and_then(|csr| BASE64_URL_SAFE_NO_PAD.decode(csr).ok());
    let csr = csr.ok_or_else(|| Problem::malformed("no csr"))?;
    let lifetime = {
        let behaviour = state.behaviour();
        let of_profile = order
            .profile
            .as_ref()
            .and_then(|profile| behaviour.profiles.get(profile));
        of_profile.copied().unwrap_or(behaviour.lifetime)
    };
    let leaf = state
        .authority
        .sign(&csr, &order.name, &account.key, state.now(), lifetime)?;
    let delay = state.finalize_delay();
    let certificate = random_token();
    order.status = if delay.is_zero() {
        OrderStatus::Valid
    } else {
        OrderStatus::Processing
    };
    order.certificate = Some(certificate.clone());
    let body = order_json(state, id, &order);
    {
        let mut tables = state.tables();
        tables
            .issued
            .insert(leaf.renewal_id, (leaf.not_before, leaf.not_after));
        tables.certificates.insert(certificate, leaf.chain_pem);
        tables.orders.insert(id.to_owned(), order);
    }
    state.certificates_issued.fetch_add(1, Ordering::SeqCst);
    if !delay.is_zero() {
        let (state, id) = (state.clone(), id.to_owned());
        tokio::spawn(async move {
            tokio::time::sleep(delay).await;
            if let Some(order) = state.tables().orders.get_mut(&id) {
                order.status = OrderStatus::Valid;
            }
        });
    }
    Ok(located(
        StatusCode::OK,
        &format!("{}/order/{id}", state.base),
        &body,
    ))
}

pub(crate) async fn certificate(State(state): Ca, Path(id): Path<String>, uri: Uri, body: Bytes) -> Response {
    let answer = verify(&state, uri.path(), &body).and_then(known).and_then(|_| {
        let chain = state.tables().certificates.get(&id).cloned();
        let chain = chain.ok_or_else(|| Problem::not_found("certificate"))?;
        let chain = wrong_certificate(&state)?.unwrap_or(chain);
        Ok((
            [(header::CONTENT_TYPE, "application/pem-certificate-chain")],
            chain,
        )
            .into_response())
    });
    finish(&state, Endpoint::Certificate, answer)
}

/// A certificate for another key or name, where a test wants one.
fn wrong_certificate(state: &CaState) -> Result<Option<String>, Problem> {
    let mut behaviour = state.behaviour();
    let lifetime = behaviour.lifetime;
    let wanted = behaviour.nonsense_now(Endpoint::Certificate);
    drop(behaviour);
    let name = match wanted {
        Some(Nonsense::OtherKey) => "other-key.example.com",
        Some(Nonsense::OtherName) => "other-name.example.com",
        Some(other) => {
            state.behaviour().restore(Endpoint::Certificate, other);
            return Ok(None);
        }
        None => return Ok(None),
    };
    let key = KeyPair::generate().map_err(|error| {
        Problem::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "serverInternal",
            error.to_string(),
        )
    })?;
    Ok(Some(
        state.authority.leaf(&key, name, state.now(), lifetime)?.chain_pem,
    ))
}
