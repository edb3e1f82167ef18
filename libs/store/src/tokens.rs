//! API tokens: hashes, never texts.

use domain::Roles;
use jiff::Timestamp;

use crate::record::columns;
use crate::{Result, Store, Tx};

/// An API token; its text is never stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenRecord {
    /// Its name.
    pub name: String,
    /// SHA-256 of the token's text.
    pub hash: [u8; 32],
    /// Its roles.
    pub roles: Roles,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it ends; none if it does not.
    pub expires_at: Option<Timestamp>,
    /// When it was last used, to the minute.
    pub last_used_at: Option<Timestamp>,
    /// When it was revoked.
    pub revoked_at: Option<Timestamp>,
    /// The MAC of name, hash, roles and end, with a key that is not in the database.
    pub mac: Vec<u8>,
}

columns!(TokenRecord in "tokens": name, hash, roles, created_at, expires_at, last_used_at, revoked_at, mac);

/// A use of a token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenUse {
    /// The token's name.
    pub name: String,
    /// The time.
    pub at: Timestamp,
}

impl Store {
    /// Returns an API token by the SHA-256 of its text, revoked ones included.
    pub async fn token(&self, hash: &[u8; 32]) -> Result<Option<TokenRecord>> {
        let mut reader = self.reader().await?;
        reader.db().select::<TokenRecord>("token", "WHERE hash = $1").bind(hash).optional().await
    }

    /// Returns an API token by its name, revoked ones included.
    pub async fn token_named(&self, name: &str) -> Result<Option<TokenRecord>> {
        let mut reader = self.reader().await?;
        reader.db().select::<TokenRecord>("token_named", "WHERE name = $1").bind(name).optional().await
    }

    /// Returns all API tokens, by name.
    pub async fn tokens(&self) -> Result<Vec<TokenRecord>> {
        let mut reader = self.reader().await?;
        reader.db().select::<TokenRecord>("tokens", "ORDER BY name").all().await
    }
}

impl Tx {
    /// Stores an API token's hash. [`crate::StoreError::Conflict`] if the name is taken.
    pub async fn insert_token(&mut self, token: &TokenRecord) -> Result<()> {
        self.db().await?.insert("insert_token", std::slice::from_ref(token), &[], "").await
    }

    /// Revokes a token. Returns false if no unrevoked token has that name.
    pub async fn revoke_token(&mut self, name: &str) -> Result<bool> {
        let now = self.now();
        let text = "UPDATE tokens SET revoked_at = $2 WHERE name = $1 AND revoked_at IS NULL";
        Ok(self.db().await?.query("revoke_token", text).bind(name).bind(&now).execute().await? == 1)
    }

    /// Stores when tokens were last used. Imprecise and delayed on purpose: callers batch it.
    pub async fn touch_tokens(&mut self, uses: &[TokenUse]) -> Result<()> {
        let text =
            "UPDATE tokens SET last_used_at = {greatest}(coalesce(last_used_at, $2), $2) WHERE name = $1";
        for used in uses {
            self.db().await?.query("touch_token", text).bind(&used.name).bind(&used.at).execute().await?;
        }
        Ok(())
    }
}
