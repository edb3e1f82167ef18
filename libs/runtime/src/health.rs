//! `/livez`, `/readyz` and `/metrics`, per process.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::extract::{RawQuery, State};
use axum::http::StatusCode;
use axum::routing::get;
use bus::Bus;
use jiff::{SignedDuration, Timestamp};
use metrics_exporter_prometheus::PrometheusHandle;

use store::Store;

use crate::{Listen, Process, RoleError, chain};

const ASK_WITHIN: Duration = Duration::from_secs(2);
const CLOCKS_MAY_DIFFER: SignedDuration = SignedDuration::from_secs(5);

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

    /// Whether a part of that name is in this process.
    pub fn knows(&self, part: &str) -> bool {
        self.snapshot().contains_key(part)
    }

    fn set(&self, part: &'static str, state: Result<(), String>) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(part, state);
    }

    fn snapshot(&self) -> BTreeMap<&'static str, Result<(), String>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// What a process works on, whose state is a part of its own.
#[derive(Clone)]
pub struct Backends {
    /// The truth.
    pub store: Arc<Store>,
    /// The hints.
    pub bus: Arc<dyn Bus>,
    /// Whether the process is of no use if the store takes no writes.
    pub writes: bool,
}

#[derive(Clone)]
struct Admin {
    process: Process,
    backends: Option<Backends>,
    metrics: PrometheusHandle,
}

/// Serves the admin endpoints until the hard stop, so that a probe sees the process go.
pub async fn serve_admin(
    process: Process,
    backends: Option<Backends>,
    metrics: PrometheusHandle,
) -> Result<(), RoleError> {
    let listener = process.listeners.take(Listen::Admin)?;
    let hard = process.stop.hard().clone();
    let router = Router::new()
        .route("/livez", get(|| async { "ok\n" }))
        .route("/readyz", get(ready))
        .route("/metrics", get(|State(admin): State<Admin>| async move { admin.metrics.render() }))
        .with_state(Admin { process, backends, metrics });
    axum::serve(listener, router)
        .with_graceful_shutdown(hard.cancelled_owned())
        .await
        .map_err(|source| RoleError::Server { role: "admin", source: source.into() })
}

/// What the store says of itself.
async fn ask_store(store: &Store, writes: bool, now: Timestamp) -> Result<(), String> {
    let asked = async {
        if writes {
            store.check_writes().await?;
        }
        store.clock().await
    };
    let theirs = match tokio::time::timeout(ASK_WITHIN, asked).await {
        Ok(Ok(theirs)) => theirs,
        Ok(Err(error)) => return Err(chain(&error)),
        Err(_) => return Err("no answer in time".to_owned()),
    };
    theirs.map_or(Ok(()), |theirs| compare_clocks(now, theirs))
}

/// Whether a lease ends at nearly the same moment for everybody: each process compares it with its own clock.
fn compare_clocks(ours: Timestamp, theirs: Timestamp) -> Result<(), String> {
    let apart = ours.duration_since(theirs).abs();
    if apart <= CLOCKS_MAY_DIFFER {
        return Ok(());
    }
    let seconds = apart.as_secs();
    Err(format!("the database's clock and this machine's are {seconds} s apart: set the clock"))
}

/// Says what works and what does not. `?exclude=PART` leaves a part aside, as Kubernetes' own servers do: a process that
/// serves without the broker need not be taken out of service because of it.
async fn ready(State(admin): State<Admin>, RawQuery(query): RawQuery) -> (StatusCode, String) {
    let Process { health, stop, clock, .. } = &admin.process;
    let mut parts = health.snapshot();
    if let Some(Backends { store, bus, writes }) = &admin.backends {
        parts.insert("store", ask_store(store, *writes, clock.now()).await);
        parts.insert("bus", bus.trouble().map_or(Ok(()), Err));
    }
    if stop.soft().is_cancelled() {
        parts.insert("process", Err("stopping".to_owned()));
    }
    let query = query.unwrap_or_default();
    let excluded: Vec<&str> = query.split('&').filter_map(|pair| pair.strip_prefix("exclude=")).collect();
    parts.retain(|part, _| !excluded.contains(part));
    let code =
        if parts.values().all(Result::is_ok) { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clocks_that_differ_by_more_than_five_seconds_are_a_reason() {
        let at = |second| Timestamp::from_second(1_800_000_000 + second).unwrap();
        for agree in [0, 5, -5] {
            assert_eq!(compare_clocks(at(agree), at(0)), Ok(()), "{agree}");
        }
        for differ in [6_i64, -6, 86_400] {
            let reason = compare_clocks(at(differ), at(0)).unwrap_err();
            assert!(reason.contains(&format!("{} s apart", differ.abs())), "{reason}");
        }
    }
}
