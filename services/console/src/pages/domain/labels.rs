//! Whom a domain belongs to: the customer's reference and the labels, in one form that shows them as they are.

use std::collections::BTreeSet;

use askama::Template;
use axum::body::Body;
use axum::response::{IntoResponse, Redirect, Response};
use domain::{Action, parse_label};
use http::StatusCode;
use proto::v1;

use super::{Named, Troubles, address, again, read, refused};
use crate::form::Form;
use crate::page::Frame;
use crate::problem::{Problem, html, sentence};
use crate::row::Name;

#[derive(Template)]
#[template(path = "domain/labels.html")]
struct LabelsPage {
    frame: Frame,
    troubles: Troubles,
    name: Name,
    customer: String,
    /// `KEY=VALUE`, one a line.
    labels: String,
    /// The same as it was when the form was first shown.
    shown: String,
}

/// Answers `/domains/{name}/labels`.
pub(crate) async fn show(frame: Frame, Named(name): Named) -> Result<Response, Problem> {
    frame.person.require(Action::Operate)?;
    let domain = read(&frame, &name).await?;
    let labels = domain.labels.iter().map(|label| format!("{}={}", label.key, label.value));
    let labels = labels.collect::<Vec<_>>().join("\n");
    Ok(html(&LabelsPage {
        troubles: Troubles::default(),
        name: Name::new(&domain.name),
        customer: domain.customer_ref.clone(),
        shown: labels.clone(),
        labels,
        frame,
    }))
}

/// Stores what was sent in place of what there is. Labels that a colleague has added meanwhile stay: only those go that
/// the form was shown with.
pub(crate) async fn send(frame: Frame, Named(name): Named, body: Body) -> Result<Response, Problem> {
    frame.person.require(Action::Operate)?;
    let form = Form::of(&frame.person, body).await?;
    let mut page = LabelsPage {
        troubles: Troubles::default(),
        name: Name::new(name.as_str()),
        customer: form.get("customer").to_owned(),
        labels: form.get("labels").to_owned(),
        shown: form.get("shown").to_owned(),
        frame,
    };
    let labels = match parsed(&page.labels) {
        Ok(labels) => labels,
        Err(trouble) => {
            page.troubles = Troubles::one("labels", trouble);
            return Ok(again(StatusCode::UNPROCESSABLE_ENTITY, &page));
        }
    };
    let kept: BTreeSet<&str> = labels.iter().map(|label| label.key.as_str()).collect();
    let shown = parsed(&page.shown).unwrap_or_default();
    let removed = shown.into_iter().map(|label| label.key).filter(|key| !kept.contains(key.as_str()));
    let request = v1::SetDomainLabelsRequest {
        name: name.to_string(),
        customer_ref: Some(page.customer.clone()),
        remove_labels: removed.collect(),
        labels,
    };
    if let Err(status) = page.frame.domains().set_domain_labels(request).await {
        let problem = refused(status)?;
        let field = if problem.reason.starts_with("CUSTOMER_REF") { "customer" } else { "labels" };
        page.troubles = Troubles::one(field, problem.sentence);
        return Ok(again(StatusCode::UNPROCESSABLE_ENTITY, &page));
    }
    Ok(Redirect::to(&address(&name)).into_response())
}

/// The labels of a text, one a line, or what is wrong with the first that is none.
pub(crate) fn parsed(text: &str) -> Result<Vec<v1::Label>, String> {
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    let label = |line: &str| {
        let parsed = parse_label(line).map_err(|problem| {
            let line: String = line.chars().take(80).collect();
            format!("“{line}”: {}", sentence(&problem.to_string()))
        });
        parsed.map(|(key, value)| v1::Label { key, value })
    };
    lines.map(label).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_label_is_a_line() {
        let labels = parsed("tier=gold\r\n\n  team=a=b \n").unwrap();
        let pairs: Vec<_> = labels.iter().map(|label| (label.key.as_str(), label.value.as_str())).collect();
        assert_eq!(pairs, [("tier", "gold"), ("team", "a=b")]);
        assert!(parsed("tier=gold\n<b>=1").unwrap_err().starts_with("“<b>=1”: "));
    }
}
