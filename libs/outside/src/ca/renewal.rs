//! Renewal information (RFC 9773).

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::response::{IntoResponse, Json, Response};
use http::header;
use serde_json::json;

use super::problem::Problem;
use super::state::CaState;

/// How long a client may keep the answer.
const KEEP_SECONDS: u64 = 6 * 60 * 60;

/// The suggested window of a certificate: what a test set, else the last third of its life up to a day before its end.
pub(crate) async fn renewal_info(
    State(state): State<Arc<CaState>>,
    Path(id): Path<String>,
) -> Result<Response, Problem> {
    let set = state.behaviour().renewal_windows.get(&id).copied();
    let (start, end) = if let Some(window) = set {
        window
    } else {
        let issued = state.tables().issued.get(&id).copied();
        let (not_before, not_after) = issued.ok_or_else(|| Problem::not_found("certificate"))?;
        let third = not_after.duration_since(not_before) / 3;
        (not_after - third, not_after - third / 2)
    };
    let body = json!({ "suggestedWindow": { "start": start, "end": end } });
    Ok(([(header::RETRY_AFTER, KEEP_SECONDS.to_string())], Json(body)).into_response())
}
