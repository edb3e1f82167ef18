//! People who sign in to the console, and their sessions.

use domain::Role;
use jiff::Timestamp;

/// What the name of everybody begins with whom an OpenID provider vouches for; no user of ours is named like that.
pub const PROVIDER_PREFIX: &str = "oidc:";

/// A person who may sign in.
#[derive(Clone, PartialEq, Eq)]
pub struct User {
    /// What they sign in as.
    pub name: String,
    /// What they may do.
    pub role: Role,
    /// Argon2id hash of the password in PHC form; without one they cannot sign in.
    pub password_hash: Option<String>,
    /// When the row was written.
    pub created_at: Timestamp,
}

/// A person's session, with the role that the person has now; whom an OpenID provider vouches for has the role of the
/// sign-in.
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
