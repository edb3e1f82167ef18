//! Accounts (RFC 8555 sections 7.1.2 and 7.3).

use std::collections::HashMap;
use std::sync::{Arc, Mutex, RwLock};

use http::StatusCode;
use http::header::{LINK, LOCATION};
use serde::Deserialize;
use serde_json::{Value, json};

use super::authorizations::Authorization;
use super::jws::{Jwk, JwkMembers, Jws};
use super::problem::{Problem, insert};
use super::request::{Authentic, Signer};
use super::state::State;
use crate::serve::{Reply, json};
use crate::sync::{lock, read, write};

pub(super) struct Account {
    pub(super) id: u64,
    state: Mutex<AccountState>,
    /// Valid authorizations, by name, to be used again.
    pub(super) authorized: Mutex<HashMap<String, Arc<Authorization>>>,
    /// Its orders, the oldest first.
    pub(super) orders: Mutex<Vec<u64>>,
}

struct AccountState {
    key: Jwk,
    contact: Vec<String>,
    deactivated: bool,
}

impl Account {
    pub(super) fn key(&self) -> Jwk {
        lock(&self.state).key.clone()
    }

    pub(super) fn is_deactivated(&self) -> bool {
        lock(&self.state).deactivated
    }

    fn to_json(&self) -> Value {
        let state = lock(&self.state);
        let status = if state.deactivated { "deactivated" } else { "valid" };
        json!({ "status": status, "contact": state.contact, "termsOfServiceAgreed": true })
    }
}

#[derive(Default)]
pub(super) struct Accounts(RwLock<Index>);

#[derive(Default)]
struct Index {
    /// Ids that were given; none is given twice, whatever is forgotten.
    made: u64,
    by_id: HashMap<u64, Arc<Account>>,
    by_thumbprint: HashMap<String, u64>,
}

impl Accounts {
    pub(super) fn get(&self, id: u64) -> Option<Arc<Account>> {
        read(&self.0).by_id.get(&id).cloned()
    }

    /// Its id; 0 if there is none yet.
    pub(super) fn newest(&self) -> u64 {
        read(&self.0).made
    }

    pub(super) fn contacts(&self) -> Vec<Vec<String>> {
        read(&self.0).by_id.values().map(|account| lock(&account.state).contact.clone()).collect()
    }

    pub(super) fn forget(&self) {
        let mut index = write(&self.0);
        index.by_id.clear();
        index.by_thumbprint.clear();
    }

    fn by_key(&self, key: &Jwk) -> Option<Arc<Account>> {
        let index = read(&self.0);
        index.by_thumbprint.get(&key.thumbprint).and_then(|id| index.by_id.get(id)).cloned()
    }

    /// The account of that key, and whether it was made just now.
    fn get_or_create(&self, key: Jwk, contact: Vec<String>) -> (Arc<Account>, bool) {
        let mut index = write(&self.0);
        if let Some(account) = index.by_thumbprint.get(&key.thumbprint).and_then(|id| index.by_id.get(id)) {
            return (account.clone(), false);
        }
        index.made += 1;
        let id = index.made;
        index.by_thumbprint.insert(key.thumbprint.clone(), id);
        let state = Mutex::new(AccountState { key, contact, deactivated: false });
        let account = Arc::new(Account { id, state, authorized: Mutex::default(), orders: Mutex::default() });
        index.by_id.insert(id, account.clone());
        (account, true)
    }

    /// Gives an account another key, unless that one is in use: then returns the account that uses it.
    fn change_key(&self, account: &Account, key: Jwk) -> Result<(), u64> {
        let mut index = write(&self.0);
        if let Some(holder) = index.by_thumbprint.get(&key.thumbprint) {
            return Err(*holder);
        }
        let mut state = lock(&account.state);
        index.by_thumbprint.remove(&state.key.thumbprint);
        index.by_thumbprint.insert(key.thumbprint.clone(), account.id);
        state.key = key;
        Ok(())
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct NewAccount {
    #[serde(default)]
    contact: Vec<String>,
    #[serde(default)]
    terms_of_service_agreed: bool,
    #[serde(default)]
    only_return_existing: bool,
    external_account_binding: Option<Value>,
}

pub(super) fn new_account(state: &State, request: &Authentic) -> Result<Reply, Problem> {
    let Signer::Key(key) = &request.signer else {
        return Err(Problem::malformed("new-account is signed with a jwk"));
    };
    let payload: NewAccount = request.payload()?;
    if let Some(account) = state.accounts.by_key(key) {
        return Ok(account_reply(state, request, &account, StatusCode::OK));
    }
    if payload.only_return_existing {
        let detail = "no account has this key";
        return Err(Problem::new("accountDoesNotExist", StatusCode::BAD_REQUEST, detail));
    }
    if !payload.terms_of_service_agreed {
        let detail = "the terms of service must be agreed to";
        return Err(Problem::new("userActionRequired", StatusCode::FORBIDDEN, detail));
    }
    check_contact(&payload.contact)?;
    check_binding(state, request, key, payload.external_account_binding.as_ref())?;
    let (account, is_new) = state.accounts.get_or_create(key.clone(), payload.contact);
    Ok(account_reply(state, request, &account, if is_new { StatusCode::CREATED } else { StatusCode::OK }))
}

fn account_reply(state: &State, request: &Authentic, account: &Account, status: StatusCode) -> Reply {
    let mut members = account.to_json();
    if state.odd.lists_orders() {
        members["orders"] = request.url_of(&format!("orders/{}", account.id)).into();
    }
    let mut reply = json(status, &members);
    insert(&mut reply, LOCATION, &request.url_of(&format!("account/{}", account.id)));
    reply
}

/// The account's list of orders (RFC 8555 section 7.1.2.1).
pub(super) fn orders(state: &State, request: &Authentic, id: u64, page: usize) -> Result<Reply, Problem> {
    let account = request.account()?;
    if account.id != id || !state.odd.lists_orders() {
        return Err(Problem::not_found("list of orders"));
    }
    request.must_be_post_as_get()?;
    let per_page = state.odd.orders_per_page();
    let orders = lock(&account.orders).clone();
    let rest = orders.get(page.saturating_mul(per_page)..).unwrap_or_default();
    let shown = rest.iter().take(per_page);
    let urls: Vec<_> = shown.map(|order| request.url_of(&format!("order/{order}"))).collect();
    let mut reply = json(StatusCode::OK, &json!({ "orders": urls }));
    if rest.len() > per_page {
        let next = request.url_of(&format!("orders/{id}/{}", page + 1));
        insert(&mut reply, LINK, &format!("<{next}>;rel=\"next\""));
    }
    Ok(reply)
}

fn check_contact(contact: &[String]) -> Result<(), Problem> {
    for url in contact {
        let Some(address) = url.strip_prefix("mailto:") else {
            let detail = format!("{url} is not a mailto URL");
            return Err(Problem::new("unsupportedContact", StatusCode::BAD_REQUEST, detail));
        };
        if !address.contains('@') || address.contains([',', '?']) {
            let detail = format!("{url} is not one address");
            return Err(Problem::new("invalidContact", StatusCode::BAD_REQUEST, detail));
        }
    }
    Ok(())
}

fn check_binding(
    state: &State,
    request: &Authentic,
    key: &Jwk,
    binding: Option<&Value>,
) -> Result<(), Problem> {
    if state.eab.is_empty() {
        return Ok(());
    }
    let Some(binding) = binding else {
        let detail = "this CA wants an external account binding";
        return Err(Problem::new("externalAccountRequired", StatusCode::FORBIDDEN, detail));
    };
    let jws = Jws::parse(binding.to_string().as_bytes())?;
    let mac_key = jws.protected.kid.as_ref().and_then(|kid| state.eab.get(kid));
    let mac_key = mac_key.ok_or_else(|| Problem::unauthorized("the binding's kid is not known"))?;
    jws.verify_mac(mac_key)?;
    if jws.protected.nonce.is_some() || jws.protected.url.as_deref() != Some(request.url.as_str()) {
        return Err(Problem::malformed("the binding's header must have the request's url and no nonce"));
    }
    let bound: JwkMembers = serde_json::from_slice(&jws.payload)
        .map_err(|_| Problem::malformed("the binding's payload is no jwk"))?;
    if Jwk::new(&bound)? != *key {
        return Err(Problem::malformed("the binding is for another key"));
    }
    Ok(())
}

#[derive(Deserialize)]
struct AccountUpdate {
    contact: Option<Vec<String>>,
    status: Option<String>,
}

pub(super) fn account(state: &State, request: &Authentic, id: u64) -> Result<Reply, Problem> {
    let account = request.account()?;
    if account.id != id || state.accounts.get(id).is_none() {
        return Err(Problem::unauthorized("that account is not the request's"));
    }
    if !request.is_post_as_get() {
        let update: AccountUpdate = request.payload()?;
        if let Some(contact) = &update.contact {
            check_contact(contact)?;
        }
        let mut account_state = lock(&account.state);
        match update.status.as_deref() {
            None | Some("valid") => {}
            Some("deactivated") => account_state.deactivated = true,
            Some(_) => return Err(Problem::malformed("an account can only be deactivated")),
        }
        if let Some(contact) = update.contact {
            account_state.contact = contact;
        }
    }
    Ok(account_reply(state, request, account, StatusCode::OK))
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct KeyChange {
    account: String,
    old_key: JwkMembers,
}

pub(super) fn key_change(state: &State, request: &Authentic) -> Result<Reply, Problem> {
    let account = request.account()?;
    let inner = Jws::parse(&request.payload)?;
    let members = inner.protected.jwk.as_ref();
    let new_key = Jwk::new(members.ok_or_else(|| Problem::malformed("the inner JWS has no jwk"))?)?;
    inner.verify(&new_key)?;
    if inner.protected.url.as_deref() != Some(request.url.as_str()) {
        return Err(Problem::malformed("the inner JWS is for another url"));
    }
    let change: KeyChange = serde_json::from_slice(&inner.payload)
        .map_err(|_| Problem::malformed("the inner payload is not account and oldKey"))?;
    if change.account != request.url_of(&format!("account/{}", account.id)) {
        return Err(Problem::malformed("the inner payload names another account"));
    }
    if Jwk::new(&change.old_key)? != account.key() {
        return Err(Problem::malformed("oldKey is not the account's key"));
    }
    state.accounts.change_key(account, new_key).map_err(|holder| {
        Problem::new("malformed", StatusCode::CONFLICT, "the new key is in use")
            .location(request.url_of(&format!("account/{holder}")))
    })?;
    Ok(account_reply(state, request, account, StatusCode::OK))
}
