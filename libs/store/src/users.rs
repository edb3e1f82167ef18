//! Users who sign in to the console with a password of ours.

use domain::Roles;
use jiff::Timestamp;

use crate::record::columns;
use crate::{Result, Store, Tx};

/// A user.
#[derive(Clone, PartialEq, Eq)]
pub struct User {
    /// The sign-in name.
    pub name: String,
    /// The user's roles.
    pub roles: Roles,
    /// Argon2id hash of the password in PHC form; a user without one cannot sign in.
    pub password_hash: Option<String>,
    /// When the row was written.
    pub created_at: Timestamp,
    /// The MAC of name, roles and password hash, with a key that is not in the database.
    pub mac: Vec<u8>,
}

columns!(User in "users": name, roles, password_hash, created_at, mac);

impl Store {
    /// Returns a user.
    pub async fn user(&self, name: &str) -> Result<Option<User>> {
        let mut reader = self.reader().await?;
        reader.db().select::<User>("user", "WHERE name = $1").bind(name).optional().await
    }

    /// Returns all users, by name.
    pub async fn users(&self) -> Result<Vec<User>> {
        let mut reader = self.reader().await?;
        reader.db().select::<User>("users", "ORDER BY name").all().await
    }
}

impl Tx {
    /// Stores a user. [`crate::StoreError::Conflict`] if the name is taken.
    pub async fn insert_user(&mut self, user: &User) -> Result<()> {
        self.db().await?.insert("insert_user", std::slice::from_ref(user), &[], "").await
    }

    /// Returns all users, by name, locked until the transaction ends: no other transaction can change their roles or
    /// passwords meanwhile.
    pub async fn lock_users(&mut self) -> Result<Vec<User>> {
        self.db().await?.select::<User>("lock_users", "ORDER BY name {lock}").all().await
    }

    /// Stores a user's roles and password hash. Returns false if there is no such user.
    pub async fn update_user(&mut self, user: &User) -> Result<bool> {
        let text = "UPDATE users SET roles = $2, password_hash = $3, mac = $4 WHERE name = $1";
        let mut db = self.db().await?;
        let query = db.query("update_user", text).bind(&user.name).bind(&user.roles);
        Ok(query.bind(&user.password_hash).bind(&user.mac).execute().await? == 1)
    }

    /// Deletes a user and the user's sessions. Returns false if there is no such user.
    pub async fn remove_user(&mut self, name: &str) -> Result<bool> {
        self.end_sessions(name).await?;
        let text = "DELETE FROM users WHERE name = $1";
        Ok(self.db().await?.query("remove_user", text).bind(name).execute().await? == 1)
    }
}
