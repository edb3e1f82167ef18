//! Our account at a CA: one row, whose key is sealed and stored before it is sent to the CA.
//!
//! If the process dies between the two, the next start finds the row without a URL and asks again with the same key;
//! new-account with a known key returns the existing account (RFC 8555 section 7.3.1).

use std::sync::Arc;

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use bytes::Bytes;
use domain::{AccountId, Entropy};
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderValue, Method};
use seal::{Binding, Opened, SealError, SealingKeys};
use serde_json::{Value, json};
use store::{Account, AuditEntry, Store, StoreError};
use zeroize::Zeroizing;

use crate::AcmeError;
use crate::ca::{Answer, Ca, Patience};
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

    pub(crate) fn signing_key(&self) -> Result<SigningKey, AcmeError> {
        SigningKey::from_pkcs8(&self.pkcs8)
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
pub async fn open_key(row: &Account, sealed: &[u8], keys: &SealingKeys) -> Result<Opened, AcmeError> {
    let opened = async {
        let binding = Binding::account(row.id, &row.directory_url);
        keys.unseal(&binding, &seal::public_key_of(sealed)?, sealed).await
    };
    opened.await.map_err(|error: SealError| {
        AcmeError::Local(format!("the account key of {} does not open: {error}", row.issuer))
    })
}

/// Seals the key of an account at the CA with that directory.
pub async fn seal_account_key(
    id: AccountId,
    directory_url: &str,
    pkcs8: &[u8],
    keys: &SealingKeys,
) -> Result<Vec<u8>, AcmeError> {
    let public_key = SigningKey::from_pkcs8(pkcs8)?.public_key_sha256()?;
    let sealed = keys.seal(&Binding::account(id, directory_url), &public_key, pkcs8).await;
    sealed.map_err(|error| AcmeError::Local(format!("the account key cannot be sealed: {error}")))
}

/// Registers an account again, with the same key, at a CA that does not know it any more: one that was reinstalled, or
/// restored from before. The old row stays in the list, retired, because orders and certificates belong to it; `line` goes
/// into the audit log. Returns `lost` itself, as it is stored, where the CA knows the key by the same URL.
pub async fn register_again(
    ca: &Ca,
    store: &Arc<Store>,
    keys: &SealingKeys,
    entropy: &dyn Entropy,
    lost: &AccountKey,
    line: AuditEntry,
) -> Result<AccountKey, AcmeError> {
    let stored = store.account(ca.name(), ca.directory_url()).await?;
    let row = stored.ok_or_else(|| AcmeError::Local(format!("there is no account at {}", ca.name())))?;
    if row.id != lost.id {
        // Another copy was faster.
        return open_account(&row, keys).await;
    }
    let pkcs8 = open_key(&row, &row.sealed_key, keys).await?;
    let url = new_account(ca, &pkcs8).await?;
    if row.url.as_deref() == Some(url.as_str()) {
        return Ok(AccountKey { id: row.id, url, pkcs8 });
    }
    let id = AccountId::new(&*ca.clock, entropy);
    let sealed_key = seal_account_key(id, ca.directory_url(), &pkcs8, keys).await?;
    let created_at = ca.clock.now();
    let retired = format!("{} (until {created_at})", row.issuer);
    let fresh =
        Account { id, sealed_key, url: Some(url.clone()), created_at, pending_key: None, ..row.clone() };
    let mut tx = store.begin("account_registered_again").await?;
    tx.retire_account(row.id, &row.issuer, &retired).await?;
    tx.insert_account(&fresh).await?;
    tx.append_audit(AuditEntry { detail: format!("instead of {}", lost.url), ..line });
    tx.commit().await?;
    Ok(AccountKey { id, url, pkcs8 })
}

async fn insert_account(
    ca: &Ca,
    store: &Arc<Store>,
    keys: &SealingKeys,
    entropy: &dyn Entropy,
) -> Result<Account, AcmeError> {
    let id = AccountId::new(&*ca.clock, entropy);
    let pkcs8 = SigningKey::generate()?;
    let sealed_key = seal_account_key(id, ca.directory_url(), &pkcs8, keys).await?;
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
        Err(error) if error.is_unknown_account() => Ok(None),
        Err(error) => Err(error),
    }
}

async fn ask_for_account(ca: &Ca, key: &SigningKey, payload: &Value) -> Result<String, AcmeError> {
    let url = ca.directory().await?.new_account;
    let answer = post_signed(ca, &url, |nonce| key.sign_with_jwk(&url, nonce, payload)).await?;
    answer.location(&url).ok_or_else(|| AcmeError::Nonsense("an account without a URL".into()))
}

/// Posts what `sign` makes of a nonce, with another one where the CA refuses that, and again where the answer was lost.
pub(crate) async fn post_signed(
    ca: &Ca,
    url: &str,
    sign: impl Fn(&str) -> Result<Value, AcmeError>,
) -> Result<Answer, AcmeError> {
    post_signed_with(ca, url, sign, Resend::IfLost).await
}

/// Whether a request is sent again whose answer was lost.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Resend {
    IfLost,
    /// Because what it changes cannot be changed twice.
    Never,
}

/// Like [`post_signed`].
pub(crate) async fn post_signed_with(
    ca: &Ca,
    url: &str,
    sign: impl Fn(&str) -> Result<Value, AcmeError>,
    resend: Resend,
) -> Result<Answer, AcmeError> {
    let directory = ca.directory().await?;
    let mut last = AcmeError::Nonsense("nothing was sent".into());
    for _ in 0..NONCE_TRIES {
        let nonce = ca.nonce(&directory).await?;
        let answer = post(ca, url, &sign(&nonce)?, resend).await?;
        if answer.status.is_success() {
            return Ok(answer);
        }
        last = ca.problem(&answer);
        if last.as_problem().is_none_or(|problem| problem.kind != "badNonce") {
            break;
        }
    }
    Err(last)
}

async fn post(ca: &Ca, url: &str, body: &Value, resend: Resend) -> Result<Answer, AcmeError> {
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/jose+json"));
    let body = Bytes::from(body.to_string());
    match resend {
        Resend::IfLost => ca.send_safely(Method::POST, url, headers, body, Patience::Change).await,
        Resend::Never => ca.send(Method::POST, url, headers, body, Patience::Change).await,
    }
}
