//! Rows with a MAC, for the rotation of sealing keys.

use std::fmt;

use crate::{Result, Tx};

/// A row with a MAC.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SignedRow {
    /// A token, by its name.
    Token(String),
    /// A user, by their name.
    User(String),
    /// A session, by the hash of its token.
    Session([u8; 32]),
}

impl fmt::Display for SignedRow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Token(name) => write!(f, "tokens {name:?}"),
            Self::User(name) => write!(f, "users {name:?}"),
            Self::Session(_) => f.write_str("a session"),
        }
    }
}

impl Tx {
    /// Replaces a row's MAC by `mac`, if it is unchanged since it was read. Returns false if it is not; the
    /// transaction may continue then.
    pub async fn replace_mac(&mut self, row: &SignedRow, before: &[u8], mac: &[u8]) -> Result<bool> {
        let (table, key) = match row {
            SignedRow::Token(_) => ("tokens", "name"),
            SignedRow::User(_) => ("users", "name"),
            SignedRow::Session(_) => ("sessions", "hash"),
        };
        let text = format!("UPDATE {table} SET mac = $3 WHERE {key} = $1 AND mac = $2");
        let mut db = self.db().await?;
        let query = db.query("replace_mac", &text);
        let query = match row {
            SignedRow::Token(name) | SignedRow::User(name) => query.bind(name),
            SignedRow::Session(hash) => query.bind(hash),
        };
        Ok(query.bind(before).bind(mac).execute().await? == 1)
    }
}
