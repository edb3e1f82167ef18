//! Deleting: "keep serving" is the first choice, and the name of a live domain has to be typed.

use askama::Template;
use axum::body::Body;
use axum::response::{IntoResponse, Redirect, Response};
use domain::sentence::{Done, Served};
use domain::{Action, DomainName};
use http::StatusCode;
use jiff::Timestamp;
use proto::v1;

use super::{Named, Troubles, again, read};
use crate::form::Form;
use crate::page::Frame;
use crate::problem::{Problem, html};
use crate::row::Name;
use crate::words::{self, instant};

#[derive(Template)]
#[template(path = "domain/delete.html")]
struct DeletePage {
    frame: Frame,
    troubles: Troubles,
    name: Name,
    /// What the first choice means.
    keep: String,
    remove: bool,
    /// Whether the name must be typed.
    is_live: bool,
    typed: String,
}

impl DeletePage {
    fn new(frame: Frame, domain: &v1::Domain) -> Self {
        let ends = instant(domain.expires_at.as_ref()).filter(|ends| *ends > frame.now);
        Self {
            troubles: Troubles::default(),
            name: Name::new(&domain.name),
            keep: words::keep_serving(ends.map(|ends| frame.zone.until(ends, frame.now)).as_deref()),
            remove: false,
            is_live: ends.is_some(),
            typed: String::new(),
            frame,
        }
    }
}

/// Answers `/domains/{name}/delete`.
pub(crate) async fn show(frame: Frame, Named(name): Named) -> Result<Response, Problem> {
    frame.person.require(Action::Operate)?;
    let domain = read(&frame, &name).await?;
    Ok(html(&DeletePage::new(frame, &domain)))
}

/// Deletes.
pub(crate) async fn delete(frame: Frame, Named(name): Named, body: Body) -> Result<Response, Problem> {
    frame.person.require(Action::Operate)?;
    let form = Form::of(&frame.person, body).await?;
    let domain = read(&frame, &name).await?;
    let mut page = DeletePage::new(frame, &domain);
    page.remove = form.get("c4") == "remove";
    form.get("typed").trim().clone_into(&mut page.typed);
    if page.is_live && !is_typed(&page.typed, &name) {
        page.troubles.put("typed", words::type_the_name(page.name.shown()));
        return Ok(again(StatusCode::UNPROCESSABLE_ENTITY, &page));
    }
    let request = v1::DeleteDomainRequest { name: name.to_string(), remove_from_c4: page.remove };
    page.frame.domains().delete_domain(request).await?;
    let done = Done::deleted(served(&domain, page.frame.now), page.remove);
    let list = page.frame.list().address();
    let joint = if list.contains('?') { '&' } else { '?' };
    Ok(Redirect::to(&format!("{list}{joint}done={}", done.as_str())).into_response())
}

/// Whether C4 served a certificate.
fn served(domain: &v1::Domain, now: Timestamp) -> Served {
    match instant(domain.expires_at.as_ref()) {
        Some(ends) if now < ends => Served::Valid,
        Some(_) => Served::Ended,
        None => Served::Nothing,
    }
}

/// Whether a person typed this name, in any spelling of it.
pub(super) fn is_typed(typed: &str, name: &DomainName) -> bool {
    DomainName::parse(typed).is_ok_and(|typed| typed == *name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_typed_in_any_spelling_of_it() {
        let name = DomainName::parse("bücher.example.com").unwrap();
        for typed in ["bücher.example.com", "xn--bcher-kva.example.com", " Bücher.Example.COM. "] {
            assert!(is_typed(typed, &name), "{typed}");
        }
        for other in ["", "bucher.example.com", "example.com", "yes"] {
            assert!(!is_typed(other, &name), "{other}");
        }
    }
}
