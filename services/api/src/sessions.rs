//! The service `sslmanager.v1.Sessions`: people sign in and out.
//!
//! Every cause of a failed sign-in looks the same, and takes as long. Attempts at one name are slowed down, those from
//! one source and those from all sources together, never shut out for good. A browser with an earlier sign-in of that
//! person is counted separately, so a stranger who knows the name cannot lock them out there; on a new browser the
//! person may have to wait while many sources guess.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use audit::Caller;
use domain::Roles;
use jiff::SignedDuration;
use oidc::IdTokens;
use proto::v1::sessions_server::Sessions;
use proto::{to_timestamp, v1};
use runtime::{Context, Seldom};
use seal::SealingKeys;
use store::{SessionRecord, StoreError, User};
use tonic::{Code, Request, Response, Status};
use zeroize::Zeroizing;

use crate::admission::Origin;
use crate::audited::note_failure;
use crate::auth::{Authenticator, address, hash_token, new_session_token};
use crate::device::Devices;
use crate::error::{error, from_store, overloaded, retry, unauthenticated};
use crate::limiter::Limiter;
use crate::new_password::changed_meanwhile;
use crate::password::{MAX_PASSWORD, Passwords};
use crate::temporary::StoredPassword;

/// Attempts at one name from one source at once, and how long until there is one more.
const ATTEMPTS: u32 = 5;
const ATTEMPT_INTERVAL: SignedDuration = SignedDuration::from_secs(30);
/// Failed attempts at one name from all sources without a device, and how long until there is one more: 1,440 guesses a day.
const GUESSES: u32 = 30;
const GUESS_INTERVAL: SignedDuration = SignedDuration::from_mins(1);
/// Failed sign-ins that are told of at once, in the log and the audit log, and how long until there is one more.
const TOLD: u32 = 20;
const LOG_INTERVAL: SignedDuration = SignedDuration::from_secs(10);
/// The log's word for an unknown name: the typed name may be a password.
const NOT_ON_THE_LIST: &str = "(not on the list)";
/// Maximum length of a user's name.
pub(crate) const MAX_NAME: usize = 100;

pub(crate) struct SessionsService {
    pub(crate) context: Context,
    pub(crate) authenticator: Authenticator,
    pub(crate) passwords: Passwords,
    /// Of the OpenID provider, where one is configured.
    pub(crate) id_tokens: Option<IdTokens>,
    attempts: Limiter,
    /// Of names, whatever the source.
    guesses: Limiter,
    devices: Devices,
    pub(crate) keys: Arc<SealingKeys>,
    failures: Limiter,
    untold: AtomicU64,
    pub(crate) refusals: Seldom,
}

impl SessionsService {
    pub(crate) fn new(
        context: &Context,
        authenticator: Authenticator,
        passwords: Passwords,
        id_tokens: Option<IdTokens>,
        keys: Arc<SealingKeys>,
    ) -> Self {
        let (clock, entropy) = (context.clock.clone(), context.entropy.clone());
        Self {
            devices: Devices { keys: keys.clone(), clock, entropy },
            keys,
            failures: Limiter::new(TOLD, LOG_INTERVAL),
            untold: AtomicU64::new(0),
            refusals: Seldom::default(),
            context: context.clone(),
            authenticator,
            passwords,
            id_tokens,
            attempts: Limiter::new(ATTEMPTS, ATTEMPT_INTERVAL),
            guesses: Limiter::new(GUESSES, GUESS_INTERVAL),
        }
    }

    /// The user with that password.
    async fn user(
        &self,
        name: &str,
        password: Zeroizing<String>,
        device: &str,
        origin: &Origin,
    ) -> Result<store::User, Status> {
        if name.len() > MAX_NAME || password.len() > MAX_PASSWORD {
            return Err(failed());
        }
        let user = self.context.store.user(name).await.map_err(|problem| from_store(&problem))?;
        let user = self.authenticator.believer.user(user).await?;
        let device = self.devices.of(name, device).await;
        let bucket = match &device {
            Some(device) => format!("{device} {name}"),
            None => format!("{} {name}", origin.source),
        };
        if let Err(slowed) = self.count_attempt(name, &bucket, device.is_some()) {
            return Err(self.tell(user.as_ref(), origin, slowed).await);
        }
        let now = self.context.clock.now();
        let stored = user.as_ref().and_then(|user| StoredPassword::parse(user.password_hash.as_deref()?));
        let hash = stored.filter(|stored| stored.lasts(now)).map(|stored| stored.hash.to_owned());
        let fits = self.passwords.fits(password, hash, &origin.source, origin.is_shared).await;
        let fits = fits.map_err(|_| overloaded(std::time::Duration::from_secs(5)))?;
        match user {
            Some(user) if fits => {
                self.attempts.forget(&bucket);
                if device.is_none() {
                    self.guesses.give_back(name);
                }
                Ok(user)
            }
            user => Err(self.tell(user.as_ref(), origin, failed()).await),
        }
    }

    /// Counts an attempt at a name against its bucket and, if it comes without a device, against those of all sources.
    /// Errors: `SIGN_IN_THROTTLED` with how long to wait.
    fn count_attempt(&self, name: &str, bucket: &str, has_device: bool) -> Result<(), Status> {
        let now = self.context.clock.now();
        let slowed = |by: &'static str, sentence: &str, wait: SignedDuration| {
            metrics::counter!("ssl_manager_sign_ins_throttled_total", "by" => by).increment(1);
            retry("SIGN_IN_THROTTLED", sentence, wait.unsigned_abs())
        };
        self.attempts.take(bucket, now).map_err(|wait| {
            slowed("source", "too many attempts for this name: wait a little, then try again", wait)
        })?;
        if has_device {
            return Ok(());
        }
        self.guesses.take(name, now).map_err(|wait| {
            let sentence = "too many attempts for this name, from many addresses: wait a little, then try again, or sign in \
                            on a browser on which you signed in before";
            slowed("name", sentence, wait)
        })
    }

    /// Tells of a failed sign-in in the log and the audit log, within bounds: strangers must not fill the database.
    /// Returns what the caller is told.
    async fn tell(&self, user: Option<&store::User>, origin: &Origin, problem: Status) -> Status {
        let Context { store, clock, .. } = &self.context;
        if self.failures.take("", clock.now()).is_err() {
            self.untold.fetch_add(1, Ordering::Relaxed);
            return problem;
        }
        let withheld = self.untold.swap(0, Ordering::Relaxed);
        let person = user.map_or(NOT_ON_THE_LIST, |user| user.name.as_str());
        tracing::warn!(person, source = origin.address, withheld, "a sign-in failed");
        let by = signing_in(person, origin.address.clone(), "SignIn");
        note_failure(store, &**clock, &by, person, &problem).await;
        problem
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

    /// Stores a session. Errors: the user was changed since it was read; a session that begins while an administrator
    /// disables the user, or resets the password, would outlive that.
    async fn begin(&self, user: &User, session: &SessionRecord, by: &Caller) -> Result<(), Status> {
        let now = self.context.clock.now();
        let stored: Result<bool, StoreError> = async {
            let mut tx = self.context.store.begin("sign_in").await?;
            if !tx.lock_users().await?.contains(user) {
                return Ok(false);
            }
            tx.insert_session(session).await?;
            tx.append_audit(by.line(now, &session.user, audit::OK, &session.roles.to_string()));
            tx.commit().await?;
            Ok(true)
        }
        .await;
        if stored.map_err(|problem| from_store(&problem))? { Ok(()) } else { Err(changed_meanwhile()) }
    }

    /// The session of the request's token, and the caller.
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

/// The audit log's name for the person who signs in.
pub(crate) fn signing_in(name: &str, peer: String, call: &'static str) -> Caller {
    Caller { actor: format!("user:{name}"), peer, call, request_id: String::new() }
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
        let peer = address(&request);
        let origin = request.extensions().get::<Origin>().cloned().ok_or_else(unauthenticated)?;
        let asked = request.into_inner();
        let (password, new) = (Zeroizing::new(asked.password), Zeroizing::new(asked.new_password));
        let user = self.user(&asked.name, password.clone(), &asked.device, &origin).await?;
        let changed = self.with_new_password(&user, &password, new).await?;
        let device = self.devices.issue(&user.name).await;
        let by = signing_in(&user.name, peer, "SignIn");
        let (token, session) = self.new_session(user.name.clone(), user.roles, false).await?;
        match changed {
            Some(changed) => self.replace_password(&user, &changed, &session, &by).await?,
            None => self.begin(&user, &session, &by).await?,
        }
        Ok(Response::new(v1::SignInResponse {
            token: token.to_string(),
            session: Some(self.shown(&session)),
            device,
        }))
    }

    async fn sign_in_with_id_token(
        &self,
        request: Request<v1::SignInWithIdTokenRequest>,
    ) -> Result<Response<v1::SignInWithIdTokenResponse>, Status> {
        let peer = address(&request);
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
