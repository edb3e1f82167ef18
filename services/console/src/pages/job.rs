//! A job: the confirmation before it starts, its progress, and the outcome of each line.

mod label;

use askama::Template;
use axum::body::Body;
use axum::extract::{Path, RawQuery};
use axum::response::{IntoResponse, Redirect, Response};
use domain::{Action, DomainName, JobKind, LineOutcome};
use futures::{StreamExt, stream};
use http::StatusCode;
use proto::{job_lines_done, job_lines_with, v1};
use tonic::Code;
use url::form_urlencoded;

use crate::csv::{Csv, attachment};
use crate::form::{Form, query};
use crate::jobs::{self, Lines};
use crate::page::Frame;
use crate::pages::domain::address;
use crate::problem::{Problem, html, sentence};
use crate::row::Name;
use crate::words::{self, instant};
use label::TypedLabels;

/// Lines per page.
const PAGE: i32 = 100;
/// Number of lines of each kind that are shown before the job starts.
const SAMPLE: i32 = 20;

/// The number of lines with an outcome, and the link to them.
struct Figure {
    label: &'static str,
    count: String,
    address: String,
    is_on: bool,
}

struct LineRow {
    line: v1::JobLine,
    /// The address of its domain's page; empty if there is none.
    address: String,
    outcome: &'static str,
    why: String,
}

/// The progress or result of a job.
#[derive(Template)]
#[template(path = "job.html")]
struct JobPage {
    frame: Frame,
    job: v1::Job,
    figures: Vec<Figure>,
    rows: Vec<LineRow>,
    outcome: Option<LineOutcome>,
    next: Option<String>,
    is_first: bool,
    /// When the queue of new domains will be done.
    queue: Option<String>,
}

impl JobPage {
    fn title(&self) -> String {
        words::job_title(&self.job)
    }

    fn is_over(&self) -> bool {
        proto::is_job_over(self.job.state())
    }

    fn is_waiting(&self) -> bool {
        self.job.state() == v1::JobState::Queued
    }

    /// Only then do line numbers refer to the pasted text.
    fn is_adding(&self) -> bool {
        self.job.kind() == v1::JobKind::Add
    }

    fn done(&self) -> u32 {
        job_lines_done(&self.job)
    }

    fn progress(&self) -> String {
        words::job_progress(self.done(), self.job.lines)
    }

    fn started(&self) -> String {
        let at = instant(self.job.created_at.as_ref()).map(|at| self.frame.zone.time(at)).unwrap_or_default();
        words::job_started(&self.job.owner, &at)
    }

    fn all(&self) -> String {
        format!("/jobs/{}", self.job.id)
    }

    fn csv(&self) -> String {
        let outcome = self.outcome.map(|outcome| format!("?outcome={outcome}")).unwrap_or_default();
        format!("/jobs/{}/lines.csv{outcome}", self.job.id)
    }
}

/// The confirmation before a job starts.
#[derive(Template)]
#[template(path = "job_draft.html")]
struct DraftPage {
    frame: Frame,
    job: v1::Job,
    trouble: String,
    sample: Vec<Name>,
    refused: Vec<v1::JobLine>,
    forecast: String,
    labels: TypedLabels,
}

impl DraftPage {
    fn title(&self) -> String {
        words::job_title(&self.job)
    }

    fn is_delete(&self) -> bool {
        self.job.kind() == v1::JobKind::Delete
    }

    fn is_adding(&self) -> bool {
        self.job.kind() == v1::JobKind::Add
    }

    fn is_label(&self) -> bool {
        self.job.kind() == v1::JobKind::Label
    }

    /// The number of lines that can be processed.
    fn total(&self) -> u32 {
        job_lines_with(&self.job, LineOutcome::Waiting)
    }

    fn button(&self) -> String {
        words::job_button(self.job.kind(), self.total())
    }

    fn counts(&self) -> Vec<(&'static str, String)> {
        let counts = [
            ("Names", LineOutcome::Waiting),
            ("Not domain names", LineOutcome::Refused),
            ("Listed twice", LineOutcome::Repeated),
        ];
        let counted = counts.into_iter().map(|(label, outcome)| (label, job_lines_with(&self.job, outcome)));
        counted
            .filter(|(label, lines)| *label == "Names" || *lines > 0)
            .map(|(label, lines)| (label, words::number(lines.into())))
            .collect()
    }

    fn more_names(&self) -> String {
        words::and_more(self.total() as usize - self.sample.len())
    }

    fn has_more_names(&self) -> bool {
        self.total() as usize > self.sample.len()
    }

    fn has_more_refused(&self) -> bool {
        job_lines_with(&self.job, LineOutcome::Refused) as usize > self.refused.len()
    }
}

/// Answers `/jobs/{id}`.
pub(crate) async fn show(
    frame: Frame,
    Path(id): Path<String>,
    RawQuery(text): RawQuery,
) -> Result<Response, Problem> {
    let job = jobs::get(&frame, &id).await?;
    if job.state() == v1::JobState::Draft {
        return draft(frame, job, (String::new(), TypedLabels::default())).await;
    }
    let query = query(text.as_deref());
    let outcome: Option<LineOutcome> = query.get("outcome").and_then(|word| word.parse().ok());
    let page_token = query.get("page").cloned().unwrap_or_default();
    let is_first = page_token.is_empty();
    let page = read(&frame, &job.id, outcome, PAGE, page_token).await?;
    let is_added = job.kind() == v1::JobKind::Add && proto::is_job_over(job.state());
    let queue = if is_added { queue(&frame).await } else { None };
    let next = (!page.next_page_token.is_empty()).then(|| to_page(&job.id, outcome, &page.next_page_token));
    Ok(html(&JobPage {
        figures: figures(&job, outcome),
        rows: page.lines.into_iter().map(|line| row(&job, line)).collect(),
        outcome,
        next,
        is_first,
        queue,
        job,
        frame,
    }))
}

async fn read(
    frame: &Frame,
    id: &str,
    outcome: Option<LineOutcome>,
    page_size: i32,
    page_token: String,
) -> Result<v1::ListJobLinesResponse, Problem> {
    let outcomes = outcome.iter().map(|outcome| v1::LineOutcome::from(*outcome).into()).collect();
    let request = v1::ListJobLinesRequest { id: id.to_owned(), outcomes, page_size, page_token };
    Ok(frame.jobs().list_job_lines(request).await?.into_inner())
}

fn to_page(id: &str, outcome: Option<LineOutcome>, token: &str) -> String {
    let mut query = form_urlencoded::Serializer::new(String::new());
    if let Some(outcome) = outcome {
        query.append_pair("outcome", outcome.as_str());
    }
    query.append_pair("page", token);
    format!("/jobs/{id}?{}#lines", query.finish())
}

fn figures(job: &v1::Job, shown: Option<LineOutcome>) -> Vec<Figure> {
    let is_over = proto::is_job_over(job.state());
    let figure = |outcome: LineOutcome| {
        let lines = job_lines_with(job, outcome);
        (lines > 0).then(|| Figure {
            label: proto::outcome_words(job.kind(), outcome, is_over),
            count: words::number(lines.into()),
            address: format!("/jobs/{}?outcome={outcome}#lines", job.id),
            is_on: shown == Some(outcome),
        })
    };
    LineOutcome::ALL.into_iter().filter_map(figure).collect()
}

fn row(job: &v1::Job, line: v1::JobLine) -> LineRow {
    let name = DomainName::parse(&line.name);
    let outcome = proto::line_outcome(line.outcome());
    let is_over = proto::is_job_over(job.state());
    LineRow {
        address: name.map(|name| address(&name)).unwrap_or_default(),
        outcome: outcome.map_or("", |outcome| proto::outcome_words(job.kind(), outcome, is_over)),
        why: sentence(&line.message),
        line,
    }
}

/// When the queue of new domains will be done; only shown, nothing depends on it.
async fn queue(frame: &Frame) -> Option<String> {
    let summary = frame.domains().get_summary(v1::GetSummaryRequest {}).await;
    let summary = summary.ok()?.into_inner();
    instant(summary.queue_through_at.as_ref()).map(|at| frame.zone.soon(at, frame.now))
}

async fn draft(
    frame: Frame,
    job: v1::Job,
    (trouble, labels): (String, TypedLabels),
) -> Result<Response, Problem> {
    frame.person.require(Action::Operate)?;
    let forecast = match job.kind() {
        v1::JobKind::Add => forecast(&frame, job_lines_with(&job, LineOutcome::Waiting)).await,
        _ => String::new(),
    };
    let waiting = read(&frame, &job.id, Some(LineOutcome::Waiting), SAMPLE, String::new()).await?;
    let refused = read(&frame, &job.id, Some(LineOutcome::Refused), SAMPLE, String::new()).await?;
    Ok(html(&DraftPage {
        sample: waiting.lines.iter().map(|line| Name::new(&line.name)).collect(),
        refused: refused.lines,
        trouble,
        forecast,
        labels,
        job,
        frame,
    }))
}

/// How soon the names will be ordered, as far as the CA's limits tell.
async fn forecast(frame: &Frame, names: u32) -> String {
    let (mut first, mut second) = (frame.domains(), frame.domains());
    let (overview, queue) = tokio::join!(first.get_overview(v1::GetOverviewRequest {}), async {
        let summary = second.get_summary(v1::GetSummaryRequest {}).await.ok()?;
        instant(summary.into_inner().queue_through_at.as_ref())
    });
    let room = overview.ok().and_then(|overview| room(&overview.into_inner().budget));
    let queue = queue.map(|at| frame.zone.soon(at, frame.now));
    words::forecast(names.into(), room, queue.as_deref())
}

/// Number of orders that the CAs have room for at present: of each CA its tightest limit. None if no limits are
/// known.
pub(crate) fn room(budget: &[v1::BudgetBucket]) -> Option<u64> {
    let mut tightest = std::collections::BTreeMap::<&str, u64>::new();
    for bucket in budget {
        let left = tightest.entry(&bucket.issuer).or_insert(u64::MAX);
        *left = (*left).min(bucket.left.into());
    }
    (!tightest.is_empty()).then(|| tightest.values().sum())
}

/// Redirects to the page of a job.
pub(crate) fn to(job: &v1::Job) -> Response {
    Redirect::to(&format!("/jobs/{}", job.id)).into_response()
}

/// Handles the forms of `/jobs/{id}`.
pub(crate) async fn send(frame: Frame, Path(id): Path<String>, body: Body) -> Result<Response, Problem> {
    frame.person.require(Action::Operate)?;
    let form = Form::of(&frame.person, body).await?;
    let job = jobs::get(&frame, &id).await?;
    let is_draft = job.state() == v1::JobState::Draft;
    if form.get("action") == "cancel" {
        frame.jobs().cancel_job(v1::CancelJobRequest { id }).await?;
        return Ok(if is_draft { Redirect::to("/").into_response() } else { to(&job) });
    }
    let total = job_lines_with(&job, LineOutcome::Waiting);
    if is_draft && job.kind() == v1::JobKind::Delete && !is_count(form.get("count"), total) {
        let trouble = words::count_differs(total as usize);
        return again(frame, job, (trouble, TypedLabels::default())).await;
    }
    let remove_from_c4 = form.get("c4") == "remove";
    let mut request = v1::StartJobRequest { id, remove_from_c4, ..v1::StartJobRequest::default() };
    if is_draft && job.kind() == v1::JobKind::Label {
        let typed = TypedLabels::of(&form);
        if let Err(trouble) = typed.put(&mut request) {
            return again(frame, job, (trouble, typed)).await;
        }
        return match frame.jobs().start_job(request).await {
            Ok(_) => Ok(to(&job)),
            Err(status) if status.code() == Code::InvalidArgument => {
                again(frame, job, (Problem::from(status).sentence, typed)).await
            }
            Err(status) => Err(status.into()),
        };
    }
    frame.jobs().start_job(request).await?;
    Ok(to(&job))
}

/// The page of a draft with what is wrong in its form.
async fn again(frame: Frame, job: v1::Job, typed: (String, TypedLabels)) -> Result<Response, Problem> {
    let page = draft(frame, job, typed).await?;
    Ok((StatusCode::UNPROCESSABLE_ENTITY, page).into_response())
}

/// Whether `text` is that number, with or without commas.
fn is_count(text: &str, count: u32) -> bool {
    let digits: String = text.chars().filter(|character| !", ".contains(*character)).collect();
    digits.parse() == Ok(count)
}

/// Answers `/jobs/{id}/lines.csv`. If a page after the first fails, the answer is cut off, so that half a list never
/// looks complete.
pub(crate) async fn csv(
    frame: Frame,
    Path(id): Path<String>,
    RawQuery(text): RawQuery,
) -> Result<Response, Problem> {
    let outcome: Option<LineOutcome> =
        query(text.as_deref()).get("outcome").and_then(|word| word.parse().ok());
    let outcomes = outcome.iter().map(|outcome| v1::LineOutcome::from(*outcome).into()).collect();
    let mut lines = Lines::new(&frame, &id, outcomes);
    let mut first = Csv::new();
    first.line(["line", "name", "outcome", "code", "sentence", "message_for_customer", "acted_at"])?;
    for line in lines.next().await?.unwrap_or_default() {
        put(&mut first, &line)?;
    }
    let rest = stream::try_unfold(lines, |mut lines| async move {
        let page = match lines.next().await {
            Ok(page) => page,
            Err(problem) => return Err(std::io::Error::other(problem.sentence)),
        };
        let Some(page) = page else { return Ok(None) };
        let mut csv = Csv::new();
        for line in page {
            put(&mut csv, &line).map_err(std::io::Error::other)?;
        }
        Ok(Some((csv.bytes().map_err(std::io::Error::other)?, lines)))
    });
    let first = first.bytes()?;
    let body = stream::once(async { Ok(first) }).chain(rest);
    Ok(attachment(&format!("job-{id}.csv"), Body::from_stream(body)))
}

fn put(csv: &mut Csv, line: &v1::JobLine) -> Result<(), csv::Error> {
    let acted = instant(line.acted_at.as_ref()).map_or_else(String::new, |at| format!("{at:.0}"));
    csv.line([
        &line.line.to_string(),
        &line.name,
        proto::line_outcome(line.outcome()).map_or("", LineOutcome::as_str),
        &line.code,
        &line.message,
        &line.customer_message,
        &acted,
    ])
}

/// A row in the list of jobs.
struct JobRow {
    id: String,
    title: String,
    state: &'static str,
    figures: String,
    owner: String,
    created: String,
}

#[derive(Template)]
#[template(path = "jobs.html")]
struct JobsPage {
    frame: Frame,
    rows: Vec<JobRow>,
    next: Option<String>,
}

/// Answers `/jobs`.
pub(crate) async fn list(frame: Frame, RawQuery(text): RawQuery) -> Result<Response, Problem> {
    let page_token = query(text.as_deref()).get("page").cloned().unwrap_or_default();
    let request = v1::ListJobsRequest { page_size: 0, page_token };
    let page = frame.jobs().list_jobs(request).await?.into_inner();
    let row = |job: &v1::Job| JobRow {
        id: job.id.clone(),
        title: words::job_button(job.kind(), job.lines),
        state: words::job_state(job.state()),
        figures: proto::job_figures(job),
        owner: job.owner.clone(),
        created: instant(job.created_at.as_ref()).map(|at| frame.zone.time(at)).unwrap_or_default(),
    };
    let to_next = |token: &str| {
        let query = form_urlencoded::Serializer::new(String::new()).append_pair("page", token).finish();
        format!("/jobs?{query}")
    };
    Ok(html(&JobsPage {
        rows: page.jobs.iter().map(row).collect(),
        next: (!page.next_page_token.is_empty()).then(|| to_next(&page.next_page_token)),
        frame,
    }))
}

/// The names of a draft, for editing.
pub(crate) async fn text(frame: &Frame, id: &str) -> Result<String, Problem> {
    let mut lines = Lines::new(frame, id, Vec::new());
    let mut names: Vec<String> = Vec::new();
    while let Some(page) = lines.next().await? {
        names.extend(page.into_iter().map(|line| line.name));
    }
    Ok(names.join("\n"))
}

/// Whether a job of that kind starts at once because it cannot do harm.
pub(crate) fn starts_at_once(kind: JobKind) -> bool {
    kind == JobKind::Recheck
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tightest_limit_of_each_ca_says_how_much_room_there_is() {
        let bucket = |issuer: &str, left| v1::BudgetBucket {
            issuer: issuer.to_owned(),
            left,
            ..v1::BudgetBucket::default()
        };
        assert_eq!(room(&[]), None);
        assert_eq!(room(&[bucket("a", 7), bucket("a", 3), bucket("b", 5)]), Some(8));
    }

    #[test]
    fn a_count_is_typed_as_it_is_shown_or_without_commas() {
        for text in ["1200", "1,200", " 1200 "] {
            assert!(is_count(text, 1200), "{text}");
        }
        for text in ["", "120", "1200 yes", "-1200", "1.200"] {
            assert!(!is_count(text, 1200), "{text}");
        }
    }
}
