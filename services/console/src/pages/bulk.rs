//! Bulk actions of the list: on the selected domains, or on all that match.

use axum::body::Body;
use axum::response::Response;
use domain::{Action, DomainName};
use http::StatusCode;

use crate::batches::{BatchKind, FailedLine, Plan};
use crate::filter::Filter;
use crate::form::Form;
use crate::lines::{Line, MAX_LINES};
use crate::page::Frame;
use crate::pages::batch;
use crate::problem::{Problem, sentence};
use crate::walk::Walk;
use crate::words;

/// The fields of the list's form. A recheck begins at once; a delete has to be confirmed.
pub(crate) async fn send(frame: Frame, body: Body) -> Result<Response, Problem> {
    frame.person.require(Action::Operate)?;
    let form = Form::of(&frame.person, body).await?;
    let what = match form.get("action") {
        "recheck" => BatchKind::Recheck,
        "delete" => BatchKind::Delete,
        _ => return Err(refused("ACTION_UNKNOWN", words::NO_SUCH_ACTION)),
    };
    let plan = if form.get("of") == "all" {
        matching(&frame, what).await?
    } else {
        selected(what, form.all("name"))
    };
    if plan.names.is_empty() && plan.failures.is_empty() {
        return Err(match form.get("of") {
            "all" => refused("NOTHING_MATCHES", words::NOTHING_MATCHES),
            _ => refused("NOTHING_SELECTED", words::NOTHING_SELECTED),
        });
    }
    let batch = batch::keep(&frame, plan)?;
    if what == BatchKind::Recheck {
        batch::begin(&frame, &batch, false);
    }
    Ok(batch::to(&batch))
}

fn refused(reason: &str, sentence: impl Into<String>) -> Problem {
    Problem::new(StatusCode::UNPROCESSABLE_ENTITY, reason, sentence)
}

/// Those that are ticked.
fn selected<'a>(what: BatchKind, names: impl Iterator<Item = &'a str>) -> Plan {
    let mut plan = Plan { what, names: Vec::new(), failures: Vec::new(), repeated: 0 };
    for (number, text) in (1..).zip(names.take(MAX_LINES)) {
        let line = |text: String| Line { number, text };
        match DomainName::parse(text) {
            Ok(name) => plan.names.push(line(name.to_string())),
            Err(error) => plan.failures.push(FailedLine {
                line: line(text.chars().take(300).collect()),
                reason: error.reason().to_owned(),
                sentence: sentence(&error.to_string()),
            }),
        }
    }
    plan
}

/// All that match the filter of the address.
async fn matching(frame: &Frame, what: BatchKind) -> Result<Plan, Problem> {
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
    Ok(Plan { what, names, failures: Vec::new(), repeated: 0 })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_ticked_and_no_name_is_told() {
        let plan = selected(BatchKind::Delete, ["a.example.com", "not a name", "B.example.com"].into_iter());
        let names: Vec<&str> = plan.names.iter().map(|line| line.text.as_str()).collect();
        assert_eq!(names, ["a.example.com", "b.example.com"]);
        assert_eq!(plan.failures[0].reason, "NAME_BAD_CHARACTER");
    }
}
