//! The signed-in person. The cookie holds the session's own token, and the console stores nothing else: at each request
//! the API says whose session it is and whether it is still valid.
//!
//! A SameSite=Strict cookie does not come with a request that another site caused, so a link opened from a chat would
//! show the sign-in. Such a request is answered once with a page that loads the same address again, this time as our
//! own site's.

use std::time::Duration;

use axum::extract::FromRequestParts;
use axum::response::{IntoResponse, Redirect, Response};
use domain::{Action, Role, Roles};
use http::header::{COOKIE, HeaderValue, SET_COOKIE};
use http::request::Parts;
use http::{HeaderMap, Method};
use jiff::Timestamp;
use proto::{from_timestamp, v1};

use crate::App;
use crate::api::Token;
use crate::csrf;
use crate::pages::sign_in;
use crate::problem::Problem;
use crate::words;

/// How our cookies are called and marked.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cookies {
    /// Whether the browser speaks TLS with us or with the proxy before us.
    pub(crate) secure: bool,
}

impl Cookies {
    fn session_name(self) -> &'static str {
        // A browser takes a name with this prefix only with Secure, for the whole host and for it alone (RFC 6265bis).
        if self.secure { "__Host-ssl-manager" } else { "ssl-manager" }
    }

    /// The cookie that signs in.
    pub(crate) fn session(self, token: &str) -> HeaderValue {
        self.cookie(self.session_name(), token, "SameSite=Strict")
    }

    /// The cookie that signs out.
    pub(crate) fn no_session(self) -> HeaderValue {
        self.cookie(self.session_name(), "", "SameSite=Strict; Max-Age=0")
    }

    pub(crate) fn device_name(self) -> &'static str {
        if self.secure { "__Host-ssl-manager-device" } else { "ssl-manager-device" }
    }

    /// What the next sign-in on this browser shows.
    pub(crate) fn device(self, device: &str) -> HeaderValue {
        self.cookie(self.device_name(), device, "SameSite=Strict; Max-Age=15552000")
    }

    pub(crate) fn sign_in_name(self) -> &'static str {
        if self.secure { "__Secure-ssl-manager-sign-in" } else { "ssl-manager-sign-in" }
    }

    /// The cookie during a sign-in at the OpenID provider.
    pub(crate) fn sign_in(self, value: &str, lasts: Duration) -> HeaderValue {
        let rest = format!("SameSite=Lax; Max-Age={}", lasts.as_secs());
        self.cookie_below("/sign-in", self.sign_in_name(), value, &rest)
    }

    /// They are back.
    pub(crate) fn no_sign_in(self) -> HeaderValue {
        self.cookie_below("/sign-in", self.sign_in_name(), "", "SameSite=Lax; Max-Age=0")
    }

    /// The session cookie, kept until the browser is closed.
    pub(crate) fn passing(self, name: &str, value: &str) -> HeaderValue {
        self.cookie(name, value, "SameSite=Lax")
    }

    /// A preference, kept for a year.
    pub(crate) fn preference(self, name: &str, value: &str) -> HeaderValue {
        self.cookie(name, value, "SameSite=Lax; Max-Age=31536000")
    }

    fn cookie(self, name: &str, value: &str, rest: &str) -> HeaderValue {
        self.cookie_below("/", name, value, rest)
    }

    fn cookie_below(self, path: &str, name: &str, value: &str, rest: &str) -> HeaderValue {
        let secure = if self.secure { "; Secure" } else { "" };
        let text = format!("{name}={value}; Path={path}; HttpOnly; {rest}{secure}");
        // Unwrap safety: names are ours, and values are tokens of the API or words that were checked; where one is not a
        // header's text all the same, an empty cookie is set.
        HeaderValue::from_str(&text).unwrap_or_else(|_| HeaderValue::from_static(""))
    }
}

/// The value of a cookie.
pub(crate) fn cookie<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers
        .get_all(COOKIE)
        .iter()
        .filter_map(|header| header.to_str().ok())
        .flat_map(|header| header.split(';'))
        .filter_map(|pair| pair.trim().split_once('='))
        .find(|(found, value)| *found == name && !value.is_empty())
        .map(|(_, value)| value)
}

/// The signed-in person.
#[derive(Clone)]
pub(crate) struct Person {
    pub(crate) name: String,
    pub(crate) roles: Roles,
    pub(crate) token: Token,
    /// When the session ends if nothing more is done.
    pub(crate) idle_at: Timestamp,
    /// When it ends at the latest.
    pub(crate) expires_at: Timestamp,
}

impl Person {
    pub(crate) fn may(&self, action: Action) -> bool {
        self.roles.may(action)
    }

    /// An answer that says what these roles lack, unless it may do that.
    pub(crate) fn require(&self, action: Action) -> Result<(), Problem> {
        if self.may(action) {
            return Ok(());
        }
        let what = match action {
            Action::Read => "read this",
            Action::Operate => "change domains",
            Action::ReadKey => "take private keys out",
            Action::Revoke => "revoke certificates",
            Action::Pause => "pause requests to the CAs or to C4",
            Action::Administer => "open the administration",
            Action::Webhooks => "look at webhooks",
        };
        Err(Problem::not_yours(what, self.roles, &words::who_may(action)))
    }

    /// The CSRF value for forms of this session.
    pub(crate) fn csrf(&self, app: &App) -> String {
        csrf::masked(&self.token, &*app.process.entropy)
    }

    /// A session as the API told it; none if it is not complete.
    pub(crate) fn of(session: v1::Session, token: Token) -> Option<Self> {
        Some(Self {
            // A role of a newer API may at least look.
            roles: Roles::of(session.roles.iter().filter_map(|role| role.parse().ok()))
                .unwrap_or(Role::Viewer.into()),
            name: session.name,
            token,
            idle_at: from_timestamp(&session.idle_at?)?,
            expires_at: from_timestamp(&session.expires_at?)?,
        })
    }
}

/// The token that came with a request.
pub(crate) fn token(app: &App, headers: &HeaderMap) -> Option<Token> {
    cookie(headers, app.cookies.session_name()).map(|text| Token::new(text.to_owned()))
}

/// Asks the API whose token it is; none if it is no longer valid.
pub(crate) async fn resolve(app: &App, token: Token) -> Result<Option<Person>, Problem> {
    let turn = app.strangers.lookup(&token).await?;
    let answer = app.api.sessions(Some(&token)).resolve(v1::ResolveRequest {}).await;
    drop(turn);
    let person = whose(answer, token.clone())?;
    app.strangers.learn(&token, person.is_some());
    Ok(person)
}

/// The same for a page that stands open: it is no use of the session.
pub(crate) async fn resolve_in_the_background(app: &App, token: Token) -> Result<Option<Person>, Problem> {
    let mut sessions = app.api.sessions_in_the_background(&token);
    whose(sessions.resolve(v1::ResolveRequest {}).await, token)
}

fn whose(
    answer: Result<tonic::Response<v1::ResolveResponse>, tonic::Status>,
    token: Token,
) -> Result<Option<Person>, Problem> {
    match answer {
        Ok(answer) => Ok(answer.into_inner().session.and_then(|session| Person::of(session, token))),
        Err(status) if status.code() == tonic::Code::Unauthenticated => Ok(None),
        Err(status) => Err(status.into()),
    }
}

impl FromRequestParts<App> for Person {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Response> {
        let person = match token(app, &parts.headers) {
            Some(token) => resolve(app, token).await.map_err(IntoResponse::into_response)?,
            None => None,
        };
        person.ok_or_else(|| signed_out(parts))
    }
}

/// The answer to a request without a sign-in.
fn signed_out(parts: &Parts) -> Response {
    let here = here(parts);
    let is_cross_site = parts.headers.get("sec-fetch-site").is_some_and(|site| site == "cross-site");
    if parts.method == Method::GET && is_cross_site {
        return sign_in::once_more(&here);
    }
    // An event stream and what the script asks for want a status, not a page.
    if wants_no_page(&parts.headers) {
        return http::StatusCode::UNAUTHORIZED.into_response();
    }
    let to = sign_in::address(&here);
    Redirect::to(&to).into_response()
}

fn wants_no_page(headers: &HeaderMap) -> bool {
    let mode = headers.get("sec-fetch-mode");
    let accepts = headers.get(http::header::ACCEPT);
    mode.is_some_and(|mode| mode != "navigate")
        || accepts.is_some_and(|accepts| accepts.as_bytes().starts_with(b"text/event-stream"))
}

/// Path and query of a request.
pub(crate) fn here(parts: &Parts) -> String {
    let path = parts.uri.path_and_query();
    path.map_or_else(|| "/".to_owned(), ToString::to_string)
}

/// An answer with one more cookie.
pub(crate) fn with_cookie(mut response: Response, cookie: HeaderValue) -> Response {
    response.headers_mut().append(SET_COOKIE, cookie);
    response
}
