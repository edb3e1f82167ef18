//! Whom an ID token is about, if it is to be believed (OpenID Connect Core 1.0 section 3.1.3.7).
//!
//! The crate `openidconnect` checks issuer, audience, signature, end and nonce. Here: which algorithms (asymmetric ones), how
//! old, `azp` and `nbf`, which claim is the name, which role follows from the groups, and what the token is remembered by.

use std::str::FromStr;
use std::sync::Arc;
use std::time::SystemTime;

use aws_lc_rs::digest;
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use domain::{Clock, Role};
use jiff::{SignedDuration, Timestamp};
use openidconnect::core::{
    CoreIdToken, CoreIdTokenClaims, CoreIdTokenVerifier, CoreJwsSigningAlgorithm, CoreProviderMetadata,
};
use openidconnect::{ClaimsVerificationError, ClientId, Nonce, SignatureVerificationError};
use serde_json::{Map, Value};

use crate::provider::{Provider, ProviderError};

/// Longest token that is looked at.
const MOST_TOKEN_BYTES: usize = 16 * 1024;
const MOST_NONCE_BYTES: usize = 512;
/// Longest name, in bytes.
const MOST_NAME_BYTES: usize = 90;
/// How far the provider's clock may be from ours.
const SKEW: SignedDuration = SignedDuration::from_mins(1);
/// How old a token may be: from the provider, by the browser and the console, it takes seconds.
const MOST_AGE: SignedDuration = SignedDuration::from_mins(10);
/// Signatures that only the holder of a private key can make: no `none`, and no HS256, whose key others know, too.
const ALGORITHMS: [CoreJwsSigningAlgorithm; 9] = [
    CoreJwsSigningAlgorithm::RsaSsaPkcs1V15Sha256,
    CoreJwsSigningAlgorithm::RsaSsaPkcs1V15Sha384,
    CoreJwsSigningAlgorithm::RsaSsaPkcs1V15Sha512,
    CoreJwsSigningAlgorithm::RsaSsaPssSha256,
    CoreJwsSigningAlgorithm::RsaSsaPssSha384,
    CoreJwsSigningAlgorithm::RsaSsaPssSha512,
    CoreJwsSigningAlgorithm::EcdsaP256Sha256,
    CoreJwsSigningAlgorithm::EcdsaP384Sha384,
    CoreJwsSigningAlgorithm::EdDsa,
];

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

/// The role of whoever has a value.
#[derive(Clone, Debug)]
pub struct RoleOf {
    /// Among those of the roles claim.
    pub value: String,
    /// What it stands for.
    pub role: Role,
}

/// Whom the provider vouches for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Vouched {
    /// By the name claim.
    pub name: String,
    /// The provider's own identifier of the person.
    pub subject: String,
    /// The strongest of their roles.
    pub role: Role,
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
    /// Without a nonce, a token could be anybody's.
    #[error("the nonce that was sent is empty or too long")]
    NoNonce,
    /// What the token says about itself.
    #[error("{0}")]
    Claims(&'static str),
    /// There is nothing to call the person by.
    #[error("the claim {0:?} is missing, or no name")]
    NoName(String),
    /// Whoever typed it in may own that address.
    #[error("the provider did not verify the address")]
    EmailNotVerified,
    /// They may not sign in here.
    #[error("{name:?} has none of the values that give a role")]
    NoRole {
        /// Who.
        name: String,
    },
}

/// Why there is nobody to sign in.
#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    /// The token is not believed.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// Nobody can say.
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

    /// Whom the token is about.
    pub async fn verify(&self, token: &str, nonce: &str) -> Result<Vouched, VerifyError> {
        if nonce.is_empty() || nonce.len() > MOST_NONCE_BYTES {
            return Err(Refusal::NoNonce.into());
        }
        let parsed = if token.len() > MOST_TOKEN_BYTES { None } else { CoreIdToken::from_str(token).ok() };
        let parsed = parsed.ok_or(Refusal::NoToken)?;
        let nonce = Nonce::new(nonce.to_owned());
        let now = self.clock.now();
        let metadata = self.provider.metadata().await?;
        let mut claims = self.claims(&metadata, &parsed, &nonce, now);
        if is_unknown_key(&claims) {
            let anew = self.provider.metadata_after(&metadata).await?;
            claims = self.claims(&anew, &parsed, &nonce, now);
        }
        let claims = claims.map_err(|error| Refusal::Claims(words(&error)))?;
        Ok(self.vouched(token, claims, now)?)
    }

    fn claims<'a>(
        &self,
        metadata: &CoreProviderMetadata,
        token: &'a CoreIdToken,
        nonce: &Nonce,
        now: Timestamp,
    ) -> Result<&'a CoreIdTokenClaims, ClaimsVerificationError> {
        let verifier = CoreIdTokenVerifier::new_public_client(
            ClientId::new(self.settings.client_id.clone()),
            metadata.issuer().clone(),
            metadata.jwks().clone(),
        );
        let verifier = verifier
            .set_allowed_algs(ALGORITHMS)
            .set_time_fn(move || SystemTime::from(now - SKEW).into())
            .set_issue_time_verifier_fn(move |issued| {
                let seconds = issued.timestamp();
                let is_recent = (now - MOST_AGE - SKEW).as_second() <= seconds;
                let has_been = seconds <= (now + SKEW).as_second();
                if is_recent && has_been { Ok(()) } else { Err("not issued just now".to_owned()) }
            });
        token.claims(&verifier, nonce)
    }

    /// What the believed token says of the person.
    fn vouched(&self, token: &str, claims: &CoreIdTokenClaims, now: Timestamp) -> Result<Vouched, Refusal> {
        let azp = claims.authorized_party();
        if azp.is_some_and(|azp| azp.as_str() != self.settings.client_id) {
            return Err(Refusal::Claims("it is for another authorized party"));
        }
        let (signed, _) = token.rsplit_once('.').ok_or(Refusal::NoToken)?;
        let said = payload(signed).ok_or(Refusal::NoToken)?;
        if let Some(not_before) = said.get("nbf")
            && not_before.as_f64().is_none_or(|not_before| not_before > (now + SKEW).as_second() as f64)
        {
            return Err(Refusal::Claims("it does not count yet"));
        }
        let name = self.name(&said)?;
        let role = self.role(&said).ok_or_else(|| Refusal::NoRole { name: name.clone() })?;
        let mut token_hash = [0; 32];
        token_hash.copy_from_slice(digest::digest(&digest::SHA256, signed.as_bytes()).as_ref());
        let issued = Timestamp::from_second(claims.issue_time().timestamp()).map_err(|_| Refusal::NoToken)?;
        Ok(Vouched {
            name,
            subject: claims.subject().as_str().to_owned(),
            role,
            token_hash,
            // Once more the skew, because a copy of ours whose clock is behind still takes it then.
            forget_after: issued + MOST_AGE + SKEW + SKEW,
        })
    }

    fn name(&self, said: &Map<String, Value>) -> Result<String, Refusal> {
        let claim = &self.settings.name_claim;
        let name = said.get(claim).and_then(Value::as_str).filter(|name| {
            let is_plain = name.trim() == *name && !name.chars().any(is_unseen);
            !name.is_empty() && name.len() <= MOST_NAME_BYTES && is_plain
        });
        let name = name.ok_or_else(|| Refusal::NoName(claim.clone()))?;
        if claim == "email" && !said.get("email_verified").is_some_and(is_true) {
            return Err(Refusal::EmailNotVerified);
        }
        Ok(name.to_owned())
    }

    /// The strongest role: the last of theirs in the order viewer, support, key-reader, admin.
    fn role(&self, said: &Map<String, Value>) -> Option<Role> {
        let values: Vec<&str> = match said.get(&self.settings.roles_claim) {
            Some(Value::String(one)) => vec![one],
            Some(Value::Array(several)) => several.iter().filter_map(Value::as_str).collect(),
            _ => Vec::new(),
        };
        let has = |role: Role| {
            let given = |of: &RoleOf| of.role == role && values.contains(&of.value.as_str());
            self.settings.roles.iter().any(given)
        };
        Role::ALL.into_iter().rev().find(|role| has(*role))
    }
}

/// Whether a provider that has a new key since could have signed it.
fn is_unknown_key<T>(claims: &Result<T, ClaimsVerificationError>) -> bool {
    let unknown = ClaimsVerificationError::SignatureVerification(SignatureVerificationError::NoMatchingKey);
    claims.as_ref().err() == Some(&unknown)
}

/// What is wrong, in words of ours: the library's repeat what the token says.
fn words(error: &ClaimsVerificationError) -> &'static str {
    match error {
        ClaimsVerificationError::Expired(_) => "it has ended, or was not issued just now",
        ClaimsVerificationError::InvalidAudience(_) => "it is for another audience, too, or only",
        ClaimsVerificationError::InvalidIssuer(_) => "it is of another issuer",
        ClaimsVerificationError::InvalidNonce(_) => "its nonce is not the one that was sent",
        ClaimsVerificationError::SignatureVerification(SignatureVerificationError::NoMatchingKey) => {
            "it is signed with a key that the provider does not publish"
        }
        ClaimsVerificationError::SignatureVerification(
            SignatureVerificationError::DisallowedAlg(_)
            | SignatureVerificationError::UnsupportedAlg(_)
            | SignatureVerificationError::NoSignature,
        ) => "it is signed with no algorithm that is allowed",
        ClaimsVerificationError::SignatureVerification(_) => "its signature is not right",
        _ => "it is not to be believed",
    }
}

/// The claims of `header.payload`.
fn payload(signed: &str) -> Option<Map<String, Value>> {
    let (_, payload) = signed.split_once('.')?;
    serde_json::from_slice(&BASE64_URL_SAFE_NO_PAD.decode(payload).ok()?).ok()
}

/// Some providers write it as a text.
fn is_true(value: &Value) -> bool {
    value == &Value::Bool(true) || value.as_str() == Some("true")
}

/// Characters by which one name can look like another.
fn is_unseen(character: char) -> bool {
    character.is_control()
        || matches!(character, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
}
