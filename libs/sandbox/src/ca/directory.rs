//! The directory (RFC 8555 section 7.1.1), with profiles and `renewalInfo`.

use http::StatusCode;
use serde_json::{Map, Value, json};

use super::state::State;
use crate::serve::{Reply, json};

pub(super) fn directory(state: &State, base: &str) -> Reply {
    let profiles: Map<String, Value> = state
        .knobs
        .profiles()
        .into_iter()
        .map(|(name, lifetime)| {
            let description = format!("{base}docs/profiles#{name} (valid for {}s)", lifetime.as_secs());
            (name, description.into())
        })
        .collect();
    let mut meta = json!({
        "termsOfService": format!("{base}terms"),
        "caaIdentities": state.caa_identities,
        "externalAccountRequired": !state.eab.is_empty(),
    });
    if !profiles.is_empty() {
        meta["profiles"] = profiles.into();
    }
    let directory = json!({
        "newNonce": format!("{base}new-nonce"),
        "newAccount": format!("{base}new-account"),
        "newOrder": format!("{base}new-order"),
        "revokeCert": format!("{base}revoke-cert"),
        "keyChange": format!("{base}key-change"),
        "renewalInfo": format!("{base}renewal-info"),
        "meta": meta,
    });
    json(StatusCode::OK, &directory)
}
