//! The page of a domain: verdict, records to set, certificate, history, and actions. A deleted domain keeps its
//! history, so its page says that it was deleted and shows that history.

use askama::Template;
use axum::extract::RawQuery;
use axum::response::{IntoResponse, Response};
use domain::DomainName;
use http::StatusCode;
use proto::v1;

use super::certificates::{self, Certificates};
use super::current::{Current, Edges};
use super::history::{self, Timeline};
use super::notes::{self, Note};
use super::records::Records;
use super::verdict::Verdict;
use super::{Named, Troubles};
use crate::checks::{Check, Checked};
use crate::form::query;
use crate::page::Frame;
use crate::problem::{Problem, html};
use crate::row::{Moment, Name};
use crate::step::Step;
use crate::words::instant;
use crate::zone::Zone;

/// The others are on the page of the notes.
const SHOWN_NOTES: usize = 3;

/// The actions that the viewer may take on this domain in its present state.
struct Controls {
    operate: bool,
    key: bool,
    revoke: bool,
}

/// The four checks that were made with a recheck.
struct ShownChecks {
    at: Moment,
    is_running: bool,
    /// Why there is no answer; empty where there is one.
    trouble: String,
    steps: Vec<Step>,
}

impl ShownChecks {
    fn new(checked: Checked, zone: &Zone) -> Self {
        let at = Moment::clock(checked.at, zone);
        let (is_running, trouble, steps) = match checked.check {
            Check::Running => (true, String::new(), Vec::new()),
            Check::Failed(sentence) => (false, sentence, Vec::new()),
            Check::Done(steps) => (false, String::new(), steps),
        };
        Self { at, is_running, trouble, steps: steps.into_iter().map(Step::new).collect() }
    }
}

#[derive(Template)]
#[template(path = "domain/view.html")]
struct ViewPage {
    frame: Frame,
    troubles: Troubles,
    name: Name,
    verdict: Verdict,
    /// The newest.
    notes: Vec<Note>,
    records: Option<Records>,
    checks: Option<ShownChecks>,
    current: Option<Current>,
    edges: Option<Edges>,
    controls: Controls,
    is_pasted: bool,
    timeline: Timeline,
    certificates: Certificates,
}

/// A domain that is not on the list.
#[derive(Template)]
#[template(path = "domain/gone.html")]
struct GonePage {
    frame: Frame,
    name: Name,
    /// When it was deleted; none if it never was on the list.
    deleted: Option<Moment>,
    timeline: Timeline,
    certificates: Certificates,
}

/// The query of the address: how much of the history and certificates to show.
#[derive(Default)]
pub(super) struct ViewQuery {
    pub(super) lines: Option<usize>,
    pub(super) certificates: String,
}

impl ViewQuery {
    fn of(text: Option<&str>) -> Self {
        let mut pairs = query(text);
        Self {
            lines: pairs.get("history").and_then(|lines| lines.parse().ok()),
            certificates: pairs.remove("certificates").unwrap_or_default(),
        }
    }
}

/// Answers `/domains/{name}`.
pub(crate) async fn show(
    frame: Frame,
    Named(name): Named,
    RawQuery(text): RawQuery,
) -> Result<Response, Problem> {
    page(frame, &name, &ViewQuery::of(text.as_deref()), Troubles::default()).await
}

/// The page, with what went wrong with an action.
pub(super) async fn page(
    frame: Frame,
    name: &DomainName,
    asked: &ViewQuery,
    troubles: Troubles,
) -> Result<Response, Problem> {
    let (domain, entries, listed, notes) = tokio::join!(
        super::read(&frame, name),
        history::read(&frame, name, asked.lines),
        certificates::read(&frame, name, &asked.certificates),
        notes::read(&frame, name),
    );
    let domain = match domain {
        Ok(domain) => domain,
        Err(problem) if problem.status == StatusCode::NOT_FOUND => {
            return gone(frame, name, asked, entries, listed);
        }
        Err(problem) => return Err(problem),
    };
    let entries = entries?;
    let (zone, now) = (&frame.zone, frame.now);
    let controls =
        Controls { operate: frame.may_operate(), key: frame.may_read_keys(), revoke: frame.may_revoke() };
    let checks = frame.app.checks.find(name.as_str(), now);
    let page = ViewPage {
        troubles,
        name: Name::new(&domain.name),
        verdict: Verdict::new(&domain, &entries, checks.as_ref(), zone, now),
        notes: notes.unwrap_or_default().into_iter().take(SHOWN_NOTES).collect(),
        records: Records::new(&domain),
        checks: checks.map(|checks| ShownChecks::new(checks, zone)),
        current: Current::new(&domain, zone, now),
        edges: Edges::new(&domain),
        is_pasted: domain.source() == v1::Source::Text,
        timeline: Timeline::new(name, Some(&domain), &entries, asked.lines, zone),
        certificates: Certificates::new(name, listed, controls.operate, controls.revoke, zone, now),
        controls,
        frame,
    };
    let status = if page.troubles.is_empty() { StatusCode::OK } else { StatusCode::CONFLICT };
    Ok((status, html(&page)).into_response())
}

fn gone(
    frame: Frame,
    name: &DomainName,
    asked: &ViewQuery,
    entries: Result<Vec<v1::HistoryEntry>, Problem>,
    listed: Option<v1::ListCertificatesResponse>,
) -> Result<Response, Problem> {
    let entries = match entries {
        Ok(entries) => entries,
        Err(problem) if problem.status == StatusCode::NOT_FOUND => Vec::new(),
        Err(problem) => return Err(problem),
    };
    let deleted = entries.iter().find(|entry| entry.kind == "deleted");
    let deleted = deleted.and_then(|entry| instant(entry.at.as_ref()));
    let zone = &frame.zone;
    let page = GonePage {
        name: Name::new(name.as_str()),
        deleted: deleted.map(|at| Moment::time(at, zone)),
        timeline: Timeline::new(name, None, &entries, asked.lines, zone),
        certificates: Certificates::new(name, listed, false, frame.may_revoke(), zone, frame.now),
        frame,
    };
    Ok((StatusCode::NOT_FOUND, html(&page)).into_response())
}
