//! `/livez`, `/readyz` and `/metrics`, per process.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::get;
use metrics_exporter_prometheus::PrometheusHandle;
use store::Store;
use tokio::net::TcpListener;

use crate::{RoleError, Stop};

const ASK_WITHIN: Duration = Duration::from_secs(2);

/// What each part of the process says about itself.
#[derive(Clone, Debug, Default)]
pub struct Health(Arc<Mutex<BTreeMap<&'static str, Result<(), String>>>>);

impl Health {
    /// A part is needed, and not ready yet.
    pub fn expect(&self, part: &'static str) {
        self.set(part, Err("starting".to_owned()));
    }

    /// A part works.
    pub fn ok(&self, part: &'static str) {
        self.set(part, Ok(()));
    }

    /// A part does not work, for that reason.
    pub fn bad(&self, part: &'static str, reason: impl Into<String>) {
        self.set(part, Err(reason.into()));
    }

    fn set(&self, part: &'static str, state: Result<(), String>) {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(part, state);
    }

    fn snapshot(&self) -> BTreeMap<&'static str, Result<(), String>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

#[derive(Clone)]
struct Admin {
    health: Health,
    store: Arc<dyn Store>,
    metrics: PrometheusHandle,
    stop: Stop,
}

/// Serves the admin endpoints until the hard stop, so that a probe sees the process go.
pub async fn serve_admin(
    listener: TcpListener,
    health: Health,
    store: Arc<dyn Store>,
    metrics: PrometheusHandle,
    stop: Stop,
) -> Result<(), RoleError> {
    let hard = stop.hard().clone();
    let admin = Admin {
        health,
        store,
        metrics,
        stop,
    };
    let router = Router::new()
        .route("/livez", get(|| async { "ok\n" }))
        .route("/readyz", get(ready))
        .route(
            "/metrics",
            get(|State(admin): State<Admin>| async move { admin.metrics.render() }),
        )
        .with_state(admin);
    axum::serve(listener, router)
        .with_graceful_shutdown(hard.cancelled_owned())
        .await
        .map_err(|source| RoleError::Server {
            role: "admin",
            source: source.into(),
        })
}

async fn ready(State(admin): State<Admin>) -> (StatusCode, String) {
    let mut parts = admin.health.snapshot();
    let store = match tokio::time::timeout(ASK_WITHIN, admin.store.ping()).await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(error)) => Err(error.to_string()),
        Err(_) => Err("no answer in time".to_owned()),
    };
    parts.insert("store", store);
    if admin.stop.soft().is_cancelled() {
        parts.insert("process", Err("stopping".to_owned()));
    }
    let code = if parts.values().all(Result::is_ok) {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    let mut text = String::new();
    for (part, state) in parts {
        // Writing to a String cannot fail.
        let _ = match state {
            Ok(()) => writeln!(text, "{part}: ok"),
            Err(reason) => writeln!(text, "{part}: {reason}"),
        };
    }
    (code, text)
}
