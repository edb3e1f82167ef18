//! Signing in and out.

use askama::Template;
use axum::body::Body;
use axum::extract::{RawQuery, State};
use axum::response::{IntoResponse, Redirect, Response};
use http::header::HeaderName;
use http::{HeaderMap, StatusCode};
use proto::v1;
use runtime::Current;
use url::form_urlencoded;

use crate::App;
use crate::api::Token;
use crate::assets;
use crate::form::{Form, query};
use crate::page::{Contact, Frame};
use crate::problem::{Problem, html};
use crate::session::{Cookies, cookie, with_cookie};
use crate::words;

#[derive(Template)]
#[template(path = "sign_in.html")]
struct SignInPage<'a> {
    style: &'static str,
    script: &'static str,
    icon: &'static str,
    /// The error of the previous attempt.
    trouble: &'a str,
    name: &'a str,
    to: &'a str,
    /// Whether a new password is chosen.
    is_new: bool,
    /// Where it is, or is not.
    other: String,
    /// The OpenID provider, if there is one.
    provider: Option<ProviderLink<'a>>,
    contact: Contact<'a>,
}

struct ProviderLink<'a> {
    label: &'a str,
    address: String,
}

#[derive(Template)]
#[template(path = "once_more.html")]
struct OnceMore<'a> {
    to: &'a str,
}

/// The path and query of one of our own pages, or the list where it is none: a sign-in leads nowhere else.
pub(crate) fn own_path(to: &str) -> String {
    let is_own = to.starts_with('/')
        && !to.starts_with("//")
        && !to.starts_with("/\\")
        && !to.bytes().any(|byte| byte.is_ascii_control() || byte == b'\\');
    let is_sign_in = to == "/sign-in" || to.starts_with("/sign-in?") || to.starts_with("/sign-in/");
    if is_own && !is_sign_in { to.to_owned() } else { "/".to_owned() }
}

/// The sign-in that leads back to `here`.
pub(crate) fn address(here: &str) -> String {
    leading_to("/sign-in", here)
}

fn leading_to(path: &str, to: &str) -> String {
    let mut query = form_urlencoded::Serializer::new(String::new());
    query.append_pair("to", to);
    format!("{path}?{}", query.finish())
}

/// A page that loads an address of ours again, as our own.
pub(crate) fn once_more(here: &str) -> Response {
    html(&OnceMore { to: &own_path(here) })
}

/// The form.
pub(crate) async fn show(State(app): State<App>, RawQuery(text): RawQuery) -> Response {
    let query = query(text.as_deref());
    let to = own_path(query.get("to").map_or("/", String::as_str));
    page(&app, "", "", &to, query.contains_key("new"))
}

/// The form, with what went wrong at the OpenID provider.
pub(crate) fn trouble_page(app: &App, status: StatusCode, trouble: &str, to: &str) -> Response {
    (status, page(app, trouble, "", to, false)).into_response()
}

fn page(app: &App, trouble: &str, name: &str, to: &str, is_new: bool) -> Response {
    let provider = app.provider.as_ref().map(Current::get);
    let provider = provider
        .as_ref()
        .map(|provider| ProviderLink { label: &provider.label, address: leading_to("/sign-in/oidc", to) });
    html(&SignInPage {
        style: assets::STYLE,
        script: assets::SCRIPT,
        icon: assets::ICON,
        trouble,
        name,
        to,
        is_new,
        other: if is_new { address(to) } else { format!("{}&new=1", address(to)) },
        provider,
        contact: Contact(&app.process.config.console.support_contact),
    })
}

/// Signs in, or says why not; every cause that has to do with name or password reads the same.
pub(crate) async fn sign_in(
    State(app): State<App>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let form = Form::of_stranger(&app.strangers, body).await?;
    let to = own_path(form.get("to"));
    let name = form.get("name");
    if form.get("new_password") != form.get("new_again") {
        let page = page(&app, words::NEW_PASSWORDS_DIFFER, name, &to, true);
        return Ok((StatusCode::UNPROCESSABLE_ENTITY, page).into_response());
    }
    let request = v1::SignInRequest {
        name: name.to_owned(),
        password: form.get("password").to_owned(),
        device: cookie(&headers, app.cookies.device_name()).unwrap_or_default().to_owned(),
        new_password: form.get("new_password").to_owned(),
    };
    let answer = match app.strangers.sign_in().await {
        Ok(_turn) => app.api.sign_in().sign_in(request).await.map_err(Problem::from),
        Err(busy) => Err(busy),
    };
    match answer {
        Ok(answer) => {
            let answer = answer.into_inner();
            let entered = enter(app.cookies, &Token::new(answer.token), &to);
            Ok(if answer.device.is_empty() {
                entered
            } else {
                with_cookie(entered, app.cookies.device(&answer.device))
            })
        }
        Err(problem) => {
            let trouble = match problem.status {
                StatusCode::UNAUTHORIZED => words::SIGN_IN_FAILED.to_owned(),
                StatusCode::TOO_MANY_REQUESTS if problem.reason == "SIGN_IN_THROTTLED" => {
                    words::throttled(problem.retry_after)
                }
                _ if problem.reason == "PASSWORD_TEMPORARY" => words::CHOOSE_A_PASSWORD.to_owned(),
                _ => problem.sentence.clone(),
            };
            let is_new = form.is_set("new") || problem.reason == "PASSWORD_TEMPORARY";
            // A browser's password manager takes 200 for a sign-in that went well.
            let status = if problem.status == StatusCode::UNAUTHORIZED {
                StatusCode::UNPROCESSABLE_ENTITY
            } else {
                problem.status
            };
            let mut response = (status, page(&app, &trouble, name, &to, is_new)).into_response();
            problem.say_when(&mut response);
            Ok(response)
        }
    }
}

/// Into the page, with the session's cookie.
pub(crate) fn enter(cookies: Cookies, token: &Token, to: &str) -> Response {
    with_cookie(Redirect::to(to).into_response(), cookies.session(token.expose()))
}

/// Ends the session, or every session of this person.
pub(crate) async fn sign_out(State(app): State<App>, frame: Frame, body: Body) -> Result<Response, Problem> {
    let form = Form::of(&frame.person, body).await?;
    let mut sessions = app.api.sessions(Some(&frame.person.token));
    if form.is_set("everywhere") {
        sessions.sign_out_everywhere(v1::SignOutEverywhereRequest {}).await?;
    } else {
        sessions.sign_out(v1::SignOutRequest {}).await?;
    }
    let left = with_cookie(Redirect::to("/sign-in").into_response(), app.cookies.no_session());
    // What the browser kept of our pages goes, so that Back shows nothing.
    let clear = (HeaderName::from_static("clear-site-data"), "\"cache\"");
    Ok(([clear], left).into_response())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sign_in_leads_to_our_own_pages_only() {
        for own in ["/", "/?q=shop", "/domains/shop.example.com", "/overview"] {
            assert_eq!(own_path(own), own);
        }
        for other in [
            "",
            "https://evil.example/",
            "//evil.example",
            "/\\evil.example",
            "/a\\b",
            "/a\r\nb",
            "javascript:alert(1)",
            "/sign-in?to=/sign-in",
            "evil",
        ] {
            assert_eq!(own_path(other), "/", "{other}");
        }
    }
}
