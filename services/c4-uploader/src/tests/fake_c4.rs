//! A fake C4 that keeps the contract, and breaks it on request.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard};

use axum::Router;
use axum::body::Bytes;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, HeaderName, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, put};
use serde_json::{Value, json};
use tokio::net::TcpListener;

/// A prepared answer.
#[derive(Clone, Debug)]
pub(crate) struct Trick {
    pub(crate) method: &'static str,
    pub(crate) status: u16,
    pub(crate) body: Value,
    pub(crate) retry_after: Option<u64>,
    /// Performs the request anyway and loses the answer.
    pub(crate) obeys: bool,
}

#[derive(Default)]
pub(crate) struct Inside {
    pub(crate) knows: bool,
    pub(crate) holds: Option<Value>,
    pub(crate) revision: i64,
    pub(crate) tricks: VecDeque<Trick>,
    /// Method and revision of each request, in order.
    pub(crate) requests: Vec<(&'static str, Option<i64>)>,
    pub(crate) idempotency_keys: Vec<String>,
}

#[derive(Clone)]
pub(crate) struct FakeC4 {
    pub(crate) url: String,
    inside: Arc<Mutex<Inside>>,
}

impl FakeC4 {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let fake = Self { url, inside: Arc::new(Mutex::new(Inside { knows: true, ..Inside::default() })) };
        let router = Router::new()
            .route("/v1/domains/{name}", get(show))
            .route("/v1/domains/{name}/certificate", put(hold).delete(remove))
            .with_state(fake.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        fake
    }

    pub(crate) fn inside(&self) -> MutexGuard<'_, Inside> {
        self.inside.lock().unwrap()
    }

    /// Prepares the answer to the next request with that method.
    pub(crate) fn trick(&self, method: &'static str, status: u16, times: usize) {
        let trick =
            Trick { method, status, body: json!({ "message": "broken" }), retry_after: None, obeys: false };
        self.inside().tricks.extend(std::iter::repeat_n(trick, times));
    }

    pub(crate) fn count(&self, method: &str) -> usize {
        self.inside().requests.iter().filter(|(seen, _)| *seen == method).count()
    }

    pub(crate) fn held_sha256(&self) -> Option<String> {
        self.inside().holds.as_ref().map(|held| held["sha256"].as_str().unwrap().to_owned())
    }
}

impl Inside {
    fn trick(&mut self, method: &'static str) -> Option<Trick> {
        let index = self.tricks.iter().position(|trick| trick.method == method)?;
        self.tricks.remove(index)
    }

    fn refuses(&mut self, revision: i64) -> Option<Response> {
        if !self.knows {
            return Some(unknown());
        }
        if revision < self.revision {
            return Some((StatusCode::CONFLICT, json!({ "code": "stale" }).to_string()).into_response());
        }
        self.revision = revision;
        None
    }
}

impl Trick {
    fn answer(self) -> Response {
        let mut headers = HeaderMap::new();
        if let Some(seconds) = self.retry_after {
            headers.insert(HeaderName::from_static("retry-after"), seconds.into());
        }
        (StatusCode::from_u16(self.status).unwrap(), headers, self.body.to_string()).into_response()
    }
}

fn unknown() -> Response {
    (StatusCode::NOT_FOUND, json!({ "message": "unknown domain" }).to_string()).into_response()
}

async fn show(State(fake): State<FakeC4>, Path(name): Path<String>) -> Response {
    let mut inside = fake.inside();
    inside.requests.push(("GET", None));
    if let Some(trick) = inside.trick("GET") {
        return trick.answer();
    }
    if !inside.knows {
        return unknown();
    }
    let certificate = inside.holds.as_ref().map(|held| {
        let ends = held["not_after"].as_str().unwrap_or("2026-06-02T00:00:00Z");
        json!({ "sha256": held["sha256"], "source": held["source"], "not_after": ends })
    });
    json!({ "name": name, "ports": [80, 443], "cname": "edge.cdn.example.net", "certificate": certificate })
        .to_string()
        .into_response()
}

async fn hold(State(fake): State<FakeC4>, headers: HeaderMap, body: Bytes) -> Response {
    let body: Value = serde_json::from_slice(&body).unwrap();
    let revision = body["revision"].as_i64().unwrap();
    let mut inside = fake.inside();
    inside.requests.push(("PUT", Some(revision)));
    inside.idempotency_keys.push(headers["idempotency-key"].to_str().unwrap().to_owned());
    let trick = inside.trick("PUT");
    if let Some(trick) = trick.clone().filter(|trick| !trick.obeys) {
        return trick.answer();
    }
    if let Some(refusal) = inside.refuses(revision) {
        return refusal;
    }
    inside.holds = Some(body);
    trick.map_or_else(|| StatusCode::NO_CONTENT.into_response(), Trick::answer)
}

async fn remove(
    State(fake): State<FakeC4>,
    Query(query): Query<std::collections::HashMap<String, i64>>,
) -> Response {
    let revision = query["revision"];
    let mut inside = fake.inside();
    inside.requests.push(("DELETE", Some(revision)));
    if let Some(trick) = inside.trick("DELETE") {
        return trick.answer();
    }
    if let Some(refusal) = inside.refuses(revision) {
        return refusal;
    }
    inside.holds = None;
    StatusCode::NO_CONTENT.into_response()
}
