//! C4, the CDN's configuration system, as `libs/c4/openapi.yaml` describes it: domains, and at most one certificate
//! for each. A certificate is taken only with its key, and only under its own SHA-256.

mod admin;
mod certificate;
mod control;
mod http_api;
mod state;

use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

pub use self::certificate::StoredCertificate;
pub(crate) use self::certificate::sha256;
pub use self::control::{C4Control, Refusal};
use self::state::State;
use crate::SandboxError;
use crate::serve::Server;
use crate::tls::{self, ApiIdentity};

/// How a C4 starts.
#[derive(Clone, Debug)]
pub struct C4Options {
    /// Where it listens.
    pub listen: SocketAddr,
    /// The bearer token that it wants to see.
    pub token: String,
    /// Https rather than http, with a certificate of its own making.
    pub tls: bool,
    /// Https with that certificate; `tls` and `names` say nothing then.
    pub identity: Option<C4Identity>,
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
            identity: None,
            names: Vec::new(),
            admin: false,
        }
    }
}

/// The certificate that C4 shows, in PEM.
#[derive(Clone)]
pub struct C4Identity {
    /// The certificate and its intermediates.
    pub chain_pem: Vec<u8>,
    /// Its key.
    pub key_pem: Vec<u8>,
}

impl fmt::Debug for C4Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("C4Identity").finish_non_exhaustive()
    }
}

/// C4's state of a domain.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct C4Domain {
    /// Ports that the CDN serves it on.
    pub ports: Vec<u16>,
    /// The target of the customer's CNAME.
    pub cname: String,
}

/// A running C4; dropped, it stops.
pub struct C4 {
    server: Server,
    https: bool,
    root_pem: Option<String>,
    token: String,
    control: C4Control,
}

impl C4 {
    /// Listens.
    pub async fn start(options: C4Options) -> Result<Self, SandboxError> {
        let (config, root_pem) = match &options.identity {
            Some(given) => {
                let config = tls::server_showing(&given.chain_pem, &given.key_pem)?;
                (Some(config), None)
            }
            None if options.tls => {
                let made = ApiIdentity::make("C4", &options.names)?;
                (Some(made.config), Some(made.root_pem))
            }
            None => (None, None),
        };
        let https = config.is_some();
        let state = Arc::new(State::new(options.token.clone(), options.admin));
        let server = Server::start(options.listen, config, state.clone()).await?;
        Ok(Self { server, https, root_pem, token: options.token, control: C4Control(state) })
    }

    /// The base of the contract's paths.
    pub fn base_url(&self) -> String {
        let scheme = if self.https { "https" } else { "http" };
        format!("{scheme}://{}", self.server.address())
    }

    /// The bearer token.
    pub fn token(&self) -> &str {
        &self.token
    }

    /// Root of the certificate that it made, PEM.
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
