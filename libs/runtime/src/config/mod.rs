//! Every setting, its default, and where it came from.
//!
//! Settings come from a TOML file, then from the environment as `SSL_MANAGER__SECTION__KEY`, where a value is text until
//! its field says what it is. A key that does not exist
//! is an error, because a misspelt setting that silently does nothing costs a night. Everything is checked before
//! anything is bound; whoever breaks a rule is told all of what is wrong, with the setting's name.

mod api_tls;
mod files;
mod key_algorithm;
mod list;
mod load;
mod notifier;
mod pre_expiry;
mod proxies;
mod secret_files;
mod secrets;
mod sections;
mod store_url;
mod validate;

pub use key_algorithm::KeyAlgorithm;
pub use load::{ConfigError, Setting};
pub use notifier::Notifier;
pub use proxies::KnownProxy;
pub use sections::{
    Acme, AcmeIssuer, Admin, Api, ApiClient, ApiOidc, ApiTls, BusSettings, C4, Cdn, ChallengeResponder,
    Config, Connections, Console, ConsoleApi, ConsoleOidc, ConsoleTls, Dns, Issuer, IssuerLimits, Keys,
    LimitNumber, LimitNumbers, OidcRole, Preflight, Renewal, Retention, Scheduler, StoreSettings, Telemetry,
    Uploader,
};
pub use store_url::StorePlace;
