//! Our account at a CA: one row, whose key is sealed and stored before the CA hears of it.
//!
//! If the process dies between the two, the next start finds the row without a URL and asks again with the same key;
//! new-account with a known key answers with the account that is there (RFC 8555 section 7.3.1).

use std::sync::Arc;

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use bytes::Bytes;
use domain::{AccountId, Entropy};
use http::header::{CONTENT_TYPE, LOCATION};
use http::{HeaderMap, HeaderValue, Method};
use seal::{Opened, SealingKeys};
use serde_json::{Value, json};
use store::{Account, Store, StoreError};
use zeroize::Zeroizing;

use crate::AcmeError;
use crate::ca::{Answer, Ca};
use crate::jws::SigningKey;

/// Answers to one request with a refused nonce before we give up.
const NONCE_TRIES: usize = 5;

/// An account that can be used.
pub struct AccountKey {
    /// Our id.
    pub id: AccountId,
    /// Its URL at the CA.
    pub(crate) url: String,
    pkcs8: Opened,
}

impl AccountKey {
    /// Whether the other is this account with this key.
    pub fn is_same(&self, other: &Self) -> bool {
        self.url == other.url && *self.pkcs8 == *other.pkcs8
    }

    /// Its URL, by which CAA records may name it (RFC 8657 section 3).
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The form in which instant-acme takes an account.
    pub(crate) fn credentials(
        &self,
        directory_url: &str,
    ) -> Result<instant_acme::AccountCredentials, AcmeError> {
        let key = Zeroizing::new(BASE64_URL_SAFE_NO_PAD.encode(&*self.pkcs8));
        let text = Zeroizing::new(
            json!({ "id": self.url, "key_pkcs8": &*key, "directory": directory_url }).to_string(),
        );
        serde_json::from_str(&text).map_err(|_| AcmeError::Local("the account cannot be used".into()))
    }
}

/// The account at `ca`: the one that is stored, or a new one.
pub async fn ensure_account(
    ca: &Ca,
    store: &Arc<Store>,
    keys: &SealingKeys,
    entropy: &dyn Entropy,
) -> Result<AccountKey, AcmeError> {
    let row = match store.account(ca.name(), ca.directory_url()).await? {
        Some(row) => row,
        None => insert_account(ca, store, keys, entropy).await?,
    };
    let pkcs8 = open_key(&row, &row.sealed_key, keys).await?;
    if let Some(url) = row.url {
        return Ok(AccountKey { id: row.id, url, pkcs8 });
    }
    let url = new_account(ca, &pkcs8).await?;
    let mut tx = store.begin("account_url").await?;
    tx.set_account_url(row.id, &url).await?;
    tx.commit().await?;
    tracing::info!(issuer = ca.name(), account.url = url, "account registered");
    Ok(AccountKey { id: row.id, url, pkcs8 })
}

/// A registered account, whether or not it is still the one that its CA is asked with.
pub async fn open_account(row: &Account, keys: &SealingKeys) -> Result<AccountKey, AcmeError> {
    let url = row
        .url
        .clone()
        .ok_or_else(|| AcmeError::Local(format!("the account at {} is not registered", row.issuer)))?;
    let pkcs8 = open_key(row, &row.sealed_key, keys).await?;
    Ok(AccountKey { id: row.id, url, pkcs8 })
}

/// A sealed key of an account, its own or the one that it is about to get.
pub(crate) async fn open_key(row: &Account, sealed: &[u8], keys: &SealingKeys) -> Result<Opened, AcmeError> {
    keys.unseal(&row.id.to_string(), sealed).await.map_err(|error| {
        AcmeError::Local(format!("the account key of {} does not open: {error}", row.issuer))
    })
}

async fn insert_account(
    ca: &Ca,
    store: &Arc<Store>,
    keys: &SealingKeys,
    entropy: &dyn Entropy,
) -> Result<Account, AcmeError> {
    let id = AccountId::new(&*ca.clock, entropy);
    let pkcs8 = SigningKey::generate()?;
    let sealed_key = keys
        .seal(&id.to_string(), &pkcs8)
        .await
        .map_err(|error| AcmeError::Local(format!("the account key cannot be sealed: {error}")))?;
    let account = Account {
        id,
        issuer: ca.name().to_owned(),
        directory_url: ca.directory_url().to_owned(),
        sealed_key,
        url: None,
        created_at: ca.clock.now(),
        pending_key: None,
    };
    let mut tx = store.begin("account").await?;
    match tx.insert_account(&account).await {
        Ok(()) => {
            tx.commit().await?;
            Ok(account)
        }
        // Another copy was faster: its account is ours too.
        Err(StoreError::Conflict { .. }) => {
            drop(tx);
            let row = store.account(ca.name(), ca.directory_url()).await?;
            row.ok_or(AcmeError::Store(StoreError::Conflict { operation: "insert_account" }))
        }
        Err(error) => Err(error.into()),
    }
}

/// Registers the key and returns the account's URL (RFC 8555 section 7.3).
async fn new_account(ca: &Ca, pkcs8: &[u8]) -> Result<String, AcmeError> {
    let key = SigningKey::from_pkcs8(pkcs8)?;
    let directory = ca.directory().await?;
    let mut payload = json!({ "termsOfServiceAgreed": true, "contact": ca.options.contact });
    if let Some(binding) = &ca.options.external_account_binding {
        payload["externalAccountBinding"] = key.bind(&directory.new_account, binding);
    }
    ask_for_account(ca, &key, &payload).await
}

/// The URL of the account that the CA knows by that key (RFC 8555 section 7.3.1); none if it knows none.
pub async fn find_account(ca: &Ca, pkcs8: &[u8]) -> Result<Option<String>, AcmeError> {
    let key = SigningKey::from_pkcs8(pkcs8)?;
    match ask_for_account(ca, &key, &json!({ "onlyReturnExisting": true })).await {
        Ok(url) => Ok(Some(url)),
        Err(AcmeError::Problem { problem, .. }) if problem == "accountDoesNotExist" => Ok(None),
        Err(error) => Err(error),
    }
}

async fn ask_for_account(ca: &Ca, key: &SigningKey, payload: &Value) -> Result<String, AcmeError> {
    let url = ca.directory().await?.new_account;
    let answer = post_signed(ca, &url, |nonce| key.sign_with_jwk(&url, nonce, payload)).await?;
    let location = answer.headers.get(LOCATION).and_then(|url| url.to_str().ok());
    location.map(str::to_owned).ok_or_else(|| AcmeError::Nonsense("an account without a URL".into()))
}

/// Posts what `sign` makes of a nonce, with another one where the CA refuses that.
pub(crate) async fn post_signed(
    ca: &Ca,
    url: &str,
    sign: impl Fn(&str) -> Result<Value, AcmeError>,
) -> Result<Answer, AcmeError> {
    let directory = ca.directory().await?;
    let mut last = AcmeError::Nonsense("nothing was sent".into());
    for _ in 0..NONCE_TRIES {
        let nonce = ca.nonce(&directory).await?;
        let answer = post(ca, url, &sign(&nonce)?).await?;
        if answer.status.is_success() {
            return Ok(answer);
        }
        last = ca.problem(&answer);
        if !matches!(&last, AcmeError::Problem { problem, .. } if problem == "badNonce") {
            break;
        }
    }
    Err(last)
}

async fn post(ca: &Ca, url: &str, body: &Value) -> Result<Answer, AcmeError> {
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/jose+json"));
    ca.send(Method::POST, url, headers, Bytes::from(body.to_string())).await
}
