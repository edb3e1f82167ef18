//! Test controls of a provider.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::key::SigningKey;
use super::state::State;
use super::{OidcPerson, ProviderTrouble, TokenFlaw};
use crate::SandboxError;

/// Steers a running provider. Every setting holds until it is set again.
#[derive(Clone)]
pub struct OidcControl(pub(super) Arc<State>);

impl OidcControl {
    /// Who signs in from now on.
    pub fn sign_in_as(&self, person: OidcPerson) {
        self.0.set_person(person);
    }

    /// Sends people back with that error (RFC 6749 section 4.1.2.1) instead of a code; none ends it.
    pub fn deny(&self, error: Option<&str>) {
        self.0.set_denial(error.map(str::to_owned));
    }

    /// What is wrong with ID tokens from now on.
    pub fn flaw(&self, flaw: Option<TokenFlaw>) {
        self.0.set_flaw(flaw);
    }

    /// What is wrong with the provider from now on.
    pub fn trouble(&self, trouble: Option<ProviderTrouble>) {
        self.0.set_trouble(trouble);
    }

    /// Signs with a new key, and publishes only that.
    pub fn change_key(&self) -> Result<(), SandboxError> {
        self.0.set_key(SigningKey::generate(self.0.algorithm)?);
        Ok(())
    }

    /// An ID token as the token endpoint would give it, without the way there.
    pub fn id_token(&self, nonce: &str) -> Result<String, SandboxError> {
        self.0.id_token(nonce)
    }

    /// How often the keys were fetched.
    pub fn key_fetches(&self) -> u64 {
        self.0.key_fetches.load(Ordering::Relaxed)
    }

    /// How many codes came to be exchanged, in vain or not.
    pub fn exchanges(&self) -> u64 {
        self.0.exchanges.load(Ordering::Relaxed)
    }
}
