//! Users: the list, adding a user, changing a user.

use askama::Template;
use axum::body::Body;
use axum::extract::RawQuery;
use axum::response::{IntoResponse, Redirect, Response};
use http::StatusCode;
use proto::v1;

use super::{RoleChoice, address, choices, moment, require, temporary_password, ticked, troubles};
use crate::form::{Form, query};
use crate::page::Frame;
use crate::pages::domain::{Troubles, again};
use crate::problem::{Problem, html};
use crate::row::Moment;
use crate::words::{self, instant};

const PAGE: &str = "/admin/users/user";

struct Line {
    name: String,
    /// None for people managed by the OpenID provider.
    address: Option<String>,
    roles: String,
    access: String,
    sessions: String,
    sessions_address: String,
    created: Option<Moment>,
}

#[derive(Template)]
#[template(path = "admin/users.html")]
struct UsersPage {
    frame: Frame,
    lines: Vec<Line>,
}

async fn users(frame: &Frame) -> Result<Vec<v1::User>, Problem> {
    Ok(frame.administration().list_users(v1::ListUsersRequest {}).await?.into_inner().users)
}

fn access(frame: &Frame, user: &v1::User) -> String {
    match user.access() {
        v1::UserAccess::Password => "With a password".to_owned(),
        v1::UserAccess::TemporaryPassword => match instant(user.temporary_until.as_ref()) {
            Some(until) => format!("With a temporary password until {}", frame.zone.time(until)),
            None => "With a temporary password".to_owned(),
        },
        v1::UserAccess::Provider => "Through the OpenID provider".to_owned(),
        v1::UserAccess::NotAuthentic => "Not at all: SSL Manager did not write this row".to_owned(),
        v1::UserAccess::None | v1::UserAccess::Unspecified => "Not at all: disabled".to_owned(),
    }
}

/// Answers `/admin/users`.
pub(super) async fn list(frame: Frame) -> Result<Response, Problem> {
    require(&frame)?;
    let line = |user: v1::User| Line {
        address: (user.access() != v1::UserAccess::Provider).then(|| address(PAGE, "name", &user.name)),
        access: access(&frame, &user),
        sessions: words::number(user.sessions.into()),
        sessions_address: address("/admin/sessions", "user", &user.name),
        created: moment(&frame, user.created_at.as_ref()),
        roles: user.roles.join(", "),
        name: user.name,
    };
    let lines = users(&frame).await?.into_iter().map(line).collect();
    Ok(html(&UsersPage { frame, lines }))
}

#[derive(Template)]
#[template(path = "admin/user_new.html")]
struct NewUserPage {
    frame: Frame,
    troubles: Troubles,
    name: String,
    choices: Vec<RoleChoice>,
}

/// Answers `/admin/users/new`.
pub(super) async fn ask(frame: Frame) -> Result<Response, Problem> {
    require(&frame)?;
    let (troubles, choices) = (Troubles::default(), choices(&[]));
    Ok(html(&NewUserPage { frame, troubles, name: String::new(), choices }))
}

/// Adds a user and shows the temporary password.
pub(super) async fn create(frame: Frame, body: Body) -> Result<Response, Problem> {
    require(&frame)?;
    let form = Form::of(&frame.person, body).await?;
    let (name, roles) = (form.get("name").to_owned(), ticked(&form));
    let request = v1::CreateUserRequest { name: name.clone(), roles: roles.clone() };
    match frame.administration().create_user(request).await {
        Ok(made) => Ok(temporary_password(frame, &name, made.into_inner().temporary_password)),
        Err(status) => {
            let (status, troubles) = troubles(status, "name")?;
            let choices = choices(&roles);
            Ok(again(status, &NewUserPage { frame, troubles, name, choices }))
        }
    }
}

#[derive(Template)]
#[template(path = "admin/user.html")]
struct UserPage {
    frame: Frame,
    troubles: Troubles,
    name: String,
    address: String,
    access: String,
    sessions: String,
    sessions_address: String,
    created: Option<Moment>,
    choices: Vec<RoleChoice>,
    is_own: bool,
    is_active: bool,
}

impl UserPage {
    async fn read(frame: Frame, name: &str) -> Result<Self, Problem> {
        let user = users(&frame).await?.into_iter().find(|user| user.name == name);
        let user = user.filter(|user| user.access() != v1::UserAccess::Provider).ok_or_else(|| {
            let sentence = format!("There is no user {name} here. The users are on the page Users.");
            Problem::new(StatusCode::NOT_FOUND, "USER_NOT_FOUND", sentence)
        })?;
        Ok(Self {
            troubles: Troubles::default(),
            address: address(PAGE, "name", &user.name),
            access: access(&frame, &user),
            sessions: words::number(user.sessions.into()),
            sessions_address: address("/admin/sessions", "user", &user.name),
            created: moment(&frame, user.created_at.as_ref()),
            choices: choices(&user.roles),
            is_own: frame.person.name == user.name,
            is_active: matches!(user.access(), v1::UserAccess::Password | v1::UserAccess::TemporaryPassword),
            name: user.name,
            frame,
        })
    }
}

fn asked_name(text: Option<&str>) -> String {
    query(text).remove("name").unwrap_or_default()
}

/// Answers `/admin/users/user?name=…`: a name may contain any character, so it is not part of the path.
pub(super) async fn show(frame: Frame, RawQuery(text): RawQuery) -> Result<Response, Problem> {
    require(&frame)?;
    Ok(html(&UserPage::read(frame, &asked_name(text.as_deref())).await?))
}

/// Changes roles, resets the password, disables or deletes the user.
pub(super) async fn change(frame: Frame, RawQuery(text): RawQuery, body: Body) -> Result<Response, Problem> {
    require(&frame)?;
    let form = Form::of(&frame.person, body).await?;
    let name = asked_name(text.as_deref());
    let mut client = frame.administration();
    let action = form.get("action");
    let unsure = ["reset", "disable", "delete"].into_iter().find(|word| *word == action);
    if let Some(field) = unsure.filter(|_| !form.is_set("sure")) {
        let troubles = Troubles::one(field, "Tick the box if that is what you want.");
        let page = UserPage { troubles, ..UserPage::read(frame, &name).await? };
        return Ok(again(StatusCode::UNPROCESSABLE_ENTITY, &page));
    }
    let roles = ticked(&form);
    let done = match action {
        "roles" => {
            let request = v1::SetUserRolesRequest { name: name.clone(), roles: roles.clone() };
            client.set_user_roles(request).await.map(|_| "user-roles")
        }
        "reset" => match client.reset_password(v1::ResetPasswordRequest { name: name.clone() }).await {
            Ok(reset) => {
                let password = reset.into_inner().temporary_password;
                return Ok(temporary_password(frame, &name, password));
            }
            Err(status) => Err(status),
        },
        "disable" => {
            client.disable_user(v1::DisableUserRequest { name: name.clone() }).await.map(|_| "user-disabled")
        }
        "delete" => match client.delete_user(v1::DeleteUserRequest { name: name.clone() }).await {
            Ok(_) => return Ok(Redirect::to("/admin/users?done=user-deleted").into_response()),
            Err(status) => Err(status),
        },
        _ => {
            let sentence = "Open the page again and send the form from there.";
            return Err(Problem::new(StatusCode::BAD_REQUEST, "ACTION_UNKNOWN", sentence));
        }
    };
    match done {
        Ok(done) => {
            Ok(Redirect::to(&format!("{}&done={done}", address(PAGE, "name", &name))).into_response())
        }
        Err(status) => {
            let (status, troubles) = troubles(status, "")?;
            let mut page = UserPage { troubles, ..UserPage::read(frame, &name).await? };
            if action == "roles" {
                page.choices = choices(&roles);
            }
            Ok(again(status, &page))
        }
    }
}
