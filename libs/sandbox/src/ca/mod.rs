//! An ACME CA (RFC 8555, HTTP-01 only, ES256 only) with renewal information (RFC 9773) and profiles.
//!
//! Its checks are real: nonces, signatures, CSRs, and by default the challenge too. On request it makes the mistakes of
//! real CAs and enforces a real CA's limits, so that a test can show that they are kept. Why not Pebble: it deadlocks
//! with many orders in flight and cannot be told to lose an answer; conformance is shown against Pebble all the same.

mod accounts;
mod admin;
mod ari;
mod authorizations;
mod certificates;
mod control;
mod crl;
mod directory;
mod fetch;
mod history;
mod issue;
mod jws;
mod limits;
mod nonces;
mod oddities;
mod oddities_over_http;
mod orders;
mod problem;
mod request;
mod resolve;
mod router;
mod state;
mod validation;

use std::collections::{BTreeMap, HashMap};
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Deserializer};

pub use self::control::CaControl;
use self::crl::List;
pub use self::history::{OrderBefore, PlacedOrder};
pub use self::limits::{Limit, Limits};
pub use self::oddities::UsRefusal;
use self::state::State;
use crate::serve::Server;
use crate::tls::ApiIdentity;
use crate::{Clock, SandboxError, system_clock};

/// How a CA starts.
#[derive(Clone)]
pub struct CaOptions {
    /// Where its API listens, https.
    pub listen: SocketAddr,
    /// Names of its API beside `localhost` and the loopback addresses.
    pub names: Vec<String>,
    /// Port that validation fetches from, and that stands for 80 in redirects.
    pub http_port: u16,
    /// Port that stands for 443 in redirects.
    pub https_port: u16,
    /// Nameserver that validation asks; none is the system's.
    pub dns: Option<SocketAddr>,
    /// How long validation waits for a lookup, and for a request.
    pub validation_timeout: Duration,
    /// How long certificates live.
    pub lifetime: Duration,
    /// Profiles, and how long their certificates live.
    pub profiles: BTreeMap<String, Duration>,
    /// How long orders live.
    pub order_life: Duration,
    /// HMAC keys of external account binding, by key identifier; with any, new accounts must have one.
    pub eab: HashMap<String, Vec<u8>>,
    /// The CA's names in CAA records, for the directory.
    pub caa_identities: Vec<String>,
    /// Whether a valid authorization serves the account's next orders too.
    pub reuse_authorizations: bool,
    /// The name under which certificates say that the revocation list is served, by http on a free port; none serves none.
    pub crl_host: Option<String>,
    /// Whether `/sandbox/control` steers it over HTTP.
    pub admin: bool,
    /// The CA's time. Delays and time-outs are real time.
    pub clock: Clock,
}

impl Default for CaOptions {
    fn default() -> Self {
        Self {
            listen: (Ipv4Addr::LOCALHOST, 0).into(),
            names: Vec::new(),
            http_port: 80,
            https_port: 443,
            dns: None,
            validation_timeout: Duration::from_secs(10),
            lifetime: Duration::from_hours(90 * 24),
            profiles: BTreeMap::new(),
            order_life: Duration::from_hours(7 * 24),
            eab: HashMap::new(),
            caa_identities: vec!["sandbox.example".to_owned()],
            reuse_authorizations: true,
            crl_host: None,
            admin: false,
            clock: system_clock(),
        }
    }
}

/// The result of validating a name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum ValidationResult {
    /// What the fetch says.
    #[default]
    Real,
    /// Valid, and nothing is fetched.
    Valid,
    /// Invalid, and nothing is fetched.
    Invalid {
        /// Error type of RFC 8555 section 6.7, such as `connection`, `dns`, `unauthorized`, `caa`.
        problem: String,
        /// What the CA says about it.
        detail: String,
    },
    /// Nothing: the challenge is processing until the order expires or the client responds again.
    Never,
}

/// The target of a fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Endpoint {
    /// new-account.
    NewAccount,
    /// new-order.
    NewOrder,
    /// An order.
    Order,
    /// An order's finalize URL.
    Finalize,
    /// An authorization.
    Authorization,
    /// A challenge.
    Challenge,
    /// A certificate.
    Certificate,
    /// revoke-cert.
    RevokeCert,
    /// key-change.
    KeyChange,
    /// renewal-info (RFC 9773), which takes no signature.
    RenewalInfo,
}

/// A wrong body under the right status.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Nonsense {
    /// The first half of the right body.
    TruncatedJson,
    /// A web page.
    Html,
    /// 32 MiB of nothing.
    HugeBody,
    /// A certificate for another key.
    OtherKey,
    /// A certificate for another name.
    OtherName,
    /// A certificate for the right name and one more.
    AddedName,
    /// The right certificate among its intermediate, the root and a stranger, in no order, with CR LF at each line's end.
    Shuffled,
    /// A right certificate that begins two days later.
    Later,
}

/// A refusal of the CA, instead of an answer.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CaRefusal {
    /// HTTP status.
    pub status: u16,
    /// Error type of RFC 8555 section 6.7, such as `unauthorized`.
    pub problem: String,
    /// What the CA says about it.
    pub detail: String,
    /// How long it asks to wait; in JSON, in seconds.
    #[serde(default, deserialize_with = "seconds")]
    pub retry_after: Option<Duration>,
}

fn seconds<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Duration>, D::Error> {
    Option::<u64>::deserialize(deserializer).map(|seconds| seconds.map(Duration::from_secs))
}

/// A certificate that was revoked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RevokedCertificate {
    /// Its names.
    pub names: Vec<String>,
    /// Lower-case hex SHA-256 of its DER.
    pub sha256: String,
    /// The reason's number (RFC 5280 section 5.3.1), if there was one.
    pub reason: Option<u8>,
}

/// A running CA; dropped, it stops.
pub struct Ca {
    server: Server,
    api_root_pem: String,
    state: Arc<State>,
    _list: Option<Server>,
}

impl Ca {
    /// Makes keys and certificates, and listens.
    pub async fn start(options: CaOptions) -> Result<Self, SandboxError> {
        let identity = ApiIdentity::make("CA", &options.names)?;
        let (listen, crl_host) = (options.listen, options.crl_host.clone());
        let state = Arc::new(State::new(options)?);
        let server = Server::start(listen, Some(identity.config), state.clone()).await?;
        let list = match crl_host {
            Some(host) => Some(List::start(listen, &host, &state).await?),
            None => None,
        };
        Ok(Self { server, api_root_pem: identity.root_pem, state, _list: list })
    }

    /// Where a client begins.
    pub fn directory_url(&self) -> String {
        format!("https://{}/directory", self.server.address())
    }

    /// Root of the certificate that its API shows, PEM.
    pub fn api_root_pem(&self) -> String {
        self.api_root_pem.clone()
    }

    /// Root of what it issues, PEM.
    pub fn issuing_root_pem(&self) -> String {
        self.state.issuer.root_pem().to_owned()
    }

    /// Steers it.
    pub fn control(&self) -> CaControl {
        CaControl(self.state.clone())
    }

    /// Closes the listener and all connections, and ends validations under way.
    pub async fn stop(self) {
        self.server.stop().await;
        self.state.stop().await;
    }
}
