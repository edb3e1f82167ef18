//! The pages, a file each.

pub(crate) mod add;
pub(crate) mod admin;
pub(crate) mod bulk;
pub(crate) mod clock;
pub(crate) mod domain;
pub(crate) mod export;
pub(crate) mod help;
pub(crate) mod job;
pub(crate) mod list;
pub(crate) mod message;
pub(crate) mod midnight;
pub(crate) mod oidc;
pub(crate) mod overview;
pub(crate) mod sign_in;
pub(crate) mod stay;
pub(crate) mod webhooks;

use axum::response::{IntoResponse, Redirect, Response};
use http::Uri;

use crate::problem::Problem;

/// Answers `/domains`, which is how other systems link to a list: the list is at `/`.
pub(crate) async fn domains(uri: Uri) -> Response {
    let query = uri.query().map(|query| format!("?{query}")).unwrap_or_default();
    Redirect::permanent(&format!("/{query}")).into_response()
}

/// For an address that is none.
pub(crate) async fn no_page() -> Problem {
    Problem::no_page()
}
