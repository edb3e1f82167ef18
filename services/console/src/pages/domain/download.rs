//! Files of a domain's live certificate. The private key has a page that asks for the reason; its answer is wiped once
//! it is sent.

use askama::Template;
use axum::body::{Body, Bytes};
use axum::response::{IntoResponse, Response};
use domain::{Action, DomainName};
use http::StatusCode;
use http::header::{CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_ENCODING, CONTENT_TYPE};
use proto::v1;
use zeroize::Zeroizing;

use super::{Named, Troubles, again, read, refused};
use crate::form::Form;
use crate::page::Frame;
use crate::problem::{Problem, html};
use crate::row::Name;
use crate::words;

const PEM: &str = "application/x-pem-file";
const PFX: &str = "application/x-pkcs12";

/// Answers `/domains/{name}/certificate.pem`.
pub(crate) async fn certificate(frame: Frame, Named(name): Named) -> Result<Response, Problem> {
    let answer = live(&frame, &name).await?;
    Ok(file(&format!("{name}.pem"), PEM, answer.certificate_pem.into_bytes()))
}

/// Answers `/domains/{name}/chain.pem`.
pub(crate) async fn chain(frame: Frame, Named(name): Named) -> Result<Response, Problem> {
    let answer = live(&frame, &name).await?;
    Ok(file(&format!("{name}-chain.pem"), PEM, answer.chain_pem.into_bytes()))
}

async fn live(frame: &Frame, name: &DomainName) -> Result<v1::DownloadCertificateResponse, Problem> {
    let request = v1::DownloadCertificateRequest {
        name: name.to_string(),
        ..v1::DownloadCertificateRequest::default()
    };
    Ok(frame.domains().download_certificate(request).await?.into_inner())
}

fn file(name: &str, content_type: &'static str, bytes: Vec<u8>) -> Response {
    let headers = [
        (CONTENT_TYPE, content_type.to_owned()),
        (CONTENT_DISPOSITION, format!("attachment; filename=\"{name}\"")),
        (CACHE_CONTROL, "no-store".to_owned()),
        // Compressing would leave copies of a key in buffers that are not wiped.
        (CONTENT_ENCODING, "identity".to_owned()),
    ];
    let bytes = Bytes::from_owner(Zeroizing::new(bytes));
    (headers, Body::from(bytes)).into_response()
}

#[derive(Template)]
#[template(path = "domain/key.html")]
struct KeyPage {
    frame: Frame,
    troubles: Troubles,
    name: Name,
    reason: String,
    pfx: bool,
}

impl KeyPage {
    fn new(frame: Frame, name: &DomainName) -> Self {
        Self {
            frame,
            troubles: Troubles::default(),
            name: Name::new(name.as_str()),
            reason: String::new(),
            pfx: false,
        }
    }
}

/// Answers `/domains/{name}/key`.
pub(crate) async fn ask(frame: Frame, Named(name): Named) -> Result<Response, Problem> {
    frame.person.require(Action::ReadKey)?;
    read(&frame, &name).await?;
    Ok(html(&KeyPage::new(frame, &name)))
}

/// Hands the key out.
pub(crate) async fn key(frame: Frame, Named(name): Named, body: Body) -> Result<Response, Problem> {
    frame.person.require(Action::ReadKey)?;
    let form = Form::of(&frame.person, body).await?;
    let mut page = KeyPage::new(frame, &name);
    form.get("reason").trim().clone_into(&mut page.reason);
    page.pfx = form.get("format") == "pfx";
    page.troubles = troubles(&page, form.get("password"), form.get("password-again"));
    if !page.troubles.is_empty() {
        return Ok(again(StatusCode::UNPROCESSABLE_ENTITY, &page));
    }
    let password = if page.pfx { form.get("password") } else { "" };
    let request = v1::DownloadCertificateRequest {
        name: name.to_string(),
        reason: page.reason.clone(),
        include_private_key: !page.pfx,
        include_pfx: page.pfx,
        pfx_password: password.to_owned(),
    };
    let answer = page.frame.domains().download_certificate(request).await;
    let answer = match answer {
        Ok(answer) => answer.into_inner(),
        Err(status) => {
            let problem = refused(status)?;
            page.troubles = Troubles::one(field(&problem.reason), problem.sentence);
            return Ok(again(problem.status, &page));
        }
    };
    Ok(if page.pfx {
        file(&format!("{name}.pfx"), PFX, answer.pfx)
    } else {
        file(&format!("{name}.key"), PEM, answer.private_key_pem.into_bytes())
    })
}

/// What can be said without asking.
fn troubles(page: &KeyPage, password: &str, again: &str) -> Troubles {
    let mut troubles = Troubles::default();
    if page.reason.is_empty() {
        troubles.put("reason", words::SAY_WHY);
    }
    if page.pfx && password.is_empty() {
        troubles.put("password", words::PASSWORD_MISSING);
    } else if page.pfx && password != again {
        troubles.put("password-again", words::PASSWORDS_DIFFER);
    }
    troubles
}

fn field(reason: &str) -> &'static str {
    match reason {
        "REASON_REQUIRED" => "reason",
        "PFX_PASSWORD_REQUIRED" | "PFX_PASSWORD_INVALID" => "password",
        _ => "",
    }
}
