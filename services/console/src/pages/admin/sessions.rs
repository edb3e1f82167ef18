//! Sessions: who is signed in, and ending sessions.

use askama::Template;
use axum::body::Body;
use axum::extract::RawQuery;
use axum::response::{IntoResponse, Redirect, Response};
use proto::v1;
use url::form_urlencoded;

use super::{address, moment, require, troubles};
use crate::form::{Form, query};
use crate::page::Frame;
use crate::pages::domain::{Troubles, again};
use crate::problem::{Problem, html};
use crate::row::Moment;

const PATH: &str = "/admin/sessions";
const PAGE_SIZE: i32 = 200;

struct Line {
    id: String,
    user: String,
    address: String,
    roles: String,
    created: Option<Moment>,
    since: String,
    used: Option<Moment>,
    expires: Option<Moment>,
    is_own: bool,
}

#[derive(Template)]
#[template(path = "admin/sessions.html")]
struct SessionsPage {
    frame: Frame,
    troubles: Troubles,
    /// The user whose sessions are shown; empty for all.
    user: String,
    lines: Vec<Line>,
    next: Option<String>,
}

impl SessionsPage {
    async fn read(frame: Frame, user: String, page: String) -> Result<Self, Problem> {
        let request = v1::ListSessionsRequest { user: user.clone(), page_size: PAGE_SIZE, page_token: page };
        let answer = frame.administration().list_sessions(request).await?.into_inner();
        let line = |session: v1::UserSession| {
            let created = moment(&frame, session.created_at.as_ref());
            Line {
                since: created.as_ref().map(|at| at.shown.clone()).unwrap_or_default(),
                created,
                used: moment(&frame, session.used_at.as_ref()),
                expires: moment(&frame, session.expires_at.as_ref()),
                address: address(PATH, "user", &session.user),
                roles: session.roles.join(", "),
                id: session.id,
                user: session.user,
                is_own: session.is_own,
            }
        };
        let lines = answer.sessions.into_iter().map(line).collect();
        let mut rest = form_urlencoded::Serializer::new(String::new());
        if !user.is_empty() {
            rest.append_pair("user", &user);
        }
        let next = (!answer.next_page_token.is_empty())
            .then(|| format!("{PATH}?{}", rest.append_pair("page", &answer.next_page_token).finish()));
        Ok(Self { frame, troubles: Troubles::default(), user, lines, next })
    }
}

/// Answers `/admin/sessions`.
pub(super) async fn list(frame: Frame, RawQuery(text): RawQuery) -> Result<Response, Problem> {
    require(&frame)?;
    let mut asked = query(text.as_deref());
    let mut take = |field: &str| asked.remove(field).unwrap_or_default();
    let (user, page) = (take("user"), take("page"));
    Ok(html(&SessionsPage::read(frame, user, page).await?))
}

/// Ends one session, or all sessions of a user.
pub(super) async fn end(frame: Frame, body: Body) -> Result<Response, Problem> {
    require(&frame)?;
    let form = Form::of(&frame.person, body).await?;
    let (id, user) = (form.get("id").to_owned(), form.get("user").to_owned());
    let done = if user.is_empty() { "session-ended" } else { "sessions-ended" };
    match frame.administration().end_session(v1::EndSessionRequest { id, user }).await {
        Ok(_) => Ok(Redirect::to(&format!("{PATH}?done={done}")).into_response()),
        Err(status) => {
            let (status, troubles) = troubles(status, "")?;
            let page = SessionsPage::read(frame, String::new(), String::new()).await?;
            Ok(again(status, &SessionsPage { troubles, ..page }))
        }
    }
}
