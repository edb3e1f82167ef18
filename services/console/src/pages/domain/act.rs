//! The buttons of a domain's page.

use axum::body::Body;
use axum::response::{IntoResponse, Redirect, Response};
use domain::sentence::Done;
use domain::{Action, DomainName};
use http::StatusCode;
use jiff::Timestamp;
use proto::v1;

use super::view::{self, ViewQuery};
use super::{Named, Troubles, address, refused};
use crate::checks::Check;
use crate::form::Form;
use crate::page::Frame;
use crate::problem::Problem;
use crate::words::instant;

/// Answers a POST to `/domains/{name}`.
pub(crate) async fn act(frame: Frame, Named(named): Named, body: Body) -> Result<Response, Problem> {
    frame.person.require(Action::Operate)?;
    let form = Form::of(&frame.person, body).await?;
    let mut domains = frame.domains();
    let name = named.to_string();
    let action = form.get("action");
    let answer = match action {
        "add" => {
            domains.add_domain(v1::AddDomainRequest { name, ..Default::default() }).await.map(|_| Done::Added)
        }
        "recheck" => {
            let request = v1::RecheckDomainRequest { name };
            let answer = domains.recheck_domain(request).await;
            answer.map(|_| {
                check(&frame, &named);
                Done::Rechecked
            })
        }
        "generate" | "force" => {
            let force = action == "force";
            let request = v1::GenerateCertificateRequest { name, force, ..Default::default() };
            let answer = domains.generate_certificate(request).await;
            answer.map(|answer| generated(&answer.into_inner().domain.unwrap_or_default(), force, frame.now))
        }
        "rollback" => {
            let request = v1::RollbackCertificateRequest { name };
            domains.rollback_certificate(request).await.map(|_| Done::RolledBack)
        }
        _ => return Err(unknown()),
    };
    match answer {
        Ok(done) => {
            let to = format!("{}?done={}", address(&named), done.as_str());
            Ok(Redirect::to(&to).into_response())
        }
        Err(status) => {
            let problem = refused(status)?;
            let troubles = Troubles::one("", problem.sentence);
            view::page(frame, &named, &ViewQuery::default(), troubles).await
        }
    }
}

/// Has the four checks made beside the recheck, so that the page can show what they found.
fn check(frame: &Frame, name: &DomainName) {
    let (app, mut domains, name) = (frame.app.clone(), frame.domains(), name.to_string());
    app.checks.put(&name, frame.now, Check::Running);
    let stop = frame.app.process.stop.clone();
    stop.spawn(async move {
        let answer = domains.check_domain(v1::CheckDomainRequest { name: name.clone() }).await;
        let check = match answer {
            Ok(answer) => Check::Done(answer.into_inner().steps),
            Err(status) => Check::Failed(Problem::from(status).sentence),
        };
        app.checks.put(&name, app.process.clock.now(), check);
    });
}

/// What Generate has done, by the domain as it is after it: one that rests keeps its certificate.
fn generated(domain: &v1::Domain, force: bool, now: Timestamp) -> Done {
    let serves = instant(domain.expires_at.as_ref()).is_some_and(|ends| now < ends);
    match (force, serves) {
        (true, true) => Done::Forced,
        (true, false) => Done::ForcedUnserved,
        (false, true) if domain.activity == "idle" => Done::GeneratedKept,
        (false, _) => Done::Generated,
    }
}

fn unknown() -> Problem {
    let sentence = "There is no such button. Open the page again and choose another one.";
    Problem::new(StatusCode::BAD_REQUEST, "ACTION_UNKNOWN", sentence)
}
