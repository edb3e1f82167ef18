//! Every setting, its default, and where it came from.
//!
//! Settings come from a TOML file, then from the environment as `SSL_MANAGER__SECTION__KEY`, where a value is parsed by
//! the type of its field. An unknown key is an error, because a misspelt setting that is silently ignored is hard to
//! find. Everything is checked before any port is bound; all errors are reported together, with the names of the
//! settings.

mod api_tls;
mod files;
mod key_algorithm;
mod limits;
mod list;
mod load;
mod notifier;
mod origins;
mod pre_expiry;
mod proxies;
mod secret_files;
mod secrets;
mod sections;
mod store_url;
mod validate;

pub use key_algorithm::KeyAlgorithm;
pub use limits::{IssuerLimits, LimitNumber, LimitNumbers};
pub use load::{ConfigError, Setting};
pub use notifier::Notifier;
pub use origins::Origins;
pub use proxies::KnownProxy;
pub use sections::{
    Acme, AcmeIssuer, Admin, Api, ApiClient, ApiOidc, ApiTls, BusSettings, C4, Cdn, ChallengeResponder,
    Config, Connections, Console, ConsoleApi, ConsoleOidc, ConsoleTls, Dns, Issuer, Keys, OidcRole,
    Preflight, Renewal, Retention, Scheduler, StoreSettings, Telemetry, Uploader,
};
pub use store_url::StorePlace;
