//! Revoking a certificate at its CA: it cannot be undone, so the name of a live domain has to be typed.

use askama::Template;
use axum::body::Body;
use axum::extract::RawQuery;
use axum::response::{IntoResponse, Redirect, Response};
use domain::{Action, DomainName};
use http::StatusCode;
use proto::v1;

use super::delete::is_typed;
use super::{Named, Troubles, address, again, read, refused};
use crate::form::{Form, query};
use crate::page::Frame;
use crate::problem::{Problem, html};
use crate::row::Name;
use crate::words;

/// In the order of the form: the words of RFC 5280, as RFC 8555 clients spell them, and the API's.
const REASONS: [(&str, v1::RevocationReason); 4] = [
    ("key-compromise", v1::RevocationReason::KeyCompromise),
    ("superseded", v1::RevocationReason::Superseded),
    ("cessation-of-operation", v1::RevocationReason::CessationOfOperation),
    ("affiliation-changed", v1::RevocationReason::AffiliationChanged),
];

struct Choice {
    word: &'static str,
    label: &'static str,
    is_chosen: bool,
}

#[derive(Template)]
#[template(path = "domain/revoke.html")]
struct RevokePage {
    frame: Frame,
    troubles: Troubles,
    name: Name,
    /// The certificate to revoke; empty for the live one, if none is.
    sha256: String,
    is_live: bool,
    reason: String,
    typed: String,
}

impl RevokePage {
    fn new(frame: Frame, domain: &v1::Domain, sha256: &str) -> Self {
        let live = domain.certificate.as_ref().map_or("", |live| &live.sha256);
        let sha256 = if sha256.is_empty() { live } else { sha256 };
        Self {
            frame,
            troubles: Troubles::default(),
            name: Name::new(&domain.name),
            is_live: !live.is_empty() && sha256 == live,
            sha256: sha256.to_owned(),
            reason: String::new(),
            typed: String::new(),
        }
    }

    fn choices(&self) -> [Choice; 4] {
        REASONS.map(|(word, _)| Choice {
            word,
            label: words::revocation(word),
            is_chosen: word == self.reason,
        })
    }
}

/// The domain; one that is deleted has certificates all the same.
async fn of(frame: &Frame, name: &DomainName) -> Result<v1::Domain, Problem> {
    match read(frame, name).await {
        Err(problem) if problem.status == StatusCode::NOT_FOUND => {
            Ok(v1::Domain { name: name.to_string(), ..v1::Domain::default() })
        }
        other => other,
    }
}

/// Answers `/domains/{name}/revoke`.
pub(crate) async fn show(
    frame: Frame,
    Named(name): Named,
    RawQuery(text): RawQuery,
) -> Result<Response, Problem> {
    frame.person.require(Action::Revoke)?;
    let domain = of(&frame, &name).await?;
    let asked = query(text.as_deref());
    let sha256 = asked.get("sha256").map_or("", String::as_str);
    Ok(html(&RevokePage::new(frame, &domain, sha256)))
}

/// Revokes.
pub(crate) async fn revoke(frame: Frame, Named(name): Named, body: Body) -> Result<Response, Problem> {
    frame.person.require(Action::Revoke)?;
    let form = Form::of(&frame.person, body).await?;
    let domain = of(&frame, &name).await?;
    let mut page = RevokePage::new(frame, &domain, form.get("sha256"));
    form.get("reason").clone_into(&mut page.reason);
    form.get("typed").trim().clone_into(&mut page.typed);
    let reason = REASONS.into_iter().find(|(word, _)| *word == page.reason);
    if reason.is_none() {
        page.troubles.put("reason", words::CHOOSE_A_REASON);
    }
    if page.is_live && !is_typed(&page.typed, &name) {
        page.troubles.put("typed", words::type_the_name(page.name.shown()));
    }
    let Some((_, reason)) = reason.filter(|_| page.troubles.is_empty()) else {
        return Ok(again(StatusCode::UNPROCESSABLE_ENTITY, &page));
    };
    let request = v1::RevokeCertificateRequest {
        name: name.to_string(),
        sha256: page.sha256.clone(),
        reason: reason.into(),
    };
    if let Err(status) = page.frame.domains().revoke_certificate(request).await {
        let problem = refused(status)?;
        page.troubles = Troubles::one("", problem.sentence);
        return Ok(again(StatusCode::CONFLICT, &page));
    }
    // What is live is replaced first.
    let done = if page.is_live { "revoke-later" } else { "revoke" };
    Ok(Redirect::to(&format!("{}?done={done}", address(&name))).into_response())
}
