//! One struct per concern. A field's documentation is its meaning; its name has the unit.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use domain::{PreExpiry, Role, Roles};
use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use super::key_algorithm::KeyAlgorithm;
use super::limits::IssuerLimits;
use super::list::list;
use super::notifier::Notifier;
use super::origins::Origins;
use super::pre_expiry;
use super::proxies::KnownProxy;

use crate::{LogFormat, Secret, SecretUrl};

/// All settings.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// The database.
    pub store: StoreSettings,
    /// The message bus.
    pub bus: BusSettings,
    /// How private keys are sealed.
    pub keys: Keys,
    /// The gRPC API.
    pub api: Api,
    /// The support team's page.
    pub console: Console,
    /// The answers to HTTP-01 challenges.
    pub challenge_responder: ChallengeResponder,
    /// Health and metrics.
    pub admin: Admin,
    /// Limits of connections per port and source.
    pub connections: Connections,
    /// The CDN that domains must point at.
    pub cdn: Cdn,
    /// The nameservers.
    pub dns: Dns,
    /// The checks before an order.
    pub preflight: Preflight,
    /// The CDN's configuration system.
    pub c4: C4,
    /// The certificate authorities.
    pub acme: Acme,
    /// The issuer role.
    pub issuer: Issuer,
    /// The c4-uploader role.
    pub uploader: Uploader,
    /// When certificates are renewed.
    pub renewal: Renewal,
    /// The retention of data.
    pub retention: Retention,
    /// The scheduler role.
    pub scheduler: Scheduler,
    /// The notifier role.
    pub notifier: Notifier,
    /// Logs and traces.
    pub telemetry: Telemetry,
    /// Where the settings come from that are not defaults, by key.
    #[serde(skip)]
    pub origins: Origins,
}

macro_rules! section {
    ($(#[$doc:meta])* $name:ident { $($(#[$field_doc:meta])* $field:ident: $type:ty = $default:expr,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
        #[serde(default, deny_unknown_fields)]
        pub struct $name {
            $($(#[$field_doc])* pub $field: $type,)*
        }

        impl Default for $name {
            fn default() -> Self {
                Self { $($field: $default,)* }
            }
        }
    };
}

section! {
    /// `[store]`
    StoreSettings {
        /// `sqlite://path`, or `postgres://…`; [`StoreSettings::place`] says what else is understood.
        url: SecretUrl = SecretUrl::from("sqlite://data/ssl-manager.db"),
        /// Most connections of one process to PostgreSQL.
        max_connections: u32 = 10,
    }
}

section! {
    /// `[bus]`
    BusSettings {
        /// `embedded:`, or `amqp(s)://…`.
        url: SecretUrl = SecretUrl::from("embedded:"),
        /// One more root to trust for `amqps://`, PEM.
        root_certificate_file: PathBuf = PathBuf::new(),
    }
}

impl BusSettings {
    /// Whether messages stay in the store.
    pub fn is_embedded(&self) -> bool {
        self.url.as_str() == "embedded:"
    }
}

section! {
    /// `[keys]`
    Keys {
        /// One 32-byte key in base64 per line, the first is current. Made on first start with an SQLite store.
        sealing_key_file: PathBuf = PathBuf::from("data/sealing.key"),
        /// Whether the other files with secrets may be open to others than their owner (tokens, keys of TLS and of external
        /// account bindings, the OpenID client's secret).
        open_secret_files: bool = false,
    }
}

section! {
    /// `[api]`
    Api {
        /// Where gRPC is served. Beyond loopback it needs TLS.
        listen: SocketAddr = loopback(50051),
        /// Whether private keys may be downloaded at all; the role decides by whom.
        key_downloads: bool = true,
        /// TLS of the API; without it, only loopback is listened on.
        tls: Option<ApiTls> = None,
        /// Listen beyond loopback without TLS: tokens and private keys then cross the network in clear. For a proxy on the
        /// same host's private network that speaks TLS to everybody else.
        plain_text_beyond_loopback: bool = false,
        /// Requests that one principal may send to one process each second, twice as many at once; 0 is no limit.
        requests_per_second: u32 = 1000,
        /// A person's session ends if it is not used for so long.
        session_idle_minutes: u16 = 60,
        /// A person's session ends so long after the sign-in, however much it is used.
        session_hours: u16 = 12,
        /// The OpenID provider that people may sign in with; without it, they sign in with name and password only.
        oidc: Option<ApiOidc> = None,
    }
}

section! {
    /// `[api.tls]`
    ApiTls {
        /// The server's certificate chain, PEM.
        certificate_file: PathBuf = PathBuf::new(),
        /// Its private key, PEM.
        key_file: PathBuf = PathBuf::new(),
        /// CA of client certificates, PEM; empty asks clients for none.
        client_ca_file: PathBuf = PathBuf::new(),
        /// Whether a client without a certificate may connect all the same, and show a token.
        client_certificate_optional: bool = false,
        /// DNS names or URIs in the client certificates of consoles: what they say of a browser's address is believed.
        #[serde(deserialize_with = "list")]
        consoles: Vec<String> = Vec::new(),
        /// Programs that need no token, because a client certificate identifies them.
        clients: Vec<ApiClient> = Vec::new(),
    }
}

/// `[[api.tls.clients]]`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ApiClient {
    /// As the audit log names it.
    pub name: String,
    /// A DNS name or URI among the subject alternative names of its certificate (RFC 5280 section 4.2.1.6).
    pub san: String,
    /// What it may do.
    pub roles: Roles,
}

section! {
    /// `[api.oidc]`
    ApiOidc {
        /// The provider's issuer identifier; https, or http on loopback.
        issuer_url: String = String::new(),
        /// Our name there, which ID tokens must be for; the same as the console's.
        client_id: String = String::new(),
        /// One more root to trust for it, PEM.
        root_certificate_file: PathBuf = PathBuf::new(),
        /// The claim of the ID token that names the person. An `email` must be verified.
        name_claim: String = "email".to_owned(),
        /// The claim that holds the values which give a role, one text or several.
        roles_claim: String = "groups".to_owned(),
        /// The roles by values of the claim. A person with several of the values has all of their roles.
        roles: Vec<OidcRole> = Vec::new(),
    }
}

/// `[[api.oidc.roles]]`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OidcRole {
    /// One of the values of the roles claim.
    pub value: String,
    /// The role that it gives.
    pub role: Role,
}

section! {
    /// `[console]`
    Console {
        /// Where the page is served.
        listen: SocketAddr = loopback(8080),
        /// The URL in the browser, as `https://HOST`; needed for OpenID Connect and behind a proxy.
        public_url: String = String::new(),
        /// The contact for users who need help, shown on every page: for example `ssl-help@example.net` or an https
        /// address.
        support_contact: String = String::new(),
        /// TLS of the page; without it, only loopback is listened on.
        tls: Option<ConsoleTls> = None,
        /// Listen beyond loopback without TLS, for a proxy in front that speaks TLS to the browsers.
        plain_text_beyond_loopback: bool = false,
        /// Proxies whose X-Forwarded-For is believed: its last address is the browser's.
        #[serde(deserialize_with = "list")]
        trusted_proxies: Vec<IpNet> = Vec::new(),
        /// The URL of the API, and its trusted root.
        api: ConsoleApi = ConsoleApi::default(),
        /// The OpenID provider that people may sign in with; the API needs `[api.oidc]` for it.
        oidc: Option<ConsoleOidc> = None,
    }
}

section! {
    /// `[console.oidc]`
    ConsoleOidc {
        /// The provider's issuer identifier; https, or http on loopback.
        issuer_url: String = String::new(),
        /// Our name there; the same as the API's.
        client_id: String = String::new(),
        /// A file with the client's secret; empty is a public client.
        client_secret_file: PathBuf = PathBuf::new(),
        /// One more root to trust for it, PEM.
        root_certificate_file: PathBuf = PathBuf::new(),
        /// Scopes in addition to `openid`.
        #[serde(deserialize_with = "list")]
        scopes: Vec<String> = vec!["email".to_owned(), "profile".to_owned()],
        /// The label of the button.
        label: String = "Sign in with OpenID".to_owned(),
    }
}

section! {
    /// `[console.tls]`
    ConsoleTls {
        /// The certificate chain, PEM.
        certificate_file: PathBuf = PathBuf::new(),
        /// Its private key, PEM.
        key_file: PathBuf = PathBuf::new(),
    }
}

section! {
    /// `[console.api]`
    ConsoleApi {
        /// `http(s)://HOST:PORT`; empty is `api.listen` of the same settings.
        url: String = String::new(),
        /// One more root to trust, PEM.
        root_certificate_file: PathBuf = PathBuf::new(),
        /// The name that its certificate is for, where that is not the URL's host.
        server_name: String = String::new(),
        /// The console's own certificate, PEM, where the API asks for one.
        client_certificate_file: PathBuf = PathBuf::new(),
        /// Its private key, PEM.
        client_key_file: PathBuf = PathBuf::new(),
    }
}

section! {
    /// `[challenge_responder]`
    ChallengeResponder {
        /// Where HTTP-01 is answered.
        listen: SocketAddr = SocketAddr::from(([0, 0, 0, 0], 5002)),
        /// Proxies whose X-Forwarded-Host is believed.
        #[serde(deserialize_with = "list")]
        trusted_proxies: Vec<IpNet> = Vec::new(),
    }
}

section! {
    /// `[admin]`
    Admin {
        /// Where `/livez`, `/readyz` and `/metrics` are served.
        listen: SocketAddr = loopback(9090),
        /// Seconds from SIGTERM to the stop, in which `/readyz` answers 503 and everything else goes on. For load balancers,
        /// which look at readiness and need a moment to send new connections elsewhere; 0 where nothing stands in front.
        drain_seconds: u16 = 0,
    }
}

section! {
    /// `[connections]`
    Connections {
        /// Most connections of one port; fewer where the process may not open so many files.
        max: u32 = 4096,
        /// Most of one source, an IPv4 address or a /64, once a port is half full.
        max_per_source: u32 = 256,
        /// Sources that stand for many clients, which no share of one source bounds: load balancers, the CDN's edges, an
        /// office behind one address. `cdn.addresses` are among them.
        #[serde(deserialize_with = "list")]
        shared_sources: Vec<IpNet> = Vec::new(),
    }
}

section! {
    /// `[cdn]`
    Cdn {
        /// A domain is pointed at us if its CNAME chain reaches one of these, or the `cname` C4 names for it.
        #[serde(deserialize_with = "list")]
        cname_targets: Vec<String> = Vec::new(),
        /// Or if its A and AAAA records are among these. With all of the edges' addresses here, a challenge that failed at
        /// another one is told to the customer.
        #[serde(deserialize_with = "list")]
        addresses: Vec<IpNet> = Vec::new(),
        /// A and AAAA addresses for an apex, which cannot have a CNAME.
        #[serde(deserialize_with = "list")]
        apex_addresses: Vec<IpAddr> = Vec::new(),
        /// `host:port` of edges to verify after an upload; empty is off.
        #[serde(deserialize_with = "list")]
        edge_addresses: Vec<String> = Vec::new(),
    }
}

section! {
    /// `[dns]`
    Dns {
        /// Nameservers to ask, as `host:port`; empty is the system's.
        #[serde(deserialize_with = "list")]
        nameservers: Vec<String> = Vec::new(),
    }
}

section! {
    /// `[preflight]`
    Preflight {
        /// The port on which the CA asks; 80 on the internet.
        http_port: u16 = 80,
        /// Whether domains may point at private addresses.
        allow_private_addresses: bool = false,
        /// Addresses that no rehearsal and no webhook goes to, beside those that are not of the internet: the CDN's own hosts.
        refuse_addresses: Vec<IpNet> = Vec::new(),
        /// Whether the challenge path is rehearsed before an order.
        rehearsal: bool = true,
        /// Proxies that customers put between their domain and the CDN: a reason names the one it finds.
        proxies: Vec<KnownProxy> = vec![KnownProxy::cloudflare()],
    }
}

section! {
    /// `[c4]`
    C4 {
        /// Where C4 is; https, or http to loopback.
        base_url: String = String::new(),
        /// A file with the bearer token.
        token_file: PathBuf = PathBuf::new(),
        /// The bearer token itself, from the environment.
        token: Secret = Secret::default(),
        /// One more root to trust, PEM.
        root_certificate_file: PathBuf = PathBuf::new(),
    }
}

section! {
    /// `[acme]`
    Acme {
        /// In order of preference.
        issuers: Vec<AcmeIssuer> = Vec::new(),
    }
}

section! {
    /// `[[acme.issuers]]`
    AcmeIssuer {
        /// Our name for it; accounts belong to it.
        name: String = String::new(),
        /// Its directory; https.
        directory_url: String = String::new(),
        /// Contact addresses of the account, as `mailto:` URLs.
        #[serde(deserialize_with = "list")]
        contact: Vec<String> = Vec::new(),
        /// Which of its profiles to order; empty is its default.
        profile: String = String::new(),
        /// One more root to trust for its API, PEM.
        root_certificate_file: PathBuf = PathBuf::new(),
        /// Key id of an external account binding (RFC 8555 section 7.3.4).
        eab_key_id: String = String::new(),
        /// Its HMAC key as the CA hands it out: base64url or standard base64, padded or not.
        eab_hmac_key_file: PathBuf = PathBuf::new(),
        /// The CA's names in CAA records; empty: those in its directory.
        #[serde(deserialize_with = "list")]
        caa_identities: Vec<String> = Vec::new(),
        /// `auto`, `letsencrypt`, `letsencrypt-staging`, `none`, or numbers.
        limits: IssuerLimits = IssuerLimits::Named("auto".to_owned()),
    }
}

section! {
    /// `[issuer]`
    Issuer {
        /// Most issuances in flight in one process.
        max_in_flight: u16 = 32,
        /// Of which kind the keys of new certificates are.
        key_algorithm: KeyAlgorithm = KeyAlgorithm::P256,
    }
}

section! {
    /// `[uploader]`
    Uploader {
        /// Most uploads in flight in one process.
        max_in_flight: u16 = 32,
    }
}

section! {
    /// `[renewal]`
    Renewal {
        /// How many days before its end a certificate is renewed; or `third` of its lifetime, where its CA suggests no
        /// window.
        #[serde(with = "pre_expiry")]
        pre_expiry_days: PreExpiry = PreExpiry::DEFAULT,
        /// Whether the CA's renewal information (RFC 9773) is asked for.
        ari: bool = true,
    }
}

section! {
    /// `[retention]`
    Retention {
        /// After how many days the sealed keys of a deleted domain are destroyed; 0 is at once.
        deleted_keys_days: u16 = 7,
    }
}

section! {
    /// `[scheduler]`
    Scheduler {
        /// When the daily recheck begins.
        recheck_at: String = "00:00".to_owned(),
        /// Where that is.
        time_zone: String = "Asia/Singapore".to_owned(),
        /// Over how long it is spread.
        recheck_spread_minutes: u16 = 60,
    }
}

section! {
    /// `[telemetry]`
    Telemetry {
        /// Where traces go; empty is off.
        otlp_endpoint: String = String::new(),
        /// `text` or `json`.
        log_format: LogFormat = LogFormat::Text,
    }
}

fn loopback(port: u16) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], port))
}
