//! Bulk actions of the list: on the selected domains, or on all that match.

use axum::body::Body;
use axum::response::Response;
use domain::{Action, JobKind};
use http::StatusCode;

use crate::filter::Filter;
use crate::form::Form;
use crate::jobs;
use crate::lines::{Line, MAX_LINES};
use crate::page::Frame;
use crate::pages::job;
use crate::problem::Problem;
use crate::walk::Walk;
use crate::words;

/// What the form of the list sends. A recheck starts at once; the others are asked about first.
pub(crate) async fn send(frame: Frame, body: Body) -> Result<Response, Problem> {
    frame.person.require(Action::Operate)?;
    let form = Form::of(&frame.person, body).await?;
    let kind = match form.get("action") {
        "recheck" => JobKind::Recheck,
        "delete" => JobKind::Delete,
        "generate" => JobKind::Generate,
        "reissue" => JobKind::Reissue,
        "label" => JobKind::Label,
        _ => return Err(refused("ACTION_UNKNOWN", words::NO_SUCH_ACTION)),
    };
    let is_all = form.get("of") == "all";
    let lines = if is_all { matching(&frame).await? } else { selected(form.all("name")) };
    if lines.is_empty() {
        return Err(if is_all {
            refused("NOTHING_MATCHES", words::NOTHING_MATCHES)
        } else {
            refused("NOTHING_SELECTED", words::NOTHING_SELECTED)
        });
    }
    let job = jobs::create(&frame, kind, !job::starts_at_once(kind), &lines).await?;
    Ok(job::to(&job))
}

fn refused(reason: &str, sentence: impl Into<String>) -> Problem {
    Problem::new(StatusCode::UNPROCESSABLE_ENTITY, reason, sentence)
}

/// Those that are ticked.
fn selected<'a>(names: impl Iterator<Item = &'a str>) -> Vec<Line> {
    let lines = (1..).zip(names.take(MAX_LINES));
    lines.map(|(number, text)| Line { number, text: text.chars().take(300).collect() }).collect()
}

/// All that match the filter of the address.
async fn matching(frame: &Frame) -> Result<Vec<Line>, Problem> {
    let query = frame.here.split_once('?').map(|(_, query)| query);
    let mut walk = Walk::new(frame, &Filter::parse(query));
    let mut names: Vec<Line> = Vec::new();
    while let Some(page) = walk.next().await? {
        if names.len() + page.len() > MAX_LINES {
            return Err(refused("TOO_MANY_MATCH", words::too_many_match()));
        }
        let first = names.len() as u32 + 1;
        let lines = (first..).zip(page);
        names.extend(lines.map(|(number, domain)| Line { number, text: domain.name }));
    }
    Ok(names)
}
