//! C4, the CDN's configuration system, as `libs/c4/openapi.yaml` describes it: domains, and at most one certificate
//! for each. A certificate is taken only with its key, and only under its own SHA-256.

mod admin;
mod certificate;
mod control;
mod http_api;
mod state;

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

pub use self::certificate::StoredCertificate;
pub(crate) use self::certificate::sha256;
pub use self::control::{C4Control, Refusal};
use self::state::State;
use crate::SandboxError;
use crate::serve::Server;
use crate::tls::ApiIdentity;

/// How a C4 starts.
#[derive(Clone, Debug)]
pub struct C4Options {
    /// Where it listens.
    pub listen: SocketAddr,
    /// The bearer token that it wants to see.
    pub token: String,
    /// Https rather than http.
    pub tls: bool,
    /// Names of it beside `localhost` and the loopback addresses, for TLS.
    pub names: Vec<String>,
    /// Whether `/sandbox/domains` puts and removes domains over HTTP, with the same token.
    pub admin: bool,
}

impl Default for C4Options {
    fn default() -> Self {
        Self {
            listen: (Ipv4Addr::LOCALHOST, 0).into(),
            token: "sandbox-c4-token".to_owned(),
            tls: false,
            names: Vec::new(),
            admin: false,
        }
    }
}

/// What C4 knows of a domain.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct C4Domain {
    /// Ports that the CDN serves it on.
    pub ports: Vec<u16>,
    /// What the customer's CNAME must lead to.
    pub cname: String,
}

/// A running C4; dropped, it stops.
pub struct C4 {
    server: Server,
    root_pem: Option<String>,
    token: String,
    control: C4Control,
}

impl C4 {
    /// Listens.
    pub async fn start(options: C4Options) -> Result<Self, SandboxError> {
        let identity = if options.tls {
            Some(ApiIdentity::make("C4", &options.names)?)
        } else {
            None
        };
        let (config, root_pem) = identity
            .map(|identity| (identity.config, identity.root_pem))
            .unzip();
        let state = Arc::new(State::new(options.token.clone(), options.admin));
        let server = Server::start(options.listen, config, state.clone()).await?;
        Ok(Self {
            server,
            root_pem,
            token: options.token,
            control: C4Control(state),
        })
    }

    /// What the paths of the contract are put under.
    pub fn base_url(&self) -> String {
        let scheme = if self.root_pem.is_some() { "https" } else { "http" };
        format!("{scheme}://{}", self.server.address())
    }

    /// The bearer token.
    pub fn token(&self) -> &str {
        &self.token
    }

    /// Root of the certificate that it shows, PEM; none without TLS.
    pub fn root_pem(&self) -> Option<String> {
        self.root_pem.clone()
    }

    /// Steers it.
    pub fn control(&self) -> C4Control {
        self.control.clone()
    }

    /// Closes the listener and all connections.
    pub async fn stop(self) {
        self.server.stop().await;
    }
}
