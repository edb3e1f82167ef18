//! What every role's start and stop need, once: configuration, telemetry, health, shutdown, the clock, and the worker
//! that claims work and runs it under its lease.
//!
//! A role gets a [`Context`] and nothing else; it cannot tell which store or bus is underneath.

mod checkpoint;
mod clock;
pub mod config;
mod context;
mod error;
mod health;
mod role;
mod secret;
mod stop;
mod telemetry;
pub mod testing;
mod worker;

#[cfg(feature = "sandbox")]
pub use checkpoint::Hold;
pub use checkpoint::checkpoint;
pub use clock::{SystemClock, SystemEntropy};
pub use config::Config;
pub use context::{Context, Listen, Listeners, Process};
pub use error::{RoleError, chain};
pub use health::{Backends, Health, serve_admin};
pub use role::RoleName;
pub use secret::{Secret, SecretUrl};
pub use stop::Stop;
pub use telemetry::{LogFormat, Telemetry, start_telemetry, start_telemetry_quietly};
pub use worker::{Job, JobError, Worker};
