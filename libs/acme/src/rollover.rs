//! Changes the key of one of our accounts (RFC 8555 section 7.3.5), in three steps: the new key is sealed and stored
//! beside the old one, the CA is told, and the new one replaces the old one.
//!
//! A process that dies in between leaves two keys, of which the CA knows exactly one. The next run of the command, or
//! any issuer whose signatures the CA refuses, asks the CA which one it knows, by new-account with
//! `onlyReturnExisting`, and continues from there. Why not instant-acme's `update_key`: it makes the new key in memory.

use std::sync::Arc;

use rustls_pki_types::PrivatePkcs8KeyDer;
use rustls_pki_types::pem::PemObject;
use seal::SealingKeys;
use serde_json::json;
use store::{Account, AuditEntry, Store, StoreError};
use zeroize::Zeroizing;

use crate::AcmeError;
use crate::account::{Resend, find_account, open_key, post_signed_with, seal_account_key};
use crate::ca::Ca;
use crate::jws::SigningKey;

/// Tries to adopt a key that another sealing key wraps meanwhile.
const ADOPT_TRIES: usize = 3;

/// Gives the account at `ca` a new key, or finishes what an earlier run began. `line` goes into the audit log with each of
/// the two changes of ours.
pub async fn roll_over(
    ca: &Ca,
    store: &Arc<Store>,
    keys: &SealingKeys,
    line: &AuditEntry,
) -> Result<(), AcmeError> {
    let row = registered(ca, store).await?;
    let row = match row.pending_key {
        Some(_) if settle(ca, store, keys, &row, Some(line)).await? => return Ok(()),
        Some(_) => row,
        None => propose(ca, store, keys, row, line).await?,
    };
    let sealed = row.pending_key.as_deref().unwrap_or_default();
    let (old, new) = (open_key(&row, &row.sealed_key, keys).await?, open_key(&row, sealed, keys).await?);
    if let Err(error) = change_key(ca, &row, &old, &new).await {
        // A refusal may be the answer to a request that was sent before, and done.
        if error.may_be_the_accounts_key() && find_account(ca, &new).await? != row.url {
            if find_account(ca, &old).await? == row.url {
                return Err(error);
            }
            let sentence = format!(
                "{} knows neither the old nor the new key of the account: bring the account back from an export",
                ca.name()
            );
            return Err(AcmeError::Local(sentence));
        } else if !error.may_be_the_accounts_key() {
            return Err(error);
        }
    }
    adopt(store, keys, row, &new, Some(line)).await
}

/// Finishes a rollover that the CA already knows of; returns whether there was one. For an issuer whose signatures are
/// refused.
pub async fn settle_rollover(ca: &Ca, store: &Arc<Store>, keys: &SealingKeys) -> Result<bool, AcmeError> {
    match store.account(ca.name(), ca.directory_url()).await? {
        Some(row) if row.pending_key.is_some() && row.url.is_some() => {
            settle(ca, store, keys, &row, None).await
        }
        _ => Ok(false),
    }
}

/// The PKCS #8 key of a PEM text, if it can be an account's: ECDSA P-256 only.
pub fn account_key_from_pem(pem: &str) -> Result<Zeroizing<Vec<u8>>, AcmeError> {
    let key = PrivatePkcs8KeyDer::from_pem_slice(pem.as_bytes())
        .map_err(|_| AcmeError::Local("the account key is no PKCS #8 in PEM".into()))?;
    let pkcs8 = Zeroizing::new(key.secret_pkcs8_der().to_vec());
    SigningKey::from_pkcs8(&pkcs8)
        .map(|_| pkcs8)
        .map_err(|_| AcmeError::Local("the account key is not ECDSA P-256".into()))
}

async fn registered(ca: &Ca, store: &Arc<Store>) -> Result<Account, AcmeError> {
    let row = store.account(ca.name(), ca.directory_url()).await?;
    row.filter(|row| row.url.is_some())
        .ok_or_else(|| AcmeError::Local(format!("there is no registered account at {}", ca.name())))
}

async fn propose(
    ca: &Ca,
    store: &Arc<Store>,
    keys: &SealingKeys,
    row: Account,
    line: &AuditEntry,
) -> Result<Account, AcmeError> {
    let pkcs8 = SigningKey::generate()?;
    let sealed = seal_account_key(row.id, &row.directory_url, &pkcs8, keys).await?;
    let mut tx = store.begin("account_key_proposed").await?;
    match tx.propose_account_key(row.id, &sealed).await {
        Ok(()) => {
            tx.append_audit(detailed(line, "new key stored"));
            tx.commit().await?;
            Ok(Account { pending_key: Some(sealed), ..row })
        }
        // Another process rolls over at the same time: its key is used then.
        Err(StoreError::Conflict { .. }) => {
            drop(tx);
            registered(ca, store).await
        }
        Err(error) => Err(error.into()),
    }
}

/// Adopts the pending key if the CA knows the account by it.
async fn settle(
    ca: &Ca,
    store: &Arc<Store>,
    keys: &SealingKeys,
    row: &Account,
    line: Option<&AuditEntry>,
) -> Result<bool, AcmeError> {
    let Some(sealed) = &row.pending_key else {
        return Ok(false);
    };
    let new = open_key(row, sealed, keys).await?;
    let known = find_account(ca, &new).await?;
    if known.is_none() || known != row.url {
        return Ok(false);
    }
    adopt(store, keys, row.clone(), &new, line).await?;
    Ok(true)
}

/// Signed by the old key, around what the new one signs.
async fn change_key(ca: &Ca, row: &Account, old: &[u8], new: &[u8]) -> Result<(), AcmeError> {
    let (old, new) = (SigningKey::from_pkcs8(old)?, SigningKey::from_pkcs8(new)?);
    let account_url = row.url.as_deref().unwrap_or_default();
    let url = ca
        .directory()
        .await?
        .key_change
        .ok_or_else(|| AcmeError::Local(format!("{} offers no change of keys", ca.name())))?;
    let inner = new.sign_key_change(&url, &json!({ "account": account_url, "oldKey": old.jwk() }))?;
    let sign = |nonce: &str| old.sign_as(account_url, &url, nonce, &inner);
    post_signed_with(ca, &url, sign, Resend::Never).await.map(drop)
}

/// Makes `new` the account's key, unless another process already did.
async fn adopt(
    store: &Arc<Store>,
    keys: &SealingKeys,
    mut row: Account,
    new: &[u8],
    line: Option<&AuditEntry>,
) -> Result<(), AcmeError> {
    for _ in 0..ADOPT_TRIES {
        let Some(pending) = &row.pending_key else { break };
        let mut tx = store.begin("account_key_adopted").await?;
        match tx.adopt_account_key(row.id, pending).await {
            Ok(()) => {
                if let Some(line) = line {
                    tx.append_audit(detailed(line, "new key in use"));
                }
                tx.commit().await?;
                tracing::info!(issuer = row.issuer, "the account has a new key");
                return Ok(());
            }
            Err(StoreError::Conflict { .. }) => drop(tx),
            Err(error) => return Err(error.into()),
        }
        let found = store.account(&row.issuer, &row.directory_url).await?;
        row = found.ok_or_else(|| AcmeError::Local("the account is gone".into()))?;
    }
    let stands = open_key(&row, &row.sealed_key, keys).await?;
    if *stands == *new {
        return Ok(());
    }
    Err(AcmeError::Store(StoreError::Conflict { operation: "adopt_account_key" }))
}

fn detailed(line: &AuditEntry, detail: &str) -> AuditEntry {
    AuditEntry { detail: detail.to_owned(), ..line.clone() }
}
