//! The page of a batch: the confirmation, the progress, and the errors of failed lines.

use askama::Template;
use axum::body::Body;
use axum::extract::{Path, RawQuery};
use axum::response::{IntoResponse, Redirect, Response};
use domain::Action;
use http::StatusCode;
use proto::v1;

use crate::batches::{AsPerson, Batch, BatchKind, FailedLine, Figures, Phase, Plan, SAMPLE, run};
use crate::csv::{Csv, attachment};
use crate::form::{Form, query};
use crate::page::Frame;
use crate::problem::{Problem, html};
use crate::row::Name;
use crate::words::{self, instant};

/// Failures on one page.
const PAGE: usize = 100;

/// How far it is, or what came of it.
#[derive(Template)]
#[template(path = "batch.html")]
struct BatchPage {
    frame: Frame,
    id: String,
    what: BatchKind,
    figures: Figures,
    failures: Vec<FailedLine>,
    from: usize,
    /// When the queue of new ones is through.
    queue: Option<String>,
}

impl BatchPage {
    fn title(&self) -> String {
        words::batch_title(self.what, self.figures.phase, self.figures.total)
    }

    fn is_over(&self) -> bool {
        self.figures.phase.is_over()
    }

    fn is_waiting(&self) -> bool {
        self.figures.phase == Phase::Waiting
    }

    fn progress(&self) -> String {
        words::batch_progress(self.figures.answered, self.figures.total)
    }

    fn counts(&self) -> Vec<(&'static str, String)> {
        let figures = &self.figures;
        let mut counts = vec![(words::batch_done(self.what), figures.done)];
        if self.what == BatchKind::Add {
            counts.push(("On the list already", figures.already));
        }
        counts.push(("Failed", figures.failures));
        if figures.repeated > 0 {
            counts.push(("Duplicates", figures.repeated));
        }
        counted(counts)
    }

    fn is_adding(&self) -> bool {
        self.what == BatchKind::Add
    }

    fn shown(&self) -> String {
        words::batch_shown(self.from, self.failures.len(), self.figures.failures)
    }

    fn previous(&self) -> Option<usize> {
        (self.from > 0).then(|| self.from.saturating_sub(PAGE))
    }

    fn next(&self) -> Option<usize> {
        let next = self.from + self.failures.len();
        (next < self.figures.failures).then_some(next)
    }
}

/// The confirmation before it begins.
#[derive(Template)]
#[template(path = "batch_draft.html")]
struct DraftPage {
    frame: Frame,
    id: String,
    trouble: String,
    what: BatchKind,
    figures: Figures,
    sample: Vec<Name>,
    failures: Vec<FailedLine>,
    forecast: String,
}

impl DraftPage {
    fn title(&self) -> String {
        words::batch_title(self.what, self.figures.phase, self.figures.total)
    }

    fn is_delete(&self) -> bool {
        self.what == BatchKind::Delete
    }

    fn button(&self) -> String {
        words::batch_button(self.what, self.figures.total)
    }

    fn counts(&self) -> Vec<(&'static str, String)> {
        let figures = &self.figures;
        let mut counts = vec![("Can be added", figures.total), ("Not domain names", figures.failures)];
        if figures.repeated > 0 {
            counts.push(("Duplicates", figures.repeated));
        }
        counted(counts)
    }

    fn more_names(&self) -> String {
        words::and_more(self.figures.total - self.sample.len())
    }

    fn more_failures(&self) -> String {
        words::and_more(self.figures.failures - self.failures.len())
    }
}

fn counted(counts: Vec<(&'static str, usize)>) -> Vec<(&'static str, String)> {
    let counts = counts.into_iter();
    counts.map(|(label, count)| (label, words::number(count as u64))).collect()
}

/// Keeps what is to be done; its address.
pub(crate) fn keep(frame: &Frame, plan: Plan) -> Result<std::sync::Arc<Batch>, Problem> {
    let kept = frame.app.batches.keep(&frame.person.name, plan);
    kept.map_err(|_| Problem::new(StatusCode::TOO_MANY_REQUESTS, "TOO_MANY_BATCHES", words::TOO_MANY_BATCHES))
}

/// Begins it in the background, once.
pub(crate) fn begin(frame: &Frame, batch: &std::sync::Arc<Batch>, remove_from_c4: bool) {
    if !batch.begin(remove_from_c4) {
        return;
    }
    let stop = &frame.app.process.stop;
    let calls = AsPerson(frame.domains());
    stop.spawn(run(&frame.app.batches, batch.clone(), calls, stop.soft().clone()));
}

pub(crate) fn to(batch: &Batch) -> Response {
    Redirect::to(&format!("/batches/{}", batch.id)).into_response()
}

/// The batch of this person; people who may not change domains have none.
pub(crate) fn own(frame: &Frame, id: &str) -> Result<std::sync::Arc<Batch>, Problem> {
    frame.person.require(Action::Operate)?;
    let found = frame.app.batches.find(id, &frame.person.name);
    found.ok_or_else(|| Problem::new(StatusCode::NOT_FOUND, "BATCH_NOT_FOUND", words::NO_SUCH_BATCH))
}

/// Answers `/batches/{id}`.
pub(crate) async fn show(
    frame: Frame,
    Path(id): Path<String>,
    RawQuery(text): RawQuery,
) -> Result<Response, Problem> {
    let batch = own(&frame, &id)?;
    let figures = batch.figures();
    if figures.phase == Phase::Draft {
        return Ok(draft(frame, &batch, String::new()).await);
    }
    let query = query(text.as_deref());
    let from = query.get("from").and_then(|from| from.parse().ok());
    let from = from.unwrap_or(0usize);
    let queue =
        if batch.what == BatchKind::Add && figures.phase.is_over() { queue(&frame).await } else { None };
    Ok(html(&BatchPage {
        id,
        what: batch.what,
        figures,
        failures: batch.failures(from, PAGE),
        from,
        queue,
        frame,
    }))
}

/// When the queue of new ones is through; nothing hangs on it.
async fn queue(frame: &Frame) -> Option<String> {
    let summary = frame.domains().get_summary(v1::GetSummaryRequest {}).await;
    let summary = summary.ok()?.into_inner();
    instant(summary.queue_through_at.as_ref()).map(|at| frame.zone.soon(at, frame.now))
}

async fn draft(frame: Frame, batch: &Batch, trouble: String) -> Response {
    let forecast = match batch.what {
        BatchKind::Add => forecast(&frame, batch.names.len()).await,
        BatchKind::Recheck | BatchKind::Delete => String::new(),
    };
    let sample = batch.names.iter().take(SAMPLE);
    html(&DraftPage {
        id: batch.id.clone(),
        trouble,
        what: batch.what,
        figures: batch.figures(),
        sample: sample.map(|line| Name::new(&line.text)).collect(),
        failures: batch.failures(0, SAMPLE),
        forecast,
        frame,
    })
}

/// How soon they are ordered, as far as the CA's limits say it.
async fn forecast(frame: &Frame, names: usize) -> String {
    let (mut first, mut second) = (frame.domains(), frame.domains());
    let (overview, queue) = tokio::join!(first.get_overview(v1::GetOverviewRequest {}), async {
        let summary = second.get_summary(v1::GetSummaryRequest {}).await.ok()?;
        instant(summary.into_inner().queue_through_at.as_ref())
    });
    let room = overview.ok().and_then(|overview| room(&overview.into_inner().budget));
    let queue = queue.map(|at| frame.zone.soon(at, frame.now));
    words::forecast(names as u64, room, queue.as_deref())
}

/// Orders that the CAs have room for at this moment: of each CA its tightest limit. None where no limits are known.
pub(crate) fn room(budget: &[v1::BudgetBucket]) -> Option<u64> {
    let mut tightest = std::collections::BTreeMap::<&str, u64>::new();
    for bucket in budget {
        let left = tightest.entry(&bucket.issuer).or_insert(u64::MAX);
        *left = (*left).min(bucket.left.into());
    }
    (!tightest.is_empty()).then(|| tightest.values().sum())
}

/// The fields of the forms of `/batches/{id}`.
pub(crate) async fn send(frame: Frame, Path(id): Path<String>, body: Body) -> Result<Response, Problem> {
    let batch = own(&frame, &id)?;
    let form = Form::of(&frame.person, body).await?;
    if form.get("action") == "cancel" {
        let was_draft = batch.figures().phase == Phase::Draft;
        batch.cancel();
        return Ok(if was_draft { Redirect::to("/").into_response() } else { to(&batch) });
    }
    let is_draft = batch.figures().phase == Phase::Draft;
    if is_draft && batch.what == BatchKind::Delete && !is_count(form.get("count"), batch.names.len()) {
        let page = draft(frame, &batch, words::count_differs(batch.names.len())).await;
        return Ok((StatusCode::UNPROCESSABLE_ENTITY, page).into_response());
    }
    begin(&frame, &batch, form.get("c4") == "remove");
    Ok(to(&batch))
}

/// Whether the typed text is that number, with or without commas.
fn is_count(text: &str, count: usize) -> bool {
    let digits: String = text.chars().filter(|character| !", ".contains(*character)).collect();
    digits.parse() == Ok(count)
}

/// Answers `/batches/{id}/failures.csv`.
pub(crate) async fn failures(frame: Frame, Path(id): Path<String>) -> Result<Response, Problem> {
    let batch = own(&frame, &id)?;
    let mut csv = Csv::new();
    csv.line(["line", "name", "reason", "sentence"])?;
    for failure in batch.failures(0, usize::MAX) {
        let line = failure.line.number.to_string();
        csv.line([&line, &failure.line.text, &failure.reason, &failure.sentence])?;
    }
    Ok(attachment("failures.csv", Body::from(csv.bytes()?)))
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
