//! Adding: one name with what a preflight finds, or many.
//!
//! Adding always orders, at once if all checks pass and otherwise once they do: the API cannot add without ordering. So
//! there is one button, and its label says which of the two will happen.

use askama::Template;
use axum::body::Body;
use axum::extract::RawQuery;
use axum::response::{IntoResponse, Redirect, Response};
use domain::{Action, JobKind};
use http::StatusCode;
use proto::v1;

use crate::form::{Form, query};
use crate::jobs;
use crate::lines::{Line, Lines};
use crate::page::Frame;
use crate::pages::job;
use crate::problem::{Problem, html, sentence};
use crate::row::{Badge, Name};
use crate::step::Step;
use crate::words;

/// The check of a name that is not added yet.
struct Checked {
    name: Name,
    /// Why nothing is known.
    trouble: Option<String>,
    steps: Vec<Step>,
    ready: bool,
    /// Its status, if it is on the list already.
    listed: Option<Badge>,
    has_live: bool,
}

impl Checked {
    fn trouble(sentence: String) -> Self {
        Self {
            name: Name::new(""),
            trouble: Some(sentence),
            steps: Vec::new(),
            ready: false,
            listed: None,
            has_live: false,
        }
    }

    fn verdict(&self) -> &'static str {
        words::verdict(self.listed.is_some(), self.has_live, self.ready)
    }

    /// The label of the button; none if there is nothing to do.
    fn button(&self) -> Option<&'static str> {
        match (self.listed, self.ready) {
            (None, true) => Some("Add and order now"),
            (None, false) => Some("Add and wait"),
            (Some(_), true) if !self.has_live => Some("Order now"),
            (Some(_), _) => None,
        }
    }
}

#[derive(Template)]
#[template(path = "add.html")]
struct AddPage {
    frame: Frame,
    trouble: String,
    names: String,
    checked: Option<Checked>,
}

#[derive(Template)]
#[template(path = "check_fragment.html")]
struct CheckFragment {
    checked: Checked,
}

/// Answers `/domains/new`.
pub(crate) async fn show(frame: Frame, RawQuery(text): RawQuery) -> Result<Response, Problem> {
    frame.person.require(Action::Operate)?;
    // Back from the page that shows what a list holds.
    let names = match query(text.as_deref()).get("job") {
        Some(id) => job::text(&frame, id).await?,
        None => String::new(),
    };
    Ok(page(frame, names, None))
}

fn page(frame: Frame, names: String, checked: Option<Checked>) -> Response {
    html(&AddPage { frame, trouble: String::new(), names, checked })
}

fn refused(frame: Frame, trouble: String, names: &str) -> Response {
    let page = AddPage { frame, trouble, names: names.to_owned(), checked: None };
    (StatusCode::UNPROCESSABLE_ENTITY, html(&page)).into_response()
}

/// Answers `/domains/new/check`: the part of the page that says what was found, for the script. A form of our own page,
/// because a check asks DNS, C4 and the domain's web server: no other site may have that done.
pub(crate) async fn check(frame: Frame, body: Body) -> Result<Response, Problem> {
    frame.person.require(Action::Operate)?;
    let form = Form::of(&frame.person, body).await?;
    let text = form.get("name");
    let checked = match Lines::parse(text) {
        Ok(lines) => match (lines.names.as_slice(), lines.rubbish.as_slice()) {
            ([name], []) => ask(&frame, name).await,
            ([], [rubbish]) => Checked::trouble(sentence(&rubbish.error.to_string())),
            _ => Checked::trouble(words::ONE_TO_CHECK.to_owned()),
        },
        Err(_) => Checked::trouble(words::ONE_TO_CHECK.to_owned()),
    };
    Ok(html(&CheckFragment { checked }))
}

/// Asks what is asked before every order, and whether the name is there already.
async fn ask(frame: &Frame, line: &Line) -> Checked {
    let (mut check, mut get) = (frame.domains(), frame.domains());
    let name = || line.text.clone();
    let (answer, listed) = tokio::join!(
        check.check_domain(v1::CheckDomainRequest { name: name() }),
        get.get_domain(v1::GetDomainRequest { name: name() }),
    );
    let answer = match answer {
        Ok(answer) => answer.into_inner(),
        Err(status) => return Checked::trouble(words::not_checked(&Problem::from(status).sentence)),
    };
    // Whether it is there decides over a label alone; adding finds out by itself.
    let listed = listed.ok().and_then(|listed| listed.into_inner().domain);
    Checked {
        name: Name::new(&answer.name),
        trouble: None,
        steps: answer.steps.into_iter().map(Step::new).collect(),
        ready: answer.ready,
        has_live: listed.as_ref().is_some_and(|domain| domain.certificate.is_some()),
        listed: listed.map(|domain| Badge(domain.status())),
    }
}

/// The fields of the form of `/domains/new`.
pub(crate) async fn send(frame: Frame, body: Body) -> Result<Response, Problem> {
    frame.person.require(Action::Operate)?;
    let form = Form::large_of(&frame.person, body).await?;
    let text = form.get("names");
    let Ok(lines) = Lines::parse(text) else {
        return Ok(refused(frame, words::too_many_lines(), text));
    };
    match (lines.names.as_slice(), lines.rubbish.as_slice()) {
        ([], []) => Ok(refused(frame, words::NO_NAME.to_owned(), text)),
        ([], [rubbish]) => {
            let trouble = sentence(&rubbish.error.to_string());
            Ok(refused(frame, trouble, text))
        }
        ([name], []) if form.get("action") == "check" => {
            let checked = ask(&frame, name).await;
            Ok(page(frame, text.to_owned(), Some(checked)))
        }
        ([name], []) => add(&frame, name).await,
        // A draft, so that what is in it is seen before it begins.
        _ => Ok(job::to(&jobs::create(&frame, JobKind::Add, true, &lines.all()).await?)),
    }
}

/// Adds one; one that is there already and has nothing live gets its certificate ordered.
async fn add(frame: &Frame, line: &Line) -> Result<Response, Problem> {
    let name = line.text.clone();
    let request = v1::AddDomainRequest { name: name.clone(), ..Default::default() };
    let added = frame.domains().add_domain(request).await?.into_inner();
    let has_live = added.domain.is_some_and(|domain| domain.certificate.is_some());
    if !added.created && !has_live {
        let request =
            v1::GenerateCertificateRequest { name: name.clone(), force: false, ..Default::default() };
        frame.domains().generate_certificate(request).await?;
    }
    Ok(Redirect::to(&format!("/domains/{name}")).into_response())
}
