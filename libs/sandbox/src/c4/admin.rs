//! Domains over HTTP, for a C4 in its own process.

use std::sync::Arc;

use http::{Method, StatusCode};
use serde::Deserialize;
use serde_json::json;

use super::C4Domain;
use super::control::C4Control;
use super::state::State;
use crate::serve::{Reply, Request, empty, json};

#[derive(Deserialize)]
struct PutDomain {
    name: String,
    #[serde(flatten)]
    domain: C4Domain,
}

pub(super) fn answer(state: &Arc<State>, request: &Request) -> Reply {
    let control = C4Control(state.clone());
    let path = request.uri().path().strip_prefix("/sandbox/domains").unwrap_or_default();
    match (request.method(), path.strip_prefix('/')) {
        (&Method::GET, None) => json(StatusCode::OK, &json!({ "domains": control.domains() })),
        (&Method::POST, None) => match serde_json::from_slice::<PutDomain>(request.body()) {
            Ok(put) => {
                control.put_domain(&put.name, put.domain);
                empty(StatusCode::NO_CONTENT)
            }
            Err(error) => json(StatusCode::BAD_REQUEST, &json!({ "message": error.to_string() })),
        },
        (&Method::DELETE, Some(name)) => {
            control.remove_domain(name);
            empty(StatusCode::NO_CONTENT)
        }
        _ => empty(StatusCode::NOT_FOUND),
    }
}
