//! The audit log: searched, verified and exported.

use std::time::Duration;

use askama::Template;
use axum::body::Body;
use axum::response::{IntoResponse, Response};
use futures::TryStreamExt;
use http::StatusCode;
use http::header::{CONTENT_DISPOSITION, CONTENT_TYPE};
use jiff::civil::Date;
use proto::{to_timestamp, v1};
use tonic::Streaming;
use url::form_urlencoded;

use super::{moment, require};
use crate::form::{Form, query};
use crate::page::Frame;
use crate::pages::domain::{Troubles, again};
use crate::problem::{Problem, html};
use crate::row::Moment;
use crate::words::{self, instant};

const PAGE_SIZE: i32 = 100;
/// How long a page waits for a verdict; well below the response timeout.
const VERDICT_WITHIN: Duration = Duration::from_secs(30);

/// The search form as typed.
#[derive(Clone, Default)]
struct Shown {
    actor: String,
    call: String,
    subject: String,
    outcome: String,
    from: String,
    to: String,
    only_failed: bool,
    page: String,
}

impl Shown {
    fn parse(here: &str) -> Self {
        let mut fields = query(here.split_once('?').map(|(_, query)| query));
        let mut take = |name: &str| fields.remove(name).unwrap_or_default();
        Self {
            actor: take("actor").trim().to_owned(),
            call: take("call").trim().to_owned(),
            subject: take("subject").trim().to_owned(),
            outcome: take("outcome").trim().to_owned(),
            from: take("from"),
            to: take("to"),
            only_failed: take("failed") == "1",
            page: take("page"),
        }
    }

    fn is_empty(&self) -> bool {
        !self.only_failed
            && [&self.actor, &self.call, &self.subject, &self.outcome, &self.from, &self.to]
                .iter()
                .all(|text| text.is_empty())
    }

    fn address(&self, path: &str) -> String {
        let mut fields = form_urlencoded::Serializer::new(String::new());
        for (name, value) in [
            ("actor", &self.actor),
            ("call", &self.call),
            ("subject", &self.subject),
            ("outcome", &self.outcome),
            ("from", &self.from),
            ("to", &self.to),
            ("page", &self.page),
        ] {
            if !value.is_empty() {
                fields.append_pair(name, value);
            }
        }
        if self.only_failed {
            fields.append_pair("failed", "1");
        }
        format!("{path}?{}", fields.finish())
    }

    /// Days in the viewer's zone; the last one is included. An invalid day is ignored.
    fn filter(&self, frame: &Frame) -> v1::AuditFilter {
        let begin = |day: Date| frame.zone.begins(day).map(to_timestamp);
        let (from, to): (Option<Date>, Option<Date>) = (self.from.parse().ok(), self.to.parse().ok());
        v1::AuditFilter {
            actor: self.actor.clone(),
            call: self.call.clone(),
            subject: self.subject.clone(),
            outcome: if self.only_failed { String::new() } else { self.outcome.clone() },
            from: from.and_then(begin),
            until: to.and_then(|day| day.tomorrow().ok()).and_then(begin),
            only_failed: self.only_failed,
        }
    }
}

struct Line {
    at: Option<Moment>,
    actor: String,
    peer: String,
    call: String,
    subject: String,
    outcome: String,
    detail: String,
    number: String,
}

#[derive(Template)]
#[template(path = "admin/audit.html")]
struct AuditPage {
    frame: Frame,
    troubles: Troubles,
    shown: Shown,
    lines: Vec<Line>,
    looked_back_to: Option<Moment>,
    next: Option<String>,
    csv: String,
    json: String,
}

impl AuditPage {
    fn new(frame: Frame, shown: Shown, answer: v1::ListAuditResponse) -> Self {
        let line = |line: v1::AuditLine| Line {
            at: instant(line.at.as_ref()).map(|at| Moment::second(at, &frame.zone)),
            actor: line.actor,
            peer: line.peer,
            call: line.call,
            subject: line.subject,
            outcome: line.outcome,
            detail: line.detail,
            number: if line.sequence > 0 {
                words::number(line.sequence.unsigned_abs())
            } else {
                String::new()
            },
        };
        let first = Shown { page: String::new(), ..shown.clone() };
        let next = Shown { page: answer.next_page_token, ..shown.clone() };
        Self {
            lines: answer.lines.into_iter().map(line).collect(),
            looked_back_to: moment(&frame, answer.looked_back_to.as_ref()),
            next: (!next.page.is_empty()).then(|| next.address("/admin/audit")),
            csv: first.address("/admin/audit.csv"),
            json: first.address("/admin/audit.jsonl"),
            troubles: Troubles::default(),
            shown,
            frame,
        }
    }
}

/// Answers `/admin/audit`.
pub(super) async fn show(frame: Frame) -> Result<Response, Problem> {
    require(&frame)?;
    let shown = Shown::parse(&frame.here);
    let request = v1::ListAuditRequest {
        filter: Some(shown.filter(&frame)),
        page_size: PAGE_SIZE,
        page_token: shown.page.clone(),
    };
    match frame.administration().list_audit(request).await {
        Ok(answer) => Ok(html(&AuditPage::new(frame, shown, answer.into_inner()))),
        Err(status) => {
            let problem = Problem::from(status);
            if problem.status != StatusCode::BAD_REQUEST {
                return Err(problem);
            }
            let troubles = Troubles::one("", problem.sentence);
            let page = AuditPage::new(frame, shown, v1::ListAuditResponse::default());
            Ok(again(StatusCode::BAD_REQUEST, &AuditPage { troubles, ..page }))
        }
    }
}

#[derive(Template)]
#[template(path = "admin/verify.html")]
struct VerifyPage {
    frame: Frame,
    lines: String,
    /// None if it did not arrive in time.
    verdict: Option<v1::AuditVerdict>,
}

/// Verifies the log and shows the verdict, or the progress if it takes too long.
pub(super) async fn verify(frame: Frame, body: Body) -> Result<Response, Problem> {
    require(&frame)?;
    Form::of(&frame.person, body).await?;
    let mut answers = frame.administration().verify_audit(v1::VerifyAuditRequest {}).await?.into_inner();
    let mut last = v1::VerifyAuditResponse::default();
    let read = tokio::time::timeout(VERDICT_WITHIN, read_to_end(&mut answers, &mut last)).await;
    if let Ok(ended) = read {
        ended?;
    }
    Ok(html(&VerifyPage { frame, lines: words::number(last.lines), verdict: last.verdict }))
}

async fn read_to_end(
    answers: &mut Streaming<v1::VerifyAuditResponse>,
    last: &mut v1::VerifyAuditResponse,
) -> Result<(), tonic::Status> {
    while let Some(answer) = answers.message().await? {
        *last = answer;
    }
    Ok(())
}

/// Answers `/admin/audit.csv`.
pub(super) async fn csv(frame: Frame) -> Result<Response, Problem> {
    export(&frame, v1::ExportFormat::Csv, "audit.csv", "text/csv; charset=utf-8; header=present").await
}

/// Answers `/admin/audit.jsonl`.
pub(super) async fn json_lines(frame: Frame) -> Result<Response, Problem> {
    export(&frame, v1::ExportFormat::JsonLines, "audit.jsonl", "application/jsonl; charset=utf-8").await
}

/// If a piece after the first fails, the answer is cut off, so that half a log never looks complete.
async fn export(
    frame: &Frame,
    format: v1::ExportFormat,
    name: &str,
    content: &str,
) -> Result<Response, Problem> {
    require(frame)?;
    let filter = Some(Shown::parse(&frame.here).filter(frame));
    let request = v1::ExportAuditRequest { filter, format: format.into() };
    let pieces = frame.administration().export_audit(request).await?.into_inner();
    let body = Body::from_stream(pieces.map_ok(|piece| piece.data).map_err(std::io::Error::other));
    let headers = [
        (CONTENT_TYPE, content.to_owned()),
        (CONTENT_DISPOSITION, format!("attachment; filename=\"{name}\"")),
    ];
    Ok((headers, body).into_response())
}
