//! A few of the controls over HTTP, for a CA in its own process. Any client that reaches the CA may use them.

use std::sync::Arc;
use std::time::Duration;

use http::{Method, StatusCode};
use serde::Deserialize;
use serde_json::json;

use super::control::CaControl;
use super::oddities_over_http::Switch;
use super::state::State;
use super::{Endpoint, ValidationResult};
use crate::serve::{Reply, Request, json, reply, text};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Change {
    down: Option<bool>,
    reject_nonces: Option<u8>,
    lifetime_seconds: Option<u64>,
    delay_milliseconds: Option<u64>,
    /// Validates nothing and finds everything valid.
    validate_nothing: Option<bool>,
    drop_answer: Option<Endpoint>,
    #[serde(default)]
    expire_orders: bool,
    /// What real CAs do, one after the other.
    #[serde(default)]
    switches: Vec<Switch>,
}

pub(super) fn answer(state: &Arc<State>, request: &Request) -> Reply {
    let control = CaControl(state.clone());
    match (request.method(), request.uri().path()) {
        (&Method::GET, "/sandbox/issuing-root.pem") => {
            reply(StatusCode::OK, "application/x-pem-file", state.issuer.root_pem().to_owned())
        }
        (&Method::GET, "/sandbox/control") => json(StatusCode::OK, &counters(&control)),
        (&Method::POST, "/sandbox/control") => match serde_json::from_slice(request.body()) {
            Ok(change) => {
                apply(&control, &change);
                json(StatusCode::OK, &counters(&control))
            }
            Err(error) => text(StatusCode::BAD_REQUEST, format!("{error}\n")),
        },
        _ => text(StatusCode::NOT_FOUND, "no such resource\n"),
    }
}

fn counters(control: &CaControl) -> serde_json::Value {
    json!({
        "requests": control.requests(),
        "orders_placed": control.orders_placed(),
        "refused_us": control.refused_us(),
        "certificates_issued": control.certificates_issued(),
    })
}

fn apply(control: &CaControl, change: &Change) {
    if let Some(down) = change.down {
        control.down(down);
    }
    if let Some(percent) = change.reject_nonces {
        control.reject_nonces(percent);
    }
    if let Some(seconds) = change.lifetime_seconds {
        control.set_lifetime(Duration::from_secs(seconds));
    }
    if let Some(milliseconds) = change.delay_milliseconds {
        control.delay(Duration::from_millis(milliseconds));
    }
    match change.validate_nothing {
        Some(true) => control.validation_default(ValidationResult::Valid),
        Some(false) => control.validation_default(ValidationResult::Real),
        None => {}
    }
    if let Some(endpoint) = change.drop_answer {
        control.drop_answer(endpoint);
    }
    if change.expire_orders {
        control.expire_orders();
    }
    for switch in &change.switches {
        switch.turn(control);
    }
}
