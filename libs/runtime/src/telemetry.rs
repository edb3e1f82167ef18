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
    let filter =
        EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info,sqlx=warn,hyper=warn"));
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
