//! An OpenID provider (OpenID Connect Core 1.0, authorization code flow with PKCE) that signs in a configured person at
//! once, without asking, and whose ID tokens can have every error that a client must notice.

mod control;
mod http_api;
mod key;
mod state;
mod token;

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use serde_json::{Map, Value, json};

pub use self::control::OidcControl;
pub use self::key::OidcAlgorithm;
use self::state::State;
use crate::clock::{Clock, system_clock};
use crate::serve::Server;
use crate::tls::ApiIdentity;
use crate::{SandboxError, random};

/// How a provider starts.
#[derive(Clone)]
pub struct OidcOptions {
    /// Where it listens.
    pub listen: SocketAddr,
    /// The one client that it knows.
    pub client_id: String,
    /// The client secret at the token endpoint; none for a public client.
    pub client_secret: Option<String>,
    /// Https rather than http, with a certificate of its own making.
    pub tls: bool,
    /// Its signing algorithm.
    pub algorithm: OidcAlgorithm,
    /// Its time.
    pub clock: Clock,
}

impl Default for OidcOptions {
    fn default() -> Self {
        Self {
            listen: (Ipv4Addr::LOCALHOST, 0).into(),
            client_id: "ssl-manager".to_owned(),
            client_secret: None,
            tls: false,
            algorithm: OidcAlgorithm::Rs256,
            clock: system_clock(),
        }
    }
}

/// Who signs in.
#[derive(Clone, Debug, PartialEq)]
pub struct OidcPerson {
    /// `sub`.
    pub subject: String,
    /// Everything else that the ID token says of them.
    pub claims: Map<String, Value>,
}

impl OidcPerson {
    /// A person with a verified address, in these groups.
    pub fn new(email: &str, groups: &[&str]) -> Self {
        Self { subject: format!("subject-of-{email}"), claims: Map::new() }
            .with("email", email)
            .with("email_verified", true)
            .with("groups", json!(groups))
    }

    /// With another claim, or another value of one.
    #[must_use]
    pub fn with(mut self, claim: &str, value: impl Into<Value>) -> Self {
        self.claims.insert(claim.to_owned(), value.into());
        self
    }

    /// Without a claim.
    #[must_use]
    pub fn without(mut self, claim: &str) -> Self {
        self.claims.remove(claim);
        self
    }
}

/// Errors of an ID token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TokenFlaw {
    /// Another nonce than the one that was sent.
    Nonce,
    /// No nonce at all.
    NoNonce,
    /// For another client.
    Audience,
    /// For this client and another one.
    TwoAudiences,
    /// `azp` names another client.
    AuthorizedParty,
    /// Another issuer.
    Issuer,
    /// It ended an hour ago.
    Expired,
    /// It was made an hour ago and lasts for another.
    IssuedLongAgo,
    /// It was made an hour from now.
    IssuedAhead,
    /// It counts in an hour only.
    NotYet,
    /// Algorithm `none`.
    Unsigned,
    /// HS256 with the public key as the secret.
    MacOfPublicKey,
    /// HS256 with the client's secret, or its id where it has none.
    MacOfSecret,
    /// Signed with a key that the provider does not publish, under an id of its own.
    UnknownKey,
    /// Signed with a key that the provider does not publish, under the id of one that it does.
    ForeignKey,
    /// One letter of the payload is another after signing.
    Payload,
    /// A header that must be understood, and is not.
    Critical,
}

/// Faults of the provider itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProviderTrouble {
    /// 503 to everything.
    Down,
    /// Takes requests and never answers.
    Silent,
    /// Redirects all requests elsewhere.
    Redirect,
    /// Answers with a huge body.
    Endless,
    /// Answers with something that is no JSON.
    Nonsense,
    /// Its configuration is that of another issuer.
    OtherIssuer,
}

/// A running provider; dropped, it stops.
pub struct Oidc {
    server: Server,
    root_pem: Option<String>,
    control: OidcControl,
}

impl Oidc {
    /// Listens.
    pub async fn start(options: OidcOptions) -> Result<Self, SandboxError> {
        let made = options.tls.then(|| ApiIdentity::make("OpenID", &[])).transpose()?;
        let (config, root_pem) = made.map_or((None, None), |made| (Some(made.config), Some(made.root_pem)));
        let scheme = if config.is_some() { "https" } else { "http" };
        let state = Arc::new(State::new(&options)?);
        let server = Server::start(options.listen, config, state.clone()).await?;
        state.settle(format!("{scheme}://{}", server.address()));
        Ok(Self { server, root_pem, control: OidcControl(state) })
    }

    /// The issuer, which its configuration is found by.
    pub fn issuer_url(&self) -> String {
        self.control.0.issuer().to_owned()
    }

    /// Root of the certificate that it made, PEM.
    pub fn root_pem(&self) -> Option<String> {
        self.root_pem.clone()
    }

    /// Steers it.
    pub fn control(&self) -> OidcControl {
        self.control.clone()
    }

    /// Closes the listener and all connections.
    pub async fn stop(self) {
        self.server.stop().await;
    }
}

/// A name for a code, a token or a key.
fn fresh() -> String {
    random::token()
}
