//! The midnight report: the domains that the daily recheck checked and their outcomes, with the difference to the day
//! before. The midnight is shown in the reader's zone; the day in the scheduler's zone is only in addresses.

use askama::Template;
use axum::body::Body;
use axum::response::Response;
use domain::{DomainName, MidnightOutcome};
use futures::{StreamExt, stream};
use jiff::ToSpan;
use jiff::civil::Date;
use proto::{midnight_outcome, midnight_sentence, status_word, v1};
use url::form_urlencoded;

use super::domain::address;
use crate::csv::{Csv, attachment};
use crate::form::query;
use crate::page::Frame;
use crate::problem::{Problem, html};
use crate::row::{Badge, Moment};
use crate::words::{self, instant};

const PAGE_SIZE: i32 = 100;
const CSV_PAGE_SIZE: i32 = 1000;
/// Reports are kept for so long.
const MAX_DAYS: i64 = 30;

/// Which part of a report is shown.
#[derive(Clone, Default)]
struct Shown {
    day: String,
    outcome: Option<MidnightOutcome>,
    only_new: bool,
    page: String,
}

impl Shown {
    fn parse(here: &str) -> Self {
        let mut fields = query(here.split_once('?').map(|(_, query)| query));
        let mut take = |name: &str| fields.remove(name).unwrap_or_default();
        Self {
            day: take("day"),
            outcome: take("outcome").parse().ok(),
            only_new: take("new") == "1",
            page: take("page"),
        }
    }

    fn request(&self, page_size: i32) -> v1::GetMidnightReportRequest {
        let outcome = self.outcome.map_or(v1::MidnightOutcome::Unspecified, v1::MidnightOutcome::from);
        v1::GetMidnightReportRequest {
            day: self.day.clone(),
            outcome: outcome.into(),
            only_new: self.only_new,
            page_size,
            page_token: self.page.clone(),
        }
    }

    fn address(&self, path: &str) -> String {
        let mut query = form_urlencoded::Serializer::new(String::new());
        query.append_pair("day", &self.day);
        if let Some(outcome) = self.outcome {
            query.append_pair("outcome", outcome.as_str());
        }
        if self.only_new {
            query.append_pair("new", "1");
        }
        if !self.page.is_empty() {
            query.append_pair("page", &self.page);
        }
        format!("{path}?{}", query.finish())
    }

    /// The same day, from the first page on.
    fn narrowed(&self, outcome: Option<MidnightOutcome>, only_new: bool) -> Self {
        Self { day: self.day.clone(), outcome, only_new, page: String::new() }
    }
}

struct Count {
    label: &'static str,
    address: String,
    is_on: bool,
    domains: String,
    before: String,
}

struct State {
    badge: Badge,
    reason: String,
}

struct Line {
    name: String,
    address: String,
    outcome: &'static str,
    before: State,
    after: Option<State>,
    decided: Option<Moment>,
}

struct Report {
    sentence: String,
    counts: Vec<Count>,
    all: String,
    new_since: String,
    new_address: String,
    gone_since: String,
    /// What is listed.
    listed: &'static str,
    lines: Vec<Line>,
    next: Option<String>,
    csv: String,
    day_before: Option<String>,
    day_after: Option<String>,
}

#[derive(Template)]
#[template(path = "midnight.html")]
struct MidnightPage {
    frame: Frame,
    /// None before the first midnight.
    report: Option<Report>,
}

fn label(outcome: MidnightOutcome) -> &'static str {
    match outcome {
        MidnightOutcome::Waiting => "Still to come",
        MidnightOutcome::Works => "Now work",
        MidnightOutcome::Changed => "Another reason",
        MidnightOutcome::Unchanged => "Unchanged",
        MidnightOutcome::Deleted => "Deleted meanwhile",
    }
}

/// Answers `/midnight`.
pub(crate) async fn show(frame: Frame) -> Result<Response, Problem> {
    let mut shown = Shown::parse(&frame.here);
    let answer = frame.domains().get_midnight_report(shown.request(PAGE_SIZE)).await?.into_inner();
    shown.day.clone_from(&answer.day);
    let sentence = midnight_sentence(&answer, &frame.zone.named_zone());
    let report = sentence.map(|sentence| report(&frame, &shown, &answer, sentence));
    Ok(html(&MidnightPage { frame, report }))
}

fn report(frame: &Frame, shown: &Shown, answer: &v1::GetMidnightReportResponse, sentence: String) -> Report {
    let count = |count: &v1::MidnightCount| {
        let outcome = midnight_outcome(count.outcome())?;
        Some(Count {
            label: label(outcome),
            address: shown.narrowed(Some(outcome), false).address("/midnight"),
            is_on: shown.outcome == Some(outcome),
            domains: words::number(count.domains),
            before: words::number(count.day_before),
        })
    };
    let next = Shown { page: answer.next_page_token.clone(), ..shown.clone() };
    let neighbour = |day: Option<Date>| {
        let day = day.map(|day| Shown { day: day.to_string(), ..Shown::default() });
        day.map(|day| day.address("/midnight"))
    };
    let (day, last): (Option<Date>, Option<Date>) = (answer.day.parse().ok(), answer.last_day.parse().ok());
    let oldest = last.map(|last| last.saturating_sub(MAX_DAYS.days()));
    Report {
        sentence,
        counts: answer.counts.iter().filter_map(count).collect(),
        all: shown.narrowed(None, false).address("/midnight"),
        new_since: words::number(answer.new_since),
        new_address: shown.narrowed(None, true).address("/midnight"),
        gone_since: words::number(answer.gone_since),
        listed: match (shown.outcome, shown.only_new) {
            (_, true) => "Not asked the day before",
            (Some(outcome), false) => label(outcome),
            (None, false) => "All that were asked",
        },
        lines: answer.entries.iter().map(|entry| line(frame, entry)).collect(),
        next: (!answer.next_page_token.is_empty()).then(|| next.address("/midnight")),
        csv: shown.narrowed(shown.outcome, shown.only_new).address("/midnight.csv"),
        day_before: neighbour(day.filter(|day| Some(*day) > oldest).and_then(|day| day.yesterday().ok())),
        day_after: neighbour(day.filter(|day| Some(*day) < last).and_then(|day| day.tomorrow().ok())),
    }
}

fn line(frame: &Frame, entry: &v1::MidnightEntry) -> Line {
    let state = |status: v1::Status, reason: &str| State {
        badge: Badge(status),
        reason: words::reason(reason).to_owned(),
    };
    let is_decided = entry.status_after() != v1::Status::Unspecified;
    let name = DomainName::parse(&entry.name);
    Line {
        address: name.map_or_else(|_| String::new(), |name| address(&name)),
        name: entry.name.clone(),
        outcome: midnight_outcome(entry.outcome()).map_or("", label),
        before: state(entry.status_before(), &entry.reason_before),
        after: is_decided.then(|| state(entry.status_after(), &entry.reason_after)),
        decided: instant(entry.decided_at.as_ref()).map(|at| Moment::time(at, &frame.zone)),
    }
}

/// Answers `/midnight.csv`. If a page after the first fails the answer is cut, so that half a report never looks whole.
pub(crate) async fn csv(frame: Frame) -> Result<Response, Problem> {
    let shown = Shown { page: String::new(), ..Shown::parse(&frame.here) };
    let mut domains = frame.domains();
    let first = domains.get_midnight_report(shown.request(CSV_PAGE_SIZE)).await?.into_inner();
    let shown = Shown { day: first.day.clone(), ..shown };
    let name = format!("midnight-{}.csv", first.day);
    let mut head = Csv::new();
    head.line([
        "name",
        "outcome",
        "status_before",
        "reason_before",
        "status_after",
        "reason_after",
        "decided_at",
    ])?;
    let head = head.bytes()?;
    let rest = stream::try_unfold(Some(first), move |page| {
        let (mut domains, shown) = (domains.clone(), shown.clone());
        async move {
            let Some(page) = page else { return Ok::<_, std::io::Error>(None) };
            let bytes = lines(&page.entries).map_err(std::io::Error::other)?;
            let next = if page.next_page_token.is_empty() {
                None
            } else {
                let request = Shown { page: page.next_page_token, ..shown }.request(CSV_PAGE_SIZE);
                let answer = domains.get_midnight_report(request).await;
                Some(answer.map_err(std::io::Error::other)?.into_inner())
            };
            Ok(Some((bytes, next)))
        }
    });
    let body = stream::once(async { Ok(head) }).chain(rest);
    Ok(attachment(&name, Body::from_stream(body)))
}

fn lines(entries: &[v1::MidnightEntry]) -> Result<Vec<u8>, csv::Error> {
    let mut csv = Csv::new();
    for entry in entries {
        let decided = instant(entry.decided_at.as_ref()).map_or_else(String::new, |at| format!("{at:.0}"));
        csv.line([
            &entry.name,
            midnight_outcome(entry.outcome()).map_or("", MidnightOutcome::as_str),
            status_word(entry.status_before()),
            &entry.reason_before,
            status_word(entry.status_after()),
            &entry.reason_after,
            &decided,
        ])?;
    }
    csv.bytes()
}
