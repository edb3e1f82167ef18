//! A sign-in that replaces the password: a temporary one has to be replaced, any other may be.
//!
//! There is no session before the password is replaced. A temporary password that a third person has seen opens nothing after
//! its owner has signed in, and if it was used before, the owner notices because it does not fit any more.

use audit::Caller;
use store::{SessionRecord, StoreError, User};
use tonic::{Code, Status};
use zeroize::Zeroizing;

use crate::error::{error, from_seal, from_store, internal, invalid};
use crate::password::{PasswordError, hash_password};
use crate::sessions::SessionsService;
use crate::signed::sign_user;
use crate::temporary::StoredPassword;

impl SessionsService {
    /// The person as they are to be stored, if the sign-in replaces the password, which was right. Errors: it has to and does
    /// not, or the new one cannot be taken.
    pub(crate) async fn with_new_password(
        &self,
        user: &User,
        password: &str,
        new: Zeroizing<String>,
    ) -> Result<Option<User>, Status> {
        let stored = user.password_hash.as_deref().and_then(StoredPassword::parse);
        let is_temporary = stored.is_some_and(|stored| stored.until.is_some());
        if new.is_empty() {
            if is_temporary {
                let sentence = "this password is temporary: choose one of your own";
                return Err(error(Code::FailedPrecondition, "PASSWORD_TEMPORARY", sentence));
            }
            return Ok(None);
        }
        if *new == password {
            return Err(invalid("PASSWORD_SAME", "the new password is the old one: choose another"));
        }
        let entropy = self.context.entropy.clone();
        let hash = tokio::task::spawn_blocking(move || hash_password(&new, &*entropy)).await;
        let hash = hash.map_err(|problem| internal(&problem))?.map_err(|problem| match problem {
            PasswordError::Length => invalid("PASSWORD_LENGTH", problem.to_string()),
            PasswordError::Hash => internal(&problem),
        })?;
        let mut changed = User { password_hash: Some(hash), ..user.clone() };
        sign_user(&self.keys, &mut changed).await.map_err(|problem| from_seal(&problem))?;
        Ok(Some(changed))
    }

    /// Stores the new password and the session, and ends the person's other sessions. Errors: the person was changed
    /// meanwhile.
    pub(crate) async fn replace_password(
        &self,
        before: &User,
        changed: &User,
        session: &SessionRecord,
        by: &Caller,
    ) -> Result<(), Status> {
        let now = self.context.clock.now();
        let stored: Result<bool, StoreError> = async {
            let mut tx = self.context.store.begin("replace_password").await?;
            let is_as_it_was = tx.lock_users().await?.contains(before);
            if !is_as_it_was {
                return Ok(false);
            }
            tx.update_user(changed).await?;
            let ended = tx.end_sessions(&changed.name).await?;
            tx.insert_session(session).await?;
            let own = Caller { call: "ChangePassword", ..by.clone() };
            tx.append_audit(own.line(now, &changed.name, audit::OK, &format!("sessions ended: {ended}")));
            tx.append_audit(by.line(now, &changed.name, audit::OK, &session.roles.to_string()));
            tx.commit().await?;
            Ok(true)
        }
        .await;
        if stored.map_err(|problem| from_store(&problem))? {
            return Ok(());
        }
        Err(changed_meanwhile())
    }
}

/// The user was changed between the check of the password and the session.
pub(crate) fn changed_meanwhile() -> Status {
    let sentence = "an administrator changed this account at the same moment: sign in again";
    error(Code::Aborted, "CHANGED_MEANWHILE", sentence)
}
