//! ACME Renewal Information (RFC 9773).

use base64::prelude::{BASE64_URL_SAFE_NO_PAD, Engine};
use http::StatusCode;
use http::header::RETRY_AFTER;
use jiff::{SignedDuration, Timestamp};
use serde_json::json;

use super::certificates::{Certificate, serial_and_authority};
use super::problem::{Problem, insert};
use super::state::State;
use crate::serve::{Reply, json};

/// A revoked certificate is to be renewed at once: its window is this long and has just ended.
const REVOKED_WINDOW: SignedDuration = SignedDuration::from_hours(1);

/// When a certificate should be renewed, and why.
#[derive(Clone, Debug)]
pub(super) struct RenewalWindow {
    pub(super) start: Timestamp,
    pub(super) end: Timestamp,
    pub(super) explanation_url: Option<String>,
}

pub(super) fn renewal_info(state: &State, id: &str) -> Result<Reply, Problem> {
    if !is_certificate_identifier(id) {
        return Err(Problem::malformed("that is no certificate identifier of RFC 9773"));
    }
    let certificate =
        state.certificates.get(&id.to_owned()).ok_or_else(|| Problem::not_found("certificate"))?;
    let window = window_of(state, &certificate);
    certificate.note_told_window_start(window.start);
    let mut info = json!({
        "suggestedWindow": { "start": window.start.to_string(), "end": window.end.to_string() },
    });
    if let Some(url) = window.explanation_url {
        info["explanationURL"] = url.into();
    }
    let mut reply = json(StatusCode::OK, &info);
    let ask_again = state.knobs.ask_renewal_again_after();
    insert(&mut reply, RETRY_AFTER, &ask_again.as_secs().to_string());
    Ok(reply)
}

/// Whether now is within the suggested window of a certificate.
pub(super) fn is_window_open(state: &State, certificate: &Certificate) -> bool {
    let window = window_of(state, certificate);
    let now = state.now();
    window.start <= now && now < window.end
}

fn window_of(state: &State, certificate: &Certificate) -> RenewalWindow {
    if let Some(window) = state.knobs.renewal_window_of(&certificate.id, &certificate.names) {
        return window;
    }
    if let Some(end) = certificate.revoked_at() {
        let start = end.saturating_sub(REVOKED_WINDOW).unwrap_or(Timestamp::MIN);
        return RenewalWindow { start, end, explanation_url: None };
    }
    let lifetime = certificate.not_after.duration_since(certificate.not_before);
    let third = SignedDuration::from_secs(lifetime.as_secs() / 3);
    let start = certificate.not_after.saturating_sub(third).unwrap_or(certificate.not_before);
    RenewalWindow { start, end: certificate.not_after, explanation_url: None }
}

/// Two parts of base64url with a dot between them.
pub(super) fn is_certificate_identifier(id: &str) -> bool {
    let is_base64 = |part: &str| !part.is_empty() && BASE64_URL_SAFE_NO_PAD.decode(part).is_ok();
    id.split_once('.').is_some_and(|(authority, serial)| is_base64(authority) && is_base64(serial))
}

pub(super) fn identifier_of(der: &[u8]) -> Option<String> {
    let (serial, authority) = serial_and_authority(der)?;
    let encode = |part| BASE64_URL_SAFE_NO_PAD.encode(part);
    Some(format!("{}.{}", encode(authority), encode(serial)))
}
