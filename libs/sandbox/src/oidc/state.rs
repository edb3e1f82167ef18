//! A provider's state: its keys, the person who signs in, issued codes, and requested faults.

use std::collections::HashMap;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, OnceLock};

use super::key::SigningKey;
use super::{OidcAlgorithm, OidcOptions, OidcPerson, ProviderTrouble, TokenFlaw, fresh};
use crate::SandboxError;
use crate::clock::Clock;
use crate::sync::lock;

pub(super) struct State {
    issuer: OnceLock<String>,
    pub(super) client_id: String,
    pub(super) client_secret: Option<String>,
    pub(super) algorithm: OidcAlgorithm,
    pub(super) clock: Clock,
    changing: Mutex<Changing>,
    /// By code, each good once.
    grants: Mutex<HashMap<String, Grant>>,
    pub(super) key_fetches: AtomicU64,
    pub(super) exchanges: AtomicU64,
}

struct Changing {
    key: Arc<SigningKey>,
    person: OidcPerson,
    denial: Option<String>,
    flaw: Option<TokenFlaw>,
    trouble: Option<ProviderTrouble>,
}

/// What a code stands for.
pub(super) struct Grant {
    pub(super) redirect_uri: String,
    pub(super) nonce: String,
    /// Of PKCE (RFC 7636), by S256.
    pub(super) challenge: String,
}

impl State {
    pub(super) fn new(options: &OidcOptions) -> Result<Self, SandboxError> {
        Ok(Self {
            issuer: OnceLock::new(),
            client_id: options.client_id.clone(),
            client_secret: options.client_secret.clone(),
            algorithm: options.algorithm,
            clock: options.clock.clone(),
            changing: Mutex::new(Changing {
                key: Arc::new(SigningKey::generate(options.algorithm)?),
                person: OidcPerson::new("ann@example.net", &["support"]),
                denial: None,
                flaw: None,
                trouble: None,
            }),
            grants: Mutex::default(),
            key_fetches: AtomicU64::new(0),
            exchanges: AtomicU64::new(0),
        })
    }

    /// Tells it where it is, once.
    pub(super) fn settle(&self, issuer: String) {
        let _ = self.issuer.set(issuer);
    }

    pub(super) fn issuer(&self) -> &str {
        self.issuer.get().map_or("", String::as_str)
    }

    pub(super) fn key(&self) -> Arc<SigningKey> {
        lock(&self.changing).key.clone()
    }

    pub(super) fn set_key(&self, key: SigningKey) {
        lock(&self.changing).key = Arc::new(key);
    }

    pub(super) fn person(&self) -> OidcPerson {
        lock(&self.changing).person.clone()
    }

    pub(super) fn set_person(&self, person: OidcPerson) {
        lock(&self.changing).person = person;
    }

    pub(super) fn denial(&self) -> Option<String> {
        lock(&self.changing).denial.clone()
    }

    pub(super) fn set_denial(&self, error: Option<String>) {
        lock(&self.changing).denial = error;
    }

    pub(super) fn flaw(&self) -> Option<TokenFlaw> {
        lock(&self.changing).flaw
    }

    pub(super) fn set_flaw(&self, flaw: Option<TokenFlaw>) {
        lock(&self.changing).flaw = flaw;
    }

    pub(super) fn trouble(&self) -> Option<ProviderTrouble> {
        lock(&self.changing).trouble
    }

    pub(super) fn set_trouble(&self, trouble: Option<ProviderTrouble>) {
        lock(&self.changing).trouble = trouble;
    }

    pub(super) fn grant(&self, grant: Grant) -> String {
        let code = fresh();
        lock(&self.grants).insert(code.clone(), grant);
        code
    }

    /// What a code stands for; it is spent then.
    pub(super) fn redeem(&self, code: &str) -> Option<Grant> {
        lock(&self.grants).remove(code)
    }
}
