//! A row of a token, a user or a session counts only with its MAC. A row without one, or with a wrong one, was not
//! written by SSL Manager: it counts as absent, with a line in the log and a metric.

use std::sync::Arc;

use domain::{Clock, Roles};
use jiff::SignedDuration;
use runtime::{Context, RoleError};
use seal::{KeyId, SealError, SealingKeys, Statement};
use store::{SessionRecord, StoredSession, TokenRecord, User};
use tonic::{Code, Status};

use crate::error::{error, from_seal};
use crate::limiter::Limiter;

/// A row is told of at most this often.
const LOG_INTERVAL: SignedDuration = SignedDuration::from_mins(1);

fn of_token(token: &TokenRecord) -> Statement {
    let ends = token.expires_at.map(|at| at.as_microsecond().to_be_bytes());
    Statement::new("token")
        .and(token.name.as_bytes())
        .and(&token.hash)
        .and(token.roles.to_string().as_bytes())
        .and_maybe(ends.as_ref().map(<[u8; 8]>::as_slice))
}

fn of_user(user: &User) -> Statement {
    Statement::new("user")
        .and(user.name.as_bytes())
        .and(user.roles.to_string().as_bytes())
        .and_maybe(user.password_hash.as_deref().map(str::as_bytes))
}

/// The roles of a user of ours are those of their row, those of a provider's person stand in the session.
fn of_session(session: &SessionRecord, is_vouched: bool) -> Statement {
    let roles = is_vouched.then(|| session.roles.to_string());
    Statement::new("session")
        .and(&session.hash)
        .and(session.user.as_bytes())
        .and_maybe(roles.as_deref().map(str::as_bytes))
        .and(&session.expires_at.as_microsecond().to_be_bytes())
}

/// Gives a token the MAC without which it counts for nothing.
pub async fn sign_token(keys: &SealingKeys, token: &mut TokenRecord) -> Result<(), SealError> {
    token.mac = keys.sign(&of_token(token)).await?;
    Ok(())
}

/// The same for a user; the MAC is another one each time.
pub async fn sign_user(keys: &SealingKeys, user: &mut User) -> Result<(), SealError> {
    user.mac = keys.sign_once(of_user(user)).await?;
    Ok(())
}

/// The same for a session; `is_vouched` if an OpenID provider vouches for the person.
pub async fn sign_session(
    keys: &SealingKeys,
    session: &mut SessionRecord,
    is_vouched: bool,
) -> Result<(), SealError> {
    session.mac = keys.sign(&of_session(session, is_vouched)).await?;
    Ok(())
}

/// Under which sealing key a token's MAC is.
pub async fn check_token(keys: &SealingKeys, token: &TokenRecord) -> Result<KeyId, SealError> {
    keys.check(&of_token(token), &token.mac).await
}

/// Under which sealing key a user's MAC is.
pub async fn check_user(keys: &SealingKeys, user: &User) -> Result<KeyId, SealError> {
    keys.check_once(of_user(user), &user.mac).await
}

/// Under which sealing key a session's MAC is; that of its user is not looked at.
pub async fn check_session(keys: &SealingKeys, stored: &StoredSession) -> Result<KeyId, SealError> {
    keys.check(&of_session(&stored.session, stored.user.is_none()), &stored.session.mac).await
}

/// Believes rows, or not.
#[derive(Clone)]
pub(crate) struct RowVerifier {
    keys: Arc<SealingKeys>,
    clock: Arc<dyn Clock>,
    /// What the OpenID provider can make of people; none without one.
    provider_roles: Option<Roles>,
    told: Arc<Limiter>,
}

impl RowVerifier {
    pub(crate) fn new(context: &Context) -> Result<Self, RoleError> {
        let provider = context.config.api.oidc.as_ref();
        Ok(Self {
            keys: context.require_sealing_keys()?,
            clock: context.clock.clone(),
            provider_roles: provider.and_then(|oidc| Roles::of(oidc.roles.iter().map(|of| of.role))),
            told: Arc::new(Limiter::new(1, LOG_INTERVAL)),
        })
    }

    pub(crate) async fn token(&self, token: Option<TokenRecord>) -> Result<Option<TokenRecord>, Status> {
        let Some(token) = token else { return Ok(None) };
        let checked = check_token(&self.keys, &token).await;
        Ok(self.counts("tokens", &token.name, checked)?.then_some(token))
    }

    pub(crate) async fn user(&self, user: Option<User>) -> Result<Option<User>, Status> {
        let Some(user) = user else { return Ok(None) };
        let checked = check_user(&self.keys, &user).await;
        Ok(self.counts("users", &user.name, checked)?.then_some(user))
    }

    /// A session, with the roles that its person has now: a provider's person only those that the settings still give.
    pub(crate) async fn session(
        &self,
        stored: Option<StoredSession>,
    ) -> Result<Option<SessionRecord>, Status> {
        let Some(stored) = stored else { return Ok(None) };
        let checked = check_session(&self.keys, &stored).await;
        if !self.counts("sessions", &stored.session.user, checked)? {
            return Ok(None);
        }
        let StoredSession { session, user } = stored;
        if user.is_some() {
            let user = self.user(user).await?;
            return Ok(user.filter(|user| user.password_hash.is_some()).map(|_| session));
        }
        let roles = self.provider_roles.and_then(|given| session.roles.within(given));
        Ok(roles.map(|roles| SessionRecord { roles, ..session }))
    }

    pub(crate) async fn sign_session(
        &self,
        session: &mut SessionRecord,
        is_vouched: bool,
    ) -> Result<(), Status> {
        let signed = sign_session(&self.keys, session, is_vouched).await;
        signed.map_err(|problem| crate::error::internal(&problem))
    }

    fn counts(
        &self,
        table: &'static str,
        row: &str,
        checked: Result<KeyId, SealError>,
    ) -> Result<bool, Status> {
        let Err(problem) = checked else { return Ok(true) };
        metrics::counter!("ssl_manager_unsigned_rows_total", "table" => table).increment(1);
        if self.told.take(&format!("{table} {row}"), self.clock.now()).is_ok() {
            let reason = &problem as &dyn std::error::Error;
            tracing::error!(table, row, reason, "a row is not believed: its MAC does not fit");
        }
        match problem {
            SealError::Unavailable(_) => Err(from_seal(&problem)),
            SealError::UnknownKey(_) => {
                let sentence = format!(
                    "the stored row of this token or user cannot be checked: {problem}; ask who runs SSL Manager"
                );
                Err(error(Code::FailedPrecondition, "SEALING_KEY_MISSING", sentence))
            }
            _ => Ok(false),
        }
    }
}
