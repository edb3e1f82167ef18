//! Pasting a certificate with its key. What was pasted as certificate stays in the form; a key never comes back, not even
//! one that was pasted in the wrong place.

use askama::Template;
use axum::body::Body;
use axum::response::{IntoResponse, Redirect, Response};
use domain::Action;
use http::StatusCode;
use proto::v1;
use x509::{Field, PastedError};

use super::{Named, Troubles, address, again, read, refused};
use crate::form::Form;
use crate::page::Frame;
use crate::problem::{Problem, html, sentence};
use crate::row::Name;

/// Most that the API takes of each.
const MOST_BYTES: usize = 64 * 1024;
const CERTIFICATE: &str = "certificate";
const KEY: &str = "key";

#[derive(Template)]
#[template(path = "domain/import.html")]
struct ImportPage {
    frame: Frame,
    troubles: Troubles,
    name: Name,
    certificate: String,
    /// Whether a generated certificate would be replaced by one that nobody renews.
    is_generated: bool,
}

impl ImportPage {
    fn new(frame: Frame, domain: &v1::Domain) -> Self {
        Self {
            frame,
            troubles: Troubles::default(),
            name: Name::new(&domain.name),
            certificate: String::new(),
            is_generated: domain.source() == v1::Source::C4 && domain.certificate.is_some(),
        }
    }
}

/// Answers `/domains/{name}/import`.
pub(crate) async fn show(frame: Frame, Named(name): Named) -> Result<Response, Problem> {
    frame.person.require(Action::Operate)?;
    let domain = read(&frame, &name).await?;
    Ok(html(&ImportPage::new(frame, &domain)))
}

/// Imports.
pub(crate) async fn import(frame: Frame, Named(name): Named, body: Body) -> Result<Response, Problem> {
    frame.person.require(Action::Operate)?;
    let form = Form::of(&frame.person, body).await?;
    // Only a name that is on the list: this page must not bring a deleted one back unasked.
    let domain = read(&frame, &name).await?;
    let (certificate, key) = (form.get(CERTIFICATE), form.get(KEY));
    let mut page = ImportPage::new(frame, &domain);
    kept(certificate).clone_into(&mut page.certificate);
    page.troubles = too_large(certificate, key);
    if !page.troubles.is_empty() {
        return Ok(again(StatusCode::UNPROCESSABLE_ENTITY, &page));
    }
    let request = v1::ImportCertificateRequest {
        name: name.to_string(),
        certificate_pem: certificate.to_owned(),
        private_key_pem: key.to_owned(),
    };
    let answer = page.frame.domains().import_certificate(request).await;
    let warnings = match answer {
        Ok(answer) => answer.into_inner().warnings,
        Err(status) => {
            let problem = refused(status)?;
            page.troubles = Troubles::one(field(&problem.reason, &problem.sentence), problem.sentence);
            return Ok(again(StatusCode::UNPROCESSABLE_ENTITY, &page));
        }
    };
    let is_trusted = !warnings.iter().any(|warning| warning == "not_publicly_trusted");
    let done = if is_trusted { "import" } else { "import-untrusted" };
    Ok(Redirect::to(&format!("{}?done={done}", address(&name))).into_response())
}

/// What the form shows again of what was pasted as certificate.
fn kept(certificate: &str) -> &str {
    let may_be_key = certificate.to_ascii_uppercase().contains("PRIVATE KEY");
    if may_be_key || certificate.len() > MOST_BYTES { "" } else { certificate }
}

/// Said here, because what is far too large never gets to where the API would say it.
fn too_large(certificate: &str, key: &str) -> Troubles {
    let mut troubles = Troubles::default();
    for (id, text, field) in [(CERTIFICATE, certificate, Field::Certificate), (KEY, key, Field::PrivateKey)] {
        if text.len() > MOST_BYTES {
            troubles.put(id, sentence(&PastedError::TooLarge(field).to_string()));
        }
    }
    troubles
}

/// Which field an error of the API is about.
fn field(reason: &str, sentence: &str) -> &'static str {
    match reason {
        "NOT_PEM" | "TOO_LARGE" if sentence.starts_with("The private key") => KEY,
        "CERTIFICATE_IN_KEY" | "NO_KEY" | "SEVERAL_KEYS" | "ENCRYPTED_KEY" | "UNPARSABLE_KEY"
        | "KEY_MISMATCH" => KEY,
        "NOT_PEM"
        | "TOO_LARGE"
        | "SWAPPED"
        | "KEY_IN_CERTIFICATE"
        | "NO_CERTIFICATE"
        | "TOO_MANY_CERTIFICATES"
        | "UNPARSABLE"
        | "WEAK_KEY"
        | "UNSUPPORTED_KEY"
        | "LEAF_NOT_FIRST"
        | "CHAIN_ORDER"
        | "CA_CERTIFICATE"
        | "NOT_A_SERVER_CERTIFICATE"
        | "NAME_NOT_COVERED"
        | "EXPIRED"
        | "NOT_YET_VALID"
        | "BAD_DATES"
        | "WEAK_SIGNATURE" => CERTIFICATE,
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_error_stands_at_its_field() {
        let at = |error: PastedError| field(error.reason(), &sentence(&error.to_string()));
        for error in [
            PastedError::NotPem(Field::PrivateKey),
            PastedError::TooLarge(Field::PrivateKey),
            PastedError::CertificateInKey,
            PastedError::EncryptedKey,
            PastedError::KeyMismatch,
        ] {
            assert_eq!(at(error.clone()), KEY, "{error}");
        }
        for error in [
            PastedError::NotPem(Field::Certificate),
            PastedError::TooLarge(Field::Certificate),
            PastedError::Swapped,
            PastedError::KeyInCertificate,
            PastedError::WeakKey(1024),
            PastedError::ChainOrder(2),
        ] {
            assert_eq!(at(error.clone()), CERTIFICATE, "{error}");
        }
        assert_eq!(field("CHANGED_MEANWHILE", ""), "", "about neither");
    }

    #[test]
    fn a_key_in_the_wrong_place_does_not_come_back() {
        let certificate = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        assert_eq!(kept(certificate), certificate);
        for key in [
            "-----BEGIN PRIVATE KEY-----\nAAAA",
            "-----begin rsa private key-----\nAAAA",
            "-----BEGIN ENCRYPTED PRIVATE KEY-----",
        ] {
            assert_eq!(kept(&format!("{certificate}{key}")), "");
        }
        assert_eq!(kept(&"A".repeat(MOST_BYTES + 1)), "");
    }
}
