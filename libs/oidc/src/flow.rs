//! The way to an ID token: the authorization code flow with PKCE (OpenID Connect Core 1.0 section 3.1, RFC 7636).
//!
//! What is begun is kept by the browser: whoever comes back must show the same state.

use aws_lc_rs::constant_time;
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use domain::Entropy;
use openidconnect::core::{
    CoreAuthenticationFlow, CoreClient, CoreClientAuthMethod, CoreErrorResponseType, CoreProviderMetadata,
};
use openidconnect::{
    AuthType, AuthorizationCode, ClientId, ClientSecret, CsrfToken, Nonce, PkceCodeChallenge,
    PkceCodeVerifier, RedirectUrl, RequestTokenError, Scope, TokenResponse,
};

use crate::provider::{Provider, ProviderError};

/// 256 bits in base64url; RFC 7636 wants a verifier of 43 characters at least.
const RANDOM_CHARACTERS: usize = 43;
const MOST_CODE_BYTES: usize = 4096;

/// What is asked for at the provider.
pub struct FlowSettings {
    /// Our name there.
    pub client_id: String,
    /// Our secret there; a public client has none.
    pub client_secret: Option<String>,
    /// Where the provider sends the browser back to.
    pub redirect_url: String,
    /// What is asked for beside `openid`.
    pub scopes: Vec<String>,
}

/// What the browser keeps between leaving and coming back. No `Debug`: the verifier is secret.
#[derive(Clone, PartialEq, Eq)]
pub struct Pending {
    /// Comes back in the answer.
    pub state: String,
    /// Comes back in the ID token.
    pub nonce: String,
    /// Shown with the code.
    pub verifier: String,
}

impl Pending {
    /// A new one.
    pub fn new(entropy: &dyn Entropy) -> Self {
        let random = || {
            let mut bytes = [0; 32];
            entropy.fill(&mut bytes);
            BASE64_URL_SAFE_NO_PAD.encode(bytes)
        };
        Self { state: random(), nonce: random(), verifier: random() }
    }

    /// As one text for a cookie.
    pub fn to_text(&self) -> String {
        format!("{}.{}.{}", self.state, self.nonce, self.verifier)
    }

    /// What [`Pending::to_text`] made; none if it is something else.
    pub fn from_text(text: &str) -> Option<Self> {
        let mut parts = text.split('.').map(|part| {
            let is_random = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
            (part.len() == RANDOM_CHARACTERS && part.bytes().all(is_random)).then(|| part.to_owned())
        });
        let pending = Self { state: parts.next()??, nonce: parts.next()??, verifier: parts.next()?? };
        parts.next().is_none().then_some(pending)
    }

    /// Whether an answer with that state belongs to this.
    pub fn is_answered_by(&self, state: &str) -> bool {
        constant_time::verify_slices_are_equal(self.state.as_bytes(), state.as_bytes()).is_ok()
    }
}

/// Why there is no ID token.
#[derive(Debug, thiserror::Error)]
pub enum FlowError {
    /// The provider cannot be asked.
    #[error(transparent)]
    Provider(#[from] ProviderError),
    /// The code is not good, or not any more: who signs in begins anew.
    #[error("the provider does not take the code")]
    Code,
    /// The provider refused us, not the person.
    #[error("the provider refused the request: {0}")]
    Refused(String),
}

/// Leads people to the provider and back.
pub struct Flow {
    provider: Provider,
    settings: FlowSettings,
    redirect: RedirectUrl,
}

impl Flow {
    /// With that provider. Nothing is asked yet.
    pub fn new(provider: Provider, settings: FlowSettings) -> Result<Self, ProviderError> {
        let redirect = RedirectUrl::new(settings.redirect_url.clone()).map_err(|_| ProviderError::Issuer)?;
        Ok(Self { provider, settings, redirect })
    }

    /// Whether an answer that names its issuer is this provider's (RFC 9207).
    pub fn is_from(&self, issuer: &str) -> bool {
        self.provider.issuer() == issuer
    }

    /// Where the browser goes.
    pub async fn address(&self, pending: &Pending) -> Result<String, ProviderError> {
        let metadata = self.provider.metadata().await?;
        let client = CoreClient::from_provider_metadata(
            CoreProviderMetadata::clone(&metadata),
            ClientId::new(self.settings.client_id.clone()),
            None,
        )
        .set_redirect_uri(self.redirect.clone());
        let (state, nonce) = (CsrfToken::new(pending.state.clone()), Nonce::new(pending.nonce.clone()));
        let verifier = PkceCodeVerifier::new(pending.verifier.clone());
        let request = client
            .authorize_url(CoreAuthenticationFlow::AuthorizationCode, move || state, move || nonce)
            .set_pkce_challenge(PkceCodeChallenge::from_code_verifier_sha256(&verifier))
            .add_scopes(self.settings.scopes.iter().cloned().map(Scope::new));
        Ok(request.url().0.to_string())
    }

    /// The ID token for a code, unverified.
    pub async fn id_token(&self, pending: &Pending, code: &str) -> Result<String, FlowError> {
        if code.is_empty() || code.len() > MOST_CODE_BYTES {
            return Err(FlowError::Code);
        }
        let metadata = self.provider.metadata().await?;
        let client = CoreClient::from_provider_metadata(
            CoreProviderMetadata::clone(&metadata),
            ClientId::new(self.settings.client_id.clone()),
            self.settings.client_secret.clone().map(ClientSecret::new),
        )
        .set_redirect_uri(self.redirect.clone())
        .set_auth_type(auth_type(&metadata));
        let no_endpoint = |_| FlowError::Refused("it has no token endpoint".to_owned());
        let request = client
            .exchange_code(AuthorizationCode::new(code.to_owned()))
            .map_err(no_endpoint)?
            .set_pkce_verifier(PkceCodeVerifier::new(pending.verifier.clone()));
        let answer = request.request_async(self.provider.http()).await.map_err(|error| match error {
            RequestTokenError::ServerResponse(answer) => match answer.error() {
                CoreErrorResponseType::InvalidGrant => FlowError::Code,
                other => FlowError::Refused(short(other.as_ref())),
            },
            RequestTokenError::Request(error) => ProviderError::Unavailable(error.to_string()).into(),
            _ => ProviderError::Unavailable("its answer is not one of a token endpoint".to_owned()).into(),
        })?;
        let token = answer.id_token();
        token
            .map(ToString::to_string)
            .ok_or_else(|| FlowError::Refused("its answer has no ID token".to_owned()))
    }
}

/// How we show our secret: in the header, unless the provider takes it in the body only.
fn auth_type(metadata: &CoreProviderMetadata) -> AuthType {
    let methods = metadata.token_endpoint_auth_methods_supported();
    let in_body_only = methods.is_some_and(|methods| {
        !methods.contains(&CoreClientAuthMethod::ClientSecretBasic)
            && methods.contains(&CoreClientAuthMethod::ClientSecretPost)
    });
    if in_body_only { AuthType::RequestBody } else { AuthType::BasicAuth }
}

/// A word of the provider's, for the log.
fn short(text: &str) -> String {
    let plain = text.chars().filter(|character| !character.is_control());
    plain.take(100).collect()
}

#[cfg(test)]
mod tests {
    use runtime::testing::SeededEntropy;

    use super::*;

    #[test]
    fn what_is_kept_comes_back_and_nothing_else_does() {
        let entropy = SeededEntropy::new(1);
        let (one, other) = (Pending::new(&entropy), Pending::new(&entropy));
        assert!(one.state != one.nonce && one.nonce != one.verifier && one.state != other.state);
        let text = one.to_text();
        assert!(Pending::from_text(&text) == Some(one.clone()));
        for bad in
            ["", "a.b.c", &text[1..], &format!("{text}."), &format!("{text}.x"), &text.replace('.', "_")]
        {
            assert!(Pending::from_text(bad).is_none(), "{bad}");
        }
        assert!(one.is_answered_by(&one.state));
        assert!(
            !one.is_answered_by(&other.state) && !one.is_answered_by("") && !one.is_answered_by(&one.nonce)
        );
    }
}
