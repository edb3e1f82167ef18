//! Who calls: bearer tokens of 256 random bits, stored as their SHA-256, looked up by it.
//!
//! A hash that is looked up needs no slow function: there is nothing to guess in 256 random bits.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use audit::Caller;
use aws_lc_rs::digest;
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use domain::{Action, Clock, Entropy, Role};
use jiff::{SignedDuration, Timestamp};
use runtime::Stop;
use store::{Store, TokenUse};
use tonic::{Request, Status};
use zeroize::Zeroizing;

use crate::error::{denied, from_store, unauthenticated};

/// What every token begins with, so that a leaked one can be recognised.
pub const TOKEN_PREFIX: &str = "slm_";
/// A use is noted at most this often per token.
const NOTE_EVERY: SignedDuration = SignedDuration::from_mins(1);

/// A new token's text.
pub fn new_token(entropy: &dyn Entropy) -> Zeroizing<String> {
    let mut bytes = Zeroizing::new([0; 32]);
    entropy.fill(&mut *bytes);
    Zeroizing::new(format!("{TOKEN_PREFIX}{}", BASE64_URL_SAFE_NO_PAD.encode(*bytes)))
}

/// What is stored of a token.
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
    role: Role,
}

impl Principal {
    /// As the audit log names who sent this request.
    pub(crate) fn caller<T>(&self, request: &Request<T>, call: &'static str) -> Caller {
        let request_id = request
            .metadata()
            .get("x-request-id")
            .and_then(|value| value.to_str().ok());
        Caller {
            actor: self.actor.clone(),
            peer: request
                .remote_addr()
                .map(|peer| peer.to_string())
                .unwrap_or_default(),
            call,
            request_id: request_id.unwrap_or_default().to_owned(),
        }
    }

    pub(crate) fn require(&self, action: Action) -> Result<(), Status> {
        if self.role.may(action) {
            Ok(())
        } else {
            Err(denied(self.role, action))
        }
    }
}

/// Knows who calls.
#[derive(Clone)]
pub(crate) struct Authenticator {
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    stop: Stop,
    noted: Arc<Mutex<HashMap<String, Timestamp>>>,
}

impl Authenticator {
    pub(crate) fn new(store: Arc<dyn Store>, clock: Arc<dyn Clock>, stop: Stop) -> Self {
        Self {
            store,
            clock,
            stop,
            noted: Arc::default(),
        }
    }

    /// Who sent the request, if they may do that.
    pub(crate) async fn authorize<T>(
        &self,
        request: &Request<T>,
        action: Action,
    ) -> Result<Principal, Status> {
        let principal = self.principal(request).await?;
        principal.require(action)?;
        Ok(principal)
    }

    /// Who sent the request.
    pub(crate) async fn principal<T>(&self, request: &Request<T>) -> Result<Principal, Status> {
        let header = request
            .metadata()
            .get("authorization")
            .and_then(|value| value.to_str().ok());
        let token = header.and_then(|value| {
            let (scheme, token) = value.split_once(' ')?;
            scheme.eq_ignore_ascii_case("bearer").then_some(token.trim())
        });
        let token = token.ok_or_else(unauthenticated)?;
        let found = self
            .store
            .token(&hash_token(token))
            .await
            .map_err(|error| from_store(&error))?;
        let now = self.clock.now();
        let valid = found.filter(|record| {
            record.revoked_at.is_none() && record.expires_at.is_none_or(|expires_at| now < expires_at)
        });
        let record = valid.ok_or_else(unauthenticated)?;
        self.note(&record.name, now);
        Ok(Principal {
            actor: format!("token:{}", record.name),
            role: record.role,
        })
    }

    /// Notes the use of a token, off the caller's way.
    fn note(&self, name: &str, now: Timestamp) {
        let mut noted = self.noted.lock().unwrap_or_else(PoisonError::into_inner);
        if noted
            .get(name)
            .is_some_and(|last| now.duration_since(*last) < NOTE_EVERY)
        {
            return;
        }
        noted.insert(name.to_owned(), now);
        let (store, used) = (
            self.store.clone(),
            TokenUse {
                name: name.to_owned(),
                at: now,
            },
        );
        self.stop.spawn(async move {
            let note = async {
                let mut tx = store.begin("touch_tokens").await?;
                tx.touch_tokens(&[used]).await?;
                tx.commit().await
            };
            if let Err(error) = note.await {
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "use of a token not noted"
                );
            }
        });
    }
}
