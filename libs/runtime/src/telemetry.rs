//! Logs on stderr, metrics in memory, and traces to a collector where one is configured.
//!
//! A span carries names and ids, like a log line, and no secrets.

mod json;

use std::io::IsTerminal;

use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use opentelemetry::trace::TracerProvider as _;
use opentelemetry_otlp::{SpanExporter, WithExportConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{SdkTracer, SdkTracerProvider};
use serde::{Deserialize, Serialize};
use tracing::Subscriber;
use tracing_subscriber::Layer;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt;

use self::json::JsonLines;
use crate::metric_table::SECONDS;
use crate::{RoleError, RoleName, config};

/// Whose spans are exported: ours. Those of libraries tell of connections, not of domains.
const OURS: [&str; 12] = [
    "acme",
    "api",
    "bus",
    "bus_embedded",
    "bus_rabbitmq",
    "c4",
    "c4_uploader",
    "challenge_responder",
    "issuer",
    "runtime",
    "scheduler",
    "ssl_manager",
];

/// How log lines look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", try_from = "String")]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object per line.
    Json,
}

impl TryFrom<String> for LogFormat {
    type Error = String;

    /// Not left to serde, whose sentence does not say what there is.
    fn try_from(word: String) -> Result<Self, String> {
        match word.as_str() {
            "text" => Ok(Self::Text),
            "json" => Ok(Self::Json),
            _ => Err(format!("{word:?} is none of text, json")),
        }
    }
}

/// The running telemetry. Ended last, so that all traces are sent.
pub struct Telemetry {
    /// Renders the metrics.
    pub metrics: PrometheusHandle,
    traces: Option<SdkTracerProvider>,
}

impl Telemetry {
    /// Sends what is still to be sent; blocks for a few seconds at most.
    pub fn end(self) {
        if let Some(Err(error)) = self.traces.map(|traces| traces.shutdown()) {
            tracing::warn!(%error, "the last traces were not sent");
        }
    }
}

/// Starts all of it for this process, once, from within the runtime. `RUST_LOG` says how much is logged; `info`
/// without.
pub fn start_telemetry(settings: &config::Telemetry, roles: &[RoleName]) -> Result<Telemetry, RoleError> {
    let traces = if settings.otlp_endpoint.is_empty() {
        None
    } else {
        Some(exporter(&settings.otlp_endpoint, roles)?)
    };
    let libraries = ["sqlx", "hyper", "lapin"].map(|target| (target, LevelFilter::WARN));
    let otherwise = Targets::new().with_default(LevelFilter::INFO).with_targets(libraries);
    start(settings.log_format, otherwise, traces)
}

/// Starts the same for a process whose terminal shows something else: nothing is logged unless `RUST_LOG` is set.
pub fn start_telemetry_quietly() -> Result<Telemetry, RoleError> {
    start(LogFormat::Text, Targets::new(), None)
}

/// OTLP over gRPC. Sampling is that of `OTEL_TRACES_SAMPLER`; everything without.
fn exporter(endpoint: &str, roles: &[RoleName]) -> Result<SdkTracerProvider, RoleError> {
    let exporter = SpanExporter::builder()
        .with_tonic()
        .with_endpoint(endpoint)
        .build()
        .map_err(|error| RoleError::setting("telemetry.otlp_endpoint", error.to_string()))?;
    let name = match roles {
        [role] => format!("ssl-manager-{}", role.as_str()),
        _ => "ssl-manager".to_owned(),
    };
    Ok(SdkTracerProvider::builder()
        .with_batch_exporter(exporter)
        .with_resource(Resource::builder().with_service_name(name).build())
        .build())
}

/// Colour only on a terminal, and not with `NO_COLOR` (<https://no-color.org>).
fn may_colour() -> bool {
    let unwanted = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    !unwanted && std::io::stderr().is_terminal()
}

/// What `RUST_LOG` says, levels by target as in `info,hyper=debug`; none if it is unset, empty or says something else.
fn logged() -> Option<Targets> {
    let said = std::env::var("RUST_LOG").ok().filter(|said| !said.is_empty())?;
    said.parse().ok()
}

fn start(
    format: LogFormat,
    otherwise: Targets,
    traces: Option<SdkTracerProvider>,
) -> Result<Telemetry, RoleError> {
    let filter = logged().unwrap_or(otherwise);
    let logs = tracing_subscriber::fmt::layer().with_writer(std::io::stderr).with_ansi(may_colour());
    let logs = match format {
        LogFormat::Text => logs.boxed(),
        LogFormat::Json => logs.json().event_format(JsonLines).boxed(),
    };
    let spans = traces.as_ref().map(|traces| spans(traces.tracer("ssl-manager")));
    tracing_subscriber::registry()
        .with(spans)
        .with(logs.with_filter(filter))
        .try_init()
        .map_err(|error| RoleError::setting("telemetry.log_format", error.to_string()))?;
    let metrics = PrometheusBuilder::new()
        .set_buckets(&SECONDS)
        .and_then(PrometheusBuilder::install_recorder)
        .map_err(|error| RoleError::setting("telemetry", error.to_string()))?;
    Ok(Telemetry { metrics, traces })
}

fn spans<S: Subscriber + for<'span> LookupSpan<'span>>(tracer: SdkTracer) -> impl Layer<S> {
    let ours = OURS.iter().map(|target| (*target, LevelFilter::INFO));
    tracing_opentelemetry::layer()
        .with_tracer(tracer)
        .with_location(false)
        .with_threads(false)
        .with_filter(Targets::new().with_targets(ours))
}
