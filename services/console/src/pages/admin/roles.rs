//! The permissions of each role.

use askama::Template;
use axum::response::Response;

use super::require;
use crate::page::Frame;
use crate::problem::{Problem, html};

#[derive(Template)]
#[template(path = "admin/roles.html")]
struct RolesPage {
    frame: Frame,
}

/// Answers `/admin/roles`.
pub(super) async fn show(frame: Frame) -> Result<Response, Problem> {
    require(&frame)?;
    Ok(html(&RolesPage { frame }))
}
