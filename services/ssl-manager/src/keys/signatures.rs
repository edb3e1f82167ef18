//! The MACs of tokens, users and sessions, under the first line of the sealing-key file.
//!
//! A row whose MAC does not fit is left as it is: signed here, it would count.

use std::fmt::Display;

use seal::{KeyId, SealError, SealingKeys};
use store::{SignedRow, Store, StoreError};

use super::PAGE;
use crate::dispatch::CommandError;

/// What was done.
#[derive(Debug, Default)]
pub(super) struct Signatures {
    /// Rows that have a MAC under the first line now, and had not.
    pub(super) renewed: u64,
    /// Rows that had none again a moment later: some process still signs under an older line.
    pub(super) left: u64,
    /// Rows whose MAC does not fit.
    pub(super) refused: Vec<String>,
    /// Rows that could not be checked, with why.
    pub(super) unchecked: Vec<String>,
}

/// Renews all, and looks once more.
pub(super) async fn renew(store: &Store, keys: &SealingKeys) -> Result<Signatures, CommandError> {
    let mut done = walk(store, keys).await?;
    done.left = walk(store, keys).await?.renewed;
    Ok(done)
}

async fn walk(store: &Store, keys: &SealingKeys) -> Result<Signatures, CommandError> {
    let mut done = Signatures::default();
    for mut token in store.tokens().await? {
        let (row, before) = (SignedRow::Token(token.name.clone()), token.mac.clone());
        if done.is_due(&row, keys, api::signed::check_token(keys, &token).await) {
            api::signed::sign_token(keys, &mut token).await.map_err(|error| failed(&error))?;
            done.replace(store, &row, &before, &token.mac).await?;
        }
    }
    for mut user in store.users().await? {
        let (row, before) = (SignedRow::User(user.name.clone()), user.mac.clone());
        if done.is_due(&row, keys, api::signed::check_user(keys, &user).await) {
            api::signed::sign_user(keys, &mut user).await.map_err(|error| failed(&error))?;
            done.replace(store, &row, &before, &user.mac).await?;
        }
    }
    done.mark(store, keys).await?;
    let mut after = [0; 32];
    loop {
        let page = store.sessions(&after, PAGE).await?;
        let Some(last) = page.last() else {
            return Ok(done);
        };
        after = last.session.hash;
        for mut stored in page {
            let (row, before) = (SignedRow::Session(stored.session.hash), stored.session.mac.clone());
            if done.is_due(&row, keys, api::signed::check_session(keys, &stored).await) {
                let is_vouched = stored.user.is_none();
                let signed = api::signed::sign_session(keys, &mut stored.session, is_vouched).await;
                signed.map_err(|error| failed(&error))?;
                done.replace(store, &row, &before, &stored.session.mac).await?;
            }
        }
    }
}

fn failed(error: &SealError) -> CommandError {
    CommandError::new("SEALING_KEY", error.to_string())
}

impl Signatures {
    /// Whether a row is to be signed anew.
    fn is_due(&mut self, row: &impl Display, keys: &SealingKeys, checked: Result<KeyId, SealError>) -> bool {
        match checked {
            Ok(key_id) => return key_id != keys.current_key_id(),
            Err(error @ (SealError::UnknownKey(_) | SealError::Unavailable(_))) => {
                self.unchecked.push(format!("{row}: {error}"));
            }
            Err(_) => self.refused.push(row.to_string()),
        }
        false
    }

    /// What the API signed of the audit log; the time stays.
    async fn mark(&mut self, store: &Store, keys: &SealingKeys) -> Result<(), CommandError> {
        let mut mark = store.audit_mark().await?;
        let before = mark.mac.clone();
        if before.is_empty() || !self.is_due(&"audit_mark", keys, audit::check_mark(keys, &mark).await) {
            return Ok(());
        }
        audit::sign_mark(keys, &mut mark).await.map_err(|error| failed(&error))?;
        let mut tx = store.begin("renew_signature").await?;
        self.renewed += u64::from(tx.set_audit_mark(&before, &mark).await?);
        Ok(tx.commit().await?)
    }

    /// A row that was changed or removed meanwhile has a MAC of its own, or needs none.
    async fn replace(
        &mut self,
        store: &Store,
        row: &SignedRow,
        before: &[u8],
        mac: &[u8],
    ) -> Result<(), StoreError> {
        let mut tx = store.begin("renew_signature").await?;
        self.renewed += u64::from(tx.replace_mac(row, before, mac).await?);
        tx.commit().await
    }
}
