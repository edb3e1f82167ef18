//! Users who sign in to the console.
//!
//! Two guards are checked before every change, in the transaction that makes it and with all rows of people locked,
//! so that two administrators who demote each other at the same time cannot both succeed: an administrator with a
//! usable password remains, and a person cannot change their own roles or access. So a person's roles or password are
//! never lost by that person's use of the page alone; the commands on the database's host have no such guards.

use std::collections::HashMap;

use domain::{Role, Roles};
use jiff::Timestamp;
use proto::{to_timestamp, v1};
use seal::SealError;
use store::{PROVIDER_PREFIX, SessionRecord, StoreError, Tx, User};
use tonic::{Code, Status};
use zeroize::Zeroizing;

use super::{AdministrationService, Administrator, roles_of, words_of};
use crate::error::{error, from_seal, from_store, internal, invalid};
use crate::names::check_user_name;
use crate::names::named;
use crate::password::hash_password;
use crate::signed::{check_user, sign_user};
use crate::temporary::{self, StoredPassword};

impl AdministrationService {
    pub(super) async fn users(&self, by: &Administrator) -> Result<v1::ListUsersResponse, Status> {
        let stored = self.context.store.users().await.map_err(|problem| from_store(&problem))?;
        let sessions = self.all_sessions().await?;
        self.note(by, "", "").await?;
        let mut counts: HashMap<&str, u32> = HashMap::new();
        for session in &sessions {
            *counts.entry(&session.user).or_default() += 1;
        }
        let mut users = Vec::with_capacity(stored.len());
        for user in &stored {
            let sessions = counts.get(user.name.as_str()).copied().unwrap_or_default();
            users.push(v1::User { sessions, ..self.shown_user(user).await });
        }
        users.extend(of_provider(&sessions, &counts));
        Ok(v1::ListUsersResponse { users })
    }

    async fn shown_user(&self, user: &User) -> v1::User {
        let now = self.now();
        let password = user.password_hash.as_deref().and_then(StoredPassword::parse);
        let password = password.filter(|password| password.lasts(now));
        let access = match &password {
            _ if check_user(&self.keys, user).await.is_err() => v1::UserAccess::NotAuthentic,
            None => v1::UserAccess::None,
            Some(password) if password.until.is_some() => v1::UserAccess::TemporaryPassword,
            Some(_) => v1::UserAccess::Password,
        };
        v1::User {
            name: user.name.clone(),
            roles: words_of(user.roles),
            access: access.into(),
            created_at: Some(to_timestamp(user.created_at)),
            temporary_until: password.and_then(|password| password.until).map(to_timestamp),
            sessions: 0,
        }
    }

    pub(super) async fn add_user(
        &self,
        by: &Administrator,
        asked: &v1::CreateUserRequest,
    ) -> Result<v1::CreateUserResponse, Status> {
        check_user_name(&asked.name).map_err(|sentence| invalid("USER_NAME_INVALID", sentence))?;
        let roles = roles_of(&asked.roles)?;
        let (password, hash) = self.temporary_password().await?;
        let mut user = User {
            name: asked.name.clone(),
            roles,
            password_hash: Some(hash),
            created_at: self.now(),
            mac: Vec::new(),
        };
        sign_user(&self.keys, &mut user).await.map_err(|problem| from_seal(&problem))?;
        let stored: Result<(), StoreError> = async {
            let mut tx = self.context.store.begin("create_user").await?;
            tx.insert_user(&user).await?;
            tx.append_audit(by.caller.line(user.created_at, &user.name, audit::OK, &roles.to_string()));
            tx.commit().await
        }
        .await;
        stored.map_err(|problem| match problem {
            StoreError::Conflict { .. } => {
                let sentence = format!(
                    "{:?} is on the list already: reset the password there, or choose another name",
                    asked.name
                );
                error(Code::AlreadyExists, "USER_EXISTS", sentence)
            }
            problem => from_store(&problem),
        })?;
        let user = Some(self.shown_user(&user).await);
        Ok(v1::CreateUserResponse { user, temporary_password: password.to_string() })
    }

    /// A new temporary password, and its stored form.
    async fn temporary_password(&self) -> Result<(Zeroizing<String>, String), Status> {
        let until = self.now() + temporary::LASTS;
        let entropy = self.context.entropy.clone();
        let made = tokio::task::spawn_blocking(move || {
            let password = temporary::new_password(&*entropy);
            let hash = hash_password(&password, &*entropy)?;
            Ok::<_, crate::PasswordError>((password, temporary::stored(&hash, until)))
        });
        made.await.map_err(|problem| internal(&problem))?.map_err(|problem| internal(&problem))
    }

    pub(super) async fn set_roles(
        &self,
        by: &Administrator,
        asked: &v1::SetUserRolesRequest,
    ) -> Result<v1::SetUserRolesResponse, Status> {
        let roles = roles_of(&asked.roles)?;
        let mut change = self.change(by, "set_user_roles", &asked.name).await?;
        let detail = format!("{} to {roles}", change.user.roles);
        change.user.roles = roles;
        let (user, _) = self.finish(by, change, false, &detail).await?;
        Ok(v1::SetUserRolesResponse { user: Some(user) })
    }

    pub(super) async fn reset(
        &self,
        by: &Administrator,
        name: &str,
    ) -> Result<v1::ResetPasswordResponse, Status> {
        let (password, hash) = self.temporary_password().await?;
        let mut change = self.change(by, "reset_password", name).await?;
        change.user.password_hash = Some(hash);
        let (user, ended) = self.finish(by, change, true, "").await?;
        Ok(v1::ResetPasswordResponse { user: Some(user), temporary_password: password.to_string(), ended })
    }

    pub(super) async fn disable(
        &self,
        by: &Administrator,
        name: &str,
    ) -> Result<v1::DisableUserResponse, Status> {
        let mut change = self.change(by, "disable_user", name).await?;
        change.user.password_hash = None;
        let (user, ended) = self.finish(by, change, true, "").await?;
        Ok(v1::DisableUserResponse { user: Some(user), ended })
    }

    pub(super) async fn delete(
        &self,
        by: &Administrator,
        name: &str,
    ) -> Result<v1::DeleteUserResponse, Status> {
        let change = self.change(by, "delete_user", name).await?;
        self.require_administrator(&change, false).await?;
        let UserChange { mut tx, user, .. } = change;
        let stored: Result<u64, StoreError> = async {
            let ended = tx.end_sessions(&user.name).await?;
            tx.remove_user(&user.name).await?;
            let detail = format!("{}, sessions ended: {ended}", user.roles);
            tx.append_audit(by.caller.line(self.now(), &user.name, audit::OK, &detail));
            tx.commit().await?;
            Ok(ended)
        }
        .await;
        let ended = stored.map_err(|problem| from_store(&problem))?;
        Ok(v1::DeleteUserResponse { ended: u32::try_from(ended).unwrap_or(u32::MAX) })
    }

    /// Refuses a change after which no administrator is left; `is_one` says whether the person still is one.
    async fn require_administrator(&self, change: &UserChange, is_one: bool) -> Result<(), Status> {
        let UserChange { user, was_administrator, others, .. } = change;
        if !was_administrator || is_one || self.has_administrator(others, self.now()).await {
            return Ok(());
        }
        let sentence =
            format!("{:?} is the last administrator: give another user the role admin first", user.name);
        Err(error(Code::FailedPrecondition, "LAST_ADMINISTRATOR", sentence))
    }

    /// Starts a change of a person other than the caller, whose row must be authentic.
    async fn change(
        &self,
        by: &Administrator,
        operation: &'static str,
        name: &str,
    ) -> Result<UserChange, Status> {
        if by.is_called(name) {
            let sentence =
                "this is your own account: ask another administrator to change its roles or access";
            return Err(error(Code::FailedPrecondition, "OWN_ACCOUNT", sentence));
        }
        let began: Result<(Tx, Vec<User>), StoreError> = async {
            let mut tx = self.context.store.begin(operation).await?;
            let users = tx.lock_users().await?;
            Ok((tx, users))
        }
        .await;
        let (tx, mut others) = began.map_err(|problem| from_store(&problem))?;
        let index = others.iter().position(|user| user.name == name).ok_or_else(|| unknown(name))?;
        let user = others.remove(index);
        check_user(&self.keys, &user).await.map_err(|problem| not_authentic(&user.name, &problem))?;
        let was_administrator = is_administrator(&user, self.now());
        Ok(UserChange { tx, user, was_administrator, others })
    }

    /// Stores the change, unless it removes the last administrator. Returns the person and the number of sessions
    /// that ended.
    async fn finish(
        &self,
        by: &Administrator,
        change: UserChange,
        ends_sessions: bool,
        detail: &str,
    ) -> Result<(v1::User, u32), Status> {
        let now = self.now();
        self.require_administrator(&change, is_administrator(&change.user, now)).await?;
        let UserChange { mut tx, mut user, .. } = change;
        sign_user(&self.keys, &mut user).await.map_err(|problem| from_seal(&problem))?;
        let stored: Result<u64, StoreError> = async {
            tx.update_user(&user).await?;
            let ended = if ends_sessions { tx.end_sessions(&user.name).await? } else { 0 };
            let detail = if ends_sessions { format!("sessions ended: {ended}") } else { detail.to_owned() };
            tx.append_audit(by.caller.line(now, &user.name, audit::OK, &detail));
            tx.commit().await?;
            Ok(ended)
        }
        .await;
        let ended = stored.map_err(|problem| from_store(&problem))?;
        Ok((self.shown_user(&user).await, u32::try_from(ended).unwrap_or(u32::MAX)))
    }

    /// Whether one of them is an administrator with an authentic row.
    async fn has_administrator(&self, users: &[User], now: Timestamp) -> bool {
        for user in users.iter().filter(|user| is_administrator(user, now)) {
            if check_user(&self.keys, user).await.is_ok() {
                return true;
            }
        }
        false
    }
}

/// A change of a person before it is stored.
struct UserChange {
    tx: Tx,
    user: User,
    was_administrator: bool,
    /// All other people.
    others: Vec<User>,
}

/// Whether the person has the role and can sign in.
fn is_administrator(user: &User, now: Timestamp) -> bool {
    let password = user.password_hash.as_deref().and_then(StoredPassword::parse);
    user.roles.iter().any(|role| role == Role::Admin) && password.is_some_and(|password| password.lasts(now))
}

/// The people of the OpenID provider who have sessions, by name, with the roles of their newest session.
fn of_provider(sessions: &[SessionRecord], counts: &HashMap<&str, u32>) -> Vec<v1::User> {
    let mut newest: HashMap<&str, (Timestamp, Roles)> = HashMap::new();
    for session in sessions.iter().filter(|session| session.user.starts_with(PROVIDER_PREFIX)) {
        let found = newest.entry(&session.user).or_insert((session.created_at, session.roles));
        if session.created_at > found.0 {
            *found = (session.created_at, session.roles);
        }
    }
    let mut users: Vec<v1::User> = newest
        .into_iter()
        .map(|(name, (_, roles))| v1::User {
            name: name.to_owned(),
            roles: words_of(roles),
            access: v1::UserAccess::Provider.into(),
            sessions: counts.get(name).copied().unwrap_or_default(),
            ..v1::User::default()
        })
        .collect();
    users.sort_by(|one, other| one.name.cmp(&other.name));
    users
}

fn unknown(name: &str) -> Status {
    let sentence = if name.starts_with(PROVIDER_PREFIX) {
        format!(
            "{} signs in through the OpenID provider, which gives the roles: change them there",
            named(name)
        )
    } else {
        format!("there is no user named {}: see ListUsers", named(name))
    };
    error(Code::NotFound, "USER_NOT_FOUND", sentence)
}

fn not_authentic(name: &str, problem: &SealError) -> Status {
    if let SealError::Unavailable(_) = problem {
        return from_seal(problem);
    }
    tracing::error!(person = name, reason = problem as &dyn std::error::Error, "a row is not believed");
    let sentence = format!(
        "the row of {name:?} was not written by SSL Manager: look into the database's log, then remove it there"
    );
    error(Code::FailedPrecondition, "ROW_NOT_AUTHENTIC", sentence)
}
