//! `/livez`, `/readyz` and `/metrics`, per process.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::{RawQuery, State};
use axum::http::StatusCode;
use axum::routing::get;
use metrics_exporter_prometheus::PrometheusHandle;

use crate::backends::{Backends, Findings};
use crate::{Listen, Listener, Process, RoleError, serve_http};

/// How long a full part is reported.
const FULL_HOLD: Duration = Duration::from_secs(10);

/// Said of a part that a process can do without for a while.
const NOT_COUNTED: &str = "not counted: what was seen within the hour is answered without it";

/// The readiness of each part of the process.
#[derive(Clone, Debug, Default)]
pub struct Health(Arc<Mutex<States>>);

#[derive(Debug, Default)]
struct States {
    parts: BTreeMap<&'static str, Result<(), String>>,
    /// Those that decide nothing.
    told: BTreeMap<&'static str, Result<(), String>>,
    pressed: BTreeMap<&'static str, Pressure>,
}

/// A limit that was reached a moment ago.
#[derive(Clone, Debug)]
struct Pressure {
    reason: String,
    /// Whether the process serves its users no more.
    is_fatal: bool,
    since: Instant,
}

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

    /// A part works or does not, which is reported and leaves the process ready.
    pub fn tell(&self, part: &'static str, state: Result<(), String>) {
        self.states().told.insert(part, state);
    }

    /// A limit of that part was reached, so users are refused: not ready, until that was ten seconds ago.
    pub fn full(&self, part: &'static str, reason: impl Into<String>) {
        self.press(part, reason.into(), true);
    }

    /// The strangers' share of that part is used up. It is reported for ten seconds, and the process stays ready:
    /// otherwise a stranger could take it out of service.
    pub fn crowded(&self, part: &'static str, reason: impl Into<String>) {
        self.press(part, reason.into(), false);
    }

    /// Whether a part of that name is in this process.
    pub fn knows(&self, part: &str) -> bool {
        self.states().parts.contains_key(part)
    }

    fn set(&self, part: &'static str, state: Result<(), String>) {
        self.states().parts.insert(part, state);
    }

    fn press(&self, part: &'static str, reason: String, is_fatal: bool) {
        self.states().pressed.insert(part, Pressure { reason, is_fatal, since: Instant::now() });
    }

    fn states(&self) -> MutexGuard<'_, States> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn snapshot(&self) -> BTreeMap<&'static str, Result<(), String>> {
        self.states().parts.clone()
    }

    /// The limits that were reached within the last ten seconds, as a part and a reason each.
    fn pressed(&self) -> Vec<(String, Pressure)> {
        let mut states = self.states();
        states.pressed.retain(|_, pressure| pressure.since.elapsed() < FULL_HOLD);
        states.pressed.iter().map(|(part, pressure)| (format!("{part}-limit"), pressure.clone())).collect()
    }
}

#[derive(Clone)]
struct Admin {
    process: Process,
    backends: Option<Backends>,
    metrics: PrometheusHandle,
    /// Memory, descriptors and CPU time of the process.
    own: metrics_process::Collector,
}

impl Admin {
    /// Renders the metrics that are counted continuously and those that are read now.
    fn shown_metrics(&self) -> String {
        self.own.describe();
        self.own.collect();
        if let Some(backends) = &self.backends {
            let connections = backends.store.connections();
            let of = |state| metrics::gauge!("ssl_manager_store_connections", "state" => state);
            of("used").set(f64::from(connections.used));
            of("idle").set(f64::from(connections.idle));
            metrics::gauge!("ssl_manager_store_connections_allowed").set(f64::from(connections.allowed));
        }
        self.metrics.render()
    }
}

/// Serves the admin endpoints until the hard stop, so that a probe sees the process go.
pub async fn serve_admin(
    process: Process,
    backends: Option<Backends>,
    metrics: PrometheusHandle,
) -> Result<(), RoleError> {
    let listener = Listener::new(&process, Listen::Admin, None)?;
    let hard = process.stop.hard().clone();
    let router = Router::new()
        .route("/livez", get(|| async { "ok\n" }))
        .route("/readyz", get(ready))
        .route("/metrics", get(|State(admin): State<Admin>| async move { admin.shown_metrics() }))
        .with_state(Admin { process, backends, metrics, own: metrics_process::Collector::default() });
    let end = hard.clone();
    let serve = move |stream| serve_http(stream, router.clone(), end.clone());
    // The stop does not wait for a collector that keeps its connection.
    listener.serve(hard, |task| drop(tokio::spawn(task)), serve).await;
    Ok(())
}

/// Says what works and what does not. `?exclude=PART` leaves a part aside, as Kubernetes' own servers do: a process that
/// serves without the broker need not be taken out of service because of it.
async fn ready(State(admin): State<Admin>, RawQuery(query): RawQuery) -> (StatusCode, String) {
    let Process { health, stop, clock, .. } = &admin.process;
    let mut parts = health.snapshot();
    let mut aside = health.states().told.clone();
    if let Some(backends) = &admin.backends {
        let Findings { counted, told } = backends.look(clock.now()).await;
        parts.extend(counted);
        let not_counted = |reason| format!("{reason} ({NOT_COUNTED})");
        aside.extend(told.into_iter().map(|(part, state)| (part, state.map_err(not_counted))));
    }
    if stop.drain().is_cancelled() {
        parts.insert("process", Err("stopping".to_owned()));
    }
    let query = query.unwrap_or_default();
    let excluded: Vec<&str> = query.split('&').filter_map(|pair| pair.strip_prefix("exclude=")).collect();
    for parts in [&mut parts, &mut aside] {
        parts.retain(|part, _| !excluded.contains(part));
    }
    let mut pressed = health.pressed();
    pressed.retain(|(part, _)| !excluded.contains(&part.as_str()));
    let is_ready =
        parts.values().all(Result::is_ok) && pressed.iter().all(|(_, pressure)| !pressure.is_fatal);
    let code = if is_ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let mut text = String::new();
    for (part, state) in parts.into_iter().chain(aside) {
        // Writing to a String cannot fail.
        let _ = match state {
            Ok(()) => writeln!(text, "{part}: ok"),
            Err(reason) => writeln!(text, "{part}: {reason}"),
        };
    }
    for (part, pressure) in pressed {
        let _ = writeln!(text, "{part}: {}", pressure.reason);
    }
    (code, text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_that_was_reached_is_said_for_a_while() {
        let health = Health::default();
        health.full("api", "no place");
        health.crowded("sign-in", "many strangers");
        let said = health.pressed().into_iter().map(|(part, pressure)| (part, pressure.is_fatal));
        let expected = [("api-limit".to_owned(), true), ("sign-in-limit".to_owned(), false)];
        assert_eq!(said.collect::<Vec<_>>(), expected);
        for pressure in health.states().pressed.values_mut() {
            pressure.since = Instant::now().checked_sub(FULL_HOLD).expect("an instant");
        }
        assert!(health.pressed().is_empty());
    }
}
