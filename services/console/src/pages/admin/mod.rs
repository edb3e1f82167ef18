//! Administration: users, sessions, tokens, roles, the audit log and the settings. Every page and every form checks
//! the role `admin` itself, although the API checks it again.

mod audit;
mod roles;
mod sessions;
mod settings;
mod tokens;
mod users;

use askama::Template;
use axum::Router;
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::{get, post};
use domain::{Action, Role};
use http::StatusCode;
use proto::v1;
use url::form_urlencoded;

use super::domain::Troubles;
use crate::App;
use crate::form::Form;
use crate::page::Frame;
use crate::problem::{Problem, html};
use crate::row::Moment;
use crate::words::{self, instant};

/// The sections, with their names.
pub(crate) const PAGES: [(&str, &str); 6] = [
    ("/admin/users", "Users"),
    ("/admin/sessions", "Sessions"),
    ("/admin/tokens", "Tokens"),
    ("/admin/roles", "Roles"),
    ("/admin/audit", "Audit log"),
    ("/admin/settings", "Settings"),
];

pub(crate) fn routes() -> Router<App> {
    Router::new()
        .route("/admin", get(first))
        .route("/admin/users", get(users::list))
        .route("/admin/users/new", get(users::ask).post(users::create))
        .route("/admin/users/user", get(users::show).post(users::change))
        .route("/admin/sessions", get(sessions::list).post(sessions::end))
        .route("/admin/tokens", get(tokens::list))
        .route("/admin/tokens/new", get(tokens::ask).post(tokens::create))
        .route("/admin/tokens/revoke", get(tokens::ask_to_revoke).post(tokens::revoke))
        .route("/admin/roles", get(roles::show))
        .route("/admin/audit", get(audit::show))
        .route("/admin/audit/verify", post(audit::verify))
        .route("/admin/audit.csv", get(audit::csv))
        .route("/admin/audit.jsonl", get(audit::json_lines))
        .route("/admin/settings", get(settings::show))
}

/// Answers `/admin`.
async fn first(frame: Frame) -> Result<Response, Problem> {
    require(&frame)?;
    Ok(Redirect::to("/admin/users").into_response())
}

fn require(frame: &Frame) -> Result<(), Problem> {
    frame.person.require(Action::Administer)
}

/// `path` with one field in its query.
fn address(path: &str, field: &str, value: &str) -> String {
    let query = form_urlencoded::Serializer::new(String::new()).append_pair(field, value).finish();
    format!("{path}?{query}")
}

fn moment(frame: &Frame, at: Option<&prost_types::Timestamp>) -> Option<Moment> {
    instant(at).map(|at| Moment::time(at, &frame.zone))
}

/// A checkbox for a role.
struct RoleChoice {
    role: Role,
    may: String,
    is_chosen: bool,
}

fn choices(chosen: &[String]) -> Vec<RoleChoice> {
    let choice = |role: Role| RoleChoice {
        role,
        may: Action::ALL
            .into_iter()
            .filter(|action| role.may(*action))
            .map(words::may)
            .collect::<Vec<_>>()
            .join(", "),
        is_chosen: chosen.iter().any(|word| word == role.as_str()),
    };
    Role::ALL.map(choice).into()
}

fn ticked(form: &Form) -> Vec<String> {
    form.all("role").map(str::to_owned).collect()
}

/// Shows an error of the API beside the field that it is about, if the form has one.
fn troubles(status: tonic::Status, name_field: &'static str) -> Result<(StatusCode, Troubles), Problem> {
    let problem = Problem::from(status);
    let field = match problem.reason.as_str() {
        "ROLES_INVALID" => "role",
        "EXPIRY_INVALID" => "days",
        "USER_NAME_INVALID" | "USER_EXISTS" | "TOKEN_NAME_INVALID" | "TOKEN_EXISTS" => name_field,
        _ => "",
    };
    let is_forms =
        matches!(problem.status, StatusCode::BAD_REQUEST | StatusCode::CONFLICT | StatusCode::NOT_FOUND);
    if is_forms { Ok((problem.status, Troubles::one(field, problem.sentence))) } else { Err(problem) }
}

/// A page with a secret that is shown only once.
#[derive(Template)]
#[template(path = "admin/secret.html")]
struct SecretPage {
    frame: Frame,
    title: String,
    advice: String,
    secret: String,
    what: &'static str,
    back: &'static str,
    back_label: &'static str,
}

fn temporary_password(frame: Frame, name: &str, secret: String) -> Response {
    html(&SecretPage {
        frame,
        title: format!("Temporary password of {name}"),
        advice: format!(
            "Send it to {name} over a private channel. It is good for seven days, and the first sign-in replaces it."
        ),
        secret,
        what: "the temporary password",
        back: "/admin/users",
        back_label: "Back to users",
    })
}

fn token_text(frame: Frame, made: v1::CreateTokenResponse) -> Response {
    let name = made.token.map(|token| token.name).unwrap_or_default();
    html(&SecretPage {
        frame,
        title: format!("Token {name}"),
        advice: "Put it where the program reads it. It gives every holder its roles.".to_owned(),
        secret: made.text,
        what: "the token",
        back: "/admin/tokens",
        back_label: "Back to tokens",
    })
}
