//! The pages of one domain: its state, and all actions on it. Each action has its own page, and the role is checked
//! when it is opened and when its form is sent.

mod act;
mod certificates;
mod current;
mod delete;
mod download;
mod history;
mod import;
pub(crate) mod labels;
mod notes;
mod records;
mod revoke;
mod verdict;
mod view;

use axum::Router;
use axum::extract::{FromRequestParts, Path};
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::get;
use domain::DomainName;
use http::request::Parts;
use http::{Method, StatusCode};
use proto::v1;

use crate::App;
use crate::page::Frame;
use crate::problem::{Problem, html, sentence};

pub(crate) use current::LENGTH;

pub(crate) fn routes() -> Router<App> {
    Router::new()
        .route("/domains/{name}", get(view::show).post(act::act))
        .route("/domains/{name}/delete", get(delete::show).post(delete::delete))
        .route("/domains/{name}/import", get(import::show).post(import::import))
        .route("/domains/{name}/key", get(download::ask).post(download::key))
        .route("/domains/{name}/certificate.pem", get(download::certificate))
        .route("/domains/{name}/chain.pem", get(download::chain))
        .route("/domains/{name}/labels", get(labels::show).post(labels::send))
        .route("/domains/{name}/notes", get(notes::show).post(notes::send))
        .route("/domains/{name}/revoke", get(revoke::show).post(revoke::revoke))
}

/// The name in the address, in its one spelling.
pub(crate) struct Named(pub(crate) DomainName);

impl FromRequestParts<App> for Named {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Response> {
        let path = Path::<String>::from_request_parts(parts, app).await;
        let Ok(Path(text)) = path else {
            return Err(Problem::no_page().into_response());
        };
        let name = DomainName::parse(&text).map_err(|problem| {
            let sentence = sentence(&problem.to_string());
            Problem::new(StatusCode::NOT_FOUND, problem.reason(), sentence).into_response()
        })?;
        // One page has one address, so that what is live finds it and a bookmark stays the same.
        if parts.method == Method::GET && name.as_str() != text {
            let rest = parts.uri.path().splitn(4, '/').nth(3);
            let rest = rest.map_or_else(String::new, |rest| format!("/{rest}"));
            return Err(Redirect::to(&format!("{}{rest}", address(&name))).into_response());
        }
        Ok(Self(name))
    }
}

/// Where a domain's page is.
pub(crate) fn address(name: &DomainName) -> String {
    format!("/domains/{name}")
}

/// The domain as it is now.
async fn read(frame: &Frame, name: &DomainName) -> Result<v1::Domain, Problem> {
    let request = v1::GetDomainRequest { name: name.to_string() };
    let answer = frame.domains().get_domain(request).await?.into_inner();
    answer.domain.ok_or_else(Problem::no_page)
}

/// The errors of a form, with the fields that they concern.
#[derive(Default)]
pub(crate) struct Troubles(Vec<Trouble>);

pub(crate) struct Trouble {
    /// The field's id; empty where it is none of them.
    pub(crate) field: &'static str,
    pub(crate) sentence: String,
}

impl Troubles {
    pub(crate) fn one(field: &'static str, sentence: impl Into<String>) -> Self {
        let mut troubles = Self::default();
        troubles.put(field, sentence);
        troubles
    }

    pub(crate) fn put(&mut self, field: &'static str, sentence: impl Into<String>) {
        let sentence = sentence.into();
        self.0.push(Trouble { field, sentence });
    }

    /// For templates.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// For templates.
    pub(crate) fn iter(&self) -> std::slice::Iter<'_, Trouble> {
        self.0.iter()
    }

    /// The error of a field; empty for none.
    pub(crate) fn at(&self, field: &str) -> &str {
        let found = self.0.iter().find(|trouble| trouble.field == field);
        found.map_or("", |trouble| &trouble.sentence)
    }
}

/// A form again, with what was wrong.
pub(crate) fn again(status: StatusCode, page: &impl askama::Template) -> Response {
    (status, html(page)).into_response()
}

/// A refusal by the API, if the form can show it; other errors have a page of their own.
fn refused(status: tonic::Status) -> Result<Problem, Problem> {
    let problem = Problem::from(status);
    let is_forms = matches!(problem.status, StatusCode::BAD_REQUEST | StatusCode::CONFLICT);
    if is_forms { Ok(problem) } else { Err(problem) }
}
