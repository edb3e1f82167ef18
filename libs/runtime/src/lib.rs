//! The common parts of all roles: configuration, telemetry, health, shutdown, the clock, the listener of every port,
//! and the worker that claims work and runs it under its lease.
//!
//! A role gets a [`Context`] and nothing else; it cannot tell which store or bus is underneath.

mod backends;
mod brake;
mod checkpoint;
mod clock;
pub mod config;
mod context;
mod descriptors;
mod error;
mod health;
mod known;
mod listener;
mod metric_table;
mod notifier_keys;
mod proof;
mod reload;
mod role;
mod secret;
mod seldom;
mod shares;
mod source;
mod stop;
mod telemetry;
pub mod testing;
mod worker;

pub use backends::{Backends, Findings, check_sealing_keys, lack_in_words};
pub use brake::Brake;
#[cfg(feature = "sandbox")]
pub use checkpoint::Hold;
pub use checkpoint::checkpoint;
pub use clock::{SystemClock, SystemEntropy};
pub use config::Config;
pub use context::{Context, Listen, Listeners, Process};
pub use descriptors::raise_descriptors;
pub use error::{RoleError, chain};
pub use health::{Health, serve_admin};
pub use known::KnownTokens;
pub use listener::{Accepted, Listener, Patience, Peer, Places, serve_http};
pub use metric_table::{ENDING_WITHIN_DAYS, register_metrics};
pub use notifier_keys::notifier_keys;
pub use proof::{is_process_proof, process_proof};
pub use reload::{Current, Reload, show_own_certificate};
pub use role::RoleName;
pub use secret::{Secret, SecretUrl};
pub use seldom::Seldom;
pub use shares::{Full, Queue, Share, Shares, Turn};
pub use source::Source;
pub use stop::Stop;
pub use telemetry::{LogFormat, Telemetry, start_telemetry, start_telemetry_quietly};
pub use worker::{Job, JobError, Worker};
