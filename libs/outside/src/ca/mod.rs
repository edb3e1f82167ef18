//! An ACME CA (RFC 8555) with HTTP-01, ARI (RFC 9773) and profiles, that can misbehave on request.
//!
//! It checks what a real one checks (nonces, signatures, CSRs, key authorizations) and really fetches challenge
//! responses, so that a client which gets by here gets by elsewhere. Orders are found by id, never by scanning, and no
//! lock is held across a wait: it holds hundreds of orders in flight.

mod control;
mod handlers;
mod issue;
mod jws;
mod problem;
mod renewal;
mod state;
mod validation;

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::routing::{any, get, post};
use jiff::Timestamp;
use tokio_util::sync::CancellationToken;

pub use control::{CaControl, Endpoint, Nonsense, ValidationResult};

use crate::SandboxError;
use crate::net::{api_identity, bind, serve};
use issue::Authority;
use state::CaState;

/// Tells the CA the time.
pub type CaClock = Arc<dyn Fn() -> Timestamp + Send + Sync>;

/// How the CA is set up.
#[derive(Clone)]
pub struct CaOptions {
    /// HTTPS.
    pub listen: SocketAddr,
    /// Port on which challenges are looked for.
    pub http_port: u16,
    /// Nameserver for validation; none is the system's.
    pub dns: Option<SocketAddr>,
    /// How long its certificates live.
    pub lifetime: Duration,
    /// Its clock.
    pub clock: CaClock,
    /// HMAC keys of external account bindings by key id; when there are any, every new account needs one.
    pub external_account_keys: HashMap<String, Vec<u8>>,
    /// Whether a valid authorization serves later orders of the same account and name.
    pub reuse_authorizations: bool,
}

impl Default for CaOptions {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            http_port: 80,
            dns: None,
            lifetime: Duration::from_hours(90 * 24),
            clock: Arc::new(system_now),
            external_account_keys: HashMap::new(),
            reuse_authorizations: true,
        }
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "the sandbox stands outside the product and has a clock of its own"
)]
fn system_now() -> Timestamp {
    Timestamp::now()
}

/// A running CA.
pub struct Ca {
    address: SocketAddr,
    api_root_pem: String,
    state: Arc<CaState>,
    stop: CancellationToken,
}

impl Ca {
    /// Starts it.
    pub async fn start(options: CaOptions) -> Result<Self, SandboxError> {
        let (listener, address) = bind(options.listen).await?;
        let (api_root_pem, tls) = api_identity("Sandbox CA")?;
        let base = format!("https://localhost:{}", address.port());
        let state = Arc::new(CaState::new(options, base, Authority::new()?));
        let stop = CancellationToken::new();
        serve(listener, router(state.clone()), Some(tls), stop.clone());
        Ok(Self {
            address,
            api_root_pem,
            state,
            stop,
        })
    }

    /// Its directory.
    pub fn directory_url(&self) -> String {
        format!("https://localhost:{}/directory", self.address.port())
    }

    /// Trust for its API.
    pub fn api_root_pem(&self) -> String {
        self.api_root_pem.clone()
    }

    /// The root of what it issues.
    pub fn issuing_root_pem(&self) -> String {
        self.state.authority.root_pem.clone()
    }

    /// What it does next.
    pub fn control(&self) -> CaControl {
        CaControl {
            state: self.state.clone(),
        }
    }

    /// Stops it.
    pub fn stop(self) {
        self.stop.cancel();
    }
}

fn router(state: Arc<CaState>) -> Router {
    Router::new()
        .route("/directory", get(handlers::directory))
        .route("/new-nonce", any(handlers::new_nonce))
        .route("/new-account", post(handlers::new_account))
        .route("/account/{id}", post(handlers::account))
        .route("/new-order", post(handlers::new_order))
        .route("/order/{id}", post(handlers::order))
        .route("/order/{id}/finalize", post(handlers::finalize))
        .route("/authorization/{id}", post(handlers::authorization))
        .route("/challenge/{id}", post(handlers::challenge))
        .route("/certificate/{id}", post(handlers::certificate))
        .route("/renewal-info/{id}", get(renewal::renewal_info))
        .layer(axum::middleware::from_fn_with_state(
            state.clone(),
            handlers::availability,
        ))
        .with_state(state)
}
