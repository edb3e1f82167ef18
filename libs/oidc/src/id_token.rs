//! Validates an ID token and returns its person (OpenID Connect Core 1.0 section 3.1.3.7).
//!
//! Order: form and header, issuer and audience, key and signature, then times, nonce and authorized party, then the person.

use std::sync::Arc;

use aws_lc_rs::{constant_time, digest};
use domain::{Clock, Role, Roles, is_unfit};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Map, Value};

use crate::json::{member, text};
use crate::jws::Jws;
use crate::keys::KeySet;
use crate::provider::{Provider, ProviderError};

const MAX_TOKEN_BYTES: usize = 16 * 1024;
const MAX_NONCE_BYTES: usize = 512;
const MAX_NAME_BYTES: usize = 90;
/// How far the provider's clock may be from ours.
const CLOCK_SKEW: SignedDuration = SignedDuration::from_mins(1);
/// How old a token may be: from the provider, by the browser and the console, it takes seconds.
const MAX_AGE: SignedDuration = SignedDuration::from_mins(10);

/// How people are known.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Our name at the provider.
    pub client_id: String,
    /// The claim that names the person.
    pub name_claim: String,
    /// The claim that holds a text, or several, by which roles are given.
    pub roles_claim: String,
    /// Which role for which of them.
    pub roles: Vec<RoleOf>,
}

/// The role for a value of the roles claim.
#[derive(Clone, Debug)]
pub struct RoleOf {
    /// Among those of the roles claim.
    pub value: String,
    /// The role that it gives.
    pub role: Role,
}

/// The person whom the provider signed in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Vouched {
    /// By the name claim.
    pub name: String,
    /// The provider's own identifier of the person.
    pub subject: String,
    /// The roles that their values give.
    pub roles: Roles,
    /// SHA-256 of what is signed of the token; its signature could be written in more than one way.
    pub token_hash: [u8; 32],
    /// When no copy of ours would take the token any more, whatever its clock says.
    pub forget_after: Timestamp,
}

/// Why a token is not believed. Holds nothing of an unverified token.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Not a token.
    #[error("it is no ID token, or too long")]
    NoToken,
    /// Without a nonce, a token could belong to another sign-in.
    #[error("the nonce that was sent is empty or too long")]
    NoNonce,
    /// The provider may have a new key since it was asked.
    #[error("it is signed with a key that the provider does not publish")]
    UnknownKey,
    /// The claims about the token.
    #[error("{0}")]
    Claims(&'static str),
    /// There is nothing to call the person by.
    #[error("the claim {0:?} is missing, or no name")]
    NoName(String),
    /// An unverified address may belong to another person.
    #[error("the provider did not verify the address")]
    EmailNotVerified,
    /// They may not sign in here.
    #[error("{name:?} has none of the values that give a role")]
    NoRole {
        /// Who.
        name: String,
    },
}

/// Why the sign-in fails.
#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    /// The token is not believed.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The provider's keys are not known.
    #[error(transparent)]
    Provider(#[from] ProviderError),
}

/// Believes ID tokens of a provider, or not.
pub struct IdTokens {
    provider: Provider,
    settings: Settings,
    clock: Arc<dyn Clock>,
}

impl IdTokens {
    /// For tokens of that provider.
    pub fn new(provider: Provider, settings: Settings, clock: Arc<dyn Clock>) -> Self {
        Self { provider, settings, clock }
    }

    /// The person of the token.
    pub async fn verify(&self, token: &str, nonce: &str) -> Result<Vouched, VerifyError> {
        if nonce.is_empty() || nonce.len() > MAX_NONCE_BYTES {
            return Err(Refusal::NoNonce.into());
        }
        if token.len() > MAX_TOKEN_BYTES {
            return Err(Refusal::NoToken.into());
        }
        let token = Jws::parse(token)?;
        let now = self.clock.now();
        let metadata = self.provider.metadata().await?;
        let mut believed = self.believe(&metadata.keys, &token, nonce, now);
        if believed == Err(Refusal::UnknownKey) {
            let refreshed = self.provider.metadata_after(&metadata).await?;
            believed = self.believe(&refreshed.keys, &token, nonce, now);
        }
        Ok(believed?)
    }

    /// Checks all that the token says, by the provider's keys.
    fn believe(
        &self,
        keys: &KeySet,
        token: &Jws<'_>,
        nonce: &str,
        now: Timestamp,
    ) -> Result<Vouched, Refusal> {
        self.check_addressee(&token.claims)?;
        keys.verify(token)?;
        let issued = check_times(&token.claims, now)?;
        let has_nonce = text(&token.claims, "nonce").is_some_and(|claimed| {
            constant_time::verify_slices_are_equal(claimed.as_bytes(), nonce.as_bytes()).is_ok()
        });
        if !has_nonce {
            return Err(Refusal::Claims("its nonce is not the one that was sent"));
        }
        if member(&token.claims, "azp").is_some_and(|party| party != self.settings.client_id.as_str()) {
            return Err(Refusal::Claims("it is for another authorized party"));
        }
        self.vouched(token, issued)
    }

    /// Issuer and audience: one, ours. Several may be a token that another client shows us.
    fn check_addressee(&self, claims: &Map<String, Value>) -> Result<(), Refusal> {
        if text(claims, "iss") != Some(self.provider.issuer()) {
            return Err(Refusal::Claims("it is of another issuer"));
        }
        let is_us = |audience: &Value| audience == self.settings.client_id.as_str();
        let is_for_us = match claims.get("aud") {
            Some(Value::Array(audiences)) => !audiences.is_empty() && audiences.iter().all(is_us),
            Some(audience) => is_us(audience),
            None => false,
        };
        if is_for_us { Ok(()) } else { Err(Refusal::Claims("it is for another audience, too, or only")) }
    }

    /// The person of the validated token.
    fn vouched(&self, token: &Jws<'_>, issued: Timestamp) -> Result<Vouched, Refusal> {
        let subject = text(&token.claims, "sub").filter(|subject| !subject.is_empty());
        let subject = subject.ok_or(Refusal::Claims("it does not say whom it is about"))?.to_owned();
        let name = self.name(&token.claims)?;
        let roles = self.roles(&token.claims).ok_or_else(|| Refusal::NoRole { name: name.clone() })?;
        let mut token_hash = [0; 32];
        token_hash.copy_from_slice(digest::digest(&digest::SHA256, token.signed.as_bytes()).as_ref());
        // Once more the skew, because a copy of ours whose clock is behind still takes it then.
        let forget_after = issued + MAX_AGE + CLOCK_SKEW + CLOCK_SKEW;
        Ok(Vouched { name, subject, roles, token_hash, forget_after })
    }

    fn name(&self, claims: &Map<String, Value>) -> Result<String, Refusal> {
        let claim = &self.settings.name_claim;
        let name = text(claims, claim).filter(|name| {
            let is_plain = name.trim() == *name && !name.chars().any(is_unfit);
            !name.is_empty() && name.len() <= MAX_NAME_BYTES && is_plain
        });
        let name = name.ok_or_else(|| Refusal::NoName(claim.clone()))?;
        if claim == "email" && !claims.get("email_verified").is_some_and(is_true) {
            return Err(Refusal::EmailNotVerified);
        }
        Ok(name.to_owned())
    }

    fn roles(&self, claims: &Map<String, Value>) -> Option<Roles> {
        let values: Vec<&str> = match claims.get(&self.settings.roles_claim) {
            Some(Value::String(one)) => vec![one],
            Some(Value::Array(several)) => several.iter().filter_map(Value::as_str).collect(),
            _ => Vec::new(),
        };
        let given = self.settings.roles.iter().filter(|of| values.contains(&of.value.as_str()));
        Roles::of(given.map(|of| of.role))
    }
}

/// Whether now is between the token's times, give or take the clocks; returns when it was issued.
fn check_times(claims: &Map<String, Value>, now: Timestamp) -> Result<Timestamp, Refusal> {
    let required = |name| member(claims, name).and_then(instant).ok_or(Refusal::Claims("it lacks its times"));
    let (ends, issued) = (required("exp")?, required("iat")?);
    let is_recent = (now - MAX_AGE - CLOCK_SKEW).as_second() <= issued.as_second();
    let is_from_the_future = issued.as_second() > (now + CLOCK_SKEW).as_second();
    if now - CLOCK_SKEW >= ends || !is_recent || is_from_the_future {
        return Err(Refusal::Claims("it has ended, or was not issued just now"));
    }
    let begins =
        member(claims, "nbf").map(|value| instant(value).ok_or(Refusal::Claims("it lacks its times")));
    if begins.transpose()?.is_some_and(|begins| begins > now + CLOCK_SKEW) {
        return Err(Refusal::Claims("it does not count yet"));
    }
    Ok(issued)
}

/// Seconds since 1970, or what some providers write instead, a date of RFC 3339.
fn instant(value: &Value) -> Option<Timestamp> {
    match value {
        Value::Number(seconds) => {
            let since = SignedDuration::try_from_secs_f64(seconds.as_f64()?).ok()?;
            Timestamp::from_duration(since).ok()
        }
        Value::String(date) => date.parse().ok(),
        _ => None,
    }
}

/// Some providers write it as a text.
fn is_true(value: &Value) -> bool {
    value == &Value::Bool(true) || value.as_str() == Some("true")
}

#[cfg(test)]
mod tests;
