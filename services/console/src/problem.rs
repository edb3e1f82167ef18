//! Error pages: a sentence that says what to do, and never more than the API said.

use std::time::Duration;

use askama::Template;
use axum::response::{Html, IntoResponse, Redirect, Response};
use domain::Roles;
use http::StatusCode;
use http::header::{HeaderValue, RETRY_AFTER};
use tonic::Code;
use tonic_types::StatusExt;

use crate::assets;
use crate::page::Contact;

tokio::task_local! {
    /// The contact for users who need help, for the pages of this task.
    pub(crate) static SUPPORT_CONTACT: String;
}

/// The reason where no API answers at all.
const API_AWAY: &str = "API_AWAY";

/// Why there is no answer, in the words of the API.
#[derive(Clone, Debug)]
pub(crate) struct Problem {
    pub(crate) status: StatusCode,
    /// As in `google.rpc.ErrorInfo`, for example `DOMAIN_NOT_FOUND`.
    pub(crate) reason: String,
    pub(crate) sentence: String,
    pub(crate) retry_after: Option<Duration>,
}

impl Problem {
    pub(crate) fn new(status: StatusCode, reason: &str, sentence: impl Into<String>) -> Self {
        Self { status, reason: reason.to_owned(), sentence: sentence.into(), retry_after: None }
    }

    /// The signed-in person lacks the role for that; names the roles that have it.
    pub(crate) fn not_yours(what: &str, roles: Roles, needed: &str) -> Self {
        let sentence = format!(
            "You may not {what}: that needs the role {needed}, and yours is {roles}. Ask an administrator if you need it."
        );
        Self::new(StatusCode::FORBIDDEN, "ROLE_LACKS_PERMISSION", sentence)
    }

    pub(crate) fn no_page() -> Self {
        Self::new(
            StatusCode::NOT_FOUND,
            "NO_SUCH_PAGE",
            "There is no such page. Check the address, or go to the list.",
        )
    }

    /// Whether the API cannot be reached, rather than having said no.
    pub(crate) fn is_away(&self) -> bool {
        self.status == StatusCode::SERVICE_UNAVAILABLE
    }

    /// Says when to come again, where that is known.
    pub(crate) fn say_when(&self, response: &mut Response) {
        if let Some(wait) = self.retry_after {
            let seconds = HeaderValue::from(wait.as_secs().max(1));
            response.headers_mut().insert(RETRY_AFTER, seconds);
        }
    }

    fn title(&self) -> &'static str {
        match self.status {
            StatusCode::NOT_FOUND => "Not found",
            StatusCode::FORBIDDEN => "Not allowed",
            StatusCode::SERVICE_UNAVAILABLE if self.reason == API_AWAY => "The API does not answer",
            StatusCode::SERVICE_UNAVAILABLE => "Not possible at the moment",
            StatusCode::TOO_MANY_REQUESTS => "Too much at once",
            status if status.is_client_error() => "That did not work",
            _ => "Trouble on our side",
        }
    }
}

impl From<tonic::Status> for Problem {
    fn from(status: tonic::Status) -> Self {
        let details = status.get_error_details();
        let reason = details.error_info().map(|info| info.reason.clone());
        let code = match status.code() {
            Code::NotFound => StatusCode::NOT_FOUND,
            Code::PermissionDenied => StatusCode::FORBIDDEN,
            Code::Unauthenticated => StatusCode::UNAUTHORIZED,
            Code::InvalidArgument | Code::OutOfRange => StatusCode::BAD_REQUEST,
            Code::FailedPrecondition | Code::Aborted | Code::AlreadyExists => StatusCode::CONFLICT,
            Code::ResourceExhausted => StatusCode::TOO_MANY_REQUESTS,
            Code::Unavailable | Code::DeadlineExceeded | Code::Cancelled => StatusCode::SERVICE_UNAVAILABLE,
            _ => StatusCode::INTERNAL_SERVER_ERROR,
        };
        let (reason, sentence) = match reason {
            Some(reason) => (reason, sentence(status.message())),
            // Without a reason it was not the API that spoke, but the connection to it.
            None if code == StatusCode::SERVICE_UNAVAILABLE || status.code() == Code::Unknown => {
                return Self::new(
                    StatusCode::SERVICE_UNAVAILABLE,
                    API_AWAY,
                    "The API does not answer at the moment. Nothing is lost; this page retries by itself.",
                );
            }
            None => ("INTERNAL".to_owned(), "Trouble on our side. Try again in a moment.".to_owned()),
        };
        Self {
            status: code,
            reason,
            sentence,
            retry_after: details.retry_info().and_then(|info| info.retry_delay),
        }
    }
}

/// The API's sentences begin in lower case, as errors do in a log; on a page they begin in upper case and end.
pub(crate) fn sentence(text: &str) -> String {
    let mut characters = text.chars();
    let Some(first) = characters.next() else {
        return String::new();
    };
    let mut sentence: String = first.to_uppercase().chain(characters).collect();
    if !sentence.ends_with(['.', '!', '?']) {
        sentence.push('.');
    }
    sentence
}

#[derive(Template)]
#[template(path = "problem.html")]
struct ProblemPage<'a> {
    style: &'static str,
    icon: &'static str,
    title: &'static str,
    problem: &'a Problem,
    contact: Contact<'a>,
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        if self.status == StatusCode::UNAUTHORIZED {
            return Redirect::to("/sign-in").into_response();
        }
        let contact = SUPPORT_CONTACT.try_with(Clone::clone).unwrap_or_default();
        let page = ProblemPage {
            style: assets::STYLE,
            icon: assets::ICON,
            title: self.title(),
            problem: &self,
            contact: Contact(&contact),
        };
        let mut response = (self.status, html(&page)).into_response();
        self.say_when(&mut response);
        response
    }
}

/// A page's text; a template that cannot be rendered is a bug that one page shows and the log names.
pub(crate) fn html(template: &impl Template) -> Response {
    match template.render() {
        Ok(text) => Html(text).into_response(),
        Err(error) => {
            tracing::error!(error = &error as &dyn std::error::Error, "page not rendered");
            (StatusCode::INTERNAL_SERVER_ERROR, "Trouble on our side.").into_response()
        }
    }
}
