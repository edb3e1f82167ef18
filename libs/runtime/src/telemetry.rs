//! Logs on stderr and metrics in memory.

use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use serde::{Deserialize, Serialize};
use tracing_subscriber::EnvFilter;

use crate::RoleError;

/// How log lines look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object per line.
    Json,
}

/// Starts logging and metrics for this process, once. `RUST_LOG` says how much is logged; `info` without.
pub fn start_telemetry(format: LogFormat) -> Result<PrometheusHandle, RoleError> {
    start(format, "info,sqlx=warn,hyper=warn")
}

/// Starts the same for a process whose terminal shows something else: nothing is logged unless `RUST_LOG` is set.
pub fn start_telemetry_quietly() -> Result<PrometheusHandle, RoleError> {
    start(LogFormat::Text, "off")
}

fn start(format: LogFormat, otherwise: &str) -> Result<PrometheusHandle, RoleError> {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(otherwise));
    let logs = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr);
    let started = match format {
        LogFormat::Text => logs.try_init(),
        LogFormat::Json => logs.json().flatten_event(true).try_init(),
    };
    started.map_err(|error| RoleError::setting("telemetry.log_format", error.to_string()))?;
    PrometheusBuilder::new()
        .install_recorder()
        .map_err(|error| RoleError::setting("telemetry", error.to_string()))
}
