//! Gets an ID token by the authorization code flow with PKCE (OpenID Connect Core 1.0 section 3.1, RFC 7636).
//!
//! The browser keeps the pending sign-in: the callback must have the same state.

use aws_lc_rs::{constant_time, digest};
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use domain::{Entropy, one_line};
use reqwest::StatusCode;
use serde_json::{Map, Value};
use url::{Url, form_urlencoded};

use crate::http::Answer;
use crate::json::text;
use crate::metadata::Configuration;
use crate::provider::{Provider, ProviderError};

/// 256 bits in base64url; RFC 7636 wants a verifier of 43 characters at least.
const RANDOM_CHARACTERS: usize = 43;
const MAX_CODE_BYTES: usize = 4096;
/// Of the provider's own word for what went wrong, in the log.
const MAX_ERROR_CHARACTERS: usize = 100;

/// The settings of the flow.
pub struct FlowSettings {
    /// Our name there.
    pub client_id: String,
    /// Our secret there; a public client has none.
    pub client_secret: Option<String>,
    /// Where the provider sends the browser back to.
    pub redirect_url: String,
    /// Scopes in addition to `openid`.
    pub scopes: Vec<String>,
}

/// The pending sign-in, which the browser keeps. No `Debug`: the verifier is secret.
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

    /// Parses the output of [`Pending::to_text`]; none for any other text.
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
    /// The code is invalid or has expired: the person has to sign in again.
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
}

impl Flow {
    /// With that provider. Nothing is asked yet.
    pub fn new(provider: Provider, settings: FlowSettings) -> Result<Self, ProviderError> {
        Url::parse(&settings.redirect_url).map_err(|_| ProviderError::Issuer)?;
        Ok(Self { provider, settings })
    }

    /// Whether an answer that names its issuer is this provider's (RFC 9207).
    pub fn is_from(&self, issuer: &str) -> bool {
        self.provider.issuer() == issuer
    }

    /// Where the browser goes.
    pub async fn address(&self, pending: &Pending) -> Result<String, ProviderError> {
        let metadata = self.provider.metadata().await?;
        Ok(self.settings.authorization_url(&metadata.configuration, pending).into())
    }

    /// The ID token for a code, unverified.
    pub async fn id_token(&self, pending: &Pending, code: &str) -> Result<String, FlowError> {
        if code.is_empty() || code.len() > MAX_CODE_BYTES {
            return Err(FlowError::Code);
        }
        let metadata = self.provider.metadata().await?;
        let configuration = &metadata.configuration;
        let endpoint = configuration.token_endpoint.as_ref();
        let endpoint = endpoint.ok_or_else(|| FlowError::Refused("it has no token endpoint".to_owned()))?;
        let (form, credentials) = self.settings.exchange(configuration, pending, code);
        let answer = self.provider.http().post(endpoint, &form, credentials.as_ref()).await;
        id_token_in(&answer.map_err(|error| ProviderError::Unavailable(error.to_string()))?)
    }
}

type Form<'a> = Vec<(&'a str, &'a str)>;

impl FlowSettings {
    /// The authentication request (OpenID Connect Core 1.0 section 3.1.2.1, RFC 7636 section 4.3).
    fn authorization_url(&self, configuration: &Configuration, pending: &Pending) -> Url {
        let challenge = digest::digest(&digest::SHA256, pending.verifier.as_bytes());
        let scopes: Vec<&str> =
            std::iter::once("openid").chain(self.scopes.iter().map(String::as_str)).collect();
        let mut url = configuration.authorization_endpoint.clone();
        url.query_pairs_mut()
            .append_pair("response_type", "code")
            .append_pair("client_id", &self.client_id)
            .append_pair("redirect_uri", &self.redirect_url)
            .append_pair("scope", &scopes.join(" "))
            .append_pair("state", &pending.state)
            .append_pair("nonce", &pending.nonce)
            .append_pair("code_challenge", &BASE64_URL_SAFE_NO_PAD.encode(challenge))
            .append_pair("code_challenge_method", "S256");
        url
    }

    /// The token request (RFC 6749 section 4.1.3): its form, and the name and secret for the header. The secret is in the
    /// header, unless the provider takes it in the form only.
    fn exchange<'a>(
        &'a self,
        configuration: &Configuration,
        pending: &'a Pending,
        code: &'a str,
    ) -> (Form<'a>, Option<(String, String)>) {
        let mut form = vec![
            ("grant_type", "authorization_code"),
            ("code", code),
            ("redirect_uri", &self.redirect_url),
            ("code_verifier", &pending.verifier),
        ];
        match &self.client_secret {
            Some(secret) if !configuration.takes_secret_in_body_only => {
                // Encoded as in a form before they are put into the header (RFC 6749 section 2.3.1).
                let encoded =
                    |text: &str| form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>();
                return (form, Some((encoded(&self.client_id), encoded(secret))));
            }
            Some(secret) => form.extend([("client_id", self.client_id.as_str()), ("client_secret", secret)]),
            None => form.push(("client_id", &self.client_id)),
        }
        (form, None)
    }
}

/// The ID token in the answer of a token endpoint (RFC 6749 sections 5.1 and 5.2).
fn id_token_in(answer: &Answer) -> Result<String, FlowError> {
    let unclear = |_| ProviderError::Unavailable("its answer is not one of a token endpoint".to_owned());
    let object = answer.object().map_err(unclear)?;
    if answer.status != StatusCode::OK {
        return Err(refusal(&object));
    }
    let token = text(&object, "id_token").map(str::to_owned);
    token.ok_or_else(|| FlowError::Refused("its answer has no ID token".to_owned()))
}

fn refusal(object: &Map<String, Value>) -> FlowError {
    match text(object, "error") {
        Some("invalid_grant") => FlowError::Code,
        Some(error) => FlowError::Refused(one_line(error, MAX_ERROR_CHARACTERS)),
        None => ProviderError::Unavailable("its answer is not one of a token endpoint".to_owned()).into(),
    }
}

#[cfg(test)]
mod tests {
    use runtime::testing::SeededEntropy;
    use serde_json::json;

    use super::*;
    use crate::testing::object;

    fn settings(client_secret: Option<&str>) -> FlowSettings {
        FlowSettings {
            client_id: "ssl manager".to_owned(),
            client_secret: client_secret.map(str::to_owned),
            redirect_url: "https://ssl.example.net/sign-in/oidc/callback".to_owned(),
            scopes: vec!["email".to_owned(), "groups".to_owned()],
        }
    }

    fn configuration(methods: &[&str]) -> Configuration {
        let said = json!({
            "issuer": "https://id.example.net",
            "authorization_endpoint": "https://id.example.net/authorize?tenant=a%20b",
            "token_endpoint": "https://id.example.net/token",
            "jwks_uri": "https://id.example.net/keys",
            "token_endpoint_auth_methods_supported": methods,
        });
        Configuration::from_json(&object(&said), "https://id.example.net").unwrap()
    }

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

    /// The verifier and the challenge of RFC 7636 appendix B.
    #[test]
    fn the_request_keeps_the_endpoints_query_and_proves_the_verifier() {
        let pending = Pending {
            state: "the-state".to_owned(),
            nonce: "the-nonce".to_owned(),
            verifier: "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk".to_owned(),
        };
        let url = settings(Some("s3cret")).authorization_url(&configuration(&[]), &pending);
        assert!(url.as_str().starts_with("https://id.example.net/authorize?tenant=a%20b&"), "{url}");
        let pairs: Vec<(String, String)> = url.query_pairs().into_owned().collect();
        let wanted = [
            ("tenant", "a b"),
            ("response_type", "code"),
            ("client_id", "ssl manager"),
            ("redirect_uri", "https://ssl.example.net/sign-in/oidc/callback"),
            ("scope", "openid email groups"),
            ("state", "the-state"),
            ("nonce", "the-nonce"),
            ("code_challenge", "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"),
            ("code_challenge_method", "S256"),
        ];
        assert_eq!(pairs, wanted.map(|(name, value)| (name.to_owned(), value.to_owned())));
    }

    #[test]
    fn a_secret_is_shown_once_where_the_provider_takes_it() {
        let pending = Pending::new(&SeededEntropy::new(1));
        let secret = "s3cret/+ &";
        let show = |settings: &FlowSettings, methods: &[&str]| {
            let (form, credentials) = settings.exchange(&configuration(methods), &pending, "the-code");
            assert_eq!(form[..2], [("grant_type", "authorization_code"), ("code", "the-code")]);
            assert!(form.contains(&("code_verifier", &pending.verifier)));
            let named =
                |name: &str| form.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned());
            (named("client_id"), named("client_secret"), credentials)
        };
        let in_header = Some(("ssl+manager".to_owned(), "s3cret%2F%2B+%26".to_owned()));
        let id = Some("ssl manager".to_owned());
        assert_eq!(show(&settings(Some(secret)), &[]), (None, None, in_header));
        let in_form = (id.clone(), Some(secret.to_owned()), None);
        assert_eq!(show(&settings(Some(secret)), &["client_secret_post"]), in_form);
        assert_eq!(show(&settings(None), &["client_secret_basic"]), (id, None, None));
    }
}
