//! People who sign in to the console, and their sessions.

use domain::Role;
use jiff::Timestamp;

/// A person who may sign in.
#[derive(Clone, PartialEq, Eq)]
pub struct User {
    /// What they sign in as.
    pub name: String,
    /// What they may do.
    pub role: Role,
    /// Argon2id hash of the password in PHC form; none for those who sign in through an OpenID provider.
    pub password_hash: Option<String>,
    /// When the row was written.
    pub created_at: Timestamp,
}

/// A person's session, with the role that the person has now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionRecord {
    /// SHA-256 of the token's text.
    pub hash: [u8; 32],
    /// Whose.
    pub user: String,
    /// What they may do.
    pub role: Role,
    /// When they signed in.
    pub created_at: Timestamp,
    /// When it was last used, to the minute.
    pub used_at: Timestamp,
    /// When it ends, however much it is used.
    pub expires_at: Timestamp,
}
