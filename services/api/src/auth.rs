//! Authenticates callers: a program with a token, a person with a session, or a program with a client certificate.
//!
//! Tokens, of programs and of sessions, are 256 random bits, stored as their SHA-256 and looked up by it. A hash that is
//! looked up needs no slow function: there is nothing to guess in 256 random bits. A client certificate was checked in
//! the TLS handshake; one of its names says which principal of the settings it is. A token that is sent with it goes
//! first, so that a console with a certificate still speaks for the person.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use audit::Caller;
use aws_lc_rs::digest;
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use domain::{Action, Clock, Entropy, Role, Roles};
use jiff::{SignedDuration, Timestamp};
use runtime::config::ApiClient;
use runtime::{Context, Peer, RoleError, Seldom, Stop};
use store::{PROVIDER_PREFIX, SessionRecord, Store, StoreError, TokenRecord, TokenUse};
use tonic::{Code, Request, Status};
use zeroize::Zeroizing;

use crate::admission::Origin;
use crate::error::{denied, from_store, retry, unauthenticated, unknown_client};
use crate::limiter::Limiter;
use crate::signed::RowVerifier;

/// Prefix of every token of a program, so that a leaked one can be recognised.
pub const TOKEN_PREFIX: &str = "slm_";
/// Prefix of every token of a session.
const SESSION_PREFIX: &str = "sls_";
/// A use is noted at most this often per token or session.
const NOTE_INTERVAL: SignedDuration = SignedDuration::from_mins(1);

/// A new token's text.
pub fn new_token(entropy: &dyn Entropy) -> Zeroizing<String> {
    random_token(TOKEN_PREFIX, entropy)
}

/// A new session token's text.
pub(crate) fn new_session_token(entropy: &dyn Entropy) -> Zeroizing<String> {
    random_token(SESSION_PREFIX, entropy)
}

fn random_token(prefix: &str, entropy: &dyn Entropy) -> Zeroizing<String> {
    let mut bytes = Zeroizing::new([0; 32]);
    entropy.fill(&mut *bytes);
    Zeroizing::new(format!("{prefix}{}", BASE64_URL_SAFE_NO_PAD.encode(*bytes)))
}

/// The stored form of a token.
pub fn hash_token(text: &str) -> [u8; 32] {
    let mut hash = [0; 32];
    hash.copy_from_slice(digest::digest(&digest::SHA256, text.as_bytes()).as_ref());
    hash
}

/// Who calls.
#[derive(Clone, Debug)]
pub(crate) struct Principal {
    /// As history and logs name it.
    actor: String,
    roles: Roles,
    /// Of a person.
    pub(crate) session: Option<SessionRecord>,
}

impl Principal {
    pub(crate) fn of_session(session: SessionRecord) -> Self {
        Self { actor: format!("user:{}", session.user), roles: session.roles, session: Some(session) }
    }

    /// The audit log's name for the caller of this request.
    pub(crate) fn caller<T>(&self, request: &Request<T>, call: &'static str) -> Caller {
        let request_id = request.metadata().get("x-request-id").and_then(|value| value.to_str().ok());
        Caller {
            actor: self.actor.clone(),
            peer: address(request),
            call,
            request_id: request_id.unwrap_or_default().to_owned(),
        }
    }

    pub(crate) fn actor(&self) -> &str {
        &self.actor
    }

    pub(crate) fn is_admin(&self) -> bool {
        self.roles.iter().any(|role| role == Role::Admin)
    }

    pub(crate) fn require(&self, action: Action) -> Result<(), Status> {
        if self.roles.may(action) { Ok(()) } else { Err(denied(self.roles, action)) }
    }
}

/// Authenticates requests.
#[derive(Clone)]
pub(crate) struct Authenticator {
    store: Arc<Store>,
    pub(crate) believer: RowVerifier,
    clock: Arc<dyn Clock>,
    stop: Stop,
    noted: Arc<Mutex<HashMap<String, Timestamp>>>,
    /// Of client certificates.
    clients: Arc<[ApiClient]>,
    session_idle: SignedDuration,
    /// Requests of one principal; none where it is switched off.
    requests: Option<Arc<Limiter>>,
    requests_per_second: u32,
    refusals: Arc<Seldom>,
}

impl Authenticator {
    pub(crate) fn new(context: &Context) -> Result<Self, RoleError> {
        let settings = &context.config.api;
        let tls = settings.tls.as_ref();
        let requests = (settings.requests_per_second > 0).then(|| {
            let every = SignedDuration::from_nanos(1_000_000_000 / i64::from(settings.requests_per_second));
            Arc::new(Limiter::new(settings.requests_per_second.saturating_mul(2), every))
        });
        Ok(Self {
            store: context.store.clone(),
            believer: RowVerifier::new(context)?,
            clock: context.clock.clone(),
            stop: context.stop.clone(),
            noted: Arc::default(),
            clients: tls.map(|tls| tls.clients.clone()).unwrap_or_default().into(),
            session_idle: SignedDuration::from_mins(settings.session_idle_minutes.into()),
            requests,
            requests_per_second: settings.requests_per_second,
            refusals: Arc::default(),
        })
    }

    /// The caller of the request, if it has the right.
    pub(crate) async fn authorize<T>(
        &self,
        request: &Request<T>,
        action: Action,
    ) -> Result<Principal, Status> {
        let principal = self.principal(request).await?;
        principal.require(action)?;
        Ok(principal)
    }

    /// The caller of the request, as found by admission, or as looked up now. Tokens that are good for nothing are in
    /// the log, at a bounded rate, with where they came from.
    pub(crate) async fn principal<T>(&self, request: &Request<T>) -> Result<Principal, Status> {
        if let Some(principal) = request.extensions().get::<Principal>() {
            return Ok(principal.clone());
        }
        let principal = self.known(request).await;
        if let Err(problem) = &principal
            && (bearer(request).is_some() || problem.code() == Code::ResourceExhausted)
            && let Some(withheld) = self.refusals.pass()
        {
            tracing::warn!(peer = address(request), code = ?problem.code(), withheld, "a call was refused");
        }
        principal
    }

    async fn known<T>(&self, request: &Request<T>) -> Result<Principal, Status> {
        let now = self.clock.now();
        let principal = match bearer(request) {
            Some(token) if token.starts_with(SESSION_PREFIX) => {
                let session = self.lasting_session(token, now).await?;
                Principal::of_session(if is_in_the_background(request) {
                    session
                } else {
                    self.used(session, now)
                })
            }
            Some(token) => self.program(token, now).await?,
            None => self.client(request)?,
        };
        if let Some(requests) = &self.requests {
            // The time of now: a store that took seconds to answer is not this principal's haste.
            requests.take(&principal.actor, self.clock.now()).map_err(|wait| {
                let sentence = "too many requests of this principal: wait, then go on more slowly";
                retry("RATE_LIMITED", sentence, wait.unsigned_abs())
            })?;
        }
        Ok(principal)
    }

    /// Whether the token that a stream began with is still good, and its principal may still do that. A client
    /// certificate is for as long as the connection.
    pub(crate) async fn still_may(&self, token: &str, action: Action) -> Result<(), Status> {
        let now = self.clock.now();
        let principal = if token.starts_with(SESSION_PREFIX) {
            Principal::of_session(self.lasting_session(token, now).await?)
        } else {
            self.program(token, now).await?
        };
        principal.require(action)
    }

    /// Who did something earlier, with what they may do now: a person by their name, a program by the hash of its token, a
    /// person for whom a provider vouches by the hash of their session's, which may be idle. Errors: `UNAUTHENTICATED` if
    /// there is no such principal any more.
    pub(crate) async fn owner(&self, actor: &str, credential: &[u8]) -> Result<Principal, Status> {
        let now = self.clock.now();
        let hash = || <[u8; 32]>::try_from(credential).map_err(|_| unauthenticated());
        let roles = match actor.split_once(':').unwrap_or((actor, "")) {
            ("user", name) if name.starts_with(PROVIDER_PREFIX) => {
                let found = self.store.session(&hash()?).await.map_err(|error| from_store(&error))?;
                let session = self.believer.session(found).await?;
                session.filter(|session| now < session.expires_at && session.user == name).map(|of| of.roles)
            }
            ("user", name) => {
                let found = self.store.user(name).await.map_err(|error| from_store(&error))?;
                let user = self.believer.user(found).await?;
                user.filter(|user| user.password_hash.is_some()).map(|user| user.roles)
            }
            ("token", name) => {
                let found = self.store.token(&hash()?).await.map_err(|error| from_store(&error))?;
                let token = self.good_token(found, now).await?;
                token.filter(|token| token.name == name).map(|token| token.roles)
            }
            ("client", name) => {
                let client = self.clients.iter().find(|client| client.name == name);
                client.map(|client| client.roles)
            }
            _ => None,
        };
        let roles = roles.ok_or_else(unauthenticated)?;
        Ok(Principal { actor: actor.to_owned(), roles, session: None })
    }

    /// Most messages of a stream that are taken together.
    pub(crate) fn together(&self, most: usize) -> usize {
        let quarter =
            self.requests.as_ref().map_or(usize::MAX, |_| (self.requests_per_second / 4).max(1) as usize);
        most.min(quarter)
    }

    /// Waits until a stream of that principal may go on with so many messages: each counts as a request.
    pub(crate) async fn pace(&self, actor: &str, messages: u32) {
        let Some(requests) = &self.requests else { return };
        while let Err(wait) = requests.take_for_stream(actor, messages, self.clock.now()) {
            self.clock.sleep(wait.unsigned_abs()).await;
        }
    }

    async fn valid_token(&self, token: &str, now: Timestamp) -> Result<TokenRecord, Status> {
        let found = self.store.token(&hash_token(token)).await.map_err(|error| from_store(&error))?;
        self.good_token(found, now).await?.ok_or_else(unauthenticated)
    }

    async fn good_token(
        &self,
        found: Option<TokenRecord>,
        now: Timestamp,
    ) -> Result<Option<TokenRecord>, Status> {
        Ok(self.believer.token(found).await?.filter(|record| {
            record.revoked_at.is_none() && record.expires_at.is_none_or(|expires_at| now < expires_at)
        }))
    }

    async fn program(&self, token: &str, now: Timestamp) -> Result<Principal, Status> {
        let record = self.valid_token(token, now).await?;
        self.note_token(&record.name, now);
        Ok(Principal { actor: format!("token:{}", record.name), roles: record.roles, session: None })
    }

    /// The session of a token, if it lasts.
    async fn lasting_session(&self, token: &str, now: Timestamp) -> Result<SessionRecord, Status> {
        let found = self.store.session(&hash_token(token)).await.map_err(|error| from_store(&error))?;
        let session = self.believer.session(found).await?;
        session.filter(|session| self.lasts(session, now)).ok_or_else(unauthenticated)
    }

    /// Whether a session has neither ended nor rested for too long.
    pub(crate) fn lasts(&self, session: &SessionRecord, now: Timestamp) -> bool {
        now < session.expires_at && now < session.used_at + self.session_idle
    }

    /// The session after a use of it.
    fn used(&self, mut session: SessionRecord, now: Timestamp) -> SessionRecord {
        if now.duration_since(session.used_at) >= NOTE_INTERVAL {
            session.used_at = now;
            self.note(Use::Session(session.hash, now));
        }
        session
    }

    /// The principal of the settings that the client certificate names.
    fn client<T>(&self, request: &Request<T>) -> Result<Principal, Status> {
        let peer = request.extensions().get::<Peer>().ok_or_else(unauthenticated)?;
        let leaf = peer.certificates.first().ok_or_else(unauthenticated)?;
        let names = x509::alternative_names(leaf);
        let client = self.clients.iter().find(|client| names.contains(&client.san));
        let client = client.ok_or_else(unknown_client)?;
        Ok(Principal { actor: format!("client:{}", client.name), roles: client.roles, session: None })
    }

    /// When a session ends that is not used after this use of it.
    pub(crate) fn idle_at(&self, session: &SessionRecord) -> Timestamp {
        (session.used_at + self.session_idle).min(session.expires_at)
    }

    fn note_token(&self, name: &str, now: Timestamp) {
        let mut noted = self.noted.lock().unwrap_or_else(PoisonError::into_inner);
        let is_news = noted.get(name).is_none_or(|last| now.duration_since(*last) >= NOTE_INTERVAL);
        if is_news {
            noted.insert(name.to_owned(), now);
            self.note(Use::Token(TokenUse { name: name.to_owned(), at: now }));
        }
    }

    /// Notes a use, off the caller's way.
    fn note(&self, used: Use) {
        let store = self.store.clone();
        self.stop.spawn(async move {
            let noted: Result<(), StoreError> = async {
                let mut tx = store.begin("note_use").await?;
                match used {
                    Use::Token(used) => tx.touch_tokens(&[used]).await?,
                    Use::Session(hash, at) => tx.touch_session(&hash, at).await?,
                }
                tx.commit().await
            }
            .await;
            if let Err(error) = noted {
                tracing::warn!(error = &error as &dyn std::error::Error, "use not noted");
            }
        });
    }
}

enum Use {
    Token(TokenUse),
    Session([u8; 32], Timestamp),
}

/// Whether no person made the call: a page that stands open must not keep its session alive.
fn is_in_the_background<T>(request: &Request<T>) -> bool {
    request.metadata().get("x-background").is_some()
}

/// Where a request came from, for logs and the audit log.
pub(crate) fn address<T>(request: &Request<T>) -> String {
    request.extensions().get::<Origin>().map(|origin| origin.address.clone()).unwrap_or_default()
}

/// The bearer token (RFC 6750 section 2.1).
pub(crate) fn bearer<T>(request: &Request<T>) -> Option<&str> {
    let header = request.metadata().get("authorization")?.to_str().ok()?;
    let (scheme, token) = header.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then_some(token.trim())
}
