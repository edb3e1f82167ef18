//! Tokens of programs.

use askama::Template;
use axum::body::Body;
use axum::extract::RawQuery;
use axum::response::{IntoResponse, Redirect, Response};
use http::StatusCode;
use proto::v1;

use super::{RoleChoice, address, choices, moment, require, ticked, token_text, troubles};
use crate::form::{Form, query};
use crate::page::Frame;
use crate::pages::domain::{Troubles, again};
use crate::problem::{Problem, html};
use crate::row::Moment;
use crate::words::instant;

const PATH: &str = "/admin/tokens";

struct Line {
    name: String,
    roles: String,
    state: &'static str,
    created: Option<Moment>,
    used: Option<Moment>,
    expires: Option<Moment>,
    /// The address for revoking it; none if it is revoked.
    revoke: Option<String>,
}

#[derive(Template)]
#[template(path = "admin/tokens.html")]
struct TokensPage {
    frame: Frame,
    lines: Vec<Line>,
}

fn state(frame: &Frame, token: &v1::Token) -> &'static str {
    let has_ended = instant(token.expires_at.as_ref()).is_some_and(|at| at <= frame.now);
    match (token.is_authentic, token.revoked_at.is_some(), has_ended) {
        (false, ..) => "Not valid: SSL Manager did not write this row",
        (true, true, _) => "Revoked",
        (true, false, true) => "Ended",
        (true, false, false) => "Valid",
    }
}

/// Answers `/admin/tokens`.
pub(super) async fn list(frame: Frame) -> Result<Response, Problem> {
    require(&frame)?;
    let tokens = frame.administration().list_tokens(v1::ListTokensRequest {}).await?.into_inner().tokens;
    let line = |token: v1::Token| Line {
        state: state(&frame, &token),
        revoke: token.revoked_at.is_none().then(|| address("/admin/tokens/revoke", "name", &token.name)),
        created: moment(&frame, token.created_at.as_ref()),
        used: moment(&frame, token.last_used_at.as_ref()),
        expires: moment(&frame, token.expires_at.as_ref()),
        roles: token.roles.join(", "),
        name: token.name,
    };
    let lines = tokens.into_iter().map(line).collect();
    Ok(html(&TokensPage { frame, lines }))
}

#[derive(Template)]
#[template(path = "admin/token_new.html")]
struct NewTokenPage {
    frame: Frame,
    troubles: Troubles,
    name: String,
    days: String,
    choices: Vec<RoleChoice>,
}

/// Answers `/admin/tokens/new`.
pub(super) async fn ask(frame: Frame) -> Result<Response, Problem> {
    require(&frame)?;
    Ok(html(&NewTokenPage {
        frame,
        troubles: Troubles::default(),
        name: String::new(),
        days: String::new(),
        choices: choices(&[]),
    }))
}

/// Creates a token and shows it.
pub(super) async fn create(frame: Frame, body: Body) -> Result<Response, Problem> {
    require(&frame)?;
    let form = Form::of(&frame.person, body).await?;
    let (name, days, roles) =
        (form.get("name").to_owned(), form.get("days").trim().to_owned(), ticked(&form));
    let expires_in_days = match days.as_str() {
        "" => Some(0),
        text => text.parse::<u32>().ok().filter(|days| *days > 0),
    };
    let Some(expires_in_days) = expires_in_days else {
        let troubles = Troubles::one("days", "Write a number of days, or leave the field empty.");
        let choices = choices(&roles);
        let page = NewTokenPage { frame, troubles, name, days, choices };
        return Ok(again(StatusCode::UNPROCESSABLE_ENTITY, &page));
    };
    let request = v1::CreateTokenRequest { name: name.clone(), roles: roles.clone(), expires_in_days };
    match frame.administration().create_token(request).await {
        Ok(made) => Ok(token_text(frame, made.into_inner())),
        Err(status) => {
            let (status, troubles) = troubles(status, "name")?;
            let choices = choices(&roles);
            Ok(again(status, &NewTokenPage { frame, troubles, name, days, choices }))
        }
    }
}

#[derive(Template)]
#[template(path = "admin/token_revoke.html")]
struct RevokePage {
    frame: Frame,
    troubles: Troubles,
    name: String,
}

/// Answers `/admin/tokens/revoke?name=…`.
pub(super) async fn ask_to_revoke(frame: Frame, RawQuery(text): RawQuery) -> Result<Response, Problem> {
    require(&frame)?;
    let name = query(text.as_deref()).remove("name").unwrap_or_default();
    Ok(html(&RevokePage { frame, troubles: Troubles::default(), name }))
}

/// Revokes.
pub(super) async fn revoke(frame: Frame, body: Body) -> Result<Response, Problem> {
    require(&frame)?;
    let form = Form::of(&frame.person, body).await?;
    let name = form.get("name").to_owned();
    match frame.administration().revoke_token(v1::RevokeTokenRequest { name: name.clone() }).await {
        Ok(_) => Ok(Redirect::to(&format!("{PATH}?done=token-revoked")).into_response()),
        Err(status) => {
            let (status, troubles) = troubles(status, "")?;
            Ok(again(status, &RevokePage { frame, troubles, name }))
        }
    }
}
