//! Pasting a certificate with its key. Text that was parsed as certificates stays in the form. A key is never sent
//! back, not even one pasted in the wrong field, because unparsed text is not sent back either.

use askama::Template;
use axum::body::Body;
use axum::response::{IntoResponse, Redirect, Response};
use domain::Action;
use domain::sentence::Done;
use http::StatusCode;
use proto::v1;
use x509::{Field, PastedError, Warning};

use super::{Named, Troubles, address, again, read, refused};
use crate::form::Form;
use crate::page::Frame;
use crate::problem::{Problem, html, sentence};
use crate::row::Name;
use crate::words::instant;

/// Most that the API takes of each.
const MAX_BYTES: usize = 64 * 1024;
const CERTIFICATE: &str = "certificate";
const KEY: &str = "key";
const PASSWORD: &str = "password";

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
    let form = Form::large_of(&frame.person, body).await?;
    // Only a name that is on the list: this page must not bring a deleted one back unasked.
    let domain = read(&frame, &name).await?;
    let (certificate, key) = (form.get(CERTIFICATE), form.get(KEY));
    let mut page = ImportPage::new(frame, &domain);
    page.certificate = kept(certificate);
    page.troubles = too_large(certificate, key);
    if !page.troubles.is_empty() {
        return Ok(again(StatusCode::UNPROCESSABLE_ENTITY, &page));
    }
    let request = v1::ImportCertificateRequest {
        name: name.to_string(),
        certificate_pem: certificate.to_owned(),
        private_key_pem: key.to_owned(),
        password: form.get(PASSWORD).to_owned(),
        ..v1::ImportCertificateRequest::default()
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
    let serves = instant(domain.expires_at.as_ref()).is_some_and(|ends| page.frame.now < ends);
    let done = done(serves, &warnings);
    Ok(Redirect::to(&format!("{}?done={done}", address(&name))).into_response())
}

/// The word for what was done, which the next page turns into a sentence, with what is worth telling.
fn done(serves: bool, warnings: &[String]) -> String {
    let done = if serves { Done::ImportedOver } else { Done::Imported };
    let known = warnings.iter().filter_map(|code| Warning::of_code(code)).map(Warning::code);
    std::iter::once(done.as_str()).chain(known).collect::<Vec<_>>().join(".")
}

/// What the form shows again of what was pasted as certificate: only what was read as certificates, encoded anew. Nobody
/// knows what the rest is, and it may be a key.
fn kept(certificate: &str) -> String {
    x509::only_certificates(certificate.as_bytes()).unwrap_or_default()
}

/// Said here, because what is far too large never gets to where the API would say it.
fn too_large(certificate: &str, key: &str) -> Troubles {
    let mut troubles = Troubles::default();
    for (id, text, field) in [(CERTIFICATE, certificate, Field::Certificate), (KEY, key, Field::PrivateKey)] {
        if text.len() > MAX_BYTES {
            troubles.put(id, sentence(&PastedError::TooLarge(field).to_string()));
        }
    }
    troubles
}

/// Which field an error of the API is about.
fn field(reason: &str, sentence: &str) -> &'static str {
    match reason {
        "PASSWORD_REQUIRED" | "PASSWORD_WRONG" => PASSWORD,
        "NOT_PEM" | "TOO_LARGE" | "OLD_ENCRYPTION" | "ENCRYPTION_TOO_COSTLY"
            if sentence.starts_with("The private key") =>
        {
            KEY
        }
        "CERTIFICATE_IN_KEY" | "NO_KEY" | "SEVERAL_KEYS" | "ENCRYPTED_KEY" | "UNPARSABLE_KEY"
        | "KEY_MISMATCH" => KEY,
        "NOT_PEM"
        | "TOO_LARGE"
        | "OLD_ENCRYPTION"
        | "ENCRYPTION_TOO_COSTLY"
        | "PFX_UNREADABLE"
        | "INTERMEDIATE_MISSING"
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
    use x509::LockedKind;

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
            PastedError::OldEncryption(LockedKind::PrivateKey),
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
            PastedError::OldEncryption(LockedKind::Pfx),
            PastedError::RootWithoutIntermediate { root: 2, issuer: "CN=Lower".to_owned() },
        ] {
            assert_eq!(at(error.clone()), CERTIFICATE, "{error}");
        }
        for error in [PastedError::PfxPasswordMissing, PastedError::PasswordWrong(LockedKind::PrivateKey)] {
            assert_eq!(at(error.clone()), PASSWORD, "{error}");
        }
        assert_eq!(field("CHANGED_MEANWHILE", ""), "", "about neither");
    }

    #[test]
    fn only_what_was_read_as_certificates_comes_back() {
        let leaf = include_str!("../../../../../libs/x509/tests/data/people/leaf.pem");
        let key = include_str!("../../../../../libs/x509/tests/data/people/key.pem");
        assert_eq!(kept(leaf).replace('\r', ""), leaf);
        for label in ["PRIVATE KEY", " PRIVATE KEY", "PRIVATE  KEY", "private key", "CERTIFICATE", "KEY"] {
            let key = key.replace("PRIVATE KEY", label);
            assert_eq!(kept(&format!("{leaf}{key}")), "", "{label:?}");
        }
        for text in
            ["-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", "A", &"A".repeat(70_000)]
        {
            assert_eq!(kept(text), "");
        }
    }

    #[test]
    fn every_warning_is_told_after_the_import() {
        for (codes, text) in [
            (vec![], "being uploaded"),
            (vec!["not_publicly_trusted"], "visitors will see a warning"),
            (vec!["not_publicly_trusted", "intermediate_missing"], "the intermediate, is missing"),
            (vec!["duplicate_left_out", "of_a_newer_api"], "left out"),
        ] {
            let is_warning = !codes.is_empty();
            let codes: Vec<String> = codes.into_iter().map(str::to_owned).collect();
            let told = crate::words::done(&done(false, &codes)).unwrap();
            assert!(told.text.contains(text), "{}", told.text);
            assert_eq!(told.is_warning, is_warning);
        }
        assert!(
            crate::words::done(&done(true, &[])).unwrap().text.contains("The present certificate serves")
        );
    }
}
