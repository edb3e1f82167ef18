//! The service `sslmanager.v1.Sessions`: people sign in and out.
//!
//! Every cause of a failed sign-in looks the same, and takes as long. Attempts at one name are slowed down, never shut
//! out for good: who knows a colleague's name could otherwise keep them out.

use std::net::SocketAddr;

use audit::Caller;
use domain::Roles;
use jiff::SignedDuration;
use oidc::IdTokens;
use proto::v1::sessions_server::Sessions;
use proto::{to_timestamp, v1};
use runtime::Context;
use store::{SessionRecord, StoreError};
use tonic::{Code, Request, Response, Status};
use zeroize::Zeroizing;

use crate::auth::{Authenticator, hash_token, new_session_token};
use crate::error::{error, from_store, overloaded, retry, unauthenticated};
use crate::limiter::Limiter;
use crate::password::{MOST_PASSWORD, Passwords};

/// Attempts at one name at once, and how long until there is one more.
const ATTEMPTS: u32 = 5;
const ATTEMPT_EVERY: SignedDuration = SignedDuration::from_secs(30);
/// Longest name that anybody can have.
pub(crate) const MOST_NAME: usize = 100;

pub(crate) struct SessionsService {
    pub(crate) context: Context,
    pub(crate) authenticator: Authenticator,
    pub(crate) passwords: Passwords,
    /// Of the OpenID provider, where one is configured.
    pub(crate) id_tokens: Option<IdTokens>,
    attempts: Limiter,
}

impl SessionsService {
    pub(crate) fn new(
        context: &Context,
        authenticator: Authenticator,
        passwords: Passwords,
        id_tokens: Option<IdTokens>,
    ) -> Self {
        Self {
            context: context.clone(),
            authenticator,
            passwords,
            id_tokens,
            attempts: Limiter::new(ATTEMPTS, ATTEMPT_EVERY),
        }
    }

    /// The user with that password.
    async fn user(&self, name: &str, password: Zeroizing<String>) -> Result<store::User, Status> {
        if name.len() > MOST_NAME || password.len() > MOST_PASSWORD {
            return Err(failed());
        }
        let wait = self.attempts.take(name, self.context.clock.now());
        wait.map_err(|wait| {
            let sentence = "too many attempts at this name: wait a little, then try again";
            retry("SIGN_IN_THROTTLED", sentence, wait.unsigned_abs())
        })?;
        let user = self.context.store.user(name).await.map_err(|problem| from_store(&problem))?;
        let user = self.authenticator.believer.user(user).await?;
        let hash = user.as_ref().and_then(|user| user.password_hash.clone());
        let fits = self.passwords.fits(password, hash).await;
        let fits = fits.map_err(|_busy| overloaded(std::time::Duration::from_secs(5)))?;
        match user {
            Some(user) if fits => {
                self.attempts.forget(name);
                Ok(user)
            }
            user => {
                tracing::warn!(is_known = user.is_some(), "a sign-in failed");
                Err(failed())
            }
        }
    }

    /// A session that is not stored yet; with its token.
    pub(crate) async fn new_session(
        &self,
        name: String,
        roles: Roles,
        is_vouched: bool,
    ) -> Result<(Zeroizing<String>, SessionRecord), Status> {
        let now = self.context.clock.now();
        let token = new_session_token(&*self.context.entropy);
        let hours = self.context.config.api.session_hours;
        let mut session = SessionRecord {
            hash: hash_token(&token),
            user: name,
            roles,
            created_at: now,
            used_at: now,
            expires_at: now + SignedDuration::from_hours(hours.into()),
            mac: Vec::new(),
        };
        self.authenticator.believer.sign_session(&mut session, is_vouched).await?;
        Ok((token, session))
    }

    async fn begin(&self, session: &SessionRecord, by: &Caller) -> Result<(), StoreError> {
        let now = self.context.clock.now();
        let mut tx = self.context.store.begin("sign_in").await?;
        tx.insert_session(session).await?;
        let line = by.line(now, &session.user, audit::OK, &session.roles.to_string());
        tx.append_audit(line);
        tx.commit().await
    }

    /// The session that the request's token is of, and who calls.
    async fn caller<T>(
        &self,
        request: &Request<T>,
        call: &'static str,
    ) -> Result<(SessionRecord, Caller), Status> {
        let principal = self.authenticator.principal(request).await?;
        let caller = principal.caller(request, call);
        let session = principal.session.ok_or_else(unauthenticated)?;
        Ok((session, caller))
    }

    pub(crate) fn shown(&self, session: &SessionRecord) -> v1::Session {
        v1::Session {
            name: session.user.clone(),
            roles: session.roles.iter().map(|role| role.to_string()).collect(),
            expires_at: Some(to_timestamp(session.expires_at)),
            idle_at: Some(to_timestamp(self.authenticator.idle_at(session))),
        }
    }
}

/// Who signs in, as the audit log names them.
pub(crate) fn signing_in(name: &str, peer: Option<SocketAddr>, call: &'static str) -> Caller {
    Caller {
        actor: format!("user:{name}"),
        peer: peer.map(|peer| peer.to_string()).unwrap_or_default(),
        call,
        request_id: String::new(),
    }
}

fn failed() -> Status {
    error(Code::Unauthenticated, "SIGN_IN_FAILED", "name or password is not right")
}

#[tonic::async_trait]
impl Sessions for SessionsService {
    async fn sign_in(
        &self,
        request: Request<v1::SignInRequest>,
    ) -> Result<Response<v1::SignInResponse>, Status> {
        let peer = request.remote_addr();
        let asked = request.into_inner();
        let user = self.user(&asked.name, Zeroizing::new(asked.password)).await?;
        let by = signing_in(&user.name, peer, "SignIn");
        let (token, session) = self.new_session(user.name, user.roles, false).await?;
        self.begin(&session, &by).await.map_err(|problem| from_store(&problem))?;
        Ok(Response::new(v1::SignInResponse {
            token: token.to_string(),
            session: Some(self.shown(&session)),
        }))
    }

    async fn sign_in_with_id_token(
        &self,
        request: Request<v1::SignInWithIdTokenRequest>,
    ) -> Result<Response<v1::SignInWithIdTokenResponse>, Status> {
        let peer = request.remote_addr();
        let asked = request.into_inner();
        let (token, session) = self.begin_vouched(&asked, peer).await?;
        Ok(Response::new(v1::SignInWithIdTokenResponse {
            token: token.to_string(),
            session: Some(self.shown(&session)),
        }))
    }

    async fn resolve(
        &self,
        request: Request<v1::ResolveRequest>,
    ) -> Result<Response<v1::ResolveResponse>, Status> {
        let (session, _) = self.caller(&request, "Resolve").await?;
        Ok(Response::new(v1::ResolveResponse { session: Some(self.shown(&session)) }))
    }

    async fn sign_out(
        &self,
        request: Request<v1::SignOutRequest>,
    ) -> Result<Response<v1::SignOutResponse>, Status> {
        let (session, by) = self.caller(&request, "SignOut").await?;
        let ended: Result<(), StoreError> = async {
            let mut tx = self.context.store.begin("sign_out").await?;
            tx.end_session(&session.hash).await?;
            let line = by.line(self.context.clock.now(), &session.user, audit::OK, "");
            tx.append_audit(line);
            tx.commit().await
        }
        .await;
        ended.map_err(|problem| from_store(&problem))?;
        Ok(Response::new(v1::SignOutResponse {}))
    }

    async fn sign_out_everywhere(
        &self,
        request: Request<v1::SignOutEverywhereRequest>,
    ) -> Result<Response<v1::SignOutEverywhereResponse>, Status> {
        let (session, by) = self.caller(&request, "SignOutEverywhere").await?;
        let ended: Result<u64, StoreError> = async {
            let mut tx = self.context.store.begin("sign_out_everywhere").await?;
            let ended = tx.end_sessions(&session.user).await?;
            let line = by.line(self.context.clock.now(), &session.user, audit::OK, &ended.to_string());
            tx.append_audit(line);
            tx.commit().await?;
            Ok(ended)
        }
        .await;
        let ended = ended.map_err(|problem| from_store(&problem))?;
        Ok(Response::new(v1::SignOutEverywhereResponse { ended: ended as u32 }))
    }
}
