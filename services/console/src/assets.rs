//! Style sheet, script and icon, named by their hash, so that browsers can cache them and still get new ones at once.

use axum::extract::Path;
use axum::response::{IntoResponse, Response};
use http::header::{ACCEPT_ENCODING, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_TYPE, VARY};
use http::{HeaderMap, StatusCode};

struct Asset {
    address: &'static str,
    content_type: &'static str,
    plain: &'static [u8],
    gzip: &'static [u8],
    brotli: &'static [u8],
}

include!(concat!(env!("OUT_DIR"), "/assets.rs"));

/// Answers `/assets/{file}`.
pub(crate) async fn asset(Path(file): Path<String>, headers: HeaderMap) -> Response {
    let found = ASSETS.iter().find(|asset| asset.address.strip_prefix("/assets/") == Some(file.as_str()));
    let Some(asset) = found else {
        return StatusCode::NOT_FOUND.into_response();
    };
    let accepted = headers.get(ACCEPT_ENCODING).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let (encoding, bytes) = if accepted.contains("br") {
        ("br", asset.brotli)
    } else if accepted.contains("gzip") {
        ("gzip", asset.gzip)
    } else {
        ("identity", asset.plain)
    };
    let headers = [
        (CONTENT_TYPE, asset.content_type),
        (CONTENT_ENCODING, encoding),
        (VARY, "accept-encoding"),
        (CACHE_CONTROL, "public, max-age=31536000, immutable"),
    ];
    (headers, bytes).into_response()
}
