//! Our accounts at CAs, with their sealed keys.

use domain::AccountId;
use jiff::Timestamp;

use crate::record::columns;
use crate::{Result, Store, Tx};

/// Our account at a CA (RFC 8555 section 7.1.2).
#[derive(Clone, PartialEq, Eq)]
pub struct Account {
    /// Our id; the key is sealed to it.
    pub id: AccountId,
    /// The issuer's name in the configuration.
    pub issuer: String,
    /// The URL of the CA's directory.
    pub directory_url: String,
    /// PKCS #8 key, sealed.
    pub sealed_key: Vec<u8>,
    /// The account's URL; none until the CA has answered new-account.
    pub url: Option<String>,
    /// When the row was written.
    pub created_at: Timestamp,
    /// The next PKCS #8 key during a key rollover, sealed (RFC 8555 section 7.3.5).
    pub pending_key: Option<Vec<u8>>,
}

columns!(Account in "accounts": id, issuer, directory_url, sealed_key, url, created_at, pending_key);

impl std::fmt::Debug for Account {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Account").field("id", &self.id).field("url", &self.url).finish_non_exhaustive()
    }
}

impl Store {
    /// Returns every account, retired ones included, by the issuer's name and directory.
    pub async fn accounts(&self) -> Result<Vec<Account>> {
        let mut reader = self.reader().await?;
        reader.db().select::<Account>("accounts", "ORDER BY issuer, directory_url").all().await
    }

    /// Returns our account at a CA, if it has a row.
    pub async fn account(&self, issuer: &str, directory_url: &str) -> Result<Option<Account>> {
        let mut reader = self.reader().await?;
        let mut db = reader.db();
        let query = db.select::<Account>("account", "WHERE issuer = $1 AND directory_url = $2");
        query.bind(issuer).bind(directory_url).optional().await
    }

    /// Returns the URL of our account at a CA, if it is registered; for roles that may not read the sealed key.
    pub async fn account_url(&self, issuer: &str, directory_url: &str) -> Result<Option<String>> {
        let text = "SELECT url FROM accounts WHERE issuer = $1 AND directory_url = $2";
        let mut reader = self.reader().await?;
        let mut db = reader.db();
        let query = db.query("account_url", text).bind(issuer).bind(directory_url);
        Ok(query.optional::<(Option<String>,)>().await?.and_then(|(url,)| url))
    }
}

impl Tx {
    /// Stores an account. [`crate::StoreError::Conflict`] if there is one for that issuer and directory.
    pub async fn insert_account(&mut self, account: &Account) -> Result<()> {
        self.db().await?.insert("insert_account", std::slice::from_ref(account), &[], "").await
    }

    /// Stores an account's URL once. [`crate::StoreError::Conflict`] if it has another.
    pub async fn set_account_url(&mut self, id: AccountId, url: &str) -> Result<()> {
        let text = "UPDATE accounts SET url = $2 WHERE id = $1 AND (url IS NULL OR url = $2)";
        self.db().await?.query("set_account_url", text).bind(&id).bind(url).execute_one().await
    }

    /// Stores the next key of an account. [`crate::StoreError::Conflict`] if it already has one.
    pub async fn propose_account_key(&mut self, id: AccountId, sealed: &[u8]) -> Result<()> {
        let text = "UPDATE accounts SET pending_key = $2 WHERE id = $1 AND pending_key IS NULL";
        self.db().await?.query("propose_account_key", text).bind(&id).bind(sealed).execute_one().await
    }

    /// Makes the next key of an account its present one. [`crate::StoreError::Conflict`] if the next key is no longer
    /// `pending`.
    pub async fn adopt_account_key(&mut self, id: AccountId, pending: &[u8]) -> Result<()> {
        let text = "UPDATE accounts SET sealed_key = pending_key, pending_key = NULL WHERE id = $1 AND pending_key = $2";
        self.db().await?.query("adopt_account_key", text).bind(&id).bind(pending).execute_one().await
    }

    /// Replaces an account's present key and deletes the next one. [`crate::StoreError::Conflict`] if the present key
    /// is no longer `before`.
    pub async fn replace_account_key(&mut self, id: AccountId, before: &[u8], sealed: &[u8]) -> Result<()> {
        let text =
            "UPDATE accounts SET sealed_key = $3, pending_key = NULL WHERE id = $1 AND sealed_key = $2";
        let mut db = self.db().await?;
        db.query("replace_account_key", text).bind(&id).bind(before).bind(sealed).execute_one().await
    }

    /// Renames an account's row, so that another account can take its issuer's name; its orders and certificates keep
    /// their reference. [`crate::StoreError::Conflict`] if its name is not `from`.
    pub async fn retire_account(&mut self, id: AccountId, from: &str, to: &str) -> Result<()> {
        let text = "UPDATE accounts SET issuer = $3 WHERE id = $1 AND issuer = $2";
        self.db().await?.query("retire_account", text).bind(&id).bind(from).bind(to).execute_one().await
    }
}
