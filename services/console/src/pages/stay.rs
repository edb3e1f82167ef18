//! Stays signed in without leaving the page: the request itself counts as use of the session.

use axum::Json;
use serde_json::{Value, json};

use crate::page::Frame;

/// Answers `/stay` with when the session ends now.
pub(crate) async fn stay(frame: Frame) -> Json<Value> {
    let ends_at = frame.person.idle_at.min(frame.person.expires_at);
    Json(json!({ "ends_at": ends_at.to_string() }))
}
