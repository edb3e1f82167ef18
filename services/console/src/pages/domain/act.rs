//! The buttons of a domain's page.

use axum::body::Body;
use axum::response::{IntoResponse, Redirect, Response};
use domain::Action;
use http::StatusCode;
use proto::v1;

use super::view::{self, Asked};
use super::{Named, Troubles, address, refused};
use crate::form::Form;
use crate::page::Frame;
use crate::problem::Problem;

/// Answers a POST to `/domains/{name}`.
pub(crate) async fn act(frame: Frame, Named(named): Named, body: Body) -> Result<Response, Problem> {
    frame.person.require(Action::Operate)?;
    let form = Form::of(&frame.person, body).await?;
    let mut domains = frame.domains();
    let name = named.to_string();
    let action = form.get("action");
    let answer = match action {
        "add" => domains.add_domain(v1::AddDomainRequest { name }).await.map(drop),
        "recheck" => {
            let request = v1::RecheckDomainRequest { name };
            domains.recheck_domain(request).await.map(drop)
        }
        "generate" | "force" => {
            let force = action == "force";
            let request = v1::GenerateCertificateRequest { name, force };
            domains.generate_certificate(request).await.map(drop)
        }
        "rollback" => {
            let request = v1::RollbackCertificateRequest { name };
            domains.rollback_certificate(request).await.map(drop)
        }
        _ => return Err(unknown()),
    };
    let Err(status) = answer else {
        let to = format!("{}?done={action}", address(&named));
        return Ok(Redirect::to(&to).into_response());
    };
    let problem = refused(status)?;
    let troubles = Troubles::one("", problem.sentence);
    view::page(frame, &named, &Asked::default(), troubles).await
}

fn unknown() -> Problem {
    let sentence = "There is no such button. Open the page again and use one that is there.";
    Problem::new(StatusCode::BAD_REQUEST, "ACTION_UNKNOWN", sentence)
}
